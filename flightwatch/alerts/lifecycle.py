"""What becomes of an alert when findings come in: pure decisions, each with its reason.

    (none) ──> heading_there ──> lost ──> presumed_landed ──> left_again ──> returned
                    │  ▲          │ ▲            │   ▲             ▲
                    │  └──────────┘ └────────────┘   │             │
                    ├──────────> landed ─────────────┴─────────────┘
                    └──> withdrawn      (from any stage before left_again, when no rule holds any more; and back)

An alert about an event (`happened`) has this one stage, and is withdrawn when better data take the event back.

An alert may open at any stage: flightwatch need not have been there at the beginning. Certainty can fall again (an
aircraft that was presumed down is seen flying), and that is told, too. Only `returned` is final.

A rule that cools down after another alert of the same aircraft tells nobody of this one; the alert stands in the book all
the same, and in the digest. In its quiet hours a rule makes messages wait, unless another one that holds has none.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from flightwatch.records import Finding, Quiet, RuleReference, Severity, Stage

SEVERITIES: tuple[Severity, ...] = ("high", "medium", "low")

FINAL: tuple[Stage, ...] = ("returned", "happened")
"""Nothing more is expected. What was told of an event can still be taken back."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as it stands. `number` counts its messages; `rules` are those that hold, `silent` those of them that were
    cooling down when they joined, and tell nobody."""

    alert_id: str
    stage: Stage
    number: int
    rules: tuple[RuleReference, ...]
    channels: tuple[str, ...]
    silent: tuple[str, ...] = ()


Reason = Literal["opened", "stage changed", "another rule", "withdrawn", "nothing new", "closed", "never opened", "cooled down"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do: `tell` is whether people hear of it, `reason` why or why not."""

    alert: Alert | None
    tell: bool
    reason: Reason


def alert_id(finding: Finding) -> str:
    """One visit of one aircraft, or one event, is one alert, whichever rules, feeds or restarts find it."""
    return finding.subject_id.removeprefix("visit-")


def decide(alert: Alert | None, findings: Sequence[Finding], cooling: Collection[str] = ()) -> Decision:
    """The alert after findings of one visit (at least one, of different rules). `cooling` are rules that told of the same
    aircraft a short while ago."""
    holding = [f for f in findings if f.stage != "withdrawn"]
    gone = {f.rule.rule_id for f in findings if f.stage == "withdrawn"}
    if alert is None:
        return _open(holding, cooling) if holding else Decision(None, False, "never opened")
    if alert.stage == "returned":
        return Decision(alert, False, "closed")
    rules = _merged([r for r in alert.rules if r.rule_id not in gone], holding)
    if not rules and alert.stage == "withdrawn":
        return Decision(alert, False, "nothing new")
    if not rules:
        return Decision(replace(alert, stage="withdrawn", number=alert.number + 1), bool(alert.channels), "withdrawn")
    silent = (*alert.silent, *_joining(alert, rules, cooling))
    channels = tuple(dict.fromkeys([*alert.channels, *_channels(rules, silent)]))
    updated = replace(alert, rules=tuple(rules), channels=channels, silent=silent)
    stage = holding[-1].stage if holding else alert.stage
    if stage != alert.stage:
        return Decision(replace(updated, stage=stage, number=alert.number + 1), bool(channels), "stage changed")
    return Decision(updated, False, "another rule" if updated != alert else "nothing new")


def foremost(findings: Sequence[Finding]) -> Finding:
    """The one that an alert is told by: of those that hold that of the severest rule, of these the one that names the fewest
    places, because it says the most of where it went."""
    holding = [f for f in findings if f.stage != "withdrawn"]
    return min(holding or findings, key=lambda f: (SEVERITIES.index(f.rule.severity), f.rule.places or math.inf, f.rule.rule_id))


def _open(findings: Sequence[Finding], cooling: Collection[str]) -> Decision:
    rules = tuple(_merged([], findings))
    silent = tuple(r.rule_id for r in rules if r.rule_id in cooling)
    channels = _channels(rules, silent)
    alert = Alert(alert_id(findings[0]), findings[-1].stage, 1, rules, channels, silent)
    return Decision(alert, True, "opened") if channels else Decision(alert, False, "cooled down")


def _joining(alert: Alert, rules: Sequence[RuleReference], cooling: Collection[str]) -> list[str]:
    """The rules that come to an alert while they cool down."""
    known = {r.rule_id for r in alert.rules} | set(alert.silent)
    return [r.rule_id for r in rules if r.rule_id not in known and r.rule_id in cooling]


def _channels(rules: Sequence[RuleReference], silent: Collection[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(c for r in rules if r.rule_id not in silent for c in r.notify))


def held_until(rules: Sequence[RuleReference], silent: Collection[str], now: datetime) -> datetime | None:
    """When the last of the quiet hours is over that keep an alert waiting; None where a rule that tells has none now."""
    ends = [_quiet_until(rule.quiet, now) for rule in rules if rule.rule_id not in silent]
    known = [end for end in ends if end is not None]
    return min(known) if known and len(known) == len(ends) else None


def _quiet_until(quiet: Quiet | None, now: datetime) -> datetime | None:
    if quiet is None:
        return None
    local = now.astimezone(ZoneInfo(quiet.zone))
    minute = local.hour * 60 + local.minute
    begins, ends = quiet.begins_min, quiet.ends_min
    if not (begins <= minute < ends if begins <= ends else minute >= begins or minute < ends):
        return None
    day = local.date() + timedelta(days=minute >= ends)
    return datetime.combine(day, time(ends // 60, ends % 60), local.tzinfo).astimezone(UTC)


def _merged(rules: Sequence[RuleReference], findings: Sequence[Finding]) -> list[RuleReference]:
    by_id = {r.rule_id: r for r in rules} | {f.rule.rule_id: f.rule for f in findings}
    return list(by_id.values())
