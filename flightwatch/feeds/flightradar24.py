"""Flightradar24: positions of the official API, and the zone feed's shape for mirrors of one's own; bytes to a snapshot.

The API answers `{"data": [...]}` (or the bare list) with one object a flight: place, ft, kt, ft/min, the time of the fix as
ISO text, `source` (ADSB, MLAT, ESTIMATED, ...) and, where it is not hidden, `hex`; `full` adds registration and type.
Documented in Flightradar24/fr24api-sdk-python. It has no clock of its own: the newest fix stands for it.

The zone feed is an object whose lists are flights (address, latitude, longitude, track, ft, kt, squawk, receiver, type,
registration, time, ...). Without any while `full_count` says that there are some, its server is broken: that is no empty
sky.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
import pyarrow as pa

from flightwatch.errors import FeedError
from flightwatch.feeds.columns import moments, numbers, table, typed
from flightwatch.feeds.sanity import Refused, checked, sum_of
from flightwatch.records import TIME, Scope, Snapshot

SOURCES = {"ADSB": "adsb", "MLAT": "mlat", "ESTIMATED": "estimated", "RADAR": "radar", "UAT": "adsb"}
"""By `source`; FLARM and the rest are `other`."""

ON_GROUND_KT = 50.0
"""At a height of 0 and slower than this it is on the ground; the API has no other word for it."""

Number = float | int | None
T = TypeVar("T")


class Flight(msgspec.Struct):
    """One flight as the API serves it."""

    lat: Number
    lon: Number
    timestamp: str
    hex: str | None = None
    track: Number = None
    alt: Number = None
    gspeed: Number = None
    vspeed: Number = None
    squawk: str | int | None = None
    source: str | None = None
    callsign: str | None = None
    reg: str | None = None
    type: str | None = None


def parse(body: bytes, feed: str, scope: Scope, received: datetime) -> Snapshot:
    """A reply of the API as a snapshot. Raises FeedError where it is not one."""
    reply = _json(body)
    listed = reply.get("data") if isinstance(reply, dict) else reply
    if not isinstance(listed, list):
        raise FeedError("no_flights", "the reply has no `data`: is this the address of the Flightradar24 API?", body=body)
    flights, bad = typed(listed, Flight)
    refused: Refused = {"bad_entry": bad} if bad else {}
    named = _named([f.hex for f in flights], flights, refused)
    times = [_seconds(f.timestamp) for f in named]
    rows = {
        "timestamp": moments(numbers(times)),
        "icao24": [f.hex for f in named],
        "callsign": [f.callsign for f in named],
        "registration": [f.reg for f in named],
        "typecode": [f.type for f in named],
        "latitude": numbers([f.lat for f in named]),
        "longitude": numbers([f.lon for f in named]),
        "altitude": numbers([f.alt for f in named]),
        "groundspeed": numbers([f.gspeed for f in named]),
        "track": numbers([f.track for f in named]),
        "vertical_rate": numbers([f.vspeed for f in named]),
        "onground": [_on_ground(f.alt, f.gspeed) for f in named],
        "squawk": [None if f.squawk is None else f"{f.squawk:0>4}" for f in named],
        "source": [SOURCES.get((f.source or "").upper(), "other") for f in named],
    }
    return _snapshot(rows, times, refused, feed, scope, received)


def parse_zones(body: bytes, feed: str, scope: Scope, received: datetime) -> Snapshot:
    """A reply in the shape of the zone feed. Raises FeedError where it is not one, or its server is broken."""
    reply = _json(body)
    if not isinstance(reply, dict) or not isinstance(reply.get("full_count"), int):
        raise FeedError("no_flights", "the reply has no `full_count`: is this the shape of the zone feed?", body=body)
    listed = [value for value in reply.values() if isinstance(value, list)]
    if not listed and reply["full_count"] > 0:
        raise FeedError("degraded", "the reply counts flights and has none: its server is broken, no empty sky", body=body)
    flights, bad = typed([row[: len(Zone.__struct_fields__)] for row in listed], Zone)
    refused: Refused = {"bad_entry": bad} if bad else {}
    named = _named([f.hex for f in flights], flights, refused)
    times = numbers([f.time for f in named]).tolist()
    rows = {
        "timestamp": moments(numbers(times)),
        "icao24": [f.hex for f in named],
        "callsign": [f.callsign for f in named],
        "registration": [f.registration for f in named],
        "typecode": [f.type for f in named],
        "latitude": numbers([f.lat for f in named]),
        "longitude": numbers([f.lon for f in named]),
        "altitude": numbers([None if f.on_ground else f.alt for f in named]),
        "groundspeed": numbers([f.speed for f in named]),
        "track": numbers([f.track for f in named]),
        "vertical_rate": numbers([f.vertical_rate for f in named]),
        "onground": [bool(f.on_ground) for f in named],
        "squawk": [f.squawk for f in named],
        "source": ["other"] * len(named),  # rows do not say how a position was come by: it may be estimated
    }
    return _snapshot(rows, times, refused, feed, scope, received)


class Zone(msgspec.Struct, array_like=True):
    """One flight of the zone feed."""

    hex: str
    lat: Number
    lon: Number
    track: Number
    alt: Number
    speed: Number
    squawk: str | None
    receiver: str | None
    type: str | None
    registration: str | None
    time: float | int
    origin: str | None = None
    destination: str | None = None
    number: str | None = None
    on_ground: int = 0
    vertical_rate: Number = None
    callsign: str | None = None


def _json(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        kind = "a web page" if body.lstrip()[:1] == b"<" else "not JSON, or cut off"
        raise FeedError("not_json", f"the reply is {kind}: refused", body=body) from None


def _named(addresses: Sequence[str | None], flights: Sequence[T], refused: Refused) -> list[T]:
    """Flights whose address is not hidden; the rest is counted."""
    named = [flight for flight, address in zip(flights, addresses, strict=True) if address]
    if len(named) < len(flights):
        refused["hidden_address"] = len(flights) - len(named)
    return named


def _seconds(text: str) -> float | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _on_ground(height: Number, speed: Number) -> bool | None:
    if height is None:
        return None
    return height <= 0 and (speed is None or speed < ON_GROUND_KT)


def _snapshot(
    rows: dict[str, Any], times: Sequence[float | None], refused: Refused, feed: str, scope: Scope, received: datetime
) -> Snapshot:
    """The newest fix stands for the feed's clock; one of an empty sky is ours."""
    rows["received"] = pa.repeat(pa.scalar(received, TIME), len(times))
    rows["feed"] = pa.repeat(pa.scalar(feed), len(times))
    positions, more = checked(table(rows))
    known = [t for t in times if t is not None and 0 < t < FAR]
    newest = datetime.fromtimestamp(max(known), UTC) if known else received
    return Snapshot(feed, newest, received, scope, positions, sum_of(refused, more))


FAR = 4e9
"""No fix is later than the year 2096."""
