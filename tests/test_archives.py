"""Day archives of traces: read as a stream, in parts or whole, kept batch by batch, and never twice."""

from __future__ import annotations

import contextlib
import gzip
import random
import tracemalloc
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from flightwatch.errors import InputError
from flightwatch.feeds import archives
from flightwatch.feeds.archives import grouped
from flightwatch.imports import How, files_of, import_files
from flightwatch.store import Import, Store
from tests.conftest import T0
from tests.samples import day_archive, tar, trace

ADDRESSES = [f"15{n:04x}" for n in range(40)]
ROWS = 4
"""Of each trace."""


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some six traces in a batch, as if the archive were large."""
    monkeypatch.setattr(archives, "BATCH", 2000)


def archive(folder: Path, data: bytes | None = None, pieces: int = 1) -> Path:
    """An archive as it is published: whole, or cut into parts. The first file of it."""
    data = day_archive(ADDRESSES) if data is None else data
    if pieces == 1:
        path = folder / "v2024.03.01-planes-readsb-prod-0.tar"
        path.write_bytes(data)
        return path
    size = len(data) // pieces + 1
    paths = [folder / f"v2024.03.01-planes-readsb-prod-0.tar.a{chr(97 + n)}" for n in range(pieces)]
    for n, path in enumerate(paths):
        path.write_bytes(data[n * size : (n + 1) * size])
    return paths[0]


def brought(store: Store, *paths: Path, **how: Any) -> Import:
    (parts,) = files_of(paths)
    return import_files(store, parts, How(**how))


def batches_in(store: Store) -> int:
    return int(store.catalog.db.execute("SELECT count(*) FROM imports WHERE rows > 0").fetchone()[0])


def test_a_day_is_imported_from_its_archive(tmp_path: Path, store: Store) -> None:
    done = brought(store, archive(tmp_path))
    assert (done.format, done.rows, dict(done.refused)) == ("globe-history", ROWS * len(ADDRESSES), {})
    assert set(store.snapshots.positions()["icao24"].to_pylist()) == set(ADDRESSES)
    assert batches_in(store) > 3


@pytest.mark.parametrize("given", ["first", "all", "another"])
def test_parts_are_one_archive_however_they_are_given(given: str, tmp_path: Path, store: Store) -> None:
    first = archive(tmp_path, pieces=3)
    parts = sorted(tmp_path.glob("*.tar.a?"))
    assert len(parts) == 3
    done = brought(store, *{"first": [first], "all": parts, "another": parts[1:2]}[given])
    assert done.rows == ROWS * len(ADDRESSES)


def test_the_whole_and_its_parts_are_the_same_import(tmp_path: Path, store: Store) -> None:
    brought(store, archive(tmp_path))
    (tmp_path / "parts").mkdir()
    again = brought(store, archive(tmp_path / "parts", pieces=4))
    assert (again.new, store.snapshots.rows()) == (False, ROWS * len(ADDRESSES))


def test_an_archive_that_is_packed_as_a_whole_is_no_part(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "day.tar.gz"
    path.write_bytes(gzip.compress(day_archive(ADDRESSES)))
    assert brought(store, path).rows == ROWS * len(ADDRESSES)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(InputError, match="damaged"):
        brought(store, path)


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    first = archive(tmp_path, pieces=3)
    (tmp_path / f"{first.name[:-1]}b").unlink()
    with pytest.raises(InputError, match=r"tar\.ab is missing"):
        grouped([first])


class Interrupted(Exception):
    pass


def test_what_was_interrupted_goes_on_where_it_stopped(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between or inside batches, run again: every row once, and what was kept is not read again."""
    path, read = archive(tmp_path), archives.read
    seen: list[str] = []

    def dying(batch: archives.Batch, refused: dict[str, int]) -> Any:
        seen.append(batch.digest)
        if len(seen) == 4:
            raise Interrupted
        return read(batch, refused)

    monkeypatch.setattr(archives, "read", dying)
    with pytest.raises(Interrupted):
        brought(store, path)
    assert (batches_in(store), len(store.covered())) == (3, 0)
    done = brought(store, path, scope="world")
    twice = {digest for digest in seen if seen.count(digest) > 1}
    assert (twice, len(seen)) == ({seen[3], seen[0]}, len(set(seen)) + 2), "the one that died, and the first, for its day"
    assert (done.rows, store.snapshots.rows()) == (ROWS * len(ADDRESSES), ROWS * len(ADDRESSES))


def test_only_those_that_are_asked_for(tmp_path: Path, store: Store) -> None:
    """By address or registration; the day is covered for them, with a trace or without."""
    done = brought(store, archive(tmp_path), aircraft=("150007", "RA-86559"))
    assert (done.rows, set(store.snapshots.positions()["icao24"].to_pylist())) == (ROWS, {"150007"})
    (covered,) = store.covered()
    assert (covered.scope.members, covered.first, covered.last) == (("150007", "15521f"), T0.date(), T0.date())


def test_an_aircraft_of_which_no_address_follows_is_named(tmp_path: Path, store: Store) -> None:
    with pytest.raises(InputError, match="G-CIVO"):
        brought(store, archive(tmp_path), aircraft=("G-CIVO",))


def test_a_whole_sky_is_covered_when_all_of_it_is_in(tmp_path: Path, store: Store) -> None:
    brought(store, archive(tmp_path), scope="world")
    (covered,) = store.covered()
    assert (covered.scope.kind, covered.first, covered.last) == ("world", date(2024, 3, 1), date(2024, 3, 1))
    brought(store, archive(tmp_path), scope="world")
    assert len(store.covered()) == 1


@pytest.mark.parametrize("how", [{"scope": "world"}, {"aircraft": ("150000", "15ffff")}])
def test_a_trace_that_begins_the_evening_before_moves_no_day(how: dict[str, Any], tmp_path: Path, store: Store) -> None:
    """Nor one with most of its positions there, nor one without any: the day is that of most positions of all of them."""
    late, after = [82800.0, 55.9, 38.1, 1200, 171.9], [90000.0, 56.9, 38.4, 9000, 430.0]
    evening = T0.timestamp() - 36 * 3600
    traces = {"150000": trace("150000", [late, [83000.0, *late[1:]], after], timestamp=evening), "150001": trace("150001", [])}
    traces |= {address: trace(address) for address in ADDRESSES[2:5]}
    members = {f"traces/{a[-2:]}/trace_full_{a}.json": gzip.compress(body, mtime=0) for a, body in traces.items()}
    brought(store, archive(tmp_path, tar(members)), **how)
    (covered,) = store.covered()
    assert (covered.first, covered.last) == (T0.date(), T0.date())


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.77, 0.9])
def test_an_archive_that_is_cut_off_keeps_what_came_before_and_says_so(kept: float, tmp_path: Path, store: Store) -> None:
    data = day_archive(ADDRESSES)
    end = len(data.rstrip(b"\x00"))
    path = archive(tmp_path, data[: int(end * kept)])
    with pytest.raises(InputError, match="cut off") as told:
        brought(store, path, scope="world")
    assert "\n" not in str(told.value)
    assert store.snapshots.rows() % ROWS == 0
    assert store.covered() == []
    path.write_bytes(data)
    assert brought(store, path).rows == store.snapshots.rows() == ROWS * len(ADDRESSES)


def test_an_archive_that_ends_between_two_traces_is_not_taken_for_whole(tmp_path: Path, store: Store) -> None:
    data = day_archive(ADDRESSES)
    last = data.rfind(b"./traces/")
    with pytest.raises(InputError, match="end is missing"):
        brought(store, archive(tmp_path, data[:last]))


def test_traces_that_are_none_spoil_no_other(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LARGEST_MEMBER", 4000)
    packed = gzip.compress(trace("15521f"))
    members = {
        "traces/1f/trace_full_15521f.json": packed,
        "traces/20/trace_full_155220.json": packed[:-20],
        "traces/21/trace_full_155221.json": b"<html>not found</html>",
        "traces/22/trace_full_155222.json": b" " * 5000,
        "traces/23/trace_recent_155223.json": packed,
    }
    done = brought(store, archive(tmp_path, tar(members)))
    assert (done.rows, dict(done.refused)) == (ROWS, {"bad_trace": 2, "too_large": 1})


def test_a_trace_that_unpacks_without_end_is_refused(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LARGEST_TRACE", 1 << 20)
    bomb = gzip.compress(b" " * (20 << 20))
    done = brought(store, archive(tmp_path, tar({"traces/1f/trace_full_15521f.json": bomb})))
    assert (done.rows, dict(done.refused)) == (0, {"bad_trace": 1})


def test_memory_does_not_grow_with_the_archive(tmp_path: Path) -> None:
    """Four times the traces take no more memory, names included."""

    def peak(count: int) -> int:
        path = archive(tmp_path, day_archive([f"15{n:04x}" for n in range(count)]))
        tracemalloc.start()
        try:
            for batch in archives.batches([path]):
                list(archives.read(batch, {}))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    small, large = peak(150), peak(600)
    assert large < 1.5 * small


def test_any_bytes_of_an_archive_are_batches_or_a_refusal(tmp_path: Path) -> None:
    lot, original = random.Random(5), day_archive(ADDRESSES[:4])
    path = tmp_path / "x.tar"
    for _ in range(600):
        data = bytearray(original)
        for _ in range(lot.randint(1, 8)):
            data[lot.randrange(len(data))] = lot.randrange(256)
        path.write_bytes(data[: lot.randrange(len(data))] if lot.random() < 0.3 else data)
        with contextlib.suppress(InputError):
            for batch in archives.batches([path]):
                list(archives.read(batch, {}))


# ---------------------------------------------------------------------------------------------------------------------- folders


def test_a_folder_is_its_files_in_order_of_name(tmp_path: Path, store: Store) -> None:
    inside = tmp_path / "traces" / "1f"
    inside.mkdir(parents=True)
    for address in ("15521f", "15531f"):
        (inside / f"trace_full_{address}.json").write_bytes(gzip.compress(trace(address)))
    (inside / ".hidden").write_text("nobody's")
    groups = files_of([tmp_path / "traces"])
    assert [parts[0].name for parts in groups] == ["trace_full_15521f.json", "trace_full_15531f.json"]
    assert [import_files(store, parts, How()).rows for parts in groups] == [ROWS, ROWS]


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="empty"):
        files_of([tmp_path])


def test_aircraft_are_chosen_from_archives_alone(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(trace())
    with pytest.raises(InputError, match="--aircraft"):
        brought(store, path, aircraft=("15521f",))
