"""The counted history: which aircraft flew which routes when, and on which days anybody would have seen it.

In: the legs of the store (tracked and listed), and the days that imports and snapshots cover. Out: for any day, what
was known before it: the prior over the ends of a leg, earlier visits, and the days of exposure. Everything is asked
*as of a UTC day* and answered from the days before it alone, so that live, backfill and any restart give the same
answer, and nothing counts as new because a process is.

The prior backs off through tables of counts from narrow to broad: the aircraft with the leg's other end, its way
back from there, the aircraft, the other end at that time of the day, its operator with the other end, its type with it, the
other end, everybody's way back from there, the operator, the type, all legs; at the bottom stand the sizes of airports. The
way back is that to where flights to the leg's other end came from, if it leads to the destination in question, and counts
less. A table that was asked n times and gave t
different answers has the weight n against `ESCAPE` times t for what the broader ones say together (interpolation by the
number of different answers: Witten and Bell, IEEE Transactions on Information Theory 37, 1991, method C). What leaves at
that time of the day counts the more the nearer in time, up to one. The probabilities sum to one. What is drawn from the
tables that do not know the leg's other end goes by half to places as far from there as flights of the type go.
A table of the same legs as a broader one is left out: it is no further evidence.

Interpolation knows best how often what is known comes again, and is blind to what is new: broader tables hold the legs of
the narrower ones, too, and ten tables of the same thousand flights look like ten times as much evidence that an aircraft
goes nowhere else. So a share of what is told (`NEW`) is what exclusion gives, where each place comes from the narrowest
table that has it and what is left for others is not counted down by flights to places that were given.

Reports (listed legs of days on which nobody watched the aircraft) are told because of where they went. Which places they
name, and one more often than another, is evidence; that the aircraft, its operator and its type all have reports of one
place is the choice of who told them, and would look like so many witnesses. So a report does not count where a narrower
table gave its place already (the exclusion of prediction by partial matching: Moffat, IEEE Transactions on Communications
38, 1990), and its hour is no habit.

Beside it stand the ways that the legs flew (`flown`): where a leg leads is also told by who flew this way before. And
where the legs were seen and where not (`coverage`): where everybody is seen, silence tells something, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, reduce
from typing import Any, Literal, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flightwatch.places import Airports
from flightwatch.places.great_circle import EARTH_RADIUS_NM, distance_nm
from flightwatch.rarity.coverage import KNOWN_MIN, Coverage
from flightwatch.rarity.flown import Flown, flown
from flightwatch.records import LEGS, EarlierVisit, Leg, Scope, legs_from_table, utc

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Which = Literal["origin", "destination"]

Tail = tuple[str | None, str | None]
"""One aircraft: its address and its registration, as far as known."""

ANYBODY: Tail = (None, None)
"""Somebody whom only a scope of the whole world covers."""

DAY_US = 86_400_000_000
MICROSECONDS = 1_000_000
"""In a second: many times are whole ones."""

MINUTE_US, DAY_MIN = 60_000_000, 1440

CLOCK_STEP_MIN, PUNCTUAL_MIN = 10, 15
"""Times of day are told apart in steps of ten minutes, and how much a flight of another day tells falls with how far from
its time of day this one left: a Gaussian of a quarter of an hour, as schedules are kept. Wider, and the flights of a hub's
wave pass for one another. Chosen from 10 to 45 minutes by cross-validation over days, see `ESCAPE`."""

FAR = 4.0
"""Beyond so many times that, nothing is left."""

NEW = 0.5
"""The share of exclusion in the prior: what no narrow table has keeps so much of its probability, however many flights these
hold. Of a half, a quarter and nothing, less makes what is known lead a little more often (on the last hours of the second week
of the days of `ESCAPE` by two in 297), and what is new unheard of."""

ESCAPE = 1.5
"""How much each different answer of a table weighs for those of the broader ones: more than the 1 of the method, because
the tables lie within each other and tell of the same flights. Chosen from 1 to 3 with `PUNCTUAL_MIN` by cross-validation over
fifteen days of regional flights whose ends were cut off (each day judged by the other fourteen), by how probable
the true ends were and how far the leading probability erred."""

BACK_AGAIN, OWN_WAY_BACK = 3, 0.3
"""From how many of its last flights to a place an aircraft's way back is told, and what each of them counts beside a flight from
there: aircraft go back to where they came from. Chosen among few values each by how probable the ends of two flight lists
were, each flight judged by the days before it. All such flights instead of the last ones would leave too little for what is new
to the aircraft."""

WAY_BACK = 0.1
"""What a flight of anybody the other way counts beside one on the route itself, where none on it is known: of 38 flights to a
place that was new from where they left, though others had come from such places, 5 went to one of these. Chosen among
0, 0.05, 0.1 and 0.2 with the days of `ESCAPE`, five of them judged by the other ten: 0.2 fits as well and names more that are
wrong (see ARCHITECTURE.md)."""

SIZE_WEIGHTS = {"large": 40.0, "medium": 6.0, "small": 0.3, "seaplane": 0.05, "city": 0.0}
"""Relative traffic of airports by size before any history: large ones have some hundred times the movements of small
ones."""

SCHEDULED_FACTOR = 3.0
"""Airports with scheduled service see more of everything but military aircraft: to these, a large airport is no more than a
medium one, because what makes it large are airliners."""

LENGTHS_NM = (50.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0)
"""Where one class of lengths ends and the next one begins, each twice as long; the last one reaches half way round the
Earth."""

LENGTH_CLASSES = len(LENGTHS_NM) + 1

LENGTH_COSINES = np.cos(np.array(LENGTHS_NM) / EARTH_RADIUS_NM)

SHARING, LEANING = 0.9, 3.0
"""Before anything is known, the share of flights that take a way flown before, and for how many flights that stands."""

ENOUGH_LENGTHS = 20
"""Legs of a type from which on its own lengths are asked instead of those of all."""

BY_LENGTH = 0.5
"""Share of the broad tables' probability that goes by length and popularity; the rest by popularity alone. Chosen between
none and all by cross-validation over days: more finds more places, and errs with more confidence."""

NULL = -1

EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
ADDRESS = re.compile("~?[0-9a-f]{6}")

PRIORS_KEPT = 256
"""Priors that are remembered (0.4 MB each): those of the flights that are looked at again and again."""

PASTS_KEPT = 8
"""Days and ends of which it is remembered what all legs before tell: those around the day that a history is of."""

AIRCRAFT_KEPT = 256
"""Aircraft whose flights are remembered as records, and groups of them whose covered days are: those that rules ask about
again and again."""

PLACES_KEPT = 64
"""Sets of places whose flights are remembered: those that rules name."""

SAME_FLIGHT_US = 36 * 3_600_000_000
"""A listed leg within a day and a half of a tracked one of the same aircraft, with ends that agree, is the same flight:
lists give local days, and the middle of a day stands for it."""

NM_A_DEG = 60.0
"""In a degree of latitude, nearly."""

SAME_PLACE_NM = 60.0
"""Airports of one city lie this close to the middle of it."""

TRACKED_ROW = -1


@dataclass(frozen=True, slots=True)
class Exposure:
    """Days on which everything within a scope would have been recorded, both included."""

    scope: Scope
    first: date
    last: date


@dataclass(frozen=True)
class Columns:
    """Legs as arrays of one length, sorted by departure. Words are numbers into `words`; places are rows of the
    airport table, then other codes. `told_by` tells the flight lists apart (-1: tracked);
    `vague` are those of which a list gives the day alone. `observed` and `begun_in_sight` are those
    whose destination and whose origin was seen; `row` is that of the table."""

    aircraft: Ints
    registration: Ints
    operator: Ints
    typecode: Ints
    origin: Ints
    destination: Ints
    departed: Ints
    arrived: Ints
    listed: Flags
    observed: Flags
    told_by: Ints
    vague: Flags
    begun_in_sight: Flags
    row: Ints

    def take(self, index: Ints | Flags | slice) -> Columns:
        return Columns(**{name: getattr(self, name)[index] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class Record:
    """What is counted: legs as columns without those that are told twice, what their numbers stand for (`words`, and `codes`
    of places, of which the first are the rows of the airport table), the registration that each address was known by last,
    and what reads legs by their `row`."""

    columns: Columns
    words: Mapping[str, int]
    codes: Mapping[str, int]
    registrations: Mapping[str, str]
    legs: Callable[[Ints], list[Leg]]


@dataclass(frozen=True)
class Index:
    """Where each number stands in a column: `rows` sorted by it, in order for each, and where each begins in them."""

    rows: Ints
    begins: Ints

    @classmethod
    def made(cls, column: Ints, size: int) -> Index:
        """Of a column of numbers from -1 to below `size`."""
        return cls(_in_order(column), np.append(0, np.cumsum(np.bincount(column + 1, minlength=size + 2))))

    def count(self, numbers: Ints) -> int:
        return int((self.begins[numbers + 2] - self.begins[numbers + 1]).sum())

    def of(self, numbers: Sequence[int] | Ints) -> Ints:
        """The rows that have one of some different numbers, in order."""
        wanted = np.asarray(numbers, dtype=np.int64)
        wanted = wanted[self.begins[wanted + 2] > self.begins[wanted + 1]]
        if len(wanted) == 1:
            return self.rows[self.begins[wanted[0] + 1] : self.begins[wanted[0] + 2]]
        return np.sort(np.concatenate([self.rows[:0], *(self.rows[self.begins[n + 1] : self.begins[n + 2]] for n in wanted)]))


class Baseline:
    """The history, built from a table of `LEGS`, or from what is recorded of one already (`of`). `extended` gives a new one
    with more legs; nothing changes in place."""

    def __init__(
        self,
        airports: Airports,
        legs: pa.Table | None = None,
        exposures: Sequence[Exposure] = (),
        coverage: Coverage | None = None,
    ) -> None:
        """`coverage` is what these legs tell of it, where that is known already."""
        self.airports = airports
        self.exposures = tuple(exposures)
        self._table = LEGS.empty_table() if legs is None else legs
        self._next: dict[int, int | None] = {}
        self._told: dict[tuple[int, int | None], EarlierVisit] = {}
        self._visitors: dict[tuple[int, ...], frozenset[str]] = {}
        self._priors: dict[tuple[object, ...], Floats] = {}
        self._compared: dict[tuple[Which, date, int | None], tuple[Ints, Floats]] = {}
        self._cities: dict[int, Ints] = {}
        self._pasts: dict[tuple[Which, date], Past] = {}
        self._led: dict[bytes, tuple[Ints, Ints]] = {}
        self._covering: dict[Tail, tuple[int, ...]] = {}
        self._common: dict[frozenset[tuple[int, ...]], Ints] = {}
        self._covered: dict[tuple[int, ...], Ints] = {}
        self._members: dict[str, list[tuple[Tail, int, int]]] = {}
        self._flights: dict[Tail, tuple[Ints, list[Leg]]] = {}
        self._coverage = coverage
        self._learned = self._coverage_of_table

    @classmethod
    def of(
        cls, airports: Airports, record: Record, exposures: Sequence[Exposure], learned: Callable[[], Coverage] = Coverage
    ) -> Baseline:
        """One that answers questions about visits and flights; of its legs it has no table. `learned` tells the coverage when
        somebody asks for it."""
        made = cls(airports, None, exposures)
        made._record = record
        made._learned = learned
        return made

    def extended(self, legs: pa.Table, exposures: Sequence[Exposure] | None = None) -> Baseline:
        """With these legs added; one whose `leg_id` is there already takes its place."""
        known = pc.is_in(self._table["leg_id"], value_set=legs["leg_id"].combine_chunks())
        table = pa.concat_tables([self._table.filter(pc.invert(known)), legs])
        coverage = self.coverage.changed(legs, self._table.filter(known), self.airports)
        return Baseline(self.airports, table, self.exposures if exposures is None else exposures, coverage)

    # ----------------------------------------------------------------------------------------------------------- coverage

    @property
    def coverage(self) -> Coverage:
        """What the legs tell of where traffic is seen."""
        if self._coverage is None:
            self._coverage = self._learned()
        return self._coverage

    def _coverage_of_table(self) -> Coverage:
        return Coverage().changed(self._table, self._table.slice(0, 0), self.airports)

    def seen_share(self, day: date, latitude: Floats, longitude: Floats, altitude: Floats) -> tuple[Floats, Floats]:
        """How much of the traffic at these positions was seen in the time before a day, and of how much there is no
        telling."""
        return self.coverage.as_of(day).share(latitude, longitude, altitude)

    def low_share(self, day: date, places: Flags) -> float | None:
        """How much of the flying below 10,000 ft around some places (a flag for each row of the airport table) was seen
        in the time before a day; None where nobody is known to have come by, or where no leg tells of anything."""
        table = self.coverage.as_of(day)
        seen, unseen = table.low_minutes(self.airports.latitude[places], self.airports.longitude[places])
        return seen / (seen + unseen) if seen + unseen >= KNOWN_MIN else None

    # ------------------------------------------------------------------------------------------------------------ columns

    @cached_property
    def _record(self) -> Record:
        return recorded(self._table, self.airports)

    @property
    def columns(self) -> Columns:
        return self._record.columns

    @property
    def _words(self) -> Mapping[str, int]:
        return self._record.words

    @property
    def _codes(self) -> Mapping[str, int]:
        return self._record.codes

    @cached_property
    def _spelled(self) -> list[str]:
        return list(self._words)

    @cached_property
    def _places(self) -> list[str]:
        return list(self._codes)

    def leg_ids(self, legs: Ints) -> list[str]:
        """The ids of some legs of the columns."""
        ids: list[str] = self._table["leg_id"].take(pa.array(self.columns.row[legs])).to_pylist()
        return ids

    @cached_property
    def _ways(self) -> list[bytes]:
        return [way or b"" for way in self._table["way"].take(pa.array(self.columns.row)).to_pylist()]

    def _before(self, day: date) -> slice:
        """The legs that were over before a day."""
        return slice(0, int(np.searchsorted(self.columns.departed, _midnight(day))))

    # -------------------------------------------------------------------------------------------------------------- prior

    @cached_property
    def _sizes(self) -> Floats:
        weights = np.zeros(len(self.airports))
        for size, weight in SIZE_WEIGHTS.items():
            weights[self.airports.size == size] = weight
        return weights

    @cached_property
    def _by_size(self) -> Floats:
        sizes = self._sizes * np.where(self.airports.scheduled, SCHEDULED_FACTOR, 1.0)
        return np.asarray(sizes / sizes.sum())

    @cached_property
    def _by_size_for_military(self) -> Floats:
        sizes = np.minimum(self._sizes, SIZE_WEIGHTS["medium"])
        return np.asarray(sizes / sizes.sum())

    def over(
        self,
        which: Which,
        day: date,
        *,
        aircraft: str,
        operator: str | None,
        typecode: str | None,
        other: int | None,
        clock_min: int | None = None,
        military: bool = False,
    ) -> Floats:
        """The prior over one end of a leg that begins on a day, as a probability for every row of the airport table.
        `clock_min` is the time of day (UTC, minutes) at the leg's other end: schedules repeat."""
        bucket = None if clock_min is None else clock_min // CLOCK_STEP_MIN
        key = (which, day, aircraft, operator, typecode, other, bucket, military)
        if key in self._priors:
            return self._priors[key]
        past, size = self._past(which, day), len(self.airports)
        narrow, broad = self._contexts(which, day, aircraft, operator, typecode, other, bucket)
        told, given = _told_once([*narrow, *broad], self._reported, size)
        all_legs = past.counts + np.where(given, 0.0, past.reports)
        total = int(all_legs.sum())
        # what is as many, and none of them a report that is left out of all legs, is the same as all legs
        others = [c for c in _distinct(told[len(narrow) :]) if len(c.rows) != total or self._reported[c.rows].any()]
        tied, loose = ([_counted(c, size) for c in part] for part in (_distinct(told[: len(narrow)]), others))
        if total:
            loose.append((all_legs, float(np.count_nonzero(all_legs))))
        lengths = None if other is None else self._lengths(which, day, typecode, other)
        if len(self._priors) >= PRIORS_KEPT:
            self._priors.clear()
        bottom = self._by_size_for_military if military else self._by_size
        self._priors[key] = self._at_airports(_backed_off(tied, loose, bottom, lengths), bottom)
        return self._priors[key]

    def _at_airports(self, probability: Floats, bottom: Floats) -> Floats:
        """What goes to a city, whose code was all that somebody told, goes to its airports, by how much they see anyway."""
        cities = np.flatnonzero(~self.airports.landable)
        for city in cities[probability[cities] > 0].tolist():
            own = self._airports_of(city)
            probability[own] += probability[city] * bottom[own] / bottom[own].sum()
            probability[city] = 0.0
        return probability

    def _airports_of(self, city: int) -> Ints:
        """The rows of a city's airports."""
        if city not in self._cities:
            meant = (self.airports.row(ident) for ident in self.airports.meant_by(self.airports.ident[city]))
            self._cities[city] = np.array([row for row in meant if row is not None], np.int64)
        return self._cities[city]

    @cached_property
    def _reported(self) -> Flags:
        """The listed legs of days on which no exposure covers the aircraft: nobody would have told of another flight."""
        rows, reported = self.columns, self.columns.listed.copy()
        for exposure in self.exposures:
            begin, end = np.searchsorted(rows.departed, [_midnight(exposure.first), _midnight(exposure.last) + DAY_US])
            within = begin + np.flatnonzero(reported[begin:end])
            numbers, which = np.unique(rows.aircraft[within], return_inverse=True)
            tails = [ANYBODY if number == NULL else self.tail(number) for number in numbers.tolist()]
            covered = np.array([exposure.scope.covers(*tail) for tail in tails], bool)
            reported[within] = ~covered[which]
        return reported

    def _ends(self, which: Which) -> tuple[Ints, Ints]:
        """This end of all legs, and their other end."""
        rows = self.columns
        return (rows.destination, rows.origin) if which == "destination" else (rows.origin, rows.destination)

    def _usable(self, rows: Ints, which: Which, day: date) -> Ints:
        """Those of some legs in order that were over before a day and have an airport as this end."""
        rows = rows[: np.searchsorted(rows, self._before(day).stop)]
        ours = self._ends(which)[0][rows]
        return rows[(ours >= 0) & (ours < len(self.airports)) & (self.columns.arrived[rows] < _midnight(day))]

    def _past(self, which: Which, day: date) -> Past:
        """All legs that were over before a day."""
        if (which, day) not in self._pasts:
            if len(self._pasts) >= PASTS_KEPT:
                self._pasts.clear()
            ours, theirs = self._ends(which)
            rows = self._usable(np.arange(len(ours)), which, day)
            reported, size = self._reported[rows], len(self.airports)
            sorts = rows[~reported], rows[reported]
            counts, reports = (np.asarray(np.bincount(ours[sort], minlength=size), np.float64) for sort in sorts)
            lengths = self._lengths_of(rows[(theirs[rows] >= 0) & (theirs[rows] < size)])
            self._pasts[which, day] = Past(counts, reports, lengths)
        return self._pasts[which, day]

    def _lengths(self, which: Which, day: date, typecode: str | None, other: int) -> Lengths:
        """How far legs of the type went before a day, or all where those are few, for the airports around the other end."""
        theirs, vectors = self._ends(which)[1], self.airports.vectors
        rows = self._usable(self._by_typecode.of([self._words.get(typecode or "", len(self._words))]), which, day)
        rows = rows[(theirs[rows] >= 0) & (theirs[rows] < len(self.airports))]
        legs = self._lengths_of(rows) if len(rows) >= ENOUGH_LENGTHS else self._past(which, day).lengths
        return Lengths(_length_class(vectors @ vectors[other]), legs)

    def _lengths_of(self, rows: Ints) -> Ints:
        """How many of some legs between two airports have each class of length."""
        return np.bincount(self._classes[rows], minlength=LENGTH_CLASSES)

    @cached_property
    def _classes(self) -> Ints:
        """The class of each leg's length, where both its ends are airports; 0 for the others."""
        rows, classes = self.columns, np.zeros(len(self.columns.row), np.int64)
        ends = np.stack([rows.origin, rows.destination])
        placed = np.flatnonzero(((ends >= 0) & (ends < len(self.airports))).all(axis=0))
        a, b = self.airports.vectors[ends[:, placed]]
        classes[placed] = _length_class((a * b).sum(axis=1))
        return classes

    def _contexts(
        self,
        which: Which,
        day: date,
        aircraft: str,
        operator: str | None,
        typecode: str | None,
        other: int | None,
        bucket: int | None,
    ) -> tuple[list[Context], list[Context]]:
        """The legs that count in each table, from narrow to broad: first the tables of the aircraft or of the other end, then
        the rest but that of all legs."""
        columns, number = self.columns, self._words.get(aircraft, len(self._words))
        fields = ((columns.operator, self._by_operator, operator), (columns.typecode, self._by_typecode, typecode))
        shared = [(column, by, self._words[word]) for column, by, word in fields if word and word in self._words]
        ours, theirs = self._ends(which)
        own = Context.of(self._usable(self._by_aircraft.of([number]), which, day), ours)
        broad = [Context.of(self._usable(by.of([of]), which, day), ours) for _, by, of in shared]
        if other is None:
            return [own], broad
        leaving = self._usable(self._by_origin.of([other]), "destination", day)
        arriving = self._usable(self._by_destination.of([other]), "origin", day)
        there, back = (leaving, arriving) if which == "destination" else (arriving, leaving)
        sure = there[~(columns.vague[there] | self._reported[there])]
        times = columns.departed if which == "destination" else columns.arrived
        closeness = np.zeros(len(sure)) if bucket is None else _closeness(times[sure], bucket)
        own_there, own_back = (rows[columns.aircraft[rows] == number] for rows in (there, back))
        narrow = [
            Context.of(own_there, ours),
            Context.of(own_back[-BACK_AGAIN:], theirs, OWN_WAY_BACK),
            own,
            Context(sure, closeness, ours[sure]).where(closeness > 0),
            *(Context.of(there[column[there] == of], ours) for column, _, of in shared),
            Context.of(there, ours),
            Context.of(back, theirs, WAY_BACK, new_alone=True),
        ]
        return narrow, broad

    # --------------------------------------------------------------------------------------------------------------- ways

    @cached_property
    def _flown(self) -> Flown:
        rows, table = self.columns, self.airports
        places = np.stack([table.latitude, table.longitude, np.nan_to_num(table.elevation_ft)], axis=1)
        nowhere = np.full((len(self._codes) - len(table) + 1, 3), np.nan)
        at = np.concatenate([places, nowhere])
        ends = np.stack([at[rows.origin], at[rows.destination]], axis=1)
        return flown(self._ways, ends, np.stack([rows.begun_in_sight, rows.observed], axis=1))

    def came_by(
        self, which: Which, day: date, *, other: int | None, latitude: float, longitude: float, altitude: float, course: float
    ) -> tuple[Floats, Floats, Floats]:
        """Of the tracked legs before a day with that other end (any, for None): how many had each row of the airport
        table as their end; how many of these came by a position on this course (deg; NaN: unknown), each counting
        between 0 and 1; and which share of flights there takes a way flown before. Those of which nobody saw whether they
        did are left out of the counts."""
        ours, size = self._ends(which)[0], len(self.airports)
        index, sharing = self._ways_before(which, day, other)
        if not len(index):
            return np.zeros(size), np.zeros(size), sharing
        legs, seen, unseen = self._flown.near(latitude, longitude, altitude, course, None if other is None else index)
        came, told = np.zeros(len(ours)), np.ones(len(ours))
        came[legs], told[legs] = seen, 1 - np.maximum(unseen - seen, 0.0)
        flights, passed = (np.asarray(np.bincount(ours[index], of[index], size), np.float64) for of in (told, came))
        return flights, passed, sharing

    def _ways_before(self, which: Which, day: date, other: int | None) -> tuple[Ints, Floats]:
        """The legs with a way that were over before a day and have that other end, and the share of `_sharing` of them."""
        key = (which, day, other)
        if key not in self._compared:
            if len(self._compared) >= PRIORS_KEPT:
                self._compared.clear()
            ours, theirs = self._ends(which)
            past = (ours >= 0) & (ours < len(self.airports)) & (self.columns.arrived < _midnight(day)) & self._has_way
            index = np.flatnonzero(past & (theirs == other)) if other is not None else np.flatnonzero(past)
            self._compared[key] = index, self._sharing(past, index, ours)
        return self._compared[key]

    def _sharing(self, past: Flags, index: Ints, ours: Ints) -> Floats:
        """The share of flights that take a way flown before, for each airport: that among these legs, leaning to that of
        all routes as if `LEANING` of them had been seen."""
        compared = np.flatnonzero(past & ~np.isnan(self._follows))
        usual = (self._follows[compared].sum() + SHARING * LEANING) / (len(compared) + LEANING)
        index = index[~np.isnan(self._follows[index])]
        places, which = np.unique(ours[index], return_inverse=True)
        shares = np.full(len(self.airports), usual)
        shares[places] = (np.bincount(which, self._follows[index]) + usual * LEANING) / (np.bincount(which) + LEANING)
        return shares

    @cached_property
    def _follows(self) -> Floats:
        rows, size = self.columns, len(self._codes)
        named = (rows.origin != NULL) & (rows.destination != NULL)
        return self._flown.follows(np.where(named, rows.origin * size + rows.destination, NULL))

    @cached_property
    def _has_way(self) -> Flags:
        return np.array([len(way) > 0 for way in self._ways], dtype=bool)

    # ------------------------------------------------------------------------------------------------------------- visits

    def earlier_visits(
        self, day: date, places: Flags, *, tail: Tail | None = None, operator: str | None = None, typecode: str | None = None
    ) -> Visits:
        """Visits to places (a flag for each row of the airport table) before a day, oldest first: of all, or of one
        aircraft, operator or type."""
        return Visits(self, self._visiting(day, places, tail, operator, typecode), day)

    def flights(self, day: date, tail: Tail) -> list[Leg]:
        """The flights of one aircraft that ended before a day, in order of departure."""
        if tail not in self._flights:
            if len(self._flights) >= AIRCRAFT_KEPT:
                self._flights.clear()
            mine = self._of_tail(tail)
            legs = self._record.legs(self.columns.row[mine])
            self._flights[tail] = (self.columns.arrived[mine], legs)
        arrived, legs = self._flights[tail]
        return [legs[i] for i in np.flatnonzero(arrived < _midnight(day)).tolist()]

    def destinations(self, day: date, tail: Tail) -> list[str]:
        """Where the flights of one aircraft led that ended before a day, as far as known."""
        mine = self._of_tail(tail)
        led = self.columns.destination[mine[self.columns.arrived[mine] < _midnight(day)]]
        return [self._places[code] for code in led[led != NULL].tolist()]

    def visitors(self, rows: tuple[int, ...]) -> frozenset[str]:
        """The aircraft (address or registration) that ever ended a leg at one of these rows of the airport table."""
        if rows not in self._visitors:
            there = np.unique(self.columns.aircraft[np.isin(self.columns.destination, rows)])
            self._visitors[rows] = frozenset(self._spelled[n] for n in there if n != NULL)
        return self._visitors[rows]

    def _visiting(self, day: date, places: Flags, tail: Tail | None, operator: str | None, typecode: str | None) -> Ints:
        """The rows of such visits, in order. What is gone through are the flights to these places or those of the aircraft,
        operator or type, whichever are fewer."""
        rows, there, midnight = self.columns, np.flatnonzero(places), _midnight(day)
        asked = [(self._by_operator, operator), (self._by_typecode, typecode)]
        kinds = [by.of([self._words.get(word, len(self._words))]) for by, word in asked if word is not None]
        kinds += [self._of_tail(tail)] if tail is not None else []
        if not kinds or self._by_destination.count(there) < min(map(len, kinds)):
            led, arrived = self._led_to(there)
            found = led[arrived < midnight]
        else:
            found = min(kinds, key=len)
            found = found[rows.arrived[found] < midnight]
            to = rows.destination[found]
            placed = (to >= 0) & (to < len(places))
            found = found[placed][places[to[placed]]]
        for column, word in ((rows.operator, operator), (rows.typecode, typecode)):
            if word is not None:
                found = found[column[found] == self._words.get(word, len(self._words))]
        if tail is not None:
            found = found[np.isin(rows.aircraft[found], self._numbers_of(tail))]
        return np.asarray(found)

    def _led_to(self, there: Ints) -> tuple[Ints, Ints]:
        """The flights to some places, in order, and when they arrived."""
        key = there.tobytes()
        if key not in self._led:
            if len(self._led) >= PLACES_KEPT:
                self._led.clear()
            led = self._by_destination.of(there)
            self._led[key] = led, self.columns.arrived[led]
        return self._led[key]

    def _numbers_of(self, tail: Tail) -> list[int]:
        return sorted({self._words[name] for name in tail if name is not None and name in self._words})

    def _of_tail(self, tail: Tail) -> Ints:
        """The rows of an aircraft, in order."""
        return self._by_aircraft.of(self._numbers_of(tail))

    @cached_property
    def arrival_days(self) -> NDArray[np.int32]:
        """The days (ordinals) on which the legs ended."""
        return (self.columns.arrived // DAY_US + EPOCH_ORDINAL).astype(np.int32)

    @cached_property
    def _by_aircraft(self) -> Index:
        return Index.made(self.columns.aircraft, len(self._words))

    @cached_property
    def _by_origin(self) -> Index:
        return Index.made(self.columns.origin, len(self._codes))

    @cached_property
    def _by_operator(self) -> Index:
        return Index.made(self.columns.operator, len(self._words))

    @cached_property
    def _by_typecode(self) -> Index:
        return Index.made(self.columns.typecode, len(self._words))

    @cached_property
    def _by_destination(self) -> Index:
        return Index.made(self.columns.destination, len(self._codes))

    def visit(self, i: int, day: date) -> EarlierVisit:
        """The visit at the end of a leg, as it was known before a day. Visits are asked for again and again: each is put
        together once while it lasts, and once over."""
        if i not in self._next:
            own = self._by_aircraft.of([int(self.columns.aircraft[i])])
            later = int(np.searchsorted(self.columns.departed[own], self.columns.arrived[i], side="right"))
            self._next[i] = int(own[later]) if later < len(own) else None
        next_ = self._next[i]
        if next_ is not None and self.columns.departed[next_] >= _midnight(day):
            next_ = None
        if (i, next_) not in self._told:
            self._told[i, next_] = self._visit_until(i, next_)
        return self._told[i, next_]

    def _visit_until(self, i: int, next_: int | None) -> EarlierVisit:
        """The visit between two legs of an aircraft, or since the first of them."""
        rows = self.columns
        left = next_ if next_ is not None and _agree(rows.destination[[i]], rows.origin[[next_]], self.airports)[0] else None
        return EarlierVisit(
            registration=self.word(rows.registration[i]),
            operator=self.word(rows.operator[i]),
            airport=self._places[rows.destination[i]],
            arrived=utc(int(rows.arrived[i])),
            left=None if left is None else utc(int(rows.departed[left])),
            basis="observed" if rows.observed[i] else "inferred",
            source="listed" if rows.listed[i] else "tracked",
            days_only=bool(rows.vague[i] or (left is not None and rows.vague[left])),
        )

    def word(self, number: int) -> str | None:
        """The registration, operator or type of the columns that has a number."""
        return None if number == NULL else self._spelled[number]

    def number(self, word: str | None) -> int:
        """The inverse of `word`; for a word that no leg has, a number that none has."""
        return NULL if word is None else self._words.get(word, len(self._words))

    def code(self, number: int) -> str:
        """The place of the columns that has a number."""
        return self._places[number]

    def numbers(self, codes: pa.ChunkedArray) -> Ints:
        """The numbers that the columns have for some places; each place that the history does not know has one of its own
        behind those."""
        found = dict(self._codes)
        return np.array([found.setdefault(code, len(found)) for code in codes.to_pylist()], np.int64)

    def words(self, names: pa.ChunkedArray) -> Ints:
        """The numbers that the columns have for some aircraft, as `numbers` has those of places."""
        found = dict(self._words)
        return np.array([found.setdefault(name, len(found)) for name in names.to_pylist()], np.int64)

    def tail(self, number: int) -> Tail:
        """The aircraft of the columns that has a number."""
        return self._tail_of(self._spelled[number])

    # ----------------------------------------------------------------------------------------------------------- exposure

    def covered_members(self, operator: str, day: date) -> list[Tail]:
        """The aircraft of an operator that the history before a day knows and some exposure covers."""
        if operator not in self._members:
            self._members[operator] = self._members_of(operator)
        midnight, first = _midnight(day), day.toordinal()
        return [tail for tail, departed, exposed in self._members[operator] if departed < midnight and exposed < first]

    def _members_of(self, operator: str) -> list[tuple[Tail, int, int]]:
        """The aircraft of an operator, with the time of the first flight and the first covered day (ordinal) of each."""
        mine = self._by_operator.of([self._words.get(operator, len(self._words))])
        numbers, first = np.unique(self.columns.aircraft[mine], return_index=True)
        departed = self.columns.departed[mine[first]]
        known = [
            (self._tail_of(self._spelled[n]), d) for n, d in zip(numbers.tolist(), departed.tolist(), strict=True) if n != NULL
        ]
        return [(tail, d, int(days[0])) for tail, d in known if len(days := self._covered_days(self._exposures_of(tail)))]

    def _tail_of(self, name: str) -> Tail:
        return (name, self._record.registrations.get(name)) if ADDRESS.fullmatch(name) else (None, name)

    def observed_days(self, day: date, tails: Sequence[Tail]) -> Ints:
        """The days (ordinals, ascending) before a day on which a flight of each of these aircraft would have been
        recorded."""
        key = frozenset(map(self._exposures_of, tails))
        if key not in self._common:
            if len(self._common) >= AIRCRAFT_KEPT:
                self._common.clear()
            self._common[key] = reduce(np.intersect1d, map(self._covered_days, key)) if key else np.empty(0, np.int64)
        days = self._common[key]
        return days[: np.searchsorted(days, day.toordinal())]

    def _exposures_of(self, tail: Tail) -> tuple[int, ...]:
        """The exposures that cover an aircraft, by their numbers. Most aircraft have the same."""
        if tail not in self._covering:
            self._covering[tail] = tuple(n for n, exposure in enumerate(self.exposures) if exposure.scope.covers(*tail))
        return self._covering[tail]

    def _covered_days(self, numbers: tuple[int, ...]) -> Ints:
        if numbers not in self._covered:
            covering = [self.exposures[n] for n in numbers]
            spans = [np.arange(e.first.toordinal(), e.last.toordinal() + 1) for e in covering]
            self._covered[numbers] = np.unique(np.concatenate([np.empty(0, np.int64), *spans]))
        return self._covered[numbers]


@dataclass(frozen=True)
class Visits(Sequence[EarlierVisit]):
    """Some visits before a day, in order: `rows` are the legs that brought them. Each is put together when it is looked at."""

    baseline: Baseline
    rows: Ints
    day: date

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> EarlierVisit: ...
    @overload
    def __getitem__(self, index: slice) -> Visits: ...
    def __getitem__(self, index: int | slice) -> EarlierVisit | Visits:
        if isinstance(index, slice):
            return self.where(index)
        return self.baseline.visit(int(self.rows[index]), self.day)

    @property
    def days(self) -> NDArray[np.int32]:
        """The days (ordinals) of the arrivals."""
        return self.baseline.arrival_days[self.rows]

    def on(self, days: Ints) -> Flags:
        """Which of them were on some days (ordinals, ascending)."""
        own = self.days
        if len(days) and days[-1] - days[0] == len(days) - 1:  # no day is missing, as mostly
            return np.asarray((own >= days[0]) & (own <= days[-1]))
        return np.isin(own, days)

    def where(self, which: Flags | slice) -> Visits:
        return Visits(self.baseline, self.rows[which], self.day)

    def of_registration(self, registration: str | None) -> Flags:
        """Which of them are those of a registration, or of none that is known."""
        return np.asarray(self.baseline.columns.registration[self.rows] == self.baseline.number(registration))

    def of_operator(self, operator: str | None) -> Flags:
        return np.asarray(self.baseline.columns.operator[self.rows] == self.baseline.number(operator))


@dataclass(frozen=True)
class Past:
    """What all legs before a day tell of one end: how many had each airport, those that are reports apart, and how many
    between two airports there were of each class of length."""

    counts: Floats
    reports: Floats
    lengths: Ints


@dataclass(frozen=True)
class Lengths:
    """For each airport the class of its distance from a leg's other end, and how many legs there were of each class."""

    of_airport: Ints
    legs: Ints

    def preferred(self, weight: Floats) -> Floats:
        """Weights of airports moved by `BY_LENGTH` to the lengths that legs have: first the length is drawn, then the airport
        among those of that length. The sum stays."""
        total = np.bincount(self.of_airport, weights=weight, minlength=LENGTH_CLASSES)
        drawn = np.where(total > 0, self.legs + 1.0, 0.0)
        share = drawn / drawn.sum() * total.sum() / np.where(total > 0, total, 1.0)
        moved = ((1 - BY_LENGTH) + BY_LENGTH * share)[self.of_airport]
        moved *= weight
        return np.asarray(moved)


def _length_class(cosine: Floats) -> Ints:
    """The class of lengths by the cosine of the angle that they span."""
    classes = np.zeros(len(cosine), np.int8)
    for least in LENGTH_COSINES:
        classes += cosine <= least
    return classes.astype(np.int64)


@dataclass(frozen=True, slots=True)
class Context:
    """Legs (rows, in order), how much each counts, the airport that each tells of, and whether they tell of those alone that no
    narrower table gave."""

    rows: Ints
    weight: Floats
    airport: Ints
    new_alone: bool = False

    @classmethod
    def of(cls, rows: Ints, ends: Ints, weight: float = 1.0, new_alone: bool = False) -> Context:
        return cls(rows, np.full(len(rows), weight), ends[rows], new_alone)

    def where(self, kept: Flags) -> Context:
        return Context(self.rows[kept], self.weight[kept], self.airport[kept], self.new_alone)

    def same_as(self, other: Context) -> bool:
        pairs = ((self.rows, other.rows), (self.weight, other.weight), (self.airport, other.airport))
        return len(self.rows) == len(other.rows) and all(np.array_equal(*pair) for pair in pairs)


Table = tuple[Floats, float]
"""How much counts for each airport, and the sum of what the nearest leg to each counts."""


def _counted(context: Context, size: int) -> Table:
    counts = np.asarray(np.bincount(context.airport, weights=context.weight, minlength=size), dtype=np.float64)
    nearest = np.zeros(size)
    np.maximum.at(nearest, context.airport, context.weight)
    return counts, float(nearest.sum())


def _told_once(contexts: Sequence[Context], reported: Flags, size: int) -> tuple[list[Context], Flags]:
    """The legs of each table, from narrow to broad, without reports and ways back of what a narrower one gave; and what all of
    them gave."""
    given = np.zeros(size, bool)
    told = []
    for context in contexts:
        told.append(context.where(~((reported[context.rows] | context.new_alone) & given[context.airport])))
        given[told[-1].airport] = True
    return told, given


def _distinct(contexts: Sequence[Context]) -> list[Context]:
    """Those that hold any legs, and other ones than each broader one: the same legs, asked twice, would look like twice as
    many."""
    return [c for i, c in enumerate(contexts) if len(c.rows) and not any(map(c.same_as, contexts[i + 1 :]))]


def _backed_off(narrow: Sequence[Table], broad: Sequence[Table], bottom: Floats, lengths: Lengths | None) -> Floats:
    """The outcomes of each table, from narrow to broad, as one distribution over all outcomes."""
    asked = (narrow, broad, bottom, lengths)
    if not (narrow or broad):  # both are one
        return _interpolated(*asked)
    return np.asarray((1 - NEW) * _interpolated(*asked) + NEW * _excluding(*asked))


def _interpolated(narrow: Sequence[Table], broad: Sequence[Table], bottom: Floats, lengths: Lengths | None) -> Floats:
    """Each table beside what the broader ones say together."""
    probability = bottom if lengths is None else lengths.preferred(bottom)
    for number, (counts, nearest) in reversed(list(enumerate([*narrow, *broad]))):
        escape = ESCAPE * max(nearest, 1.0)  # where nothing is near, the table says little
        drawn = counts if lengths is None or number < len(narrow) else lengths.preferred(counts)
        probability = (drawn + escape * probability) / (counts.sum() + escape)
    return np.asarray(probability / probability.sum())


def _excluding(narrow: Sequence[Table], broad: Sequence[Table], bottom: Floats, lengths: Lengths | None) -> Floats:
    """Each outcome from the narrowest table that gave it."""
    probability = np.zeros(len(bottom))
    given = np.zeros(len(bottom), bool)
    left = 1.0
    for number, (counts, _) in enumerate([*narrow, *broad]):
        fresh = np.where(given, 0.0, counts)
        different = float(np.count_nonzero(fresh))
        if not different:
            continue
        drawn = fresh if lengths is None or number < len(narrow) else lengths.preferred(fresh)
        total = float(fresh.sum()) + different
        probability += left * drawn / total
        left *= different / total
        given |= fresh > 0
    rest = np.where(given, 0.0, bottom)
    rest = rest if lengths is None else lengths.preferred(rest)
    return np.asarray(probability + left * rest / rest.sum())


def _closeness(times: Ints, bucket: int) -> Floats:
    """How near times lie to a bucket of the time of day, whichever the day: 1 for the very time, 0 for far away."""
    minutes = times // MINUTE_US % DAY_MIN
    away = np.abs(minutes - (bucket + 0.5) * CLOCK_STEP_MIN)
    off = np.minimum(away, DAY_MIN - away) / PUNCTUAL_MIN
    return np.where(off < FAR, np.exp(-0.5 * off**2), 0.0)


# ------------------------------------------------------------------------------------------------------------------- recording


def recorded(table: pa.Table, airports: Airports) -> Record:
    """What a table of `LEGS` records."""
    texts = {w for name in ("icao24", "registration", "operator", "typecode") for w in table[name].unique().to_pylist() if w}
    words = {word: i for i, word in enumerate(sorted(texts))}
    codes = dict(airports.rows)
    for name in ("origin", "destination"):
        for code in table[name].unique().to_pylist():
            if code is not None:
                codes.setdefault(code, len(codes))
    known = table.filter(pc.and_(pc.is_valid(table["icao24"]), pc.is_valid(table["registration"])))
    registrations = dict(zip(known["icao24"].to_pylist(), known["registration"].to_pylist(), strict=True))
    departed = _first_known(table, "takeoff_time", "first_seen", "landing_time")
    address, registration = (_numbers(table[name], words) for name in ("icao24", "registration"))
    rows = Columns(
        aircraft=np.where(address == NULL, _addresses_of(registration, address, departed), address),
        registration=registration,
        operator=_numbers(table["operator"], words),
        typecode=_numbers(table["typecode"], words),
        origin=_numbers(table["origin"], codes),
        destination=_numbers(table["destination"], codes),
        departed=departed,
        arrived=_first_known(table, "landing_time", "last_seen", "takeoff_time"),
        listed=np.array(pc.equal(table["source"], "listed").to_numpy(zero_copy_only=False), dtype=bool),
        observed=_is_observed(table, "destination"),
        told_by=_lists(table),
        vague=_are_days(table),
        begun_in_sight=_is_observed(table, "origin"),
        row=np.arange(len(table)),
    )
    rows = rows.take(np.argsort(departed, kind="stable"))
    twice = told_twice(rows.aircraft, rows.departed, rows.told_by, rows.origin, rows.destination, airports)
    return Record(rows.take(~twice), words, codes, registrations, lambda some: legs_from_table(table.take(pa.array(some))))


def in_order(*keys: Numbers) -> Ints:
    """The stable order of rows by some keys, the first of which counts most."""
    order = _in_order(keys[-1])
    for key in reversed(keys[:-1]):
        order = order[_in_order(key[order])]
    return order


def _in_order(key: Numbers) -> Ints:
    """The same by one key: key and place in one number, where both fit, because sorting numbers is several times as fast as
    sorting an index."""
    if not len(key):
        return np.arange(0)
    bits = len(key).bit_length()
    most = 1 << (63 - bits)
    high = key - key.min().astype(np.int64)
    if high.max() >= most and not (high % MICROSECONDS).any():
        high //= MICROSECONDS
    if high.max() >= most:
        return np.asarray(np.argsort(key, kind="stable"))
    high <<= bits
    high += np.arange(len(key))
    high.sort()
    high &= (1 << bits) - 1
    return np.asarray(high)


Numbers = Ints | NDArray[np.int32]


def places_of(order: Ints) -> Ints:
    """Where each row stands in an order of rows."""
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return place


def moved(column: NDArray[Any], place: Ints) -> NDArray[Any]:
    """A column with each value at its place. Where the rows of one aircraft are gathered from all over, it is several times as
    fast to write each there as to read one after another: what comes next to be written is near what was."""
    there = np.empty_like(column)
    there[place] = column
    return there


def told_twice(
    aircraft: Numbers, departed: Ints, told_by: Numbers, origin: Numbers, destination: Numbers, airports: Airports
) -> Flags:
    """Which legs are listed ones that are tracked, too, or stand in another list: one flight counts once, and each leg stands
    for one row of a list. The legs are in order of departure. `told_by` are numbers of lists, `TRACKED_ROW` for tracked legs;
    places are rows of the airport table, or others (beyond it, or -1). Of the lists that tell of a flight, the first row
    stands."""
    order = in_order(aircraft)
    place = places_of(order)
    one, other = (order[at] for at in _near_pairs(moved(aircraft, place), moved(departed, place), moved(told_by, place)))
    ends = [(side[one], side[other]) for side in (origin, destination)]
    known = np.logical_or.reduce([(a != NULL) & (b != NULL) for a, b in ends])
    same = known & np.logical_and.reduce([_agree(a, b, airports) for a, b in ends])
    one, other = one[same], other[same]
    twice = np.zeros(len(order), bool)
    legs, many = np.unique(np.concatenate([one, other]), return_counts=True)
    alone = (many[np.searchsorted(legs, one)] == 1) & (many[np.searchsorted(legs, other)] == 1)  # as nearly all pairs are
    first, last = (pick(one[alone], other[alone]) for pick in (np.minimum, np.maximum))
    twice[np.where(told_by[last] == TRACKED_ROW, first, last)] = True
    pairs: dict[int, list[int]] = {}
    for a, b in zip(one[~alone].tolist(), other[~alone].tolist(), strict=True):
        pairs.setdefault(a, []).append(b)
        pairs.setdefault(b, []).append(a)
    used: set[tuple[int, int]] = set()
    for leg in sorted(leg for leg in pairs if told_by[leg] != TRACKED_ROW):
        own = int(told_by[leg])
        stand = [p for p in sorted(pairs[leg]) if told_by[p] == TRACKED_ROW or (p < leg and not twice[p])]
        fit = [p for p in stand if (p, own) not in used]
        if fit:
            used.add((min(fit, key=lambda p: abs(departed[p] - departed[leg])), own))
            twice[leg] = True
    return twice


def _near_pairs(aircraft: Numbers, departed: Ints, told_by: Numbers) -> tuple[Ints, Ints]:
    """The pairs of legs of one aircraft that depart within `SAME_FLIGHT_US` and are told of by different sources. The legs
    are in order of aircraft and departure."""
    parts, step = [(np.empty(0, np.int64), np.empty(0, np.int64))], 1
    at = np.flatnonzero((aircraft[1:] == aircraft[:-1]) & (np.diff(departed) <= SAME_FLIGHT_US))
    while len(at):
        differ = at[told_by[at + step] != told_by[at]]
        parts.append((differ, differ + step))
        step += 1
        at = at[at + step < len(aircraft)]
        at = at[(aircraft[at + step] == aircraft[at]) & (departed[at + step] - departed[at] <= SAME_FLIGHT_US)]
    return np.concatenate([a for a, _ in parts]), np.concatenate([b for _, b in parts])


def _agree(a: Numbers, b: Numbers, airports: Airports) -> Flags:
    """Whether two ends can be one place: a null agrees with all, others if they are one or lie near each other, because
    lists name cities (MOW) and neighbouring fields."""
    agree = np.asarray((a == NULL) | (b == NULL) | (a == b))
    lat, lon = airports.latitude, airports.longitude
    apart = np.flatnonzero(~agree & (np.maximum(a, b) < len(airports)))
    apart = apart[np.abs(lat[a[apart]] - lat[b[apart]]) * NM_A_DEG <= 2 * SAME_PLACE_NM]  # most are far apart by that alone
    if not len(apart):
        return agree
    one, other = a[apart], b[apart]
    agree[apart] = distance_nm(lat[one], lon[one], lat[other], lon[other]) <= SAME_PLACE_NM
    return agree


def _midnight(day: date) -> int:
    return (day.toordinal() - EPOCH_ORDINAL) * DAY_US


def _lists(table: pa.Table) -> Ints:
    """A number for the flight list that each row comes from (the last of its feeds), and one for all tracked ones."""
    listed = np.array(pc.equal(table["source"], "listed").to_numpy(zero_copy_only=False), dtype=bool)
    names = [feeds[-1] for feeds in table["feeds"].filter(pa.array(listed)).to_pylist()]
    out = np.full(len(table), TRACKED_ROW, dtype=np.int64)
    out[listed] = np.unique(np.array(names, dtype=str), return_inverse=True)[1]
    return out


def _are_days(table: pa.Table) -> Flags:
    """Whether the landing of each row is known to a day and no better."""
    first, last = (pc.fill_null(table[name].cast(pa.int64()), 0) for name in ("landing_earliest", "landing_latest"))
    return np.asarray(pc.subtract(last, first).to_numpy(zero_copy_only=False) > DAY_US // 2)


def _addresses_of(registration: Ints, address: Ints, departed: Ints) -> Ints:
    """For each row the address under which its registration is known from other rows (the last one known), else the
    registration itself: lists often have registrations alone."""
    both = np.flatnonzero((registration != NULL) & (address != NULL))
    both = both[np.argsort(departed[both], kind="stable")]
    known = dict(zip(registration[both].tolist(), address[both].tolist(), strict=True))
    return np.array([known.get(r, r) for r in registration.tolist()], dtype=np.int64)


def _is_observed(table: pa.Table, end: Which) -> Flags:
    return np.array(pc.equal(table[f"{end}_basis"], "observed").to_numpy(zero_copy_only=False), dtype=bool)


def _numbers(column: pa.ChunkedArray, numbers: dict[str, int]) -> Ints:
    encoded = column.combine_chunks().dictionary_encode()
    table = np.array([numbers[w] for w in encoded.dictionary.to_pylist()] + [NULL], dtype=np.int64)
    return np.asarray(table[pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)])


def _first_known(table: pa.Table, *names: str) -> Ints:
    return np.array(
        pc.fill_null(pc.coalesce(*[table[n].cast(pa.int64()) for n in names]), 0).to_numpy(zero_copy_only=False), dtype=np.int64
    )
