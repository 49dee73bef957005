"""A large area as circles that a service takes.

In: a box or a circle in degrees and nautical miles. Out: circles that cover it on a sphere, at the antimeridian and the
poles, too.

A box is cut into bands of latitude, each band into cells of equal width that fit into a circle around their
middle. The distance from that middle to a point of the cell is greatest at a corner: it grows with the difference in
longitude, and along a meridian it has no maximum but at the ends. So a cell whose corners are within the radius is
covered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from flightwatch.places.great_circle import EARTH_RADIUS_NM, distance_nm

MARGIN_NM = 1.0
"""Services round places to four digits or less and measure on spheres of their own."""

BAND_SHARE = math.sqrt(2)
"""The height of a band in radii: that of the square inside the circle, which covers most for one request."""


@dataclass(frozen=True, slots=True)
class Box:
    """Degrees. A box whose `west` is greater than its `east` crosses the antimeridian."""

    south: float
    west: float
    north: float
    east: float

    @property
    def width(self) -> float:
        """Degrees of longitude, going east; 360 where it is all of them."""
        return self.east - self.west if self.east >= self.west else self.east - self.west + 360.0


@dataclass(frozen=True, slots=True)
class Circle:
    """Degrees and nautical miles."""

    latitude: float
    longitude: float
    radius_nm: int

    @property
    def box(self) -> Box:
        """The box around it; all longitudes where a pole lies in it."""
        away = math.degrees(self.radius_nm / EARTH_RADIUS_NM)
        south, north = max(self.latitude - away, -90.0), min(self.latitude + away, 90.0)
        if south <= -90.0 or north >= 90.0:
            return Box(south, -180.0, north, 180.0)
        half = math.degrees(math.asin(min(math.sin(math.radians(away)) / math.cos(math.radians(self.latitude)), 1.0)))
        return Box(south, _wrapped(self.longitude - half), north, _wrapped(self.longitude + half))


def box_tiles(box: Box, radius_nm: int) -> list[Circle]:
    """Circles of this radius that cover a box."""
    reach = (radius_nm - MARGIN_NM) / EARTH_RADIUS_NM
    bands = max(math.ceil(math.radians(box.north - box.south) / (BAND_SHARE * reach)), 1)
    height = (box.north - box.south) / bands
    tiles = []
    for band in range(bands):
        low, high = box.south + band * height, box.south + (band + 1) * height
        middle = (low + high) / 2
        half = min(_half_width(middle, edge, reach) for edge in (low, high))
        count = max(math.ceil(box.width / (2 * half)), 1)
        step = box.width / count
        tiles += [Circle(round(middle, 4), _wrapped(box.west + (i + 0.5) * step), radius_nm) for i in range(count)]
    return tiles


def circle_tiles(area: Circle, radius_nm: int) -> list[Circle]:
    """Circles of this radius that cover a larger one; the area itself where it is not larger."""
    if area.radius_nm <= radius_nm:
        return [area]
    tiles = box_tiles(area.box, radius_nm)
    apart = distance_nm(area.latitude, area.longitude, [t.latitude for t in tiles], [t.longitude for t in tiles])
    return [tile for tile, away in zip(tiles, apart, strict=True) if away < area.radius_nm + radius_nm]


def _half_width(middle: float, edge: float, reach: float) -> float:
    """How far in longitude (deg) a parallel at `edge` stays within `reach` (radians) of a point at `middle`."""
    a, b = math.radians(middle), math.radians(edge)
    across = math.cos(a) * math.cos(b)
    if across < 1e-12:  # at a pole every longitude is the same place
        return 180.0
    return math.degrees(math.acos(min(max((math.cos(reach) - math.sin(a) * math.sin(b)) / across, -1.0), 1.0)))


def _wrapped(longitude: float) -> float:
    return round((longitude + 180.0) % 360.0 - 180.0, 4)
