"""The counted history: which aircraft flew which routes when, and on which days anybody would have seen it.

In: the legs of the store (tracked and listed), and the days that imports and snapshots cover. Out: for any day, what
was known before it: the prior over the ends of a leg, earlier visits, and the days of exposure. Everything is asked
*as of a UTC day* and answered from the days before it alone, so that live, backfill and any restart give the same
answer, and nothing counts as new because a process is.

The prior backs off through tables of counts from narrow to broad: the aircraft with the leg's other end, the
aircraft, its operator with the other end, its type with it, the other end, the operator, the type, all legs; at the
bottom stand the sizes of airports. A table that was asked n times and gave t different answers keeps t / (n + t) for
answers that it never gave (method C of prediction by partial matching: Moffat, IEEE Transactions on Communications
38, 1990), and what a narrower table has given is left out of the broader ones, because there it is no news. The
probabilities sum to one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flightwatch.places import Airports
from flightwatch.records import LEGS, EarlierVisit, Scope, utc

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Which = Literal["origin", "destination"]

DAY_US = 86_400_000_000

SIZE_WEIGHTS = {"large": 40.0, "medium": 6.0, "small": 0.3, "seaplane": 0.05, "city": 0.0}
"""Relative traffic of airports by size before any history: large ones have some hundred times the movements of small
ones."""

SCHEDULED_FACTOR = 3.0
"""Airports with scheduled service see more of everything."""

NULL = -1

PRIORS_KEPT = 256
"""Priors that are remembered (0.4 MB each): those of the flights that are looked at again and again."""

SAME_FLIGHT_US = DAY_US
"""A listed leg within a day of a tracked one of the same aircraft, with ends that agree, is the same flight: lists
give local days."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """Days on which everything within a scope would have been recorded, both included."""

    scope: Scope
    first: date
    last: date


@dataclass(frozen=True)
class Columns:
    """Legs as arrays of one length, sorted by departure. Words are numbers into `words`; places are rows of the
    airport table, then other codes."""

    leg_id: NDArray[np.object_]
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

    def take(self, index: Ints | Flags | slice) -> Columns:
        return Columns(**{name: getattr(self, name)[index] for name in self.__dataclass_fields__})


class Baseline:
    """The history, built from a table of `LEGS`. `extended` gives a new one with more legs; nothing changes in
    place."""

    def __init__(self, airports: Airports, legs: pa.Table | None = None, exposures: Sequence[Exposure] = ()) -> None:
        self.airports = airports
        self.exposures = tuple(exposures)
        self._table = LEGS.empty_table() if legs is None else legs
        self._visitors: dict[tuple[int, ...], frozenset[str]] = {}
        self._priors: dict[tuple[object, ...], Floats] = {}

    def extended(self, legs: pa.Table, exposures: Sequence[Exposure] | None = None) -> Baseline:
        """With these legs added; one whose `leg_id` is there already takes its place."""
        known = pc.is_in(self._table["leg_id"], value_set=legs["leg_id"].combine_chunks())
        table = pa.concat_tables([self._table.filter(pc.invert(known)), legs])
        return Baseline(self.airports, table, self.exposures if exposures is None else exposures)

    # ------------------------------------------------------------------------------------------------------------ columns

    @cached_property
    def _words(self) -> dict[str, int]:
        texts = {
            w for name in ("icao24", "registration", "operator", "typecode") for w in self._table[name].unique().to_pylist() if w
        }
        return {word: i for i, word in enumerate(sorted(texts))}

    @cached_property
    def _spelled(self) -> list[str]:
        return list(self._words)

    @cached_property
    def _codes(self) -> dict[str, int]:
        """Numbers of places: those of the airport table, then the codes that only lists have."""
        codes = {ident: row for row, ident in enumerate(self.airports.ident)}
        for name in ("origin", "destination"):
            for code in self._table[name].unique().to_pylist():
                if code is not None:
                    codes.setdefault(code, len(codes))
        return codes

    @cached_property
    def _places(self) -> list[str]:
        return list(self._codes)

    @cached_property
    def _countries(self) -> NDArray[np.str_]:
        known = self.airports.country.tolist()
        return np.array([*known, *[""] * (len(self._codes) - len(known))])

    @cached_property
    def columns(self) -> Columns:
        table = self._table
        departed = _first_known(table, "takeoff_time", "first_seen", "landing_time")
        arrived = _first_known(table, "landing_time", "last_seen", "takeoff_time")
        aircraft = _numbers(table["icao24"], self._words)
        registration = _numbers(table["registration"], self._words)
        rows = Columns(
            leg_id=np.array(table["leg_id"].to_pylist(), dtype=object),
            aircraft=np.where(aircraft == NULL, registration, aircraft),
            registration=registration,
            operator=_numbers(table["operator"], self._words),
            typecode=_numbers(table["typecode"], self._words),
            origin=_numbers(table["origin"], self._codes),
            destination=_numbers(table["destination"], self._codes),
            departed=departed,
            arrived=arrived,
            listed=np.array(pc.equal(table["source"], "listed").to_numpy(zero_copy_only=False), dtype=bool),
            observed=np.array(pc.equal(table["destination_basis"], "observed").to_numpy(zero_copy_only=False), dtype=bool),
        )
        order = np.argsort(departed, kind="stable")
        return self._without_doubles(rows.take(order))

    def _without_doubles(self, rows: Columns) -> Columns:
        """Without the listed legs that are tracked, too: one flight counts once."""
        tracked = ~rows.listed
        drop = np.zeros(len(rows.aircraft), bool)
        for i in np.flatnonzero(rows.listed & np.isin(rows.aircraft, rows.aircraft[tracked])):
            same = np.flatnonzero(
                tracked & (rows.aircraft == rows.aircraft[i]) & (np.abs(rows.departed - rows.departed[i]) <= 1.5 * SAME_FLIGHT_US)
            )
            drop[i] = any(
                self._agree(rows.origin[i], rows.origin[j]) and self._agree(rows.destination[i], rows.destination[j])
                for j in same
            )
        return rows.take(~drop)

    def _agree(self, a: int, b: int) -> bool:
        """Whether two ends can be one place: a null agrees with all, others if they lie in one country."""
        return NULL in (a, b) or a == b or (self._countries[a] != "" and self._countries[a] == self._countries[b])

    def _before(self, day: date) -> slice:
        """The legs that were over before a day."""
        return slice(0, int(np.searchsorted(self.columns.departed, _midnight(day))))

    # -------------------------------------------------------------------------------------------------------------- prior

    @cached_property
    def _by_size(self) -> Floats:
        sizes = np.array([SIZE_WEIGHTS[s] for s in self.airports.size]) * np.where(self.airports.scheduled, SCHEDULED_FACTOR, 1.0)
        return np.asarray(sizes / sizes.sum())

    def over(
        self, which: Which, day: date, *, aircraft: str, operator: str | None, typecode: str | None, other: int | None
    ) -> Floats:
        """The prior over one end of a leg that begins on a day, as a probability for every row of the airport
        table."""
        key = (which, day, aircraft, operator, typecode, other)
        if key not in self._priors:
            if len(self._priors) >= PRIORS_KEPT:
                self._priors.clear()
            self._priors[key] = self._over(which, day, aircraft, operator, typecode, other)
        return self._priors[key]

    def _over(
        self, which: Which, day: date, aircraft: str, operator: str | None, typecode: str | None, other: int | None
    ) -> Floats:
        rows = self.columns.take(self._before(day))
        ours, theirs = (rows.destination, rows.origin) if which == "destination" else (rows.origin, rows.destination)
        usable = (ours >= 0) & (ours < len(self.airports)) & (rows.arrived < _midnight(day))
        contexts = self._contexts(rows, theirs, aircraft, operator, typecode, other)
        return _backed_off([ours[usable & context] for context in contexts], self._by_size)

    def _contexts(
        self, rows: Columns, theirs: Ints, aircraft: str, operator: str | None, typecode: str | None, other: int | None
    ) -> list[Flags]:
        """Which legs count in each table, from narrow to broad."""
        own = rows.aircraft == self._words.get(aircraft, len(self._words))
        fields = {"operator": operator, "typecode": typecode}
        shared = [getattr(rows, name) == self._words[word] for name, word in fields.items() if word in self._words]
        everything = np.ones(len(rows.aircraft), bool)
        if other is None:
            return [own, *shared, everything]
        from_there = theirs == other
        return [own & from_there, own, *[s & from_there for s in shared], from_there, *shared, everything]

    # ------------------------------------------------------------------------------------------------------------- visits

    def earlier_visits(
        self, day: date, places: Flags, *, aircraft: str | None = None, operator: str | None = None, typecode: str | None = None
    ) -> list[EarlierVisit]:
        """Visits to places (a flag for each row of the airport table) before a day, oldest first: of all, or of one
        aircraft, operator or type."""
        found = self._visiting(day, places, aircraft, operator, typecode)
        return [self._visit(int(i), _midnight(day)) for i in np.flatnonzero(found)]

    def count_visits(
        self, day: date, places: Flags, *, aircraft: str | None = None, operator: str | None = None, typecode: str | None = None
    ) -> int:
        """How many `earlier_visits` there are."""
        return int(np.count_nonzero(self._visiting(day, places, aircraft, operator, typecode)))

    def visitors(self, rows: tuple[int, ...]) -> frozenset[str]:
        """The aircraft (address or registration) that ever ended a leg at one of these rows of the airport table."""
        if rows not in self._visitors:
            there = np.unique(self.columns.aircraft[np.isin(self.columns.destination, rows)])
            self._visitors[rows] = frozenset(self._spelled[n] for n in there if n != NULL)
        return self._visitors[rows]

    def _visiting(self, day: date, places: Flags, aircraft: str | None, operator: str | None, typecode: str | None) -> Flags:
        rows = self.columns
        extra = np.zeros(len(self._codes) - len(places), bool)
        wanted = np.r_[places, extra, False][rows.destination] & (rows.arrived < _midnight(day))
        for column, word in ((rows.aircraft, aircraft), (rows.operator, operator), (rows.typecode, typecode)):
            if word is not None:
                wanted &= column == self._words.get(word, len(self._words))
        return np.asarray(wanted)

    def _visit(self, i: int, until: int) -> EarlierVisit:
        rows = self.columns
        later = np.flatnonzero((rows.aircraft == rows.aircraft[i]) & (rows.departed > rows.arrived[i]) & (rows.departed < until))
        left = rows.departed[later[0]] if len(later) and self._agree(rows.destination[i], rows.origin[later[0]]) else None
        return EarlierVisit(
            registration=self._word(rows.registration[i]),
            operator=self._word(rows.operator[i]),
            airport=self._places[rows.destination[i]],
            arrived=utc(int(rows.arrived[i])),
            left=None if left is None else utc(int(left)),
            basis="observed" if rows.observed[i] else "inferred",
            source="listed" if rows.listed[i] else "tracked",
        )

    def _word(self, number: int) -> str | None:
        return None if number == NULL else self._spelled[number]

    # ----------------------------------------------------------------------------------------------------------- exposure

    def covered_members(self, operator: str, day: date) -> list[str]:
        """The aircraft of an operator (address or registration) that the history before a day knows and some exposure
        covers."""
        rows = self.columns.take(self._before(day))
        mine = np.unique(rows.aircraft[rows.operator == self._words.get(operator, len(self._words))])
        names = [self._spelled[n] for n in mine if n != NULL]
        return [name for name in names if any(_covers(e, name) and e.first < day for e in self.exposures)]

    def observed_days(self, day: date, aircraft: Sequence[str]) -> int:
        """Days before a day on which a flight of each of these aircraft (address or registration) would have been
        recorded."""
        days: set[int] = set()
        for exposure in self.exposures:
            if all(_covers(exposure, name) for name in aircraft):
                last = min(exposure.last.toordinal(), day.toordinal() - 1)
                days.update(range(exposure.first.toordinal(), last + 1))
        return len(days)


def _covers(exposure: Exposure, name: str) -> bool:
    return exposure.scope.covers(name, name)


def _backed_off(tables: Sequence[Ints], bottom: Floats) -> Floats:
    """The outcomes of each table, from narrow to broad, as one distribution over all outcomes."""
    probability = np.zeros(len(bottom))
    given = np.zeros(len(bottom), bool)
    left = 1.0
    for outcomes in tables:
        fresh = outcomes[~given[outcomes]]
        if not len(fresh):
            continue
        counts = np.bincount(fresh, minlength=len(bottom))
        different = np.count_nonzero(counts)
        probability += left * counts / (len(fresh) + different)
        left *= different / (len(fresh) + different)
        given |= counts > 0
    rest = np.where(given, 0.0, bottom)
    return np.asarray(probability + left * rest / rest.sum())


def _midnight(day: date) -> int:
    return (day.toordinal() - date(1970, 1, 1).toordinal()) * DAY_US


def _numbers(column: pa.ChunkedArray, numbers: dict[str, int]) -> Ints:
    encoded = column.combine_chunks().dictionary_encode()
    table = np.array([numbers[w] for w in encoded.dictionary.to_pylist()] + [NULL], dtype=np.int64)
    return np.asarray(table[pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)])


def _first_known(table: pa.Table, *names: str) -> Ints:
    return np.array(
        pc.fill_null(pc.coalesce(*[table[n].cast(pa.int64()) for n in names]), 0).to_numpy(zero_copy_only=False), dtype=np.int64
    )
