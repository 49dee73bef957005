"""Where nobody listens: parts of the sky, each below some height.

Regions are exact and read like what people say of coverage; `Floors` is the same on a grid, for traffic by the million.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flightwatch.places import Airports
from flightwatch.places.great_circle import Floats, distance_nm

EVERY_HEIGHT_FT = 99_000.0


@dataclass(frozen=True)
class Region:
    """A part of the sky where nobody listens below a height: a polygon of (latitude, longitude), and circles in it
    where somebody does (with nm)."""

    corners: tuple[tuple[float, float], ...]
    below_ft: float = EVERY_HEIGHT_FT
    but: tuple[tuple[float, float, float], ...] = ()

    def covers(self, latitude: Floats, longitude: Floats, altitude: Floats) -> NDArray[np.bool_]:
        """Which of these positions lie in it."""
        inside = _inside(self.corners, latitude, longitude) & (altitude < self.below_ft)
        for lat, lon, radius in self.but:
            inside &= distance_nm(lat, lon, latitude, longitude) > radius
        return inside


def _inside(corners: tuple[tuple[float, float], ...], latitude: Floats, longitude: Floats) -> NDArray[np.bool_]:
    """Even-odd rule; regions here do not cross the antimeridian."""
    inside = np.zeros(np.shape(latitude), bool)
    for (lat1, lon1), (lat2, lon2) in zip(corners, [*corners[1:], corners[0]], strict=True):
        crosses = (lat1 > latitude) != (lat2 > latitude)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = (lon2 - lon1) * (latitude - lat1) / (lat2 - lat1) + lon1
        inside ^= crosses & (longitude < at)
    return inside


def box(south: float, west: float, north: float, east: float) -> tuple[tuple[float, float], ...]:
    """The corners of a box; one across the antimeridian takes two."""
    return ((north, west), (north, east), (south, east), (south, west))


NORTH_KOREA = Region(
    (
        (42.4, 130.7),
        (43.0, 129.7),
        (42.1, 128.0),
        (41.5, 126.6),
        (40.0, 124.2),
        (39.4, 124.3),
        (37.8, 124.7),
        (37.8, 126.7),
        (38.6, 128.5),
        (39.8, 128.6),
        (41.2, 130.2),
    )
)
"""No receiver: aircraft vanish at the border and come back at it."""

INLAND_SIBERIA = Region(
    ((74.0, 62.0), (74.0, 128.0), (49.0, 128.0), (49.0, 62.0)),
    but=((55.0, 82.9, 150.0), (56.2, 92.5, 110.0), (52.3, 104.4, 130.0)),
)
"""Hours without coverage between Novosibirsk, Krasnoyarsk and Irkutsk, and beyond."""

OCEANS = (
    Region(box(30.0, -52.0, 62.0, -17.0)),
    Region(box(-45.0, -32.0, 5.0, 5.0)),
    Region(box(-40.0, 60.0, 0.0, 95.0)),
    Region(box(22.0, 155.0, 50.0, 180.0), but=((21.3, -157.9, 200.0),)),
    Region(box(22.0, -180.0, 52.0, -135.0), but=((21.3, -157.9, 200.0),)),
    Region(box(-50.0, -170.0, -5.0, -95.0)),
)
"""The middles of the oceans, out of sight of any shore."""


def low_level(below_ft: float, listening: Iterable[str], airports: Airports, radius_nm: float = 30.0) -> Region:
    """Nobody hears what flies below a height, but near the airports where somebody listens."""
    places = [place for place in map(airports.get, listening) if place is not None]
    return Region(box(-90.0, -180.0, 90.0, 180.0), below_ft, tuple((p.latitude, p.longitude, radius_nm) for p in places))


@dataclass(frozen=True)
class Floors:
    """The lowest height (ft) at which anything is heard, on a grid of `per_deg` cells a degree from the south-west
    corner of the map; a cell is what its middle is."""

    lowest_ft: NDArray[np.float32]
    per_deg: int

    def hears(self, latitude: Floats, longitude: Floats, altitude: Floats) -> NDArray[np.bool_]:
        """Which of these positions are heard."""
        rows = np.minimum(((latitude + 90) * self.per_deg).astype(np.int32), 180 * self.per_deg - 1)
        columns = np.minimum(((longitude + 180) * self.per_deg).astype(np.int32), 360 * self.per_deg - 1)
        return np.asarray(altitude >= self.lowest_ft[rows, columns])


def floors(regions: Iterable[Region], per_deg: int = 4) -> Floors:
    """Regions put on a grid."""
    latitude = (np.arange(180 * per_deg) + 0.5) / per_deg - 90
    longitude = (np.arange(360 * per_deg) + 0.5) / per_deg - 180
    lat, lon = (a.ravel() for a in np.meshgrid(latitude, longitude, indexing="ij"))
    lowest = np.full(len(lat), -np.inf, np.float32)
    for region in regions:
        deaf = region.covers(lat, lon, np.full(len(lat), -2000.0))
        lowest[deaf] = np.maximum(lowest[deaf], region.below_ft)
    return Floors(lowest.reshape(len(latitude), len(longitude)), per_deg)


EVERYWHERE = Floors(np.full((180, 360), -np.inf, np.float32), 1)
"""Everything is heard."""
