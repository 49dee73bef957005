"""What is in a file, seen through gzip: its beginning, all of it, or a stream of it.

A file up to `HELD` is read once and kept for as long as it is being imported; a larger one is read once for its digest
and once as a stream, and never kept.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from flightwatch.errors import InputError

HELD = 64 << 20
"""Bytes of a file that are kept in memory: most of what people import is smaller."""

LARGEST = 1 << 30
"""Bytes of a document (one JSON or XML value) that are made into objects; those need some ten times as much memory."""

HEAD = 64 << 10
"""Bytes from which a format is recognised: the keys of a reply and some hundred lines stand in them."""

LONGEST_LINE = 1 << 20
BLOCK = 1 << 20

DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)
"""What gzip raises over a file that is not whole."""


@dataclass(frozen=True)
class Content:
    """One file. `raw` holds its bytes as they stand where it is small; `digest` has taken them in."""

    path: Path
    raw: bytes | None
    digest: Any

    def identity(self, options: str) -> str:
        """The SHA-256 of its bytes and of how it is to be read."""
        digest = self.digest.copy()
        digest.update(options.encode())
        return str(digest.hexdigest())

    @cached_property
    def head(self) -> bytes:
        """How it begins, unpacked."""
        with self.stream() as stream:
            return _read(stream, HEAD, self.path)

    @cached_property
    def packed(self) -> bool:
        with self._file() as file:
            return file.read(2) == b"\x1f\x8b"

    def stream(self) -> BinaryIO:
        """It from its beginning, unpacked."""
        return gzip.GzipFile(fileobj=self._file(), mode="rb") if self.packed else self._file()  # type: ignore[return-value]

    def whole(self) -> bytes:
        """All of it, unpacked. Raises InputError where it is too large for that."""
        if self.raw is not None and not self.packed:
            return self.raw
        with self.stream() as stream:
            data = _read(stream, LARGEST + 1, self.path)
        if len(data) > LARGEST:
            raise InputError(f"{self.path} has more than {LARGEST >> 30} GB in one piece: split it")
        return data

    def lines(self) -> Iterator[bytes]:
        """Its lines without their ends; what is longer than any line can be is cut."""
        with self.stream() as stream:
            try:
                while line := stream.readline(LONGEST_LINE):
                    yield line.rstrip(b"\r\n")
            except DAMAGE as error:
                raise damaged(self.path, error) from None

    @cached_property
    def is_json(self) -> bool:
        return self.head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")

    @cached_property
    def is_parquet(self) -> bool:
        return self.head[:4] == b"PAR1"

    def parquet(self) -> pq.ParquetFile:
        if self.raw is None and not self.packed:
            return pq.ParquetFile(self.path, memory_map=True)
        return pq.ParquetFile(io.BytesIO(self.whole()))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns of a table, or the keys of JSON objects as far as they stand in the beginning."""
        if self.is_parquet:
            try:
                return tuple(self.parquet().schema_arrow.names)
            except pa.ArrowException as error:
                raise InputError(f"{self.path} is damaged Parquet ({str(error).splitlines()[0]}): get the file again") from None
        text = self.head.decode("utf-8-sig", "replace")
        if self.is_json:
            return _keys(text)
        first, *rest = re.split(r"[\r\n]+", text.lstrip(), maxsplit=1)
        return tuple(next(csv.reader([first]), [])) if "," in first and rest else ()

    @cached_property
    def row_names(self) -> tuple[str, ...]:
        """The columns of a table, or the keys of the first object in a JSON list, be it the whole or under `data`."""
        if self.is_json and self.names == ("data",):
            return _keys(self.head.decode("utf-8-sig", "replace"), 3)
        return self.names

    def record_lines(self) -> list[int]:
        """The line on which each record of a CSV begins, its header's first; blank lines are no records. Empty where it
        is not CSV throughout."""
        if self.is_json or self.is_parquet:
            return []
        lines, start = [], 1
        with io.TextIOWrapper(self.stream(), "utf-8-sig", "replace", newline="") as text:
            reader = csv.reader(text)
            try:
                for record in reader:
                    if len(record) > 1 or "".join(record).strip():
                        lines.append(start)
                    start = reader.line_num + 1
            except csv.Error:
                return []
        return lines

    def _file(self) -> BinaryIO:
        return io.BytesIO(self.raw) if self.raw is not None else self.path.open("rb")


def content_of(path: Path) -> Content:
    """A file, read as far as it is kept. Raises InputError where there is none."""
    if not path.is_file():
        raise InputError(f"{path} is not a file")
    try:
        if path.stat().st_size <= HELD:
            return held(path.read_bytes(), path)
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    return Content(path, None, digest)


def held(data: bytes, path: Path) -> Content:
    """Bytes that are in memory already."""
    return Content(path, data, hashlib.sha256(data))


def _read(stream: BinaryIO, size: int, path: Path) -> bytes:
    try:
        return stream.read(size)
    except DAMAGE as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is damaged gzip ({error}): get the file again")


def shown(names: Sequence[object]) -> str:
    """Names of columns in one line of a message."""
    return ", ".join(" ".join(str(name)[:40].split()) for name in names[:12])


TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:)?|[{}\[\]]')


def _keys(text: str, level: int | None = None) -> tuple[str, ...]:
    """The keys of the objects at a level (without one: of the outermost ones), in a list of the first one alone; by their
    brackets, because the text may end anywhere."""
    keys: dict[str, None] = {}
    depth, listed = 0, text.lstrip()[:1] == "["
    level = level or 1 + listed
    for match in TOKEN.finditer(text):
        token = match[0][0]
        if token in "{[":
            depth += 1
        elif token in "}]":
            depth -= 1
            if level > 1 and depth == level - 1 and keys:
                break
        elif match[2] and depth == level:
            keys[match[1]] = None
    return tuple(keys)
