"""Flightradar24: replies of the official API, and the zone feed's shape for mirrors of one's own; bytes to a snapshot, to
positions or to flights.

The API answers `{"data": [...]}` (or the bare list) with one object a flight: place, ft, kt, ft/min, the time of the fix as
ISO text, `source` (ADSB, MLAT, ESTIMATED, ...) and, where it is not hidden, `hex`; `full` adds registration and type.
Documented in Flightradar24/fr24api-sdk-python. It has no clock of its own: the newest fix stands for it. Historic positions
have the same shape. Tracks are the points of one flight and do not say whose it was. Summaries are a row a flight.

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
    flights, bad = typed(_listed(body), Flight)
    refused: Refused = {"bad_entry": bad} if bad else {}
    named = _named([f.hex for f in flights], flights, refused)
    times = [_seconds(f.timestamp) for f in named]
    return _snapshot(_rows(named, times), times, refused, feed, scope, received)


def _listed(body: bytes) -> list[Any]:
    """The list of a reply, under `data` or bare. Raises FeedError where there is none."""
    reply = _json(body)
    listed = reply.get("data") if isinstance(reply, dict) else reply
    if not isinstance(listed, list):
        raise FeedError("no_flights", "the reply has no `data`: is this the address of the Flightradar24 API?", body=body)
    return listed


def _rows(flights: Sequence[Flight], times: Sequence[float | None]) -> dict[str, Any]:
    """The columns of `POSITIONS` that a reply has."""
    return {
        "timestamp": moments(numbers(list(times))),
        "icao24": [f.hex for f in flights],
        "callsign": [f.callsign for f in flights],
        "registration": [f.reg for f in flights],
        "typecode": [f.type for f in flights],
        "latitude": numbers([f.lat for f in flights]),
        "longitude": numbers([f.lon for f in flights]),
        "altitude": numbers([f.alt for f in flights]),
        "groundspeed": numbers([f.gspeed for f in flights]),
        "track": numbers([f.track for f in flights]),
        "vertical_rate": numbers([f.vspeed for f in flights]),
        "onground": [_on_ground(f.alt, f.gspeed) for f in flights],
        "squawk": [None if f.squawk is None else f"{f.squawk:0>4}" for f in flights],
        "source": [SOURCES.get((f.source or "").upper(), "other") for f in flights],
    }


class Track(msgspec.Struct):
    """The points of one flight."""

    fr24_id: str
    tracks: list[Any]


def parse_tracks(body: bytes, address: str) -> tuple[pa.Table, Refused]:
    """A reply of `/api/flight-tracks` as a table of positions (unchecked) of the aircraft with this address, and refused
    points by reason. Raises FeedError where it is none."""
    tracks, bad = typed(_listed(body), Track)
    points, worse = typed([point for track in tracks for point in track.tracks], Flight)
    rows = _rows(points, [_seconds(p.timestamp) for p in points])
    return table(rows | {"icao24": [address] * len(points)}), {"bad_entry": bad + worse} if bad + worse else {}


class Summary(msgspec.Struct):
    """One flight as `/api/flight-summary` has it; `light` has no IATA codes."""

    fr24_id: str
    hex: str | None = None
    reg: str | None = None
    type: str | None = None
    callsign: str | None = None
    orig_icao: str | None = None
    orig_iata: str | None = None
    dest_icao: str | None = None
    dest_iata: str | None = None
    dest_icao_actual: str | None = None
    dest_iata_actual: str | None = None
    datetime_takeoff: str | None = None
    datetime_landed: str | None = None
    first_seen: str | None = None
    last_seen: str | None = None
    flight_ended: bool | None = None

    @property
    def destination(self) -> str | None:
        """Where it landed: the actual destination, else the planned one if it is known to have landed. Where it was only
        going to, nobody knows that it went."""
        planned = (self.dest_icao or self.dest_iata) if self.datetime_landed else None
        return self.dest_icao_actual or self.dest_iata_actual or planned

    @property
    def day(self) -> str | None:
        """The day of a flight of which neither take-off nor landing was seen, if it was seen on one day alone."""
        first, last = (self.first_seen or "")[:10], (self.last_seen or "")[:10]
        return first if first and first == last and not (self.datetime_takeoff or self.datetime_landed) else None


def parse_summaries(body: bytes) -> tuple[list[Summary], int]:
    """The flights of a reply of `/api/flight-summary`, and how many entries are none. Raises FeedError."""
    return typed(_listed(body), Summary)


def parse_summary(body: bytes) -> tuple[list[dict[str, str | None]], Refused]:
    """A reply of `/api/flight-summary` under the names of flight lists, and what was refused by reason: a flight that has
    not ended will be told otherwise later. Raises FeedError where it is none."""
    flights, bad = parse_summaries(body)
    ended = [flight for flight in flights if flight.flight_ended is not False]
    refused = {"bad_entry": bad, "not_ended": len(flights) - len(ended)}
    rows = [
        {
            "flight_id": f.fr24_id,
            "registration": f.reg,
            "icao24": f.hex,
            "typecode": f.type,
            "callsign": f.callsign,
            "origin": f.orig_icao or f.orig_iata,
            "destination": f.destination,
            "takeoff_time": f.datetime_takeoff,
            "landing_time": f.datetime_landed,
            "date": f.day,
        }
        for f in ended
    ]
    return rows, {reason: count for reason, count in refused.items() if count}


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
    times = [float(f.time) for f in named]
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


def moment_of(text: str | None) -> datetime | None:
    """A time as the API writes it, UTC where no zone is given."""
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _seconds(text: str) -> float | None:
    time = moment_of(text)
    return None if time is None else time.timestamp()


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
