"""What becomes of an alert when findings come in: pure decisions, each with its reason.

    (none) ──> heading_there ──> lost ──> presumed_landed ──> left_again ──> returned
                    │  ▲          │ ▲            │   ▲             ▲
                    │  └──────────┘ └────────────┘   │             │
                    ├──────────> landed ─────────────┴─────────────┘
                    └──> withdrawn      (from any stage before left_again, when no rule holds any more; and back)

An alert may open at any stage: flightwatch need not have been there at the beginning. Certainty can fall again (an
aircraft that was presumed down is seen flying), and that is told, too. Only `returned` is final.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from flightwatch.records import Finding, RuleReference, Stage

FINAL: tuple[Stage, ...] = ("returned",)


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as it stands. `number` counts its messages; `rules` are those that hold."""

    alert_id: str
    stage: Stage
    number: int
    rules: tuple[RuleReference, ...]
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do: `tell` is whether people hear of it, `reason` why or why not."""

    alert: Alert | None
    tell: bool
    reason: Literal["opened", "stage changed", "another rule", "withdrawn", "nothing new", "closed", "never opened"]


def alert_id(finding: Finding) -> str:
    """One visit of one aircraft is one alert, whichever rules, feeds or restarts find it."""
    return finding.visit.visit_id.removeprefix("visit-")


def decide(alert: Alert | None, findings: Sequence[Finding]) -> Decision:
    """The alert after findings of one visit (at least one, of different rules)."""
    holding = [f for f in findings if f.stage != "withdrawn"]
    gone = {f.rule.rule_id for f in findings if f.stage == "withdrawn"}
    if alert is None:
        return _open(holding) if holding else Decision(None, False, "never opened")
    if alert.stage in FINAL:
        return Decision(alert, False, "closed")
    rules = _merged([r for r in alert.rules if r.rule_id not in gone], holding)
    if not rules:
        return Decision(replace(alert, stage="withdrawn", number=alert.number + 1), True, "withdrawn")
    channels = tuple(dict.fromkeys([*alert.channels, *(c for r in rules for c in r.notify)]))
    updated = replace(alert, rules=tuple(rules), channels=channels)
    stage = holding[-1].stage if holding else alert.stage
    if stage != alert.stage:
        return Decision(replace(updated, stage=stage, number=alert.number + 1), True, "stage changed")
    return Decision(updated, False, "another rule" if updated != alert else "nothing new")


def _open(findings: Sequence[Finding]) -> Decision:
    rules = tuple(_merged([], findings))
    channels = tuple(dict.fromkeys(c for r in rules for c in r.notify))
    return Decision(Alert(alert_id(findings[0]), findings[-1].stage, 1, rules, channels), True, "opened")


def _merged(rules: Sequence[RuleReference], findings: Sequence[Finding]) -> list[RuleReference]:
    by_id = {r.rule_id: r for r in rules} | {f.rule.rule_id: f.rule for f in findings}
    return list(by_id.values())
