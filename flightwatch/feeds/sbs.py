"""SBS-1 (BaseStation) logs: the lines that receivers give on port 30003.

22 fields with commas: `MSG`, a type from 1 to 8, address, date and time of the message, callsign, altitude (ft), ground
speed (kt), track, latitude, longitude, vertical rate (ft/min), squawk, four flags. Each line says a part: a position
(types 2 and 3) is completed with what was last heard of its aircraft, as long as that is fresh. The clock has no zone
and is the sender's; it is taken as UTC. Lines of other kinds (SEL, ID, AIR, STA, CLK) say nothing of a place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from flightwatch.feeds.columns import numbers, table
from flightwatch.feeds.sanity import Refused
from flightwatch.records import TIME, micros

FIELDS = 22
OTHER_LINES = ("SEL", "ID", "AIR", "STA", "CLK")
SURFACE, AIRBORNE = "2", "3"

MOVES_US = 10_000_000
"""Speed, track and vertical rate come twice a second; after ten seconds they are not those of this place."""

WORDS_US = 300_000_000
"""A callsign comes every five seconds and a squawk every minute; both hold for a flight, and are believed for five
minutes."""

HELD = {"callsign": WORDS_US, "squawk": WORDS_US, "groundspeed": MOVES_US, "track": MOVES_US, "vertical_rate": MOVES_US}
PLACES = {"callsign": 10, "altitude": 11, "groundspeed": 12, "track": 13, "latitude": 14, "longitude": 15, "vertical_rate": 16}
PLACES |= {"squawk": 17, "onground": 21}
"""Where each field stands in a line, counted from 0."""

NUMBERS = ("latitude", "longitude", "altitude", "groundspeed", "track", "vertical_rate")
TEXTS = ("icao24", "callsign", "squawk")
ROWS = 100_000

State = dict[str, tuple[int, str]]
"""What was heard of one aircraft: by field the time and the text."""


def is_line(line: bytes) -> bool:
    """Whether a line is one of such a log."""
    kind, _, rest = line.partition(b",")
    return rest.count(b",") >= 3 and kind.decode("ascii", "replace") in ("MSG", *OTHER_LINES)


def parse_lines(lines: Iterable[bytes], refused: Refused) -> Iterator[pa.Table]:
    """Lines as tables of positions (unchecked), in their order; what is cut off or spoilt is counted in `refused`."""
    states: dict[str, State] = {}
    rows: list[dict[str, Any]] = []
    for line in lines:
        fields = line.decode("ascii", "replace").split(",")
        if fields[0] in OTHER_LINES or not line.strip():
            continue
        if fields[0] != "MSG" or len(fields) < FIELDS:
            refused["bad_line"] = refused.get("bad_line", 0) + 1
            continue
        if (time := _time(fields[6].strip(), fields[7].strip())) is None:
            refused["no_time"] = refused.get("no_time", 0) + 1
            continue
        state = states.setdefault(fields[4].strip().lower(), {})
        _hear(state, fields, time)
        if fields[1].strip() in (SURFACE, AIRBORNE):
            rows.append(_row(state, fields, time))
        if len(rows) == ROWS:
            yield _table(rows)
            rows, states = [], _fresh(states, time)
    if rows:
        yield _table(rows)


def _time(day: str, clock: str) -> int | None:
    """Microseconds since 1970."""
    try:
        return micros(datetime.fromisoformat(f"{day.replace('/', '-')}T{clock}").replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None


def _hear(state: State, fields: list[str], time: int) -> None:
    for name in HELD:
        if text := fields[PLACES[name]].strip():
            state[name] = time, text


def _row(state: State, fields: list[str], time: int) -> dict[str, Any]:
    row: dict[str, Any] = {name: fields[place].strip() or None for name, place in PLACES.items()}
    for name, holds_us in HELD.items():
        heard, text = state.get(name, (0, ""))
        if row[name] is None and 0 <= time - heard <= holds_us:
            row[name] = text
    flag = row["onground"]
    row["onground"] = flag in ("1", "-1") if flag is not None else fields[1].strip() == SURFACE
    return row | {"icao24": fields[4].strip(), "timestamp": time}


def _fresh(states: dict[str, State], time: int) -> dict[str, State]:
    """Those of whom something was heard lately: what a log of a year has heard would not end."""
    return {a: state for a, state in states.items() if any(abs(time - heard) <= WORDS_US for heard, _ in state.values())}


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    return table(
        {
            "timestamp": pa.array([r["timestamp"] for r in rows], TIME),
            **{name: [r[name] for r in rows] for name in TEXTS},
            **{name: numbers([r[name] for r in rows]) for name in NUMBERS},
            "onground": [r["onground"] for r in rows],
        }
    )
