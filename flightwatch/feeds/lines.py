"""Flat JSON lines, one position each: `now, hex, flight, lat, lon, alt_baro, gscp, track`, as loggers of readsb write
them; some add `squawk`, `emergency`, `category`, `baro_rate` and the whole entry as `flightdict`.

`now` is the time of the fix as near as the line tells it (seconds). `alt_baro` is a number or "ground"; any other text
is no height. Lines without an address are how a logger says that it lives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pyarrow as pa

from flightwatch.feeds.columns import moments, numbers, table
from flightwatch.feeds.sanity import Refused
from flightwatch.feeds.v2 import SOURCES

ROWS = 100_000
"""Lines of one table: some 150 MB while they are read."""

Number = float | int | None


class Entry(msgspec.Struct):
    type: str | None = None
    alt_geom: Number = None
    nic: Number = None
    nac_p: Number = None
    sil: Number = None


class Line(msgspec.Struct, rename={"hex_": "hex"}):
    now: Number = None
    hex_: str = ""
    flight: str | None = None
    lat: Number = None
    lon: Number = None
    alt_baro: float | int | str | None = None
    gscp: Number = None
    track: Number = None
    baro_rate: Number = None
    squawk: str | None = None
    emergency: str | None = None
    category: str | None = None
    flightdict: Entry | None = None


NO_ENTRY = Entry()

_line = msgspec.json.Decoder(Line)


def parse_lines(lines: Iterable[bytes], refused: Refused) -> Iterator[pa.Table]:
    """Lines as tables of positions (unchecked); what is no such line is counted in `refused`."""
    rows: list[Line] = []
    for text in lines:
        line = _read(text, refused)
        if line is not None:
            rows.append(line)
        if len(rows) == ROWS:
            yield _table(rows)
            rows = []
    if rows:
        yield _table(rows)


def _read(text: bytes, refused: Refused) -> Line | None:
    if not text.strip():
        return None
    try:
        line = _line.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        refused["bad_line"] = refused.get("bad_line", 0) + 1
        return None
    if not line.hex_:
        refused["no_aircraft"] = refused.get("no_aircraft", 0) + 1
        return None
    return line


def _table(rows: list[Line]) -> pa.Table:
    entries = [r.flightdict or NO_ENTRY for r in rows]
    ground = [r.alt_baro == "ground" for r in rows]
    heights = [r.alt_baro if isinstance(r.alt_baro, (int, float)) else None for r in rows]
    columns: dict[str, Any] = {
        "timestamp": moments(numbers([r.now for r in rows])),
        "icao24": [r.hex_ for r in rows],
        "callsign": [None if r.flight == "N/A" else r.flight for r in rows],
        "latitude": numbers([r.lat for r in rows]),
        "longitude": numbers([r.lon for r in rows]),
        "altitude": numbers(heights),
        "geoaltitude": numbers([e.alt_geom for e in entries]),
        "groundspeed": numbers([r.gscp for r in rows]),
        "track": numbers([r.track for r in rows]),
        "vertical_rate": numbers([r.baro_rate for r in rows]),
        "onground": [g or (False if h is not None else None) for g, h in zip(ground, heights, strict=True)],
        "squawk": [r.squawk for r in rows],
        "emergency": [None if r.emergency == "none" else r.emergency for r in rows],
        "category": [r.category for r in rows],
        "source": [None if e.type is None else SOURCES.get(e.type, "other") for e in entries],
        "nic": numbers([e.nic for e in entries]),
        "nac_p": numbers([e.nac_p for e in entries]),
        "sil": numbers([e.sil for e in entries]),
    }
    return table(columns)
