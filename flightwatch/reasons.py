"""Why an alert was raised, and why a rule raised none: from the store, the alert book and the rules, without changing them.

`why` takes an alert apart: the conditions that held with the values that they met, how rare it was, the legs and the files
of positions that it rests on, and what was decided when. `why_not` asks a rule about every leg of an aircraft again: the
first condition that failed and the value that it met, what the rule could not know, or, where it holds, what became of the
alert; and when nobody was looking.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from flightwatch.alerts import AlertBook, in_words
from flightwatch.alerts.book import IN_ONE_OF_MANY, OpenAlert
from flightwatch.alerts.phrases import who
from flightwatch.errors import InputError
from flightwatch.legs import Says
from flightwatch.legs.journeys import journeys
from flightwatch.legs.rows import aircraft_number
from flightwatch.pipeline import FRESH, Pipeline, State
from flightwatch.records import Aircraft, Held, Journey, Leg, Stop
from flightwatch.rules import Result, Rule, has_expired
from flightwatch.store import Store

MOST_FILES = 20
"""Files that are told of by name on a terminal; all of them stand in the JSON."""

MOST_CODES = 8
"""Codes that are told of by name."""


@dataclass(frozen=True, slots=True)
class Rested:
    """A file of positions that an alert rests on, as it is now."""

    path: str
    feed: str | None
    rows: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided about an alert, and when by the data."""

    time: datetime
    stage: str
    told: bool
    reason: str


@dataclass(frozen=True)
class Why:
    """What an alert rests on."""

    alert: OpenAlert
    decisions: tuple[Decided, ...]
    files: tuple[Rested, ...]


@dataclass(frozen=True, slots=True)
class WhyNot:
    """What came of asking a rule about one way of an aircraft, or about one event. `outcome` is `matched`, `not matched` or
    `not known`; `facts` are the conditions that decided it, `became` what became of a match."""

    subject: str
    began: datetime
    way: str
    outcome: str
    facts: tuple[Held, ...]
    became: str = ""


# ------------------------------------------------------------------------------------------------------------------------- why


def why(store: Store, book: AlertBook, alert_id: str) -> Why:
    """What an alert rests on. Raises InputError where there is no such alert."""
    return why_of(store, book, book.named(alert_id))


def why_of(store: Store, book: AlertBook, alert: OpenAlert) -> Why:
    """What an alert of the book rests on."""
    decisions = tuple(Decided(*row) for row in book.decisions(alert.alert.alert_id))
    return Why(alert, decisions, tuple(_rested(store, alert)))


def _rested(store: Store, alert: OpenAlert) -> Iterator[Rested]:
    finding = alert.finding
    if finding.event is not None:
        since, until, feeds = finding.event.since, finding.event.until, set(finding.event.feeds)
    else:
        legs = [*finding.there.way, *([finding.there.departure] if finding.there.departure else [])]
        times = [t for leg in legs for t in (leg.first_seen, leg.last_seen) if t is not None]
        if not times:
            return
        since, until, feeds = min(times), max(times), {feed for leg in legs for feed in leg.feeds}
    for file in store.snapshots.files(since, until):
        if file.feed in feeds:
            yield Rested(file.path, file.feed, file.rows, _digest(store.root / file.path))


def _digest(path: Path) -> str | None:
    """The SHA-256 of a file; None where it is gone."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def why_lines(found: Why) -> list[str]:
    """What `why` found, to read."""
    a, finding = found.alert, found.alert.finding
    lines = [a.message.headline, f"({a.message.qualifier})", f"alert {a.alert.alert_id}, {a.alert.stage.replace('_', ' ')}", ""]
    lines += [f"Rule {rule.rule_id}: {rule.title}" for rule in a.alert.rules]
    lines += [f"It held because, for {finding.rule.rule_id}:", *(f"  {h.condition}: {h.value}" for h in finding.held)]
    if others := [rule.rule_id for rule in a.alert.rules if rule.rule_id != finding.rule.rule_id]:
        whose = finding.aircraft.icao24 or finding.aircraft.registration
        lines.append(f"What held for {', '.join(others)} `flightwatch why-not RULE --aircraft {whose}` tells.")
    lines += ["How rare:", *(f"  {r.sentence}" for r in finding.rarity)] if finding.rarity else []
    if finding.visit is not None:
        legs = [*finding.visit.way, *([finding.visit.departure] if finding.visit.departure else [])]
        lines += ["It rests on the legs:", *map(_leg_line, legs)]
    if finding.event is not None:
        lines += [f"It rests on the event {finding.event.event_id}, {finding.event.count:,} positions."]
    lines += ["In files of the store:", *(_file_line(file) for file in found.files[:MOST_FILES])] if found.files else []
    if len(found.files) > MOST_FILES:
        lines.append(f"  and {len(found.files) - MOST_FILES} more: --json has them all")
    lines += ["Decided:", *(_decision_line(d) for d in found.decisions)]
    return lines


def _leg_line(leg: Leg) -> str:
    times = (leg.first_seen, leg.last_seen)
    seen = f"seen {times[0]:%-d %b %Y %H:%M} to {times[1]:%-d %b %H:%M} UTC" if times[0] and times[1] else "listed"
    ends = " to ".join(f"{e.airport or 'not known'} ({e.basis}, {e.probability:.2f})" for e in (leg.origin, leg.destination))
    rests = f"{leg.positions:,} positions of {', '.join(leg.feeds) or 'nobody'}"
    return f"  {leg.leg_id} revision {leg.revision}: {ends}; {seen}; {rests}"


def _file_line(file: Rested) -> str:
    return f"  {file.path}: {file.rows:,} rows of {file.feed}; SHA-256 {file.sha256 or 'not known: the file is gone'}"


def _decision_line(decided: Decided) -> str:
    told = "" if decided.told else " (told nobody)"
    return f"  {decided.time:%-d %b %Y %H:%M} UTC: {decided.stage.replace('_', ' ')}: {decided.reason}{told}"


def why_data(found: Why) -> dict[str, Any]:
    """What `why` found, as plain data."""
    finding = found.alert.finding
    return {
        "alert_id": found.alert.alert.alert_id,
        "stage": found.alert.alert.stage,
        "headline": found.alert.message.headline,
        "rules": [asdict(rule) for rule in found.alert.alert.rules],
        "held": [asdict(h) for h in finding.held],
        "rarity": [asdict(r) for r in finding.rarity],
        "legs": [leg.leg_id for leg in finding.visit.way] if finding.visit else [],
        "event": finding.event.event_id if finding.event else None,
        "files": [asdict(file) for file in found.files],
        "decisions": [asdict(d) for d in found.decisions],
        "credits": list(found.alert.message.footer),
    }


# --------------------------------------------------------------------------------------------------------------------- why not


def why_not(
    store: Store,
    book: AlertBook | None,
    pipeline: Pipeline,
    rule_id: str,
    aircraft: str,
    since: datetime | None,
    until: datetime | None,
) -> list[WhyNot]:
    """What a rule says of each journey place, leg, stay or event of an aircraft. Raises InputError where there is no such rule
    or aircraft."""
    rule = next((r for r in pipeline.rules if r.id == rule_id), None)
    if rule is None:
        raise InputError(f"no rule has the id {rule_id}: {', '.join(r.id for r in pipeline.rules)}")
    address = pipeline.registry.address(aircraft)
    if address is None:
        raise InputError(f"{aircraft} is no address, and no source says which address it has: give the address")
    state = pipeline.start(store.legs.table())
    known = {a.alert.alert_id: a for a in book.alerts()} if book is not None else {}
    if rule.subject == "event":
        return list(_events(store, known, book, pipeline, rule, address, since, until))
    legs = store.legs.tracked_of([address])
    return list(_ways(known, book, pipeline, state, rule, aircraft_number(address), legs, since, until))


def _said(legs: Sequence[Leg], by: datetime, name: str) -> Says:
    """What an aircraft said of itself on its last flight that had begun by a time."""
    flown = [leg for leg in legs if leg.icao24 == name and leg.first_seen is not None and leg.first_seen <= by]
    return Says(flown[-1].registration, flown[-1].typecode, flown[-1].callsign) if flown else Says()


def _ways(
    known: dict[str, OpenAlert],
    book: AlertBook | None,
    pipeline: Pipeline,
    state: State,
    rule: Rule,
    number: int,
    legs: Sequence[Leg],
    since: datetime | None,
    until: datetime | None,
) -> Iterator[WhyNot]:
    for journey in journeys(legs):
        answers = {answer.place: answer for answer in pipeline.asked(state, rule, number, legs, journey)}
        for place, leg in enumerate(journey.legs, 1):
            began = leg.first_seen or leg.origin.time or leg.destination.time or datetime.min.replace(tzinfo=UTC)
            if (since is None or began >= since) and (until is None or began < until):
                answer = answers.get(place)
                start, result = (answer.start, answer.result) if answer else (place - 1, _not_asked(rule, began))
                became = _became(leg.leg_id, known, book, rule) if result.truth else ""
                yield WhyNot(leg.leg_id, began, _way_words(journey, start, place), *_outcome(result), became)


def _outcome(result: Result) -> tuple[str, tuple[Held, ...]]:
    """The answer of a rule in words, and the conditions that decided it."""
    words = {True: "matched", False: "not matched", None: "not known"}[result.truth]
    return words, result.missed if result.truth is False else result.held


def _not_asked(rule: Rule, began: datetime) -> Result:
    """Why a rule was not asked about a flight, or an event: it was over by then, or is about stays, and the aircraft has not
    left."""
    if has_expired(rule, began):
        return Result(False, missed=(Held(f"before the rule expired on {rule.expires:%-d %b %Y}", f"began {began:%-d %b %Y}"),))
    return Result(None, held=(Held("a stay that is over", "no flight away from there is known"),))


def _events(
    store: Store,
    known: dict[str, OpenAlert],
    book: AlertBook | None,
    pipeline: Pipeline,
    rule: Rule,
    address: str,
    since: datetime | None,
    until: datetime | None,
) -> Iterator[WhyNot]:
    found = store.events.between(since, until, [address])
    legs = store.legs.tracked_of(sorted({name for event in found for name in event.aircraft})) if found else []
    for event in found:
        everybody = pipeline.everybody(event, partial(_said, legs, event.until))
        expired = has_expired(rule, event.since)
        result = _not_asked(rule, event.since) if expired else pipeline.asked_of_event(rule, event, everybody)
        became = _became(event.event_id, known, book, rule) if result.truth else ""
        yield WhyNot(event.event_id, event.since, f"{event.kind}, {event.reason}", *_outcome(result), became)


def _way_words(journey: Journey, start: int, place: int) -> str:
    return "-".join(_stop_words(stop) for stop in journey.stops[start : place + 1])


def _stop_words(stop: Stop) -> str:
    return stop.airport or "?"


def _became(subject: str, known: dict[str, OpenAlert], book: AlertBook | None, rule: Rule) -> str:
    """What became of a match: the alert and what was decided of it, or why there is none."""
    alert = known.get(subject)
    if alert is None or book is None:
        return (
            "no alert is known of it: it came in by an import or a backfill, it was older than"
            f" {FRESH.days} days when it came in, or the rule was not there then"
        )
    if rule.id in alert.alert.silent:
        return f"alert {subject}: the rule was cooling down, so nobody was told of it"
    if rule.id not in {r.rule_id for r in alert.alert.rules}:
        return f"alert {subject} was raised by other rules alone"
    states = Counter[str]()
    for of_channel in book.deliveries().get(subject, {}).values():
        states.update(of_channel)
    told = [
        f"alert {subject}, {alert.alert.stage.replace('_', ' ')}",
        "1 message was delivered" if states["sent"] == 1 else f"{states['sent']} messages were delivered",
    ]
    if states["waiting"]:
        quiet = f", after the quiet hours of the rule ({rule.quiet.between} {rule.quiet.zone})" if rule.quiet else ""
        told.append(f"still to be sent: {states['waiting']}, as soon as the channel takes them{quiet}")
    if states["dead"]:
        told.append(f"given up: {states['dead']}, see `flightwatch alerts dead`")
    reasons = [reason for _, _, _, reason in book.decisions(subject)]
    if any(IN_ONE_OF_MANY in reason for reason in reasons):
        told.append("told of in a message about many alerts")
    if "silenced" in reasons:
        told.append("silenced for a time, so that nobody was told then")
    return "; ".join(told)


def why_not_lines(found: Sequence[WhyNot], rule_id: str, aircraft: Aircraft) -> Iterator[str]:
    """What `why_not` found, to read."""
    yield f"Rule {rule_id}, {who(aircraft)}:"
    if not found:
        yield "  Nothing of it is stored in that time."
    for one in found:
        yield f"  {one.began:%-d %b %Y %H:%M} UTC  {one.way}: {one.outcome}"
        for fact in one.facts:
            yield f"    {fact.condition}: {fact.value}"
        if one.became:
            yield f"    {one.became}"


def unobserved(store: Store, aircraft: Aircraft, since: datetime, until: datetime) -> Iterator[str]:
    """When nobody was looking, so that a flight could have passed unseen."""
    for outage in store.health.outages(since, until):
        yield in_words(outage, until)
    days = watched_days(store, aircraft)
    asked = {(since + timedelta(days=n)).date() for n in range((until.date() - since.date()).days + 1)}
    if missing := sorted(asked - days):
        yield f"on {len(missing)} of {len(asked)} days nobody would surely have seen it, the first {missing[0]}"


def unsearched_words(codes: Mapping[str, datetime | None]) -> Iterator[str]:
    """The codes for which nobody searched what came in before a time, or ever, in words: a line a time."""
    times: dict[datetime | None, list[str]] = {}
    for code, since in codes.items():
        times.setdefault(since, []).append(code)
    for since, named in times.items():
        more = f" and {len(named) - MOST_CODES} more" if len(named) > MOST_CODES else ""
        when = f"before {since:%-d %b %Y %H:%M} UTC" if since else "so far"
        yield f"{when} nobody searched what came in for squawk {', '.join(named[:MOST_CODES])}{more}: who sent it is not known"


def watched_days(store: Store, aircraft: Aircraft) -> set[date]:
    """The days on which somebody would surely have seen an aircraft."""
    return {
        covered.first + timedelta(days=n)
        for covered in store.covered()
        if covered.scope.covers(
            aircraft.icao24, aircraft.registration, military=bool(aircraft.military), typecode=aircraft.typecode
        )
        for n in range((covered.last - covered.first).days + 1)
    }
