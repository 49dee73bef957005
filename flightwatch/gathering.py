"""The legs of a store as columns, gathered for a backtest: everything that filters ask of millions of legs, in arrays.

In: the stored legs piece by piece, a pipeline. Out: `Gathered`, the legs of one aircraft and source together and in order,
with who they are, where they may have begun and ended, and what is on record before them. No leg is made an object here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flightwatch.errors import Damaged
from flightwatch.legs import Says
from flightwatch.pipeline import Pipeline
from flightwatch.places import Airports
from flightwatch.rarity.baseline import ADDRESS, Columns, Exposure, Record, in_order, moved, places_of, told_twice
from flightwatch.records import TIME, Aircraft, Leg, micros
from flightwatch.rules import may_have_flown, target_of
from flightwatch.rules.columns import (
    DAY_US,
    EVERY,
    NO_TIME,
    NOT_ONE,
    NULL,
    SURE,
    Codes,
    Flags,
    Floats,
    Ints,
    LegColumns,
    Moments,
    Past,
    Stops,
    Times,
    first_known,
    or_1970,
)
from flightwatch.rules.language import Condition, Of, PositionCondition, conditions
from flightwatch.store.legs import Piece

Column = NDArray[Any]

log = logging.getLogger(__name__)

EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

DAY_BITS = 20
"""What days since 1970 take at most."""

THREADS = 2
"""Arrays are worked on by so many at once: each takes memory of its own."""

SECOND_US, SECONDS_BITS = 1_000_000, 33
"""Seconds since 1970 fit into so many bits until the year 2242."""

SOME = 1 << 20
"""Legs that are numbered at once, where numbers of all would take as much memory as another column."""

CONTEXT_US = 2 * DAY_US
"""Of the aircraft's legs before a journey, those that began within this are read: they may have ended on its first day."""

NAMES = ("icao24", "registration", "typecode", "operator")
ENDS = tuple(f"{end}{part}" for end in ("origin", "destination") for part in ("", "_basis", "_probability"))
LIKELY = ("first_seen", "last_seen", "takeoff_time", "landing_time", "landing_earliest", "landing_latest")
OTHERS = ("takeoff_earliest", "takeoff_latest")
COLUMNS = (*NAMES, "callsign", "source", "feeds", "list_order", *LIKELY, *ENDS)

DOWN = ("landed", "presumed_landed")


@dataclass(frozen=True)
class Gathered:
    """The legs of a store as columns, those of one aircraft and source together and in order: what positions tell of, and
    what each list does. Names of aircraft, operators and types are numbers into `words` (-1: null); `identity` are numbers into
    `identities`: address, registration, type and operator that legs tell of. `lead` are the leading airports of the ends, as
    `LegColumns` numbers them; `source` is 0 for tracked legs, else a number for the list. `stored` are the numbers of the
    stored legs in their order."""

    columns: LegColumns
    stored: Ints
    words: Sequence[str]
    aircraft: Codes
    identity: Codes
    identities: Codes
    source: Codes
    lead: Codes
    registrations: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def times(self) -> Moments:
        """When they were under way."""
        return self.columns.past.times

    def numbers(self, rows: Ints) -> Ints:
        """The numbers of some of the stored legs."""
        return self.stored[self.times.place[rows]]

    def told(self, rows: Ints) -> dict[str, pa.Array]:
        """What is gathered of some legs, as columns of `LEGS`."""
        said, columns = self.identities[self.identity[rows]], self.columns
        texts = {name: (self.words, said[:, number]) for number, name in enumerate(NAMES)}
        texts["callsign"] = columns.callsigns, columns.callsign[rows]
        texts |= {"origin": (columns.codes, self.lead[rows]), "destination": (columns.codes, self.lead[rows + len(self)])}
        moments = self.times
        times = {"first_seen": moments.first_seen, "last_seen": moments.last_seen}
        times |= {"takeoff_time": moments.takeoff, "landing_time": moments.landing}
        if columns.times is not None:
            for event, (earliest, _, latest) in (("takeoff", columns.times.takeoff), ("landing", columns.times.landing)):
                times |= {f"{event}_earliest": earliest, f"{event}_latest": latest}
        place = moments.place[rows]
        return {
            **{name: pa.array(words, pa.string()).take(pa.array(at, mask=at == NULL)) for name, (words, at) in texts.items()},
            **{name: pa.array(time[place], mask=time[place] == NO_TIME).cast(TIME) for name, time in times.items()},
        }

    def without_times(self) -> Gathered:
        """Without what only the filter needs."""
        return replace(self, columns=replace(self.columns, times=None))

    def between(self, since: datetime | None, until: datetime | None) -> Flags:
        """The legs that were under way in a span of time."""
        wanted = np.ones(len(self), bool)
        if since is not None:
            wanted &= self.times.ended(EVERY) >= micros(since)
        if until is not None:
            wanted &= self.times.began(EVERY) <= micros(until)
        return wanted

    def journey(self, first: int) -> range:
        """The legs of the journey that begins with one."""
        return range(first, int(np.searchsorted(self.columns.first, first, side="right")))

    def spans(self, firsts: Ints) -> tuple[Ints, Ints]:
        """The legs that must be known to judge each of some journeys, from one to below another: those just before it, its
        own, and the next one."""
        last = np.searchsorted(self.columns.first, firsts, side="right") - 1
        begins, going = firsts.copy(), np.arange(len(firsts))
        while len(going):
            going = going[begins[going] > 0]
            earlier, first = begins[going] - 1, firsts[going]
            same = (self.aircraft[earlier] == self.aircraft[first]) & (self.source[earlier] == self.source[first])
            going = going[same & (self.times.began(earlier) >= self.times.began(first) - CONTEXT_US)]
            begins[going] -= 1
        return begins, last + 1 + (self.columns.next[last] != NULL)

    def person(self, pipeline: Pipeline, first: int, over: int) -> Aircraft:
        """Who flew the journey of the legs from one to below another."""
        known: Aircraft = self.columns.people[self.columns.aircraft[first]]
        if not known.undecided:
            return known
        used = dict.fromkeys(self.columns.callsign[first:over].tolist())
        callsigns = [self.columns.callsigns[number] for number in used if number != NULL and self.columns.callsigns[number]]
        return _person(
            pipeline,
            self.words,
            self.aircraft[first],
            bool(self.source[first]),
            self.identities[self.identity[over - 1]],
            int(self.times.began(np.array([over - 1]))[0]),
            callsigns,
        )

    def said(self, asked: Sequence[tuple[str, datetime]]) -> list[Says]:
        """What each of some aircraft (by address) said of itself by a time: on its last flight that had begun, of those that
        positions tell of."""
        names = {name for name, _ in asked}
        number = {word: n for n, word in enumerate(self.words) if word in names}
        whose = np.array([number.get(name, NULL) for name, _ in asked], dtype=np.int64)
        theirs = np.zeros(len(self.words) + 1, bool)  # the last one is that of null
        theirs[list(number.values())] = True
        rows = np.flatnonzero(theirs[self.aircraft] & (self.source == 0))
        began = (self.aircraft[rows].astype(np.int64) << SECONDS_BITS) + self.times.began(rows) // SECOND_US
        order = np.argsort(began, kind="stable")
        by = (whose << SECONDS_BITS) + np.array([micros(time) // SECOND_US for _, time in asked], dtype=np.int64)
        at = np.searchsorted(began[order], by, side="right") - 1
        found = rows[order[at]] if len(rows) else at
        known = [i >= 0 and self.aircraft[row] == who for i, row, who in zip(at, found, whose, strict=True)]
        return [self._says(int(row)) if right else Says() for row, right in zip(found, known, strict=True)]

    def _says(self, row: int) -> Says:
        _, registration, typecode, _ = self.identities[self.identity[row]].tolist()
        known, typed = (self.words[n] if n != NULL else None for n in (registration, typecode))
        sent = int(self.columns.callsign[row])
        return Says(known, typed, (self.columns.callsigns[sent] or None) if sent != NULL else None)

    # -------------------------------------------------------------------------------------------------------- what was before

    def flights_of(self, firsts: Ints) -> Ints:
        """All flights of the aircraft of some journeys."""
        return np.flatnonzero(self._names(firsts)[self.aircraft])

    def _names(self, firsts: Ints) -> Flags:
        """Which words name the aircraft of some journeys (a last one for null): what their legs say, and what lists do."""
        flags = np.zeros(len(self.words) + 1, bool)
        flags[self.aircraft[firsts]] = True
        numbers = {word: number for number, word in enumerate(self.words)}
        for person in np.unique(self.columns.aircraft[firsts]).tolist():
            who = self.columns.people[person]
            flags[[numbers[name] for name in (who.icao24, who.registration) if name in numbers]] = True
        flags[NULL] = False
        return flags

    def visits_of(self, of: str, firsts: Ints, pipeline: Pipeline) -> Ints:
        """The legs that are counted of a tail, fleet, type or anybody for some journeys: all flights of a tail, visits to the
        places in question, and the first flight of each aircraft of a fleet."""
        if of == "tail":
            return self.flights_of(firsts)
        visits = self._visits(firsts, pipeline, whole_countries=True)
        if of == "anybody":
            return visits
        number, wanted = self.columns.past.subjects[of]
        asked = np.zeros(len(self.words) + 2, bool)
        who = wanted[self.columns.aircraft[firsts]]
        asked[who[who != NOT_ONE]] = True
        asked[NULL] = False
        visits = visits[asked[number[visits]]]
        return visits if of == "type" else np.concatenate([visits, self._first_of_fleets(firsts)])

    def told_of(self, firsts: Ints, pipeline: Pipeline) -> Ints:
        """The legs that tell how rare it was what rules found in some journeys: the same, with the flights by which the
        visitors left."""
        visits = self._visits(firsts, pipeline, whole_countries=False)
        there = np.zeros(len(self.words) + 1, bool)
        there[self.aircraft[visits]] = True
        theirs = np.flatnonzero(there[self.aircraft] & self.columns.past.counted)
        came = pd.DataFrame({"time": self.times.arrived(visits), "aircraft": self.aircraft[visits]})
        went = pd.DataFrame({"time": self.times.departed(theirs), "aircraft": self.aircraft[theirs], "leg": theirs})
        left = pd.merge_asof(
            came.sort_values("time"),
            went.sort_values("time"),
            on="time",
            by="aircraft",
            direction="forward",
            allow_exact_matches=False,
        )
        legs = left["leg"].dropna().to_numpy(np.int64)
        return each_once(np.concatenate([visits, legs, self._first_of_fleets(firsts)]), len(self))

    def _visits(self, firsts: Ints, pipeline: Pipeline, whole_countries: bool) -> Ints:
        places = self._places(firsts, pipeline, whole_countries)
        return np.flatnonzero(places[self.columns.past.destination] & self.columns.past.counted)

    def _first_of_fleets(self, firsts: Ints) -> Ints:
        """The first flight of each aircraft for the operators of some journeys."""
        asked = np.zeros(len(self.words) + 1, bool)
        numbers = {word: number for number, word in enumerate(self.words)}
        people = {self.columns.people[person].operator for person in np.unique(self.columns.aircraft[firsts]).tolist()}
        asked[[numbers[operator] for operator in people if operator in numbers]] = True
        operator = self.identities[:, 3]
        flown = np.flatnonzero(asked[operator][self.identity] & self.columns.past.counted)
        flown = flown[in_order(self.times.departed(flown))]
        fleet = self.aircraft[flown].astype(np.int64) * len(self.words) + operator[self.identity[flown]]
        return flown[~pd.Series(fleet).duplicated().to_numpy()]

    def _places(self, firsts: Ints, pipeline: Pipeline, whole_countries: bool) -> Flags:
        """The places, by their codes, that visits to may be asked about: those that rules name, and where the journeys
        led."""
        codes, countries = self.columns.codes, self.columns.countries
        named = [target_of(rule) for rule in pipeline.rules if rule.subject != "event"]
        there = np.zeros(len(codes) + 1, bool)
        if whole_countries or any(not (target.airports or target.countries) for target in named):
            of_journey = np.zeros(len(self), bool)
            of_journey[firsts] = True
            rows = np.flatnonzero(of_journey[self.columns.first])
            following = self.columns.next[rows]
            ends = np.concatenate([rows + len(self), following[following != NULL]])
            there[self.lead[ends]] = True
            there[self.columns.ends.at(ends).candidate] = True
            there[NULL] = False
        airports = {a for target in named for a in target.airports}
        meant = {c for target in named for c in target.countries}
        if whole_countries:
            meant |= {c for i in np.flatnonzero(there).tolist() if (c := countries[i]) is not None}
        there[:-1] |= [code in airports or country in meant for code, country in zip(codes, countries, strict=True)]
        there[NULL] = False
        return there

    def record(self, rows: Ints, pipeline: Pipeline, read: Callable[[Ints], list[Leg]]) -> Record:
        """Some legs as a baseline counts them."""
        rows = rows[self.columns.past.counted[rows]]
        rows = rows[np.argsort(self.times.place[rows])]
        rows = rows[in_order(self.times.departed(rows))]
        places = _rows_of(self.columns.codes, pipeline.airports)
        codes = dict(pipeline.airports.rows)
        for code in self.columns.codes:
            codes.setdefault(code, len(codes))
        _, registration, typecode, operator = self.identities[self.identity[rows]].T.astype(np.int64)
        observed = self.columns.ends.observed
        columns = Columns(
            aircraft=self.aircraft[rows].astype(np.int64),
            registration=registration,
            operator=operator,
            typecode=typecode,
            origin=places[self.lead[rows]],
            destination=places[self.lead[rows + len(self)]],
            departed=self.times.departed(rows),
            arrived=self.times.arrived(rows),
            listed=self.source[rows] > 0,
            observed=observed[rows + len(self)],
            told_by=self.source[rows].astype(np.int64),
            vague=self.times.is_vague(rows),
            begun_in_sight=observed[rows],
            row=rows,
        )
        words = {word: number for number, word in enumerate(self.words)}
        return Record(columns, words, codes, self.registrations, read)


def _rows_of(codes: Sequence[str], airports: Airports) -> Ints:
    """The rows of the airport table that codes mean, for others numbers beyond it in their order, and -1 for null."""
    others = iter(range(len(airports), len(airports) + len(codes)))
    rows = [airports.row(code) for code in codes]
    return np.array([*(next(others) if row is None else row for row in rows), NULL], np.int64)


def _person(
    pipeline: Pipeline,
    words: Sequence[str],
    aircraft: np.int32,
    listed: bool,
    identity: Codes,
    began: int,
    callsigns: Sequence[str] | None,
) -> Aircraft:
    """Who it is, by what a leg tells (`identity`), on the day on which that began; without callsigns with lists that go by
    them undecided. Tracked legs say what was known when they were made; lists often leave out what others know."""
    name, day = words[int(aircraft)], date.fromordinal(began // DAY_US + EPOCH_ORDINAL)
    _, registration, typecode, operator = (None if number == NULL else words[number] for number in identity.tolist())
    address = name if ADDRESS.fullmatch(name) else (pipeline.registry.address(name, day) or "")
    if listed and None in (registration, typecode, operator):
        known = pipeline.registry.who(
            address, day, registration=registration, typecode=typecode, operator=operator, callsigns=callsigns
        )
        registration, typecode = registration or known.registration, typecode or known.typecode
        operator = operator or known.operator
    return pipeline.identify(address, day, registration, typecode, operator, callsigns)


def gather(pieces: Iterable[Piece], pipeline: Pipeline, expected: int = 0) -> Gathered:
    """Reads the columns of stored legs that the pipeline's rules need. For so many as are `expected` there is room from the
    beginning."""
    parts = [part for rule in pipeline.rules for part in conditions(rule.when)]
    timed = any(part.time or part.duration for part in parts)
    positions = [part.position for part in parts if part.position]
    heap = _Heap(timed, positions, expected)
    names = [*COLUMNS, *(("status", *OTHERS) if timed else ()), *(["way"] if positions else ())]
    for numbers, table in _read_ahead(pieces, names):
        heap.take(numbers, table)
    return heap.gathered(pipeline)


def _read_ahead(pieces: Iterable[Piece], names: Sequence[str]) -> Iterator[tuple[Ints, pa.Table]]:
    """The numbers and columns of each piece that is not damaged, read while the caller works on the one before it."""
    before: list[tuple[Ints, pa.Table]] = []
    with ThreadPoolExecutor(1) as pool:
        for piece in pieces:
            coming = pool.submit(_read, piece, names)
            yield from before
            try:
                before = [(piece.numbers, coming.result())]
            except Damaged as error:
                before = []
                log.error("%s", error)
    yield from before


def _read(piece: Piece, names: Sequence[str]) -> pa.Table:
    """Some columns, with those that few pieces need: which legs are one journey, where not all are listed, and the
    candidates of ends of which one is not sure."""
    table = piece.read(names)
    needed = [] if _is_one_of(table["source"], "listed").all() else ["journey_id"]
    needed += [f"{end}_candidates" for end in ("origin", "destination") if len(_unsure(table, end))]
    for name, column in zip(needed, piece.read(needed).columns if needed else (), strict=True):
        table = table.append_column(name, column)
    return table


def _unsure(table: pa.Table, end: str) -> Ints:
    """The legs with an end of which one airport or several are probable, and none is `SURE`."""
    probability = _probability(table, end)
    named = table[end].is_valid().to_numpy()
    return np.flatnonzero((~named & (probability > 0)) | (named & (probability < SURE)))


def _probability(table: pa.Table, end: str) -> Floats:
    return np.asarray(pc.fill_null(table[f"{end}_probability"], 0.0).to_numpy(zero_copy_only=False))


def _encoded(column: pa.ChunkedArray) -> tuple[pa.Array, Ints]:
    """The words of a column of texts, and for each row which of them it has; -1 for null."""
    encoded = column.combine_chunks()
    encoded = encoded if pa.types.is_dictionary(encoded.type) else encoded.dictionary_encode()
    at = encoded.indices if encoded.indices.null_count == 0 else pc.fill_null(encoded.indices, NULL)
    return encoded.dictionary, at.to_numpy(zero_copy_only=False)


def _is_one_of(column: pa.ChunkedArray, *wanted: str) -> Flags:
    words, at = _encoded(column)
    return np.asarray(np.array([*(word in wanted for word in words.to_pylist()), False])[at])


class _Vocabulary:
    """Numbers for words. While pieces come, each has its own numbers for its words; `settled` tells what they come to."""

    def __init__(self) -> None:
        self._parts: list[pa.DictionaryArray] = []
        self._size = 0

    def codes(self, column: pa.ChunkedArray) -> Codes:
        """The numbers of a column of words; -1 for null."""
        words, at = _encoded(column)
        return np.where(at == NULL, NULL, at + self.numbered(words)).astype(np.int32)

    def numbered(self, words: pa.Array) -> int:
        """The number of the first of some words; the others follow."""
        first = self._size
        self._parts.append(
            pa.DictionaryArray.from_arrays(pa.array(np.arange(len(words), dtype=np.int32)), words.cast(pa.string()))
        )
        self._size += len(words)
        return first

    def settled(self) -> tuple[list[str], Codes]:
        """All words, and the number of each among these, for the numbers given before; the last one stands for null."""
        if not self._parts:
            return [], np.array([NULL], np.int32)
        joined = pa.chunked_array(self._parts).unify_dictionaries()
        numbers = [np.asarray(chunk.indices, dtype=np.int32) for chunk in joined.chunks]
        return joined.chunk(0).dictionary.to_pylist(), np.concatenate([*numbers, [NULL]]).astype(np.int32)


class _Column:
    """An array that grows at its end. In one piece, so that memory is given back whole."""

    def __init__(self, kind: np.dtype[Any], expected: int) -> None:
        self._values = np.empty(expected, kind)
        self._size = 0

    def add(self, part: Column) -> None:
        size = self._size + len(part)
        if size > len(self._values):
            grown = np.empty(max(size, 2 * len(self._values)), self._values.dtype)
            grown[: self._size] = self.values
            self._values = grown
        self._values[self._size : size] = part
        self._size = size

    @property
    def values(self) -> Column:
        return self._values[: self._size]


class _Heap:
    """Columns as they are read, piece by piece."""

    def __init__(self, timed: bool, positions: Sequence[PositionCondition], expected: int) -> None:
        self._timed = timed
        self._expected = expected
        self._positions = positions
        self._words, self._callsigns, self._codes, self._lists = (_Vocabulary() for _ in range(4))
        self._identities: list[Codes] = [np.empty((0, len(NAMES)), np.int32)]
        self._known = 0
        self._columns: dict[str, _Column] = {}
        self._unsure: list[Ints] = [np.empty(0, np.int64)]
        self._spread: list[tuple[Ints, Codes, Floats]] = []
        self._size = 0

    def take(self, numbers: Ints, table: pa.Table) -> None:
        listed = _is_one_of(table["source"], "listed")
        columns: dict[str, Column] = {
            "number": numbers,
            "identity": self._identity(table),
            "callsign": self._callsigns.codes(table["callsign"]),
            "list": self._list(table["feeds"], listed),
            "order": pc.fill_null(table["list_order"], 0).to_numpy(zero_copy_only=False).astype(np.int32),
            "journey": _hashes(table["journey_id"]) if "journey_id" in table.column_names else np.zeros(len(table), np.uint64),
            **{name: _times(table[name]) for name in (*LIKELY, *(OTHERS if self._timed else ()))},
        }
        if self._timed:
            columns["down"] = _is_one_of(table["status"], *DOWN)
        if self._positions:
            ways = table["way"].to_pylist()
            columns |= {f"way-{n}": may_have_flown(position, ways) for n, position in enumerate(self._positions)}
        for end in ("origin", "destination"):
            columns |= self._end(table, end)
        for name, column in columns.items():
            if name not in self._columns:
                self._columns[name] = _Column(column.dtype, self._expected)
            self._columns[name].add(column)
        self._size += len(table)

    def _identity(self, table: pa.Table) -> Codes:
        """A number for what each leg says of its aircraft; several may stand for the same."""
        words, at = zip(*(_encoded(table[name]) for name in NAMES), strict=True)
        rows, number = _distinct_rows(at)
        said = np.stack([column[rows] for column in at], axis=1)
        numbers = np.array([self._words.numbered(some) for some in words], np.int32)
        self._identities.append(np.where(said == NULL, NULL, said + numbers).astype(np.int32))
        self._known += len(rows)
        return (number + self._known - len(rows)).astype(np.int32)

    def _list(self, feeds: pa.ChunkedArray, listed: Flags) -> Codes:
        """A number for the flight list that each leg comes from (the last of its feeds), 0 for tracked ones."""
        many = feeds.combine_chunks()
        ends = np.cumsum(pc.fill_null(pc.list_value_length(many), 0).to_numpy(zero_copy_only=False))
        last = many.flatten().take(pa.array(ends[listed] - 1))
        numbers = np.zeros(len(feeds), np.int32)
        numbers[listed] = self._lists.codes(pa.chunked_array([last])) + 1
        return numbers

    def _end(self, table: pa.Table, end: str) -> dict[str, Column]:
        """Leading airports; the candidates of ends that none leads with `SURE` are kept beside."""
        if f"{end}_candidates" in table.column_names:
            unsure = _unsure(table, end)
            written = table[f"{end}_candidates"].take(pa.array(unsure)).combine_chunks()
            flat = written.flatten()
            codes = self._codes.codes(pa.chunked_array([flat.field("airport")]))
            chances = np.asarray(flat.field("probability"), dtype=np.float64)
            at_end = (unsure + self._size) * 2 + (end == "destination")
            self._unsure.append(at_end)
            self._spread.append((at_end[np.asarray(pc.list_parent_indices(written))], codes, chances))
        observed = _is_one_of(table[f"{end}_basis"], "observed")
        return {f"{end}_lead": self._codes.codes(table[end]), f"{end}_observed": observed}

    def gathered(self, pipeline: Pipeline) -> Gathered:
        if not self._size:
            return _nothing()
        raw = {name: self._columns.pop(name).values for name in list(self._columns)}
        lists, list_ = self._lists.settled()
        raw["list"] = np.append(np.int32(0), list_[:-1] + 1)[raw["list"]]
        times = {name: raw.pop(name) for name in (*LIKELY, *OTHERS) if name in raw}
        departed = or_1970(first_known(times["takeoff_time"], times["first_seen"], times["landing_time"]))
        with ThreadPoolExecutor(1) as another:
            ordering = another.submit(_by_departure, departed, raw["list"], raw.pop("order"))
            (words, word), (callsigns, call), (codes, code) = (
                vocabulary.settled() for vocabulary in (self._words, self._callsigns, self._codes)
            )
            said = word[np.concatenate(self._identities)]
            known, number = _distinct_rows(list(said.T))
            identities, raw["identity"] = said[known], number.astype(np.int32)[raw["identity"]]
            settled = {"callsign": call, "origin_lead": code, "destination_lead": code}
            raw |= {name: numbers[raw.pop(name)] for name, numbers in settled.items()}
            order, size = ordering.result(), self._size
        latest = np.zeros(len(identities), np.int64)
        latest[raw["identity"][order]] = np.arange(size)  # of several, the last one stays
        whose, registrations = _identities(identities[np.argsort(latest)], identities, words)
        down, journey, stored = raw.pop("down", None), raw.pop("journey"), raw.pop("number")
        with ThreadPoolExecutor(THREADS) as pool, ThreadPoolExecutor(1) as another:
            knowing = another.submit(_people, pipeline, raw["identity"], raw["list"] > 0, whose, words, identities, times)
            told = {name: raw.pop(name) for name in ("identity", "list", "origin_lead", "destination_lead")}
            twice = pool.submit(_told_twice, told, departed, whose, codes, order, pipeline.airports)
            group = whose[told["identity"]] * np.int64(len(lists) + 1) + told["list"]
            order = order[in_order(group[order])]
            del group
            place = places_of(order)
            raw = dict(zip(list(raw), pool.map(lambda name: moved(raw.pop(name), place), list(raw)), strict=True))
            told["counted"] = ~twice.result()
            raw |= zip(list(told), pool.map(lambda name: moved(told.pop(name), place), list(told)), strict=True)
            lead = np.concatenate([raw["origin_lead"], raw["destination_lead"]])
            stops = pool.submit(self._stops, raw, lead, code, place)
            aircraft, moments = whose[raw["identity"]], _moments(times, order)
            people, who = knowing.result()
            past = _past(pipeline, raw, moments, words, identities, aircraft, people)
            who = moved(who, place)
        del departed
        same = (aircraft[1:] == aircraft[:-1]) & (raw["list"][1:] == raw["list"][:-1])
        stayed = (raw["list"][1:] == 0) | (
            (raw["origin_lead"][1:] == raw["destination_lead"][:-1]) & (raw["origin_lead"][1:] != NULL)
        )  # a list need not have all flights: what follows begins where the one before ended
        after = np.flatnonzero(same & (raw["list"][1:] == 0)) + 1  # legs that are tracked, as the one before is
        goes_on = np.zeros(size, bool)
        goes_on[after] = journey[order[after]] == journey[order[after - 1]]
        del journey
        first = np.maximum.accumulate(np.where(goes_on, 0, np.arange(size)))
        following = np.append(np.where(same & stayed, np.arange(1, size), NULL), NULL)
        columns = LegColumns(
            people=people,
            aircraft=_of_journeys(who, first),
            callsigns=callsigns,
            callsign=raw["callsign"],
            codes=codes,
            countries=[pipeline.airports.country_of(code) for code in codes],
            first=first,
            next=following,
            ends=stops.result(),
            times=None if down is None else _times_of(times, order, down),
            past=past,
            ways=[(position, raw[f"way-{n}"]) for n, position in enumerate(self._positions)],
        )
        return Gathered(
            columns=columns,
            stored=stored,
            words=words,
            aircraft=aircraft,
            identity=raw["identity"],
            identities=identities,
            source=raw["list"],
            lead=lead,
            registrations=registrations,
        )

    def _stops(self, raw: Mapping[str, Column], lead: Codes, code: Codes, place: Ints) -> Stops:
        """The ends of all legs in their order, in which each stands at its `place`: origins, then destinations."""
        observed = np.concatenate([raw["origin_observed"], raw["destination_observed"]])
        unsure = np.concatenate(self._unsure)
        sure = lead.copy()
        sure[place[unsure // 2] + (unsure % 2) * len(place)] = NULL
        none: tuple[Ints, Codes, Floats] = (np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0))
        at, candidate, chance = (np.concatenate(parts) for parts in zip(none, *self._spread, strict=True))
        end = place[at // 2] + (at % 2) * len(place)
        by_end = np.argsort(end, kind="stable")
        spread, of = np.unique(end[by_end], return_inverse=True)
        return Stops(sure, observed, spread, of, code[candidate[by_end]], chance[by_end])


def _distinct_rows(columns: Sequence[Ints | Codes]) -> tuple[Ints, Ints]:
    """Of some columns of numbers (-1 or more) a row for each distinct one, and which of these each row is."""
    number = columns[0].astype(np.int64) + 1
    for column in columns[1:]:
        one = np.empty(int(number.max(initial=-1)) + 1, column.dtype)
        one[number] = column
        if (one[number] != column).any():  # else what came before tells it already, as an address does a registration
            number = pd.factorize(number * (int(column.max()) + 2) + column + 1)[0]
    row = np.full(int(number.max(initial=-1)) + 1, NULL)
    row[number] = np.arange(len(number))
    return row[row != NULL], (np.cumsum(row != NULL) - 1)[number]


def _identities(in_time: Codes, identities: Codes, words: Sequence[str]) -> tuple[Codes, dict[str, str]]:
    """For each identity who it is, as the baseline has it: its address, else the one that its registration was known under
    last. And the registration that each address was known by last. `in_time` are the identities in the order of their last
    legs."""
    both = in_time[(in_time[:, 0] != NULL) & (in_time[:, 1] != NULL)]
    known = np.arange(len(words) + 1, dtype=np.int32)
    known[both[:, 1]] = both[:, 0]  # of several, the last one stays
    known[NULL] = NULL
    address, registration = identities[:, 0], identities[:, 1]
    registrations = {words[a]: words[r] for a, r in both[:, :2].tolist()}
    return np.where(address != NULL, address, known[registration]).astype(np.int32), registrations


def _by_departure(departed: Ints, lists: Codes, numbers: Codes) -> Ints:
    """The order of departure; legs that departed at the same time are in that of their numbers in the lists."""
    as_listed = (lists[1:] != lists[:-1]) | (numbers[1:] >= numbers[:-1])
    if as_listed.all():
        return in_order(departed)
    return in_order(departed, numbers)


def _told_twice(
    raw: Mapping[str, Column], departed: Ints, whose: Codes, codes: Sequence[str], order: Ints, airports: Airports
) -> Flags:
    """Which legs are told of by others, too (see `baseline.told_twice`); `order` is that of their departure."""
    twice = np.zeros(len(order), bool)
    if (raw["list"] == raw["list"][0]).all():
        return twice
    aircraft, lists = whose[raw["identity"][order]], raw["list"][order] - 1  # -1: tracked
    places = _rows_of(codes, airports).astype(np.int32)
    origin, destination = (places[raw[f"{end}_lead"][order]] for end in ("origin", "destination"))
    twice[order] = told_twice(aircraft, departed[order], lists, origin, destination, airports)
    return twice


def _past(
    pipeline: Pipeline,
    raw: Mapping[str, Column],
    times: Moments,
    words: Sequence[str],
    identities: Codes,
    aircraft: Codes,
    people: Sequence[Aircraft],
) -> Past:
    """What history counts of the legs."""
    numbers = {word: number for number, word in enumerate(words)}
    flies = np.zeros(len(words) + 1, bool)
    flies[aircraft] = True

    def one(names: Iterable[str | None]) -> int:
        found = {numbers[name] for name in names if name is not None and name in numbers and flies[numbers[name]]}
        return found.pop() if len(found) == 1 else NOT_ONE

    def word(name: str | None) -> int:
        return NOT_ONE if name is None else numbers.get(name, len(words))

    kinds, size = _kinds(pipeline), len(aircraft)
    subjects: dict[str, tuple[Codes, Ints]] = {
        "tail": (aircraft, np.array([one((who.icao24, who.registration)) for who in people], np.int64)),
        "anybody": (np.broadcast_to(np.int32(0), size), np.zeros(len(people), np.int64)),
    }
    if "fleet" in kinds:
        subjects["fleet"] = identities[:, 3][raw["identity"]], np.array([word(who.operator) for who in people], np.int64)
    if "type" in kinds:
        subjects["type"] = identities[:, 2][raw["identity"]], np.array([word(who.typecode) for who in people], np.int64)
    exposures = pipeline.exposures()
    return Past(
        times=times,
        destination=raw["destination_lead"],
        counted=raw["counted"],
        subjects=subjects,
        everybody=_days([exposure for exposure in exposures if exposure.scope.covers(None, None)]),
        somebody=_days(exposures),
    )


def _days(exposures: Iterable[Exposure]) -> Ints:
    """The days of some exposures, since 1970."""
    spans = [np.arange(e.first.toordinal(), e.last.toordinal() + 1) - EPOCH_ORDINAL for e in exposures]
    return np.unique(np.concatenate([np.empty(0, np.int64), *spans]))


def _times_of(times: Mapping[str, Ints], order: Ints, down: Flags) -> Times:
    takeoff, landing = (
        (times[f"{event}_earliest"], times[f"{event}_time"], times[f"{event}_latest"]) for event in ("takeoff", "landing")
    )
    return Times(order, times["first_seen"], times["last_seen"], takeoff, landing, down)


def _people(
    pipeline: Pipeline,
    identity: Codes,
    listed: Flags,
    whose: Codes,
    words: Sequence[str],
    identities: Codes,
    times: Mapping[str, Ints],
) -> tuple[list[Aircraft], Codes]:
    """Who flew, as each leg says and lists have it on that day: everybody once, and a number into that for each leg."""
    gaps = (identities == NULL).any(axis=1)  # what lists leave out, others may know
    key: Ints | Codes = identity * np.int32(2) + (listed & gaps[identity])
    spans = _spans(pipeline, words, whose, identity, times)
    if spans is not None:
        key = key * (spans.max() + 1) + spans
    an_example = np.full(int(key.max()) + 1, NULL)
    for begin in range(0, len(key), SOME):
        some = key[begin : begin + SOME]
        an_example[some] = begin + np.arange(len(some))
    rows = an_example[an_example != NULL]
    people = []
    for row, began in zip(rows.tolist(), _began(times, rows).tolist(), strict=True):
        of = identity[row]
        people.append(_person(pipeline, words, whose[of], bool(listed[row]), identities[of], began, None))
    return people, (np.cumsum(an_example != NULL) - 1).astype(np.int32)[key]


def _began(times: Mapping[str, Ints], rows: Ints) -> Ints:
    return first_known(*(times[name][rows] for name in ("first_seen", "takeoff_time", "landing_time")))


def _of_journeys(who: Codes, first: Ints) -> Codes:
    """Who flew each leg, as the last leg of its journey says."""
    last = np.append(np.flatnonzero(np.diff(first)), len(first) - 1)
    return who if len(last) == len(who) else np.repeat(who[last], np.diff(last, prepend=-1))


def _spans(pipeline: Pipeline, words: Sequence[str], whose: Codes, identity: Codes, times: Mapping[str, Ints]) -> Ints | None:
    """For each leg the number of the span of days, of those in which the same is known of its aircraft; None where that never
    changes."""
    turns: list[int] = []
    turned = np.zeros(len(words) + 1, bool)
    for number in np.unique(whose[whose != NULL]).tolist():
        days = pipeline.registry.turns(words[number] if ADDRESS.fullmatch(words[number]) else "")
        turns += ((number << DAY_BITS) + turn.toordinal() - EPOCH_ORDINAL for turn in days)
        turned[number] = len(days) > 0
    if not turns:
        return None
    spans = np.zeros(len(identity), np.int64)
    theirs = np.flatnonzero(turned[whose][identity])
    number = whose[identity[theirs]].astype(np.int64) << DAY_BITS
    ordered, day = np.sort(turns), _began(times, theirs) // DAY_US
    spans[theirs] = np.searchsorted(ordered, number + day, side="right") - np.searchsorted(ordered, number)
    return spans


def _times(column: pa.ChunkedArray) -> Ints:
    whole = column.cast(pa.int64())
    whole = pc.fill_null(whole, NO_TIME) if whole.null_count else whole
    return np.asarray(whole.to_numpy(zero_copy_only=False), dtype=np.int64)


def _moments(times: Mapping[str, Ints], order: Ints) -> Moments:
    earliest, latest = times["landing_earliest"], times["landing_latest"]
    vague = (earliest != NO_TIME) & (latest != NO_TIME) & (latest - earliest > DAY_US // 2)
    return Moments(order, times["first_seen"], times["last_seen"], times["takeoff_time"], times["landing_time"], vague)


def _hashes(column: pa.ChunkedArray) -> Column:
    """A number for each word. Two words that shared one would have to follow each other for it to matter."""
    return np.asarray(pd.util.hash_array(column.cast(pa.string()).to_numpy(), categorize=False))


def _nothing() -> Gathered:
    ints, codes, flags = np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, bool)
    stops = Stops(codes, flags, ints, ints, codes, np.empty(0))
    times = Moments(ints, ints, ints, ints, ints, flags)
    past = Past(times, codes, flags, dict.fromkeys(get_args(Of), (codes, ints)), ints, ints)
    columns = LegColumns((), codes, (), codes, (), (), ints, ints, stops, None, past)
    nobody = np.empty((0, 4), np.int32)
    return Gathered(columns, ints, (), codes, codes, nobody, codes, codes, {})


def _kinds(pipeline: Pipeline) -> set[str]:
    """Whose visits the rules count."""
    return {of for rule in pipeline.rules for part in conditions(rule.when) for of in subjects_of(part)}


def subjects_of(part: Condition) -> list[str]:
    """Whose visits a condition counts."""
    return [condition.of for condition in (part.rarity, part.first_visit, part.visits) if condition is not None]


def each_once(rows: Ints, size: int) -> Ints:
    """Rows, each once and in order."""
    flags = np.zeros(size, bool)
    flags[rows] = True
    return np.flatnonzero(flags)
