"""Legs for people and their tools: as a table on the terminal, and as Parquet, CSV or JSON files.

CSV has no lists: candidates and gaps stand in it as JSON text. A cell of CSV that a spreadsheet would take for a
formula is quoted with an apostrophe. Whose data it is, and on what terms, stands in the schema's metadata of a Parquet
file (`flightwatch.terms`), and beside the others in a file of its own (`legs.csv.terms.txt`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow as pa

from flightwatch.aircraft import Registry
from flightwatch.errors import InputError
from flightwatch.records import FORMULA_STARTS, TERMS_KEY, Terms, credits_of
from flightwatch.store import files

SHOWN = 40

SEEN_WITHIN = timedelta(minutes=6)
"""A take-off or landing between two positions this close was seen."""

NO_TIME = timedelta(hours=3)
"""The middle of a wider interval is no time that anybody should read."""

NESTED = ("origin_candidates", "destination_candidates", "gaps", "feeds")
TEXTS = ("callsign", "registration", "operator", "typecode", "origin", "destination")
"""Columns that hold what strangers wrote."""


def sources(table: pa.Table, terms: Mapping[str, Terms], registry: Registry) -> dict[str, Terms]:
    """The terms of those whose data stand in some legs: feeds, and the lists and databases that say whose they were."""
    feeds = {feed for row in table["feeds"].to_pylist() for feed in row or ()}
    found = {feed: terms[feed] for feed in sorted(feeds) if feed in terms}
    known = [registry.who(icao24, None) for icao24 in table["icao24"].unique().to_pylist() if icao24]
    return found | registry.terms(sorted({source for aircraft in known for source, _ in aircraft.sources}))


def write(table: pa.Table, path: Path, sources: Mapping[str, Terms]) -> list[str]:
    """Writes legs in the format that the file's name ends in, with a column `reconstructed` for those from feeds that
    nobody observed, and without the thinned track, which is for comparing legs; tells what must be known of the file, a
    line each. Raises InputError for another format."""
    made_up = _made_up(sources)
    table = table.drop_columns(["way", "events"]).append_column(
        "reconstructed", pa.array([_is_made_up(feeds, made_up) for feeds in table["feeds"].to_pylist()], pa.bool_())
    )
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        told = json.dumps({name: asdict(term) for name, term in sources.items()})
        files.write_parquet(path, table.replace_schema_metadata({**(table.schema.metadata or {}), TERMS_KEY: told.encode()}))
    elif suffix == ".csv":
        files.write_bytes(path, _csv(table).encode())
    elif suffix == ".json":
        files.write_bytes(path, json.dumps(table.to_pylist(), default=_iso, indent=1).encode())
    else:
        raise InputError(f"{path}: legs are written as .parquet, .csv or .json")
    told_of = credits_of(sources.values())
    if told_of and suffix != ".parquet":
        files.write_bytes(path.with_name(f"{path.name}.terms.txt"), "".join(f"{line}\n" for line in _terms(sources)).encode())
    return [f"{path}: {len(table):,} legs", *([f"Data: {'; '.join(told_of)}."] if told_of else [])]


def as_files(table: pa.Table, stem: str, kinds: Iterable[str], sources: Mapping[str, Terms]) -> dict[str, bytes]:
    """The files that `write` makes of legs in some formats (`csv`, `parquet`, `json`), by their names: to be attached."""
    with TemporaryDirectory() as folder:
        for kind in kinds:
            write(table, Path(folder) / f"{stem}.{kind}", sources)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def _terms(sources: Mapping[str, Terms]) -> Iterator[str]:
    """What each source demands, to read."""
    yield "These legs were derived from data of others, who demand:"
    for name, term in sources.items():
        kept = f"; its positions are kept for {term.retention_days} days at most" if term.retention_days else ""
        made_up = "; nobody observed it" if term.reconstructed else ""
        yield f"{name}: {term.credit or 'nothing'}{kept}{made_up}"


def _made_up(sources: Mapping[str, Terms]) -> frozenset[str]:
    return frozenset(name for name, term in sources.items() if term.reconstructed)


def _is_made_up(feeds: Sequence[str] | None, made_up: Collection[str]) -> bool:
    return any(feed in made_up for feed in feeds or ())


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


def show(table: pa.Table, as_of: datetime, sources: Mapping[str, Terms]) -> str:
    """The last legs, a line each; certainty stands beside each end. `as_of` is the time of the newest data."""
    made_up = _made_up(sources)
    rows = table.slice(max(len(table) - SHOWN, 0)).to_pylist()
    lines = [f"{'aircraft':<10} {'from':>14} {'to':<14}  {'take-off (UTC)':<17} {'landing (UTC)':<17} status"]
    lines += [_line(row) + ("  RECONSTRUCTION" if _is_made_up(row["feeds"], made_up) else "") for row in rows]
    more = [f"... and {len(table) - SHOWN:,} before: -o FILE writes all"] if len(table) > SHOWN else []
    legend = [
        "",
        "o observed; i inferred, with its probability; ? not known. Times: ~ not seen but probable; others seen, or as listed.",
        "listed: from a flight list (believed to 0.95). landed: seen on the ground afterwards. presumed_landed: not seen since,",
        f"and by now probably down, wherever that is. airborne, lost: as of {as_of:%-d %b %Y %H:%M} UTC, the newest data here.",
    ]
    if any(_is_made_up(row["feeds"], made_up) for row in rows):
        legend.append("RECONSTRUCTION: made up or reconstructed. Nobody observed it.")
    if told := credits_of(sources.values()):
        legend.append(f"Data: {'; '.join(told)}.")
    return "\n".join([*lines, *more, *legend])


def _line(row: dict[str, Any]) -> str:
    ends = [_end(row, "origin"), _end(row, "destination")]
    times = [_time(row, event) for event in ("takeoff", "landing")]
    status = row["status"] if row["source"] == "tracked" else "listed"
    return f"{row['registration'] or row['icao24'] or '':<10} {ends[0]:>14} {ends[1]:<14}  {times[0]:<17} {times[1]:<17} {status}"


def _end(row: dict[str, Any], end: str) -> str:
    basis = row[f"{end}_basis"]
    if row[end] is None:
        return "?"
    if basis == "observed":
        return f"{row[end]} o"
    probability = row[f"{end}_probability"]
    return f"{row[end]} i {'>0.99' if probability > 0.99 else f'{probability:.2f}'}"


def _time(row: dict[str, Any], event: str) -> str:
    """A time as exactly as it is known: to the minute, a day, or not at all."""
    time, earliest, latest = (row[f"{event}_{what}"] for what in ("time", "earliest", "latest"))
    if time is None or (event == "landing" and row["status"] == "airborne"):
        return "?"
    width = latest - earliest
    if row["source"] == "listed":
        return f"{time:%Y-%m-%d}" if width > NO_TIME else f"{time:%Y-%m-%d %H:%M}"
    if width > NO_TIME:
        return "?"
    end = {"takeoff": "origin", "landing": "destination"}[event]
    seen = row[f"{end}_basis"] == "observed" and width <= SEEN_WITHIN
    return f"{'' if seen else '~'}{time:%Y-%m-%d %H:%M}"
