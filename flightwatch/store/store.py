"""One store: opening it, its parts, imports, refusals, and the checkpoint."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from flightwatch.errors import StoreError
from flightwatch.records import Scope, Terms, micros, utc
from flightwatch.store import files
from flightwatch.store.catalog import HOUR_US, Catalog
from flightwatch.store.events import Events
from flightwatch.store.health import FeedHealth
from flightwatch.store.legs import Legs
from flightwatch.store.lock import WriterLock
from flightwatch.store.snapshots import HistoryFile, Snapshots

log = logging.getLogger(__name__)

KEPT_BODY = 64 * 1024
"""Of a reply that could not be used, this much is kept to look at."""

KEPT_REFUSALS = 1000
EVERYTHING = "*"

HOURS_OF_A_DAY = 20
"""A day counts as watched when there is something of this many of its hours: an outage of an evening hides flights."""

WHOEVER_IS_IN_IT = Scope("aircraft")
"""The scope of an import that holds all that its aircraft did in its time."""


FETCHED = "fetched"
"""The format of what is no file but a note that a feed has brought all that there is."""


@dataclass(frozen=True, slots=True)
class Import:
    """What one import brought: rows stored (legs of a flight list, else positions), and what was refused by reason. `new` is
    false where the very same one was there.

    `known` are the legs that other lists had brought already, `inside` the positions that stood in a flight list. `where`
    says of reasons which rows they are, `notes` what else whoever brought it should know.
    """

    name: str
    format: str
    rows: int
    refused: Mapping[str, int]
    new: bool
    known: int = 0
    inside: int = 0
    where: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def _covered_days(scope: Scope, hours: Sequence[datetime]) -> list[tuple[date, date]]:
    """The days that imported positions cover, given the hours that have any. A file of some aircraft has them only
    when they fly, and covers what lies between; in one of a whole sky an hour without a position was not recorded."""
    if not hours or scope.kind == "reported":
        return []
    if scope.kind == "aircraft":
        return [(hours[0].date(), hours[-1].date())]
    return [(day, day) for day, count in Counter(hour.date() for hour in hours).items() if count >= HOURS_OF_A_DAY]


@dataclass(frozen=True, slots=True)
class Covered:
    """Days on which a scope was recorded."""

    scope: Scope
    first: date
    last: date


class Store:
    """A store, opened. Writers hold its lock until `close`; `read_only` neither takes it nor changes anything."""

    def __init__(self, root: Path, *, read_only: bool = False) -> None:
        if read_only and not (root / "catalog.sqlite").exists():
            raise StoreError(f"there is no store in {root}: `flightwatch import` or `flightwatch run` makes one")
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self._lock = None if read_only else WriterLock(root)
        try:
            self.catalog = Catalog(root, read_only=read_only)
        except BaseException:
            self._release()
            raise
        if not read_only:
            files.sweep(root)
        self.snapshots = Snapshots(root, self.catalog)
        self.events = Events(self.catalog)
        self.legs = Legs(root, self.catalog, self.events)
        self.health = FeedHealth(self.catalog)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.catalog.close()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()

    # -------------------------------------------------------------------------------------------------------------- imports

    def imported(self, identity: str) -> Import | None:
        """The import with this identity (the digest of its content and options), if it was made."""
        row = self.catalog.db.execute(
            "SELECT name, format, rows, refused FROM imports WHERE identity = ?", (identity,)
        ).fetchone()
        return Import(row[0], row[1], row[2], json.loads(row[3]), new=False) if row else None

    def import_positions(
        self,
        identity: str,
        name: str,
        format: str,
        feed: str,
        scope: Scope,
        parts: Iterable[pa.Table],
        refused: Mapping[str, int],
        covered: Sequence[tuple[date, date]] | None = None,
    ) -> Import:
        """Stores positions, all of them or none. `refused` is read after the last part, so that it may be filled
        meanwhile. `covered` are the days that it covers, where somebody knows better than the positions tell."""
        written: list[HistoryFile] = []
        named = scope == WHOEVER_IS_IN_IT and covered is None
        members = set[str]()
        for number, part in enumerate(parts):
            written += self.snapshots.write_history(f"import-{identity[:12]}-{number:04d}", feed, part)
            members |= set(part["icao24"].unique().to_pylist()) if named else set()
        if named:
            scope = Scope("aircraft", tuple(sorted(members)))
        hours = sorted({file.hour for file in written})
        rows = sum(file.rows for file in written)
        with self.catalog.transaction():
            self.snapshots.register_history(feed, written)
            days = _covered_days(scope, hours) if covered is None else covered
            self._register_import(identity, name, format, feed, scope, rows, refused, hours, days)
        return Import(name, format, rows, dict(refused), new=True)

    def import_legs(
        self,
        identity: str,
        name: str,
        feed: str,
        scope: Scope,
        legs: pa.Table,
        refused: Mapping[str, int],
        format: str = "legs",
    ) -> Import:
        """Stores a flight list; rows that another list brought already are left out."""
        known = self.legs.known_listed()
        new = legs.filter(pa.array([leg_id not in known for leg_id in legs["leg_id"].to_pylist()], pa.bool_()))
        written = self.legs.write_list(f"list-{identity[:12]}", new) if len(new) else None
        days = [t for t in legs["takeoff_time"].to_pylist() + legs["landing_time"].to_pylist() if t is not None]
        with self.catalog.transaction():
            if written is not None:
                self.legs.register_list(written[0], new, written[1])
            covered = [(min(days).date(), max(days).date())] if days and scope.kind != "reported" else []
            self._register_import(identity, name, format, feed, scope, len(new), refused, days, covered)
            if written is not None:
                self._limit(identity, feed, written[0])
        return Import(name, format, len(new), dict(refused), new=True, known=len(legs) - len(new))

    def _register_import(
        self,
        identity: str,
        name: str,
        format: str,
        feed: str,
        scope: Scope,
        rows: int,
        refused: Mapping[str, int],
        times: Sequence[datetime],
        covered: Sequence[tuple[date, date]],
    ) -> None:
        days = json.dumps([[first.isoformat(), last.isoformat()] for first, last in covered])
        self.catalog.db.execute(
            "INSERT INTO imports (identity, name, format, feed, scope, rows, refused, covered) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (identity, name, format, feed, scope.to_json(), rows, json.dumps(dict(refused)), days),
        )
        self.mark(EVERYTHING, min(times, default=datetime(1970, 1, 1, tzinfo=UTC)))

    def _limit(self, identity: str, feed: str, path: Path) -> None:
        """Notes until when a flight list may be kept, and days count as known by what was fetched, where its feed's terms say
        so; inside a transaction. Days count from the import, the first one of several: what is imported is old when it
        comes."""
        terms = self.terms().get(feed)
        if terms is not None and terms.retention_days is not None:
            until = micros(datetime.now(UTC) + timedelta(days=terms.retention_days))
            self.catalog.db.execute(
                "INSERT INTO limits VALUES (?, ?, ?)"
                " ON CONFLICT (path) DO UPDATE SET until_us = min(until_us, excluded.until_us)",
                (str(path), identity, until),
            )

    def covered(self) -> list[Covered]:
        """The days of imports and polls, by scope: those on which what was asked for would have been recorded."""
        out = self._days_of("SELECT scope, covered FROM imports WHERE covered != '[]'")
        polled = self.catalog.db.execute("SELECT scopes.scope, day, hours FROM polled JOIN scopes ON scopes.id = polled.scope")
        for scope, day, hours in polled:
            if hours.bit_count() >= HOURS_OF_A_DAY:
                when = utc(day * 24 * HOUR_US).date()
                out.append(Covered(Scope.from_json(scope), when, when))
        return out

    def cover(self, feed: str, aircraft: Sequence[str], first: date, last: date) -> None:
        """Notes that a feed has brought all that there is of some aircraft (of everybody, where none is named) from a
        first day to a last. One row holds all aircraft of the same days: there may be thousands of both."""
        kind = "aircraft" if aircraft else "world"
        identity = hashlib.sha256(f"covered|{feed}|{first}|{last}|{kind}".encode()).hexdigest()
        with self.catalog.transaction() as db:
            row = db.execute("SELECT scope FROM imports WHERE identity = ?", (identity,)).fetchone()
            before = Scope.from_json(row[0]).members if row else ()
            scope = Scope("aircraft", tuple(sorted({*before, *aircraft}))) if aircraft else Scope("world")
            db.execute("DELETE FROM imports WHERE identity = ?", (identity,))
            self._register_import(identity, f"{first} to {last}", FETCHED, feed, scope, 0, {}, (), [(first, last)])
            self._limit(identity, feed, Path(FETCHED, identity))

    def fetched(self, feed: str) -> list[Covered]:
        """What `cover` noted of a feed."""
        return self._days_of("SELECT scope, covered FROM imports WHERE feed = ? AND format = ?", feed, FETCHED)

    def _days_of(self, query: str, *values: str) -> list[Covered]:
        found: list[Covered] = []
        for scope, covered in self.catalog.db.execute(query, values):
            days = [(date.fromisoformat(first), date.fromisoformat(last)) for first, last in json.loads(covered)]
            found += [Covered(Scope.from_json(scope), first, last) for first, last in days]
        return found

    # -------------------------------------------------------------------------------------------------- what is to be derived

    def mark(self, aircraft: str, since: datetime) -> None:
        """Notes that the legs of an aircraft (or of all, `EVERYTHING`) have to be derived anew because data came for
        a time that is past."""
        self.catalog.db.execute(
            "INSERT INTO derive VALUES (?, ?, 1)"
            " ON CONFLICT (aircraft) DO UPDATE SET since_us = min(since_us, excluded.since_us), legs_due = 1",
            (aircraft, micros(since)),
        )

    def marked(self) -> dict[str, datetime]:
        """What live has not taken in yet."""
        return {aircraft: utc(since) for aircraft, since in self.catalog.db.execute("SELECT aircraft, since_us FROM derive")}

    def unmark(self, aircraft: Iterable[str]) -> None:
        self.catalog.db.executemany("DELETE FROM derive WHERE aircraft = ?", [(a,) for a in aircraft])

    def legs_due(self) -> bool:
        """Whether the stored legs lack something that is marked."""
        return self.catalog.db.execute("SELECT 1 FROM derive WHERE legs_due = 1").fetchone() is not None

    def legs_done(self) -> None:
        """Notes that the stored legs have all that is marked; live may still have to take it in."""
        self.catalog.db.execute("UPDATE derive SET legs_due = 0")

    # ----------------------------------------------------------------------------------------------------- feeds, refusals

    def set_terms(self, feed: str, terms: Terms) -> None:
        """Keeps what a source demands, and whether it is real; what was said last holds."""
        self.catalog.db.execute(
            "INSERT OR REPLACE INTO feeds VALUES (?, ?, ?, ?, ?)",
            (feed, terms.attribution, terms.retention_days, int(terms.republish), int(terms.reconstructed)),
        )

    def terms(self) -> dict[str, Terms]:
        rows = self.catalog.db.execute("SELECT name, attribution, retention_days, republish, reconstructed FROM feeds")
        return {
            name: Terms(text, days, bool(republish), bool(reconstructed)) for name, text, days, republish, reconstructed in rows
        }

    def fleeting(self) -> frozenset[str]:
        """The feeds whose positions nobody may keep for longer than some days."""
        return frozenset(feed for feed, terms in self.terms().items() if terms.retention_days is not None)

    def terms_of(self, feeds: Iterable[str]) -> dict[str, Terms]:
        """What these feeds demand, by name."""
        known = self.terms()
        return {feed: known[feed] for feed in sorted(set(feeds)) if feed in known}

    def keep_terms(self, now: datetime) -> int:
        """Deletes what feeds' terms let nobody keep any longer: positions and events of them, flight lists, downloads, and
        replies that could not be used.
        `now` is the wall clock's time, also while no feed sends anything. Returns how many files of positions and lists
        that were."""
        terms = self.terms()
        retired = self.snapshots.expire(now, terms) + self._expire_lists(now)
        self.snapshots.remove_retired(now)
        for feed, term in terms.items():
            if term.retention_days is not None:
                self._forget_bodies(feed, now - timedelta(days=term.retention_days))
                self._forget_downloads(feed, now - timedelta(days=term.retention_days))
                self.events.forget(now - timedelta(days=term.retention_days), feed)
        return retired

    def _expire_lists(self, now: datetime) -> int:
        """Retires the flight lists that nobody may keep any longer; returns how many. With them goes what they covered, or
        the days of a list that is gone would count as days without a flight."""
        rows = self.catalog.db.execute("SELECT path, identity FROM limits WHERE until_us <= ?", (micros(now),)).fetchall()
        with self.catalog.transaction() as db:
            retire = "UPDATE files SET retired_us = ? WHERE path = ?"
            retired = db.executemany(retire, [(micros(now), path) for path, _ in rows]).rowcount
            db.executemany("DELETE FROM imports WHERE identity = ?", {(identity,) for _, identity in rows})
            db.executemany("DELETE FROM limits WHERE path = ?", [(path,) for path, _ in rows])
        return retired

    def _forget_bodies(self, feed: str, before: datetime) -> None:
        kept = self.catalog.db.execute(
            "SELECT id, kept FROM refusals WHERE feed = ? AND time_us <= ? AND kept IS NOT NULL", (feed, micros(before))
        ).fetchall()
        for number, path in kept:
            (self.root / path).unlink(missing_ok=True)
            self.catalog.db.execute("UPDATE refusals SET kept = NULL WHERE id = ?", (number,))

    def _forget_downloads(self, feed: str, before: datetime) -> None:
        """What was fetched and never imported, because that was stopped and nobody went on with it."""
        for path in (self.root / FETCHED / feed).glob("*/*"):
            if path.stat().st_mtime <= before.timestamp():
                path.unlink()

    def made_up(self) -> frozenset[str]:
        """The feeds that nobody observed."""
        return frozenset(name for name, terms in self.terms().items() if terms.reconstructed)

    def refuse(self, time: datetime, feed: str, reason: str, message: str, body: bytes) -> None:
        """Keeps a reply that could not be used: why, and how it began."""
        kept = None
        if body:
            path = Path("refused") / f"{time:%Y%m%dT%H%M%S.%f}-{feed}-{reason}.body"
            files.write_bytes(self.root / path, body[:KEPT_BODY])
            kept = str(path)
        self.catalog.db.execute(
            "INSERT INTO refusals (time_us, feed, reason, message, kept) VALUES (?, ?, ?, ?, ?)",
            (micros(time), feed, reason, message[:500], kept),
        )
        self._forget_old_refusals()

    def _forget_old_refusals(self) -> None:
        oldest = self.catalog.db.execute(
            "SELECT id, kept FROM refusals ORDER BY id DESC LIMIT -1 OFFSET ?", (KEPT_REFUSALS,)
        ).fetchall()
        for number, kept in oldest:
            if kept:
                (self.root / kept).unlink(missing_ok=True)
            self.catalog.db.execute("DELETE FROM refusals WHERE id = ?", (number,))

    def refused(self, since: datetime, until: datetime) -> dict[tuple[str, str], int]:
        """Replies that could not be used in a span of time, by feed and reason."""
        rows = self.catalog.db.execute(
            "SELECT feed, reason, count(*) FROM refusals WHERE time_us > ? AND time_us <= ? GROUP BY feed, reason",
            (micros(since), micros(until)),
        )
        return {(feed, reason): count for feed, reason, count in rows}

    # ----------------------------------------------------------------------------------------------------------- checkpoint

    def save_checkpoint(self, state: bytes, idle: Mapping[int, bytes] | None = None) -> None:
        """Keeps the state of the pipeline, and with it the parts of aircraft that it no longer holds; all of it, or
        nothing. Without `idle` the state holds every aircraft."""
        with self.catalog.transaction() as db:
            db.execute("INSERT OR REPLACE INTO checkpoint VALUES (1, ?)", (state,))
            if idle is None:
                db.execute("DELETE FROM idle")
            else:
                db.executemany("INSERT OR REPLACE INTO idle VALUES (?, ?)", idle.items())

    def load_checkpoint(self) -> bytes | None:
        row = self.catalog.db.execute("SELECT state FROM checkpoint").fetchone()
        return None if row is None else bytes(row[0])

    def idle(self, aircraft: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        """The parts of those of these aircraft that were put aside. They stay where they are: the checkpoint before the
        next one still needs them."""
        for number in aircraft:
            row = self.catalog.db.execute("SELECT part FROM idle WHERE aircraft = ?", (number,)).fetchone()
            if row is not None:
                yield number, bytes(row[0])

    def drop_checkpoint(self) -> None:
        with self.catalog.transaction() as db:
            db.execute("DELETE FROM checkpoint")
            db.execute("DELETE FROM idle")
