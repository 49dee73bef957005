"""How rare each leg of a history was, from what came before it alone.

In: a `Baseline`, its legs in the order of their departure (those of a day that a list gives without times in the list's order).
Out: for each of them, before it is learned, a `RouteRarity`. A leg is learned when it is over, so that a flight that is
still in the air tells nothing yet; the same legs give the same figures, whether they come one by one or are read again.

Three models stand behind it: where an aircraft goes (`routes`), how often a route is flown (`rates`), and whether a route
that is flown for the first time is flown again (`recurrence`). The counts of a route are those of all aircraft of the
history, and its days are those on which any of them was watched: a day that an import covers, or one with polls in at
least twenty of its hours. Where no day is known to be watched, the days since the first leg stand in for them, and the
sentence says so.

`score` is -log2 of the flights expected a year, less what `recurrence` says of a route that is hardly known. A reader may
add `bits`, which are about the aircraft: a route that others fly daily has a low score, and many bits for one that never
goes there.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime

import numpy as np
from numpy.typing import NDArray

from flightwatch.rarity.baseline import DAY_US, EPOCH_ORDINAL, Baseline
from flightwatch.rarity.rates import ENOUGH_DAYS, HOLDS, MONTH_DAYS, USUAL_SHAPE, Expected, Rates, exposure, rate
from flightwatch.rarity.recurrence import Flown, Recurrence
from flightwatch.rarity.routes import NOWHERE, Destinations, Flight
from flightwatch.records import UNKNOWN, RouteRarity, utc

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Stands for the last time of what is not on record."""

Route = tuple[int, int]
"""Origin and destination; NOWHERE as the origin for all flights to a place, wherever they come from."""


def score(per_year: float, count: int, log_odds: float) -> float:
    """Higher is rarer: -log2 of the flights expected a year; for a route with few flights the odds of more
    count as far as the rate rests on what is usual rather than on these flights."""
    return -math.log2(per_year) - log_odds / math.log(2) * USUAL_SHAPE / (USUAL_SHAPE + count)


def scores(baseline: Baseline, callsigns: Mapping[str, str], since: datetime | None = None) -> Iterator[RouteRarity]:
    """A row for each leg that departed from a time on, in order. `callsigns` by `leg_id`."""
    legs = baseline.columns
    judge = Judge(baseline)
    flying: list[tuple[int, int]] = []
    first_us = -math.inf if since is None else since.timestamp() * 1e6
    for i, departed in enumerate(legs.departed.tolist()):
        while flying and flying[0][0] <= departed:
            judge.learn(heapq.heappop(flying)[1], callsigns)
        if departed >= first_us:
            yield judge.rarity(i, callsigns)
        heapq.heappush(flying, (int(legs.arrived[i]), i))


class Judge:
    """The models over the legs of a baseline, by their place in it."""

    def __init__(self, baseline: Baseline) -> None:
        self._baseline = baseline
        self._legs = baseline.columns
        self._ids = baseline.leg_ids(np.arange(len(self._legs.row)))
        self._destinations = Destinations(baseline.airports)
        self._routes, self._arrivals = Rates(), Rates()
        self._recurrence = Recurrence()
        self._flights: dict[Route, tuple[int, int]] = {}  # how many, and the departure of the last one
        self._own: dict[tuple[int, Route], int] = {}
        watched = self._watched_days()
        self._is_watched = bool(len(watched))
        self._days = watched if self._is_watched else self._days_on_record()
        self._exposure = exposure(self._days)
        self._named: dict[int, str] = {}
        self._tail_days: dict[int, NDArray[np.float64]] = {}

    def _watched_days(self) -> NDArray[np.float64]:
        found = {d for e in self._baseline.exposures for d in range(e.first.toordinal(), e.last.toordinal() + 1)}
        return np.array(sorted(found), np.float64) - EPOCH_ORDINAL

    def _days_on_record(self) -> NDArray[np.float64]:
        days = self._legs.departed // DAY_US
        return np.arange(days.min(), days.max() + 1, dtype=np.float64) if len(days) else np.zeros(0)

    # -------------------------------------------------------------------------------------------------------------- models

    def learn(self, i: int, callsigns: Mapping[str, str]) -> None:
        flight, route, departed = self._flight(i), self._route(i), int(self._legs.departed[i])
        self._destinations.learn(flight, route[1])
        if route[1] == NOWHERE:
            return
        arrival = NOWHERE, route[1]
        observed = self._exposure(flight.time_d)
        self._arrivals.learn(arrival, flight.time_d, observed)
        for known in {route, arrival}:
            count, last = self._flights.get(known, (0, departed))
            self._flights[known] = count + 1, max(last, departed)
            mine = int(self._legs.aircraft[i]), known
            self._own[mine] = self._own.get(mine, 0) + 1
        if route[0] != NOWHERE:
            self._routes.learn(route, flight.time_d, observed)
            self._recurrence.learn(self._flown(i, callsigns))

    def rarity(self, i: int, callsigns: Mapping[str, str]) -> RouteRarity:
        flight, route = self._flight(i), self._route(i)
        if route[1] == NOWHERE:
            return self._nothing_known(i)
        count, last = self._flights.get(route, (0, None))
        rates = self._arrivals if route[0] == NOWHERE else self._routes
        expected = rates.expected(route, flight.time_d, self._exposure(flight.time_d))
        odds = 0.0 if route[0] == NOWHERE else self._recurrence.log_odds(self._flown(i, callsigns))
        bits = self._destinations.bits(flight, route[1])
        return RouteRarity(
            leg_id=self._ids[i],
            registration=self._name(i),
            origin=self._code(route[0]),
            destination=self._code(route[1]),
            time=utc(int(self._legs.departed[i])),
            n_before=count,
            last_before=NEVER if last is None else utc(last),
            observed_days=self._observed_days(i),
            expected_per_year=expected.per_year,
            flights_30d_low=expected.low,
            flights_30d_high=expected.high,
            bits=bits,
            score=score(expected.per_year, count, odds),
            sentence=self._sentence(i, route, count, last, expected, bits),
            enough_history=self._days_before(i) >= ENOUGH_DAYS,
        )

    def _nothing_known(self, i: int) -> RouteRarity:
        name = self._name(i)
        return RouteRarity(
            leg_id=self._ids[i],
            registration=name,
            origin=self._code(self._route(i)[0]),
            destination=UNKNOWN,
            time=utc(int(self._legs.departed[i])),
            n_before=0,
            last_before=NEVER,
            observed_days=self._observed_days(i),
            expected_per_year=0.0,
            flights_30d_low=0,
            flights_30d_high=0,
            bits=0.0,
            score=0.0,
            sentence=f"Where this flight of {name} went is not known, so nothing is said of how rare it is.",
            enough_history=False,
        )

    def _flight(self, i: int) -> Flight:
        legs = self._legs
        operator, typecode = int(legs.operator[i]), int(legs.typecode[i])
        return Flight(
            aircraft=int(legs.aircraft[i]),
            operator=None if operator < 0 else operator,
            typecode=None if typecode < 0 else typecode,
            origin=int(legs.origin[i]),
            time_d=int(legs.departed[i]) / DAY_US,
        )

    def _flown(self, i: int, callsigns: Mapping[str, str]) -> Flown:
        flight, route = self._flight(i), self._route(i)
        callsign = callsigns.get(self._ids[i])
        return Flown(flight.aircraft, flight.typecode, callsign, *route, flight.time_d)

    def _route(self, i: int) -> Route:
        return int(self._legs.origin[i]), int(self._legs.destination[i])

    # --------------------------------------------------------------------------------------------------------- observed days

    def _days_before(self, i: int) -> int:
        """The days before the leg's on which any aircraft of the history was watched, or those on record."""
        return int(np.searchsorted(self._days, int(self._legs.departed[i]) // DAY_US))

    def _observed_days(self, i: int) -> int:
        """The days before the leg's on which this aircraft would have been seen."""
        aircraft = int(self._legs.aircraft[i])
        if aircraft not in self._tail_days:
            days = self._baseline.observed_days(date.max, [self._baseline.tail(aircraft)])
            self._tail_days[aircraft] = days.astype(np.float64) - EPOCH_ORDINAL
        return int(np.searchsorted(self._tail_days[aircraft], int(self._legs.departed[i]) // DAY_US))

    # ------------------------------------------------------------------------------------------------------------- in words

    def _sentence(self, i: int, route: Route, count: int, last: int | None, expected: Expected, bits: float) -> str:
        name, way = self._name(i), self._way(route)
        days = self._days_before(i)
        span = f"{days:,} observed days" if self._is_watched else f"{days:,} days since the first leg on record"
        own = self._own.get((int(self._legs.aircraft[i]), route), 0)
        if days < ENOUGH_DAYS:
            return f"Too little history to say how rare a flight {way} is: {_times(count)} in the {span} before."
        told = in_words(way, span, count, own, None if last is None else utc(last), name, expected)
        return f"{told} Of flights of {name} that begin like this, {_odds(bits)} expected to go there.{self._doubt(i, days)}"

    def _doubt(self, i: int, days: int) -> str:
        """What keeps the counts from being those of everything that was flown."""
        if not self._is_watched:
            return " Whether the record of these days is complete is not known."
        own = self._observed_days(i)
        return f" {self._name(i)} itself would have been seen on {own:,} of these days." if own < days else ""

    def _way(self, route: Route) -> str:
        origin, destination = route
        return ("" if origin == NOWHERE else f"from {self._place(origin)} ") + f"to {self._place(destination)}"

    def _place(self, number: int) -> str:
        if number not in self._named:
            airport = self._baseline.airports.get(self._code(number))
            self._named[number] = self._code(number) if airport is None else airport.short_name
        return self._named[number]

    def _code(self, number: int) -> str:
        return UNKNOWN if number == NOWHERE else self._baseline.code(number)

    def _name(self, i: int) -> str:
        icao24, registration = self._baseline.tail(int(self._legs.aircraft[i]))
        return self._baseline.word(int(self._legs.registration[i])) or registration or icao24 or UNKNOWN


def in_words(way: str, span: str, count: int, own: int, last: datetime | None, name: str, expected: Expected) -> str:
    """How often a way was flown before, `own` times of them by the aircraft itself, and how often it is to be expected in a
    month."""
    told = f"{_times(count).capitalize()} {way} in the {span} before, by any aircraft of this history"
    if last is not None:
        told += f", {_share(own, count, name)}; the last on {last:%-d %b %Y}"
    flights = f"{expected.low} to {expected.high}" if expected.high > expected.low else f"{expected.low}"
    return f"{told}. Expected: {rate(expected.per_year)} a year, {flights} in {MONTH_DAYS:.0f} days (a {HOLDS:.0%} interval)."


def _times(count: int) -> str:
    return {0: "no flight", 1: "one flight"}.get(count, f"{count:,} flights")


def _share(own: int, count: int, name: str) -> str:
    if count == 1:
        return f"by {name}" if own else f"not by {name}"
    return f"{ {0: 'none', count: 'all'}.get(own, f'{own:,}') } of them by {name}"


def _odds(bits: float) -> str:
    """A probability as one in so many."""
    one_in = 2.0**bits
    return f"one in {one_in:,.0f} was" if one_in >= 1.5 else f"{1 / one_in:.0%} were"
