"""The ways that earlier flights flew: how many of those to a place came by here.

In: the legs of the history with their thinned tracks. Out: for each of them how near it came to a position, with what
course and at what height, and whether it took a way that a flight between the same places had taken before. A stretch
that nobody saw (a hole, an end out of sight) says nothing either way.

Angles in degrees, distances in nm, heights in ft.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from flightwatch.places.great_circle import bearing_deg, turn_deg
from flightwatch.records import WAYPOINT

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Each = float | Floats
"""One value for all stretches, or each its own."""

ASIDE_NM, COURSE_OFF_DEG, HEIGHT_OFF_FT = 5.0, 20.0, 3000.0
"""How far apart two flights on one airway are, in place, course and height (Gaussian): aircraft keep within 5 nm of the
middle of an airway for 95 % of the time (RNAV 5, ICAO Doc 9613), and a thinned track cuts corners by as much."""

FAR = 4.0
"""Beyond so many times that, nothing is left."""

FOLLOWING = float(np.exp(-2.0))
"""Within twice these one flight follows another."""

COMPARED = 20
"""Earlier flights on a route that one is compared with: the last ones."""

AT_ONCE = 1000
"""Flights that are compared at once, to bound memory."""

HOLE_S, HOLE_TIMES = 900, 3
"""A stretch longer than a quarter of an hour and than three times the shortest one of its way was a hole."""


@dataclass(frozen=True)
class Flown:
    """Stretches of ways, straight from one waypoint to the next, sorted by the latitude of their middle. `leg` numbers
    the legs that they belong to."""

    leg: Ints
    latitude: Floats
    longitude: Floats
    altitude: Floats
    to_latitude: Floats
    to_longitude: Floats
    to_altitude: Floats
    course: Floats
    seen: Flags
    middle: Floats
    widest: float

    def near(
        self, latitude: float, longitude: float, altitude: float, course: float, among: Ints | None = None
    ) -> tuple[Ints, Floats, Floats]:
        """The legs, of all or `among` some, that come near a position, how well the seen part of each fits it (1: the very
        place, course and height), and how well what nobody saw of it does. NaN for a height or course that is not known."""
        window = self.widest + FAR * ASIDE_NM / 60
        around = slice(*np.searchsorted(self.middle, [latitude - window, latitude + window]))
        there = self._take(around if among is None else self._of_legs(among))
        fit = there.fit(latitude, longitude, altitude, course)
        close = np.flatnonzero(fit)
        legs, place = np.unique(there.leg[close], return_inverse=True)
        seen, unseen = np.zeros(len(legs)), np.zeros(len(legs))
        np.maximum.at(seen, place, np.where(there.seen[close], fit[close], 0.0))
        np.maximum.at(unseen, place, np.where(there.seen[close], 0.0, fit[close]))
        return legs, seen, unseen

    def _of_legs(self, legs: Ints) -> Ints:
        """The stretches of some legs."""
        order, leg = self._by_leg
        return order[_ranges(np.searchsorted(leg, legs), np.searchsorted(leg, legs, side="right"))]

    @cached_property
    def _by_leg(self) -> tuple[Ints, Ints]:
        """The stretches in the order of their legs, and of which leg each of them is."""
        order = np.argsort(self.leg, kind="stable")
        return order, self.leg[order]

    def fit(self, latitude: Each, longitude: Each, altitude: Each, course: Each) -> Floats:
        """How well each stretch fits a position, or each its own: 1 for the very place, course and height; 0 for far away."""
        away_deg = np.abs(self.middle - latitude) - np.abs(self.to_latitude - self.latitude) / 2
        level = np.flatnonzero(away_deg <= (FAR + 1) * ASIDE_NM / 60)  # most are far away by that alone
        at = (np.broadcast_to(of, len(self.leg))[level] for of in (latitude, longitude, altitude, course))
        fit = np.zeros(len(self.leg))
        fit[level] = self._take(level)._fit(*at)
        return fit

    def _fit(self, latitude: Floats, longitude: Floats, altitude: Floats, course: Floats) -> Floats:
        shrink = np.cos(np.radians(latitude))
        x, to_x = ((_east(lon - longitude)) * 60 * shrink for lon in (self.longitude, self.to_longitude))
        y, to_y = ((lat - latitude) * 60 for lat in (self.latitude, self.to_latitude))
        along_x, along_y = to_x - x, to_y - y
        length = np.maximum(along_x**2 + along_y**2, 1e-9)
        share = np.clip(-(x * along_x + y * along_y) / length, 0.0, 1.0)
        aside = np.hypot(x + share * along_x, y + share * along_y)
        close = np.flatnonzero(aside < FAR * ASIDE_NM)
        off = (aside[close] / ASIDE_NM) ** 2
        off += np.nan_to_num(turn_deg(self.course[close], course[close]) / COURSE_OFF_DEG, nan=0.0) ** 2
        low, high = self.altitude[close], self.to_altitude[close]
        off += np.nan_to_num((low + share[close] * (high - low) - altitude[close]) / HEIGHT_OFF_FT, nan=0.0) ** 2
        fit = np.zeros(len(self.leg))
        fit[close] = np.exp(-0.5 * off)
        return fit

    def follows(self, route: Ints) -> Floats:
        """For each leg (`route` says which have the same ends; -1: none) whether the middle of its way follows that of an
        earlier one on its route, as 0 or 1; NaN for the first, and where nothing was seen. The legs are in order of
        time."""
        seen = np.flatnonzero(self.seen & (route[self.leg] >= 0))
        order = seen[np.lexsort((self.leg[seen], route[self.leg[seen]]))]
        legs, start, many = np.unique(self.leg[order], return_index=True, return_counts=True)
        by_route = np.argsort(start)
        legs, start, many = legs[by_route], start[by_route], many[by_route]
        first = np.searchsorted(route[legs], route[legs])
        later = np.flatnonzero(first < np.arange(len(legs)))
        out = np.full(len(route), np.nan)
        for some in np.split(later, range(AT_ONCE, len(later), AT_ONCE)):
            earlier = start[np.maximum(some - COMPARED, first[some])]
            whose = np.repeat(some, start[some] - earlier)
            at = order[start[whose] + many[whose] // 2]
            place = self.latitude[at], self.longitude[at], self.altitude[at], self.course[at]
            fit = self._take(order[_ranges(earlier, start[some])]).fit(*place)
            out[legs[some]] = 0.0
            out[legs[whose[fit >= FOLLOWING]]] = 1.0
        return out

    def _take(self, index: Ints | slice) -> Flown:
        columns = {f.name: getattr(self, f.name)[index] for f in fields(self) if f.name != "widest"}
        return Flown(**columns, widest=self.widest)


def flown(ways: Sequence[bytes], ends: Floats, ends_seen: Flags) -> Flown:
    """The stretches of the ways of legs, in their order. `ends` has shape (legs, 2, 3): latitude, longitude and height of
    both airports, NaN where unknown; `ends_seen` (legs, 2) tells whether they were observed."""
    counts = np.array([len(way) // WAYPOINT.itemsize for way in ways], dtype=np.int64)
    points = np.frombuffer(b"".join(ways), WAYPOINT)
    leg = np.repeat(np.arange(len(counts)), counts)
    places = np.stack([points[n].astype(np.float64) for n in ("latitude", "longitude", "altitude")], axis=1)
    time = points["time"].astype(np.int64)
    inner = np.flatnonzero(leg[1:] == leg[:-1])
    lasted = time[inner + 1] - time[inner]
    shortest = np.full(len(counts), np.iinfo(np.int64).max // HOLE_TIMES)
    whole = np.r_[leg[inner][1:] == leg[inner][:-1], False][: len(inner)]  # the last one of a way ends early
    np.minimum.at(shortest, leg[inner][whole], lasted[whole])
    seen = lasted <= np.maximum(HOLE_S, HOLE_TIMES * shortest[leg[inner]])
    flew = np.flatnonzero(counts > 0)
    last = np.cumsum(counts)[flew] - 1
    first = last - counts[flew] + 1
    whose = np.concatenate([leg[inner], flew, flew])
    begin = np.concatenate([places[inner], ends[flew, 0], places[last]])
    end = np.concatenate([places[inner + 1], places[first], ends[flew, 1]])
    was_seen = np.concatenate([seen, ends_seen[flew, 0], ends_seen[flew, 1]])
    usable = ~np.isnan(begin[:, 0]) & ~np.isnan(end[:, 0])
    return _sorted(whose[usable], begin[usable], end[usable], was_seen[usable])


def _sorted(leg: Ints, begin: Floats, end: Floats, seen: Flags) -> Flown:
    middle = (begin[:, 0] + end[:, 0]) / 2
    order = np.argsort(middle, kind="stable")
    leg, begin, end, seen, middle = leg[order], begin[order], end[order], seen[order], middle[order]
    latitude, longitude, altitude = begin.T
    to_latitude, to_longitude, to_altitude = end.T
    return Flown(
        leg,
        latitude,
        longitude,
        altitude,
        to_latitude,
        to_longitude,
        to_altitude,
        course=bearing_deg(begin[:, 0], begin[:, 1], end[:, 0], end[:, 1]),
        seen=seen,
        middle=middle,
        widest=float(np.abs(end[:, 0] - begin[:, 0]).max(initial=0.0)) / 2,
    )


def _ranges(begin: Ints, end: Ints) -> Ints:
    """The numbers from each beginning to below its end, one range after the other."""
    many = end - begin
    return np.asarray(np.repeat(end - np.cumsum(many), many) + np.arange(many.sum()))


def _east(degrees: Floats) -> Floats:
    """A difference of longitudes, the short way round."""
    return np.asarray((degrees + 180) % 360 - 180)
