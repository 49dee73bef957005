"""Whether a route that is flown for the first time will be flown again.

In: flights on routes, one after the other. Out: for a first flight, how much more likely than for other first flights it
is that more follow, as a logarithm of odds. Of the routes that were new to the history earlier, some were flown again: more
often those of some aircraft, types and days of the week, and of some series of flight numbers (an airline numbers its lines, its
ferries and its charters apart). Each of these contexts gives the share of its new routes that were flown again against that
of all, as if three usual routes more had been seen; popular airports have more lines; and a flight that brings back what
another one took out within three days belongs to it. The contexts tell partly the same, so each counts for less than one.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

NOWHERE = -1

WEIGHTS = {"series": 0.7, "aircraft": 0.3, "type": 0.5, "weekday": 0.5}
POPULARITY, RETURN = 0.3, 0.5
"""What each context counts, popularity (for both ends each), and a way back. Round figures, chosen by what holds on a charter
fleet and on seven parts of it alike (by type, every second and every third aircraft); the same shares for origins and
destinations made all but one of them worse."""

RETURN_DAYS = 3.0

USUAL, FIRST = 3.0, 0.3
"""A context counts as if it had seen three usual routes more; before any route, three in ten are flown again."""

CALLSIGN = re.compile(r"([A-Z]*)([0-9]*)")


@dataclass(frozen=True, slots=True)
class Flown:
    """A flight between two known places, numbers as in `routes`. `time_d`: days since 1970, UTC."""

    aircraft: Hashable
    typecode: Hashable | None
    callsign: str | None
    origin: int
    destination: int
    time_d: float

    @property
    def route(self) -> tuple[int, int]:
        return self.origin, self.destination

    def contexts(self) -> Iterator[tuple[str, Hashable]]:
        yield "aircraft", self.aircraft
        yield "weekday", math.floor(self.time_d) % 7
        if self.typecode is not None:
            yield "type", self.typecode
        if self.callsign:
            yield "series", series(self.callsign)


def series(callsign: str) -> tuple[str, int, str]:
    """The letters of a callsign, how many digits follow, and the first of them: WQ9626 and WQ9001 are of one series."""
    found = CALLSIGN.match(callsign.strip())
    letters, digits = found.groups() if found else ("", "")
    return letters, len(digits), digits[:1]


class Recurrence:
    def __init__(self) -> None:
        self._new: Counter[tuple[str, Hashable]] = Counter()
        self._again: Counter[tuple[str, Hashable]] = Counter()
        self._flights: Counter[tuple[int, int]] = Counter()
        self._first: dict[tuple[int, int], Flown] = {}
        self._last_d: dict[tuple[int, int], float] = {}
        self._popular: defaultdict[int, float] = defaultdict(float)
        self._routes = self._recurred = self._total = 0

    def log_odds(self, flight: Flown) -> float:
        """How much likelier it is that a route is flown again than of new routes in general."""
        usual = (self._recurred + FIRST) / (self._routes + 1.0)
        odds = sum(WEIGHTS[key[0]] * math.log(self._share(key, usual) / usual) for key in flight.contexts())
        even = 2.0 * self._total / len(self._popular) if self._popular else 0.0
        for place in flight.route:
            odds += POPULARITY * math.log((self._popular.get(place, 0.0) + 0.5) / (even + 0.5))
        back_d = self._last_d.get((flight.destination, flight.origin), -math.inf)
        return odds + RETURN * (flight.time_d - back_d < RETURN_DAYS)

    def _share(self, key: tuple[str, Hashable], usual: float) -> float:
        return (self._again[key] + USUAL * usual) / (self._new[key] + USUAL)

    def learn(self, flight: Flown) -> None:
        route = flight.route
        self._flights[route] += 1
        self._total += 1
        if self._flights[route] == 1:
            self._first[route] = flight
            self._routes += 1
            self._new.update(flight.contexts())
        elif self._flights[route] == 2:
            self._recurred += 1
            self._again.update(self._first.pop(route).contexts())
        self._last_d[route] = flight.time_d
        for place in route:
            self._popular[place] += 1.0
