"""Events: what becomes of suspect positions in a store, live and afterwards, and how people see them."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flightwatch import backfill
from flightwatch.alerts import AlertBook
from flightwatch.config import DigestSettings, Settings
from flightwatch.desk import Desk
from flightwatch.doctor import examine
from flightwatch.errors import InputError
from flightwatch.eventtables import show, write
from flightwatch.imports import import_file
from flightwatch.places import Airports
from flightwatch.rarity import Baseline
from flightwatch.records import Event, Scope, Snapshot, Terms, legs_from_table
from flightwatch.store import Store
from flightwatch.testing.clock import FakeClock
from flightwatch.testing.world import Flight, Sky
from tests.conftest import T0, Typed, positions
from tests.live_runs import POLL_S, Ledger, pipeline, poll_until, running, world
from tests.test_cleaning import at, cruising, in_time

BEGIN = datetime(2023, 9, 25, 12, 0, tzinfo=UTC)
STATE_TAIL = Flight("15521f", "RA-86559", "IL62", "RFF7237", "URSS", "UNNT", BEGIN + timedelta(minutes=10), military=True)
PYONGYANG = (39.2241, 125.67)


@dataclass(frozen=True)
class SpoofedSky(Sky):
    """A sky in which one aircraft seems to stand at Pyongyang for a while."""

    since_min: float = 60.0
    until_min: float = 120.0

    def entries(self, now: float) -> list[dict[str, object]]:
        told = super().entries(now)
        minutes = (now - BEGIN.timestamp()) / 60
        if self.since_min <= minutes < self.until_min:
            there = {"lat": PYONGYANG[0], "lon": PYONGYANG[1] + minutes / 1e5, "gs": 0.0, "alt_baro": "ground"}
            told = [entry | there if entry["hex"] == STATE_TAIL.icao24 else entry for entry in told]
        return told


def rows_of(events: list[Event]) -> dict[str, Event]:
    return {event.event_id: event for event in events}


@pytest.mark.parametrize("kills", [pytest.param([], marks=pytest.mark.slow), [18, 25]])
def test_spoofed_to_pyongyang_is_no_visit_and_one_event(kills: list[int], tmp_path: Path, airports: Airports) -> None:
    """Polled live, killed in the middle of it or not; and the same comes of what was stored."""
    flown = replace(world([STATE_TAIL], airports), holes=())
    sky, ledger, clock = SpoofedSky(flown, 60.0, shown_s=POLL_S), Ledger(), FakeClock(BEGIN)
    for polls in [*kills, 45]:
        with running(tmp_path / "store", sky, clock, ledger) as runner:
            poll_until(runner, clock, BEGIN + timedelta(seconds=POLL_S * polls))
            alive = rows_of(runner.store.events.between())
    assert len(ledger.sent) == 1, [(m.stage, m.headline, m.update, m.footer) for m in ledger.sent]
    (told,) = ledger.sent  # the shipped rule for such positions; no rule for visits
    assert told.headline == "Il-62 RA-86559 (Russian Air Force): positions that cannot be true"
    assert "Pyongyang" not in str(told)
    (event,) = alive.values()
    assert (event.reason, event.aircraft, event.feeds) == ("spoofed", ("15521f",), ("sky",))
    assert event.since == pytest.approx(BEGIN + timedelta(minutes=60), abs=timedelta(seconds=POLL_S))
    assert (event.count, event.south) == (15, pytest.approx(PYONGYANG[0]))
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    with Store(tmp_path / "copy") as store:
        store.catalog.db.execute("DELETE FROM events")
        for _ in range(2):  # the second time changes nothing
            backfill.derive(store, pipeline(store))
            assert rows_of(store.events.between()) == alive


def test_what_is_not_believed_is_on_no_map(store: Store, tmp_path: Path, airports: Airports) -> None:
    import_file(store, spoofed_file(tmp_path))
    pipe = pipeline(store)
    backfill.derive(store, pipe)
    track, _ = Desk(store, airports, pipe.registry).track(legs_from_table(store.legs.table()))
    assert len(track.latitude) == 180
    assert min(track.latitude) > 39


def test_events_that_better_data_do_not_bear_out_go(store: Store) -> None:
    """Ten minutes are missing, so that the rest of the flight seems to be elsewhere; then they come."""
    rows = cruising(0, 20) + [row | {"latitude": row["latitude"] - 2.5} for row in cruising(1200, 20)]
    pipe = pipeline(store)
    state = pipe.start(store.legs.table())
    store.snapshots.append(Snapshot("test", T0 + timedelta(minutes=40), T0, Scope("world"), positions(rows), {}))
    state, outcome = pipe.absorb(state, positions(rows))
    store.events.put(outcome.events)
    assert [event.reason for event in store.events.between()] == ["elsewhere"]
    south = [row | {"latitude": row["latitude"] - 2.5} for row in cruising(0, 20)]
    late = [row | {"at": float(row["at"]) + 1} for row in south]
    store.snapshots.append(Snapshot("test", T0 + timedelta(minutes=41), T0, Scope("world"), positions(late), {}))
    backfill.rederive_late(store, pipe, state, ["abc123"], T0 + timedelta(hours=1))
    assert "elsewhere" not in [event.reason for event in store.events.between()]


def test_events_of_feeds_end_with_their_terms(store: Store) -> None:
    store.set_terms("fleeting", Terms(retention_days=30))
    old = event(feeds=("fleeting",))
    store.events.put([old, replace(old, event_id="kept", feeds=("other",))])
    store.keep_terms(T0 + timedelta(days=29))
    assert len(store.events.between()) == 2
    store.keep_terms(T0 + timedelta(days=32))
    assert [e.event_id for e in store.events.between()] == ["kept"]


def event(**more: object) -> Event:
    area = {"south": 39.0, "west": 125.0, "north": 39.5, "east": 126.0}
    plain = {"kind": "position.suspect", "reason": "spoofed", "aircraft": ("15521f",), "since": T0, "until": T0, "count": 7}
    return Event(**{"event_id": "e", "feeds": ("test",), "evidence": {"slowest_kt": 0.0}} | plain | area | more)  # type: ignore[arg-type]


def test_events_are_found_by_time_and_aircraft(store: Store) -> None:
    hour = timedelta(hours=1)
    pair = event(
        event_id="two", aircraft=("15521f", "abc123"), since=T0 + hour, until=T0 + 2 * hour, kind="rendezvous", reason=""
    )
    store.events.put([event(), pair])
    store.events.put([event(count=9)])  # as it stands now
    assert [e.count for e in store.events.between()] == [9, 7]
    assert store.events.between(aircraft=["abc123"]) == [pair]
    assert store.events.between(T0 + 1.5 * hour, T0 + 3 * hour) == [pair]
    assert store.events.counts("position.suspect", T0, T0 + hour) == {"spoofed": 1}


def test_a_store_without_the_table_has_no_events(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.catalog.db.execute("DROP TABLE events")
    with Store(tmp_path, read_only=True) as store:
        assert store.events.between() == []
    with Store(tmp_path) as store:
        store.events.put([event()])


def spoofed_file(folder: Path) -> Path:
    path = folder / "flight.parquet"
    wrong = [at(1200 + 10 * i, (36.12, -97.1), groundspeed=0.0, altitude=35_000.0) for i in range(30)]
    wrong = [row | {"longitude": row["longitude"] + i / 1e5} for i, row in enumerate(wrong)]
    pq.write_table(positions(in_time(cruising(0, 20) + wrong + cruising(1500, 10))), path)
    return path


def test_the_command_shows_and_writes_them(typed: Typed, tmp_path: Path) -> None:
    typed("import", str(spoofed_file(tmp_path)), "--store", "s")
    status, told, _ = typed("events", "--store", "s")
    assert status == 0
    assert "abc123: spoofed" in told
    assert "30 positions at 36.12" in told
    assert typed("events", "--store", "s", "--since", "2024-03-02")[1].startswith("No such event")
    assert typed("events", "--store", "s", "--aircraft", "ABC123", "-o", "e.json")[1].strip() == "e.json: 1 events"
    (row,) = json.loads(Path("e.json").read_text())
    assert (row["aircraft"], row["reason"], row["count"], row["evidence"]["slowest_kt"]) == (["abc123"], "spoofed", 30, 0.0)
    typed("events", "--store", "s", "-o", "e.csv")
    (line,) = list(csv.DictReader(Path("e.csv").read_text().splitlines()))
    assert (line["kind"], line["aircraft"], line["reconstructed"]) == ("position.suspect", "abc123", "False")
    typed("events", "--store", "s", "-o", "e.parquet")
    assert pq.read_table("e.parquet")["reason"].to_pylist() == ["spoofed"]
    assert typed("events", "--store", "s", "-o", "e.txt")[0] == 1


def test_whose_data_it_is_stands_beside_and_made_up_says_so(tmp_path: Path) -> None:
    terms = {"test": Terms(attribution="Somebody's network", reconstructed=True)}
    assert "Data: Somebody's network." in show([event()], terms)
    assert "RECONSTRUCTION" in show([event()], terms)
    assert "Data: Somebody's network." in write([event()], tmp_path / "e.csv", terms)
    assert (tmp_path / "e.csv.terms.txt").read_text() == "Somebody's network\n"
    with pytest.raises(InputError, match=r"\.parquet, \.csv or \.json"):
        write([event()], tmp_path / "e.txt", terms)


def test_digest_and_doctor_count_them(tmp_path: Path, airports: Airports) -> None:
    with Store(tmp_path / "s") as store:
        import_file(store, spoofed_file(tmp_path))
        pipe = pipeline(store)
        backfill.derive(store, pipe)
        settings = DigestSettings.model_validate({"to": ["a@b.c"], "from": "f@b.c"})
        book = AlertBook(tmp_path / "s" / "alerts.sqlite")
        digest = Desk(store, airports, pipe.registry).digest(
            book, T0 - timedelta(hours=1), T0 + timedelta(hours=1), settings, Baseline(airports)
        )
        book.close()
    assert "Positions that cannot be true: 1 spoofed. `flightwatch events` tells of whom and where." in digest.unobserved
    told = [check.text for check in examine(Settings(), Path(), tmp_path / "s", T0)]
    assert "suspect positions in the last day of data: 1 spoofed; `flightwatch events` shows them" in told
