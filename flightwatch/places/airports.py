"""The airport table: look up by any code, find what is near, all over arrays.

Airports are named by their OurAirports `ident` everywhere in flightwatch (Hwangju is KP-0020); inside computations
they are rows of this table, counted from 0.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flightwatch.places.great_circle import EARTH_RADIUS_NM, angles, unit_vector, unit_vectors

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

PLAIN_WORDS = re.compile(r"\b(International|Regional|Municipal|Airport|Airfield|Airstrip|Air Base|Airbase|Air Force Base)\b")
"""What names of airports have in common."""

CITY_NM = 60.0
"""Airports that go by a city's name lie within this of the middle of them all."""

NM_PER_DEGREE = EARTH_RADIUS_NM * np.pi / 180


@dataclass(frozen=True, slots=True)
class Airport:
    """One row of the table, for messages. `size` is large, medium, small, seaplane or city (a code for several
    airports)."""

    ident: str
    name: str
    latitude: float
    longitude: float
    elevation_ft: float
    country: str
    municipality: str
    size: str
    timezone: str

    @property
    def short_name(self) -> str:
        """What people call it: the town where the airport is named after it, else its own name with the town
        (`Chkalovskiy (Moscow)`)."""
        own = PLAIN_WORDS.sub("", self.name).strip(" -/")
        if not self.municipality or not own or self.municipality.casefold() in self.name.casefold():
            return self.municipality or self.name
        return f"{own} ({self.municipality})"


class Airports:
    """The table as arrays of one length; rows do not move during a run."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.ident: list[str] = frame["ident"].tolist()
        self.name: list[str] = frame["name"].tolist()
        self.municipality: list[str] = frame["municipality"].tolist()
        self.timezone: list[str] = frame["timezone"].tolist()
        self.latitude: Floats = frame["latitude"].to_numpy(np.float64)
        self.longitude: Floats = frame["longitude"].to_numpy(np.float64)
        self.elevation_ft: Floats = frame["elevation_ft"].fillna(0).to_numpy(np.float64)
        self.runway_ft: Floats = frame["runway_ft"].to_numpy(np.float64)  # the longest; NaN where not known
        self.country = np.array(frame["country"].tolist())
        self.size = np.array(frame["size"].tolist())
        self.scheduled = frame["scheduled"].to_numpy(bool)
        self.vectors: Floats = unit_vectors(self.latitude, self.longitude)
        self.landable = self.size != "city"
        self.small = np.isin(self.size, ("small", "seaplane"))
        self.notable = (self.size == "large") | ((self.size == "medium") & self.scheduled)
        self._asked: dict[int, Airport] = {}
        self._codes = {kind: _first_rows(frame[kind]) for kind in ("ident", "icao", "iata", "local")}

    def __len__(self) -> int:
        return len(self.ident)

    @property
    def rows(self) -> Mapping[str, int]:
        """The row of each ident, in order."""
        return self._codes["ident"]

    def __getitem__(self, row: int) -> Airport:
        if row not in self._asked:
            self._asked[row] = self._made(row)
        return self._asked[row]

    def _made(self, row: int) -> Airport:
        return Airport(
            self.ident[row],
            self.name[row],
            float(self.latitude[row]),
            float(self.longitude[row]),
            float(self.elevation_ft[row]),
            str(self.country[row]),
            self.municipality[row],
            str(self.size[row]),
            self.timezone[row],
        )

    def row(self, ident: str | None) -> int | None:
        """The row of an `ident`; None for null and for codes that the table does not have."""
        return None if ident is None else self._codes["ident"].get(ident)

    def get(self, ident: str | None) -> Airport | None:
        row = self.row(ident)
        return None if row is None else self[row]

    def country_of(self, ident: str | None) -> str | None:
        return None if ident is None else self.countries.get(ident)

    @cached_property
    def countries(self) -> dict[str, str]:
        """The country of each `ident`."""
        return {ident: str(self.country[row]) for ident, row in self._codes["ident"].items()}

    def readings(self, code: str) -> list[int]:
        """The rows that a code can mean, likeliest first: ICAO or ident, then IATA, then a local code (US ones lack
        the K)."""
        code = code.strip().upper()
        kinds = ("ident", "icao", "iata", "local")
        if len(code) == 3:
            kinds = ("iata", "local", "ident", "icao")
        found = [self._codes[kind][code] for kind in kinds if code in self._codes[kind]]
        return list(dict.fromkeys(found))

    def is_airport(self, ident: str) -> bool:
        """Whether an ident is that of a place where a leg can end; a city's code is not."""
        row = self.row(ident)
        return row is not None and bool(self.landable[row])

    def meant_by(self, code: str) -> list[str]:
        """The idents of the airports that a code can mean: for a city (MOW) the large and the scheduled ones around
        its middle."""
        rows = self.readings(code)
        if not rows or self.landable[rows[0]]:
            return [self.ident[r] for r in rows if self.landable[r]]
        city, country = self.municipality[rows[0]], self.country[rows[0]]
        around, _ = self.near(float(self.latitude[rows[0]]), float(self.longitude[rows[0]]), CITY_NM)
        own = [r for r in around if self.country[r] == country and (self.notable[r] or self._is_of(int(r), city))]
        return [self.ident[r] for r in own]

    def _is_of(self, row: int, city: str) -> bool:
        """Whether an airport of some size goes by a town's name: Chkalovskiy is Moscow's, too."""
        return self.size[row] in ("large", "medium") and self.municipality[row] == city

    def named(self, name: str) -> list[str]:
        """The idents of the airports of some size that go by a name or by that of their town, heavy ones first."""
        wanted = name.strip().casefold()
        found = [r for r in range(len(self)) if wanted in (self.municipality[r].casefold(), self.name[r].casefold())]
        return [self.ident[r] for r in found if self.size[r] in ("large", "medium")]

    def resolve(self, codes: Iterable[str | None]) -> dict[str, str]:
        """Codes of one flight list to idents; a code with no reading is kept as given.

        A three-letter code can be the IATA code of one airport and the local code of another (CRQ: Caravelas,
        Carlsbad). The list decides: among the readings, the one in the country that most of its other codes lie in.
        """
        wanted = {c for c in codes if c}
        readings = {c: self.readings(c) for c in wanted}
        countries = Counter(str(self.country[r[0]]) for r in readings.values() if len(r) == 1)
        home = countries.most_common(1)[0][0] if countries else ""
        return {c: self.ident[self._choose(r, home)] if r else c for c, r in readings.items()}

    def _choose(self, readings: list[int], home: str) -> int:
        return next((r for r in readings if self.country[r] == home), readings[0])

    def near(self, latitude: float, longitude: float, radius_nm: float) -> tuple[Ints, Floats]:
        """Rows of airports (no cities) within a radius, nearest first, with their distances."""
        rows = self._around(latitude, longitude, radius_nm)
        distance = angles(self.vectors.take(rows, axis=0), unit_vector(latitude, longitude)) * EARTH_RADIUS_NM
        order = np.argsort(distance, kind="stable")
        order = order[distance[order] <= radius_nm]
        return rows[order], distance[order]

    def around(self, latitude: Floats, longitude: Floats, radius_nm: float) -> tuple[Ints, Ints, Floats]:
        """The same of many places at once, which takes a tenth of the time: for each airport within the radius of a place the
        number of that place, the row, and how far it is (nm); place by place, nearest first."""
        found = [self._around(*place, radius_nm) for place in zip(latitude.tolist(), longitude.tolist(), strict=True)]
        at = np.repeat(np.arange(len(found)), [len(rows) for rows in found])
        rows = np.concatenate([*found, np.empty(0, np.int64)])
        distance = angles(self.vectors.take(rows, axis=0), unit_vectors(latitude, longitude)[at]) * EARTH_RADIUS_NM
        within = (distance <= radius_nm).nonzero()[0]
        order = within[np.lexsort((rows[within], distance[within], at[within]))]
        return at[order], rows[order], distance[order]

    def _around(self, latitude: float, longitude: float, radius_nm: float) -> Ints:
        """A superset of the rows within a radius, from the cells of one degree that the circle can touch."""
        rows, starts = self._cells
        reach = radius_nm / NM_PER_DEGREE
        south, north = max(math.floor(latitude - reach), -90), min(math.floor(latitude + reach), 89)
        widest = max(abs(latitude - reach), abs(latitude + reach))
        west, east = 0, 359
        if widest < 85:
            lon_reach = reach / math.cos(math.radians(widest)) + 0.01
            if lon_reach < 179:
                west, east = math.floor(longitude - lon_reach) + 180, math.floor(longitude + lon_reach) + 180
        spans = [(west, east)]
        if west < 0:
            spans = [(0, min(east, 359)), (west + 360, 359)]
        elif east > 359:
            spans = [(west, 359), (0, east - 360)]
        corners = range(360 * (south + 90), 360 * (north + 91), 360)
        parts = [rows[starts[corner + first] : starts[corner + last + 1]] for corner in corners for first, last in spans]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    @cached_property
    def _cells(self) -> tuple[Ints, list[int]]:
        """The rows of airports (no cities) by cells of one degree, from the south-west corner of the map eastward and then
        northward, and where each cell begins among them."""
        rows = np.flatnonzero(self.landable)
        band = np.clip(np.floor(self.latitude[rows]), -90, 89).astype(np.int64) + 90
        cell = 360 * band + np.floor(self.longitude[rows] + 180).astype(np.int64) % 360
        order = np.argsort(cell, kind="stable")
        return rows[order], np.searchsorted(cell[order], np.arange(180 * 360 + 1)).tolist()


def _first_rows(codes: pd.Series) -> dict[str, int]:
    rows: dict[str, int] = {}
    for row, code in enumerate(codes.tolist()):
        if code:
            rows.setdefault(code, row)
    return rows


def read_airports(path: Path) -> Airports:
    """Reads the table that `flightwatch.places.tables` makes; heavy sizes stand before light ones wherever a code is
    shared."""
    text = dict.fromkeys(("ident", "name", "country", "municipality", "size", "icao", "iata", "local", "timezone"), str)
    frame = pd.read_csv(path, dtype=text, keep_default_na=False, na_values={"elevation_ft": [""], "runway_ft": [""]})
    rank = frame["size"].map({"large": 0, "medium": 1, "city": 2, "small": 3, "seaplane": 4})
    return Airports(frame.iloc[np.lexsort((frame["ident"], rank))].reset_index(drop=True))
