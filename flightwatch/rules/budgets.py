"""Alert budgets: `budget: 2 per week` instead of a rate that the user would have to guess.

A rule with a budget is as any other once it has a limit: the rate of visits up to which one is rare. What the limit is, the
history of the store tells (`flightwatch.calibration`); until then nothing is known to be rare.
"""

from __future__ import annotations

from flightwatch.rules.language import Condition, RarityCondition, Rule, conditions


def budget_of(rule: Rule) -> RarityCondition | None:
    """The condition of a rule that has a budget; a rule has no more than one."""
    return next((c.rarity for c in conditions(rule.when) if c.rarity is not None and c.rarity.budget is not None), None)


def limited(rule: Rule, per_day: float) -> Rule:
    """The rule with a limit for its budget, in visits a day."""
    return rule.model_copy(update={"when": _limited(rule.when, per_day)})


def _limited(condition: Condition, per_day: float) -> Condition:
    changed: dict[str, object] = {}
    for name in ("all_", "any_"):
        if (inner := getattr(condition, name)) is not None:
            changed[name] = [_limited(part, per_day) for part in inner]
    if condition.not_ is not None:
        changed["not_"] = _limited(condition.not_, per_day)
    if condition.rarity is not None and condition.rarity.budget is not None:
        changed["rarity"] = condition.rarity.limited(per_day)
    return condition.model_copy(update=changed)
