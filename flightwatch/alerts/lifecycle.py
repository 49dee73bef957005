"""What becomes of an alert when findings come in: pure decisions, each with its reason.

    (none) ──> heading_there ──> lost ──> presumed_landed ──> left_again ──> returned
                    │  ▲          │ ▲            │   ▲             ▲
                    │  └──────────┘ └────────────┘   │             │
                    ├──────────> landed ─────────────┴─────────────┘
                    └──> withdrawn      (from any stage before left_again, when no rule holds any more; and back)

Where no rule is about a place, an alert begins as `airborne` instead of `heading_there`, and becomes that when such a rule joins.

An alert about an event (`happened`) has this one stage, and is withdrawn when better data take the event back.

An alert may open at any stage: flightwatch need not have been there at the beginning. Certainty can fall again (an
aircraft that was presumed down is seen flying), and that is told, too. Only `returned` is final.

A rule that cools down after another alert of the same aircraft tells nobody of this one; the alert stands in the book all
the same, and in the digest. So does one of which all rules are silenced; what was told is taken back all the same. In its
quiet hours a rule makes messages wait, unless another one that holds has none.

An alert of which nothing was heard for `FORGOTTEN_AFTER` is closed, one that is final for `OVER_AFTER`; one that was not
final is open again when something happens after all.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from flightwatch.records import Finding, Quiet, RuleReference, Severity, Stage

FORGOTTEN_AFTER = timedelta(days=30)
"""Where an aircraft is of which nothing was seen for a month, nobody expects to hear any more."""

OVER_AFTER = timedelta(days=7)
"""Better data correct what was told of the last days; what is final longer than this stays as it is."""

AT_ONCE = 10
"""Messages that one channel gets of one look at the sky. With their maps these are twenty, which takes it twenty seconds."""

SEVERITIES: tuple[Severity, ...] = ("high", "medium", "low")

FINAL: tuple[Stage, ...] = ("returned", "happened")
"""Nothing more is expected. What was told of an event can still be taken back."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody looks after an alert, and says so."""

    who: str
    time: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as it stands. `number` counts its messages; `rules` are those that hold, `channels` those that were told,
    `silent` the rules that were cooling down when they joined, and tell nobody."""

    alert_id: str
    stage: Stage
    number: int
    rules: tuple[RuleReference, ...]
    channels: tuple[str, ...]
    silent: tuple[str, ...] = ()
    acknowledged: Acknowledgement | None = None
    closed: bool = False


Reason = Literal[
    "opened",
    "stage changed",
    "another rule",
    "withdrawn",
    "acknowledged",
    "nothing new",
    "closed",
    "never opened",
    "cooled down",
    "silenced",
]


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do: `tell` is whether people hear of it, `reason` why or why not."""

    alert: Alert | None
    tell: bool
    reason: Reason


def alert_id(finding: Finding) -> str:
    """One visit of one aircraft, or one event, is one alert, whichever rules, feeds or restarts find it."""
    return finding.subject_id.removeprefix("visit-")


def decide(
    alert: Alert | None, findings: Sequence[Finding], cooling: Collection[str] = (), silenced: Collection[str] = ()
) -> Decision:
    """The alert after findings of one visit (at least one, of different rules). `cooling` are rules that told of the same
    aircraft a short while ago, `silenced` those that somebody does not want to hear of this."""
    holding = [f for f in findings if f.stage != "withdrawn"]
    gone = {f.rule.rule_id for f in findings if f.stage == "withdrawn"}
    if alert is None:
        return _open(holding, cooling, silenced) if holding else Decision(None, False, "never opened")
    if alert.stage == "returned":
        return Decision(alert, False, "closed")
    rules = _merged([r for r in alert.rules if r.rule_id not in gone], holding)
    if not rules and alert.stage == "withdrawn":
        return Decision(alert, False, "nothing new")
    if not rules:
        return Decision(replace(alert, stage="withdrawn", number=alert.number + 1), bool(alert.channels), "withdrawn")
    silent = (*alert.silent, *_joining(alert, rules, cooling))
    speaking = _channels(rules, {*silent, *silenced})
    updated = replace(
        alert, rules=tuple(rules), channels=tuple(dict.fromkeys([*alert.channels, *speaking])), silent=silent, closed=False
    )
    nobody_listens = not speaking and any(r.rule_id in silenced for r in rules)
    stage = _told_as(holding[-1].stage, rules) if holding else alert.stage
    if stage != alert.stage:
        updated = replace(updated, stage=stage, number=alert.number + 1)
        return Decision(updated, not nobody_listens and bool(updated.channels), "silenced" if nobody_listens else "stage changed")
    updated = replace(updated, closed=alert.closed)
    if updated == alert:
        return Decision(alert, False, "nothing new")
    return Decision(updated, False, "silenced" if nobody_listens else "another rule")


def _told_as(stage: Stage, rules: Sequence[RuleReference]) -> Stage:
    """In the air it heads for a place that a rule is about, or it is airborne, and where it goes is no rule's business."""
    return "airborne" if stage == "heading_there" and not any(rule.places for rule in rules) else stage


def acknowledged(alert: Alert, by: Acknowledgement) -> Decision:
    """The alert that somebody looks after: whoever was told of it is told of that."""
    updated = replace(alert, acknowledged=by, number=alert.number + 1)
    return Decision(updated, bool(alert.channels), "acknowledged")


def is_open(alert: Alert) -> bool:
    """Whether something may still be said of it."""
    return not alert.closed and alert.stage not in (*FINAL, "withdrawn")


def closes_after(alert: Alert) -> timedelta:
    """How long nothing may be heard of an alert before it is closed."""
    return FORGOTTEN_AFTER if is_open(alert) else OVER_AFTER


def foremost(findings: Sequence[Finding]) -> Finding:
    """The one that an alert is told by: of those that hold that of the severest rule, of these the one that names the fewest
    places, because it says the most of where it went."""
    holding = [f for f in findings if f.stage != "withdrawn"]
    return min(holding or findings, key=lambda f: (SEVERITIES.index(f.rule.severity), f.rule.places or math.inf, f.rule.rule_id))


def _open(findings: Sequence[Finding], cooling: Collection[str], silenced: Collection[str]) -> Decision:
    rules = tuple(_merged([], findings))
    silent = tuple(r.rule_id for r in rules if r.rule_id in cooling)
    channels = _channels(rules, {*silent, *silenced})
    alert = Alert(alert_id(findings[0]), _told_as(findings[-1].stage, rules), 1, rules, channels, silent)
    if channels:
        return Decision(alert, True, "opened")
    return Decision(alert, False, "silenced" if any(r.rule_id in silenced for r in rules) else "cooled down")


def singly(told: Mapping[str, Severity]) -> set[str]:
    """Of the alerts that a channel is to be told of at once, with their severities, those that get a message of their own:
    all, or the severest where there are too many. The others share one."""
    if len(told) <= AT_ONCE:
        return set(told)
    return set(sorted(told, key=lambda key: (SEVERITIES.index(told[key]), key))[: AT_ONCE - 1])


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
