"""The ADSBexchange-v2 family and readsb's own aircraft.json: bytes to a snapshot.

Two envelopes (`ac` with a clock in milliseconds, `aircraft` with one in seconds), one set of aircraft keys; keys are
left out where unknown, `alt_baro` is a number or the word "ground", `lat` and `lon` move into `lastPosition` a minute
after the last fix. Documented in readsb's README-json.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from flightwatch.errors import FeedError
from flightwatch.feeds.columns import clock, finite, numbers, table, typed
from flightwatch.feeds.sanity import Refused, checked, sum_of
from flightwatch.records import Scope, Snapshot, micros

OLDEST_FIX_S = 600.0
"""Fixes that are older when they are served (`lastPosition`) tell nothing that an earlier poll did not."""

SOURCES = {
    "adsb_icao": "adsb",
    "adsb_icao_nt": "adsb",
    "adsb_other": "adsb",
    "adsr_icao": "adsr",
    "adsr_other": "adsr",
    "tisb_icao": "tisb",
    "tisb_other": "tisb",
    "tisb_trackfile": "tisb",
    "adsc": "adsc",
    "mlat": "mlat",
    "mode_s": "mode_s",
}

Number = float | int | None


class LastPosition(msgspec.Struct):
    lat: Number = None
    lon: Number = None
    seen_pos: Number = None
    nic: Number = None


class Entry(msgspec.Struct, rename={"hex_": "hex"}):
    """One aircraft as served; everything may be missing."""

    hex_: str = ""
    type: str | None = None
    flight: str | None = None
    r: str | None = None
    t: str | None = None
    dbFlags: int = 0  # noqa: N815  # the feed's name
    alt_baro: float | int | str | None = None
    alt_geom: Number = None
    gs: Number = None
    track: Number = None
    true_heading: Number = None
    baro_rate: Number = None
    geom_rate: Number = None
    squawk: str | None = None
    emergency: str | None = None
    category: str | None = None
    lat: Number = None
    lon: Number = None
    nic: Number = None
    nac_p: Number = None
    sil: Number = None
    seen: Number = None
    seen_pos: Number = None
    lastPosition: LastPosition | None = None  # noqa: N815  # the feed's name
    mlat: list[str] = msgspec.field(default_factory=list)


class Reply(msgspec.Struct):
    now: float | int
    ac: list[Entry] | None = None
    aircraft: list[Entry] | None = None


_reply = msgspec.json.Decoder(Reply)


def parse(body: bytes, feed: str, scope: Scope, received: datetime) -> Snapshot:
    """A reply as a snapshot. Raises FeedError where it is not one; single bad entries are refused and counted."""
    now, entries, refused = _entries(body)
    feed_time = clock(now)
    fresh = [e for e in entries if not _is_old(e)]
    if len(fresh) < len(entries):
        refused["old_position"] = len(entries) - len(fresh)
    positions, more = checked(_table(fresh, feed_time, received, feed))
    return Snapshot(feed, feed_time, received, scope, positions, sum_of(refused, more))


def _is_old(entry: Entry) -> bool:
    place = entry if entry.lat is not None else entry.lastPosition
    return place is not None and place.seen_pos is not None and place.seen_pos > OLDEST_FIX_S


def _entries(body: bytes) -> tuple[float, Sequence[Entry], Refused]:
    try:
        reply = _reply.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _entries_one_by_one(body)
    listed = reply.ac if reply.ac is not None else reply.aircraft
    return _entries_one_by_one(body) if listed is None else (reply.now, listed, {})


def _entries_one_by_one(body: bytes) -> tuple[float, Sequence[Entry], Refused]:
    """The slow way for replies in which something is not as it should be: what is good of them is kept."""
    try:
        reply: Any = json.loads(body, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        kind = "a web page" if body.lstrip()[:1] == b"<" else "not JSON, or cut off"
        raise FeedError("not_json", f"the reply is {kind}: refused", body=body) from None
    if isinstance(reply, dict) and "hex" in reply:  # ADSBexchange answers a single address with a bare aircraft
        reply = {"now": reply.get("now"), "ac": [reply]}
    listed = reply.get("ac", reply.get("aircraft")) if isinstance(reply, dict) else None
    now = reply.get("now") if isinstance(reply, dict) else None
    if not isinstance(listed, list) or not finite(now):
        raise FeedError(
            "no_aircraft", "the reply has no `now`, or neither `ac` nor `aircraft`: is this the right address?", body=body
        )
    good, bad = typed(listed, Entry)
    return now, good, {"bad_entry": bad} if bad else {}


def _table(entries: Sequence[Entry], feed_time: datetime, received: datetime, feed: str) -> pa.Table:
    now_us = micros(feed_time)
    places = [e if e.lat is not None else (e.lastPosition or e) for e in entries]
    times = _times_before(now_us, numbers([p.seen_pos for p in places]))
    contact = _times_before(now_us, numbers([e.seen for e in entries]))
    # beside an old place stand the height, speed and direction of now: they are not those of that place
    moves: list[Entry] = [e if e.lat is not None else STILL for e in entries]
    on_ground = [e.alt_baro == "ground" for e in moves]
    heights = [e.alt_baro if isinstance(e.alt_baro, (int, float)) else None for e in moves]
    return table(
        {
            "timestamp": times,
            "icao24": [e.hex_ for e in entries],
            "callsign": [e.flight for e in entries],
            "registration": [e.r for e in entries],
            "typecode": [e.t for e in entries],
            "latitude": numbers([p.lat for p in places]),
            "longitude": numbers([p.lon for p in places]),
            "altitude": numbers(heights),
            "geoaltitude": numbers([e.alt_geom for e in moves]),
            "groundspeed": numbers([e.gs for e in moves]),
            "track": numbers(
                [
                    e.track if e.track is not None else (e.true_heading if g else None)
                    for e, g in zip(moves, on_ground, strict=True)
                ]
            ),
            "vertical_rate": numbers([e.baro_rate if e.baro_rate is not None else e.geom_rate for e in moves]),
            "onground": [g or (False if h is not None else None) for g, h in zip(on_ground, heights, strict=True)],
            "squawk": [e.squawk for e in entries],
            "emergency": [None if e.emergency == "none" else e.emergency for e in entries],
            "category": [e.category for e in entries],
            "military": [bool(e.dbFlags & 1) for e in entries],
            "source": [_source(e) for e in entries],
            "nic": numbers([p.nic for p in places]),
            "nac_p": numbers([e.nac_p for e in entries]),
            "sil": numbers([e.sil for e in entries]),
            "last_contact": contact,
            "received": pa.repeat(pa.scalar(received, pa.timestamp("us", "UTC")), len(entries)),
            "feed": pa.repeat(pa.scalar(feed), len(entries)),
        }
    )


STILL = Entry(hex_="")
"""An entry that says nothing of how the aircraft moves."""


def _times_before(now_us: int, age_s: np.ndarray[tuple[int], np.dtype[np.float64]]) -> pa.Array:
    """Clock minus age, null where there is no age or an impossible one."""
    with np.errstate(invalid="ignore"):
        good = (age_s >= 0) & (age_s < 1e7)
    microseconds = np.where(good, age_s, 0.0) * 1e6
    return pa.array(now_us - microseconds.round().astype(np.int64), pa.timestamp("us", "UTC"), mask=~good)


def _source(entry: Entry) -> str:
    if "lat" in entry.mlat:
        return "mlat"
    return SOURCES.get(entry.type or "", "other")
