"""Events as they stand, one row each, as MessagePack: a new kind or a new piece of evidence needs no other table.

Written whole whenever they grow, so doing it again changes nothing. A store that was made before there were events has
the table after it was opened for writing once.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from flightwatch.records import Event, Leg, micros, utc
from flightwatch.store.catalog import Catalog

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Event).decode

PUT = "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?)"

ALWAYS = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))


class Events:
    """The events of a store."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def put(self, events: Iterable[Event]) -> None:
        """Keeps events as they stand now."""
        rows = list(map(_row, events))
        if rows:
            with self._catalog.transaction() as db:
                db.executemany(PUT, rows)

    def keep_of(self, legs: Iterable[Leg]) -> None:
        """Keeps the events of legs as they stand now, instead of those that these legs had before; to be called inside a
        transaction. The ids of a leg's events begin with its own."""
        for leg in legs:
            self.withdraw_of([leg.leg_id])
            self._catalog.db.executemany(PUT, map(_row, leg.events))

    def withdraw_of(self, leg_ids: Iterable[str]) -> None:
        """Drops all events of some legs."""
        spans = [(f"{leg_id}-", f"{leg_id}.") for leg_id in leg_ids]
        self._catalog.db.executemany("DELETE FROM events WHERE event_id > ? AND event_id < ?", spans)

    def withdraw(self, event_ids: Iterable[str]) -> None:
        """Drops events that better data do not bear out."""
        self._catalog.db.executemany("DELETE FROM events WHERE event_id = ?", [(e,) for e in event_ids])

    def replace(self, kind: str, events: Iterable[Event], since: datetime) -> None:
        """Keeps events of a kind instead of all those of it that began at or after a time."""
        with self._catalog.transaction() as db:
            db.execute("DELETE FROM events WHERE kind = ? AND since_us >= ?", (kind, micros(since)))
            db.executemany(PUT, map(_row, events))

    def between(
        self, since: datetime | None = None, until: datetime | None = None, aircraft: Collection[str] = ()
    ) -> list[Event]:
        """Those that lay, at least in part, in a span of time; all, or those of some addresses."""
        found = self._rows(
            "SELECT event FROM events WHERE since_us <= ? AND until_us >= ? ORDER BY since_us, event_id",
            (micros(until or ALWAYS[1]), micros(since or ALWAYS[0])),
        )
        events = [_decode(row[0]) for row in found]
        return [e for e in events if not aircraft or not set(aircraft).isdisjoint(e.aircraft)]

    def unseen(self) -> tuple[list[Event], int]:
        """The events that were put since somebody last looked, as they stand now, and up to where that goes; see `seen`."""
        upto = self.put_until()
        rows = self._catalog.db.execute(
            "SELECT event FROM events WHERE event_id IN (SELECT event_id FROM events_put WHERE number <= ?)"
            " ORDER BY since_us, event_id",
            (upto,),
        )
        return [_decode(row[0]) for row in rows.fetchall()], upto

    def put_until(self) -> int:
        """The number of the last event that was put and not looked at; 0 where there is none."""
        return int(self._catalog.db.execute("SELECT coalesce(max(number), 0) FROM events_put").fetchone()[0])

    def seen(self, upto: int) -> None:
        """Notes that what was put up to there has been looked at."""
        if upto:
            self._catalog.db.execute("DELETE FROM events_put WHERE number <= ?", (upto,))

    def of(self, event_ids: Iterable[str]) -> dict[str, Event]:
        """Those events of these ids that there are, by id."""
        found = (self._catalog.db.execute("SELECT event FROM events WHERE event_id = ?", (e,)).fetchone() for e in event_ids)
        events = [_decode(row[0]) for row in found if row is not None]
        return {event.event_id: event for event in events}

    def counts(self, kind: str, since: datetime, until: datetime) -> Counter[str]:
        """How many events of a kind there were in a span of time, by reason."""
        rows = self._rows(
            "SELECT reason, count(*) FROM events WHERE kind = ? AND since_us <= ? AND until_us >= ? GROUP BY reason",
            (kind, micros(until), micros(since)),
        )
        return Counter({str(reason): int(count) for reason, count in rows})

    def kinds(self, since: datetime, until: datetime) -> Counter[str]:
        """How many events there were in a span of time, by kind."""
        rows = self._rows(
            "SELECT kind, count(*) FROM events WHERE since_us <= ? AND until_us >= ? GROUP BY kind",
            (micros(until), micros(since)),
        )
        return Counter({str(kind): int(count) for kind, count in rows})

    def codes(self) -> dict[str, datetime]:
        """The codes of transponders that make events, each with the time since which what came in was searched for it."""
        return {str(code): utc(int(since_us)) for code, since_us in self._rows("SELECT code, since_us FROM codes", ())}

    def unsearched(self, codes: Iterable[str], since: datetime) -> dict[str, datetime | None]:
        """Those of some codes for which what came in was searched since a later time alone, or never (None)."""
        known = self.codes()
        return {code: known.get(code) for code in sorted(codes) if code not in known or known[code] > since}

    def look_for(self, codes: Collection[str], now: datetime) -> None:
        """Notes that these codes and no others make events from now on; what is searched for already goes on."""
        known = self.codes()
        with self._catalog.transaction() as db:
            db.executemany("DELETE FROM codes WHERE code = ?", [(code,) for code in known if code not in codes])
            db.executemany("INSERT OR IGNORE INTO codes VALUES (?, ?)", [(code, micros(now)) for code in codes])

    def looked_back(self, codes: Collection[str], since: datetime) -> None:
        """Notes that what is stored since a time was searched for these codes."""
        with self._catalog.transaction() as db:
            db.executemany(
                "INSERT INTO codes VALUES (?, ?) ON CONFLICT (code) DO UPDATE SET since_us = min(since_us, excluded.since_us)",
                [(code, micros(since)) for code in codes],
            )

    def forget(self, before: datetime, feed: str | None = None) -> None:
        """Drops events that ended long ago; all, or those that a feed tells of."""
        old = self.between(until=before)
        self.withdraw(e.event_id for e in old if e.until < before and (feed is None or feed in e.feeds))

    def _rows(self, query: str, values: tuple[int | str, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._catalog.db.execute(query, values).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):  # an older store, opened for reading
                return []
            raise


def _row(event: Event) -> tuple[str, str, str, int, int, bytes]:
    return event.event_id, event.kind, event.reason, micros(event.since), micros(event.until), _encode(event)
