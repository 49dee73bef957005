"""How much of the traffic is seen where: coverage, learned from the legs themselves.

A leg tells where it was seen, and where it must have flown while nobody saw it: across the holes that were taken for
flying, and between its track and the airports at its ends. Both are added up, in seconds of flight, by cell, altitude
band and UTC day; a day is that of the leg's arrival, so that what was known before a day can be told afterwards, too.
All feeds count together: coverage is what at least one of them sees.

`contribution` is a pure function of legs and all sums are whole numbers, so legs can be added and taken out again
in any order, and the legs of a store make the same coverage as the days that brought them. What lies back more than
`RECENT_DAYS` is kept by the month and weighs less from month to month, what is older than a year is dropped: the
size follows from the sky and not from the length of the history.

Where no leg came by, coverage is *unknown*, which is not the same as none. Angles in degrees, heights in ft.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from flightwatch.places import Airports
from flightwatch.places.great_circle import EARTH_RADIUS_NM, unit_vectors
from flightwatch.records import WAYPOINT, CoveredBand

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

BANDS_FT = (3_000.0, 10_000.0, 25_000.0)
"""Where one altitude band ends and the next begins: what a receiver has on its horizon at 67, 123 and 194 nm
(4/3 of the earth's radius, as radio waves bend)."""

LOW_BANDS = 2
"""The bands below 10,000 ft, in which aircraft come down to an airport and leave it."""

BAND_NAMES = ("below 3,000 ft", "3,000 to 10,000 ft", "10,000 to 25,000 ft", "above 25,000 ft")

HALF_LIFE_MONTHS = 2
"""A receiver that went away, or a new one, is noticed within a month or two."""

MONTH_DAYS, MONTHS_KEPT, RECENT_DAYS = 30, 12, 32
"""Months here have thirty days from 1970. After a year the weight of one is 1/64. The recent days stand one by one:
legs of them may be judged, or taken out again because more is known of them."""

DOUBT_MIN = 20.0
"""Minutes without anybody that each place is taken to have had: of two or three flights that were seen, not much
follows yet."""

KNOWN_MIN = 10.0
"""Minutes of traffic, as they weigh today, from which on it is said how much of it was seen."""

CERTAIN = 0.9
"""Holes and ends of legs count from this probability on."""

CONTIGUOUS_S = 300
"""Ground and air this close in time were seen one right after the other."""

STEP_S = 120
"""Time between two looks at where an aircraft was: a quarter of a cell at the speed of an airliner."""

DESCENT_FT_PER_NM, CLIMB_FT_PER_NM = 318.0, 400.0
"""A three-degree path, and what transport aircraft climb at."""

CHUNK = 20_000
"""Legs that are worked through at once, to bound memory."""

TABLES_KEPT = 8
"""Days of which the table (1.3 MB) is remembered."""

DAY_S = 86_400
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

# ---------------------------------------------------------------------------------------------------------------------- places

_MIDDLES = np.arange(-90, 90) + 0.5
_ROW = np.maximum(np.round(360 * np.cos(np.radians(_MIDDLES))), 1).astype(np.int64)
"""Cells in each row of one degree of latitude: about as wide as high, so fewer towards the poles."""

_FIRST = np.concatenate([[0], np.cumsum(_ROW)])
CELLS = int(_FIRST[-1])
BANDS = len(BANDS_FT) + 1
PLACES = CELLS * BANDS
_BOUNDS = np.array(BANDS_FT)


def cells_at(latitude: ArrayLike, longitude: ArrayLike) -> Ints:
    """The numbers of the cells in which positions lie."""
    row = np.clip(np.floor(np.asarray(latitude) + 90), 0, 179).astype(np.int64)
    width = _ROW[row]
    column = ((np.asarray(longitude) + 180) % 360 / 360 * width).astype(np.int64)
    return np.asarray(_FIRST[row] + np.minimum(column, width - 1))


def boxes(cells: Ints) -> Floats:
    """West, south, east and north of cells, shape (cells, 4)."""
    row = np.searchsorted(_FIRST, cells, side="right") - 1
    wide = 360 / _ROW[row]
    west = (cells - _FIRST[row]) * wide - 180
    return np.stack([west, row - 90.0, west + wide, row - 89.0], axis=1)


def places_at(latitude: ArrayLike, longitude: ArrayLike, altitude: ArrayLike) -> Ints:
    """Cell and altitude band of positions as one number."""
    return np.asarray(cells_at(latitude, longitude) * BANDS + _BOUNDS.searchsorted(altitude, side="right"))


# ------------------------------------------------------------------------------------------------------------------------ sums


@dataclass(frozen=True)
class Seconds:
    """Seconds of flight, seen and unseen, by day (since 1970) and place: `key` is day times `PLACES` plus place,
    ascending."""

    key: Ints
    seen: Ints
    unseen: Ints


NOTHING = Seconds(*(np.zeros(0, np.int64) for _ in range(3)))


def _summed(key: Ints, seen: Ints, unseen: Ints) -> Seconds:
    keys, at = np.unique(key, return_inverse=True)
    sums = [np.zeros(len(keys), np.int64) for _ in range(2)]
    np.add.at(sums[0], at, seen)
    np.add.at(sums[1], at, unseen)
    left = (sums[0] != 0) | (sums[1] != 0)
    return Seconds(keys[left], sums[0][left], sums[1][left])


@dataclass(frozen=True)
class Table:
    """What was known at the beginning of one day: minutes of traffic, as they weigh on it, by place."""

    seen: NDArray[np.float32]
    unseen: NDArray[np.float32]

    def share(self, latitude: ArrayLike, longitude: ArrayLike, altitude: ArrayLike) -> tuple[Floats, Floats]:
        """How much of the traffic at positions is seen, and of how much there is no telling: shares of one, what is
        missing to it is not seen."""
        place = places_at(latitude, longitude, altitude)
        seen = self.seen[place].astype(np.float64)
        all_ = seen + self.unseen[place] + DOUBT_MIN
        return seen / all_, DOUBT_MIN / all_

    def bands(self) -> list[CoveredBand]:
        """The cells of which it is known how much of the traffic is seen, by altitude band from the ground up."""
        found = []
        for band, name in enumerate(BAND_NAMES):
            seen, unseen = self.seen[band::BANDS], self.unseen[band::BANDS]
            known = np.flatnonzero(seen + unseen >= KNOWN_MIN)
            share = seen[known] / (seen + unseen)[known]
            found.append(CoveredBand(name, boxes(known), share, float(seen.sum()) / 60, float(unseen.sum()) / 60))
        return found

    def low_minutes(self, latitude: ArrayLike, longitude: ArrayLike) -> tuple[float, float]:
        """Minutes of flight below 10,000 ft in the cells of some places, seen and unseen."""
        cells = np.unique(cells_at(latitude, longitude))
        low = (cells[:, None] * BANDS + np.arange(LOW_BANDS)).ravel()
        return float(self.seen[low].sum()), float(self.unseen[low].sum())


@dataclass(frozen=True, eq=False)
class Coverage:
    """All that the legs tell of coverage. `newest` is the newest day that any told of, since 1970."""

    seconds: Seconds = NOTHING
    newest: int = 0
    _tables: dict[int, Table] = field(default_factory=dict, repr=False)

    def changed(self, plus: pa.Table, minus: pa.Table, airports: Airports) -> Coverage:
        """With some legs (columns of `LEGS`) added, and others taken out that were in it."""
        plus, minus = _with_way(plus), _with_way(minus)
        newest = max(self.newest, int(_days(plus).max(initial=0)))
        oldest = (newest // MONTH_DAYS - MONTHS_KEPT - 1) * MONTH_DAYS  # the recent days may lie two months back
        added, gone = (contribution(legs.filter(pa.array(_days(legs) >= oldest)), airports) for legs in (plus, minus))
        parts = (self.seconds, added, Seconds(gone.key, -gone.seen, -gone.unseen))
        key, seen, unseen = (np.concatenate([getattr(p, name) for p in parts]) for name in ("key", "seen", "unseen"))
        day = key // PLACES
        kept = day >= oldest
        month = day - day % MONTH_DAYS
        key = np.where(_is_past(month, newest), month, day) * PLACES + key % PLACES
        return Coverage(_summed(key[kept], seen[kept], unseen[kept]), newest)

    @property
    def told_until(self) -> date:
        """The day after the last one that a leg told of."""
        return date.fromordinal(self.newest + 1 + EPOCH_ORDINAL)

    def as_of(self, day: date) -> Table:
        """What was known before a day. Exactly, if that is among the `RECENT_DAYS`; of older days, what the months
        before tell."""
        asked = day.toordinal() - EPOCH_ORDINAL
        if asked not in self._tables:
            if len(self._tables) >= TABLES_KEPT:
                self._tables.clear()
            self._tables[asked] = self._as_of(asked)
        return self._tables[asked]

    def _as_of(self, asked: int) -> Table:
        known, place = self.seconds.key // PLACES, self.seconds.key % PLACES
        month = known // MONTH_DAYS
        past = _is_past(known - known % MONTH_DAYS, self.newest)
        before = np.where(past, (month + 1) * MONTH_DAYS <= asked, known < asked)
        totals = np.zeros((2, PLACES))
        for age in range(MONTHS_KEPT):  # whole numbers within a month: the order in which they came is forgotten
            mine = before & (month == asked // MONTH_DAYS - age)
            if mine.any():
                for total, seconds in zip(totals, (self.seconds.seen, self.seconds.unseen), strict=True):
                    minutes = np.bincount(place[mine], weights=seconds[mine], minlength=PLACES) / 60
                    total += minutes * 0.5 ** (age / HALF_LIFE_MONTHS)
        return Table(*totals.astype(np.float32))


def _is_past(month_begins: Ints, newest: int) -> Flags:
    """Whether months are kept as a whole: no day of them is recent."""
    return np.asarray(month_begins + MONTH_DAYS <= newest - RECENT_DAYS)


# -------------------------------------------------------------------------------------------------------------- what legs tell


@dataclass(frozen=True)
class Stretches:
    """Straight parts of legs: of which, from where to where (latitude, longitude, altitude), since when, for how long
    (s), and whether it was seen. `slope` (ft/nm) is that of a climb from an airport, or (negative) of a descent to
    one; NaN between waypoints."""

    leg: Ints
    begin: Floats
    end: Floats
    start: Ints
    lasted: Ints
    seen: Flags
    slope: Floats

    def take(self, index: Flags) -> Stretches:
        return Stretches(**{name: getattr(self, name)[index] for name in self.__dataclass_fields__})


def contribution(legs: pa.Table, airports: Airports) -> Seconds:
    """What some legs (columns of `LEGS`) tell, all with their ways."""
    parts = [_of_chunk(legs.slice(at, CHUNK), airports) for at in range(0, len(legs), CHUNK)]
    if not parts:
        return NOTHING
    return _summed(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("key", "seen", "unseen")))


def _with_way(legs: pa.Table) -> pa.Table:
    """The legs that were tracked and kept their way."""
    return legs.filter(pc.fill_null(pc.greater(pc.binary_length(legs["way"]), 0), False))


def _of_chunk(legs: pa.Table, airports: Airports) -> Seconds:
    ways = legs["way"].to_pylist()
    counts = np.array([len(way) // WAYPOINT.itemsize for way in ways], dtype=np.int64)
    points = np.frombuffer(b"".join(ways), WAYPOINT)
    whose = np.repeat(np.arange(len(counts)), counts)
    at = np.stack([points[n].astype(np.float64) for n in ("latitude", "longitude", "altitude")], axis=1)
    time = points["time"].astype(np.int64)
    last = np.cumsum(counts) - 1
    first = last - counts + 1
    parts = [
        _inner(whose, at, time),
        _end(legs, "origin", at[first], time[first], airports),
        _end(legs, "destination", at[last], time[last], airports),
    ]
    stretches = Stretches(*(np.concatenate([getattr(p, n) for p in parts]) for n in Stretches.__dataclass_fields__))
    flown = (stretches.lasted > 0) & (stretches.lasted < DAY_S)  # nobody flies for longer: such times are wrong
    return _sampled(stretches.take(flown), _days(legs), _holes(legs))


def _inner(whose: Ints, at: Floats, time: Ints) -> Stretches:
    """From waypoint to waypoint: seen, but for the holes."""
    here = np.flatnonzero(whose[1:] == whose[:-1])
    seen, slope = np.ones(len(here), bool), np.full(len(here), np.nan)
    return Stretches(whose[here], at[here], at[here + 1], time[here], time[here + 1] - time[here], seen, slope)


def _end(legs: pa.Table, which: str, fix: Floats, fix_time: Ints, airports: Airports) -> Stretches:
    """Between the track and the airport, where that is certain: seen if the ground was seen right before or after, else
    flown unseen."""
    event = "takeoff" if which == "origin" else "landing"
    row = np.array([-1 if (r := airports.row(a)) is None else r for a in legs[which].to_pylist()], dtype=np.int64)
    certain = pc.greater_equal(pc.fill_null(legs[f"{which}_probability"], 0.0), CERTAIN).to_numpy(zero_copy_only=False)
    observed = pc.equal(legs[f"{which}_basis"], "observed").to_numpy(zero_copy_only=False)
    middle = _seconds(legs[f"{event}_time"])
    outer = _seconds(legs[f"{event}_earliest" if which == "origin" else f"{event}_latest"])
    seen = np.asarray(observed & (np.abs(outer - fix_time) <= CONTIGUOUS_S), dtype=bool)
    field = np.stack([airports.latitude[row], airports.longitude[row], np.nan_to_num(airports.elevation_ft[row])], axis=1)
    lasted = np.where((row >= 0) & np.asarray(certain, dtype=bool), np.abs(middle - fix_time), 0)
    if which == "origin":
        begin, end, start, slope = field, fix, middle, np.full(len(row), CLIMB_FT_PER_NM)
    else:
        begin, end, start, slope = fix, field, fix_time, np.full(len(row), -DESCENT_FT_PER_NM)
    return Stretches(np.arange(len(row)), begin, end, start, lasted, seen, slope)


def _sampled(parts: Stretches, days: Ints, holes: Holes) -> Seconds:
    """The seconds of stretches by place, looked at every `STEP_S`."""
    looks = np.maximum(np.round(parts.lasted / STEP_S), 1).astype(np.int64)
    of = np.repeat(np.arange(len(looks)), looks)
    share = (np.arange(len(of)) - np.repeat(np.cumsum(looks) - looks, looks) + 0.5) / looks[of]
    latitude, longitude, length = _between(parts.begin, parts.end, of, share)
    altitude = _heights(parts, of, share, length)
    seconds = (parts.lasted // looks)[of]
    unseen, doubtful = holes.around(parts.leg[of], parts.start[of] + share * parts.lasted[of])
    seen = parts.seen[of] & ~unseen
    told = ~np.isnan(altitude) & ~doubtful
    key = days[parts.leg[of]] * PLACES + places_at(latitude, longitude, np.nan_to_num(altitude))
    return _summed(key[told], np.where(seen, seconds, 0)[told], np.where(seen, 0, seconds)[told])


def _between(begin: Floats, end: Floats, of: Ints, share: Floats) -> tuple[Floats, Floats, Floats]:
    """Points along great circles (spherical interpolation), and how long the whole of each is (nm)."""
    a, b = (unit_vectors(p[:, 0], p[:, 1]) for p in (begin, end))
    angle = np.maximum(np.arccos(np.clip((a * b).sum(axis=1), -1, 1)), 1e-6)[of]
    left, right = np.sin((1 - share) * angle), np.sin(share * angle)
    points = left[:, None] * a[of] + right[:, None] * b[of]
    points /= np.linalg.norm(points, axis=1)[:, None]
    latitude, longitude = np.degrees(np.arcsin(points[:, 2])), np.degrees(np.arctan2(points[:, 1], points[:, 0]))
    return latitude, longitude, angle * EARTH_RADIUS_NM


def _heights(parts: Stretches, of: Ints, share: Floats, length: Floats) -> Floats:
    """Straight from height to height; to and from airports on a plain profile, and level where it is not needed yet."""
    low, high, slope = parts.begin[of, 2], parts.end[of, 2], parts.slope[of]
    climbing = np.minimum(high, low + share * length * slope)
    descending = np.minimum(low, high - (1 - share) * length * slope)
    profile = np.where(slope > 0, climbing, descending)
    return np.asarray(np.where(np.isnan(slope), low + share * (high - low), profile))


@dataclass(frozen=True)
class Holes:
    """The holes in the tracks of some legs, by leg and time; `key` orders leg and beginning (s)."""

    key: Ints
    end: Ints
    flown: Flags

    def around(self, leg: Ints, time: Floats) -> tuple[Flags, Flags]:
        """Which moments of legs lie in a hole that was surely flown, and in which it is doubtful what happened."""
        if not len(self.key):
            return np.zeros(len(leg), bool), np.zeros(len(leg), bool)
        hole = np.searchsorted(self.key, leg * _LEG + time.astype(np.int64), side="right") - 1
        inside = (hole >= 0) & (self.key[hole] // _LEG == leg) & (time < self.end[hole])
        return inside & self.flown[hole], inside & ~self.flown[hole]


_LEG = 1 << 34
"""More seconds than since 1970: legs and times make one number."""


def _holes(legs: pa.Table) -> Holes:
    gaps = legs["gaps"].combine_chunks()
    parents, found = pc.list_parent_indices(gaps), pc.list_flatten(gaps)
    leg = np.asarray(parents, dtype=np.int64)
    start, end = (_seconds(pc.struct_field(found, name)) for name in ("start", "end"))
    flying = pc.equal(pc.struct_field(found, "decision"), "flying").to_numpy(zero_copy_only=False)
    sure = pc.greater_equal(pc.struct_field(found, "probability"), CERTAIN).to_numpy(zero_copy_only=False)
    order = np.lexsort((start, leg))
    return Holes((leg * _LEG + start)[order], end[order], np.asarray(flying & sure, dtype=bool)[order])


def _days(legs: pa.Table) -> Ints:
    """The day (since 1970) on which each leg arrived."""
    return np.asarray(_seconds(pc.coalesce(legs["landing_time"], legs["last_seen"], legs["takeoff_time"])) // DAY_S)


def _seconds(times: pa.Array | pa.ChunkedArray) -> Ints:
    whole = pc.fill_null(times.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    return np.asarray(whole, dtype=np.int64) // 1_000_000
