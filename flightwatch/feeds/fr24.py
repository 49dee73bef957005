"""Playbacks of one flight that subscribers of Flightradar24 download: JSON, CSV and KML.

JSON names the aircraft. CSV (`Timestamp,UTC,Callsign,Position,Altitude,Speed,Direction`, the position as one field
"lat,lon") and KML (placemarks with a time, a point, and height, speed and direction in words) do not: whoever imports
them says whose flight it was. Feet and knots; height 0 stands for the ground. KML heights are metres.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pandas as pd
import pyarrow as pa

from flightwatch.errors import FeedError
from flightwatch.feeds.columns import FT_PER_M, Floats, column, moments, numbers, table, typed
from flightwatch.feeds.sanity import Refused
from flightwatch.feeds.tables import since_1970
from flightwatch.records import TIME

CSV_COLUMNS = {"Timestamp", "Callsign", "Position", "Altitude", "Speed", "Direction"}

FASTEST_ROLL_KT = 200.0
"""Nothing rolls faster; a height of 0 at a higher speed is one that was not known."""

Number = float | int | None


class Quantity(msgspec.Struct):
    """One value in several units; only ours are read."""

    feet: Number = None
    kts: Number = None
    fpm: Number = None


NO_QUANTITY = Quantity()


class Point(msgspec.Struct):
    timestamp: Number = None
    latitude: Number = None
    longitude: Number = None
    altitude: Quantity | None = None
    speed: Quantity | None = None
    verticalSpeed: Quantity | None = None  # noqa: N815  # the format's name
    heading: Number = None
    squawk: str | None = None


def parse_playback(body: bytes, address: str | None) -> tuple[pa.Table, Refused]:
    """A playback in JSON as a table of positions (unchecked), and refused points by reason. `address` stands in where it
    names none. Raises FeedError where it is no playback."""
    try:
        reply: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise FeedError("not_json", "this is not JSON, or cut off: refused", body=body) from None
    flight = _at(reply, "result", "response", "data", "flight")
    if not isinstance(_at(flight, "track"), list):
        raise FeedError("no_playback", "there is no flight with a track in it: is it a playback?", body=body)
    points, bad = typed(flight["track"], Point)
    found = _text(_at(flight, "aircraft", "identification", "modes")) or address
    if found is None:
        raise FeedError("no_address", NO_ADDRESS)
    names = {
        "icao24": found,
        "registration": _text(_at(flight, "aircraft", "identification", "registration")),
        "typecode": _text(_at(flight, "aircraft", "model", "code")),
        "callsign": _text(_at(flight, "identification", "callsign")),
    }
    return _playback_table(points, names), {"bad_entry": bad} if bad else {}


NO_ADDRESS = "it does not say whose flight it is: give --registration (one that an address follows from, or the address itself)"


def _playback_table(points: Sequence[Point], names: dict[str, str | None]) -> pa.Table:
    heights = numbers([(p.altitude or NO_QUANTITY).feet for p in points])
    speeds = numbers([(p.speed or NO_QUANTITY).kts for p in points])
    return table(
        {
            **{name: [value] * len(points) for name, value in names.items()},
            "timestamp": moments(numbers([p.timestamp for p in points])),
            "latitude": numbers([p.latitude for p in points]),
            "longitude": numbers([p.longitude for p in points]),
            **_heights(heights, speeds),
            "groundspeed": speeds,
            "track": numbers([p.heading for p in points]),
            "vertical_rate": numbers([(p.verticalSpeed or NO_QUANTITY).fpm for p in points]),
            "squawk": [p.squawk for p in points],
        }
    )


def _heights(heights: Floats, speeds: Floats) -> dict[str, pa.Array]:
    """Altitude and ground flag: 0 ft at a rolling speed is the ground, at any other it is nothing."""
    known = heights == heights
    zero = heights == 0
    fast = speeds > FASTEST_ROLL_KT
    return {
        "altitude": pa.array(heights, mask=zero | ~known),
        "onground": pa.array(zero, pa.bool_(), mask=~known | (zero & fast)),
    }


def _at(value: Any, *keys: str) -> Any:
    """What stands under these keys, or None."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


# ---------------------------------------------------------------------------------------------------------------- CSV and KML


def csv_table(frame: pd.DataFrame, address: str) -> pa.Table:
    """A playback in CSV as a table of positions (unchecked)."""
    place = frame["Position"].astype(object).where(frame["Position"].notna(), "").astype(str).str.split(",", n=1, expand=True)
    place = place.reindex(columns=[0, 1])
    speeds = _numbers(frame["Speed"])
    return table(
        {
            "timestamp": pa.array(since_1970(pd.to_numeric(frame["Timestamp"], errors="coerce")), TIME, from_pandas=True),
            "icao24": [address] * len(frame),
            "callsign": frame["Callsign"].astype(object).where(frame["Callsign"].notna(), None).tolist(),
            "latitude": _numbers(place[0]),
            "longitude": _numbers(place[1]),
            **_heights(_numbers(frame["Altitude"]), speeds),
            "groundspeed": speeds,
            "track": _numbers(frame["Direction"]),
        }
    )


def _numbers(values: pd.Series) -> Floats:
    return numbers(pd.to_numeric(values, errors="coerce").tolist())


WORDS = {
    "altitude": re.compile(r"Altitude:\s*([\d,]+)\s*ft"),
    "groundspeed": re.compile(r"Speed:\s*([\d,]+)\s*kt"),
    "track": re.compile(r"Heading:\s*([\d,]+)"),
}
"""What the description of a placemark says, without its tags."""


def parse_kml(body: bytes, address: str) -> pa.Table:
    """A playback in KML as a table of positions (unchecked). Raises FeedError where it is no KML, and for document types,
    which can make a small file explode."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FeedError("not_kml", "this is not UTF-8: save it as UTF-8") from None
    if "<!" in re.sub(r"<!--|<!\[CDATA\[", "", text):
        raise FeedError("not_kml", "it declares a document type, which KML does not need: refused")
    try:
        root = ET.fromstring(text)
    except (ET.ParseError, ValueError, RecursionError) as error:
        raise FeedError("not_kml", f"this is no XML, or cut off ({error})") from None
    rows = [row for element in root.iter() for row in _placemark(element)]
    times = pd.to_datetime(pd.Series([r["when"] for r in rows], dtype=object), utc=True, errors="coerce", format="ISO8601")
    speeds = numbers([r["groundspeed"] for r in rows])
    found = {
        "timestamp": pa.array(times, TIME, from_pandas=True),
        "icao24": [address] * len(rows),
        "latitude": numbers([r["latitude"] for r in rows]),
        "longitude": numbers([r["longitude"] for r in rows]),
        **_heights(numbers([r["altitude"] for r in rows]), speeds),
        "groundspeed": column(speeds),
        "track": numbers([r["track"] for r in rows]),
    }
    return table(found)


def _placemark(element: ET.Element) -> Iterator[dict[str, Any]]:
    """The positions of a placemark with one time and one point; of a `Track` with as many times as points."""
    kind = _name(element)
    if kind == "Track":
        times = [e.text for e in element if _name(e) == "when"]
        places = [e.text for e in element if _name(e) == "coord"]
        for when, place in zip(times, places, strict=False):
            yield _kml_row(when, (place or "").split(), "")
    elif kind == "Placemark":
        inner = {_name(e): e.text for e in element.iter()}
        if "when" in inner and "Track" not in inner:
            yield _kml_row(inner["when"], (inner.get("coordinates") or "").split(","), inner.get("description") or "")


def _kml_row(when: str | None, place: Sequence[str], description: str) -> dict[str, Any]:
    """Longitude stands first; the height in words is exact, the one of the point was put into metres."""
    words = re.sub(r"<[^>]*>|&\w+;", " ", description)
    said = {name: _number(match[1]) if (match := pattern.search(words)) else None for name, pattern in WORDS.items()}
    longitude, latitude, metres = [*(_number(p) for p in place[:3]), None, None, None][:3]
    if said["altitude"] is None and metres is not None:
        said["altitude"] = round(metres * FT_PER_M)
    return {"when": when, "latitude": latitude, "longitude": longitude, **said}


def _number(text: str) -> float | None:
    try:
        value = float(text.replace(",", "").strip())
    except ValueError:
        return None
    return value if abs(value) < 1e9 else None


def _name(element: ET.Element) -> str:
    """The tag without its namespace, which differs between versions of KML."""
    return str(element.tag).rsplit("}", 1)[-1]
