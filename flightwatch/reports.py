"""Backtests for people: as a summary on the terminal, a Parquet file, and one HTML page.

In: a backtest, and another of older rules to compare it with. Out: text, rows, a page without script or anything from
elsewhere, in which all text is escaped. Alerts are counted as people would get them: several rules that hold for one visit
make one, and one of a rule that cools down is none.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
from jinja2 import Environment, StrictUndefined

from flightwatch import maps
from flightwatch.alerts import Alert
from flightwatch.alerts.lifecycle import alert_id
from flightwatch.alerts.phrases import who
from flightwatch.alerts.wording import area_name
from flightwatch.backtesting import Backtest, Happening, found_at
from flightwatch.deliveries.plain import clean
from flightwatch.desk import Desk
from flightwatch.errors import InputError
from flightwatch.places import Airports
from flightwatch.reasons import unsearched_words
from flightwatch.records import (
    HAPPENED,
    TERMS_KEY,
    TIME,
    Aircraft,
    Finding,
    Held,
    MapSpec,
    Message,
    RuleReference,
    Terms,
    Track,
    credits_of,
)
from flightwatch.rules import Rule
from flightwatch.store import files

EXAMPLES = 3
"""Of each rule, the last ones: enough to see what it is about."""

TOP = 10
"""Aircraft and places that are named."""

MOST_LINES = 60
"""Routes on the map; more hide each other."""

MOST_COMPARED = 40
"""Findings that stand in a comparison by name."""

WEEK = timedelta(days=7)

FINDINGS = pa.schema(
    [
        ("rule_id", pa.string()),
        ("severity", pa.string()),
        ("alert_id", pa.string()),
        ("time", TIME),
        ("icao24", pa.list_(pa.string())),
        ("registration", pa.string()),
        ("typecode", pa.string()),
        ("operator", pa.string()),
        ("origin", pa.string()),
        ("place", pa.string()),
        ("basis", pa.string()),
        ("probability", pa.float64()),
        ("stage", pa.string()),
        ("told", pa.bool_()),
        ("held", pa.list_(pa.struct([("condition", pa.string()), ("value", pa.string())]))),
        ("rarity", pa.list_(pa.string())),
        ("legs", pa.list_(pa.string())),
        ("feeds", pa.list_(pa.string())),
        ("reconstructed", pa.bool_()),
    ]
)
"""One row for each rule and visit or event. `time` is when the flight was over, as far as known, or the event began;
`told` is false where the rule was cooling down; `basis` and `probability` are those of the place, and of an event those of
what is claimed."""


@dataclass(frozen=True)
class Found:
    """One finding of either sort, as the report speaks of it."""

    rule: RuleReference
    key: str
    time: datetime
    aircraft: tuple[Aircraft, ...]
    words: str
    certainty: str
    told: bool
    held: tuple[Held, ...]
    legs: tuple[str, ...]
    feeds: tuple[str, ...]
    source: Finding | Happening

    @property
    def name(self) -> str:
        return ", ".join(one.registration or one.icao24 or "somebody" for one in self.aircraft)


@dataclass(frozen=True)
class RuleCount:
    """How often a rule told of something, in all and a week, of how many aircraft, and when last."""

    rule_id: str
    title: str
    alerts: int
    a_week: float
    silent: int
    aircraft: int
    last: datetime | None


@dataclass(frozen=True)
class Example:
    """What a message would have said, and what it rests on."""

    rule: str
    headline: str
    qualifier: str
    facts: tuple[str, ...]
    held: tuple[Held, ...]
    legs: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """What is told of a backtest. `weeks` are the alerts of each calendar week (its Monday, UTC); `gone` and `new` are what
    older rules found alone, and these alone, where the two are compared."""

    legs: int
    since: datetime
    until: datetime
    alerts: int
    a_week: float
    rules: tuple[RuleCount, ...]
    weeks: tuple[tuple[date, int], ...]
    aircraft: tuple[tuple[str, int], ...]
    places: tuple[tuple[str, int], ...]
    examples: tuple[Example, ...]
    notes: tuple[str, ...]
    sources: tuple[str, ...]
    map: MapSpec | None
    compared: bool
    gone: tuple[str, ...]
    new: tuple[str, ...]


def found(done: Backtest, airports: Airports) -> list[Found]:
    """All findings of a backtest, in order of time."""
    visits = [_visit(f, f.key not in done.silent, airports) for f in done.findings]
    events = [_event(h, h.key not in done.silent) for h in done.happenings]
    return sorted((*visits, *events), key=lambda f: (f.time, f.key, f.rule.rule_id))


def _visit(finding: Finding, told: bool, airports: Airports) -> Found:
    visit = finding.there
    legs = (*visit.way, *([visit.departure] if visit.departure else []))
    start = visit.start.airport or "not known where"
    place = visit.place.airport or area_name(visit.place, airports)
    return Found(
        rule=finding.rule,
        key=alert_id(finding),
        time=found_at(finding),
        aircraft=(finding.aircraft,),
        words=f"{start} – {place}",
        certainty=f"{visit.place.basis} {finding.probability:.2f}",
        told=told,
        held=finding.held,
        legs=tuple(leg.leg_id for leg in legs),
        feeds=tuple(sorted({feed for leg in legs for feed in leg.feeds})),
        source=finding,
    )


def _event(happening: Happening, told: bool) -> Found:
    event = happening.event
    chance = "" if event.probability is None else f" {event.probability:.2f}"
    return Found(
        rule=happening.rule,
        key=event.event_id,
        time=event.since,
        aircraft=happening.everybody,
        words=f"{HAPPENED.get(event.kind, event.kind)}: {event.words or event.reason}",
        certainty=f"{event.basis}{chance}",
        told=told,
        held=happening.held,
        legs=event.legs,
        feeds=event.feeds,
        source=happening,
    )


def report(done: Backtest, desk: Desk, before: Backtest | None = None) -> Report:
    """What is told of a backtest, and how it differs from the one before."""
    everything = found(done, desk.airports)
    told = [f for f in everything if f.told]
    alerts = {f.key: f for f in reversed(told)}
    length = max((done.until - done.since) / WEEK, 1.0)
    gone, new = _difference(found(before, desk.airports), everything) if before else ((), ())
    names = Counter(name for f in alerts.values() for name in dict.fromkeys(who(one) for one in f.aircraft))
    places = Counter(_place(f, desk.airports) for f in alerts.values())
    feeds = desk.store.terms_of(feed for f in everything for feed in f.feeds)
    databases = desk.registry.terms(source for f in everything for one in f.aircraft for source, _ in one.sources)
    return Report(
        legs=done.legs,
        since=done.since,
        until=done.until,
        alerts=len(alerts),
        a_week=len(alerts) / length,
        rules=tuple(_count(rule, [f for f in everything if f.rule.rule_id == rule.id], length) for rule in done.rules),
        weeks=_weeks([f.time for f in alerts.values()], done.since, done.until),
        aircraft=tuple(names.most_common(TOP)),
        places=tuple(places.most_common(TOP)),
        examples=tuple(_examples(told, done, desk)),
        notes=tuple(_notes(done, feeds, desk.store.made_up())),
        sources=credits_of([*feeds.values(), *databases.values()]),
        map=_map(list(alerts.values()), desk.airports),
        compared=before is not None,
        gone=gone,
        new=new,
    )


def _count(rule: Rule, mine: Sequence[Found], length: float) -> RuleCount:
    told = [f for f in mine if f.told]
    tails = {one.icao24 or one.registration for f in told for one in f.aircraft}
    last = max((f.time for f in told), default=None)
    return RuleCount(rule.id, rule.title, len(told), len(told) / length, len(mine) - len(told), len(tails), last)


def _weeks(times: Iterable[datetime], since: datetime, until: datetime) -> tuple[tuple[date, int], ...]:
    """The alerts of each week, those without any included."""
    counts = Counter(_monday(time) for time in times)
    first, last = min([_monday(since), *counts]), max([_monday(until), *counts])
    return tuple((day, counts[day]) for n in range((last - first).days // 7 + 1) for day in [first + n * WEEK])


def _monday(time: datetime) -> date:
    day = time.astimezone(UTC).date()
    return day - timedelta(days=day.weekday())


def _place(one: Found, airports: Airports) -> str:
    if isinstance(one.source, Finding):
        airport = airports.get(one.source.there.place.airport)
        return f"{airport.short_name}, {airport.ident}" if airport else area_name(one.source.there.place, airports)
    airport = airports.get(next(iter(one.source.event.airports), None))
    return f"{airport.short_name}, {airport.ident}" if airport else "not at an airport"


def _examples(told: Sequence[Found], done: Backtest, desk: Desk) -> Iterable[Example]:
    """The last findings of each rule, in the words of the message that people would have got."""
    by_rule = sorted(told, key=lambda f: f.rule.rule_id)
    for _, mine in groupby(by_rule, key=lambda f: f.rule.rule_id):
        for one in list(mine)[-EXAMPLES:]:
            title = f"{one.rule.title} ({one.rule.rule_id})"
            if isinstance(one.source, Finding):
                alert = Alert(one.key, one.source.stage, 1, (one.rule,), one.rule.notify)
                message = desk.compose(done.in_full(one.source), alert)
                yield Example(title, message.headline, message.qualifier, message.facts, one.held, one.legs)
            else:
                made_up = "[Reconstruction] " if not desk.store.made_up().isdisjoint(one.feeds) else ""
                names = ", ".join(who(aircraft) for aircraft in one.aircraft)
                when = f"{one.time:%-d %b %Y %H:%M} UTC"
                yield Example(title, f"{made_up}{names}: {one.words}", f"{one.certainty}; {when}", (), one.held, one.legs)


def _notes(done: Backtest, feeds: Mapping[str, Terms], made_up: Iterable[str]) -> list[str]:
    """What must be known of the figures."""
    own = sorted(name for name, term in feeds.items() if term.reconstructed)
    notes = [f"Reconstruction: nobody observed what stands under {' and '.join(own)}."] if own else []
    if not own and (others := sorted(made_up)):
        notes.append(f"The history that is counted in has made-up parts: {' and '.join(others)}.")
    notes.append(
        "Legs are judged as they stand today. While a flight was under way an alert may have come earlier, said less, or been"
        " withdrawn; what nobody recorded is not here. Times are those of the end of a flight, as far as known."
    )
    notes += [f"{told[0].upper()}{told[1:]}." for told in unsearched_words(done.unsearched)]
    if done.silent:
        notes.append("Cooling down is reckoned as if each alert had come at the end of its flight, or when the event began.")
    if any(rule.quiet for rule in done.rules):
        notes.append("Quiet hours put messages off and are not shown.")
    return notes


def _map(alerts: Sequence[Found], airports: Airports) -> MapSpec | None:
    """The routes between airports that lead, without a position of any feed."""
    routes: Counter[tuple[str, str]] = Counter()
    for one in alerts:
        if isinstance(one.source, Finding):
            start, place = one.source.there.start.airport, one.source.there.place.airport
            if start and place and start != place:
                routes[start, place] += 1
    flown = [(airports.get(a), airports.get(b)) for a, b in routes]
    known = [(a, b) for a, b in flown if a is not None and b is not None][:MOST_LINES]
    if not known:
        return None
    ends = {airport.ident: airport for pair in known for airport in pair}
    named = Counter({code: n for route, n in routes.items() for code in route if code in ends}).most_common(TOP)
    return MapSpec(
        title="Routes of the alerts",
        track=Track((), (), ()),
        inferred=tuple((a.latitude, a.longitude, b.latitude, b.longitude) for a, b in known),
        places=tuple((ends[code].short_name, ends[code].latitude, ends[code].longitude) for code, _ in named),
        note="Lines are great circles between the airports that lead, not tracks: nobody's positions are shown.",
    )


def _difference(old: Sequence[Found], new: Sequence[Found]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What each of two backtests found alone, a line each."""
    before, now = ({(f.rule.rule_id, f.key): f for f in many if f.told} for many in (old, new))
    return tuple(_line(f) for k, f in before.items() if k not in now), tuple(_line(f) for k, f in now.items() if k not in before)


def _line(one: Found) -> str:
    return f"{one.time:%Y-%m-%d %H:%M} UTC  {one.name}: {one.words} ({one.certainty})  [{one.rule.rule_id}]"


# --------------------------------------------------------------------------------------------------------------------- as text


def summary(told: Report) -> str:
    """The report on a terminal."""
    lines = [
        f"{told.legs:,} legs from {told.since:%-d %b %Y} to {told.until:%-d %b %Y}: {_alerts(told.alerts)},"
        f" {rate(told.a_week)} a week{_busiest(told)}.",
        "",
        f"{'rule':<40} {'alerts':>7} {'a week':>7} {'aircraft':>9}  last",
    ]
    for rule in told.rules:
        last = f"{rule.last:%Y-%m-%d}" if rule.last else "never"
        silent = f"  ({rule.silent:,} more while it cooled down)" if rule.silent else ""
        lines.append(f"{rule.rule_id:<40} {rule.alerts:>7,} {rate(rule.a_week):>7} {rule.aircraft:>9,}  {last}{silent}")
    if told.compared:
        lines += ["", *_compared("Only the old rules find", told.gone), *_compared("Only the new rules find", told.new)]
    if told.aircraft:
        lines += ["", "Aircraft: " + "; ".join(f"{name} {count:,}" for name, count in told.aircraft)]
        lines += ["Places: " + "; ".join(f"{name} {count:,}" for name, count in told.places)]
    for example in told.examples:
        lines += ["", f"{example.headline} ({example.qualifier})", f"  {example.rule}"]
        lines += [f"  - {held.condition}: {held.value}" for held in example.held]
        lines += [f"  {fact}" for fact in example.facts]
    lines += ["", *told.notes, *([f"Data: {'; '.join(told.sources)}."] if told.sources else [])]
    return "\n".join(map(clean_line, lines))


def message(told: Report) -> Message:
    """The report for a channel, where somebody asks for it: one message that says that it is about the past. The same report
    has the same name, so it is told once."""
    rules = [f"{rule.rule_id}: {_alerts(rule.alerts)}, {rate(rule.a_week)} a week" for rule in told.rules if rule.alerts]
    name = sha256(summary(told).encode()).hexdigest()[:12]
    return Message(
        alert_id=f"backtest-{name}",
        number=1,
        stage="backtest",
        headline=f"Backtest: {_alerts(told.alerts)} from {told.since:%-d %b %Y} to {told.until:%-d %b %Y}",
        qualifier="about the past: what rules would have told of; nobody was alerted",
        facts=(*rules, *(f"{example.headline} ({example.qualifier})" for example in told.examples)),
        update="",
        links=(),
        footer=(*told.notes, *([f"Data: {'; '.join(told.sources)}."] if told.sources else [])),
        severity="low",
        map=None,
    )


def clean_line(line: str) -> str:
    """A line without what a terminal would obey; its indentation stays."""
    return " " * (len(line) - len(line.lstrip(" "))) + "".join(c for c in line.lstrip(" ") if c.isprintable())


def _alerts(count: int) -> str:
    return f"{count:,} alert{'' if count == 1 else 's'}"


def rate(a_week: float) -> str:
    return f"{a_week:.1f}" if a_week >= 1 else f"{a_week:.2f}"


def _busiest(told: Report) -> str:
    week, most = max(told.weeks, key=lambda w: w[1])
    return f", at most {most:,} in a week (that of {week:%-d %b %Y})" if most else ""


def _compared(words: str, lines: Sequence[str]) -> list[str]:
    more = [f"  ... and {len(lines) - MOST_COMPARED:,} more"] if len(lines) > MOST_COMPARED else []
    return [f"{words}: {len(lines):,}", *(f"  {line}" for line in lines[-MOST_COMPARED:]), *more]


# ------------------------------------------------------------------------------------------------------------------- as a file


def write(done: Backtest, path: Path, desk: Desk) -> list[str]:
    """Writes all findings as Parquet, with the terms of their sources in its metadata as files of legs have them. Raises
    InputError for another format."""
    if path.suffix.lower() != ".parquet":
        raise InputError(f"{path}: findings are written as .parquet")
    everything = found(done, desk.airports)
    terms = desk.store.terms_of(feed for f in everything for feed in f.feeds)
    terms |= desk.registry.terms(source for f in everything for one in f.aircraft for source, _ in one.sources)
    table = pa.Table.from_pylist([_row(one, done, terms) for one in everything], schema=FINDINGS)
    told = json.dumps({name: asdict(term) for name, term in terms.items()})
    files.write_parquet(path, table.replace_schema_metadata({TERMS_KEY: told.encode()}))
    credits = credits_of(terms.values())
    return [f"{path}: {len(table):,} findings", *([f"Data: {'; '.join(credits)}."] if credits else [])]


def _row(one: Found, done: Backtest, terms: Mapping[str, Terms]) -> dict[str, Any]:
    first, source = one.aircraft[0], one.source
    visit, event = (source.there, None) if isinstance(source, Finding) else (None, source.event)
    return {
        "rule_id": one.rule.rule_id,
        "severity": one.rule.severity,
        "alert_id": one.key,
        "time": one.time,
        "icao24": [a.icao24 for a in one.aircraft if a.icao24],
        "registration": first.registration,
        "typecode": first.typecode,
        "operator": first.operator,
        "origin": visit.start.airport if visit else None,
        "place": visit.place.airport if visit else next(iter(event.airports if event else ()), None),
        "basis": visit.place.basis if visit else event.basis if event else None,
        "probability": source.probability if isinstance(source, Finding) else source.event.probability,
        "stage": source.stage if isinstance(source, Finding) else None,
        "told": one.told,
        "held": [asdict(held) for held in one.held],
        "rarity": [r.sentence for r in done.rarity(source)] if isinstance(source, Finding) else [],
        "legs": list(one.legs),
        "feeds": list(one.feeds),
        "reconstructed": any(terms[feed].reconstructed for feed in one.feeds if feed in terms),
    }


# ------------------------------------------------------------------------------------------------------------------- as a page

CHART_WIDTH, CHART_HEIGHT = 660, 140
"""Of the chart of weeks, in the units of its own picture."""


def page(told: Report) -> str:
    """The report as one HTML page."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"clean": clean, "rate": rate, "alerts": _alerts}
    text = (resources.files("flightwatch") / "templates" / "backtest.html.j2").read_text(encoding="utf-8")
    most = max(count for _, count in told.weeks)
    step = CHART_WIDTH / len(told.weeks)
    bars = [
        (round(i * step, 2), round(CHART_HEIGHT * count / most, 2), f"week of {week:%-d %b %Y}: {count:,}")
        for i, (week, count) in enumerate(told.weeks)
        if count
    ]
    picture = base64.b64encode(maps.draw(told.map)).decode() if told.map else ""
    values = {"width": CHART_WIDTH, "height": CHART_HEIGHT, "bar": round(max(step * 0.8, 0.6), 2), "bars": bars, "most": most}
    return environment.from_string(text).render(report=told, picture=picture, most_compared=MOST_COMPARED, **values)
