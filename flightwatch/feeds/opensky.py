"""OpenSky: its states, live and in tables of history, its flights and its tracks.

A reply of `/states/all` is `{"time": s, "states": [[...], ...]}`: a row has 17 fields, 18 with the emitter category,
and may have more; longitude stands before latitude; metres, metres a second, seconds since 1970. `"states": null` is
an empty sky. A fix is repeated for up to 15 s with the same `time_position`, which is null where there is none.
Documented in openskynetwork/opensky-api, docs/free/rest.rst.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa

from flightwatch.errors import FeedError
from flightwatch.feeds.columns import FPM_PER_M_S, FT_PER_M, KT_PER_M_S, Floats, clock, finite, moments, numbers, table, typed
from flightwatch.feeds.sanity import Refused, checked, sum_of
from flightwatch.feeds.tables import fitting
from flightwatch.feeds.v2 import OLDEST_FIX_S
from flightwatch.records import TIME, Scope, Snapshot

SOURCES = ("adsb", "radar", "mlat", "other")
"""By `position_source`: ADS-B, ASTERIX, MLAT, FLARM."""

CATEGORIES = (
    "",
    "",
    "A1",
    "A2",
    "A3",
    "A4",
    "A5",
    "A6",
    "A7",
    "B1",
    "B2",
    "B3",
    "B4",
    "B5",
    "B6",
    "B7",
    "C1",
    "C2",
    "C3",
    "C4",
    "C5",
)
"""By `category`; the first two say that nothing is known."""

AHEAD_S = 10.0
"""A fix may be this much after the reply's own clock, which is cut to the grid of replies; more is no time of a fix."""

Number = float | int | None


class State(msgspec.Struct, array_like=True):
    """One row as served; what is left out at its end is unknown, what comes after it is not ours."""

    icao24: str
    callsign: str | None
    origin_country: str | None
    time_position: Number
    last_contact: Number
    longitude: Number
    latitude: Number
    baro_altitude: Number = None
    on_ground: bool | None = None
    velocity: Number = None
    true_track: Number = None
    vertical_rate: Number = None
    sensors: Any = None
    geo_altitude: Number = None
    squawk: str | None = None
    spi: bool | None = None
    position_source: int | None = None
    category: int | None = None


class Reply(msgspec.Struct):
    time: float | int
    states: list[State] | None


_reply = msgspec.json.Decoder(Reply)


def parse_states(body: bytes, feed: str, scope: Scope, received: datetime) -> Snapshot:
    """A reply as a snapshot. Raises FeedError where it is not one; single bad rows are refused and counted."""
    time, states, refused = _states(body)
    feed_time = clock(time)
    with np.errstate(invalid="ignore"):
        old = float(time) - numbers([s.time_position for s in states]) > OLDEST_FIX_S
    fresh = [s for s, is_old in zip(states, old, strict=True) if not is_old]
    if len(fresh) < len(states):
        refused["old_position"] = len(states) - len(fresh)
    positions, more = checked(_table(fresh, time, received, feed))
    return Snapshot(feed, feed_time, received, scope, positions, sum_of(refused, more))


def _states(body: bytes) -> tuple[float, Sequence[State], Refused]:
    try:
        reply = _reply.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _states_one_by_one(body)
    return reply.time, reply.states or (), {}


def _states_one_by_one(body: bytes) -> tuple[float, Sequence[State], Refused]:
    """The slow way for replies in which something is not as it should be: what is good of them is kept."""
    try:
        reply: Any = json.loads(body, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        kind = "a web page" if body.lstrip()[:1] == b"<" else "not JSON, or cut off"
        raise FeedError("not_json", f"the reply is {kind}: refused", body=body) from None
    time = reply.get("time") if isinstance(reply, dict) else None
    listed = reply.get("states", 0) if isinstance(reply, dict) else 0
    listed = [] if listed is None else listed
    if not isinstance(listed, list) or not finite(time):
        raise FeedError("no_states", "the reply has no `time`, or no `states`: is this the right address?", body=body)
    good, bad = typed(listed, State)
    return time, good, {"bad_entry": bad} if bad else {}


def _table(states: Sequence[State], time: float, received: datetime, feed: str) -> pa.Table:
    fixes = numbers([s.time_position for s in states])
    with np.errstate(invalid="ignore"):
        fixes[fixes > time + AHEAD_S] = np.nan
    return table(
        {
            "timestamp": moments(fixes),
            "icao24": [s.icao24 for s in states],
            "callsign": [s.callsign for s in states],
            "latitude": numbers([s.latitude for s in states]),
            "longitude": numbers([s.longitude for s in states]),
            "altitude": numbers([s.baro_altitude for s in states]) * FT_PER_M,
            "geoaltitude": numbers([s.geo_altitude for s in states]) * FT_PER_M,
            "groundspeed": numbers([s.velocity for s in states]) * KT_PER_M_S,
            "track": numbers([s.true_track for s in states]),
            "vertical_rate": numbers([s.vertical_rate for s in states]) * FPM_PER_M_S,
            "onground": [s.on_ground for s in states],
            "squawk": [s.squawk for s in states],
            "category": [_named(CATEGORIES, s.category) or None for s in states],
            "source": [_named(SOURCES, s.position_source) or "other" for s in states],
            "last_contact": moments(numbers([s.last_contact for s in states])),
            "received": pa.repeat(pa.scalar(received, TIME), len(states)),
            "feed": pa.repeat(pa.scalar(feed), len(states)),
        }
    )


def _named(names: Sequence[str], code: int | None) -> str:
    return names[code] if code is not None and 0 <= code < len(names) else ""


# ------------------------------------------------------------------------------------------------------------- tables of history

TABLE_COLUMNS = {"time", "icao24", "lat", "lon", "lastposupdate", "lastcontact"}
"""By these the tables of OpenSky's history are told from others: the weekly samples, and what Trino gives."""

FLIGHT_COLUMNS = {"icao24", "firstseen", "lastseen", "estdepartureairport", "estarrivalairport"}
"""In lower case; the REST reply writes them with capitals inside."""


def states_table(frame: pd.DataFrame) -> tuple[pa.Table, Refused]:
    """Rows of a history of states as a table of positions (unchecked), and refused ones by reason. A row is the state
    at `time`, of which the position may be older: its own time is `lastposupdate`."""
    times = {name: _floats(frame, name) for name in ("time", "lastposupdate", "lastcontact")}
    with np.errstate(invalid="ignore"):
        old = times["time"] - times["lastposupdate"] > OLDEST_FIX_S
    kept = frame.loc[~old]
    positions = table(
        {
            "timestamp": moments(times["lastposupdate"][~old]),
            "icao24": fitting(kept["icao24"], pa.string()),
            "callsign": fitting(kept["callsign"], pa.string()) if "callsign" in kept else [None] * len(kept),
            "latitude": _floats(kept, "lat"),
            "longitude": _floats(kept, "lon"),
            "altitude": _floats(kept, "baroaltitude") * FT_PER_M,
            "geoaltitude": _floats(kept, "geoaltitude") * FT_PER_M,
            "groundspeed": _floats(kept, "velocity") * KT_PER_M_S,
            "track": _floats(kept, "heading"),
            "vertical_rate": _floats(kept, "vertrate") * FPM_PER_M_S,
            "onground": fitting(kept["onground"], pa.bool_()) if "onground" in kept else [None] * len(kept),
            "squawk": _squawks(kept["squawk"]) if "squawk" in kept else [None] * len(kept),
            "last_contact": moments(times["lastcontact"][~old]),
        }
    )
    return positions, {"old_position": int(old.sum())} if old.any() else {}


def _floats(frame: pd.DataFrame, name: str) -> Floats:
    """A column as numbers; NaN all along where there is none."""
    if name not in frame:
        return np.full(len(frame), np.nan)
    return numbers(pd.to_numeric(frame[name], errors="coerce").tolist())


def _squawks(values: pd.Series) -> pa.Array:
    """Four digits; tables that took them for numbers have lost the zeros at the front."""
    texts = fitting(values, pa.string()).to_pylist()
    return pa.array([None if t is None else t.removesuffix(".0").zfill(4) for t in texts], pa.string())


def flights_list(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of `/flights/*` under the names of flight lists. The times are those of the first and last message, a minute
    or two inside the flight where somebody listens at the airport."""
    names = {name.lower(): name for name in frame.columns}
    ours = {
        "icao24": "icao24",
        "callsign": "callsign",
        "origin": "estdepartureairport",
        "destination": "estarrivalairport",
        "takeoff_time": "firstseen",
        "landing_time": "lastseen",
    }
    return pd.DataFrame({name: frame[names[theirs]] for name, theirs in ours.items() if theirs in names})


# --------------------------------------------------------------------------------------------------------------------- tracks


class Waypoint(msgspec.Struct, array_like=True):
    """One point of a track; latitude stands first here."""

    time: Number
    latitude: Number
    longitude: Number
    baro_altitude: Number = None
    true_track: Number = None
    on_ground: bool | None = None


class TrackReply(msgspec.Struct, rename={"misspelt": "calllsign"}):
    icao24: str
    path: list[Any]
    callsign: str | None = None
    misspelt: str | None = None


def parse_track(body: bytes) -> tuple[pa.Table, Refused]:
    """A reply of `/tracks` as a table of positions (unchecked), and refused points by reason. Its points are thinned: up
    to a quarter of an hour lies between two of them. Raises FeedError where it is none."""
    try:
        track = msgspec.json.decode(body, type=TrackReply)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise FeedError("no_track", "there is no `icao24` and `path` in it: is it a track?", body=body) from None
    points, bad = typed(track.path, Waypoint)
    positions = table(
        {
            "timestamp": moments(numbers([p.time for p in points])),
            "icao24": [track.icao24] * len(points),
            "callsign": [track.callsign or track.misspelt] * len(points),
            "latitude": numbers([p.latitude for p in points]),
            "longitude": numbers([p.longitude for p in points]),
            "altitude": numbers([p.baro_altitude for p in points]) * FT_PER_M,
            "track": numbers([p.true_track for p in points]),
            "onground": [p.on_ground for p in points],
        }
    )
    return positions, {"bad_entry": bad} if bad else {}
