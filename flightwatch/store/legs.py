"""Legs on disk: those that may still change as rows of the catalog, settled ones and flight lists as Parquet in
legs/.

A leg is the same leg as long as its `leg_id` is; each change of what is said of it raises its revision. The catalog's
row of a leg comes before the one in a file. A row without a leg says that there is no such leg any more, because
better data made it part of another.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flightwatch.errors import Damaged
from flightwatch.records import LEGS, Leg, legs_from_table, legs_table, micros
from flightwatch.store import files
from flightwatch.store.catalog import Catalog
from flightwatch.store.events import Events
from flightwatch.store.files import ReadColumns

Ints = NDArray[np.int64]

log = logging.getLogger(__name__)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Leg).decode

SETTLED_AFTER_DAYS = 7
"""Legs older than this move from the catalog to a file."""


@dataclass(frozen=True)
class Piece:
    """Some stored legs: their numbers among all stored ones, and what reads columns of `LEGS`, with texts perhaps as
    dictionaries; a column that a file lacks is null."""

    numbers: Ints
    read: ReadColumns

    @classmethod
    def of(cls, first: int, read: ReadColumns, gone: pa.Array) -> Piece:
        """A piece of a file without the legs that are gone."""
        left = pc.invert(pc.is_in(read(["leg_id"])["leg_id"].cast(pa.string()), value_set=gone)) if len(gone) else None

        def read_left(names: Sequence[str]) -> pa.Table:
            table = read(names)
            missing = [f for f in LEGS if f.name in names and f.name not in table.column_names]
            for field in missing:
                table = table.append_column(field.name, pa.nulls(len(table), field.type))
            return (table if left is None else table.filter(left)).select(list(names))

        size = len(read(["revision"]))
        numbers = np.arange(first, first + size)
        return cls(numbers if left is None else numbers[np.asarray(left)], read_left)


class Legs:
    """The legs of a store."""

    def __init__(self, root: Path, catalog: Catalog, events: Events) -> None:
        self._root = root
        self._catalog = catalog
        self._events = events

    def put(self, legs: Iterable[Leg]) -> int:
        """Stores legs as they stand now, and their events; returns how many of them are new or changed."""
        if not (found := list(legs)):  # as after most polls
            return 0
        with self._catalog.transaction():
            return sum(self._put(leg) for leg in found)

    def _put(self, leg: Leg) -> bool:
        found = self._catalog.db.execute("SELECT revision, leg FROM legs WHERE leg_id = ?", (leg.leg_id,)).fetchone()
        revision = leg.revision if found is None else found[0] + 1
        if found is not None and found[1] is not None and _encode(replace(leg, revision=found[0])) == found[1]:
            return False
        leg = replace(leg, revision=revision)
        self._catalog.db.execute(
            "INSERT OR REPLACE INTO legs (leg_id, revision, aircraft, first_us, leg) VALUES (?, ?, ?, ?, ?)",
            (leg.leg_id, revision, leg.aircraft, _time(leg), _encode(leg)),
        )
        self._events.keep_of([leg])
        return True

    def keep_events(self, legs: Iterable[Leg]) -> None:
        """Keeps the events of legs that are stored as they are: they may have been lost with an old catalog."""
        with self._catalog.transaction():
            self._events.keep_of(legs)

    def withdraw(self, leg_ids: Iterable[str]) -> None:
        """Says that these legs do not exist."""
        leg_ids = list(leg_ids)
        with self._catalog.transaction() as db:
            self._events.withdraw_of(leg_ids)
            for leg_id in leg_ids:
                db.execute(
                    "INSERT INTO legs (leg_id, revision, aircraft, first_us) VALUES (?, 1, '', 0)"
                    " ON CONFLICT (leg_id) DO UPDATE SET leg = NULL",
                    (leg_id,),
                )

    def table(
        self, since: datetime | None = None, until: datetime | None = None, aircraft: Sequence[str] | None = None
    ) -> pa.Table:
        """Legs (columns of `LEGS`) in order of time; `aircraft` are addresses or registrations, `since` and `until`
        bound when they were under way."""
        return _ordered(_chosen(self._everything("legs"), since, until, aircraft))

    def frozen_table(self) -> pa.Table:
        """All legs as they stood when they were frozen last."""
        return self._everything("frozen_legs")

    def freeze(self, legs: Iterable[Leg], *, anew: bool = False) -> None:
        """Remembers legs as they went into the model of a day, beside those remembered before, or instead of them."""
        with self._catalog.transaction() as db:
            if anew:
                db.execute("DELETE FROM frozen_legs")
            db.executemany("INSERT OR REPLACE INTO frozen_legs VALUES (?, ?)", [(leg.leg_id, _encode(leg)) for leg in legs])

    def _everything(self, table: str) -> pa.Table:
        current, replaced = self._from_catalog(table)
        filed = self._from_files()
        filed = filed.filter(pc.invert(pc.is_in(filed["leg_id"], value_set=pa.array(replaced, pa.string()))))
        return pa.concat_tables([filed, legs_table(current)])

    def tracked_of(self, aircraft: Sequence[str]) -> list[Leg]:
        """The tracked legs of some addresses, in order."""
        table = self.table(aircraft=aircraft)
        return legs_from_table(table.filter(pc.equal(table["source"], "tracked")))

    def recent_of(self, aircraft: Iterable[str], since: datetime) -> list[Leg]:
        """The legs of some addresses that began at or after a time and are not in a file yet, in order for each: those of
        the last week, found without reading the others."""
        found = []
        for name in aircraft:
            found += self._catalog.db.execute(
                "SELECT leg FROM legs WHERE aircraft = ? AND first_us >= ? AND leg IS NOT NULL ORDER BY first_us, leg_id",
                (name, micros(since)),
            ).fetchall()
        return [_decode(data) for (data,) in found]

    def _from_catalog(self, table: str) -> tuple[list[Leg], list[str]]:
        rows = self._catalog.db.execute(f"SELECT leg_id, leg FROM {table}").fetchall()  # one of two names
        return [_decode(data) for _, data in rows if data is not None], [leg_id for leg_id, _ in rows]

    def _from_files(self) -> pa.Table:
        paths = self._catalog.db.execute(
            "SELECT path FROM files WHERE kind = 'legs' AND retired_us IS NULL ORDER BY path"
        ).fetchall()
        empty = LEGS.empty_table()
        return pa.concat_tables([empty, *[_whole(self._catalog.read(path, empty)) for (path,) in paths]])

    def count(self) -> int:
        """How many legs `pieces` has at most."""
        filed = "SELECT coalesce(sum(rows), 0) FROM files WHERE kind = 'legs' AND retired_us IS NULL"
        (rows,) = self._catalog.db.execute(f"SELECT ({filed}) + (SELECT count(leg) FROM legs)").fetchone()  # no word of others
        return int(rows)

    def pieces(self, wanted: Ints | None = None) -> Iterator[Piece]:
        """All stored legs, in pieces that fit into memory whatever the store holds, and always in the same order; those
        pieces alone that hold some rows, where these are given (their numbers, in order). Their columns are read when asked
        for. Damaged files are named and left out."""
        current, replaced = self._from_catalog("legs")
        gone = pa.array(replaced, pa.string())
        first = 0
        files_of_legs = self._catalog.db.execute(
            "SELECT path, rows FROM files WHERE kind = 'legs' AND retired_us IS NULL ORDER BY path"
        ).fetchall()
        for path, rows in files_of_legs:
            for begins, read in self._catalog.read_pieces(path, lambda a, b, at=first: _any_of(wanted, at + a, at + b)):  # type: ignore[misc]
                yield Piece.of(first + begins, read, gone)
            first += rows
        if _any_of(wanted, first, first + len(current)):
            table = legs_table(current)
            yield Piece(first + np.arange(len(current)), lambda names: table.select(list(names)))

    def rows(self, numbers: Ints, names: Sequence[str]) -> tuple[Ints, pa.Table]:
        """Some columns of the legs with some numbers (see `pieces`; in order), and which they are: what is damaged is named and
        left out."""
        schema = pa.schema([LEGS.field(name) for name in names])
        found, parts = [np.empty(0, np.int64)], [schema.empty_table()]
        for piece in self.pieces(numbers):
            mine = _among(piece.numbers, numbers)
            try:
                parts.append(piece.read(names).take(pa.array(mine)).cast(schema))
            except Damaged as error:
                log.error("%s", error)
            else:
                found.append(piece.numbers[mine])
        return np.concatenate(found), pa.concat_tables(parts).combine_chunks()

    def known_listed(self) -> set[str]:
        """The ids of the listed legs that are stored."""
        filed = self._from_files()
        return set(filed.filter(pc.equal(filed["source"], "listed"))["leg_id"].to_pylist())

    def write_list(self, name: str, legs: pa.Table) -> tuple[Path, files.Written]:
        """Writes a flight list; `register_list` commits it."""
        path = Path("legs") / f"{name}.parquet"
        return path, files.write_parquet(self._root / path, legs)

    def register_list(self, path: Path, legs: pa.Table, written: files.Written) -> None:
        """To be called inside a transaction of the catalog."""
        times = pc.min_max(pc.coalesce(legs["takeoff_time"], legs["first_seen"], legs["landing_time"]).cast(pa.int64())).as_py()
        self._catalog.register(path, "legs", None, (times["min"] or 0, times["max"] or 0), len(legs), written)

    def file_settled(self, before: datetime) -> int:
        """Moves legs that began before a time from the catalog to a file; returns how many. Corrections of legs that
        are filed already stay."""
        rows = self._catalog.db.execute(
            "SELECT leg_id, leg FROM legs WHERE first_us < ? AND leg IS NOT NULL AND filed = 0 ORDER BY first_us",
            (micros(before),),
        ).fetchall()
        if not rows:
            return 0
        known = set(self._from_files()["leg_id"].to_pylist())
        legs = [_decode(data) for leg_id, data in rows if leg_id not in known]
        new = legs_table(legs)
        if legs:
            path, written = self.write_list(f"tracked-{before:%Y%m%d}-{written_name(legs)}", new)
        with self._catalog.transaction() as db:
            db.executemany("UPDATE legs SET filed = 1 WHERE leg_id = ?", [(leg_id,) for leg_id, _ in rows])
            if legs:
                self.register_list(path, new, written)
            for table in ("legs", "frozen_legs"):
                db.executemany(f"DELETE FROM {table} WHERE leg_id = ?", [(leg.leg_id,) for leg in legs])  # two names
        return len(legs)


def _among(stored: Ints, wanted: Ints) -> Ints:
    """Where in some numbers, in order, those stand that are wanted; of these, which are in order, too, others may be more."""
    if not len(stored):
        return stored
    wanted = wanted[np.searchsorted(wanted, stored[0]) : np.searchsorted(wanted, stored[-1], side="right")]
    at = np.searchsorted(stored, wanted)
    return np.asarray(at[stored[at] == wanted])


def _any_of(wanted: Ints | None, first: int, end: int) -> bool:
    if wanted is None:
        return first < end
    return bool(np.searchsorted(wanted, first) < np.searchsorted(wanted, end))


def _whole(table: pa.Table) -> pa.Table:
    """A filed table with all the columns of today: those that it was written without are empty."""
    return pa.table([table[f.name] if f.name in table.column_names else pa.nulls(len(table), f.type) for f in LEGS], LEGS)


def written_name(legs: Sequence[Leg]) -> str:
    """A file name that no other set of legs has."""
    return f"{legs[0].leg_id}-{len(legs)}".replace("~", "_")


def _time(leg: Leg) -> int:
    return micros(next(t for t in (leg.first_seen, leg.origin.time, leg.destination.time) if t is not None))


def _chosen(table: pa.Table, since: datetime | None, until: datetime | None, aircraft: Sequence[str] | None) -> pa.Table:
    begins = pc.coalesce(table["first_seen"], table["takeoff_time"], table["landing_time"])
    ends = pc.coalesce(table["last_seen"], table["landing_time"], table["takeoff_time"])
    keep = pa.chunked_array([pa.repeat(pa.scalar(True), len(table))])
    if since is not None:
        keep = pc.and_(keep, pc.greater_equal(ends, pa.scalar(since, ends.type)))
    if until is not None:
        keep = pc.and_(keep, pc.less_equal(begins, pa.scalar(until, begins.type)))
    if aircraft is not None:
        names = pa.array([*{a.lower() for a in aircraft}, *{a.upper() for a in aircraft}], pa.string())
        keep = pc.and_(keep, pc.or_(pc.is_in(table["icao24"], value_set=names), pc.is_in(table["registration"], value_set=names)))
    return table.filter(keep)


def _ordered(table: pa.Table) -> pa.Table:
    """By departure; legs of one list and day in the list's order."""
    begins = pc.coalesce(table["takeoff_time"], table["first_seen"], table["landing_time"])
    order = pc.sort_indices(
        pa.table({"begins": begins, "order": pc.fill_null(table["list_order"], 0), "id": table["leg_id"]}),
        sort_keys=[("begins", "ascending"), ("order", "ascending"), ("id", "ascending")],
    )
    return table.take(order)
