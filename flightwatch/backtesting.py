"""What rules would have found in what is stored: the legs of a store, judged as live judges them.

In: a store, a pipeline with rules, a span of time. Out: what they find, with the same evidence. Legs come in as columns
first; `rules.filtering` leaves those that a rule may hold for, these alone are read whole and go through
`Pipeline.judge_journey`, against the history of those whom that can ask about. Legs are taken as they stand: what an alert
said while a flight was under way, and took back, is not in them. Flights of a list are judged, too, unless positions or
another list tell of them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flightwatch.backfill import newest
from flightwatch.errors import Damaged
from flightwatch.legs.journeys import journeys
from flightwatch.pipeline import Pipeline, State, reference
from flightwatch.places import Airports
from flightwatch.rarity import Baseline
from flightwatch.rarity.baseline import ADDRESS
from flightwatch.rarity.coverage import Coverage
from flightwatch.records import (
    LEGS,
    Aircraft,
    Event,
    Finding,
    Held,
    Leg,
    RuleReference,
    legs_from_table,
    micros,
    utc,
)
from flightwatch.rules import Rule, target_of
from flightwatch.rules.evaluation import evaluate, event_case
from flightwatch.rules.filtering import NO_TIME, NULL, SURE, Codes, Flags, Floats, Ints, LegColumns, Stops, Times, possible
from flightwatch.rules.language import conditions
from flightwatch.store import Store
from flightwatch.store.legs import Piece

Column = NDArray[Any]

log = logging.getLogger(__name__)

DAY_US = 86_400_000_000
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

BATCH = 5_000
"""Journeys whose legs are in memory as records at once."""

CONTEXT_US = 2 * DAY_US
"""Of the aircraft's legs before a journey, those that began within this are read: they may have ended on its first day."""

NAMES = ("icao24", "registration", "typecode", "operator")
TIMES = ("first_seen", "last_seen", *(f"{e}_{t}" for e in ("takeoff", "landing") for t in ("earliest", "time", "latest")))
COLUMNS = (*NAMES, "callsign", "source", "status", "list_order", *TIMES)
ENDS = tuple(f"{end}{part}" for end in ("origin", "destination") for part in ("", "_basis", "_probability"))

DOWN = ("landed", "presumed_landed")


@dataclass(frozen=True)
class Happening:
    """An event that a rule holds for."""

    rule: RuleReference
    event: Event
    everybody: tuple[Aircraft, ...]
    held: tuple[Held, ...]


@dataclass(frozen=True)
class Backtest:
    """What rules would have found: `findings` in visits, in order of time, and `happenings` in events. `silent` are the
    findings (rule and visit) of which nobody would have heard, because the rule was cooling down. `since` and `until`
    bound the legs that were looked at, of which there were `legs`."""

    rules: tuple[Rule, ...]
    findings: tuple[Finding, ...]
    happenings: tuple[Happening, ...]
    silent: frozenset[tuple[str, str]]
    since: datetime
    until: datetime
    legs: int


def backtest(store: Store, pipeline: Pipeline, since: datetime | None = None, until: datetime | None = None) -> Backtest:
    """Judges what a store has of a span of time by the rules of a pipeline."""
    gathered = gather(store.legs.pieces(), pipeline)
    wanted = gathered.between(since, until)
    now = max([newest(store), *([utc(int(gathered.ends.max()))] if len(gathered) else [])])
    findings = tuple(sorted(_findings(store, pipeline, gathered, wanted, now), key=lambda f: (found_at(f), f.key)))
    legs = np.flatnonzero(wanted)
    return Backtest(
        rules=tuple(pipeline.rules),
        findings=findings,
        happenings=tuple(_happenings(store, pipeline, since, until)),
        silent=_silent(findings),
        since=since or (utc(int(gathered.begins[legs].min())) if len(legs) else now),
        until=until or now,
        legs=len(legs),
    )


def found_at(finding: Finding) -> datetime:
    """When the flight that a finding is about was over, as far as known. An alert of it may have come before."""
    leg = finding.there.arrival
    time = leg.last_seen or leg.destination.time or leg.origin.time
    assert time is not None  # a leg has at least one of them
    return time


def _findings(store: Store, pipeline: Pipeline, gathered: Gathered, wanted: Flags, now: datetime) -> Iterator[Finding]:
    asked = _asked(pipeline, gathered, wanted)
    if not asked:
        return
    journeys_asked = np.array(sorted(asked))
    spans = {first: gathered.span(first) for first in sorted(asked)}
    numbers, table = store.legs.rows(np.sort(gathered.numbers[gathered.history_of(journeys_asked, pipeline)]))
    state = State(Baseline(pipeline.airports, table, pipeline.exposures(), _coverage(store, pipeline.airports)))
    counted = np.zeros(len(table), bool)  # without flights that are told twice
    counted[state.baseline.columns.row] = True
    for firsts in np.array_split(journeys_asked, len(journeys_asked) // BATCH + 1):
        rows = np.unique(np.concatenate([np.arange(*spans[first]) for first in firsts.tolist()]))
        rows = rows[np.isin(gathered.numbers[rows], numbers)]
        at = np.searchsorted(numbers, gathered.numbers[rows])
        legs = dict(zip(rows.tolist(), legs_from_table(table.take(pa.array(at))), strict=True))
        told = dict(zip(rows.tolist(), (counted[at] & wanted[rows]).tolist(), strict=True))
        for first in firsts.tolist():
            around = {row: legs[row] for row in range(*spans[first]) if row in legs}
            chosen = {legs[row].leg_id for row in gathered.journey(first) if told.get(row)}
            own = [around[row] for row in gathered.journey(first) if row in around]
            for journey in journeys(own):
                who = gathered.person(pipeline, first, journey.legs)
                found = pipeline.judge_journey(state, who, tuple(around.values()), journey, asked[first], now)
                yield from (finding for finding in found if finding.there.arrival.leg_id in chosen)


def _asked(pipeline: Pipeline, gathered: Gathered, wanted: Flags) -> dict[int, list[Rule]]:
    """The journeys (by their first leg) that rules may find something in, and which rules."""
    asked: dict[int, list[Rule]] = {}
    for rule in pipeline.rules:
        rows = possible(rule, gathered.columns, pipeline.airports)
        for first in np.unique(gathered.columns.first[rows[wanted[rows]]]).tolist():
            asked.setdefault(first, []).append(rule)
    return asked


def _coverage(store: Store, airports: Airports) -> Coverage:
    """Where traffic is seen, as all legs of a store tell."""
    parts = [LEGS.empty_table()]
    for piece in store.legs.pieces():
        try:
            tracked = pc.equal(piece.read(["source"])["source"].cast(pa.string()), "tracked")
            if pc.any(tracked).as_py():
                parts.append(piece.read(LEGS.names).filter(tracked).cast(LEGS))
        except Damaged as error:
            log.error("%s", error)
    return Coverage().changed(pa.concat_tables(parts), LEGS.empty_table(), airports)


def _silent(findings: Sequence[Finding]) -> frozenset[tuple[str, str]]:
    """The findings that would have told nobody, because their rules had told of the same aircraft a short while before, if
    each alert had come when its flight was over."""
    last: dict[tuple[str, str], datetime] = {}
    silent = set()
    for finding in findings:
        key = (finding.rule.rule_id, finding.aircraft.icao24 or finding.aircraft.registration or "")
        before = last.get(key)
        if before is not None and found_at(finding) - before <= timedelta(seconds=finding.rule.cooldown_s):
            silent.add(finding.key)
        else:
            last[key] = found_at(finding)
    return frozenset(silent) if any(f.rule.cooldown_s for f in findings) else frozenset()


def _happenings(store: Store, pipeline: Pipeline, since: datetime | None, until: datetime | None) -> Iterator[Happening]:
    """What rules about events find."""
    asking = [rule for rule in pipeline.rules if rule.subject == "event"]
    for event in store.events.between(since, until) if asking else ():
        everybody = tuple(pipeline.registry.who(address, event.since.date()) for address in event.aircraft)
        case = event_case(event, everybody, pipeline.airports)
        for rule in asking:
            if rule.expires is None or event.since.date() < rule.expires:
                found = evaluate(rule.when, case)
                if found.truth:
                    yield Happening(reference(rule), event, everybody, found.held)


# ------------------------------------------------------------------------------------------------------------------ columns


@dataclass(frozen=True)
class Gathered:
    """The legs of a store as columns, those of one aircraft and source together and in order: what positions tell of, and
    what each list does. `numbers` are those of the stored legs; names of aircraft, operators and types are numbers into
    `words` (-1: null); `lead` are the leading airports of the ends, as `LegColumns` numbers them; `begins` and `ends` bound
    when a leg was under way; `source` is 0 for tracked legs, else a number for the list."""

    columns: LegColumns
    numbers: Ints
    words: Sequence[str]
    aircraft: Codes
    operator: Codes
    typecode: Codes
    source: Codes
    lead: Codes
    begins: Ints
    ends: Ints

    def __len__(self) -> int:
        return len(self.numbers)

    def between(self, since: datetime | None, until: datetime | None) -> Flags:
        """The legs that were under way in a span of time."""
        wanted = np.ones(len(self), bool)
        if since is not None:
            wanted &= self.ends >= micros(since)
        if until is not None:
            wanted &= self.begins <= micros(until)
        return wanted

    def journey(self, first: int) -> range:
        """The legs of the journey that begins with one."""
        return range(first, int(np.searchsorted(self.columns.first, first, side="right")))

    def span(self, first: int) -> tuple[int, int]:
        """The legs that must be known to judge a journey: those just before it, its own, and the next one."""
        last = self.journey(first)[-1]
        begin, who = first, (self.aircraft[first], self.source[first])
        while begin and (self.aircraft[begin - 1], self.source[begin - 1]) == who and self._is_near(begin - 1, first):
            begin -= 1
        return begin, last + 1 + int(self.columns.next[last] != NULL)

    def _is_near(self, earlier: int, first: int) -> bool:
        return bool(self.begins[earlier] >= self.begins[first] - CONTEXT_US)

    def person(self, pipeline: Pipeline, first: int, legs: Sequence[Leg]) -> Aircraft:
        """Who flew a journey."""
        callsigns = tuple(dict.fromkeys(leg.callsign for leg in legs if leg.callsign))
        name, leg = self.words[self.aircraft[first]], legs[-1]
        return _person(
            pipeline, name, bool(self.source[first]), leg.registration, leg.typecode, leg.operator, _day(leg), callsigns
        )

    def history_of(self, firsts: Ints, pipeline: Pipeline) -> Flags:
        """The legs that history can be asked about for some journeys: of their aircraft, of the fleets and, where a rule
        asks for it, the types of these, and of all who ever came to the places in question."""
        of_journey = np.zeros(len(self), bool)
        of_journey[firsts] = True
        mine = of_journey[self.columns.first]
        asked = [part for rule in pipeline.rules for part in conditions(rule.when)]
        told = [part.rarity or part.first_visit or part.visits for part in asked]
        kinds = {condition.of for condition in told if condition is not None}
        chosen = np.zeros(len(self.words) + 1, bool)
        chosen[self.aircraft[mine]] = True
        for column in (self.operator, *([self.typecode] if "type" in kinds else [])):
            theirs = np.zeros(len(self.words) + 1, bool)
            theirs[column[mine]] = True
            theirs[NULL] = False
            chosen[self.aircraft[theirs[column]]] = True
        chosen[self.aircraft[self._places(mine, pipeline, "anybody" in kinds)[self.lead[len(self) :]]]] = True
        return np.asarray(chosen[self.aircraft])

    def _places(self, mine: Flags, pipeline: Pipeline, whole_countries: bool) -> Flags:
        """The places, by their codes, that anybody's visits to may be asked about: those that rules name, and where the
        journeys led."""
        codes, table = self.columns.codes, pipeline.airports
        named = [target_of(rule) for rule in pipeline.rules if rule.subject != "event"]
        there = np.zeros(len(codes) + 1, bool)
        if any(not (target.airports or target.countries) for target in named):
            rows = np.flatnonzero(mine)
            following = self.columns.next[rows]
            there[self.lead[rows + len(self)]] = True
            there[self.lead[following[following != NULL]]] = True
        airports = {a for target in named for a in target.airports}
        countries = {c for target in named for c in target.countries}
        if whole_countries:
            countries |= {c for i in np.flatnonzero(there[:-1]).tolist() if (c := table.country_of(codes[i])) is not None}
        there[:-1] |= [code in airports or table.country_of(code) in countries for code in codes]
        there[NULL] = False
        return there


def _person(
    pipeline: Pipeline,
    name: str,
    listed: bool,
    registration: str | None,
    typecode: str | None,
    operator: str | None,
    day: date,
    callsigns: Sequence[str] | None,
) -> Aircraft:
    """Who it is on a day, without callsigns with lists that go by them undecided. Tracked legs say what was known when they
    were made; lists often leave out what others know."""
    address = name if ADDRESS.fullmatch(name) else (pipeline.registry.address(name, day) or "")
    if listed:
        known = pipeline.registry.who(
            address, day, registration=registration, typecode=typecode, operator=operator, callsigns=callsigns
        )
        registration, typecode = registration or known.registration, typecode or known.typecode
        operator = operator or known.operator
    return pipeline.identify(address, day, registration, typecode, operator, callsigns)


def _day(leg: Leg) -> date:
    time = leg.first_seen or leg.origin.time or leg.destination.time
    assert time is not None  # a leg has at least one of them
    return time.date()


def gather(pieces: Iterable[Piece], pipeline: Pipeline) -> Gathered:
    """Reads the columns of stored legs that the pipeline's rules need."""
    timed = any(part.time or part.duration for rule in pipeline.rules for part in conditions(rule.when))
    heap = _Heap(timed)
    for piece in pieces:
        try:
            heap.take(piece)
        except Damaged as error:
            log.error("%s", error)
    return heap.gathered(pipeline)


class _Vocabulary(dict[str, int]):
    """Numbers for words, in the order in which they come."""

    def codes(self, column: pa.ChunkedArray) -> Codes:
        """The numbers of a column of words; -1 for null."""
        encoded = column.combine_chunks()
        encoded = encoded if pa.types.is_dictionary(encoded.type) else encoded.dictionary_encode()
        table = [NULL if w is None else self.setdefault(w, len(self)) for w in encoded.dictionary.to_pylist()]
        at = pc.fill_null(encoded.indices, len(table)).to_numpy(zero_copy_only=False)
        return np.asarray(np.array([*table, NULL], np.int32)[at])


class _Heap:
    """Columns as they are read, piece by piece."""

    def __init__(self, timed: bool) -> None:
        self._timed = timed
        self._words, self._callsigns, self._codes = _Vocabulary(), _Vocabulary(), _Vocabulary()
        self._parts: dict[str, list[Column]] = {}
        self._spread: list[tuple[Ints, Codes, Floats]] = []
        self._size = 0

    def take(self, piece: Piece) -> None:
        table = piece.read([*COLUMNS, *ENDS])
        listed = np.asarray(pc.equal(table["source"].cast(pa.string()), "listed"))
        times = {name: _times(table[name]) for name in TIMES}
        begins = _first(times, "first_seen", "takeoff_time", "landing_time")
        columns: dict[str, Column] = {name: self._words.codes(table[name]) for name in NAMES}
        columns |= {
            "number": piece.numbers,
            "callsign": self._callsigns.codes(table["callsign"]),
            "list": np.where(listed, piece.file + 1, 0).astype(np.int32),
            "order": pc.fill_null(table["list_order"], 0).to_numpy(zero_copy_only=False).astype(np.int32),
            "journey": np.zeros(len(table), np.uint64) if listed.all() else _hashes(piece.read(["journey_id"])["journey_id"]),
            "departed": _first(times, "takeoff_time", "first_seen", "landing_time"),
            "begins": begins,
            "ends": _first(times, "last_seen", "landing_time", "takeoff_time"),
        }
        if self._timed:
            columns |= {**times, "down": np.isin(table["status"].cast(pa.string()).to_pylist(), DOWN)}
        for end in ("origin", "destination"):
            columns |= self._end(piece, table, end)
        for name, column in columns.items():
            self._parts.setdefault(name, []).append(column)
        self._size += len(table)

    def _end(self, piece: Piece, table: pa.Table, end: str) -> dict[str, Column]:
        """Leading airports; the candidates of ends that none leads with `SURE` are kept beside."""
        lead = self._codes.codes(table[end])
        probability = pc.fill_null(table[f"{end}_probability"], 0.0).to_numpy(zero_copy_only=False)
        sure = (lead != NULL) & (probability >= SURE)
        spread = np.flatnonzero(~sure & ((lead != NULL) | (probability > 0)))
        if len(spread):
            written = piece.read([f"{end}_candidates"])[f"{end}_candidates"].take(pa.array(spread)).combine_chunks()
            of = spread[np.asarray(pc.list_parent_indices(written))]
            flat = written.flatten()
            codes = self._codes.codes(pa.chunked_array([flat.field("airport")]))
            chances = np.asarray(flat.field("probability"), dtype=np.float64)
            at_end = (of + self._size) * 2 + (end == "destination")
            self._spread.append((at_end, codes, chances))
        observed = np.asarray(pc.equal(table[f"{end}_basis"].cast(pa.string()), "observed"))
        return {f"{end}_lead": lead, f"{end}_sure": np.where(sure, lead, NULL).astype(np.int32), f"{end}_observed": observed}

    def gathered(self, pipeline: Pipeline) -> Gathered:
        if not self._size:
            return _nothing()
        raw = {name: np.concatenate(self._parts.pop(name)) for name in list(self._parts)}
        words, size = list(self._words), self._size
        aircraft = _identities(raw["icao24"], raw["registration"], raw["departed"], len(words))
        group = aircraft.astype(np.int64) * (int(raw["list"].max()) + 1) + raw["list"]
        order = np.lexsort((raw["number"], raw["order"])) if raw["order"].any() else np.arange(size)
        for key in (raw["departed"], group):
            order = order[np.argsort(key[order], kind="stable")]
        aircraft, group = aircraft[order], group[order]
        raw = {name: raw.pop(name)[order] for name in list(raw)}
        same = group[1:] == group[:-1]
        stayed = (raw["list"][1:] == 0) | (
            (raw["origin_lead"][1:] == raw["destination_lead"][:-1]) & (raw["origin_lead"][1:] != NULL)
        )  # a list need not have all flights: what follows begins where the one before ended
        following = np.append(np.where(same & stayed, np.arange(1, size), NULL), NULL)
        goes_on = np.append(False, same & (raw["journey"][1:] == raw["journey"][:-1]) & (raw["list"][1:] == 0))
        first = np.maximum.accumulate(np.where(goes_on, 0, np.arange(size)))
        people, who = _people(pipeline, raw, words, aircraft, first)
        times = None
        if self._timed:
            takeoff, landing = (
                (raw[f"{event}_earliest"], raw[f"{event}_time"], raw[f"{event}_latest"]) for event in ("takeoff", "landing")
            )
            times = Times(raw["first_seen"], raw["last_seen"], takeoff, landing, raw["down"])
        columns = LegColumns(
            people=people,
            aircraft=who,
            callsigns=list(self._callsigns),
            callsign=raw["callsign"],
            codes=list(self._codes),
            first=first,
            next=following,
            ends=self._stops(raw, order),
            times=times,
        )
        lead = np.concatenate([raw["origin_lead"], raw["destination_lead"]])
        return Gathered(
            columns,
            raw["number"],
            words,
            aircraft,
            raw["operator"],
            raw["typecode"],
            raw["list"],
            lead,
            raw["begins"],
            raw["ends"],
        )

    def _stops(self, raw: Mapping[str, Column], order: Ints) -> Stops:
        """The ends of all legs in their order: origins, then destinations."""
        sure, observed = (np.concatenate([raw[f"origin_{n}"], raw[f"destination_{n}"]]) for n in ("sure", "observed"))
        none: tuple[Ints, Codes, Floats] = (np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0))
        at, candidate, chance = (np.concatenate(parts) for parts in zip(none, *self._spread, strict=True))
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        end = place[at // 2] + (at % 2) * len(order)
        by_end = np.argsort(end, kind="stable")
        spread, of = np.unique(end[by_end], return_inverse=True)
        return Stops(sure, observed, spread, of, candidate[by_end], chance[by_end])


def _identities(address: Codes, registration: Codes, departed: Ints, size: int) -> Codes:
    """Who flew each leg, as the baseline has it: the address, else the one that its registration was known under last."""
    known = np.arange(size + 1, dtype=np.int32)
    both = np.flatnonzero((address != NULL) & (registration != NULL))
    both = both[np.argsort(departed[both], kind="stable")]
    known[registration[both]] = address[both]  # of several, the last one stays
    return np.where(address != NULL, address, known[registration])


def _people(
    pipeline: Pipeline, raw: Mapping[str, Column], words: Sequence[str], aircraft: Codes, first: Ints
) -> tuple[list[Aircraft], Codes]:
    """Who flew, as the last leg of each journey says and lists have it on that day: everybody once, and a number into that
    for each leg."""
    size = len(aircraft)
    last = np.append(np.flatnonzero(np.diff(first)), size - 1)
    day = (raw["begins"][last] // DAY_US).astype(np.int64)
    columns = [aircraft[last], raw["registration"][last], raw["typecode"][last], raw["operator"][last], raw["list"][last] > 0]
    columns.append(_spans(pipeline, words, aircraft[last], day))
    key = np.zeros(len(last), np.int64)
    for column in columns:
        key = pd.factorize(key * (int(column.max()) + 2) + column + 1)[0].astype(np.int64)
    found = np.unique(key, return_index=True)[1]

    def word(number: int) -> str | None:
        return None if number == NULL else words[number]

    people = []
    for row in found.tolist():
        name, registration, typecode, operator, listed = (int(column[row]) for column in columns[:5])
        on = date.fromordinal(int(day[row]) + EPOCH_ORDINAL)
        people.append(_person(pipeline, words[name], bool(listed), word(registration), word(typecode), word(operator), on, None))
    of_journey = np.repeat(key, np.diff(np.append(np.unique(first), size)))
    return people, of_journey.astype(np.int32)


def _spans(pipeline: Pipeline, words: Sequence[str], aircraft: Codes, day: Ints) -> Ints:
    """For each of some days the number of the span in which the same is known of its aircraft."""
    span = np.zeros(len(aircraft), np.int64)
    order = np.argsort(aircraft, kind="stable")
    for mine in np.split(order, np.flatnonzero(np.diff(aircraft[order])) + 1):
        name = words[aircraft[mine[0]]]
        turns = [turn.toordinal() - EPOCH_ORDINAL for turn in pipeline.registry.turns(name if ADDRESS.fullmatch(name) else "")]
        if turns:
            span[mine] = np.searchsorted(turns, day[mine], side="right")
    return span


def _times(column: pa.ChunkedArray) -> Ints:
    whole = pc.fill_null(column.cast(pa.int64()), NO_TIME)
    return np.asarray(whole.to_numpy(zero_copy_only=False), dtype=np.int64)


def _first(times: Mapping[str, Ints], *names: str) -> Ints:
    """The first of some times that is known."""
    found = times[names[-1]]
    for name in reversed(names[:-1]):
        found = np.where(times[name] == NO_TIME, found, times[name])
    return found


def _hashes(column: pa.ChunkedArray) -> Column:
    """A number for each word. Two words that shared one would have to follow each other for it to matter."""
    encoded = column.combine_chunks()
    encoded = encoded if pa.types.is_dictionary(encoded.type) else encoded.dictionary_encode()
    hashes = pd.util.hash_array(np.array(encoded.dictionary.to_pylist(), dtype=object), categorize=False)
    return np.asarray(hashes[encoded.indices.to_numpy(zero_copy_only=False)])


def _nothing() -> Gathered:
    ints, codes = np.empty(0, np.int64), np.empty(0, np.int32)
    stops = Stops(codes, np.empty(0, bool), ints, ints, codes, np.empty(0))
    columns = LegColumns((), codes, (), codes, (), ints, ints, stops, None)
    return Gathered(columns, ints, (), codes, codes, codes, codes, codes, ints, ints)
