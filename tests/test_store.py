"""The store: what was committed is there, whole, once; what is damaged says so; one process writes."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightwatch.errors import Damaged, StoreBusy, StoreError
from flightwatch.records import POSITIONS, Scope, Snapshot, Terms
from flightwatch.store import Store, files, rebuild_catalog
from flightwatch.store.snapshots import BATCH_ROWS, BATCH_SPAN
from tests.conftest import T0, positions
from tests.examples import tries

WORLD = Scope("world")


def poll(at: float, count: int = 3, feed: str = "test", first: int = 0) -> Snapshot:
    """A snapshot of some aircraft, `at` seconds after `T0`."""
    rows: list[dict[str, object]] = [
        {"at": at - n % 5, "icao24": f"{first + n:06x}", "latitude": 10 + n % 70, "longitude": 20.0, "onground": False}
        for n in range(count)
    ]
    time = T0 + timedelta(seconds=at)
    return Snapshot(feed, time, time, WORLD, positions(rows, feed), {"no_position": 2})


def contents(store: Store) -> list[tuple[object, ...]]:
    """Every stored position, in an order of its own."""
    table = store.snapshots.positions()
    return sorted(zip(table["timestamp"].to_pylist(), table["icao24"].to_pylist(), table["feed"].to_pylist(), strict=True))


def copies(root: Path) -> list[Path]:
    return sorted(p.relative_to(root) for p in root.rglob("*.parquet"))


# ------------------------------------------------------------------------------------------------------------------- snapshots


def test_what_was_committed_is_there_after_any_way_to_stop(tmp_path: Path) -> None:
    """Without `close`, as after a kill: the pending polls are in the catalog."""
    first = Store(tmp_path)
    numbers = [first.snapshots.append(poll(60.0 * i)) for i in range(5)]
    before = contents(first)
    first._release()  # as the system does for a dead process
    with Store(tmp_path) as again:
        assert contents(again) == before
        assert [seq for seq, _ in again.snapshots.after(0)] == numbers
        assert [snapshot.refused for _, snapshot in again.snapshots.after(3)] == [{"no_position": 2}] * 2


def test_the_same_reply_is_stored_once_and_another_of_the_same_second_twice(store: Store) -> None:
    assert store.snapshots.append(poll(0)) == 1
    assert store.snapshots.append(poll(0)) is None
    later = poll(0)
    assert store.snapshots.append(replace(later, received=later.received + timedelta(seconds=9))) is None
    assert store.snapshots.append(poll(0, count=4)) is not None
    assert len(contents(store)) == 7


def test_snapshots_come_back_as_they_went_in(store: Store) -> None:
    sent = [poll(i * 300.0, count=1 + i) for i in range(9)] + [poll(40.0, feed="other")]
    for snapshot in sent:
        store.snapshots.append(snapshot)
    back = [snapshot for _, snapshot in store.snapshots.after(0)]
    assert [(s.feed, s.feed_time, s.scope, dict(s.refused)) for s in back] == [
        (s.feed, s.feed_time, s.scope, dict(s.refused)) for s in sent
    ]
    assert all(a.positions.equals(b.positions.select(POSITIONS.names).cast(POSITIONS)) for a, b in zip(back, sent, strict=True))


def test_small_polls_are_batched_and_large_ones_get_a_file_at_once(store: Store) -> None:
    for i in range(5):
        store.snapshots.append(poll(60.0 * i))
    assert copies(store.root) == []
    store.snapshots.append(poll(BATCH_SPAN.total_seconds()))
    assert len(copies(store.root)) == 1
    store.snapshots.append(poll(BATCH_SPAN.total_seconds() + 60, count=BATCH_ROWS))
    assert len(copies(store.root)) == 2


def test_an_hour_ends_its_file(store: Store) -> None:
    store.snapshots.append(poll(3540))
    store.snapshots.append(poll(3660))
    store.snapshots.flush_all()
    folders = {str(p.parent) for p in copies(store.root)}
    assert folders == {f"live/feed=test/date=2024-03-01/hour={hour}" for hour in (12, 13)}


def test_compaction_changes_no_row_and_is_sorted_by_aircraft(store: Store) -> None:
    for i in range(60):
        store.snapshots.append(poll(60.0 * i, feed="a" if i % 2 else "b"))
    store.snapshots.flush_all()
    before, snapshots = contents(store), [(n, s.feed_time, len(s.positions)) for n, s in store.snapshots.after(0)]
    later = T0 + timedelta(hours=3)
    assert store.snapshots.compact(later) == 2
    assert contents(store) == before
    assert [(n, s.feed_time, len(s.positions)) for n, s in store.snapshots.after(0)] == snapshots
    old = len([p for p in copies(store.root) if p.parts[0] == "live"])
    assert old > 2, "who is reading them can go on"
    store.snapshots.remove_retired(later + timedelta(hours=2))
    assert [p.parts[0] for p in copies(store.root)] == ["history", "history"]
    assert contents(store) == before
    (one, _) = [files.read_parquet(store.root / p) for p in copies(store.root)]
    assert one["icao24"].to_pylist() == sorted(one["icao24"].to_pylist())
    assert store.snapshots.compact(later + timedelta(hours=2)) == 0


def test_batches_hold_every_position_once_and_of_a_large_hour_some_aircraft_after_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many positions an hour has, few are in memory at a time, and those of one aircraft and hour stay together."""
    monkeypatch.setattr(files, "ROW_GROUP", 4)
    rows = [
        {"at": minute * 60, "icao24": f"{number:06x}", "latitude": 50.0, "longitude": 9.0 + minute / 9}
        for number in range(5)
        for minute in range(3 + number)
    ]
    for feed in ("one", "two"):
        store.snapshots.register_history(feed, store.snapshots.write_history("a", feed, positions(rows)))
    store.snapshots.append(Snapshot("one", T0, T0, Scope("world"), positions(rows[:2])))
    names = ["timestamp", "icao24", "longitude", "feed"]
    batches = [portion.read()[0].to_pylist() for portion in store.snapshots.portions(6, names)]
    whole = store.snapshots.positions().select(names).to_pylist()
    assert sorted(map(str, (row for batch in batches for row in batch))) == sorted(map(str, whole))
    *filed, _ = [{row["icao24"] for row in batch} for batch in batches]
    assert len(filed) > 2
    assert sum(map(len, filed)) == len(set.union(*filed))


def test_retention_is_the_shorter_of_the_store_s_and_the_feed_s(store: Store) -> None:
    for feed in ("free", "strict"):
        store.snapshots.append(poll(0, feed=feed))
        store.snapshots.append(poll(20 * 86400.0, feed=feed))
    store.snapshots.flush_all()
    terms = {"strict": Terms(retention_days=7)}
    now = T0 + timedelta(days=21)
    assert (store.snapshots.retain(now, 30), store.snapshots.expire(now, terms)) == (0, 1)
    assert [feed for _, _, feed in contents(store)].count("strict") == 3
    later = now + timedelta(days=20)
    assert (store.snapshots.retain(later, 30), store.snapshots.expire(later, terms)) == (1, 1)
    assert [feed for _, _, feed in contents(store)] == ["free"] * 3


def test_rows_of_some_hours_and_aircraft(store: Store) -> None:
    for i in range(6):
        store.snapshots.append(poll(1800.0 * i))
    some = store.snapshots.positions(T0 + timedelta(hours=1), T0 + timedelta(hours=2), ["000001"])
    assert set(some["icao24"].to_pylist()) == {"000001"}
    assert [t.hour for t in some["timestamp"].to_pylist()] == [13, 13]


def test_a_copied_store_is_the_same_store(tmp_path: Path) -> None:
    with Store(tmp_path / "a") as store:
        for i in range(20):
            store.snapshots.append(poll(120.0 * i))
        before = contents(store)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    shutil.rmtree(tmp_path / "a")
    with Store(tmp_path / "b", read_only=True) as copied:
        assert contents(copied) == before


# --------------------------------------------------------------------------------------------------------------- who may write


def test_a_second_writer_is_refused_with_the_holder_s_name(store: Store) -> None:
    code = "import sys; from pathlib import Path; from flightwatch.store import Store; Store(Path(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, store.root], capture_output=True, text=True, check=False)
    assert "StoreBusy" in done.stderr
    assert f"is being written by pid {os.getpid()} on " in done.stderr
    with pytest.raises(StoreBusy):
        Store(store.root)


def test_readers_need_no_lock_and_change_nothing(store: Store) -> None:
    store.snapshots.append(poll(0))
    with Store(store.root, read_only=True) as reader:
        assert contents(reader) == contents(store)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.mark("*", T0)


def test_reading_where_there_is_no_store_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="flightwatch import"):
        Store(tmp_path / "none", read_only=True)
    assert not (tmp_path / "none").exists()


def test_a_store_of_another_version_is_not_touched(tmp_path: Path) -> None:
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / "catalog.sqlite") as db:
        db.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    with pytest.raises(StoreError, match="schema 99"):
        Store(tmp_path)


# -------------------------------------------------------------------------------------------------------------------- damage


@pytest.fixture
def filed(store: Store) -> Store:
    """A store with two files."""
    for at in (0, 3600):
        store.snapshots.append(poll(at, count=500))
    store.snapshots.flush_all()
    return store


def test_a_flipped_bit_is_never_read_as_a_value(filed: Store) -> None:
    """Whatever byte of the data is hit, the file reads as it was written or not at all."""
    path = filed.root / copies(filed.root)[0]
    good = path.read_bytes()
    expected, footer = files.read_parquet(path), files.footer_digest(good)
    outcomes = set()
    for place in range(0, len(good), 37):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x10]) + good[place + 1 :])
        try:
            outcomes.add(
                files.read_parquet(path, footer=footer)
                .replace_schema_metadata(None)
                .equals(expected.replace_schema_metadata(None))
            )
        except Damaged:
            outcomes.add(None)
    assert None in outcomes
    assert False not in outcomes


def test_a_damaged_file_is_named_and_the_rest_is_read(filed: Store, caplog: pytest.LogCaptureFixture) -> None:
    path = copies(filed.root)[0]
    (filed.root / path).write_bytes(b"PAR1" + os.urandom(300))
    assert len(contents(filed)) == 500
    assert path.name in caplog.text
    marked = filed.catalog.db.execute("SELECT path FROM files WHERE damaged = 1").fetchall()
    assert marked == [(str(path),)]


def test_a_missing_file_is_named_and_the_rest_is_read(filed: Store, caplog: pytest.LogCaptureFixture) -> None:
    path = copies(filed.root)[1]
    (filed.root / path).unlink()
    assert len(contents(filed)) == 500
    assert path.name in caplog.text


def test_half_written_files_of_a_dead_process_are_swept(tmp_path: Path) -> None:
    Store(tmp_path).close()
    left = tmp_path / "live" / "feed=test" / "x.parquet.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    Store(tmp_path).close()
    assert not left.exists()


def test_a_lost_catalog_is_made_again_from_the_files(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for i in range(40):
            store.snapshots.append(poll(100.0 * i))
        store.snapshots.flush_all()
        store.snapshots.compact(T0 + timedelta(hours=2, minutes=30))
        before = contents(store), [(n, s.feed_time, s.scope, dict(s.refused)) for n, s in store.snapshots.after(0)]
        store.snapshots.remove_retired(T0 + timedelta(hours=9))
    (tmp_path / "catalog.sqlite").write_bytes(b"\0" * 4096)
    with pytest.raises(Damaged, match="flightwatch rebuild"):
        Store(tmp_path)
    assert rebuild_catalog(tmp_path)[0].startswith("catalog.sqlite was put aside")
    with Store(tmp_path) as again:
        assert (contents(again), [(n, s.feed_time, s.scope, dict(s.refused)) for n, s in again.snapshots.after(0)]) == before


class Broken(OSError):
    """The disk, as a test wants it."""


@settings(max_examples=tries(25), deadline=None)
@given(failing=st.integers(1, 24))
def test_a_disk_that_fails_at_any_write_loses_nothing_that_was_acknowledged(
    failing: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The nth sync fails, as on a full disk; what `append` had returned for is there afterwards, and nothing twice."""
    root = tmp_path_factory.mktemp("store")
    calls = 0
    real: Callable[[int], None] = os.fsync

    def sync(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise Broken(28, "No space left on device")
        real(handle)

    acknowledged: list[datetime] = []
    with pytest.MonkeyPatch.context() as patch:
        store = Store(root)
        patch.setattr(os, "fsync", sync)
        for i in range(12):
            snapshot = poll(400.0 * i)
            try:
                if store.snapshots.append(snapshot) is not None:
                    acknowledged.append(snapshot.feed_time)
            except (Broken, StoreError):
                pass
        store.close()
    with Store(root) as again:
        found = [s.feed_time for _, s in again.snapshots.after(0)]
        assert set(acknowledged) <= set(found)
        assert len(set(found)) == len(found)
        rows = contents(again)
        assert len(rows) == len(set(rows)) == 3 * len(found)


# --------------------------------------------------------------------------------------------------------------------- refusals


def test_refused_replies_are_kept_to_look_at(store: Store) -> None:
    store.refuse(T0, "test", "not_json", "HTML instead of JSON", b"<html>" * 50_000)
    store.refuse(T0, "test", "timeout", "no answer", b"")
    assert store.refused(T0 - timedelta(seconds=1), T0) == {("test", "not_json"): 1, ("test", "timeout"): 1}
    (kept,) = (store.root / "refused").iterdir()
    assert kept.read_bytes() == (b"<html>" * 50_000)[: 64 * 1024]


def test_no_more_refusals_are_kept_than_fit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flightwatch.store.store.KEPT_REFUSALS", 5)
    for i in range(9):
        store.refuse(T0 + timedelta(seconds=i), "test", "html", "x", b"x")
    assert len(list((store.root / "refused").iterdir())) == 5
    assert store.refused(T0 - timedelta(days=1), T0 + timedelta(days=1)) == {("test", "html"): 5}


def test_positions_come_from_pending_and_files_alike(store: Store) -> None:
    store.snapshots.append(poll(0))
    store.snapshots.append(poll(BATCH_SPAN.total_seconds()))
    store.snapshots.append(poll(BATCH_SPAN.total_seconds() + 60))
    assert pc.count_distinct(store.snapshots.positions()["timestamp"]).as_py() == 9
