"""The catalog: what the store holds, committed. A file that is not in it does not exist; a snapshot that is in it
survives.

SQLite in WAL mode with full syncs. Paths are relative to the store, so a store can be copied. Tables:

    meta         schema version
    files        Parquet files: kind (live, history, legs), feed, span of time, rows, size, SHA-256 of its footer,
                 whether found damaged, and since when nothing reads it any more
    snapshots    one row a poll, its scope, what was refused, and the file that holds it; null while it is in `pending`
    pending      snapshots too small for a file of their own, as Arrow streams, until enough have come together
    scopes       scopes by number
    polled       for each scope and UTC day the hours in which a poll came in, as bits
    imports      what was imported, by the SHA-256 of its content and options, and the days that it covers; and of feeds whose
                 history was fetched what they have brought in full
    limits       until when imported files may be kept, where their feed's terms say so
    feeds        what each source demands (attribution, retention, republishing) and whether it is real
    legs         legs that may still change, and corrections of older ones, as MessagePack
    frozen_legs  the same as they stood when the model of the day was frozen
    checkpoint   the state of the pipeline after a snapshot, one row; idle: the parts of it for aircraft that have been out
                 of sight for long, committed together with it
    refusals     replies and files that could not be used
    health       how each query of each feed does; outages: the times in which a feed was out (see `health`)
    events       what happened to aircraft, legs apart (see `events`); events_put: those that rules were not asked about yet
    codes        the codes of transponders that make events, and since when what came in was searched for them
    derive       what live has to derive anew: an aircraft since a time, or everything (*); and whether the stored legs
                 lack it, too
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from flightwatch.errors import Damaged, StoreError
from flightwatch.store import files

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
HOUR_US = 3_600_000_000

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE files (
    path TEXT PRIMARY KEY, kind TEXT NOT NULL, feed TEXT, first_us INTEGER NOT NULL, last_us INTEGER NOT NULL,
    rows INTEGER NOT NULL, size INTEGER NOT NULL, footer TEXT NOT NULL, damaged INTEGER NOT NULL DEFAULT 0, retired_us INTEGER
) STRICT;
CREATE INDEX files_by_time ON files (kind, first_us);
CREATE TABLE scopes (id INTEGER PRIMARY KEY, scope TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE snapshots (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, feed TEXT NOT NULL, feed_time_us INTEGER NOT NULL, received_us INTEGER NOT NULL,
    scope INTEGER NOT NULL REFERENCES scopes (id), rows INTEGER NOT NULL, refused TEXT NOT NULL, content TEXT NOT NULL, path TEXT,
    UNIQUE (feed, feed_time_us, content)
) STRICT;
CREATE INDEX snapshots_by_path ON snapshots (path);
CREATE INDEX snapshots_by_time ON snapshots (feed_time_us);
CREATE TABLE polled (
    scope INTEGER NOT NULL REFERENCES scopes (id), day INTEGER NOT NULL, hours INTEGER NOT NULL, PRIMARY KEY (scope, day)
) STRICT;
CREATE TABLE pending (seq INTEGER PRIMARY KEY, positions BLOB NOT NULL) STRICT;
CREATE TABLE imports (
    id INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE, name TEXT NOT NULL, format TEXT NOT NULL, feed TEXT NOT NULL,
    scope TEXT NOT NULL, rows INTEGER NOT NULL, refused TEXT NOT NULL, covered TEXT NOT NULL
) STRICT;
CREATE TABLE feeds (
    name TEXT PRIMARY KEY, attribution TEXT NOT NULL, retention_days INTEGER, republish INTEGER NOT NULL,
    reconstructed INTEGER NOT NULL
) STRICT;
CREATE TABLE legs (
    leg_id TEXT PRIMARY KEY, revision INTEGER NOT NULL, aircraft TEXT NOT NULL, first_us INTEGER NOT NULL, leg BLOB,
    filed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX legs_by_aircraft ON legs (aircraft, first_us);
CREATE TABLE frozen_legs (leg_id TEXT PRIMARY KEY, leg BLOB) STRICT;
CREATE TABLE checkpoint (id INTEGER PRIMARY KEY CHECK (id = 1), state BLOB NOT NULL) STRICT;
CREATE TABLE idle (aircraft INTEGER PRIMARY KEY, part BLOB NOT NULL) STRICT;
CREATE TABLE refusals (
    id INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, feed TEXT NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL, kept TEXT
) STRICT;
CREATE TABLE derive (aircraft TEXT PRIMARY KEY, since_us INTEGER NOT NULL, legs_due INTEGER NOT NULL) STRICT;
"""

_ADDED = """
CREATE TABLE IF NOT EXISTS health (
    feed TEXT NOT NULL, label TEXT NOT NULL, health BLOB NOT NULL, PRIMARY KEY (feed, label)
) STRICT;

CREATE TABLE IF NOT EXISTS outages (
    subject TEXT PRIMARY KEY, since_us INTEGER NOT NULL, ended_us INTEGER, outage BLOB NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS events (
    event_id TEXT PRIMARY KEY, kind TEXT NOT NULL, reason TEXT NOT NULL, since_us INTEGER NOT NULL, until_us INTEGER NOT NULL,
    event BLOB NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS events_by_time ON events (until_us);

CREATE TABLE IF NOT EXISTS events_put (number INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE) STRICT;

CREATE TRIGGER IF NOT EXISTS note_events_put AFTER INSERT ON events
    BEGIN INSERT OR REPLACE INTO events_put (event_id) VALUES (new.event_id); END;

CREATE TABLE IF NOT EXISTS codes (code TEXT PRIMARY KEY, since_us INTEGER NOT NULL) STRICT;

CREATE TABLE IF NOT EXISTS limits (path TEXT PRIMARY KEY, identity TEXT NOT NULL, until_us INTEGER NOT NULL) STRICT
"""
"""What stores lack that were made by an earlier version; programs of that version go on reading the store. Empty lines part
the statements: a trigger has semicolons of its own."""


class Catalog:
    """A connection to the catalog of the store in `root`, and with it the files that it lists. `read_only` never
    creates or changes anything."""

    def __init__(self, root: Path, *, read_only: bool = False) -> None:
        path = root / "catalog.sqlite"
        self._root = root
        self._read_only = read_only
        mode = "ro" if read_only else "rwc"
        self.db = sqlite3.connect(f"file:{path}?mode={mode}", uri=True, isolation_level=None, timeout=30)
        try:
            self._open(read_only)
        except sqlite3.DatabaseError as error:
            self.db.close()
            raise Damaged(f"{path} cannot be read ({error}): run `flightwatch rebuild` on the store") from None

    def _open(self, read_only: bool) -> None:
        if not read_only:
            self.db.execute("PRAGMA journal_mode = WAL")
            self.db.execute("PRAGMA synchronous = FULL")
            self._create()
        found = self.db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
        if int(found[0]) != SCHEMA_VERSION:
            raise StoreError(
                f"the store has schema {found[0]}, this version of flightwatch reads {SCHEMA_VERSION}:"
                " use the version that made it"
            )

    def _create(self) -> None:
        with self.transaction():
            if self.db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is None:
                for statement in _SCHEMA.split(";"):
                    self.db.execute(statement)
                self.db.execute("INSERT INTO meta VALUES ('schema', ?)", (str(SCHEMA_VERSION),))
            for statement in _ADDED.split(";\n\n"):
                self.db.execute(statement)

    def register(self, path: Path, kind: str, feed: str | None, span: tuple[int, int], rows: int, written: files.Written) -> None:
        """Lists a file, to be called inside a transaction. `span` are its first and last time, microseconds since
        1970."""
        self.db.execute(
            "INSERT OR REPLACE INTO files (path, kind, feed, first_us, last_us, rows, size, footer)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (str(path), kind, feed, *span, rows, written.size, written.footer),
        )

    def note_poll(self, scope: str, feed_time_us: int) -> None:
        """Remembers that a scope was asked for in an hour; to be called inside a transaction."""
        day, hour = divmod(feed_time_us // HOUR_US, 24)
        self.db.execute(
            "INSERT INTO polled SELECT id, ?, ? FROM scopes WHERE scope = ?"
            " ON CONFLICT (scope, day) DO UPDATE SET hours = hours | excluded.hours",
            (day, 1 << hour, scope),
        )

    def read(self, path: str, empty: pa.Table, filters: pc.Expression | None = None) -> pa.Table:
        """The rows of a listed file; a damaged one is named, marked, and counts as `empty`."""
        try:
            return self.read_surely(path, filters)
        except Damaged as error:
            self.note_damaged(path, str(error))
            return empty

    def note_damaged(self, path: str, problem: str) -> None:
        """Names a listed file of which the problem tells that it is damaged, and marks it."""
        log.error("%s", problem)
        if not self._read_only:
            self.db.execute("UPDATE files SET damaged = 1 WHERE path = ?", (path,))

    def read_pieces(self, path: str, wanted: Callable[[int, int], bool]) -> Iterator[tuple[int, files.ReadColumns]]:
        """The wanted pieces of a listed file (see `files.read_pieces`); of a damaged one those before the damage."""
        (footer,) = self.db.execute("SELECT footer FROM files WHERE path = ?", (path,)).fetchone()
        try:
            yield from files.read_pieces(self._root / path, footer, wanted)
        except Damaged as error:
            log.error("%s", error)

    def read_surely(self, path: str, filters: pc.Expression | None = None) -> pa.Table:
        """The rows of a listed file. Raises Damaged."""
        (footer,) = self.db.execute("SELECT footer FROM files WHERE path = ?", (path,)).fetchone()
        return files.read_parquet(self._root / path, filters, footer)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """What is read inside is of one moment, whatever others write meanwhile."""
        self.db.execute("BEGIN")
        try:
            yield
        finally:
            self.db.execute("COMMIT")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside is committed together, or not at all."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield self.db
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def close(self) -> None:
        self.db.close()
