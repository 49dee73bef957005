"""Reference databases on request: files of others, downloaded or brought along, kept as Parquet with their terms.

    <folder>/<source>.parquet      the table; what must be known of it stands in its schema (`aircraft.databases`)
    <folder>/<source>.etag         what the server called the version that was downloaded
    <folder>/<source>.part         a download that is not finished; it is continued

Nothing is downloaded that nobody asked for. A table is replaced whole, or stays as it is.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa

from flightwatch.aircraft.databases import About, about, aircraft_table, described, kept
from flightwatch.aircraft.formats import SOURCES, Source
from flightwatch.documents import nearest
from flightwatch.errors import InputError
from flightwatch.feeds.http import Http, Limits
from flightwatch.store import files

LARGEST = 1 << 30
"""Bytes after unpacking; the largest of these databases has a tenth of it."""

DOWNLOAD = Limits(deadline_s=900.0, connect_s=15.0, size=512 << 20)
"""For a file of up to 100 MB over a slow line."""

READ = (".csv", ".json", ".js", ".txt")
"""What is read of a folder or an archive."""


@dataclass(frozen=True, slots=True)
class Updated:
    """What came of an update; `about` is None where the server has nothing newer."""

    source: str
    about: About | None


def source_named(name: str) -> Source:
    """A source by its name. Raises InputError."""
    if name not in SOURCES:
        raise InputError(f"`{name}` is no source that is known{nearest(name, SOURCES) or ': ' + ', '.join(SOURCES)}")
    return SOURCES[name]


def add(paths: Sequence[Path], source: Source, folder: Path, dated: date | None = None) -> About:
    """Keeps files that somebody downloaded: plain, gzipped, in a ZIP archive or a folder. `dated` is their day; that of
    the newest file without it. Raises InputError."""
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} is not there")
    newest = max(path.stat().st_mtime for path in paths)
    names = ", ".join(p.name for p in paths)
    return _keep(list(_files(paths)), names, _digest(paths), source, folder, dated or _day_of(newest))


def update(source: Source, folder: Path, today: date, http: Http | None = None, url: str | None = None) -> Updated:
    """Downloads one database, where the server has another version than the one that is kept. Raises FeedError,
    InputError."""
    address = url or source.url
    if address is None:
        raise InputError(f"{source.name} is not downloaded in one piece: get its files, then `flightwatch reference add`")
    folder.mkdir(parents=True, exist_ok=True)
    known, part = folder / f"{source.name}.etag", folder / f"{source.name}.part"
    have = known.read_text(encoding="utf-8") if known.exists() and (folder / f"{source.name}.parquet").exists() else None
    etag = (http or Http(limits=DOWNLOAD, headers={"Accept": "*/*"})).download(address, part, have)
    if etag is None:
        return Updated(source.name, None)
    try:
        name = address.rsplit("/", 1)[-1]
        done = _keep([(name, _unpacked(name, part.read_bytes()))], name, _digest([part]), source, folder, today)
    finally:
        part.unlink(missing_ok=True)  # what cannot be read is not continued either
    files.write_bytes(known, etag.encode())
    return Updated(source.name, done)


def listed(folder: Path) -> list[About]:
    """What is kept. Raises InputError where a table cannot be read."""
    return [about(path) for path in kept(folder)]


def table_of(kept_ones: Iterable[About]) -> Iterator[str]:
    """Everything that is kept, and what could be, to read."""
    known = {a.source: a for a in kept_ones}
    for name, source in SOURCES.items():
        found = known.get(name)
        if found is None:
            how = "`flightwatch reference update`" if source.url else "`flightwatch reference add`"
            yield f"{name}: not kept ({how}); licence: {source.licence}"
            continue
        retention = f"{found.retention_days} days" if found.retention_days else "no limit"
        yield f"{name}: {found.rows:,} {found.kind} of {found.dated} ({found.file}); {found.refused:,} lines refused"
        yield f"    licence: {found.licence}; may be republished: {'yes' if found.republish else 'no'}; retention: {retention}"
        yield f"    attribution: {found.attribution}; SHA-256 {found.sha256}"


def _keep(read: Sequence[tuple[str, bytes]], file: str, sha256: str, source: Source, folder: Path, dated: date) -> About:
    try:
        found = [row for name, data in read for row in source.read(name, data)]
    except csv.Error as error:
        raise InputError(f"{file} is no CSV ({error}): is it a file of {source.name}?") from None
    rows = [row for row in found if row is not None]
    if not rows:
        raise InputError(f"{file} has no line that can be read as {source.name}: is it a file of that source?")
    table = aircraft_table(rows) if source.kind == "aircraft" else pa.Table.from_pylist(rows)
    told = About(
        source=source.name,
        kind=source.kind,
        dated=dated,
        rows=len(table),
        refused=len(found) - len(rows),
        file=file,
        sha256=sha256,
        licence=source.licence,
        attribution=source.attribution,
        retention_days=source.retention_days,
        republish=source.republish,
        confidence=source.confidence,
    )
    files.write_parquet(folder / f"{source.name}.parquet", described(table, told))
    return told


def _digest(paths: Iterable[Path]) -> str:
    """The SHA-256 of a file as it is, or of several one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        for file in _inside(path):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _inside(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.suffix in READ) if path.is_dir() else [path]


def _files(paths: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """The files with their bytes unpacked; what lies in folders and archives, in order of the names."""
    left = LARGEST
    for path in paths:
        for file in _inside(path):
            for name, data in _opened(file):
                left -= len(data)
                if left < 0:
                    raise InputError(f"{path} has more than {LARGEST >> 20} MB: it is not read")
                yield name, data


def _opened(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if not zipfile.is_zipfile(path):
            yield path.name, _unpacked(path.name, path.read_bytes())
            return
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.endswith(READ)]
            if sum(m.file_size for m in members) > LARGEST:
                raise InputError(f"{path} has more than {LARGEST >> 20} MB inside: it is not read")
            for member in sorted(members, key=lambda m: m.filename):
                yield member.filename.rsplit("/", 1)[-1], archive.read(member)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read ({error})") from None


def _unpacked(name: str, data: bytes) -> bytes:
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
            whole = packed.read(LARGEST + 1)
    except (OSError, EOFError) as error:
        raise InputError(f"{name} cannot be unpacked ({error}): download it again") from None
    if len(whole) > LARGEST:
        raise InputError(f"{name} has more than {LARGEST >> 20} MB when unpacked: it is not read")
    return whole


def _day_of(timestamp: float) -> date:
    return datetime.fromtimestamp(timestamp, UTC).date()
