"""Whatever goes wrong between the feed and the reader: nothing is lost, nothing is told twice, nothing is forgotten."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from email import policy
from email.parser import BytesParser
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from flightwatch import backfill
from flightwatch.alerts import Alert
from flightwatch.config import DigestSettings
from flightwatch.desk import Desk
from flightwatch.errors import FeedError
from flightwatch.imports import import_file
from flightwatch.live import Runner
from flightwatch.pipeline import Outcome, Pipeline, State
from flightwatch.places import Airports
from flightwatch.records import Finding, Message, Scope, Snapshot, legs_from_table
from flightwatch.rules import Rule
from flightwatch.store import Store, files, rebuild_catalog
from flightwatch.testing.clock import FakeClock
from flightwatch.testing.world import Flight, Sky
from tests.live_runs import POLL_S, Ledger, pipeline, poll_until, running, shipped_rules, world
from tests.test_pipeline import BEGIN, OTHER, STATE_TAIL
from tests.test_store import T0, contents, poll

END = BEGIN + timedelta(minutes=140)
"""Half an hour after the last thing that there is to tell."""

STORY = ["heading_there", "lost", "presumed_landed"]
SLOW_POLL_S = 1200.0
"""For stories of days."""


def sky(table: Airports, flights: Sequence[Flight] = (STATE_TAIL, OTHER), shown_s: float = POLL_S) -> Sky:
    return Sky(world(flights, table), 60.0, shown_s=shown_s)


def rule(destination: str = "{country: [KP], probability: 0.5}", origin: str = "{country: [RU]}") -> Rule:
    when = f"when:\n  all:\n    - aircraft: {{icao24: ['15521f']}}\n    - origin: {origin}\n    - destination: {destination}\n"
    return Rule.model_validate(YAML(typ="safe").load(f"id: mine\ntitle: Mine\n{when}"))


def until(positions: pa.Table, time: datetime) -> pa.Table:
    return positions.filter(pc.less(positions["timestamp"], pa.scalar(time, positions.schema.field("timestamp").type)))


def arrives_late(runner: Runner, positions: pa.Table) -> None:
    """A second feed brings what was an hour ago."""
    now = runner._clock.now()
    late = Snapshot("second", now, now, Scope("world"), positions, {})
    seq = runner.store.snapshots.append(late)
    assert seq is not None
    runner._take_in(seq, late)


# ----------------------------------------------------------------------------------------------------------------- faults


NO_FILE, NO_ROOM = OSError(24, "Too many open files"), sqlite3.OperationalError("database or disk is full")


@pytest.mark.parametrize(
    ("fault", "killed"),
    [
        (NO_FILE, True),
        (NO_ROOM, False),
        pytest.param(NO_FILE, False, marks=pytest.mark.slow),
        pytest.param(NO_ROOM, True, marks=pytest.mark.slow),
    ],
)
def test_a_fault_between_the_step_and_the_book_loses_no_alert(
    fault: Exception, killed: bool, tmp_path: Path, airports: Airports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails when the first message is put together; the run goes on, and what was to be told is told."""
    real, failures = Desk.compose, [fault]

    def once(self: Desk, finding: Finding, alert: Alert) -> Message:
        if failures:
            raise failures.pop()
        return real(self, finding, alert)

    monkeypatch.setattr(Desk, "compose", once)
    ledger, clock, seen = Ledger(), FakeClock(BEGIN), sky(airports)
    with running(tmp_path, seen, clock, ledger) as runner:
        worker = runner.deliver()
        while failures and runner.poll_next():
            worker.run_once(clock.now())
        if not killed:
            poll_until(runner, clock, END)
    if killed:
        with running(tmp_path, seen, clock, ledger) as runner:
            poll_until(runner, clock, END)
    assert ledger.stages() == STORY


def test_a_poll_that_nobody_foresaw_is_passed_over_and_counted(
    tmp_path: Path, airports: Airports, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, failures = Pipeline.step, [ZeroDivisionError("an error of ours")]

    def once(self: Pipeline, state: State, snapshot: Snapshot) -> tuple[State, Outcome]:
        if failures and snapshot.feed_time > BEGIN + timedelta(minutes=20):
            raise failures.pop()
        return real(self, state, snapshot)

    monkeypatch.setattr(Pipeline, "step", once)
    ledger, clock = Ledger(), FakeClock(BEGIN)
    with running(tmp_path, sky(airports), clock, ledger) as runner:
        poll_until(runner, clock, END)
        assert runner.store.refused(BEGIN, END) == {("sky", "not_understood"): 1}
    assert ledger.stages() == STORY
    assert "please report this" in caplog.text


def test_a_full_disk_ends_no_run(tmp_path: Path, airports: Airports, monkeypatch: pytest.MonkeyPatch) -> None:
    """For an hour no file can be written: polls are kept in the catalog, alerts go on, everything is there later."""
    ledger, clock = Ledger(), FakeClock(BEGIN)
    real = files._durably

    def full(path: Path, write: object) -> files.Written:
        if BEGIN + timedelta(minutes=30) < clock.now() < BEGIN + timedelta(minutes=90):
            raise OSError(28, "No space left on device")
        return real(path, write)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(files, "_durably", full)
    with running(tmp_path, sky(airports), clock, ledger, checkpoint_every=timedelta(minutes=10)) as runner:
        poll_until(runner, clock, END)
        stored = len(runner.store.snapshots.positions())
        assert stored == runner.store.snapshots.rows() > 0
    assert ledger.stages() == STORY


# ------------------------------------------------------------------------------------------------------------------- rules


def test_a_rule_that_is_new_after_a_restart_tells_of_what_is_in_the_air(tmp_path: Path, airports: Airports) -> None:
    """The aircraft was of no interest to the old rules, and a signal that dies turns to nothing that could be seen."""
    ledger, clock, seen = Ledger(), FakeClock(BEGIN), sky(airports)
    with running(tmp_path, seen, clock, ledger, rules=[rule(origin="{country: [JP]}")]) as runner:
        poll_until(runner, clock, BEGIN + timedelta(minutes=50))
        runner.checkpoint()
    with running(tmp_path, seen, clock, ledger, rules=shipped_rules()) as runner:
        poll_until(runner, clock, END)
    assert ledger.stages() == STORY


# --------------------------------------------------------------------------------------------------------------- late data


@pytest.mark.parametrize("killed", [False, True])
def test_late_data_make_a_rule_hold_that_did_not(killed: bool, tmp_path: Path, airports: Airports) -> None:
    """Only with the take-off, which a second feed brings an hour late, is it known where it came from."""
    certain = rule(origin="{airport: [UHWW], probability: 0.995}")
    ledger, clock, seen = Ledger(), FakeClock(BEGIN + timedelta(minutes=46)), sky(airports)
    early = until(world([STATE_TAIL, OTHER], airports).positions(60.0), BEGIN + timedelta(minutes=44))
    with running(tmp_path, seen, clock, ledger, rules=[certain]) as runner:
        poll_until(runner, clock, BEGIN + timedelta(minutes=58))
        runner.checkpoint()
        arrives_late(runner, early)
        if not killed:
            runner.checkpoint()
    with running(tmp_path, seen, clock, ledger, rules=[certain]) as runner:
        poll_until(runner, clock, END)
    assert ledger.stages()[-2:] == STORY[-2:]
    assert len({m.alert_id for m in ledger.sent}) == 1


def test_late_data_about_a_leg_that_was_told_make_no_second_alert(tmp_path: Path, airports: Airports) -> None:
    """It was told of before anything of it was stored; the earlier positions change its beginning, not its name."""
    ledger, clock, seen = Ledger(), FakeClock(BEGIN + timedelta(minutes=40)), sky(airports)
    early = until(world([STATE_TAIL, OTHER], airports).positions(60.0), BEGIN + timedelta(minutes=38))
    with running(tmp_path, seen, clock, ledger) as runner:
        poll_until(runner, clock, BEGIN + timedelta(minutes=64))
        assert ledger.sent
        arrives_late(runner, early)
        runner.checkpoint()
        poll_until(runner, clock, END)
    assert len({m.alert_id for m in ledger.sent}) == 1
    assert ledger.stages() == STORY


# ------------------------------------------------------------------------------------------------------------------ imports


@pytest.mark.parametrize("legs_first", [False, True])
def test_history_is_no_news_whatever_was_called_in_between(legs_first: bool, tmp_path: Path, airports: Airports) -> None:
    files.write_parquet(tmp_path / "old.parquet", world([STATE_TAIL, OTHER], airports).positions(60.0))
    with Store(tmp_path / "store") as store:
        import_file(store, tmp_path / "old.parquet")
        if legs_first:
            backfill.refresh(store, pipeline(store, []))
            before = len(store.legs.table())
            backfill.refresh(store, pipeline(store, []))
            assert len(store.legs.table()) == before == 2
    ledger, clock = Ledger(), FakeClock(BEGIN + timedelta(hours=6))
    with running(tmp_path / "store", sky(airports, [OTHER]), clock, ledger) as runner:
        poll_until(runner, clock, BEGIN + timedelta(hours=7))
    assert ledger.sent == []


def test_an_import_between_two_runs_forgets_nothing_that_was_told(tmp_path: Path, airports: Airports) -> None:
    """And the alert goes on under its name."""
    ledger, clock, seen = Ledger(), FakeClock(BEGIN), sky(airports)
    with running(tmp_path / "store", seen, clock, ledger) as runner:
        poll_until(runner, clock, BEGIN + timedelta(minutes=70))
        assert ledger.sent
    other = replace(OTHER, icao24="71bf01", takeoff=BEGIN - timedelta(days=2))
    files.write_parquet(tmp_path / "o.parquet", world([other], airports).positions(60.0))
    with Store(tmp_path / "store") as store:
        import_file(store, tmp_path / "o.parquet")
        backfill.refresh(store, pipeline(store, []))
    with running(tmp_path / "store", seen, clock, ledger) as runner:
        poll_until(runner, clock, END)
    assert ledger.stages() == STORY
    assert len({m.alert_id for m in ledger.sent}) == 1


def test_an_old_file_takes_no_leg_away_whose_positions_are_gone(tmp_path: Path, airports: Airports) -> None:
    """After the retention, legs are all that is left; a file of an earlier time says nothing against them."""

    def flown(days: float) -> Path:
        flights = [replace(f, takeoff=f.takeoff + timedelta(days=days)) for f in (STATE_TAIL, OTHER)]
        path = tmp_path / f"{days}.parquet"
        files.write_parquet(path, world(flights, airports).positions(60.0))
        return path

    def legs(store: Store) -> set[str]:
        return {leg.leg_id for leg in legs_from_table(store.legs.table()) if leg.source == "tracked"}

    with Store(tmp_path / "store") as store:
        import_file(store, flown(0), feed="sky")
        backfill.refresh(store, pipeline(store, []))
        before = legs(store)
        now = BEGIN + timedelta(days=40)
        assert store.snapshots.retain(now, 30) > 0
        store.legs.file_settled(now - timedelta(days=7))
        import_file(store, flown(-100))
        backfill.refresh(store, pipeline(store, []))
        assert legs(store) > before
        assert len(legs(store)) == 4


# ------------------------------------------------------------------------------------------------------------- the store itself


def test_a_rebuilt_store_keeps_its_lists_and_its_alerts(tmp_path: Path, airports: Airports) -> None:
    """The flight lists are as long as before, also after the shipped one came again; what happens next is told."""
    second = replace(STATE_TAIL, icao24="15520a", registration="RA-85042", callsign="RFF1", takeoff=BEGIN + timedelta(minutes=57))
    ledger, clock, seen = Ledger(), FakeClock(BEGIN), sky(airports, [STATE_TAIL, OTHER, second])
    with running(tmp_path, seen, clock, ledger) as runner:
        poll_until(runner, clock, BEGIN + timedelta(minutes=58))
        runner.checkpoint()
        listed = [leg for leg in legs_from_table(runner.store.legs.table()) if leg.source == "listed"]
    rebuild_catalog(tmp_path)
    with Store(tmp_path) as store:
        store.drop_checkpoint()
        backfill.derive(store, pipeline(store, []))
    told = len(ledger.sent)
    with running(tmp_path, seen, clock, ledger) as runner:
        poll_until(runner, clock, END)
        again = [leg for leg in legs_from_table(runner.store.legs.table()) if leg.source == "listed"]
    assert len(again) == len(listed) > 30
    assert {"lost", "presumed_landed"} <= {m.stage for m in ledger.sent[told:] if m.alert_id.startswith("15520a")}


def test_a_file_that_cannot_be_read_for_once_is_not_compacted_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, failures = pq.read_table, [OSError(24, "Too many open files")]

    def once(*args: object, **options: object) -> pa.Table:
        if failures:
            raise failures.pop()
        return real(*args, **options)

    with Store(tmp_path) as store:
        for i in range(50):
            store.snapshots.append(poll(60.0 * i))
        store.snapshots.flush_all()
        before = contents(store)
        monkeypatch.setattr(pq, "read_table", once)
        later = T0 + timedelta(hours=3)
        store.snapshots.compact(later)
        store.snapshots.remove_retired(later + timedelta(hours=2))
        assert contents(store) == before
        assert "stays as it is" in caplog.text
        assert store.snapshots.compact(later + timedelta(hours=2)) == 1
        store.snapshots.remove_retired(later + timedelta(hours=9))
        assert contents(store) == before


def test_a_clock_that_is_a_year_ahead_retires_nothing(tmp_path: Path, airports: Airports) -> None:
    clock = FakeClock(BEGIN)
    with running(tmp_path, sky(airports), clock, Ledger()) as runner:
        poll_until(runner, clock, BEGIN + timedelta(minutes=50))
        before = len(runner.store.snapshots.positions())
        clock._start += timedelta(days=365)
        runner.keep_house()
        assert len(runner.store.snapshots.positions()) == before > 0


# ------------------------------------------------------------------------------------------------------------------ the digest


DIGEST = DigestSettings.model_validate({"to": ["desk@example.org"], "from": "flightwatch@example.org", "at": "13:00"})


def written(runner: Runner) -> list[tuple[str, str]]:
    """The digests in the outbox: their days, and their subjects."""
    rows = runner.book._db.execute("SELECT subject, payload FROM outbox WHERE subject LIKE 'digest-%' ORDER BY subject")
    return [(day, str(BytesParser(policy=policy.SMTP).parsebytes(mail)["Subject"])) for day, mail in rows]


def test_each_alert_is_in_one_digest(tmp_path: Path, airports: Airports) -> None:
    """Written late or on time: what happened since the last one, once; nothing falls between two."""
    ledger, clock, seen = Ledger(), FakeClock(BEGIN), sky(airports, shown_s=1500.0)
    with running(tmp_path, seen, clock, ledger, digest=DIGEST, every_s=1500.0) as runner:
        while clock.now() < BEGIN + timedelta(days=2, hours=2) and runner.poll_next():
            if clock.now().hour != 13 or clock.now().day != BEGIN.day:  # on the first day it is late
                runner.look_after()
        days = dict(written(runner))
    assert sorted(days) == [f"digest-2023-09-{day}" for day in (25, 26, 27)]
    flagged = [day for day, subject in days.items() if "RA-86559" in subject]
    assert flagged == ["digest-2023-09-25"], days


def test_a_digest_of_a_wrong_clock_keeps_none_of_the_next_away(tmp_path: Path, airports: Airports) -> None:
    clock = FakeClock(BEGIN)
    with running(tmp_path, sky(airports), clock, Ledger(), digest=DIGEST) as runner:
        poll_until(runner, clock, BEGIN + timedelta(minutes=30))
        assert runner.send_digest_if_due(clock.now() + timedelta(days=365, hours=2))
        sent = [runner.send_digest_if_due(clock.now() + timedelta(days=d, hours=2)) for d in (1, 1, 2, 3)]
        assert sent == [True, False, True, True]


def test_a_withdrawn_alert_is_not_open_for_ever(tmp_path: Path, airports: Airports) -> None:
    turning = replace(STATE_TAIL, destination="ZYYJ", over=((41.9, 130.75),))
    clock, ledger = FakeClock(BEGIN), Ledger()
    with running(tmp_path, sky(airports, [turning, OTHER]), clock, ledger) as runner:
        poll_until(runner, clock, BEGIN + timedelta(hours=6))
        assert ledger.stages()[-1:] == ["withdrawn"]
        assert runner.book.alerts(only_open=True) == []


# ------------------------------------------------------------------------------------------------------------------------ blind


def test_being_blind_is_said_loudly(tmp_path: Path, airports: Airports) -> None:
    clock = FakeClock(BEGIN)
    with running(tmp_path, sky(airports), clock, Ledger()) as runner:
        assert "BLIND: nothing came in since the start" in runner.heartbeat()
        runner.poll_next()
        assert "BLIND" not in runner.heartbeat()
        clock.sleep(600)
        assert "BLIND since 2023-09-25 12:00:00 UTC" in runner.heartbeat()
        runner.schedule.failed(0, clock.monotonic(), FeedError("http_403", "no", permanent=True))
        assert "NOT ASKED any more: sky (everything)" in runner.heartbeat()


def test_the_book_forgets_what_nobody_needs(tmp_path: Path, airports: Airports) -> None:
    """The content of what was sent long ago; not that it was sent, and not where its thread is."""
    clock, ledger = FakeClock(BEGIN), Ledger()
    with running(tmp_path, sky(airports), clock, ledger) as runner:
        poll_until(runner, clock, END)
        size = "SELECT sum(length(payload)) FROM outbox WHERE state = 'sent'"
        assert runner.book._db.execute(size).fetchone()[0] > 0
        runner.book.forget(END + timedelta(days=30))
        assert runner.book._db.execute(size).fetchone()[0] == 0
        assert runner.book.counts()["sent"] == len(ledger.sent)
        assert runner.book._db.execute("SELECT count(*) FROM outbox WHERE receipt IS NULL").fetchone()[0] == 0


# ---------------------------------------------------------------------------------------------------------------------- memory


def test_idle_aircraft_leave_memory_and_come_back(tmp_path: Path, airports: Airports) -> None:
    """There, two days of silence, and back: the visit is one story, although nothing of the aircraft was in memory in
    between, and the process was killed after it had been put aside and again after it had come back."""
    back = replace(STATE_TAIL, origin="ZKPY", destination="UHWW", takeoff=STATE_TAIL.takeoff + timedelta(hours=52))
    days = [replace(OTHER, takeoff=OTHER.takeoff + timedelta(hours=24 * i)) for i in range(3)]
    ledger, clock, seen = Ledger(), FakeClock(BEGIN), sky(airports, [STATE_TAIL, back, *days], SLOW_POLL_S)
    with running(tmp_path, seen, clock, ledger, every_s=SLOW_POLL_S) as runner:
        poll_until(runner, clock, BEGIN + timedelta(hours=6))
        assert 0x15521F in runner._state.legs.logs
        poll_until(runner, clock, BEGIN + timedelta(hours=46))
        assert 0x15521F not in runner._state.legs.logs
        assert 0x15521F not in runner._state.legs.open.pieces.aircraft
    with running(tmp_path, seen, clock, ledger, every_s=SLOW_POLL_S) as runner:
        poll_until(runner, clock, BEGIN + timedelta(hours=52, minutes=90))
        assert 0x15521F in runner._state.legs.logs
    with running(tmp_path, seen, clock, ledger, every_s=SLOW_POLL_S) as runner:
        poll_until(runner, clock, BEGIN + timedelta(hours=60))
    assert len({m.alert_id for m in ledger.sent}) == 1
    assert ledger.stages() == [*STORY, "left_again", "returned"]


@pytest.mark.slow  # that an aircraft out of sight leaves memory is seen above
def test_the_state_does_not_grow_with_every_aircraft_that_ever_passed(tmp_path: Path, airports: Airports) -> None:
    """A new aircraft every four hours for three days and a half: those of the last two days are in memory."""
    passing = [
        replace(OTHER, icao24=f"71b{n:03x}", callsign=f"P{n}", takeoff=OTHER.takeoff + timedelta(hours=4 * n)) for n in range(21)
    ]
    clock, every = FakeClock(BEGIN), 3600.0
    seen = Sky(world(passing, airports), 600.0, shown_s=every)
    sizes = []
    with running(tmp_path, seen, clock, Ledger(), every_s=every) as runner:
        while clock.now() < BEGIN + timedelta(days=3.5) and runner.poll_next():
            runner.look_after()
            sizes.append(len(runner._state.legs.logs))
        assert len(runner.store.legs.table()) >= 19
    assert max(sizes) < 15


def test_a_file_is_synced_before_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes a file survive a power loss: its content is synced, then it gets its name, then the folder is synced; and
    only then is the snapshot in it called stored."""
    done: list[str] = []
    sync, rename = os.fsync, Path.replace

    def synced(handle: int) -> None:
        done.append(f"sync {Path(f'/proc/self/fd/{handle}').readlink().name}")
        sync(handle)

    def renamed(self: Path, target: Path) -> Path:
        done.append(f"name {target.name}")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    files.write_bytes(tmp_path / "made" / "file.bin", b"content")
    assert done == [f"sync {tmp_path.name}", "sync file.bin.tmp", "name file.bin", "sync made"]
