"""What rules would have found in what is stored: the legs of a store, judged as live judges them.

In: a store, a pipeline with rules, a span of time. Out: what they find, with the same evidence. Legs come in as columns
first; `rules.filtering` leaves those that a rule may hold for, these alone are read whole and go through
`Pipeline.judge_journey`, against the history that it can ask about, which is counted in the columns, too. How rare a finding
was is told when somebody asks (`Backtest.in_full`). Legs are taken as they stand: what an alert said while a flight was
under way, and took back, is not in them. Flights of a list are judged, too, unless positions or another list tell of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flightwatch.backfill import newest
from flightwatch.errors import Damaged
from flightwatch.gathering import THREADS, Gathered, each_once, gather, subjects_of
from flightwatch.judging import Asked, Known, Task, judge, second_judge
from flightwatch.legs import Says
from flightwatch.pipeline import Pipeline, State, reference
from flightwatch.places import Airports
from flightwatch.rarity import Baseline
from flightwatch.rarity.baseline import Record
from flightwatch.rarity.coverage import Coverage
from flightwatch.records import (
    LEGS,
    Aircraft,
    Event,
    Finding,
    Held,
    Rarity,
    RuleReference,
    utc,
)
from flightwatch.rules import Rule, codes_of, has_expired
from flightwatch.rules.columns import Flags, Ints
from flightwatch.rules.filtering import possible
from flightwatch.rules.language import Condition, conditions
from flightwatch.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Happening:
    """An event that a rule holds for, and the one of its aircraft that the rule is about."""

    rule: RuleReference
    event: Event
    everybody: tuple[Aircraft, ...]
    first: Aircraft
    held: tuple[Held, ...]

    @property
    def key(self) -> tuple[str, str]:
        return self.rule.rule_id, self.event.event_id


@dataclass(frozen=True)
class Backtest:
    """What rules would have found: `findings` in visits, in order of time, and `happenings` in events. `silent` are those
    (rule, and visit or event) of which nobody would have heard, because the rule was cooling down. `since` and `until`
    bound the legs that were looked at, of which there were `legs`. `unsearched` are codes of which
    nobody knows who sent them before a time, or ever. `in_full` gives a finding with the visits before it and
    how rare it was, `rarity` the latter alone: both take longer than to find it, and need the store to be open."""

    rules: tuple[Rule, ...]
    findings: tuple[Finding, ...]
    happenings: tuple[Happening, ...]
    silent: frozenset[tuple[str, str]]
    since: datetime
    until: datetime
    legs: int
    unsearched: Mapping[str, datetime | None]
    in_full: Callable[[Finding], Finding]
    rarity: Callable[[Finding], tuple[Rarity, ...]]


def backtest(store: Store, pipeline: Pipeline, since: datetime | None = None, until: datetime | None = None) -> Backtest:
    """Judges what a store has of a span of time by the rules of a pipeline."""
    with store.catalog.standing_still():  # legs are read twice, by their numbers
        gathered = gather(store.legs.pieces(), pipeline, store.legs.count())
        wanted = gathered.between(since, until)
        legs = int(wanted.sum())
        first, last = map(utc, gathered.times.bounds()) if len(gathered) else (newest(store), newest(store))
        now = max(newest(store), last)
        begins = since or (first if legs else now)
        asked = _asked(pipeline, gathered, wanted)
        with second_judge(len(asked)) as other:
            task = _task(store, pipeline, gathered, wanted, asked, now)
            gathered = gathered.without_times()
            found = judge(task, other)
            del task
    findings = tuple(sorted(found, key=lambda f: (found_at(f), f.key)))
    happenings = tuple(_happenings(store, pipeline, gathered, since, until))
    history = _history(store, pipeline, gathered, sorted(asked))
    return Backtest(
        rules=tuple(pipeline.rules),
        findings=findings,
        happenings=happenings,
        silent=_silent([*_visits_told(findings), *_events_told(happenings)]),
        since=begins,
        until=until or now,
        legs=legs,
        unsearched=store.events.unsearched(codes_of(pipeline.rules), begins),
        in_full=lambda finding: pipeline.with_history(history(), finding),
        rarity=lambda finding: pipeline.rarity_of(history(), finding),
    )


def found_at(finding: Finding) -> datetime:
    """When the flight that a finding is about was over, as far as known. An alert of it may have come before."""
    leg = finding.there.arrival
    time = leg.last_seen or leg.destination.time or leg.origin.time
    assert time is not None  # a leg has at least one of them
    return time


def _asked(pipeline: Pipeline, gathered: Gathered, wanted: Flags) -> dict[int, list[Rule]]:
    """The journeys (by their first leg) that rules may find something in, and which rules."""
    asked: dict[int, list[Rule]] = {}
    told = wanted & gathered.columns.past.counted

    def journeys_of(rule: Rule) -> Ints:
        rows = possible(rule, gathered.columns)
        return np.unique(gathered.columns.first[rows[told[rows]]])

    with ThreadPoolExecutor(THREADS) as pool:
        for rule, firsts in zip(pipeline.rules, pool.map(journeys_of, pipeline.rules), strict=True):
            for first in firsts.tolist():
                asked.setdefault(first, []).append(rule)
    return asked


def _task(
    store: Store, pipeline: Pipeline, gathered: Gathered, wanted: Flags, asked: Mapping[int, Sequence[Rule]], now: datetime
) -> Task:
    """All that it takes to judge the journeys that rules may find something in. History is counted while legs are read."""
    counts = _counts(asked)
    own = gathered.flights_of(counts.pop(FLIGHTS, np.empty(0, np.int64)))
    firsts = np.array(sorted(asked), np.int64)
    begins, ends = gathered.spans(firsts)
    with ThreadPoolExecutor(1) as another:
        counting = another.submit(_record, pipeline, gathered, counts, own)
        telling = another.submit(_journeys, pipeline, gathered, asked, firsts, begins, ends)
        known = _known(store, gathered, each_once(np.concatenate([_ranges(begins, ends), own]), len(gathered)))
    return Task(
        airports=pipeline.airports,
        rules=pipeline.rules,
        exposures=pipeline.exposures(),
        record=_readable(counting.result(), own, known),
        known=known,
        told=known.numbers[(wanted & gathered.columns.past.counted)[known.numbers]],
        asked=telling.result(),
        now=now,
    )


def _known(store: Store, gathered: Gathered, rows: Ints) -> Known:
    """Some legs (in order), but for those that are damaged. What is gathered is not read once more."""
    wanted, had = gathered.numbers(rows), gathered.told(rows)
    numbers, read = store.legs.rows(np.sort(wanted), [name for name in LEGS.names if name not in had])
    kept = np.isin(wanted, numbers)
    at = pa.array(np.searchsorted(numbers, wanted[kept]))
    columns = {name: read[name].take(at) for name in read.column_names}
    columns |= {name: column.filter(pa.array(kept)) for name, column in had.items()}
    return Known(rows[kept], pa.table([columns[name] for name in LEGS.names], schema=LEGS))


def _record(pipeline: Pipeline, gathered: Gathered, counts: Mapping[str, Ints], own: Ints) -> Record:
    """What history counts for some journeys (`counts`), and all flights of those whose flights rules look at (`own`)."""
    visits = [gathered.visits_of(of, firsts, pipeline) for of, firsts in counts.items()]
    return gathered.record(each_once(np.concatenate([own, *visits]), len(gathered)), pipeline, lambda _: [])


def _readable(record: Record, own: Ints, known: Known) -> Record:
    """One that reads legs from what is known, without those of `own` that are damaged."""
    damaged = own[~np.isin(own, known.numbers)]
    return replace(record, columns=record.columns.take(~np.isin(record.columns.row, damaged)), legs=known.read)


def _journeys(
    pipeline: Pipeline, gathered: Gathered, asked: Mapping[int, Sequence[Rule]], firsts: Ints, begins: Ints, ends: Ints
) -> list[Asked]:
    """Some journeys (`firsts`), with who flew them and the rules that may find something."""
    overs = np.searchsorted(gathered.columns.first, firsts, side="right")
    spans = zip(firsts.tolist(), overs.tolist(), begins.tolist(), ends.tolist(), strict=True)
    return [Asked(*span, gathered.person(pipeline, *span[:2]), asked[span[0]]) for span in spans]


def _history(store: Store, pipeline: Pipeline, gathered: Gathered, firsts: Sequence[int]) -> Callable[[], State]:
    """What tells how rare findings in some journeys were, put together when it is asked for."""

    @cache
    def state() -> State:
        rows = gathered.told_of(np.array(firsts, np.int64), pipeline)
        record = gathered.record(rows, pipeline, lambda _: [])
        return State(Baseline.of(pipeline.airports, record, pipeline.exposures(), lambda: _coverage(store, pipeline.airports)))

    return state


FLIGHTS = "flights"
"""Stands beside the subjects of visits for conditions that look at the aircraft's own flights."""


def _counts(asked: Mapping[int, Sequence[Rule]]) -> dict[str, Ints]:
    """The journeys for which history is counted, by what is counted."""
    rules = {rule.id: rule for several in asked.values() for rule in several}
    counted = {name: {of for part in conditions(rule.when) for of in _counted_by(part)} for name, rule in rules.items()}
    found: dict[str, list[int]] = {}
    for first, several in asked.items():
        for of in set().union(*(counted[rule.id] for rule in several)):
            found.setdefault(of, []).append(first)
    return {of: np.array(firsts, np.int64) for of, firsts in found.items()}


def _counted_by(part: Condition) -> list[str]:
    looks = part.dormant or part.first_seen or part.after or (part.visits and part.visits.of == "tail")
    return [*subjects_of(part), *([FLIGHTS] if looks else [])]


def _ranges(begins: Ints, ends: Ints) -> Ints:
    """All rows from some beginnings to below their ends."""
    many = ends - begins
    return np.asarray(np.arange(many.sum()) + np.repeat(begins - np.cumsum(many) + many, many))


def _coverage(store: Store, airports: Airports) -> Coverage:
    """Where traffic is seen, as all legs of a store tell."""
    coverage = Coverage()
    for piece in store.legs.pieces():
        try:
            tracked = pc.equal(piece.read(["source"])["source"].cast(pa.string()), "tracked")
            if pc.any(tracked).as_py():
                legs = piece.read(LEGS.names).filter(tracked).cast(LEGS)
                coverage = coverage.changed(legs, LEGS.empty_table(), airports)
        except Damaged as error:
            log.error("%s", error)
    return coverage


Told = tuple[datetime, tuple[str, str], Aircraft, float]
"""When something was found, its key, of whom, and for how long (s) the rule cools down after that."""


def _visits_told(findings: Iterable[Finding]) -> list[Told]:
    return [(found_at(f), f.key, f.aircraft, f.rule.cooldown_s) for f in findings]


def _events_told(happenings: Iterable[Happening]) -> list[Told]:
    return [(h.event.since, h.key, h.first, h.rule.cooldown_s) for h in happenings]


def _silent(found: Sequence[Told]) -> frozenset[tuple[str, str]]:
    """What would have told nobody, because the rule had told of the same aircraft a short while before, if each alert had come
    when the flight was over, or the event began."""
    last: dict[tuple[str, str], datetime] = {}
    silent = set()
    for time, key, aircraft, cooldown_s in sorted((f for f in found if f[3]), key=lambda f: (f[0], f[1])):
        whose = (key[0], aircraft.icao24 or aircraft.registration or "")
        before = last.get(whose)
        if before is not None and time - before <= timedelta(seconds=cooldown_s):
            silent.add(key)
        else:
            last[whose] = time
    return frozenset(silent)


def _happenings(
    store: Store, pipeline: Pipeline, gathered: Gathered, since: datetime | None, until: datetime | None
) -> Iterator[Happening]:
    """What rules about events find."""
    asking = [rule for rule in pipeline.rules if rule.subject == "event"]
    events = store.events.between(since, until) if asking else []
    there = list(dict.fromkeys((name, event.until) for event in events for name in event.aircraft))
    said = dict(zip(there, gathered.said(there), strict=True))
    for event in events:
        everybody = pipeline.everybody(event, partial(_says, said, event))
        for rule in asking:
            if not has_expired(rule, event.since):
                found = pipeline.asked_of_event(rule, event, everybody)
                if found.truth:
                    yield Happening(reference(rule), event, everybody, pipeline.foremost(rule, everybody), found.held)


def _says(said: Mapping[tuple[str, datetime], Says], event: Event, name: str) -> Says:
    return said[name, event.until]
