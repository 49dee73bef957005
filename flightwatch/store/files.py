"""Files that are there whole or not at all: temporary name, fsync, rename, fsync of the folder.

A process that dies in between leaves a temporary file, which `sweep` removes at the next start. Parquet carries a
checksum for every page (without it, most flipped bits read as silently wrong values), but none for the footer, which
says what the pages mean: its SHA-256 is kept in the catalog.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flightwatch.errors import Damaged

TEMPORARY = ".tmp"
ZSTD_LEVEL = 3
ROW_GROUP = 1 << 17
"""Rows in a Parquet row group: small enough to read one aircraft without the rest of an hour, large enough to
compress."""


GREATEST = "\U0010ffff"
"""No text of ours is greater."""

ReadColumns = Callable[[Sequence[str]], pa.Table]
"""Reads columns by name. Raises Damaged."""


@dataclass(frozen=True, slots=True)
class Written:
    """What the catalog keeps of a file."""

    size: int
    footer: str


def write_bytes(path: Path, data: bytes) -> Written:
    return _durably(path, lambda temporary: temporary.write_bytes(data))


def write_parquet(path: Path, table: pa.Table) -> Written:
    def write(temporary: Path) -> None:
        pq.write_table(
            table, temporary, compression="zstd", compression_level=ZSTD_LEVEL, write_page_checksum=True, row_group_size=ROW_GROUP
        )

    return _durably(path, write)


def _durably(path: Path, write: Callable[[Path], object]) -> Written:
    _make_folder(path.parent)
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        write(temporary)
        data = temporary.read_bytes()
        _sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)
    return Written(len(data), footer_digest(data))


def _make_folder(folder: Path) -> None:
    """Makes a folder so that it survives a power loss, too: every new link is synced."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        _sync(new.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def footer_digest(data: bytes) -> str:
    """SHA-256 of the footer of a Parquet file, given the whole file or at least its end: thrift, its length in four
    bytes, and the magic number (Parquet format, "File format")."""
    return hashlib.sha256(data[-_footer_size(data) :]).hexdigest()


def _footer_size(end: bytes) -> int:
    return int.from_bytes(end[-8:-4], "little") + 8


def read_parquet(path: Path, filters: object = None, footer: str | None = None) -> pa.Table:
    """Reads one file and verifies its page checksums, and its footer where the digest of that is given. Raises Damaged where it
    does not hold what was written."""
    with _named(path):
        if footer is not None:
            _check(path, footer)
        return pq.read_table(path, filters=filters, page_checksum_verification=True, partitioning=None)


def read_addresses(path: Path, footer: str | None, columns: Sequence[str], least: str, below: str | None) -> pa.Table:
    """Columns, `icao24` among them, of the rows with an address from one to below another, texts as dictionaries, which takes a
    third of the time. Only row groups that can have such rows are read: by a filter of pyarrow's they all are, where texts
    are dictionaries. Raises Damaged."""
    with _named(path):
        if footer is not None:
            _check(path, footer)
        texts = [field.name for field in pq.read_schema(path) if pa.types.is_string(field.type)]
        with pq.ParquetFile(path, read_dictionary=texts, page_checksum_verification=True) as file:
            told = list(_extremes(file.metadata, "icao24"))
            groups = [i for i, (first, last) in enumerate(told) if last >= least and (below is None or first < below)]
            table = file.read_row_groups(groups, columns=list(columns))
    if any(told[i][0] < least for i in groups):
        table = table.filter(pc.field("icao24") >= least)
    if below is not None and any(told[i][1] >= below for i in groups):
        table = table.filter(pc.field("icao24") < below)
    return table


def _extremes(told: pq.FileMetaData, column: str) -> Iterator[tuple[str, str]]:
    """The least and the greatest text of a column in each row group; where that is not told, what leaves all open."""
    at = told.schema.to_arrow_schema().names.index(column)
    for i in range(told.num_row_groups):
        statistics = told.row_group(i).column(at).statistics
        yield (statistics.min, statistics.max) if statistics is not None and statistics.has_min_max else ("", GREATEST)


def first_values(path: Path, column: str) -> list[tuple[str, int]]:
    """The least text of a column in each row group, and the rows of it; nothing where the file cannot be read, which whoever
    reads it will find."""
    try:
        told = pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        return []
    return [(first, told.row_group(i).num_rows) for i, (first, _) in enumerate(_extremes(told, column))]


def read_pieces(path: Path, footer: str, wanted: Callable[[int, int], bool]) -> Iterator[tuple[int, ReadColumns]]:
    """The row groups of a file that hold rows which are wanted (from one number to below another): the number of the first
    row of each, and what reads columns of it, texts as dictionaries but for ids, of which hardly two are alike. Raises
    Damaged."""
    with _named(path):
        _check(path, footer)
        columns = pq.read_metadata(path).schema
        names = [columns.column(i).path for i in range(len(columns)) if columns.column(i).logical_type.type == "STRING"]
        texts = [name for name in names if not name.endswith("_id")]
        file = pq.ParquetFile(path, read_dictionary=texts, page_checksum_verification=True)
    with file:
        first = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if wanted(first, first + rows):
                yield first, _reader(path, file, group)
            first += rows


def _reader(path: Path, file: pq.ParquetFile, group: int) -> ReadColumns:
    def read(names: Sequence[str]) -> pa.Table:
        with _named(path):
            return file.read_row_group(group, columns=list(names))

    return read


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        raise Damaged(f"{path} cannot be read ({reason}): it is left out until it is put back from a copy") from None


def _check(path: Path, footer: str) -> None:
    if footer != footer_digest(_end(path)):
        raise pa.ArrowInvalid("its footer is not the one that was written")


def _end(path: Path) -> bytes:
    """The footer of a file, without the rest."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 8, 0))
        file.seek(max(size - _footer_size(file.read()), 0))
        return file.read()


def sweep(root: Path) -> int:
    """Removes what dead processes left half-written; returns how many files that were."""
    left = list(root.rglob(f"*{TEMPORARY}"))
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)
