"""Exports of Dictator Alert: a row a flight (`icao`, `from`, `to`, `start`, `end`), its positions inside as JSON.

The form of `positions` is documented nowhere that we know of. A point is read where it is an object that names its time,
latitude and longitude in words that leave no doubt; lists of bare numbers are not, because nobody says which is which.
Heights and speeds are taken under readsb's names alone (`alt_baro`, `gs`, `track`, `baro_rate`), which have known units.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import pyarrow as pa

from flightwatch.aircraft import address_of, as_written
from flightwatch.errors import InputError
from flightwatch.feeds import tables
from flightwatch.feeds.flightlists import columns_of
from flightwatch.feeds.sanity import Refused

COLUMN = "positions"

NAMES = {
    "timestamp": ("timestamp", "time", "datetime", "ts"),
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lon", "lng", "long"),
    "altitude": ("alt_baro",),
    "groundspeed": ("gs",),
    "track": ("track",),
    "vertical_rate": ("baro_rate",),
}
"""What a point may call each value."""


def positions(frame: pd.DataFrame, address: str | None, refused: Refused) -> Iterator[pa.Table]:
    """The positions inside the rows as one table (unchecked); `address` stands in where a row names nobody. Points whose
    form is not known are counted, and so are rows whose positions are no list. Raises InputError where none has any."""
    theirs = next((name for name in frame.columns if str(name).strip().lower() == COLUMN), None)
    if theirs is None:
        raise InputError(f"there is no column `{COLUMN}`: leave --format away, and it is read as a flight list")
    names = columns_of(frame.columns)
    points: list[dict[str, Any]] = []
    for row in frame.astype(object).where(frame.notna(), None).to_dict("records"):
        said = {ours: row[names[ours]] for ours in ("icao24", "registration", "callsign", "typecode") if ours in names}
        who: dict[str, str | None] = {name: str(value).strip() for name, value in said.items() if value is not None}
        registration = who.get("registration")
        who = {"icao24": (address_of(as_written(registration)) if registration else None) or address} | who
        points += [{**_point(point), **who} for point in _points(row[theirs], refused)]
    if points:
        yield tables.typed(pd.DataFrame(points, columns=[*NAMES, "onground", "icao24", "registration", "callsign", "typecode"]))


def _points(value: Any, refused: Refused) -> list[Mapping[str, Any]]:
    """The points of one row that can be read."""
    try:
        listed = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        listed = value
    listed = [] if listed is None else listed
    if not isinstance(listed, list):
        refused["unknown_form_of_positions"] = refused.get("unknown_form_of_positions", 0) + 1
        return []
    good: list[Mapping[str, Any]] = [
        p for p in listed if isinstance(p, dict) and all(_named(p, ours) for ours in ("timestamp", "latitude", "longitude"))
    ]
    if len(good) < len(listed):
        refused["unknown_form_of_point"] = refused.get("unknown_form_of_point", 0) + len(listed) - len(good)
    return good


def _named(point: Mapping[str, Any], ours: str) -> str | None:
    return next((name for name in NAMES[ours] if name in point), None)


def _point(point: Mapping[str, Any]) -> dict[str, Any]:
    """One point under our names."""
    given = {ours: point[name] for ours in NAMES if (name := _named(point, ours)) is not None}
    return given | ({"onground": given["altitude"] == "ground"} if "altitude" in given else {})
