"""The day traces of readsb (`trace_full_<hex>.json`): one aircraft, its positions of a day.

`timestamp` and seconds after it, 14 columns a row (9 before 2022), gzip under a name in .json. A detail object comes
every few rows: callsign, squawk and category hold until it says something else, or until the row that begins a new leg;
what it says of integrity and of an emergency holds until the next one. Documented in readsb's README-json.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pyarrow as pa

from flightwatch.errors import FeedError
from flightwatch.feeds.columns import finite, moments, numbers, table, typed
from flightwatch.feeds.sanity import Refused
from flightwatch.feeds.v2 import SOURCES

NEW_LEG, GEOMETRIC_HEIGHT = 2, 8
"""Bits of the flags. 1 says that a gap lies before the row, whose own position is fine; 4 that the rate is geometric."""

Number = float | int | None


class Detail(msgspec.Struct):
    """What aircraft.json says beside a place."""

    type: str | None = None
    flight: str | None = None
    squawk: str | None = None
    emergency: str | None = None
    category: str | None = None
    nic: Number = None
    nac_p: Number = None
    sil: Number = None


class Row(msgspec.Struct, array_like=True):
    """One position; files from before 2022 end with the detail."""

    offset: float | int
    lat: Number
    lon: Number
    height: float | int | str | None = None
    gs: Number = None
    track: Number = None
    flags: int = 0
    rate: Number = None
    detail: Detail | None = None
    type: str | None = None
    geometric_height: Number = None


class Trace(msgspec.Struct):
    icao: str
    timestamp: float | int
    trace: list[Row]
    r: str | None = None
    t: str | None = None
    dbFlags: int | None = None  # noqa: N815  # the feed's name


class Frame(msgspec.Struct):
    """A trace without its rows."""

    icao: str
    timestamp: float | int
    trace: list[Any]
    r: str | None = None
    t: str | None = None
    dbFlags: int | None = None  # noqa: N815  # the feed's name


NO_DETAIL = Detail()


@dataclass(frozen=True, slots=True)
class Heard:
    """What holds of the rows after the one that said it."""

    callsign: str | None = None
    squawk: str | None = None
    category: str | None = None
    detail: Detail = NO_DETAIL


NOTHING = Heard()

_trace = msgspec.json.Decoder(Trace)


def parse_trace(body: bytes) -> tuple[pa.Table, Refused]:
    """A trace as a table of positions (unchecked), and refused rows by reason. Raises FeedError where it is none."""
    try:
        trace, refused = _trace.decode(body), Refused()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        trace, refused = _row_by_row(body)
    if not finite(trace.timestamp):
        raise FeedError("bad_clock", "the trace has no time to count from: refused")
    return _table(trace), refused


def _row_by_row(body: bytes) -> tuple[Trace, Refused]:
    """The slow way: rows that are null or spoilt are left out."""
    try:
        frame = msgspec.convert(json.loads(body, parse_constant=lambda _: None), Frame)
        str(frame.icao).encode()
    except (msgspec.ValidationError, ValueError, RecursionError):
        raise FeedError("no_trace", "there is no `icao`, `timestamp` and `trace` in it: is it a trace?", body=body) from None
    rows, bad = typed(frame.trace, Row)
    texts = [t if t is None or t.isascii() else None for t in (frame.r, frame.t)]
    trace = Trace(frame.icao, frame.timestamp, rows, texts[0], texts[1], frame.dbFlags)
    return trace, {"bad_entry": bad} if bad else {}


def _table(trace: Trace) -> pa.Table:
    rows, heard = trace.trace, _heard(trace.trace)
    geometric = [bool(r.flags & GEOMETRIC_HEIGHT) for r in rows]
    heights = [r.height if isinstance(r.height, (int, float)) else None for r in rows]
    ground = [r.height == "ground" for r in rows]
    return table(
        {
            "timestamp": moments(numbers([r.offset for r in rows]) + float(trace.timestamp)),
            "icao24": [trace.icao] * len(rows),
            "registration": [trace.r] * len(rows),
            "typecode": [trace.t] * len(rows),
            "military": [None if trace.dbFlags is None else bool(trace.dbFlags & 1)] * len(rows),
            "callsign": [h.callsign for h in heard],
            "latitude": numbers([r.lat for r in rows]),
            "longitude": numbers([r.lon for r in rows]),
            "altitude": numbers([None if g else h for h, g in zip(heights, geometric, strict=True)]),
            "geoaltitude": numbers(
                [r.geometric_height if not g else h for r, h, g in zip(rows, heights, geometric, strict=True)]
            ),
            "groundspeed": numbers([r.gs for r in rows]),
            "track": numbers([r.track for r in rows]),
            "vertical_rate": numbers([r.rate for r in rows]),
            "onground": [g or (False if h is not None else None) for g, h in zip(ground, heights, strict=True)],
            "squawk": [h.squawk for h in heard],
            "emergency": [None if h.detail.emergency == "none" else h.detail.emergency for h in heard],
            "category": [h.category for h in heard],
            "source": [_source(r.type or h.detail.type) for r, h in zip(rows, heard, strict=True)],
            "nic": numbers([h.detail.nic for h in heard]),
            "nac_p": numbers([h.detail.nac_p for h in heard]),
            "sil": numbers([h.detail.sil for h in heard]),
        }
    )


def _heard(rows: Sequence[Row]) -> list[Heard]:
    """What is known beside the place, row by row."""
    out, heard = [], NOTHING
    for row in rows:
        if row.flags & NEW_LEG:
            heard = replace(heard, callsign=None, squawk=None)
        if row.detail is not None:
            said = row.detail
            heard = Heard(
                said.flight or heard.callsign, said.squawk or heard.squawk, said.category or heard.category, detail=said
            )
        out.append(heard)
    return out


def _source(kind: str | None) -> str | None:
    return None if kind is None else SOURCES.get(kind, "other")
