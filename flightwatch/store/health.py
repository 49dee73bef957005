"""How feeds do, kept where other processes can read it: one row a query, one row an outage, both as MessagePack.

Written by the process that polls, whole each time. A store that was made before there were these tables has them after
it was opened for writing once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import datetime

import msgspec

from flightwatch.records import Outage, QueryHealth, micros
from flightwatch.store.catalog import Catalog

_encode = msgspec.msgpack.Encoder().encode
_decode_health = msgspec.msgpack.Decoder(QueryHealth).decode
_decode_outage = msgspec.msgpack.Decoder(Outage).decode


class FeedHealth:
    """The health of the feeds of a store."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def keep(self, queries: Iterable[QueryHealth]) -> None:
        """Keeps how all queries do; those that are not among them are not asked any more."""
        with self._catalog.transaction() as db:
            db.execute("DELETE FROM health")
            db.executemany("INSERT OR REPLACE INTO health VALUES (?, ?, ?)", [(h.feed, h.label, _encode(h)) for h in queries])

    def queries(self) -> list[QueryHealth]:
        return [_decode_health(row[0]) for row in self._rows("SELECT health FROM health ORDER BY rowid")]

    def note(self, outage: Outage) -> None:
        """Keeps an outage as it stands."""
        ended = None if outage.ended is None else micros(outage.ended)
        self._catalog.db.execute(
            "INSERT OR REPLACE INTO outages VALUES (?, ?, ?, ?)", (outage.subject, micros(outage.since), ended, _encode(outage))
        )

    def ongoing(self) -> list[Outage]:
        """Those that have not ended."""
        return [
            _decode_outage(row[0]) for row in self._rows("SELECT outage FROM outages WHERE ended_us IS NULL ORDER BY since_us")
        ]

    def outages(self, since: datetime, until: datetime) -> list[Outage]:
        """Those that lay, at least in part, in a span of time."""
        rows = self._rows(
            "SELECT outage FROM outages WHERE since_us <= ? AND coalesce(ended_us, ?) >= ? ORDER BY since_us",
            (micros(until), micros(until), micros(since)),
        )
        return [_decode_outage(row[0]) for row in rows]

    def forget(self, before: datetime) -> None:
        """Drops outages that ended long ago."""
        self._catalog.db.execute("DELETE FROM outages WHERE ended_us < ?", (micros(before),))

    def _rows(self, query: str, values: tuple[int, ...] = ()) -> list[tuple[bytes]]:
        try:
            return self._catalog.db.execute(query, values).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):  # an older store, opened for reading
                return []
            raise
