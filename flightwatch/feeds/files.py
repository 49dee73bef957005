"""Files that people have: what format one is in, and its content as positions or legs.

Formats: `positions` (Parquet, CSV or JSON lines with the column names of `POSITIONS`), `readsb-snapshot`
(aircraft.json and v2 replies), `legs` (flight lists, see `flightlists`). Gzip is seen through. The format is taken
from the content unless it is given.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flightwatch.errors import FeedError, InputError
from flightwatch.feeds import flightlists, v2
from flightwatch.feeds.sanity import Refused, checked
from flightwatch.places import Airports
from flightwatch.records import POSITIONS, Scope

FORMATS = ("positions", "readsb-snapshot", "legs")
CHUNK_ROWS = 1_000_000

MILLISECONDS_FROM, LATEST_S = 1e11, 4e9
"""Numbers from the first on are milliseconds since 1970; seconds end in 2096."""

REQUIRED = {"timestamp", "icao24", "latitude", "longitude"}


@dataclass(frozen=True)
class Source:
    """One file, read: its format, its identity (content and options), and its content."""

    format: str
    identity: str
    positions: Callable[[], Iterator[pa.Table]] | None
    legs: pa.Table | None
    refused: Refused
    scope: Scope


def open_file(
    path: Path,
    feed: str,
    airports: Airports,
    address_of: Callable[[str], str | None],
    *,
    format: str | None = None,
    registration: str | None = None,
    scope: Scope | None = None,
) -> Source:
    """Reads a file for import. Raises InputError, with what to do about it."""
    if not path.is_file():
        raise InputError(f"{path} is not a file")
    raw = path.read_bytes()
    data = _plain(raw, path)
    identity = hashlib.sha256(raw + f"|{format}|{registration}|{feed}|{scope}".encode()).hexdigest()
    kind = format or detect(data, path)
    if kind not in FORMATS:
        raise InputError(f"{kind} is not a format: use one of {', '.join(FORMATS)}")
    try:
        if kind == "legs":
            bad_lines: Refused = {}
            frame = _frame(data, bad_lines)
            legs, refused = flightlists.read(frame, feed, airports, address_of, f"list-{identity[:12]}", registration)
            refused |= bad_lines
            named = scope is None or scope.kind == "aircraft"
            return Source(kind, identity, None, legs, refused, scope if scope and not named else _aircraft_scope(legs))
        refused = {}
        reader = _snapshots if kind == "readsb-snapshot" else _positions
        parts = _readable(path, kind, lambda: reader(data, feed, registration, refused))
        return Source(kind, identity, parts, None, refused, scope or Scope("reported"))
    except UNREADABLE as error:
        raise _unreadable(path, kind, error) from None


UNREADABLE = (ValueError, KeyError, TypeError, OverflowError, pa.ArrowException)
"""What the libraries raise over a file that is not what it should be."""


def _unreadable(path: Path, kind: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:160]
    return InputError(f"{path} cannot be read as {kind} ({reason}): give --format if it is something else")


def _readable(path: Path, kind: str, parts: Callable[[], Iterator[pa.Table]]) -> Callable[[], Iterator[pa.Table]]:
    """The parts of a file, read when they are asked for; what fails then says which file it was."""

    def read() -> Iterator[pa.Table]:
        try:
            yield from parts()
        except UNREADABLE as error:
            raise _unreadable(path, kind, error) from None

    return read


def _aircraft_scope(legs: pa.Table) -> Scope:
    """A list covers the aircraft that it names, from its first day to its last."""
    members = {a for a in legs["icao24"].to_pylist() if a} | {f":{r}" for r in legs["registration"].to_pylist() if r}
    return Scope("aircraft", tuple(sorted(members)))


def _plain(raw: bytes, path: Path) -> bytes:
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError) as error:
        raise InputError(f"{path} is damaged gzip ({error}): get the file again") from None


# ----------------------------------------------------------------------------------------------------------------- what it is


def detect(data: bytes, path: Path) -> str:
    """The format of a file by its content. Raises InputError with the formats that there are."""
    try:
        columns = _column_names(data)
    except pa.ArrowException as error:
        raise InputError(f"{path} is damaged Parquet ({str(error).splitlines()[0]}): get the file again") from None
    if columns is not None and set(columns) >= REQUIRED:
        return "positions"
    if columns is not None and flightlists.is_flight_list(columns):
        return "legs"
    if columns is not None and "now" in columns and ({"ac", "aircraft"} & set(columns)):
        return "readsb-snapshot"
    found = f" (columns: {', '.join(columns[:8])})" if columns else ""
    raise InputError(f"{path} has no format that is known{found}: give --format, one of {', '.join(FORMATS)}")


def _column_names(data: bytes) -> list[str] | None:
    """The columns of a table, or the keys of a JSON object."""
    if data[:4] == b"PAR1":
        return list(pq.read_schema(io.BytesIO(data)).names)
    start = data[:4096].lstrip()
    if start[:1] in (b"{", b"["):
        return _json_names(data)
    if b"\n" in data and b"," in data.split(b"\n", 1)[0]:
        header = data.split(b"\n", 1)[0].decode("utf-8-sig", "replace").strip()
        return next(csv.reader([header]), [])
    return None


def _json_names(data: bytes) -> list[str] | None:
    for text in (data.split(b"\n", 1)[0], data):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            continue
        value = value[0] if isinstance(value, list) and value else value
        return list(value) if isinstance(value, dict) else None
    return None


# ------------------------------------------------------------------------------------------------------------------ what is in it


def _json_lines(data: bytes, refused: Refused) -> list[dict[str, Any]]:
    """The objects of JSON lines; a line that is none (the last one of a file that was cut off) is refused."""
    found = []
    for line in data.splitlines():
        try:
            value = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            value = line
        if isinstance(value, dict):
            found.append(value)
        elif value is not None:
            refused["bad_line"] = refused.get("bad_line", 0) + 1
    if not found:
        raise ValueError("not one line of it is a JSON object")
    return found


def _frame(data: bytes, refused: Refused) -> pd.DataFrame:
    """A table in any of the three forms, texts as they stand."""
    if data[:4] == b"PAR1":
        return pd.read_parquet(io.BytesIO(data))
    if data.lstrip()[:1] == b"[":
        return pd.DataFrame(json.loads(data))
    if data.lstrip()[:1] == b"{":
        return pd.DataFrame(_json_lines(data, refused))
    return pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False, na_values=[""])


def _positions(data: bytes, feed: str, registration: str | None, refused: Refused) -> Iterator[pa.Table]:
    if data[:4] == b"PAR1":
        file = pq.ParquetFile(io.BytesIO(data))
        tables: Iterator[pa.Table] = (pa.Table.from_batches([b]) for b in file.iter_batches(CHUNK_ROWS))
    else:
        tables = iter([_typed(_frame(data, refused))])
    received = datetime.now(UTC)
    for table in tables:
        yield _completed(table, feed, registration, received, refused)


def _typed(frame: pd.DataFrame) -> pa.Table:
    """Texts and loose JSON values as the types of `POSITIONS`; what does not fit becomes null."""
    columns: dict[str, Any] = {}
    for field in POSITIONS:
        if field.name in frame.columns:
            columns[field.name] = _column(frame[field.name], field.type)
    return pa.table(columns)


def _column(values: pd.Series, kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind):
        return pa.array(_times(values), kind, from_pandas=True)
    if pa.types.is_boolean(kind):
        words = values.astype(str).str.lower()
        truth = words.map({"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False})
        return pa.array(truth.astype(object).where(truth.notna(), None), kind)
    if pa.types.is_string(kind):
        return pa.array(values.astype(object).where(values.notna(), None).map(lambda v: None if v is None else str(v)), kind)
    return pa.array(pd.to_numeric(values, errors="coerce"), from_pandas=True)


def _times(values: pd.Series) -> pd.Series:
    """ISO texts (no zone means UTC), or seconds or milliseconds since 1970; null where it is neither."""
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.notna().sum() >= values.notna().sum() / 2:
        seconds = numbers.where(numbers.abs() < MILLISECONDS_FROM, numbers / 1000)
        return pd.to_datetime(seconds.where(seconds.between(0, LATEST_S)), unit="s", utc=True)
    return pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601")


def _completed(table: pa.Table, feed: str, registration: str | None, received: datetime, refused: Refused) -> pa.Table:
    missing = REQUIRED - set(table.column_names)
    if missing:
        raise InputError(f"positions need the columns {', '.join(sorted(REQUIRED))}; missing: {', '.join(sorted(missing))}")
    table = _castable(table)
    table = _replaced(table, "feed", pa.repeat(pa.scalar(feed), len(table)))
    table = _replaced(table, "received", pa.repeat(pa.scalar(received, POSITIONS.field("received").type), len(table)))
    if registration is not None:
        given = (
            table["registration"].cast(pa.string()) if "registration" in table.column_names else pa.nulls(len(table), pa.string())
        )
        table = _replaced(table, "registration", pc.fill_null(given, registration))
    good, bad = checked(table)
    for reason, count in bad.items():
        refused[reason] = refused.get(reason, 0) + count
    return good


def _castable(table: pa.Table) -> pa.Table:
    """The columns of `POSITIONS`, those of another kind (texts for numbers, numbers for times) converted value by
    value."""
    columns = {}
    for field in POSITIONS:
        if field.name in table.column_names:
            column = table[field.name]
            if pa.types.is_dictionary(column.type):
                column = column.cast(column.type.value_type)
            same = (
                column.type == field.type
                or (pa.types.is_timestamp(field.type) and pa.types.is_timestamp(column.type))
                or (pa.types.is_floating(field.type) and (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)))
            )
            columns[field.name] = column if same else _column(column.to_pandas(), field.type)
    return pa.table(columns)


def _replaced(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    if name in table.column_names:
        return table.set_column(table.schema.get_field_index(name), name, column)
    return table.append_column(name, column)


def _snapshots(data: bytes, feed: str, registration: str | None, refused: Refused) -> Iterator[pa.Table]:
    try:
        snapshot = v2.parse(data, feed, Scope("reported"), datetime.now(UTC))
    except FeedError as error:
        raise InputError(f"this is no aircraft.json and no v2 reply: {error}") from None
    counted = Counter(refused) + Counter(snapshot.refused)
    refused.update(counted)
    yield snapshot.positions
