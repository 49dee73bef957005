"""The projection of maps: azimuthal and equidistant around the middle of what is shown.

A great circle through the middle is straight, nothing breaks at the antimeridian, and the poles are places like others. In:
latitudes and longitudes in degrees. Out: nm east and north of the middle. Coasts and borders are Natural Earth's (1:50m,
public domain).
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flightwatch.places import outlines
from flightwatch.places.great_circle import EARTH_RADIUS_NM, bearing_deg, between, distance_nm, unit_vectors

Floats = NDArray[np.float64]
Middle = tuple[float, float]


def project(lat: Floats, lon: Floats, middle: Middle) -> tuple[Floats, Floats]:
    """nm east and north of the middle."""
    away, course = distance_nm(*middle, lat, lon), np.radians(bearing_deg(*middle, lat, lon))
    return away * np.sin(course), away * np.cos(course)


def middle_of(lat: Floats, lon: Floats) -> Middle:
    """The middle of the smallest span: halfway between the two points that lie farthest apart."""
    mean = unit_vectors(lat, lon).mean(axis=0)
    away = distance_nm(
        np.degrees(np.arcsin(np.clip(mean[2] / max(np.linalg.norm(mean), 1e-9), -1, 1))),
        np.degrees(np.arctan2(mean[1], mean[0])),
        lat,
        lon,
    )
    one = int(np.argmax(away))
    other = int(np.argmax(distance_nm(lat[one], lon[one], lat, lon)))
    mid_lat, mid_lon = between(lat[one], lon[one], lat[other], lon[other], 2)
    return float(mid_lat[1]), float(mid_lon[1])


def half_spans(lat: Floats, lon: Floats, middle: Middle, shape: float, smallest_nm: float, margin: float) -> tuple[float, float]:
    """Half width and half height (nm) that hold all points, with a margin (a share of them), in a picture's proportions (width
    by height); the half width is at least `smallest_nm`."""
    x, y = project(lat, lon, middle)
    width = max(float(np.max(np.abs(x))) * (1 + margin), smallest_nm)
    height = max(float(np.max(np.abs(y))) * (1 + margin), smallest_nm / shape)
    return max(width, height * shape), max(height, width / shape)


@cache
def joined(kind: Literal["lines", "borders", "land"]) -> tuple[Floats, NDArray[np.int64]]:
    """All lines or rings in one array (latitude, longitude), and where each begins."""
    parts = {"lines": outlines().lines, "borders": outlines().borders, "land": outlines().land}[kind]
    return np.concatenate(parts)[:, ::-1], np.cumsum([0, *map(len, parts)])


def visible_lines(middle: Middle, radius_nm: float) -> list[Floats]:
    """The outlines around a point, projected; what lies on the far side of the earth is left out."""
    points, starts = joined("lines")
    x, y = project(points[:, 0], points[:, 1], middle)
    near = np.hypot(x, y) < min(radius_nm * 1.6, EARTH_RADIUS_NM * np.pi * 0.9)
    projected = np.stack([x, y], axis=1)
    out = []
    for start, stop in pairwise(starts.tolist()):
        if near[start:stop].any():
            inside = np.flatnonzero(near[start:stop]) + start
            out += [projected[run] for run in np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1) if len(run) > 1]
    return out


def land(middle: Middle) -> tuple[Floats, NDArray[np.int64]]:
    """All rings of land, projected, and where each begins; lakes are rings inside rings. A ring around the opposite point of
    the earth turns inside out, far outside the picture."""
    points, starts = joined("land")
    x, y = project(points[:, 0], points[:, 1], middle)
    return np.stack([x, y], axis=1), starts
