"""What silence tells: where traffic is normally seen, an aircraft that nobody saw was probably not there.

In: how much of the traffic at a place and height is seen (coverage; given from outside), and where an aircraft would
have been unseen if a story about it were true. Out: how probable its silence is under that story. It never falls far:
signals die for other reasons, too. Where it is known that nobody is seen, silence is what anybody expects; where nothing
is known it lies in between, however long the way, so that who knows nothing concludes nothing.

Angles in degrees, heights in ft, distances in nm, times in minutes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from flightwatch.places.great_circle import EARTH_RADIUS_NM, distance_nm, unit_vectors

Floats = NDArray[np.float64]

Seen = Callable[[Floats, Floats, Floats], tuple[Floats, Floats]]
"""How much of the traffic at some positions (latitude, longitude, altitude) is seen, and of how much there is no
telling, as known before the day in question: shares of one, what is missing to it is not seen."""

NOTICED_MIN = 5.0
"""Minutes in air where everybody is seen after which an aircraft would have been noticed (e-folding): feeds are asked
every minute or so, and a share of minutes seen says little of a single one."""

OTHER_REASONS = 0.2
"""Of the aircraft that fall silent, those that would have in the best of coverage: transponders that are switched off
or fail, outages of feeds, receivers that were there on other days. State aircraft do it more often than airliners, so
this is no small share; it bounds what silence can say to five times as likely."""

LIKELY_SEEN = 0.75
"""That an aircraft would have been seen where it is not known whether anybody is: of the flying time of real flights
about three quarters are seen."""

LOOKS = 16
"""Positions that are looked at along each way."""

DESCENT_FT_PER_NM, CLIMB_FT_PER_NM = 318.0, 400.0
"""A three-degree path, and what transport aircraft climb at."""

CEILING_FT = 36_000.0
"""As high as an aircraft that is seen climbing is taken to climb."""

SINK_FT_MIN = 1500.0
"""What an aircraft goes down or up at when it is in no hurry."""

LEAST_NM, LEAST_MIN = 0.1, 0.01
"""Shorter ways are not told apart."""

_SHARES = (np.arange(LOOKS) + 0.5) / LOOKS

Point = tuple[float, float, float]
"""Latitude, longitude, altitude."""


def nothing_known(latitude: Floats, longitude: Floats, altitude: Floats) -> tuple[Floats, Floats]:
    """The coverage of who knows nothing of it."""
    shape = np.broadcast(latitude, longitude, altitude).shape
    return np.zeros(shape), np.ones(shape)


def chance(seen_min: Floats, unknown: Floats) -> Floats:
    """How probable silence is after so many minutes of flight that others would have been seen in, where of a share of the
    way there is no telling. How long an unknown way is tells nothing: else near places would gain by it."""
    unnoticed = np.exp(-seen_min / NOTICED_MIN) * (1 - LIKELY_SEEN * unknown)
    return np.asarray(OTHER_REASONS + (1 - OTHER_REASONS) * unnoticed)


def across(ways: Sequence[Sequence[Point]], minutes: Sequence[Sequence[float]], seen: Seen) -> list[float]:
    """How probable silence is on each of some ways straight from point to point, with the minutes that each part takes. 1
    where a height is not known."""
    if any(math.isnan(p[2]) for way in ways for p in way):
        return [1.0] * len(ways)
    begin, end = np.array([p for way in ways for p in way[:-1]]), np.array([p for way in ways for p in way[1:]])
    latitude, longitude = _along(begin, end, _SHARES)
    seen_share, unknown = (s.mean(axis=1) for s in seen(latitude, longitude, begin[:, 2:] + _SHARES * (end - begin)[:, 2:]))
    chances, first = [], 0
    for lasts in (np.maximum(of_way, LEAST_MIN) for of_way in minutes):
        parts = slice(first, first := first + len(lasts))
        chances.append(float(chance(seen_share[parts] @ lasts, unknown[parts] @ lasts / lasts.sum())))
    return chances


def to_airports(
    fix: Point, level_ft: float, fields: Floats, speed_kt: float, silent_min: float, seen: Seen, *, climbs: bool
) -> Floats:
    """How probable silence is on the ways from a fix to airports (latitude, longitude, elevation; shape (n, 3)) on a
    plain profile, as far as they lead in the minutes that it has lasted. `climbs`: the aircraft goes on up to
    `level_ft`, else it stays level until it has to go down."""
    if math.isnan(fix[2]) or not len(fields):
        return np.ones(len(fields))
    distance = np.maximum(distance_nm(fix[0], fix[1], fields[:, 0], fields[:, 1]), LEAST_NM)[:, None]
    way = np.minimum(distance, speed_kt * silent_min / 60)
    gone = way * _SHARES
    latitude, longitude = _along(np.array([fix]), fields, gone / distance)
    level = np.minimum(fix[2] + gone * CLIMB_FT_PER_NM, max(level_ft, fix[2])) if climbs else fix[2]
    altitude = np.minimum(level, fields[:, 2:] + (distance - gone) * DESCENT_FT_PER_NM)
    seen_share, unknown = (share.mean(axis=1) for share in seen(latitude, longitude, altitude))
    return chance(seen_share * way[:, 0] / speed_kt * 60, unknown)


def _along(begin: Floats, end: Floats, shares: Floats) -> tuple[Floats, Floats]:
    """Latitudes and longitudes at some shares of the great circles from points to others; shape (n, LOOKS). Shares are those
    of each, or of all."""
    a, b = unit_vectors(begin[:, 0], begin[:, 1]), unit_vectors(end[:, 0], end[:, 1])
    angle = np.maximum(np.arccos(np.clip((a * b).sum(axis=1), -1, 1)), LEAST_NM / EARTH_RADIUS_NM)[:, None]
    left, right = np.sin((1 - shares) * angle), np.sin(shares * angle)
    x, y, z = (left * a[:, axis, None] + right * b[:, axis, None] for axis in range(3))
    height = np.clip(z / np.sqrt(x * x + y * y + z * z), -1, 1)
    return np.degrees(np.arcsin(height)), np.degrees(np.arctan2(y, x))
