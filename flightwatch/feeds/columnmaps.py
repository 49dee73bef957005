"""Column maps: a YAML file that says which columns of a CSV are which of ours, in what units and times.

timestamp: {column: When, time: iso}        # iso, epoch_s or epoch_ms; without it as it looks
icao24: Hex
latitude: Lat
longitude: Lon
altitude: {column: Height, unit: m}         # ft (without a unit), m
groundspeed: {column: Speed, unit: km/h}    # kt, m/s, km/h, mph
vertical_rate: {column: Climb, unit: m/s}   # ft/min, fpm, m/s
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BeforeValidator

from flightwatch.documents import Strict, load, validate
from flightwatch.errors import InputError
from flightwatch.feeds.columns import FPM_PER_M_S, FT_PER_M, KT_PER_M_S
from flightwatch.feeds.contents import shown
from flightwatch.feeds.tables import iso_times, since_1970

KT_PER_KM_H, KT_PER_MPH = 1 / 1.852, 1.609344 / 1.852
FACTORS = {
    "m": FT_PER_M,
    "m/s": KT_PER_M_S,
    "km/h": KT_PER_KM_H,
    "mph": KT_PER_MPH,
}
"""From these units to ours; the others are ours."""


class Plain(Strict):
    """A column that is as ours is."""

    column: str


class Moment(Plain):
    time: Literal["iso", "epoch_s", "epoch_ms"] | None = None


class Height(Plain):
    unit: Literal["ft", "m"] = "ft"


class Speed(Plain):
    unit: Literal["kt", "m/s", "km/h", "mph"] = "kt"


class Rate(Plain):
    unit: Literal["ft/min", "fpm", "m/s"] = "ft/min"


def _named(value: Any) -> Any:
    """A name alone is a column without anything to convert."""
    return {"column": value} if isinstance(value, str) else value


Named = BeforeValidator(_named)


class ColumnMap(Strict):
    """Our columns, and where each of them is."""

    timestamp: Annotated[Moment, Named]
    latitude: Annotated[Plain, Named]
    longitude: Annotated[Plain, Named]
    icao24: Annotated[Plain | None, Named] = None
    callsign: Annotated[Plain | None, Named] = None
    registration: Annotated[Plain | None, Named] = None
    typecode: Annotated[Plain | None, Named] = None
    altitude: Annotated[Height | None, Named] = None
    geoaltitude: Annotated[Height | None, Named] = None
    groundspeed: Annotated[Speed | None, Named] = None
    track: Annotated[Plain | None, Named] = None
    vertical_rate: Annotated[Rate | None, Named] = None
    onground: Annotated[Plain | None, Named] = None
    squawk: Annotated[Plain | None, Named] = None
    emergency: Annotated[Plain | None, Named] = None
    category: Annotated[Plain | None, Named] = None
    military: Annotated[Plain | None, Named] = None
    source: Annotated[Plain | None, Named] = None
    last_contact: Annotated[Moment | None, Named] = None

    def given(self) -> Mapping[str, Plain]:
        """The columns that it names."""
        columns = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: column for name, column in columns.items() if column is not None}


def read_map(path: Path) -> ColumnMap:
    """A map as somebody wrote it. Raises ConfigError with every problem and its line."""
    return validate(load(path), ColumnMap)


def mapped(frame: pd.DataFrame, columns: ColumnMap, address: str | None) -> pd.DataFrame:
    """A frame of texts under our names and in our units. `address` stands in where the map names no addresses. Raises
    InputError where the file lacks a column."""
    lacking = [c.column for c in columns.given().values() if c.column not in frame.columns]
    if lacking:
        raise InputError(f"the file has no column {', '.join(lacking)}: it has {shown(list(frame.columns))}")
    out = pd.DataFrame({name: _converted(frame[c.column], c) for name, c in columns.given().items()})
    if columns.icao24 is None:
        if address is None:
            raise InputError("the map names no `icao24`: add it, or give --registration")
        out["icao24"] = address
    return out


def _converted(values: pd.Series, column: Plain) -> pd.Series:
    if isinstance(column, Moment) and column.time is not None:
        return _moments(values, column.time)
    if isinstance(column, Rate) and column.unit == "m/s":
        return pd.to_numeric(values, errors="coerce") * FPM_PER_M_S
    if isinstance(column, (Height, Speed)) and column.unit in FACTORS:
        return pd.to_numeric(values, errors="coerce") * FACTORS[column.unit]
    return values


def _moments(values: pd.Series, kind: str) -> pd.Series:
    if kind == "iso":
        return iso_times(values)
    return since_1970(pd.to_numeric(values, errors="coerce") / (1000 if kind == "epoch_ms" else 1))
