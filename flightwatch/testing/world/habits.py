"""Aircraft and fleets that have habits: where each goes, how often, at what time of the day.

Real data do not tell why an aircraft went where it went; here the reasons are known, so that what history tells of an
aircraft, of its operator and of its type can be measured against them. A `Tail` has places with chances and hours of
its own (a state aircraft, a business jet) or those of its line (`timetable`: any aircraft of the fleet flies any of
its routes, each at its hour). `weeks` flies them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from flightwatch.places import Airports
from flightwatch.places.great_circle import distance_nm
from flightwatch.testing.world.flights import Flight, airport, airway, landing, onward

SPREAD_H = 0.4
"""How far (h) a flight with an hour strays from it: the spread."""

WAY_SHARES = (0.7, 0.3)
"""How often each of the ways between two places is taken, where ways are shared."""

DAYTIME = (5.0, 18.0)
"""Between these hours (UTC) everybody leaves who has no hour."""

NEAREST_NM, FARTHEST_NM = 200.0, 1800.0
"""How far somewhere new is."""

READY = timedelta(minutes=35)
STAY_MIN, STAY_SPREAD = 70.0, 0.5
"""Least time between two flights of one aircraft, and its usual stay away from home: a log-normal's median (min) and
spread."""

NIGHT_STOP, NIGHT_H = 0.1, 11.0
"""Trips of aircraft without a timetable that stay away over night, and for how long."""


@dataclass(frozen=True)
class Habit:
    """A place that an aircraft goes to from its home, its share of the trips, and the hour (UTC) at which it leaves,
    if it always leaves at about one."""

    place: str
    share: float
    hour: float | None = None


@dataclass(frozen=True)
class Tail:
    """An aircraft with habits. `trips` is how many trips out and back it makes on a day on average; `wanders` the
    share that goes somewhere it was never before."""

    icao24: str
    registration: str
    typecode: str
    operator: str
    home: str
    habits: tuple[Habit, ...]
    trips: float = 1.0
    wanders: float = 0.0


def line(
    operator: str,
    typecode: str,
    home: str,
    places: Sequence[str],
    count: int,
    first: int,
    rng: np.random.Generator,
    trips: float = 2.0,
) -> tuple[Tail, ...]:
    """A fleet with a timetable: every aircraft flies every route, each at its hour. `first` is its first address."""
    hours = rng.permutation(np.linspace(4, 19, len(places)))
    habits = tuple(Habit(place, 1 / len(places), float(hour)) for place, hour in zip(places, hours, strict=True))
    return tuple(_tail(operator, typecode, home, habits, first + n, trips) for n in range(count))


def faithful(
    operator: str,
    typecode: str,
    home: str,
    places: Sequence[str],
    count: int,
    first: int,
    rng: np.random.Generator,
    trips: float = 0.8,
    wanders: float = 0.03,
) -> tuple[Tail, ...]:
    """A fleet whose aircraft have places of their own: three each out of those of the fleet, one of them most of the
    time, at any hour of the day."""
    tails = []
    for n in range(count):
        own = rng.choice(np.array(places), min(3, len(places)), replace=False)
        habits = tuple(Habit(str(place), share) for place, share in zip(own, (0.65, 0.25, 0.1), strict=False))
        tails.append(_tail(operator, typecode, home, habits, first + n, trips, wanders))
    return tuple(tails)


def roaming(
    operator: str, typecode: str, home: str, places: Sequence[str], count: int, first: int, trips: float = 0.7
) -> tuple[Tail, ...]:
    """A fleet that goes anywhere, at any hour: nothing but the operator's places can be learned of it."""
    habits = tuple(Habit(place, 1 / len(places)) for place in places)
    return tuple(_tail(operator, typecode, home, habits, first + n, trips) for n in range(count))


def _tail(
    operator: str, typecode: str, home: str, habits: tuple[Habit, ...], address: int, trips: float, wanders: float = 0.0
) -> Tail:
    return Tail(f"{address:06x}", f"SYN-{address:X}", typecode, operator, home, habits, trips, wanders)


def weeks(
    tails: Sequence[Tail], begin: datetime, days: int, airports: Airports, rng: np.random.Generator, *, shared_ways: bool = True
) -> tuple[Flight, ...]:
    """What the aircraft fly from a day on, in order of aircraft and time; out and back is two flights. Without shared
    ways every trip takes one of its own."""
    elsewhere = [i for i, large in zip(airports.ident, airports.size == "large", strict=True) if large]
    trips = (trip for tail in tails for trip in _trips(tail, begin, days, airports, elsewhere, rng, shared_ways))
    return tuple(flight for trip in trips for flight in trip)


def _trips(
    tail: Tail,
    begin: datetime,
    days: int,
    airports: Airports,
    elsewhere: Sequence[str],
    rng: np.random.Generator,
    shared_ways: bool,
) -> Iterator[tuple[Flight, Flight]]:
    ready = begin
    for day in range(days):
        midnight = begin + timedelta(days=day)
        wanted = [_trip(tail, airports, elsewhere, rng) for _ in range(rng.poisson(tail.trips))]
        for hour, place in sorted(wanted):
            leaves = midnight + timedelta(hours=hour)
            if leaves < ready:
                continue
            callsign = f"{tail.operator[:3].upper()}{rng.integers(100, 9999)}"
            number = rng.choice(len(WAY_SHARES), p=WAY_SHARES) if shared_ways else rng.integers(len(WAY_SHARES), 1_000_000)
            over = airway(tail.home, place, airports, int(number))
            out = Flight(tail.icao24, tail.registration, tail.typecode, callsign, tail.home, place, leaves, over)
            back = onward(out, airports, _stay(tail, rng), tail.home, over=tuple(reversed(over)))
            ready = landing(back, airports) + READY
            yield out, back


def _trip(tail: Tail, airports: Airports, elsewhere: Sequence[str], rng: np.random.Generator) -> tuple[float, str]:
    """The hour and the place of a trip."""
    if rng.random() < tail.wanders:
        drawn = rng.choice(np.array(elsewhere), 60).tolist()
        near = [place for place in drawn if NEAREST_NM < _apart(tail.home, place, airports) < FARTHEST_NM]
        if near:
            return float(rng.uniform(*DAYTIME)), near[0]
    habit = tail.habits[rng.choice(len(tail.habits), p=_shares(tail))]
    hour = rng.uniform(*DAYTIME) if habit.hour is None else rng.normal(habit.hour, SPREAD_H)
    return float(hour), habit.place


def _apart(ident: str, other: str, airports: Airports) -> float:
    a, b = airport(ident, airports), airport(other, airports)
    return float(distance_nm(a.latitude, a.longitude, b.latitude, b.longitude))


def _shares(tail: Tail) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    share = np.array([habit.share for habit in tail.habits])
    return np.asarray(share / share.sum())


def _stay(tail: Tail, rng: np.random.Generator) -> timedelta:
    if tail.habits[0].hour is None and rng.random() < NIGHT_STOP:
        return timedelta(hours=NIGHT_H + rng.uniform(-2, 2))
    return max(timedelta(minutes=float(STAY_MIN * np.exp(STAY_SPREAD * rng.standard_normal()))), READY)


def chances(tail: Tail, origin: str, hour: float) -> dict[str, float]:
    """Where a tail goes from a place at an hour, by its habits: what a perfect memory of them would say before it saw
    the flight. From anywhere but its home it goes home."""
    if origin != tail.home:
        return {tail.home: 1.0}
    at_that_time = np.array([1 / (DAYTIME[1] - DAYTIME[0]) if h.hour is None else _normal(hour - h.hour) for h in tail.habits])
    weight = _shares(tail) * (at_that_time + 1e-9)
    known = (1 - tail.wanders) * weight / weight.sum()
    return dict(zip((habit.place for habit in tail.habits), known.tolist(), strict=True))


def _normal(hours: float) -> float:
    return float(np.exp(-((hours / SPREAD_H) ** 2) / 2) / (SPREAD_H * np.sqrt(2 * np.pi)))
