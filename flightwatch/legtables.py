"""Legs for people and their tools: as a table on the terminal, and as Parquet, CSV or JSON files.

CSV has no lists: candidates and gaps stand in it as JSON text. A cell of CSV that a spreadsheet would take for a
formula is quoted with an apostrophe.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from flightwatch.errors import InputError
from flightwatch.store import files

SHOWN = 40
NESTED = ("origin_candidates", "destination_candidates", "gaps", "feeds")
TEXTS = ("callsign", "registration", "operator", "typecode", "origin", "destination")
"""Columns that hold what strangers wrote."""

FORMULA_STARTS = ("=", "+", "-", "@")


def write(table: pa.Table, path: Path) -> None:
    """Writes legs in the format that the file's name ends in. Raises InputError for another."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        files.write_parquet(path, table)
    elif suffix == ".csv":
        files.write_bytes(path, _csv(table).encode())
    elif suffix == ".json":
        files.write_bytes(path, json.dumps(table.to_pylist(), default=_iso, indent=1).encode())
    else:
        raise InputError(f"{path}: legs are written as .parquet, .csv or .json")


def _csv(table: pa.Table) -> str:
    rows = table.to_pylist()
    for row in rows:
        for name in NESTED:
            row[name] = json.dumps(row[name], default=_iso)
        for name in TEXTS:
            if row[name] and row[name].startswith(FORMULA_STARTS):
                row[name] = "'" + row[name]
    return pd.DataFrame(rows, columns=table.column_names).to_csv(index=False)


def _iso(value: Any) -> str:
    return str(value.isoformat())


def show(table: pa.Table) -> str:
    """The last legs, a line each; certainty stands beside each end."""
    rows = table.slice(max(len(table) - SHOWN, 0)).to_pylist()
    lines = [f"{'aircraft':<10} {'from':>14} {'to':<14}  {'take-off (UTC)':<17} {'landing (UTC)':<17} status"]
    lines += [_line(row) for row in rows]
    more = f"\n... and {len(table) - SHOWN:,} before: -o FILE writes all" if len(table) > SHOWN else ""
    return "\n".join(lines) + more + "\n\no observed, i inferred with its probability, ? unknown; times with ~ were not seen"


def _line(row: dict[str, Any]) -> str:
    ends = [_end(row, "origin"), _end(row, "destination")]
    times = [_time(row, event) for event in ("takeoff", "landing")]
    status = row["status"] if row["source"] == "tracked" else "listed"
    return f"{row['registration'] or row['icao24'] or '':<10} {ends[0]:>14} {ends[1]:<14}  {times[0]:<17} {times[1]:<17} {status}"


def _end(row: dict[str, Any], end: str) -> str:
    basis = row[f"{end}_basis"]
    if row[end] is None:
        return "?"
    return f"{row[end]} o" if basis == "observed" else f"{row[end]} i {row[f'{end}_probability']:.2f}"


def _time(row: dict[str, Any], event: str) -> str:
    time, earliest, latest = (row[f"{event}_{what}"] for what in ("time", "earliest", "latest"))
    if time is None:
        return "?"
    end = {"takeoff": "origin", "landing": "destination"}[event]
    seen = row[f"{end}_basis"] == "observed" and (latest - earliest).total_seconds() <= 360
    return f"{'' if seen else '~'}{time:%Y-%m-%d %H:%M}"
