"""Tables that people have (Parquet, CSV, JSON lines, a JSON list): in pieces, and their columns as those of `POSITIONS`.

Times are ISO 8601 (UTC where no zone is given) or seconds or milliseconds since 1970; what does not fit its column
becomes null.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd
import pyarrow as pa

from flightwatch.errors import InputError
from flightwatch.feeds.columns import LATEST_S, MS_CLOCK
from flightwatch.feeds.contents import Content
from flightwatch.feeds.sanity import Refused
from flightwatch.records import POSITIONS

REQUIRED = {"timestamp", "icao24", "latitude", "longitude"}

PARQUET_ROWS = 1_000_000
TEXT_ROWS = 100_000
"""Rows of one piece: texts take ten times the memory of what they say."""


def frames(content: Content, refused: Refused) -> Iterator[pd.DataFrame]:
    """A table in pieces; texts as they stand. A JSON line or entry that is no object is refused."""
    start = content.head.lstrip()[:1]
    if content.is_parquet:
        for batch in content.parquet().iter_batches(PARQUET_ROWS):
            yield batch.to_pandas()
    elif start == b"[":
        yield pd.DataFrame(_objects(json.loads(content.whole()), refused))
    elif start == b"{":
        yield from (pd.DataFrame(part) for part in _in_pieces(json_lines(content, refused)))
    else:
        with content.stream() as stream:
            yield from pd.read_csv(stream, dtype=str, keep_default_na=False, na_values=[""], chunksize=TEXT_ROWS)


def _objects(listed: list[Any], refused: Refused) -> list[dict[str, Any]]:
    """The objects of a JSON list; what else is in it is refused."""
    good = [value for value in listed if isinstance(value, dict)]
    if listed and not good:
        raise ValueError("not one entry of it is a JSON object")
    if len(good) < len(listed):
        refused["bad_entry"] = refused.get("bad_entry", 0) + len(listed) - len(good)
    return good


def json_lines(content: Content, refused: Refused) -> Iterator[dict[str, Any]]:
    """The objects of JSON lines; a line that is none (the last one of a file that was cut off) is refused."""
    found = False
    for line in content.lines():
        try:
            value = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            value = line
        if isinstance(value, dict):
            found = True
            yield value
        elif value is not None:
            refused["bad_line"] = refused.get("bad_line", 0) + 1
    if not found:
        raise ValueError("not one line of it is a JSON object")


def _in_pieces(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    piece: list[dict[str, Any]] = []
    for row in rows:
        piece.append(row)
        if len(piece) == TEXT_ROWS:
            yield piece
            piece = []
    if piece:
        yield piece


# ------------------------------------------------------------------------------------------------------------------ positions


def positions(content: Content, refused: Refused) -> Iterator[pa.Table]:
    """A table that has the column names of `POSITIONS`. Raises InputError where it lacks those that must be."""
    if content.is_parquet:
        for batch in content.parquet().iter_batches(PARQUET_ROWS):
            yield _castable(_complete(pa.Table.from_batches([batch])))
    else:
        for frame in frames(content, refused):
            yield typed(frame)


def _complete(table: pa.Table) -> pa.Table:
    missing = REQUIRED - set(table.column_names)
    if missing:
        raise InputError(f"positions need the columns {', '.join(sorted(REQUIRED))}; missing: {', '.join(sorted(missing))}")
    return table


def typed(frame: pd.DataFrame) -> pa.Table:
    """Texts and loose JSON values as the types of `POSITIONS`; what does not fit becomes null."""
    columns = {f.name: fitting(frame[f.name], f.type) for f in POSITIONS if f.name in frame.columns}
    return _complete(pa.table(columns))


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
            columns[field.name] = column if same else fitting(column.to_pandas(), field.type)
    return pa.table(columns)


def fitting(values: pd.Series, kind: pa.DataType) -> pa.Array:
    """Loose values as a column of this type."""
    if pa.types.is_timestamp(kind):
        return pa.array(times(values), kind, from_pandas=True)
    if pa.types.is_boolean(kind):
        words = values.astype(str).str.lower()
        truth = words.map({"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False})
        return pa.array(truth.astype(object).where(truth.notna(), None), kind)
    if pa.types.is_string(kind):
        return pa.array(values.astype(object).where(values.notna(), None).map(lambda v: None if v is None else str(v)), kind)
    return pa.array(pd.to_numeric(values, errors="coerce"), from_pandas=True)


def times(values: pd.Series) -> pd.Series:
    """ISO texts (no zone means UTC), or seconds or milliseconds since 1970; null where it is neither."""
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return values
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.notna().sum() >= values.notna().sum() / 2:
        return since_1970(numbers.where(numbers.abs() < MS_CLOCK, numbers / 1000))
    return iso_times(values)


def since_1970(seconds: pd.Series) -> pd.Series:
    return pd.to_datetime(seconds.where(seconds.between(0, LATEST_S)), unit="s", utc=True)


def iso_times(values: pd.Series) -> pd.Series:
    return pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601")
