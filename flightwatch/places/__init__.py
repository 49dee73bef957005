"""Places: airports, countries, great circles, coastlines. Everything here is offline and read-only.

`airports()` is the table of the world's airports, read once; `great_circle` computes over arrays; `outlines()` gives
the lines that maps draw. The tables are made by `flightwatch.places.tables`.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from geopy.distance import geodesic
from numpy.typing import NDArray

from flightwatch.places.airports import Airport, Airports, read_airports

__all__ = [
    "Airport",
    "Airports",
    "Outlines",
    "airports",
    "country_code",
    "country_name",
    "country_names",
    "outlines",
    "shown_distance_nm",
]

DATA = Path(__file__).parent / "data"


@cache
def airports() -> Airports:
    """The airport table that ships with flightwatch."""
    return read_airports(DATA / "airports.csv.gz")


@cache
def country_names() -> dict[str, str]:
    """English names by ISO 3166 two-letter code."""
    lines = (DATA / "countries.csv").read_text(encoding="utf-8").splitlines()[1:]
    return {code: name.strip('"') for code, _, name in (line.partition(",") for line in lines)}


def country_name(code: str) -> str:
    return country_names().get(code, code)


def country_code(text: str) -> str | None:
    """The code of a country by its code or its English name; None where there is no such country."""
    wanted = text.strip().casefold()
    if wanted == "uk":  # what everybody writes for GB
        return "GB"
    return next((code for code, name in country_names().items() if wanted in (code.casefold(), name.casefold())), None)


@dataclass(frozen=True)
class Outlines:
    """Coasts and borders (`lines`), those of them that are borders, and land as closed rings; arrays of shape (n, 2):
    longitude, latitude. Natural Earth 1:50m, public domain."""

    lines: tuple[NDArray[np.float64], ...]
    borders: tuple[NDArray[np.float64], ...]
    land: tuple[NDArray[np.float64], ...]


@cache
def outlines() -> Outlines:
    """The outlines of the world."""
    data = json.loads(gzip.decompress((DATA / "outlines.json.gz").read_bytes()))
    lines = tuple(np.array(line, dtype=np.float64) for line in data["lines"])
    rings = tuple(np.concatenate([lines[i] if i >= 0 else lines[~i][::-1] for i in ring]) for ring in data["land"])
    coast = {max(i, ~i) for ring in data["land"] for i in ring}
    return Outlines(lines, tuple(line for i, line in enumerate(lines) if i not in coast), rings)


def shown_distance_nm(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """The distance that people read: on the WGS 84 ellipsoid."""
    return float(geodesic((lat1, lon1), (lat2, lon2)).nautical)
