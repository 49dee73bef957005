"""Stored positions in portions: what is to be read is said in one process, and read in whichever works on it.

`Snapshots.portions` makes them of the catalog. A portion knows its files, not the catalog, so it crosses to another process
with a few hundred bytes where its positions would be many megabytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from flightwatch.errors import Damaged
from flightwatch.records import POSITIONS
from flightwatch.store import files


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a file with positions: where it lies, its feed, the digest of its footer, and the addresses of the rows, from one
    to below another."""

    path: Path
    feed: str
    footer: str | None
    least: str = ""
    below: str | None = None


@dataclass(frozen=True, slots=True)
class Portion:
    """Columns of `POSITIONS` of some parts, and of positions that are in no file yet, by their feed."""

    columns: tuple[str, ...]
    parts: tuple[Part, ...]
    waiting: tuple[tuple[str, pa.Table], ...] = ()

    def read(self) -> tuple[pa.Table, tuple[tuple[Path, str], ...]]:
        """The rows, texts as dictionaries, and the files that are damaged, with what is wrong; these count as empty."""
        stored = [name for name in self.columns if name != "feed"]
        tables = [encoded(positions, feed, self.columns) for feed, positions in self.waiting]
        damaged = []
        for part in self.parts:
            try:
                table = files.read_addresses(part.path, part.footer, stored, part.least, part.below)
            except Damaged as error:
                damaged.append((part.path, str(error)))
            else:
                tables.append(encoded(table, part.feed, self.columns))
        return pa.concat_tables(tables or [encoded(POSITIONS.empty_table(), "", self.columns)]), tuple(damaged)


def cut(paths: Sequence[Path], rows: int) -> Iterator[tuple[str, str | None]]:
    """Addresses, from one to below another, that part the positions of some files into about so many rows, if there are more.
    Files that are not sorted by address yet are not cut: they are those of the last hours alone."""
    least, many = "", 0
    for first, count in sorted(group for path in paths for group in files.first_values(path, "icao24")):
        if many >= rows and first > least:
            yield least, first
            least, many = first, 0
        many += count
    yield least, None


def encoded(table: pa.Table, feed: str, columns: Sequence[str]) -> pa.Table:
    """These columns of stored rows, texts as dictionaries."""
    found = {name: table[name] for name in columns if name != "feed"}
    texts = {name: column.dictionary_encode() for name, column in found.items() if pa.types.is_string(column.type)}
    feeds = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), len(table)), [feed])
    return pa.table({**found, **texts, "feed": feeds}).select(columns)
