"""Distances and directions on a sphere, over arrays.

The sphere's radius is the mean earth radius of IUGG (6371.0088 km); against the ellipsoid that errs by at most 0.5 %,
far less than a position's age makes uncertain. Distances that people read come from `geopy`
(`flightwatch.places.shown_distance_nm`). Angles are degrees, bearings degrees true, distances nautical miles.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

EARTH_RADIUS_NM = 6371.0088 / 1.852

HALF_RADIAN = math.pi / 360
"""Half a degree."""

SHORT_DEG = 1.0
"""Steps of no more in latitude and longitude are short."""


def distance_nm(lat1: ArrayLike, lon1: ArrayLike, lat2: ArrayLike, lon2: ArrayLike) -> Floats:
    """Great-circle distance by the haversine formula, which keeps its precision for small distances."""
    a, b = np.radians(lat1), np.radians(lat2)
    half_lat, half_lon = (b - a) / 2, np.radians(np.subtract(lon2, lon1)) / 2
    h = np.sin(half_lat) ** 2 + np.cos(a) * np.cos(b) * np.sin(half_lon) ** 2
    return np.asarray(2 * EARTH_RADIUS_NM * np.arcsin(np.sqrt(np.clip(h, 0, 1))))


def levels(lat: Floats) -> Floats:
    """The cosines of latitudes. In place, they take half of the time."""
    angle = lat * (2 * HALF_RADIAN)
    np.cos(angle, out=angle)
    return angle


def steps_nm(lat: Floats, lon: Floats, north: Floats, east: Floats, level: Floats) -> Floats:
    """The distance of each of some points in a row from the one before it, none of the first; `north` and `east` are what it
    adds to the latitude and longitude of that, `level` are the cosines of latitudes. By the same formula, but sine and
    arcsine of short steps are the first terms of their series, which take a tenth of the time and err by less than 2e-9 of
    the distance."""
    lat_square, lon_square = north * north, east * east
    long = np.flatnonzero((lat_square > SHORT_DEG**2) | (lon_square > SHORT_DEG**2))
    lat_square[long] = lon_square[long] = 0.0
    h = _squared_sine_of_half(lon_square)
    h[1:] *= level[:-1]
    h *= level
    h += _squared_sine_of_half(lat_square)
    steps = np.sqrt(h)
    h *= EARTH_RADIUS_NM / 3
    h += 2 * EARTH_RADIUS_NM
    steps *= h
    steps[long] = distance_nm(lat[long - 1], lon[long - 1], lat[long], lon[long])
    return steps


def _squared_sine_of_half(square: Floats) -> Floats:
    """Of angles of these squares of degrees."""
    share = square * (-(HALF_RADIAN**4) / 3)
    share += HALF_RADIAN**2
    share *= square
    return share


def apart_nm(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """The same of two points, which an array of one takes ten times as long for."""
    a, b = math.radians(lat1), math.radians(lat2)
    half_lat, half_lon = (b - a) / 2, math.radians(lon2 - lon1) / 2
    h = math.sin(half_lat) ** 2 + math.cos(a) * math.cos(b) * math.sin(half_lon) ** 2
    return 2 * EARTH_RADIUS_NM * math.asin(math.sqrt(min(h, 1.0)))


def bearing_deg(lat1: ArrayLike, lon1: ArrayLike, lat2: ArrayLike, lon2: ArrayLike) -> Floats:
    """The direction at the first point in which the great circle to the second one leaves: 0 to 360."""
    a, b, turn = np.radians(lat1), np.radians(lat2), np.radians(np.subtract(lon2, lon1))
    east = np.sin(turn) * np.cos(b)
    north = np.cos(a) * np.sin(b) - np.sin(a) * np.cos(b) * np.cos(turn)
    return np.asarray(np.degrees(np.arctan2(east, north)) % 360)


def bearings_deg(begin: Floats, end: Floats) -> Floats:
    """The same between unit vectors, shape (..., 3), which takes half the time. There is none at the poles and none to the
    same point."""
    east = begin[..., 0] * end[..., 1] - begin[..., 1] * end[..., 0]
    north = end[..., 2] - begin[..., 2] * np.vecdot(begin, end)
    return np.asarray(np.degrees(np.arctan2(east, north)) % 360)


def angles(vectors: Floats, vector: Floats) -> Floats:
    """The angles (radians) between unit vectors, shape (n, 3), and one, or one for each: distances in radii of the Earth, to
    1e-7 of one."""
    cosine = vectors @ vector if vector.ndim == 1 else np.vecdot(vectors, vector)
    return np.asarray(np.arccos(np.minimum(np.maximum(cosine, -1), 1)))


def turn_deg(bearing1: ArrayLike, bearing2: ArrayLike) -> Floats:
    """The unsigned angle between two directions: 0 to 180."""
    return np.asarray(np.abs((np.subtract(bearing1, bearing2) + 180) % 360 - 180))


def destination(lat: ArrayLike, lon: ArrayLike, bearing: ArrayLike, distance: ArrayLike) -> tuple[Floats, Floats]:
    """The point that is reached from a point after a distance (nm) in a direction."""
    a, away, course = np.radians(lat), np.asarray(distance) / EARTH_RADIUS_NM, np.radians(bearing)
    lat2 = np.arcsin(np.clip(np.sin(a) * np.cos(away) + np.cos(a) * np.sin(away) * np.cos(course), -1, 1))
    east = np.sin(course) * np.sin(away) * np.cos(a)
    lon2 = np.radians(lon) + np.arctan2(east, np.cos(away) - np.sin(a) * np.sin(lat2))
    return np.degrees(lat2), (np.degrees(lon2) + 540) % 360 - 180


def unit_vectors(lat: ArrayLike, lon: ArrayLike) -> Floats:
    """Points as unit vectors, shape (..., 3): near points have near vectors, also across the antimeridian and at the
    poles."""
    a, o = np.radians(lat), np.radians(lon)
    level, height = np.cos(a), np.sin(a)
    x, y = level * np.cos(o), level * np.sin(o)
    out = np.empty((*np.shape(x), 3))
    out[..., 0], out[..., 1], out[..., 2] = x, y, height
    return out


def unit_vector(lat: float, lon: float) -> Floats:
    """The same of one point, shape (3,)."""
    a, o = math.radians(lat), math.radians(lon)
    level = math.cos(a)
    return np.array((level * math.cos(o), level * math.sin(o), math.sin(a)))


def middle(lat1: float, lon1: float, lat2: float, lon2: float) -> tuple[float, float]:
    """The point halfway between two points."""
    x, y, z = (unit_vector(lat1, lon1) + unit_vector(lat2, lon2)).tolist()
    return math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))


def between(lat1: float, lon1: float, lat2: float, lon2: float, parts: int) -> tuple[Floats, Floats]:
    """`parts + 1` points at equal distances along the great circle, both ends included (spherical interpolation)."""
    ends = unit_vectors([lat1, lat2], [lon1, lon2])
    angle = np.arccos(np.clip(ends[0] @ ends[1], -1, 1))
    share = np.linspace(0, 1, parts + 1)[:, None]
    if angle < 1e-9:  # the two points are one
        points = np.repeat(ends[:1], parts + 1, axis=0)
    else:
        points = (np.sin((1 - share) * angle) * ends[0] + np.sin(share * angle) * ends[1]) / np.sin(angle)
    return np.degrees(np.arcsin(np.clip(points[:, 2], -1, 1))), np.degrees(np.arctan2(points[:, 1], points[:, 0]))
