"""Regions: areas that people draw, as polygons or circles, and which points lie in them.

In: GeoJSON (RFC 7946) or KML files with polygons, or corners written out. Out: `Region`, which tells of points whether
they lie inside. Edges run straight in latitude and longitude, as the tools draw them that people draw with; a ring
may cross the antimeridian, either cut there, as RFC 7946 asks, or going on beyond 180 degrees, or simply jumping over it.
What is a hole in a polygon is outside.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flightwatch.errors import InputError
from flightwatch.places.great_circle import distance_nm

LARGEST = 4 << 20
"""Bytes of a file with a region; the coast of a continent in all detail has less."""

Flags = NDArray[np.bool_]
Ring = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Region:
    """An area: closed rings of corners (longitude, latitude in deg; shape (n, 2)), or all within `radius_nm` of a point
    (latitude, longitude)."""

    name: str
    rings: tuple[Ring, ...] = ()
    centre: tuple[float, float] | None = None
    radius_nm: float = 0.0

    def contains(self, latitude: ArrayLike, longitude: ArrayLike) -> Flags:
        """Which of some points lie inside: those from which a ray to the east crosses the rings an odd number of
        times."""
        lat, lon = np.asarray(latitude, dtype=np.float64), np.asarray(longitude, dtype=np.float64)
        if self.centre is not None:
            return np.asarray(distance_nm(lat, lon, *self.centre) <= self.radius_nm)
        inside = np.zeros(lat.shape, bool)
        for ring in self.rings:
            west, east = ring[:, 0].min(), ring[:, 0].max()
            for turn in (-360.0, 0.0, 360.0):
                if west <= 180.0 + turn and east >= -180.0 + turn:
                    inside ^= _crossed_oddly(ring, lat, lon + turn)
        return inside


def _crossed_oddly(ring: Ring, lat: NDArray[np.float64], lon: NDArray[np.float64]) -> Flags:
    odd = np.zeros(lat.shape, bool)
    for (x1, y1), (x2, y2) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if y1 != y2:
            across = (lat < max(y1, y2)) & (lat >= min(y1, y2))
            odd ^= across & (lon < x1 + (lat - y1) / (y2 - y1) * (x2 - x1))
    return odd


def polygon(name: str, corners: Sequence[Sequence[float]]) -> Region:
    """A region of one ring of corners (longitude, latitude). Raises InputError."""
    return Region(name, (_ring(corners),))


def read_region(name: str, path: Path) -> Region:
    """All polygons of a GeoJSON or KML file as one region. Raises InputError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from None
    if len(data) > LARGEST:
        raise InputError(f"{path.name} has {len(data)} bytes; at most {LARGEST} are read: simplify the outline")
    try:
        found = _kml(data) if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") else _geojson(json.loads(data))
        rings = tuple(map(_ring, found))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ET.ParseError) as error:
        raise InputError(f"{path.name} is no GeoJSON or KML with polygons: {error}") from None
    if not rings:
        raise InputError(f"{path.name} has no polygon: draw the region as an area, not as a line or a point")
    return Region(name, rings)


def _ring(corners: Sequence[Sequence[float]]) -> Ring:
    """A ring whose longitudes run on without a jump."""
    ring = np.array([corner[:2] for corner in corners], dtype=np.float64)
    if ring.shape[0] < 3 or ring.shape[1:] != (2,) or not np.isfinite(ring).all():
        raise InputError("a polygon has at least three corners, each a longitude and a latitude")
    if (np.abs(ring[:, 1]) > 90).any() or (np.abs(ring[:, 0]) > 360).any():
        raise InputError("corners are longitude, latitude in degrees: a latitude lies between -90 and 90")
    return np.stack([np.unwrap(ring[:, 0], period=360.0), ring[:, 1]], axis=1)


def _geojson(shape: Any) -> Iterator[Sequence[Sequence[float]]]:
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
            yield from shape["coordinates"]
        case "MultiPolygon":
            for part in shape["coordinates"]:
                yield from part


def _kml(data: bytes) -> Iterator[Sequence[Sequence[float]]]:
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise ValueError("it has a document type: delete that part")
    for ring in ET.fromstring(data).iter():  # entities, which could make it explode, are refused above
        if ring.tag.rpartition("}")[2] == "LinearRing":
            texts = [part.text or "" for part in ring if part.tag.rpartition("}")[2] == "coordinates"]
            yield [[float(value) for value in corner.split(",")] for text in texts for corner in text.split()]
