"""Events for people and their tools: as lines on the terminal, and as Parquet, CSV or JSON files.

Whose data they rest on stands below the lines, and beside a file in one of its own (`events.csv.terms.txt`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from flightwatch.errors import InputError
from flightwatch.records import HAPPENED, SUSPECT_POSITION, TIME, Event, Terms, credits_of
from flightwatch.store import files

SHOWN = 40
NAMED = 6
"""Aircraft of one event that are named in its line."""

EVENTS = pa.schema(
    [
        ("event_id", pa.string()),
        ("kind", pa.string()),
        ("reason", pa.string()),
        ("aircraft", pa.list_(pa.string())),
        ("since", TIME),
        ("until", TIME),
        ("south", pa.float64()),
        ("west", pa.float64()),
        ("north", pa.float64()),
        ("east", pa.float64()),
        ("count", pa.int64()),
        ("feeds", pa.list_(pa.string())),
        ("evidence", pa.string()),
        ("legs", pa.list_(pa.string())),
        ("airports", pa.list_(pa.string())),
        ("words", pa.string()),
        ("basis", pa.string()),
        ("probability", pa.float64()),
        ("reconstructed", pa.bool_()),
    ]
)
"""The columns of a file of events; `evidence` is JSON text, `reconstructed` says that nobody observed it."""

LISTS = ("aircraft", "feeds", "legs", "airports")

WORDS = {
    "ghost": "sent a place where it cannot have been",
    "spoofed": "was made to believe in a wrong place, or said what cannot be",
    "elsewhere": "was said to be where it cannot have got to",
    "two_emitters": "shares its address with another one",
    "jamming": "lost the integrity of their places",
}


def write(events: Sequence[Event], path: Path, terms: Mapping[str, Terms]) -> list[str]:
    """Writes events in the format that the file's name ends in, and tells what must be known of the file, a line each.
    `terms` are those of feeds, by name. Raises InputError for another format."""
    suffix, rows = path.suffix.lower(), [_row(event, terms) for event in events]
    if suffix == ".parquet":
        files.write_parquet(path, pa.Table.from_pylist(rows, schema=EVENTS))
    elif suffix == ".csv":
        flat = [row | {name: " ".join(row[name]) for name in LISTS} for row in rows]
        files.write_bytes(path, pd.DataFrame(flat, columns=EVENTS.names).to_csv(index=False).encode())
    elif suffix == ".json":
        text = json.dumps([row | {"evidence": json.loads(row["evidence"])} for row in rows], default=_iso, indent=1)
        files.write_bytes(path, text.encode())
    else:
        raise InputError(f"{path}: events are written as .parquet, .csv or .json")
    if told := _credits(events, terms):
        files.write_bytes(path.with_name(f"{path.name}.terms.txt"), "".join(f"{credit}\n" for credit in told).encode())
    return [f"{path}: {len(events):,} events", *([f"Data: {'; '.join(told)}."] if told else [])]


def _credits(events: Iterable[Event], terms: Mapping[str, Terms]) -> tuple[str, ...]:
    feeds = sorted({feed for event in events for feed in event.feeds})
    return credits_of(terms[feed] for feed in feeds if feed in terms)


def _row(event: Event, terms: Mapping[str, Terms]) -> dict[str, Any]:
    row = asdict(event)
    row |= {name: list(row[name]) for name in LISTS} | {"evidence": json.dumps(dict(event.evidence))}
    return row | {"reconstructed": _is_made_up(event, terms)}


def _iso(value: Any) -> str:
    return str(value.isoformat())


def _is_made_up(event: Event, terms: Mapping[str, Terms]) -> bool:
    return any(terms[feed].reconstructed for feed in event.feeds if feed in terms)


def show(events: Sequence[Event], terms: Mapping[str, Terms]) -> str:
    """The last events, a line each. `terms` are those of feeds, by name."""
    lines = [_line(event) + ("  RECONSTRUCTION" if _is_made_up(event, terms) else "") for event in events[-SHOWN:]]
    more = [f"... and {len(events) - SHOWN:,} before: -o FILE writes all"] if len(events) > SHOWN else []
    legend = [""]
    if any(event.kind == SUSPECT_POSITION for event in events[-SHOWN:]):
        legend.append(
            "None of the suspect positions made a leg, a landing or an alert, save those of jamming: they count as poor."
        )
    if any(event.basis == "inferred" for event in events[-SHOWN:]):
        legend.append("Inferred means that nobody saw it: the percentage says how probable it is.")
    if told := _credits(events, terms):
        legend.append(f"Data: {'; '.join(told)}.")
    return "\n".join([*lines, *more, *legend])


def _line(event: Event) -> str:
    names = " ".join(event.aircraft[:NAMED]) + (f" and {len(event.aircraft) - NAMED} more" if len(event.aircraft) > NAMED else "")
    until = f"{event.until:%H:%M:%S}" if event.until.date() == event.since.date() else f"{event.until:%Y-%m-%d %H:%M:%S}"
    lasted = f"{event.since:%Y-%m-%d %H:%M:%S} to {until} UTC"
    if event.kind != SUSPECT_POSITION:
        chance = "" if event.basis == "observed" or event.probability is None else f", {event.probability:.0%}"
        return f"{lasted}  {names}: {HAPPENED.get(event.kind, event.kind)} ({event.basis}{chance}): {event.words}"
    area = f"{event.south:.2f} to {event.north:.2f}, {event.west:.2f} to {event.east:.2f}"
    positions = f"{event.count:,} position{'' if event.count == 1 else 's'}"
    facts = ", ".join(f"{name.replace('_', ' ')} {value:,.0f}" for name, value in event.evidence.items())
    return f"{lasted}  {names}: {event.reason} ({WORDS.get(event.reason, event.kind)}); {positions} at {area}; {facts}"
