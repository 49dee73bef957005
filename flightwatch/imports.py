"""Brings files into a store: opened by the feeds, kept by the store.

In: a file, or the parts of an archive. Out: what was stored and what was refused. The same file with the same options
changes nothing the second time; an archive is kept batch by batch, and goes on where it stopped. Replies of a service
stand under its name and on its terms.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pyarrow as pa

from flightwatch.aircraft import address_of
from flightwatch.config import TERMS
from flightwatch.documents import nearest
from flightwatch.errors import InputError
from flightwatch.feeds import archives
from flightwatch.feeds.archives import Batch
from flightwatch.feeds.columnmaps import ColumnMap
from flightwatch.feeds.contents import content_of
from flightwatch.feeds.files import ADDRESS, REPORTED, Given, Source, completed, format_of, is_in_archive, open_file
from flightwatch.feeds.sanity import Refused, sum_of
from flightwatch.places import airports
from flightwatch.records import Scope, Terms
from flightwatch.store import Import, Store

IMPORTED, RECONSTRUCTED = "import", "reconstructed"
"""The feeds that imported data stand under, by whether anybody observed them."""

ARCHIVE = "globe-history"

SERVICE_OF = {
    "opensky-states": "opensky",
    "opensky-flights": "opensky",
    "opensky-track": "opensky",
    "fr24-playback": "flightradar24",
    "fr24-csv": "flightradar24",
    "fr24-kml": "flightradar24",
    "fr24-positions": "flightradar24",
    "fr24-tracks": "flightradar24",
    "fr24-summary": "flightradar24",
}
"""Formats that nobody else's data come in."""


@dataclass(frozen=True, slots=True)
class How:
    """What somebody says of the files that he brings."""

    format: str | None = None
    registration: str | None = None
    scope: str | None = None
    reconstructed: bool = False
    feed: str | None = None
    columns: ColumnMap | None = None
    aircraft: tuple[str, ...] = ()
    service: str | None = None

    def whose(self, format: str) -> How:
        """The same, with the service that a format belongs to. Raises InputError where another one was named, or one that
        is not known."""
        own, named = SERVICE_OF.get(format), self.service
        if named is not None and named not in TERMS:
            raise InputError(f"{named} is no service that is known{nearest(named, TERMS) or ': ' + ', '.join(TERMS)}")
        if named is not None and own not in (None, named):
            raise InputError(f"{format} is {own}'s: leave --service {named} away")
        return replace(self, service=own or named)

    @property
    def name(self) -> str:
        """The feed that they stand under: those of a service apart from the others, because they have its terms."""
        own = f"{IMPORTED}-{self.service}" if self.service else IMPORTED
        return self.feed or (RECONSTRUCTED if self.reconstructed else own)

    @property
    def terms(self) -> Terms:
        """Whatever was made up is nobody's."""
        return TERMS[self.service] if self.service and not self.reconstructed else Terms(reconstructed=self.reconstructed)


def files_of(paths: Sequence[Path]) -> list[tuple[Path, ...]]:
    """What each import reads, in order: the files of folders by name, an archive's parts together. Raises InputError."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
            if not inside:
                raise InputError(f"{path} is an empty folder")
            found += inside
        else:
            found.append(path)
    return archives.grouped(found)


def import_files(store: Store, parts: Sequence[Path], how: How, advance: Callable[[int], object] = lambda _: None) -> Import:
    """Imports what `files_of` found together. `advance` is told how many bytes of an archive were read. Raises InputError
    where it cannot be read."""
    if how.columns is None and how.format in (None, ARCHIVE) and (len(parts) > 1 or is_in_archive(parts[0])):
        return _import_archive(store, parts, how, advance)
    if how.columns is not None and how.format not in (None, "positions"):
        raise InputError(f"--columns says how to read {parts[0]}: leave --format {how.format} away")
    if how.aircraft:
        raise InputError(f"{parts[0]}: --aircraft chooses from archives of traces alone")
    return _import_one(store, parts[0], how)


def import_file(
    store: Store,
    path: Path,
    *,
    format: str | None = None,
    registration: str | None = None,
    scope: str | None = None,
    reconstructed: bool = False,
    feed: str | None = None,
    columns: ColumnMap | None = None,
) -> Import:
    """Imports one file. Raises InputError where it cannot be read."""
    return import_files(store, (path,), How(format, registration, scope, reconstructed, feed, columns))


def _import_one(store: Store, path: Path, how: How) -> Import:
    content = content_of(path)
    how = how.whose("positions" if how.columns is not None else format_of(content, how.format).name)
    source = open_file(
        content,
        how.name,
        airports(),
        address_of,
        format=how.format,
        registration=how.registration,
        scope=_scope(how.scope),
        columns=how.columns,
    )
    if (before := store.imported(source.identity)) is not None:
        return before
    feed = how.name
    _set_terms(store, how)
    if source.legs is None:
        return _import_positions(store, path, feed, source, source.identity, source.scope)
    inside = 0
    if source.positions is not None:  # before the legs, whose import says that all of the file is in
        inside = _import_positions(store, path, feed, source, f"{source.identity}-positions", REPORTED).rows
    done = store.import_legs(source.identity, path.name, feed, source.scope, source.legs, source.refused, source.format)
    return replace(done, inside=inside, where=source.where, notes=source.notes)


def _import_positions(store: Store, path: Path, feed: str, source: Source, identity: str, scope: Scope) -> Import:
    assert source.positions is not None  # a source has legs or positions
    if (before := store.imported(identity)) is not None:
        return before
    return store.import_positions(identity, path.name, source.format, feed, scope, source.positions(), source.refused)


def _set_terms(store: Store, how: How) -> None:
    """Those of the service, if it is known whose the data are; a file of nobody in particular does not loosen what is
    demanded under its feed's name."""
    known = store.terms().get(how.name)
    terms = how.terms if how.service or known is None else replace(known, reconstructed=how.reconstructed)
    store.set_terms(how.name, terms)


def restore_terms(store: Store) -> None:
    """Keeps again what is demanded by those whose imports are in a store: a catalog that was made anew has forgotten it."""
    legs = store.legs.table()["feeds"].to_pylist()
    for feed in {feed for feed, _ in store.snapshots.stored_hours()} | {feed for feeds in legs for feed in feeds or ()}:
        service = feed.removeprefix(f"{IMPORTED}-")
        if feed == RECONSTRUCTED or (service != feed and service in TERMS):
            store.set_terms(feed, How(reconstructed=feed == RECONSTRUCTED, service=service).terms)


# ------------------------------------------------------------------------------------------------------------------- archives


def _import_archive(store: Store, parts: Sequence[Path], how: How, advance: Callable[[int], object]) -> Import:
    """Each batch is committed by itself; what the archive covers is noted when all of it is in."""
    wanted = _addresses(how.aircraft) if how.aircraft else None
    how = how.whose(ARCHIVE)
    _set_terms(store, how)
    name, rows, refused, new = parts[0].name, 0, Refused(), False
    whole, days = hashlib.sha256(), set[date]()
    for batch in archives.batches(parts, wanted, advance):
        whole.update(batch.digest.encode())
        days |= {batch.day} if batch.day is not None else set()
        done = _import_batch(store, batch, name, how)
        rows, refused, new = rows + done.rows, sum_of(refused, done.refused), new or done.new
    _cover(store, f"{whole.hexdigest()}|{sorted(wanted or ())}|{how.scope}|{how.name}", name, how, wanted, days)
    return Import(name, ARCHIVE, rows, refused, new)


def _import_batch(store: Store, batch: Batch, name: str, how: How) -> Import:
    identity = hashlib.sha256(f"{ARCHIVE}|{batch.digest}|{how.name}".encode()).hexdigest()
    if (before := store.imported(identity)) is not None:
        return before
    refused: Refused = {}
    return store.import_positions(identity, name, ARCHIVE, how.name, REPORTED, _positions(batch, how, refused), refused)


def _positions(batch: Batch, how: How, refused: Refused) -> Iterator[pa.Table]:
    """The traces of a batch as one table: one file an hour, not one for each trace."""
    tables = list(archives.read(batch, refused))
    if tables:
        yield completed(pa.concat_tables(tables, promote_options="permissive"), how.name, Given(), refused)


def _cover(store: Store, options: str, name: str, how: How, wanted: Collection[str] | None, days: Collection[date]) -> None:
    """Notes the days on which those who were asked for would have been in it: without a trace, they did not fly where
    somebody listens."""
    scope = Scope("aircraft", tuple(sorted(wanted))) if wanted is not None else _scope(how.scope) or REPORTED
    identity = hashlib.sha256(f"{ARCHIVE}|whole|{options}".encode()).hexdigest()
    if scope.kind != "reported" and days and store.imported(identity) is None:
        store.import_positions(identity, name, ARCHIVE, how.name, scope, (), {}, covered=[(day, day) for day in sorted(days)])


def _addresses(aircraft: Sequence[str]) -> frozenset[str]:
    """Addresses, and those that follow from registrations."""
    found = {}
    for text in aircraft:
        found[text] = text.lower() if ADDRESS.fullmatch(text.removeprefix("~")) else address_of(text)
    if unknown := [text for text, address in found.items() if address is None]:
        raise InputError(f"no address follows from {', '.join(unknown)}: give the address (six hex digits)")
    return frozenset(a for a in found.values() if a is not None)


def _scope(text: str | None) -> Scope | None:
    if text is None:
        return None
    if text in ("world", "aircraft", "reported"):
        return Scope(text)  # type: ignore[arg-type]  # one of its kinds
    raise InputError(f"{text} is no scope: use world, aircraft or reported")
