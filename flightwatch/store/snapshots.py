"""Snapshots and imported positions: written once, read by time and aircraft.

A poll is committed before anything is made of it: a large one as a Parquet file, small ones as rows of the catalog's
`pending` table, which become one file together when there are enough of them, or when their hour is over. Hours that
are over move from live/ to history/, sorted by aircraft and time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flightwatch.errors import Damaged, StoreError
from flightwatch.records import POSITIONS, Scope, Snapshot, Terms, ipc_bytes, ipc_table, micros, utc
from flightwatch.store import files
from flightwatch.store.catalog import HOUR_US, Catalog
from flightwatch.store.portions import Part, Portion, cut

log = logging.getLogger(__name__)

STORED = pa.schema([f for f in POSITIONS if f.name != "feed"] + [pa.field("snapshot", pa.int64())], metadata=POSITIONS.metadata)
"""The columns of a file: the feed stands in its folder's name, `snapshot` is the number of the poll (null for
imports)."""

SNAPSHOTS_KEY = b"flightwatch.snapshots"
"""In the metadata of a file: the snapshots in it as JSON, so that the catalog can be made again."""

BATCH_ROWS = 20_000
"""Rows of small polls that are worth a file of their own."""

BATCH_SPAN = timedelta(minutes=15)
"""After this long they get one in any case."""

HOUR = timedelta(hours=1)
GRACE = timedelta(hours=1)
"""How long a file stays on disk after the last catalog that names it, for those who are reading it."""

GRACE_US = HOUR_US
DAY_US = 24 * HOUR_US


@dataclass(frozen=True, slots=True)
class Pending:
    seq: int
    feed_time: datetime
    positions: pa.Table


@dataclass(frozen=True, slots=True)
class HistoryFile:
    """The positions of one hour, written to be committed: `span` from first to last, microseconds since 1970."""

    path: Path
    hour: datetime
    span: tuple[int, int]
    rows: int
    receipt: files.Written


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file with positions, relative to the store."""

    path: str
    feed: str | None
    rows: int


class Snapshots:
    """The positions of a store. Writing needs the writer's lock, which `Store` holds."""

    def __init__(self, root: Path, catalog: Catalog) -> None:
        self._root = root
        self._catalog = catalog
        self._pending: dict[str, list[Pending]] = {}
        self._load_pending()

    def _load_pending(self) -> None:
        rows = self._catalog.db.execute(
            "SELECT seq, feed, feed_time_us, positions FROM pending JOIN snapshots USING (seq) ORDER BY seq"
        )
        for seq, feed, time_us, data in rows:
            self._pending.setdefault(feed, []).append(Pending(seq, utc(time_us), ipc_table(data)))

    # ------------------------------------------------------------------------------------------------------------- writing

    def append(self, snapshot: Snapshot) -> int | None:
        """Commits a snapshot and returns its number, or None if the very same one is there already. Raises StoreError
        where it cannot be written; then it is not there."""
        positions = snapshot.positions.select([n for n in STORED.names if n != "snapshot"])
        content = _content(positions)
        try:
            with self._catalog.transaction() as db:
                seq = self._insert(snapshot, len(positions), content)
                if seq is not None and len(positions):
                    db.execute("INSERT INTO pending VALUES (?, ?)", (seq, ipc_bytes(positions, "zstd")))
        except sqlite3.OperationalError as error:
            raise StoreError(f"a snapshot of {snapshot.feed} cannot be stored in {self._root} ({error}): make room") from None
        if seq is not None and len(positions):
            self._pending.setdefault(snapshot.feed, []).append(Pending(seq, snapshot.feed_time, positions))
            self._flush_if_due(snapshot.feed)
        return seq

    def _insert(self, snapshot: Snapshot, rows: int, content: str) -> int | None:
        db = self._catalog.db
        scope = snapshot.scope.to_json()
        db.execute("INSERT OR IGNORE INTO scopes (scope) VALUES (?)", (scope,))
        inserted = db.execute(
            "INSERT OR IGNORE INTO snapshots (feed, feed_time_us, received_us, scope, rows, refused, content)"
            " SELECT ?, ?, ?, id, ?, ?, ? FROM scopes WHERE scope = ?",
            (
                snapshot.feed,
                micros(snapshot.feed_time),
                micros(snapshot.received),
                rows,
                json.dumps(dict(snapshot.refused)),
                content,
                scope,
            ),
        )
        if not inserted.rowcount:
            return None
        self._catalog.note_poll(scope, micros(snapshot.feed_time))
        return inserted.lastrowid

    def _flush_if_due(self, feed: str) -> None:
        waiting = self._pending[feed]
        first, last = waiting[0].feed_time, waiting[-1].feed_time
        if sum(len(p.positions) for p in waiting) < BATCH_ROWS and last - first < BATCH_SPAN and _hour(first) == _hour(last):
            return
        try:
            self.flush(feed)
        except (OSError, sqlite3.Error) as error:
            log.error("%d snapshots of %s stay in the catalog, no file can be written (%s): make room", len(waiting), feed, error)

    def flush(self, feed: str) -> None:
        """Writes the pending snapshots of a feed as one file for each hour."""
        for _, hour in groupby(self._pending.get(feed, ()), key=lambda p: _hour(p.feed_time)):
            written = list(hour)
            self._write_live(feed, written)
            self._pending[feed] = self._pending[feed][len(written) :]

    def _write_live(self, feed: str, waiting: Sequence[Pending]) -> None:
        table = self._described(pa.concat_tables([_numbered(p.positions, p.seq) for p in waiting]), [p.seq for p in waiting])
        first, last = waiting[0].seq, waiting[-1].seq
        path = self._folder("live", feed, waiting[0].feed_time) / f"{first:09d}-{last:09d}.parquet"
        written = files.write_parquet(self._root / path, table)
        try:
            with self._catalog.transaction() as db:
                self._register(path, "live", feed, table, written)
                numbers = [(str(path), p.seq) for p in waiting]
                db.executemany("UPDATE snapshots SET path = ? WHERE seq = ?", numbers)
                db.executemany("DELETE FROM pending WHERE seq = ?", [(p.seq,) for p in waiting])
        except sqlite3.Error:
            (self._root / path).unlink(missing_ok=True)  # the snapshots stay pending; nothing may stand twice
            raise

    def _described(self, table: pa.Table, seqs: Sequence[int]) -> pa.Table:
        """The table with its snapshots in the metadata."""
        entries = []
        for seq in seqs:
            row = self._catalog.db.execute(
                "SELECT feed_time_us, received_us, rows, refused, content, scopes.scope FROM snapshots"
                " JOIN scopes ON scopes.id = snapshots.scope WHERE seq = ?",
                (seq,),
            ).fetchone()
            names = ("feed_time_us", "received_us", "rows", "refused", "content", "scope")
            entry = dict(zip(names, row, strict=True)) | {"seq": seq}
            entries.append(entry | {"refused": json.loads(row[3]), "scope": json.loads(row[5])})
        return table.replace_schema_metadata({**(table.schema.metadata or {}), SNAPSHOTS_KEY: json.dumps(entries).encode()})

    def flush_all(self) -> None:
        for feed in list(self._pending):
            self.flush(feed)

    def write_history(self, name: str, feed: str, positions: pa.Table) -> list[HistoryFile]:
        """Writes positions to import, by the hour and sorted; `register_history` commits them. What is returned does not
        hold the positions: an import may be larger than memory."""
        written = []
        table = pa.table(
            {
                **{f.name: positions[f.name] for f in STORED if f.name != "snapshot"},
                "snapshot": pa.nulls(len(positions), pa.int64()),
            },
            schema=STORED,
        )
        for hour, part in by_hour(table):
            path = self._folder("history", feed, hour) / f"{name}.parquet"
            part = _by_aircraft(part)
            written.append(HistoryFile(path, hour, span(part), len(part), files.write_parquet(self._root / path, part)))
        return written

    def register_history(self, feed: str, written: Iterable[HistoryFile]) -> None:
        """To be called inside a transaction of the catalog."""
        for file in written:
            self._catalog.register(file.path, "history", feed, file.span, file.rows, file.receipt)

    def _register(self, path: Path, kind: str, feed: str, table: pa.Table, written: files.Written) -> None:
        self._catalog.register(path, kind, feed, span(table), len(table), written)

    def _folder(self, kind: str, feed: str, time: datetime) -> Path:
        return Path(kind) / f"feed={feed}" / f"date={time:%Y-%m-%d}" / f"hour={time:%H}"

    # ------------------------------------------------------------------------------------------------------------- reading

    def last(self) -> int:
        """The number of the newest snapshot there ever was; 0 where there was none."""
        row = self._catalog.db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'snapshots'").fetchone()
        return int(row[0]) if row else 0

    def number_after(self, seq: int) -> None:
        """New snapshots get numbers above this one: a catalog that was made again has forgotten some that others
        remember."""
        if seq > self.last():
            db = self._catalog.db
            if db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'snapshots'", (seq,)).rowcount == 0:
                db.execute("INSERT INTO sqlite_sequence VALUES ('snapshots', ?)", (seq,))

    def days(self, since: datetime, until: datetime) -> list[tuple[str, int, int, dict[str, int], timedelta]]:
        """How the feeds did in a span of time: name, polls, positions, refused positions by reason, and the longest
        time without a poll."""
        rows = self._catalog.db.execute(
            "SELECT feed, feed_time_us, rows, refused FROM snapshots"
            " WHERE feed_time_us > ? AND feed_time_us <= ? ORDER BY feed, feed_time_us",
            (micros(since), micros(until)),
        )
        out = []
        for feed, group in groupby(rows, key=lambda row: row[0]):
            polls = list(group)
            refused = sum((Counter(json.loads(row[3])) for row in polls), Counter[str]())
            moments = [polls[0][1], *(row[1] for row in polls), micros(until)]
            longest = max(b - a for a, b in pairwise(moments))
            out.append((feed, len(polls), sum(row[2] for row in polls), dict(refused), timedelta(microseconds=longest)))
        return out

    def rows(self) -> int:
        """How many positions are stored."""
        filed = self._catalog.db.execute(
            "SELECT coalesce(sum(rows), 0) FROM files WHERE kind != 'legs' AND retired_us IS NULL"
        ).fetchone()[0]
        return int(filed) + sum(len(p.positions) for group in self._pending.values() for p in group)

    def newest_us(self) -> int:
        """The time of the newest stored position or snapshot, microseconds since 1970; 0 where there is none."""
        filed = self._catalog.db.execute("SELECT coalesce(max(last_us), 0) FROM files WHERE kind != 'legs'").fetchone()[0]
        polled = self._catalog.db.execute("SELECT coalesce(max(feed_time_us), 0) FROM snapshots").fetchone()[0]
        return int(max(filed, polled))

    def clocks(self) -> dict[str, datetime]:
        """The time of the newest snapshot of each feed."""
        rows = self._catalog.db.execute("SELECT feed, max(feed_time_us) FROM snapshots GROUP BY feed")
        return {feed: utc(time_us) for feed, time_us in rows}

    def stored_hours(self) -> set[tuple[str, datetime]]:
        """The feeds and hours of which positions are stored."""
        found = self._catalog.db.execute("SELECT path, feed FROM files WHERE kind != 'legs' AND retired_us IS NULL")
        hours = {(feed, _folder_hour(path)) for path, feed in found}
        for feed, group in self._pending.items():
            for times in (span(p.positions) for p in group):
                hours |= {(feed, _hour(utc(time))) for time in times}
        return hours

    def after(self, seq: int) -> Iterator[tuple[int, Snapshot]]:
        """The snapshots with a higher number, in their order."""
        rows = self._catalog.db.execute(
            "SELECT seq, feed, feed_time_us, received_us, scopes.scope, refused, path, rows FROM snapshots"
            " JOIN scopes ON scopes.id = snapshots.scope WHERE seq > ? ORDER BY seq",
            (seq,),
        ).fetchall()
        waiting = {p.seq: p.positions for group in self._pending.values() for p in group}
        for path, group in groupby(rows, key=lambda row: row[6]):
            table = self._read(path) if path else None
            for number, feed, time_us, received_us, scope, refused, _, _ in group:
                own = waiting.get(number) if table is None else table.filter(pc.equal(table["snapshot"], number))
                positions = with_feed(own if own is not None else STORED.empty_table(), feed)
                yield (
                    number,
                    Snapshot(feed, utc(time_us), utc(received_us), Scope.from_json(scope), positions, json.loads(refused)),
                )

    def positions(
        self, since: datetime | None = None, until: datetime | None = None, aircraft: Sequence[str] | None = None
    ) -> pa.Table:
        """Stored positions (columns of `POSITIONS`) by the time of their fix, both ends included."""
        first, last = (-(2**62) if since is None else micros(since)), (2**62 if until is None else micros(until))
        wanted = (pc.field("timestamp") >= pa.scalar(first, pa.timestamp("us", "UTC"))) & (
            pc.field("timestamp") <= pa.scalar(last, pa.timestamp("us", "UTC"))
        )
        if aircraft is not None:
            wanted &= pc.field("icao24").isin(list(aircraft))
        found = self._catalog.db.execute(
            "SELECT path, feed FROM files WHERE kind != 'legs' AND retired_us IS NULL AND last_us >= ? AND first_us <= ?"
            " ORDER BY first_us, path",
            (first, last),
        ).fetchall()
        parts = [with_feed(self._read(path, wanted), feed) for path, feed in found]
        parts += [with_feed(p.positions.filter(wanted), feed) for feed, group in self._pending.items() for p in group]
        return pa.concat_tables([POSITIONS.empty_table(), *parts])

    def files(self, since: datetime, until: datetime) -> list[StoredFile]:
        """The files with positions of a span of time."""
        rows = self._catalog.db.execute(
            "SELECT path, feed, rows FROM files WHERE kind != 'legs' AND retired_us IS NULL AND last_us >= ? AND first_us <= ?"
            " ORDER BY first_us, path",
            (micros(since), micros(until)),
        )
        return [StoredFile(*row) for row in rows]

    def portions(self, rows: int, columns: Sequence[str]) -> Iterator[Portion]:
        """These columns of all positions in order of their hours, about so many rows at a time; of an hour with more, some
        aircraft after others."""
        found = self._catalog.db.execute(
            "SELECT path, feed, footer, rows FROM files WHERE kind != 'legs' AND retired_us IS NULL ORDER BY first_us, path"
        ).fetchall()
        names = tuple(columns)
        hours = sorted(((_folder_hour(row[0]), *row) for row in found), key=lambda h: (h[0], h[1]))
        parts: list[Part] = []
        many = 0
        for _, group in groupby(hours, key=lambda h: h[0]):
            stored = [row[1:] for row in group]
            for addresses in cut([self._root / path for path, *_ in stored], rows):
                parts += [Part(self._root / path, feed, footer, *addresses) for path, feed, footer, _ in stored]
                many += sum(row[-1] for row in stored)
                if many >= rows:
                    yield Portion(names, tuple(parts))
                    parts, many = [], 0
        waiting = tuple((feed, p.positions) for feed, group in self._pending.items() for p in group)
        if parts or waiting:
            yield Portion(names, tuple(parts), waiting)

    def note_damaged(self, path: Path, problem: str) -> None:
        """Whoever read a portion found a file damaged."""
        self._catalog.note_damaged(str(path.relative_to(self._root)), problem)

    def _read(self, path: str, filters: pc.Expression | None = None) -> pa.Table:
        return self._catalog.read(path, STORED.empty_table(), filters)

    # -------------------------------------------------------------------------------------------------------- housekeeping

    def compact(self, now: datetime) -> int:
        """Moves the hours that have been over for an hour from live/ to history/; returns how many. Files stay on
        disk for a while; an hour with a file that cannot be read stays where it is."""
        rows = self._catalog.db.execute(
            "SELECT path, feed FROM files WHERE kind = 'live' AND retired_us IS NULL ORDER BY path"
        ).fetchall()
        over = [(path, feed) for path, feed in rows if _folder_hour(path) + HOUR + GRACE <= now]
        folders = [(folder, list(group)) for folder, group in groupby(over, key=lambda row: Path(row[0]).parent)]
        done = 0
        for folder, group in folders:
            try:
                self._compact_hour(folder, group[0][1], [path for path, _ in group], now)
                done += 1
            except Damaged as error:
                log.error("%s stays as it is: %s", folder, error)
        return done

    def _compact_hour(self, folder: Path, feed: str, paths: list[str], now: datetime) -> None:
        table = _by_aircraft(pa.concat_tables([self._catalog.read_surely(path).replace_schema_metadata(None) for path in paths]))
        marks = ", ".join("?" * len(paths))
        seqs = [
            seq for (seq,) in self._catalog.db.execute(f"SELECT seq FROM snapshots WHERE path IN ({marks}) ORDER BY seq", paths)
        ]
        table = self._described(table, seqs)
        target = Path("history", *folder.parts[1:]) / f"{Path(paths[0]).stem[:9]}-{Path(paths[-1]).stem[10:]}.parquet"
        written = files.write_parquet(self._root / target, table)
        with self._catalog.transaction() as db:
            self._register(target, "history", feed, table, written)
            db.executemany("UPDATE snapshots SET path = ? WHERE path = ?", [(str(target), path) for path in paths])
            db.executemany("UPDATE files SET retired_us = ? WHERE path = ?", [(micros(now), path) for path in paths])

    def retain(self, now: datetime, days: int) -> int:
        """Retires files that are older than the store's setting allows; returns how many."""
        oldest = micros(now - timedelta(days=days))
        rows = self._catalog.db.execute(
            "SELECT path FROM files WHERE kind IN ('live', 'history') AND retired_us IS NULL AND last_us < ?", (oldest,)
        ).fetchall()
        for (path,) in rows:
            self._retire(path, micros(now))
        with self._catalog.transaction() as db:  # what they covered stands in `polled`
            db.execute("DELETE FROM snapshots WHERE feed_time_us < ? AND (path = '' OR rows = 0)", (oldest,))
        return len(rows)

    def expire(self, now: datetime, terms: Mapping[str, Terms]) -> int:
        """Retires files of which a part was received longer ago than its feed's terms let anybody keep it; returns how
        many. They are retired a little before that time, so that they are gone from the disk when it has come."""
        rows = []
        for feed, term in terms.items():
            if term.retention_days is not None:
                kept_us = micros(now) - DAY_US * term.retention_days
                if any(micros(p.feed_time) <= kept_us + GRACE_US for p in self._pending.get(feed, ())):
                    self.flush(feed)
                found = self._catalog.db.execute(
                    "SELECT path FROM files WHERE kind IN ('live', 'history') AND retired_us IS NULL"
                    " AND feed = ? AND first_us <= ?",
                    (feed, kept_us + GRACE_US),
                ).fetchall()
                received = [(path, self._received_us(path)) for (path,) in found]
                rows += [(path, us + DAY_US * term.retention_days) for path, us in received if us and us <= kept_us + GRACE_US]
        for path, ends_us in rows:
            self._retire(path, ends_us - GRACE_US)
        return len(rows)

    def _received_us(self, path: str) -> int | None:
        """When the first row of a file was received: with imports that is when they were brought in. None of a file that
        cannot be read now."""
        table = self._read(path)
        times = pc.coalesce(table["received"], table["timestamp"])
        return pc.min(times.cast(pa.int64())).as_py()  # type: ignore[no-any-return]  # pyarrow has no types

    def _retire(self, path: str, since_us: int) -> None:
        with self._catalog.transaction() as db:
            db.execute("UPDATE snapshots SET path = '' WHERE path = ?", (path,))
            db.execute("UPDATE files SET retired_us = ? WHERE path = ?", (since_us, path))

    def remove_retired(self, now: datetime) -> None:
        """Deletes the files that nothing names any more and nobody can be reading."""
        limit = micros(now - GRACE)
        for (path,) in self._catalog.db.execute("SELECT path FROM files WHERE retired_us <= ?", (limit,)).fetchall():
            (self._root / path).unlink(missing_ok=True)
            self._catalog.db.execute("DELETE FROM files WHERE path = ?", (path,))


def with_feed(table: pa.Table, feed: str) -> pa.Table:
    """Stored rows with the columns of `POSITIONS`."""
    columns = {f.name: table[f.name] for f in POSITIONS if f.name != "feed"}
    return pa.table({**columns, "feed": pa.repeat(pa.scalar(feed), len(table))}, schema=POSITIONS)


def by_hour(table: pa.Table) -> Iterator[tuple[datetime, pa.Table]]:
    """The rows of each UTC hour, in order."""
    if not len(table):
        return
    hours = np.asarray(table["timestamp"].cast(pa.int64())) // HOUR_US
    order = np.argsort(hours, kind="stable")
    edges = np.flatnonzero(np.r_[True, np.diff(hours[order]) != 0])
    for start, stop in zip(edges, [*edges[1:], len(order)], strict=True):
        yield utc(int(hours[order[start]]) * HOUR_US), table.take(pa.array(order[start:stop]))


def _by_aircraft(table: pa.Table) -> pa.Table:
    return table.sort_by([("icao24", "ascending"), ("timestamp", "ascending")])


def _numbered(positions: pa.Table, seq: int) -> pa.Table:
    columns = {f.name: positions[f.name] for f in STORED if f.name != "snapshot"}
    return pa.table({**columns, "snapshot": pa.repeat(pa.scalar(seq, pa.int64()), len(positions))}, schema=STORED)


def span(table: pa.Table) -> tuple[int, int]:
    ends = pc.min_max(table["timestamp"].cast(pa.int64())).as_py()
    return ends["min"] or 0, ends["max"] or 0


def _hour(time: datetime) -> datetime:
    return time.replace(minute=0, second=0, microsecond=0)


def _folder_hour(path: str) -> datetime:
    """The hour that a file's folders name."""
    *_, date, hour, _ = Path(path).parts
    return datetime.strptime(f"{date[5:]} {hour[5:]} +0000", "%Y-%m-%d %H %z").astimezone(UTC)


def _content(positions: pa.Table) -> str:
    """What tells two polls apart: everything but when we got it."""
    return hashlib.sha256(ipc_bytes(positions.drop_columns(["received"]))).hexdigest()
