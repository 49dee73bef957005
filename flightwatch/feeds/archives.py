"""Day archives of `globe_history`: a tar of readsb's traces, whole or in parts (`.tar.aa`, `.tar.ab`, ...), read once as
a stream and never unpacked to disk.

The traces come in batches of so many bytes, always the same ones for the same archive: a batch is known again by its
digest, so an import that was interrupted goes on where it stopped. One batch is held at a time.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
import pyarrow.compute as pc

from flightwatch.errors import FeedError, InputError
from flightwatch.feeds.sanity import Refused, sum_of
from flightwatch.feeds.traces import parse_trace

BATCH = 16 << 20
"""Bytes of packed traces in a batch: about half a million positions, some 100 MB in memory."""

LARGEST_MEMBER = 32 << 20
LARGEST_TRACE = 256 << 20
"""A trace has some 100 kB; one that is larger than this, packed or unpacked, is none."""

MEMBER = re.compile(r"(?:^|/)trace_full_(~?[0-9a-f]{6})\.json(?:\.gz)?$")
PART = re.compile(r"(.+\.tar)\.(a[a-z])")
"""What `split` calls its parts; 26 of them are more than any day."""

BLOCK = 512
"""Of a tar: it ends with two such blocks of zeros."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some traces as they stand in the archive, and their digest."""

    digest: str
    traces: tuple[bytes, ...]
    too_large: int


def is_archive(head: bytes) -> bool:
    """Whether this is how a tar begins."""
    return head[257:262] == b"ustar"


def grouped(paths: Sequence[Path]) -> list[tuple[Path, ...]]:
    """The files of each import: one, or all parts of an archive of which the first or any was given. Raises InputError
    where a part between is missing."""
    groups: dict[Path, tuple[Path, ...]] = {}
    for path in paths:
        if match := PART.fullmatch(path.name):
            groups[path.parent / match[1]] = _parts(path.parent, match[1], path)
        else:
            groups[path] = (path,)
    return list(groups.values())


def _parts(folder: Path, stem: str, given: Path) -> tuple[Path, ...]:
    found = sorted(p for p in folder.glob(f"{_glob_escaped(stem)}.*") if (m := PART.fullmatch(p.name)) and m[1] == stem)
    for number, path in enumerate(found):
        wanted = f"{stem}.a{chr(ord('a') + number)}"
        if path.name != wanted:
            raise InputError(f"{folder / wanted} is missing: an archive in parts needs all of them in one folder")
    if not found:
        raise InputError(f"{given} is not a file")
    return tuple(found)


def _glob_escaped(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def batches(
    parts: Sequence[Path], aircraft: Collection[str] | None = None, advance: Callable[[int], object] = lambda _: None
) -> Generator[Batch, None, None]:
    """The traces of an archive (of these aircraft alone, where some are given). `advance` is told how many bytes were
    read. Raises InputError where the archive is damaged or cut off; the batches before are good."""
    stream = _Parts(parts, advance)
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|*") as tar:
            yield from _batches(tar, aircraft, stream)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise InputError(f"{parts[-1]} is damaged or cut off ({error}): get it again; what came before is kept") from None
    finally:
        stream.close()


def _batches(tar: tarfile.TarFile, aircraft: Collection[str] | None, stream: _Parts) -> Iterator[Batch]:
    named: list[tuple[str, bytes]] = []
    size = too_large = 0
    while (member := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # else every name of the archive stays in memory
        match = MEMBER.search(member.name)
        if match is None or not member.isfile() or (aircraft is not None and match[1] not in aircraft):
            continue
        if member.size > LARGEST_MEMBER:
            too_large += 1
            continue
        file = tar.extractfile(member)
        body = file.read() if file is not None else b""
        if len(body) < member.size:
            raise EOFError("a trace ends too early")
        named.append((member.name, body))
        size += len(body)
        if size >= BATCH:
            yield _batch(named, too_large)
            named, size, too_large = [], 0, 0
    if not stream.ended_well():
        raise EOFError("its end is missing")
    if named or too_large:
        yield _batch(named, too_large)


def _batch(named: Sequence[tuple[str, bytes]], too_large: int) -> Batch:
    digest = hashlib.sha256(str(too_large).encode())
    for name, body in named:
        digest.update(f"{name}\0{len(body)}\0".encode("utf-8", "surrogateescape"))
        digest.update(body)
    return Batch(digest.hexdigest(), tuple(body for _, body in named), too_large)


def day_of(parts: Sequence[Path]) -> date | None:
    """The UTC day of an archive: the one that most positions of its first batch lie in, whoever is asked for. A single trace
    may begin the evening before, and names of files are anybody's. None where there is no position. Raises InputError."""
    with closing(batches(parts)) as found:
        first = next(found, None)
    days: Counter[date] = Counter()
    for positions in read(first, {}) if first is not None else ():
        for day in pc.value_counts(positions["timestamp"].drop_null().cast(pa.date32(), safe=False)).to_pylist():
            days[day["values"]] += day["counts"]
    return max(days, key=lambda day: (days[day], day), default=None)


def read(batch: Batch, refused: Refused) -> Iterator[pa.Table]:
    """The positions of a batch (unchecked); traces that are none are counted in `refused`."""
    for body in batch.traces:
        try:
            positions, bad = parse_trace(_unpacked(body))
        except FeedError:
            positions, bad = None, {"bad_trace": 1}
        refused.update(sum_of(refused, bad))
        if positions is not None:
            yield positions
    if batch.too_large:
        refused.update(sum_of(refused, {"too_large": batch.too_large}))


def _unpacked(body: bytes) -> bytes:
    if body[:2] != b"\x1f\x8b":
        return body
    unpacking = zlib.decompressobj(wbits=31)
    try:
        data = unpacking.decompress(body, LARGEST_TRACE)
    except zlib.error as error:
        raise FeedError("bad_trace", f"damaged gzip ({error})") from None
    if not unpacking.eof:
        raise FeedError("bad_trace", "damaged or far too large")
    return data


class _Parts:
    """Files one after the other, as tarfile reads them: forward only."""

    def __init__(self, paths: Sequence[Path], advance: Callable[[int], object]) -> None:
        self._waiting = list(paths)
        self._file: IO[bytes] | None = None
        self._advance = advance
        self._last = b""
        self._packed: bool | None = None

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            if self._file is None:
                if not self._waiting:
                    break
                self._file = self._waiting.pop(0).open("rb")
            block = self._file.read(size - len(data))
            if not block:
                self._file.close()
                self._file = None
            data += block
        self._advance(len(data))
        if self._packed is None:
            self._packed = not is_archive(data)
        self._last = (self._last + data)[-BLOCK:]
        return data

    def ended_well(self) -> bool:
        """Whether the last that was read are the zeros at the end of a tar; of a packed one its own checksum tells."""
        return bool(self._packed) or not any(self._last)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
