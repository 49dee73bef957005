"""Regions: areas that people draw, as polygons or circles, and which points lie in them.

In: GeoJSON (RFC 7946) or KML files with polygons, or corners written out. Out: `Region`, which tells of points whether
they lie inside. Edges run straight in latitude and longitude, as the tools draw them that people draw with; a ring
may cross the antimeridian, either cut there, as RFC 7946 asks, or going on beyond 180 degrees, or simply jumping over it: an
edge takes the shorter way round the world. What is a hole in a polygon is outside; what lies in several polygons is inside.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flightwatch.errors import InputError
from flightwatch.places.great_circle import distance_nm

LARGEST = 4 << 20
"""Bytes of a file with a region; the coast of a continent in all detail has less."""

MOST_CORNERS = 10_000
"""Corners of a region. Every position of a flight is held against each of its edges; the outlines that people draw have
some dozens, a sea out of Natural Earth's finest has some thousands."""

Flags = NDArray[np.bool_]
Ring = NDArray[np.float64]
Corners = Sequence[Sequence[float]]


@dataclass(frozen=True, eq=False)
class Region:
    """An area: polygons, or all within `radius_nm` of a point (latitude, longitude). A polygon is its outline and its holes,
    closed rings of corners (longitude, latitude in deg; shape (n, 2), the first corner is the last one, too)."""

    name: str
    polygons: tuple[tuple[Ring, ...], ...] = ()
    centre: tuple[float, float] | None = None
    radius_nm: float = 0.0

    @property
    def is_empty(self) -> bool:
        return not self.polygons and self.centre is None

    def near(self, latitude: ArrayLike, longitude: ArrayLike, nm: float) -> Flags:
        """Which of some points may lie within so many nm: those in the boxes around the rings, widened; none that does
        is missing."""
        lat, lon = np.asarray(latitude, dtype=np.float64), np.asarray(longitude, dtype=np.float64)
        if self.centre is not None:
            return np.asarray(distance_nm(lat, lon, *self.centre) <= self.radius_nm + nm)
        found = np.zeros(lat.shape, bool)
        high = nm / 60
        for ring in (outline for outline, *_ in self.polygons):
            (west, south), (east, north) = ring.min(axis=0), ring.max(axis=0)
            farthest = min(max(abs(south), abs(north)) + high, 89.9)
            wide = high / np.cos(np.radians(farthest))
            east_of = (lon - (west - wide)) % 360
            found |= (lat >= south - high) & (lat <= north + high) & (east_of <= east - west + 2 * wide)
        return found

    def away_nm(self, latitude: ArrayLike, longitude: ArrayLike) -> float:
        """How far the nearest of some points is from the region, all of which lie outside. Which part of an outline is the
        nearest is found on a flat map, so hundreds of miles away it may be another."""
        lat, lon = np.asarray(latitude, dtype=np.float64), np.asarray(longitude, dtype=np.float64)
        if self.centre is not None:
            return float(np.min(distance_nm(lat, lon, *self.centre))) - self.radius_nm
        return min(_away_nm(ring, lat, lon) for polygon in self.polygons for ring in polygon)

    def contains(self, latitude: ArrayLike, longitude: ArrayLike) -> Flags:
        """Which of some points lie inside."""
        lat, lon = np.asarray(latitude, dtype=np.float64), np.asarray(longitude, dtype=np.float64)
        if self.centre is not None:
            return np.asarray(distance_nm(lat, lon, *self.centre) <= self.radius_nm)
        inside = np.zeros(lat.shape, bool)
        for polygon in self.polygons:
            inside |= np.logical_xor.reduce([_inside(ring, lat, lon) for ring in polygon])
        return inside


def _inside(ring: Ring, lat: NDArray[np.float64], lon: NDArray[np.float64]) -> Flags:
    """The points from which a ray to the east crosses the ring an odd number of times, whichever turn of the world their
    longitudes are told in."""
    inside = np.zeros(lat.shape, bool)
    (west, south), (east, north) = ring.min(axis=0), ring.max(axis=0)
    for turn in (-360.0, 0.0, 360.0):
        at = lon + turn
        near = (lat >= south) & (lat < north) & (at >= west) & (at < east)
        inside[near] ^= _crossed_oddly(ring, lat[near], at[near])
    return inside


def _crossed_oddly(ring: Ring, lat: NDArray[np.float64], lon: NDArray[np.float64]) -> Flags:
    odd = np.zeros(lat.shape, bool)
    if len(lat):
        for (x1, y1), (x2, y2) in pairwise(ring):
            if y1 != y2:
                across = (lat < max(y1, y2)) & (lat >= min(y1, y2))
                odd ^= across & (lon < x1 + (lat - y1) / (y2 - y1) * (x2 - x1))
    return odd


def _away_nm(ring: Ring, lat: NDArray[np.float64], lon: NDArray[np.float64]) -> float:
    narrow = np.cos(np.radians(lat))[:, None]
    east, north = ((ring[:-1, 0] - lon[:, None] + 180) % 360 - 180) * narrow, ring[:-1, 1] - lat[:, None]
    along, up = np.diff(ring[:, 0]) * narrow, np.diff(ring[:, 1])
    length = along**2 + up**2
    share = np.clip(-(east * along + north * up) / np.where(length > 0, length, 1), 0, 1)
    east, north = east + share * along, north + share * up
    point, edge = np.unravel_index(np.argmin(east**2 + north**2), east.shape)
    there = lat[point] + north[point, edge], lon[point] + east[point, edge] / max(narrow[point, 0], 1e-9)
    return float(distance_nm(lat[point], lon[point], *there))


def polygon(name: str, corners: Corners) -> Region:
    """A region of one ring of corners (longitude, latitude). Raises InputError."""
    return Region(name, ((_ring(corners),),))


def read_region(name: str, path: Path) -> Region:
    """All polygons of a GeoJSON or KML file as one region. Raises InputError."""
    data = _bytes(path)
    try:
        found = _kml(data) if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") else _geojson(json.loads(data))
        polygons = tuple(tuple(map(_ring, rings)) for rings in found if len(rings))
    except (ValueError, ArithmeticError, TypeError, KeyError, AttributeError, RecursionError, ET.ParseError) as error:
        raise InputError(f"{path.name} is no GeoJSON or KML with polygons: {_told(error)}") from None
    if not polygons:
        raise InputError(f"{path.name} has no polygon: draw the region as an area, not as a line or a point")
    if (corners := sum(len(ring) for rings in polygons for ring in rings)) > MOST_CORNERS:
        raise InputError(f"{path.name} has {corners} corners; at most {MOST_CORNERS} are read: simplify the outline")
    return Region(name, polygons)


def _bytes(path: Path) -> bytes:
    if "\0" in path.name:
        raise InputError("no file can have such a name")
    if path.exists() and not path.is_file():
        raise InputError(f"{path.name} cannot be read: it is no file")
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from None
    if len(data) > LARGEST:
        raise InputError(f"{path.name} has more than {LARGEST} bytes: simplify the outline")
    return data


def _told(error: Exception) -> str:
    return f"there is no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())


def _ring(corners: Corners) -> Ring:
    """A closed ring whose longitudes run on without a jump. An edge takes the shorter way round the world, unless it goes all
    round it along a parallel."""
    ring = np.array([corner[:2] for corner in corners], dtype=np.float64)
    if ring.shape[0] < 3 or ring.shape[1:] != (2,) or not np.isfinite(ring).all():
        raise InputError("a polygon has at least three corners, each a longitude and a latitude")
    if (np.abs(ring[:, 1]) > 90).any() or (np.abs(ring[:, 0]) > 360).any():
        raise InputError("corners are longitude, latitude in degrees: a latitude lies between -90 and 90")
    ring = np.concatenate([ring, ring[:1]])
    step, rise = np.diff(ring, axis=0).T
    step = np.where((np.abs(step) == 360) & (rise == 0), step, (step + 180) % 360 - 180)
    longitude = ring[0, 0] + np.concatenate([[0.0], np.cumsum(step)])
    if abs(longitude[-1] - longitude[0]) > 1:
        raise InputError("a polygon goes round a pole: cut it along a meridian, and go to the pole and back there")
    if np.ptp(longitude) == 0 or np.ptp(ring[:, 1]) == 0:
        raise InputError("a polygon has no area: all of its corners lie in one line")
    return np.stack([longitude, ring[:, 1]], axis=1)


def _geojson(shape: Any) -> Iterator[Sequence[Corners]]:
    """The polygons of a shape, each as its rings."""
    match shape["type"]:
        case "FeatureCollection":
            for feature in shape["features"]:
                yield from _geojson(feature)
        case "Feature":
            if shape["geometry"] is not None:
                yield from _geojson(shape["geometry"])
        case "GeometryCollection":
            for part in shape["geometries"]:
                yield from _geojson(part)
        case "Polygon":
            yield shape["coordinates"]
        case "MultiPolygon":
            yield from shape["coordinates"]


def _kml(data: bytes) -> Iterator[Sequence[Corners]]:
    """The polygons of a KML file, each as its rings."""
    if b"\0" in data:
        raise ValueError("it is not UTF-8: save it as UTF-8")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise ValueError("it has a document type: delete that part")
    for shape in ET.fromstring(data).iter():  # entities, which could make it explode, are refused above
        if _tag(shape) == "Polygon":
            yield [_kml_corners(ring) for ring in shape.iter() if _tag(ring) == "LinearRing"]


def _kml_corners(ring: ET.Element) -> Corners:
    texts = [part.text or "" for part in ring if _tag(part) == "coordinates"]
    return [[float(value) for value in corner.split(",")] for text in texts for corner in text.split()]


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
