"""A feed that is out: told once, told when it is over, visible from outside, and no reason for a leg to end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from flightwatch import backfill, live
from flightwatch import legs as leg_stage
from flightwatch.cli import _once
from flightwatch.config import DigestSettings, FeedSettings, Secret, Settings
from flightwatch.doctor import examine, is_well
from flightwatch.errors import FeedError
from flightwatch.feeds import outages, poller
from flightwatch.feeds.http import Reply
from flightwatch.feeds.poller import FORMATS, Pace, Query, Schedule, budgeted_s
from flightwatch.feeds.questions import queries
from flightwatch.rarity import Baseline
from flightwatch.records import Outage, QueryHealth, Scope, Snapshot
from flightwatch.store import Store
from flightwatch.testing.clock import FakeClock
from tests.conftest import Typed
from tests.live_runs import Ledger, pipeline
from tests.processes import Place, heading_for_pyongyang, reply

BEGIN = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
DOWN = FeedError("http_503", "sky answered 503")


class Sky:
    """A feed of one aircraft that a test can silence, freeze or cut."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.down: FeedError | None = None
        self.frozen: float | None = None
        self.rows = 1

    def read(self) -> Reply:
        if self.down is not None:
            raise self.down
        now = self.clock.now().timestamp()
        shown = self.frozen or now
        planes = [heading_for_pyongyang(f"15520{n:x}", now - BEGIN.timestamp()) for n in range(self.rows)]
        return Reply(reply(planes, shown))

    def query(self, every_s: float = 120.0, most_rows: int | None = None) -> Query:
        return Query("sky", "everything", Scope("world"), every_s, self.read, self.clock.now, most_rows=most_rows)


class Run:
    """A runner that is started again whenever a test wants it."""

    def __init__(self, folder: Path, clock: FakeClock, asked: list[Query]) -> None:
        self.folder, self.clock, self.asked, self.ledger = folder, clock, asked, Ledger()
        self.start()

    def start(self) -> None:
        self.store = Store(self.folder)
        self.runner = live.Runner(
            self.store, pipeline(self.store, []), self.asked, live.Outlets({"ledger": self.ledger}, None, None), self.clock
        )

    def stop(self) -> None:
        self.runner.book.close()
        self.store.close()

    def on(self, span: timedelta) -> None:
        worker, until = self.runner.deliver(), self.clock.now() + span
        while self.clock.now() < until and self.runner.poll_next():
            self.runner.look_after()
            worker.run_once(self.clock.now())

    def through(self, span: timedelta) -> None:
        """As `on`, five minutes at a time: nobody sleeps through a rest of hours."""
        worker, until = self.runner.deliver(), self.clock.now() + span
        while self.clock.now() < until:
            due = self.runner.schedule.next()
            left = 300.0 if due is None else due[1] - self.clock.monotonic()
            if due is not None and left <= 0:
                self.runner.poll(due[0])
            else:
                self.clock.sleep(min(left, 300.0))
            self.runner.look_after()
            worker.run_once(self.clock.now())

    def told(self) -> list[str]:
        return [f"{m.stage} {m.number}" for m in self.ledger.sent]


def test_a_silent_feed_is_told_once_and_once_when_it_is_over(tmp_path: Path) -> None:
    """Also across restarts in the middle of it."""
    clock = FakeClock(BEGIN)
    sky = Sky(clock)
    run = Run(tmp_path, clock, [sky.query()])
    run.on(timedelta(minutes=10))
    sky.down = DOWN
    for _ in range(3):
        run.on(timedelta(minutes=20))
        run.stop()
        run.start()
    assert run.told() == ["outage 1"]
    (first,) = run.ledger.sent
    assert "Feed sky is silent since 1 Mar 12:1" in first.headline
    assert "everything" in first.facts[0]
    assert "503" in first.facts[1]
    sky.down = None
    run.on(timedelta(minutes=40))
    assert run.told() == ["outage 1", "outage_over 2"]
    assert "well again" in run.ledger.sent[1].update
    assert run.store.health.ongoing() == []
    assert len(run.store.health.outages(BEGIN, clock.now())) == 1
    run.stop()


def test_a_feed_that_comes_and_goes_is_one_outage(tmp_path: Path) -> None:
    clock = FakeClock(BEGIN)
    sky = Sky(clock)
    run = Run(tmp_path, clock, [sky.query(every_s=60.0)])
    for _ in range(6):
        sky.down = DOWN
        run.on(timedelta(minutes=12))
        sky.down = None
        run.on(timedelta(minutes=5))
    assert run.told() == ["outage 1"]
    run.stop()


Answers = list[FeedError | None]
"""One entry: what a question is answered with, None for the sky."""


def _north_and_south(folder: Path, clock: FakeClock, north_is: FeedError | None) -> tuple[Run, Answers, Answers]:
    """A run of one feed with two questions, each of which can go down by itself."""
    sky = Sky(clock)

    def asked_of(label: str, answers: Answers) -> Query:
        def read() -> Reply:
            if answers[0] is not None:
                raise answers[0]
            return sky.read()

        return replace(sky.query(120.0), label=label, read=read)

    north: Answers = [north_is]
    south: Answers = [None]
    return Run(folder, clock, [asked_of("north", north), asked_of("south", south)]), north, south


def test_a_feed_that_goes_dark_after_a_part_of_it_did_is_told_again(tmp_path: Path) -> None:
    """One question is down for long; an hour later the last one that answered goes, too."""
    clock = FakeClock(BEGIN)
    run, _, south = _north_and_south(tmp_path, clock, DOWN)
    run.on(timedelta(hours=1))
    assert run.told() == ["outage 1"]
    south[0] = DOWN
    run.on(timedelta(minutes=30))
    assert run.told() == ["outage 1", "outage 1"]
    assert [m.facts[0] for m in run.ledger.sent] == ["Concerns: north.", "Concerns: south."]
    south[0] = None
    run.on(timedelta(hours=1))
    assert run.told() == ["outage 1", "outage 1", "outage_over 2"]
    assert [o.questions for o in run.store.health.ongoing()] == [("north",)]
    run.stop()


def test_a_poll_that_fails_now_and_then_keeps_no_outage_open(tmp_path: Path) -> None:
    clock = FakeClock(BEGIN)
    run, north, south = _north_and_south(tmp_path, clock, DOWN)
    run.on(timedelta(minutes=20))
    north[0] = None
    for _ in range(4):
        south[0] = DOWN
        run.on(timedelta(minutes=2))
        south[0] = None
        run.on(timedelta(minutes=10))
    assert run.told() == ["outage 1", "outage_over 2"]
    run.stop()


def test_the_time_in_which_nobody_asked_is_no_outage(tmp_path: Path) -> None:
    """The last poll before a stop of days failed; after it everything answers."""
    clock = FakeClock(BEGIN)
    run, _, south = _north_and_south(tmp_path, clock, None)
    run.on(timedelta(minutes=10))
    south[0] = DOWN
    run.on(timedelta(minutes=2))
    run.runner.look_at_feeds()
    run.stop()
    south[0] = None
    clock.sleep(3 * 86400.0)
    run.start()
    run.on(timedelta(minutes=30))
    assert run.told() == []
    run.stop()


def test_a_feed_whose_clock_stands_still_is_stale(tmp_path: Path) -> None:
    clock = FakeClock(BEGIN)
    sky = Sky(clock)
    run = Run(tmp_path, clock, [sky.query()])
    run.on(timedelta(minutes=3))
    sky.frozen = clock.now().timestamp()
    run.on(timedelta(minutes=30))
    assert [m.qualifier.split(";")[0] for m in run.ledger.sent] == ["feed.stale"]
    run.stop()


def test_a_reply_that_is_cut_off_says_so(tmp_path: Path) -> None:
    """Exactly as many rows as the service sends at most: a part, which says nothing of who is missing in it."""
    clock = FakeClock(BEGIN)
    sky = Sky(clock)
    sky.rows = 5
    run = Run(tmp_path, clock, [sky.query(most_rows=5)])
    run.on(timedelta(minutes=20))
    assert [m.qualifier.split(";")[0] for m in run.ledger.sent] == ["feed.truncated"]
    (_, snapshot), *_ = run.store.snapshots.after(0)
    assert snapshot.refused["truncated"] == 1
    assert snapshot.scope.kind == "reported"
    assert "TRUNCATED: sky (everything)" in run.runner.heartbeat()
    run.stop()


def test_an_outage_of_ours_ends_no_leg(tmp_path: Path) -> None:
    """Two hours of failures in the middle of a flight: it stays in the air, as it was seen last, and is one leg."""
    clock = FakeClock(BEGIN)
    sky = Sky(clock)
    cruising = {"alt_baro": 34_000, "baro_rate": 0, "gs": 300.0}
    sky.read = lambda: flying(sky, cruising)  # type: ignore[method-assign]  # another flight than the usual one
    run = Run(tmp_path, clock, [sky.query()])
    run.on(timedelta(minutes=20))
    sky.down = DOWN
    run.on(timedelta(hours=2))
    run.runner.checkpoint()
    run.runner._save_legs(list(live.leg_stage.aircraft_of(run.runner._state.legs)))
    (status,) = run.store.legs.table()["status"].to_pylist()
    assert status == "airborne"
    sky.down = None
    run.on(timedelta(minutes=20))
    run.runner._save_legs(list(live.leg_stage.aircraft_of(run.runner._state.legs)))
    (leg,) = run.store.legs.table().to_pylist()
    assert leg["status"] == "airborne"
    assert [gap["decision"] for gap in leg["gaps"]] == ["flying"]
    run.stop()


class Half:
    """A feed of some aircraft that fly north far from any airport, each on a meridian of its own."""

    def __init__(self, name: str, clock: FakeClock, *planes: str) -> None:
        self.name, self.clock, self.planes, self.down = name, clock, list(planes), False

    def read(self) -> Reply:
        if self.down:
            raise DOWN
        now = self.clock.now()
        along = (now - BEGIN).total_seconds() * 450 / 3600 / 60  # degrees of latitude at 450 kt
        shown = []
        for icao24 in self.planes:
            cruising = {"alt_baro": 34_000, "baro_rate": 0, "gs": 450.0, "track": 0.0, "lon": 100.0 + int(icao24[-1], 16)}
            shown.append(heading_for_pyongyang(icao24, 0) | cruising | {"lat": round(30 + along, 5)})
        return Reply(reply(shown, now.timestamp()))

    @property
    def query(self) -> Query:
        return Query(self.name, "everything", Scope("world"), 300.0, self.read, self.clock.now)


def statuses(run: Run) -> dict[str, str]:
    run.runner._save_legs(leg_stage.aircraft_of(run.runner._state.legs))
    return {leg["icao24"]: leg["status"] for leg in run.store.legs.table().to_pylist()}


def test_an_aircraft_that_only_a_silent_feed_hears_is_not_lost(tmp_path: Path) -> None:
    """East is silent for two hours, west goes on. What only east hears is as it was; what both heard, west would see;
    what was lost before stays lost. After the outage it is one leg, and what does not come back is lost then."""
    clock = FakeClock(BEGIN)
    west, east = Half("west", clock, "155201", "155202"), Half("east", clock, "155202", "155203", "155204", "155205")
    run = Run(tmp_path, clock, [west.query, east.query])
    run.on(timedelta(minutes=30))
    east.planes.remove("155205")
    run.on(timedelta(minutes=30))
    assert set(statuses(run).values()) == {"airborne", "lost"}
    east.down = True
    west.planes.remove("155202")
    for _ in range(2):
        run.on(timedelta(hours=1))
        run.stop()
        run.start()
        seen = statuses(run)
        assert (seen["155201"], seen["155203"], seen["155204"]) == ("airborne",) * 3
        assert seen["155202"] != "airborne", "west would have heard it"
        assert seen["155205"] == "lost"
    east.down = False
    east.planes.remove("155204")
    run.on(timedelta(minutes=10))
    seen = statuses(run)
    assert seen["155203"] == "airborne"
    assert seen["155204"] in ("lost", "presumed_landed")
    (leg,) = (leg for leg in run.store.legs.table().to_pylist() if leg["icao24"] == "155203")
    assert [gap["decision"] for gap in leg["gaps"]] == ["flying"]
    alive = {leg["leg_id"]: leg["status"] for leg in run.store.legs.table().to_pylist()}
    run.runner.checkpoint()
    backfill.derive(run.store, pipeline(run.store, []))
    assert {leg["leg_id"]: leg["status"] for leg in run.store.legs.table().to_pylist()} == alive
    run.stop()


def test_a_feed_that_is_gone_for_good_keeps_nobody_in_the_air(tmp_path: Path) -> None:
    """No aircraft stays up for a day and a half."""
    clock = FakeClock(BEGIN)
    west, east = Half("west", clock, "155201"), Half("east", clock, "155203")
    run = Run(tmp_path, clock, [replace(west.query, every_s=3600.0), replace(east.query, every_s=3600.0)])
    run.on(timedelta(hours=1))
    east.down = True
    west.planes.clear()
    run.on(timedelta(hours=32))
    assert statuses(run) == {"155201": "presumed_landed", "155203": "airborne"}
    run.on(timedelta(hours=6))
    run.runner.checkpoint()
    assert statuses(run) == {"155201": "presumed_landed", "155203": "presumed_landed"}
    run.stop()


def flying(sky: Sky, more: dict[str, object]) -> Reply:
    if sky.down is not None:
        raise sky.down
    now = sky.clock.now()
    along = (now - BEGIN).total_seconds() * 300 / 3600 / 60  # degrees of latitude at 300 kt
    plane = heading_for_pyongyang("155201", 0) | more | {"track": 0.0, "lat": round(45 + along, 5), "lon": 100.0}
    return Reply(reply([plane], now.timestamp()))


def test_empty_tiles_at_the_same_time_are_both_news(tmp_path: Path) -> None:
    """The store takes the second for a repeat; its part of the sky is not stale for that."""
    clock = FakeClock(BEGIN)

    def empty() -> Reply:
        now = clock.now().timestamp() // 10 * 10
        return Reply(reply([], now))

    tiles = [Query("sky", f"tile {n}", Scope("area", (str(n), "0", "250")), 60.0, empty, clock.now) for n in range(3)]
    run = Run(tmp_path, clock, tiles)
    run.on(timedelta(minutes=30))
    assert run.told() == []
    assert [h.circuit for h in run.store.health.queries()] == ["closed"] * 3
    run.stop()


def test_the_digest_tells_of_outages(tmp_path: Path) -> None:
    clock = FakeClock(BEGIN)
    sky = Sky(clock)
    run = Run(tmp_path, clock, [sky.query()])
    run.on(timedelta(minutes=10))
    sky.down = FeedError("http_403", "sky answered 403: access is refused", permanent=True)
    run.on(timedelta(minutes=2))
    clock.sleep(1800)
    run.runner.look_after()
    desk = run.runner._desk
    settings = DigestSettings.model_validate({"to": ["a@b.c"], "from": "f@b.c"})
    digest = desk.digest(run.runner.book, BEGIN, clock.now(), settings, Baseline(desk.airports))
    assert [line for line in digest.unobserved if line.startswith("feed sky is silent since 1 Mar 12:1")]
    assert digest.notes == ("Feed sky (everything) is not asked any more: sky answered 403: access is refused",)
    run.stop()


@given(st.lists(st.tuples(st.booleans(), st.integers(20, 1200)), min_size=1, max_size=60))
def test_outages_do_not_overlap_and_end_after_they_begin(polls: list[tuple[bool, int]]) -> None:
    """Whatever comes and goes: one at a time, none ends before it began, none is told of in its first five minutes."""
    now, blind, ongoing, over = BEGIN, None, [], []
    for good, seconds in polls:
        now += timedelta(seconds=seconds)
        blind = None if good else blind or now
        health = QueryHealth("sky", "all", 60.0, BEGIN, now, unanswered_since=blind, last_reason="timeout")
        for changed in outages.changes(ongoing, [health], now):
            assert now - changed.since > outages.SILENT_AFTER
            ongoing = [] if changed.ended else [changed]
            over += [changed] if changed.ended else []
    assert all(o.ended is not None and o.ended >= o.since for o in over)
    assert all(a.ended is not None and a.ended <= b.since for a, b in pairwise(over))


# ----------------------------------------------------------------------------------------------------------- pace and credits


def asked(pace: Pace, every_s: float, count: int, clock: FakeClock, cost: int = 0) -> list[Query]:
    return [
        Query("sky", f"part {n}", Scope("area"), every_s, lambda: Reply(b""), clock.now, pace=pace, cost=cost)
        for n in range(count)
    ]


@given(st.floats(1, 120), st.integers(1, 30), st.floats(0.5, 5))
def test_queries_of_one_service_keep_their_distance(every_s: float, count: int, spacing_s: float) -> None:
    """However many tiles there are: between any two requests lies the service's rest, and every tile has its turn."""
    clock = FakeClock(BEGIN)
    schedule = Schedule(asked(Pace("host", spacing_s), every_s, count, clock), 0.0)
    times: list[float] = []
    seen: set[int] = set()
    for _ in range(3 * count):
        due = schedule.next()
        assert due is not None
        clock.sleep(due[1] - clock.monotonic())
        times.append(clock.monotonic())
        seen.add(due[0])
        schedule.failed(due[0], clock.monotonic(), FeedError("timeout", "no"), clock.now())
    assert all(b - a >= spacing_s - 1e-6 for a, b in pairwise(times))
    assert len(seen) == count


def test_asking_everything_once_keeps_the_pace_of_the_service(tmp_path: Path) -> None:
    clock = FakeClock(BEGIN)
    query = replace(Sky(clock).query(), pace=Pace("host", 1.1))
    run = Run(tmp_path, clock, [replace(query, label=str(n)) for n in range(5)])
    assert list(run.runner.poll_each()) == [True] * 5
    assert clock.now() - BEGIN >= timedelta(seconds=4 * 1.1)
    run.stop()


def test_slow_feeds_do_not_keep_anybody_from_hearing_of_an_outage(tmp_path: Path) -> None:
    """Something is always due here; the feed that is down is told of in minutes all the same."""
    clock = FakeClock(BEGIN)
    sky = Sky(clock)
    stop = threading.Event()

    def slow() -> Reply:
        clock.sleep(8.0)
        if clock.now() - BEGIN > timedelta(minutes=10):
            stop.set()
        return sky.read()

    def down() -> Reply:
        raise DOWN

    busy = [replace(sky.query(10.0), label=str(n), read=slow) for n in range(3)]
    run = Run(tmp_path, clock, [*busy, replace(sky.query(60.0), name="other", read=down)])
    live.run(run.runner, clock, stop, tmp_path / "alerts.sqlite", lambda: None)
    assert [o.feed for o in run.store.health.ongoing()] == ["other"]
    run.stop()


def test_too_many_requests_makes_the_whole_service_wait() -> None:
    clock = FakeClock(BEGIN)
    schedule = Schedule(asked(Pace("host"), 10.0, 3, clock), 0.0)
    schedule.failed(0, 0.0, FeedError("http_429", "no", retry_after_s=300.0), BEGIN)
    due = schedule.next()
    assert due is not None
    assert due[1] >= 300.0


def test_credits_last_the_day() -> None:
    """At noon with 400 left, one round costs 4: one in 7.6 minutes. With none left, the day is waited out."""
    assert budgeted_s(60.0, 4, 400, BEGIN) == pytest.approx(12 * 3600 / (400 * 0.95 / 4))
    assert budgeted_s(864.0, 4, 400, BEGIN) == 864.0
    assert budgeted_s(60.0, 4, 0, BEGIN) == 12 * 3600 + 120
    before_midnight = datetime(2024, 3, 1, 23, 59, 58, tzinfo=UTC)
    assert budgeted_s(60.0, 4, 0, before_midnight) < 300, "two seconds early is no reason to wait another day"


def test_a_failure_after_the_credits_were_gone_costs_minutes() -> None:
    """The next day is there: the pace of the day before does not hold."""
    clock = FakeClock(BEGIN)
    query = replace(Sky(clock).query(), cost=4)
    schedule = Schedule([query], 0.0)
    schedule.succeeded(0, 0.0, query.fetch(), new=True, credits_left=0)
    assert schedule.every_s(0) > 11 * 3600
    assert schedule.failed(0, 12 * 3600.0, DOWN, BEGIN) <= 900.0


# --------------------------------------------------------------------------------------------------------- no credits are left


class Paid:
    """A feed of some questions that share the credits of a day, as OpenSky's do: a header says what is left, and who asks
    without is told when to come again, if the service says so."""

    def __init__(self, clock: FakeClock, credits_left: int, *, says_when: bool = False) -> None:
        self.sky, self.clock, self.left, self.says_when = Sky(clock), clock, credits_left, says_when
        self.day = clock.now().date()

    def read(self) -> Reply:
        now = self.clock.now()
        if now.date() != self.day:
            self.day, self.left = now.date(), 4000
        if self.left < 4:
            midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
            raise FeedError("http_429", "sky answered 429: too many requests", retry_after_s=(midnight - now).total_seconds())
        answer = self.sky.read()
        self.left -= 4
        return replace(answer, headers={} if self.says_when else {"X-Rate-Limit-Remaining": str(self.left)})

    def asked(self, *labels: str) -> list[Query]:
        pace = Pace("host", 1.0, 86_400.0, credits_a_day=4000)
        return [replace(self.sky.query(), label=label, read=self.read, pace=pace, cost=4) for label in labels]


@pytest.mark.parametrize("says_when", [False, True])
def test_a_feed_that_rests_for_want_of_credits_is_told_of_and_when_it_goes_on(says_when: bool, tmp_path: Path) -> None:
    """At once, whether a header says that they are gone or a refusal does; all questions are in it; also across restarts."""
    clock = FakeClock(BEGIN)
    paid = Paid(clock, 16, says_when=says_when)
    run = Run(tmp_path, clock, paid.asked("north", "south", "west"))
    run.through(timedelta(minutes=20))
    for _ in range(3):
        run.stop()
        run.start()
        run.runner.look_at_feeds()
    (first,) = run.ledger.sent
    assert first.headline.startswith("Feed sky rests for want of credits since 1 Mar 12:")
    assert first.qualifier.startswith("feed.resting; ")
    assert first.facts[1].startswith("It rests until 2 Mar 00:0")
    assert first.facts[1].endswith("; nothing is observed through it meanwhile.")
    (outage,) = run.store.health.ongoing()
    assert sorted(outage.questions) == ["north", "south", "west"]
    assert "RESTS for want of credits: sky (north)" in run.runner.heartbeat()
    bad = [c.text for c in examine(Settings(feeds=[]), Path(), tmp_path, clock.now()) if not c.good]
    assert [text for text in bad if "feed sky rests for want of credits since" in text]
    assert len([text for text in bad if "RESTS for want of credits until 02 Mar 00:0" in text]) == 3
    run.through(timedelta(hours=12))
    assert [stage for stage in run.told() if stage != "outage 1"] == ["outage_over 2"]
    assert run.told().count("outage 1") == 1
    assert "is asked again since 2 Mar 00:0" in run.ledger.sent[1].update
    assert run.store.health.ongoing() == []
    run.stop()


def test_a_feed_that_is_down_after_its_rest_is_told_of_as_silent(tmp_path: Path) -> None:
    """In minutes, though it was asked twice a day for want of credits; that it is asked again does not say that it answers."""
    clock = FakeClock(BEGIN)
    paid = Paid(clock, 8)
    run = Run(tmp_path, clock, paid.asked("everything"))
    run.through(timedelta(minutes=20))
    paid.sky.down = DOWN
    run.through(timedelta(hours=12, minutes=20))
    assert [(m.stage, m.qualifier.split(";")[0]) for m in run.ledger.sent] == [
        ("outage", "feed.resting"),
        ("outage", "feed.silent"),
        ("outage_over", "feed.resting"),
    ]
    assert "since 2 Mar 00:0" in run.ledger.sent[1].headline
    assert "well again" not in run.ledger.sent[2].update
    run.stop()


def test_a_silent_feed_that_is_told_to_rest_is_not_well(tmp_path: Path) -> None:
    clock = FakeClock(BEGIN)
    paid = Paid(clock, 4000, says_when=True)
    run = Run(tmp_path, clock, paid.asked("everything"))
    paid.sky.down = DOWN
    run.through(timedelta(minutes=20))
    paid.left = 0
    run.through(timedelta(minutes=90))
    assert sorted(o.kind for o in run.store.health.ongoing()) == ["resting", "silent"]
    assert run.told() == ["outage 1", "outage 1"]
    run.stop()


def test_a_pace_that_credits_make_a_little_slower_is_no_rest(tmp_path: Path) -> None:
    clock = FakeClock(BEGIN)
    run = Run(tmp_path, clock, Paid(clock, 400).asked("everything"))
    run.through(timedelta(hours=3))
    assert run.runner.schedule.every_s(0) > 300
    assert run.told() == []
    run.stop()


@pytest.mark.parametrize(("kind", "told"), [("flightradar24", "feed.resting"), ("v2", "feed.silent")])
def test_credits_that_have_to_be_paid_for(kind: str, told: str, tmp_path: Path, httpserver: HTTPServer) -> None:
    """402 of a service that counts credits: it rests until somebody has paid and started anew. Elsewhere it may mean
    something else, and is a refusal like others."""
    clock = FakeClock(BEGIN)
    answers = [Response('{"message": "no"}', status=402)]
    good = {"flightradar24": lambda: '{"data": []}', "v2": lambda: reply([], clock.now().timestamp())}
    path = {"flightradar24": "/api/live/flight-positions/full", "v2": "/v2/mil"}[kind]
    httpserver.expect_request(path).respond_with_handler(lambda _: answers.pop() if answers else Response(good[kind]()))
    feed = FeedSettings.model_validate({"name": "sky", "kind": kind, "base_url": httpserver.url_for(""), "key_env": "K"})
    asked_of = queries(feed, [], Secret("canary-key"), clock.now)
    run = Run(tmp_path, clock, asked_of)
    run.through(timedelta(minutes=15))
    (first,) = run.ledger.sent
    assert first.qualifier.split(";")[0] == told
    assert ("It rests until flightwatch is started anew" in first.facts[1]) == (told == "feed.resting")
    run.stop()
    run.start()
    run.through(timedelta(minutes=40))
    assert run.told() == ["outage 1", "outage_over 2"]
    run.stop()


# ----------------------------------------------------------------------------------------------- odd replies, and a full disk


def test_once_tells_of_what_was_out_before_it(tmp_path: Path, httpserver: HTTPServer, capsys: pytest.CaptureFixture[str]) -> None:
    """`run --once` from a calendar asks once each time: the feed was down the time before, and an outage is told."""
    httpserver.expect_request("/v2/all").respond_with_data("down", status=503)
    feed = FeedSettings(name="sky", base_url=httpserver.url_for(""), ask=["all"])
    clock = live.SystemClock()
    asked_of = queries(feed, [], None, clock.now)
    for minutes_ago in (20, 0):
        at = clock.now() - timedelta(minutes=minutes_ago)
        with Store(tmp_path) as store:
            ledger = Ledger()
            runner = live.Runner(store, pipeline(store, []), asked_of, live.Outlets({"ledger": ledger}, None, None), clock)
            assert _once(runner)
            if minutes_ago:  # as if it had been then
                store.health.keep([replace(h, updated=at, unanswered_since=at) for h in store.health.queries()])
            runner.book.close()
            assert ledger.stages() == ([] if minutes_ago else ["outage"])
    assert "503" in ledger.sent[0].facts[1]
    assert "1 failed (http_503 1)" in capsys.readouterr().out


def test_a_reply_that_nobody_foresaw_ends_one_poll(
    tmp_path: Path, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A parser that has a fault: counted, kept for whoever mends it, and the next reply is read."""
    clock = live.SystemClock()
    httpserver.expect_request("/v2/all").respond_with_handler(lambda _: Response(reply([], clock.now().timestamp())))
    feed = FeedSettings(name="sky", base_url=httpserver.url_for(""), ask=["all"], spacing_s=0.1)
    asked_of = queries(feed, [], None, clock.now)
    parse, broken = FORMATS["v2"], [True]

    def parser(*given: Any) -> Snapshot:
        if broken.pop():
            raise ZeroDivisionError("canary")
        return parse(*given)

    monkeypatch.setitem(poller.FORMATS, "v2", parser)
    with Store(tmp_path) as store:
        runner = live.Runner(store, pipeline(store, []), asked_of, live.Outlets({}, None, None), clock)
        assert not runner.poll(0)
        assert store.refused(clock.now() - timedelta(hours=1), clock.now() + timedelta(hours=1)) == {("sky", "not_understood"): 1}
        broken.append(False)
        assert runner.poll(0)
        runner.book.close()
    assert [r.levelname for r in caplog.records if "please report this" in r.message] == ["ERROR"]


def test_a_disk_without_room_for_health_leaves_room_for_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock(BEGIN)
    run = Run(tmp_path, clock, [Sky(clock).query()])
    run.on(timedelta(minutes=3))
    before = run.store.load_checkpoint()

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run.store.health, "keep", full)
    run.runner.close()
    assert run.store.load_checkpoint() != before
    assert [r.message for r in caplog.records if "No space left" in r.message and "at the next start" in r.message]
    run.store.close()


# --------------------------------------------------------------------------------------------------------------------- doctor


def test_the_doctor_sees_what_is_wrong(place_with_feed: Callable[[Callable[[Request], Response]], Place], typed: Typed) -> None:
    """First nothing is; then the feed refuses for good, a file is gone, and a message is dead."""
    answers = {"status": 200}

    def sky(_: Request) -> Response:
        return Response(reply([heading_for_pyongyang("155201", 0)], datetime.now(UTC).timestamp()), status=answers["status"])

    place = place_with_feed(sky)
    assert typed("doctor")[0] == 1  # there is no store yet
    typed("run", "--once")
    now = datetime.now(UTC)
    settings = Settings(feeds=[FeedSettings(name="sky", base_url="http://127.0.0.1:1", ask=["all"])])
    checks = examine(settings, Path(), place.store, now)
    assert [c.text for c in checks if not c.good] == ["running: no; `flightwatch run` starts it"]
    assert any("feed sky (everything, every 1 s): newest" in c.text for c in checks)
    with Store(place.store):
        assert is_well(examine(settings, Path(), place.store, now))
    assert not is_well(examine(settings, Path(), place.store, now + timedelta(hours=1)))
    answers["status"] = 403
    typed("run", "--once")
    status, said, _ = typed("doctor")
    assert status == 1
    assert "circuit shut" in said
    assert "1 http_403" in said
    assert "outbox: nothing was ever told" in said or "0 dead" in said
    (history,) = list((place.store / "legs").glob("*.parquet"))
    history.write_bytes(b"")
    assert f"damaged: legs/{history.name}" in typed("doctor")[1]


@pytest.fixture
def place_with_feed(tmp_path: Path, httpserver: HTTPServer) -> Callable[[Callable[[Request], Response]], Place]:
    def make(sky: Callable[[Request], Response]) -> Place:
        httpserver.expect_request("/v2/all").respond_with_handler(sky)
        place = Place(tmp_path)
        place.configure(httpserver.url_for(""))
        return place

    return make


def test_health_is_kept_for_others(tmp_path: Path) -> None:
    clock = FakeClock(BEGIN)
    sky = Sky(clock)
    run = Run(tmp_path, clock, [sky.query()])
    run.on(timedelta(minutes=3))
    sky.down = DOWN
    run.on(timedelta(minutes=20))
    with Store(tmp_path, read_only=True) as other:
        (health,) = other.health.queries()
    assert (health.circuit, health.last_reason) == ("open", "http_503")
    assert health.good >= 3
    assert health.failed["http_503"] >= 3
    assert "asked LESS OFTEN: sky (everything)" in run.runner.heartbeat()
    (line,) = [n for n in run.runner._desk._troubles() if "sky" in n]
    assert "less often" in line
    run.stop()


def test_an_older_store_has_no_health_and_says_nothing(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.catalog.db.execute("DROP TABLE health")
        store.catalog.db.execute("DROP TABLE outages")
    with Store(tmp_path, read_only=True) as store:
        assert (store.health.queries(), store.health.ongoing()) == ([], [])
    with Store(tmp_path) as store:
        store.health.note(Outage("sky", "silent", BEGIN, ("all",), "timeout"))
        assert len(store.health.ongoing()) == 1


def test_a_feed_that_is_switched_off_is_not_asked() -> None:
    assert queries(FeedSettings(name="sky", base_url="http://127.0.0.1:1", enabled=False), [], None, lambda: BEGIN) == []
