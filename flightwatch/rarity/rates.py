"""How often a route is flown: expected flights, and an interval that holds nine times in ten.

The model is gamma-Poisson. Flights on a route come at a rate of their own; rates of routes are spread as a gamma
distribution with shape a and rate b, so that a route with n flights in T observed days is expected to have h (a + n) / (b + T)
in the next h days, and their number is negative binomial with shape c (a + n): c below one where flights come in bursts,
above it where they keep a timetable. Old flights and days may count for less (half-lives). Which a, b, c and half-life hold
is not known: each of a grid of them is weighed by how well it foretold what is over by now, week by week and month by
month for each route that was flown (prequential evidence: Dawid, Journal of the Royal Statistical Society A 147, 1984), and a
prior that leans to the middle of the grid. What is told is the mixture of those that weigh most.

An interval is the shortest that the number falls into with a probability of at least 0.9. Numbers are whole, so it holds
a little more often than nine times in ten. It is asked when a flight has just begun, and what is foretold was learned at such
moments, too: a route that was flown this week is not any route.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HOLDS = 0.9

MONTH_DAYS, WEEK_DAYS, YEAR_DAYS = 30.0, 7.0, 365.25

ENOUGH_DAYS = 30
"""Observed days from which on a rate is told: with fewer, most of it would be the prior."""

SHAPES, RATES_D, REGULAR, HALF_LIVES_D = (
    (0.05, 0.1, 0.2, 0.4, 0.8),
    (1.0, 3.0, 10.0, 30.0),
    (0.5, 1.0, 2.0),
    (math.inf, 90.0, 30.0),
)
LIVES = np.array(HALF_LIVES_D)
EVERY = slice(None)
USUAL_SHAPE, USUAL_RATE_D = 0.2, 5.0

TEMPER = 0.3
"""What one outcome counts: weeks lie in months, and the months of a route overlap, so that they tell the same thing some three
times."""

FADED = 0.7
"""How much less likely (log) a half-life is than none, before anything is known."""

FARTHEST = 12
"""Beyond so many standard deviations, and at least so many flights, nothing is left."""

WEIGHED = 6
"""Members of the grid that make up what is told: those that weigh most."""

ANSWERS_KEPT = 4096
"""Counts and days come again and again."""

SETTLED_DAYS = 2.0
"""How long after a month its flights are surely over and counted."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Expected flights a year, and the interval that their number in `days` days falls into with probability `HOLDS`."""

    per_year: float
    low: int
    high: int
    days: float


@lru_cache(maxsize=ANSWERS_KEPT)
def expected(count: int, observed_days: float, days: float = YEAR_DAYS) -> Expected:
    """What `count` flights in some observed days let expect, by the prior alone: for questions that no record of outcomes
    exists for (visits of one aircraft to a country)."""
    shape = USUAL_SHAPE + count
    mean = shape / (USUAL_RATE_D + observed_days)
    return Expected(mean * YEAR_DAYS, *shortest(np.cumsum(_chances(np.array([shape]), np.array([mean * days]))[0])), days)


def rate(per_year: float) -> str:
    """A number of flights a year in words, to two digits."""
    return f"{per_year:,.0f}" if per_year >= 10 else f"{per_year:.2g}"


def shortest(cumulative: Floats, holds: float = HOLDS) -> tuple[int, int]:
    """The first and last number of the shortest run that has at least this probability; of several the likeliest."""
    below = np.concatenate(([0.0], cumulative[:-1]))
    last = np.searchsorted(cumulative, below + holds - 1e-12)
    possible = np.flatnonzero(last < len(cumulative))
    if not len(possible):
        return 0, len(cumulative) - 1
    length = last[possible] - possible
    best = possible[length == length.min()]
    first = int(best[np.argmax(cumulative[last[best]] - below[best])])
    return first, int(last[first])


def _chances(shape: Floats, mean: Floats) -> Floats:
    """Negative binomial probabilities of 0, 1, 2, ... up to where nothing is left: a row for each shape and mean."""
    spread = np.sqrt(mean + mean * mean / shape)
    k = np.arange(1, int((mean + FARTHEST * spread).max()) + FARTHEST)
    p = shape / (shape + mean)
    logs = np.empty((len(shape), len(k) + 1))
    logs[:, 0] = shape * np.log(p)
    logs[:, 1:] = np.log(((shape * (1 - p))[:, None] + np.outer(1 - p, k - 1)) / k)
    return np.asarray(np.exp(np.cumsum(logs, axis=1)))


@dataclass(slots=True)
class Window:
    """Some days that follow a flight on a route, with what was foretold; `count` flights so far."""

    start_d: float
    end_d: float
    shapes: Floats
    means: Floats
    count: int = 0


@dataclass(slots=True)
class Route:
    """What is known of a route: counted flights for each half-life as of `as_of_d`, and the windows that are open."""

    counts: Floats
    as_of_d: float
    week: int = -1
    windows: list[Window] = field(default_factory=list)


class Rates:
    """The model with what it learned. Routes are any keys; times are days since 1970, UTC. Flights are learned in the order in
    which they are over."""

    def __init__(self) -> None:
        grid = np.array(list(itertools.product(SHAPES, RATES_D, REGULAR, range(len(HALF_LIVES_D)))))
        self._a, self._b, self._c = grid.T[:3]
        self._life = grid[:, 3].astype(np.int64)
        self._routes: dict[Hashable, Route] = {}
        self._open: list[tuple[float, int, Window, Hashable]] = []
        self._opened = 0
        lean = np.abs(np.log(self._a / USUAL_SHAPE)) + 0.5 * np.abs(np.log(self._b / USUAL_RATE_D)) + np.abs(np.log(self._c))
        self._evidence = -lean - FADED * (self._life > 0)
        self._most: tuple[NDArray[np.int64], Floats] | None = None  # the members that weigh most, until that changes

    def expected(self, route: Hashable, time_d: float, exposure_d: Floats, days: float = MONTH_DAYS) -> Expected:
        """What is to be expected of a route after a time. `exposure_d`: the observed days before it, for each of
        `HALF_LIVES_D`."""
        if self._most is None:
            most = np.argsort(-self._evidence, kind="stable")[:WEIGHED]
            weight = np.exp(self._evidence[most] - self._evidence[most[0]])
            self._most = most, weight / weight.sum()
        most, weight = self._most
        shapes, means = self._foretold(route, time_d, exposure_d, most)
        chances = weight @ _chances(shapes, means * days)
        return Expected(float(weight @ means) * YEAR_DAYS, *shortest(np.cumsum(chances)), days)

    def learn(self, route: Hashable, time_d: float, exposure_d: Floats) -> None:
        """Takes in a flight: it counts in the windows that are open, and opens new ones if it is the first of its week."""
        self._settle(time_d)
        known = self._routes.get(route)
        if known is None:
            known = self._routes[route] = Route(np.zeros(len(HALF_LIVES_D)), time_d)
        for window in known.windows:
            window.count += window.start_d < time_d <= window.end_d
        week = math.floor(time_d / WEEK_DAYS)
        if week > known.week:
            self._follow(route, known, time_d, exposure_d)
            known.week = week
        known.counts, known.as_of_d = self._counts(known, time_d) + 1.0, max(time_d, known.as_of_d)

    def _follow(self, route: Hashable, known: Route, time_d: float, exposure_d: Floats) -> None:
        shapes, means = self._foretold(route, time_d, exposure_d)
        for days in (WEEK_DAYS, MONTH_DAYS):
            window = Window(time_d, time_d + days, shapes, means * days)
            known.windows.append(window)
            self._opened += 1
            heapq.heappush(self._open, (window.end_d + SETTLED_DAYS, self._opened, window, route))

    def _settle(self, time_d: float) -> None:
        """Weighs the grid anew by the windows that are over."""
        while self._open and self._open[0][0] < time_d:
            _, _, window, route = heapq.heappop(self._open)
            self._routes[route].windows.remove(window)
            y, shape = window.count, window.shapes
            p = shape / (shape + window.means)
            gammas = _log_gamma(shape + y) - _log_gamma(shape)
            self._most = None
            self._evidence += TEMPER * (gammas + shape * np.log(p) + y * np.log1p(-p))

    def _foretold(
        self, route: Hashable, time_d: float, exposure_d: Floats, members: NDArray[np.int64] | slice = EVERY
    ) -> tuple[Floats, Floats]:
        """For members of the grid the shape of the number of flights, and their mean a day."""
        known, life = self._routes.get(route), self._life[members]
        shape = self._a[members] + (0.0 if known is None else self._counts(known, time_d)[life])
        return self._c[members] * shape, shape / (self._b[members] + exposure_d[life])

    def _counts(self, known: Route, time_d: float) -> Floats:
        return known.counts * faded(max(time_d - known.as_of_d, 0.0))


def faded(days: float) -> Floats:
    """What is left after some days of what counted one, for each of `HALF_LIVES_D`."""
    return np.asarray(0.5 ** (days / LIVES))


def exposure(days: Floats) -> Callable[[float], Floats]:
    """For a time, how many of some observed days (days since 1970, ascending) lie before it, for each of `HALF_LIVES_D`."""
    if not len(days):
        return lambda time_d: np.zeros(len(HALF_LIVES_D))
    grown = np.cumsum(2.0 ** ((days[:, None] - days[0]) / LIVES), axis=0)

    def before(time_d: float) -> Floats:
        number = int(np.searchsorted(days, math.floor(time_d)))
        return grown[number - 1] * faded(math.floor(time_d) - days[0]) if number else np.zeros(len(HALF_LIVES_D))

    return before


def _log_gamma(x: Floats) -> Floats:
    """By Stirling's series (Abramowitz and Stegun 6.1.41) after six steps up; right to 1e-8."""
    shifted = np.zeros_like(x)
    for _ in range(6):
        shifted += np.log(x)
        x = x + 1
    return np.asarray((x - 0.5) * np.log(x) - x + 0.5 * math.log(2 * math.pi) + 1 / (12 * x) - 1 / (360 * x**3) - shifted)
