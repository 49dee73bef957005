"""A new catalog from the files, after the old one was damaged or lost.

Files describe themselves: their folders name feed and hour, and files with snapshots carry the snapshots' times,
scopes and refusals in their metadata. What stood in the old catalog alone (the last small polls, legs that could
still change) is gone; legs are derived again from the positions.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from flightwatch.errors import Damaged, StoreError
from flightwatch.records import Scope, micros
from flightwatch.store import files
from flightwatch.store.catalog import Catalog
from flightwatch.store.lock import WriterLock
from flightwatch.store.snapshots import SNAPSHOTS_KEY
from flightwatch.store.snapshots import span as positions_span


def rebuild_catalog(root: Path) -> list[str]:
    """Puts the old catalog aside and makes a new one; returns what was done, a line each."""
    if not root.is_dir():
        raise StoreError(f"there is no store in {root}")
    lock = WriterLock(root)
    try:
        told = _put_aside(root)
        catalog = Catalog(root)
        try:
            for kind in ("history", "live", "legs"):  # an hour that was compacted stands in both for a while
                told.append(_register_all(root, kind, catalog))
            told.append("which days imports cover stood in the old catalog: import those files again, nothing is stored twice")
        finally:
            catalog.close()
        return told
    finally:
        lock.release()


def _put_aside(root: Path) -> list[str]:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    told = []
    for name in ("catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"):
        path = root / name
        if path.exists():
            path.rename(path.with_name(f"{name}.{stamp}.old"))
            told.append(f"{name} was put aside as {name}.{stamp}.old")
    return told


def _register_all(root: Path, kind: str, catalog: Catalog) -> str:
    good = bad = 0
    for path in sorted((root / kind).rglob("*.parquet")):
        try:
            _register(root, path, kind, catalog)
            good += 1
        except Damaged:
            bad += 1
    return f"{kind}/: {good} files taken in" + (f", {bad} damaged ones left out" if bad else "")


def _register(root: Path, path: Path, kind: str, catalog: Catalog) -> None:
    table = files.read_parquet(path)
    entries = json.loads((table.schema.metadata or {}).get(SNAPSHOTS_KEY, b"[]"))
    if kind == "live" and all(_is_known(int(entry["seq"]), catalog) for entry in entries):
        return
    data = path.read_bytes()
    written = files.Written(len(data), files.footer_digest(data))
    feed = next((part.removeprefix("feed=") for part in path.parts if part.startswith("feed=")), None)
    name = str(path.relative_to(root))
    span = _leg_span(table) if kind == "legs" else positions_span(table)
    with catalog.transaction():
        catalog.register(path.relative_to(root), kind, feed, span, len(table), written)
        for entry in entries:
            _restore_snapshot(entry, feed or "", name, catalog)


def _is_known(seq: int, catalog: Catalog) -> bool:
    return catalog.db.execute("SELECT 1 FROM snapshots WHERE seq = ?", (seq,)).fetchone() is not None


def _leg_span(table: pa.Table) -> tuple[int, int]:
    times = [t for t in table["takeoff_time"].to_pylist() + table["first_seen"].to_pylist() if t is not None]
    return (micros(min(times)), micros(max(times))) if times else (0, 0)


def _restore_snapshot(entry: dict[str, object], feed: str, path: str, catalog: Catalog) -> None:
    scope = Scope(entry["scope"]["kind"], tuple(entry["scope"]["members"])).to_json()  # type: ignore[index]  # as `Snapshots` wrote it
    catalog.db.execute("INSERT OR IGNORE INTO scopes (scope) VALUES (?)", (scope,))
    catalog.note_poll(scope, int(entry["feed_time_us"]))  # type: ignore[call-overload]  # a number, as `Snapshots` wrote it
    catalog.db.execute(
        "INSERT OR IGNORE INTO snapshots (seq, feed, feed_time_us, received_us, scope, rows, refused, content, path)"
        " SELECT ?, ?, ?, ?, id, ?, ?, ?, ? FROM scopes WHERE scope = ?",
        (
            entry["seq"],
            feed,
            entry["feed_time_us"],
            entry["received_us"],
            entry["rows"],
            json.dumps(entry["refused"]),
            entry["content"],
            path,
            scope,
        ),
    )
