"""What was recorded plays again, through the same code, to the same legs and findings."""

from __future__ import annotations

import gzip
import json
import logging
import sqlite3
import threading
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from _pytest.logging import LogCaptureHandler
from pytest_httpserver import HTTPServer
from werkzeug import Response

from flightwatch import live, replaying
from flightwatch.config import FeedSettings, Secret
from flightwatch.errors import FeedError, InputError
from flightwatch.feeds.http import Reply
from flightwatch.feeds.poller import Query
from flightwatch.feeds.questions import queries
from flightwatch.feeds.recordings import BODIES, INDEX, Recorder, open_recording, record
from flightwatch.places import Airports
from flightwatch.records import Scope
from flightwatch.store import Store
from flightwatch.testing.clock import FakeClock
from flightwatch.testing.world import Sky
from tests.conftest import Typed
from tests.live_runs import Ledger, import_history, pipeline, query
from tests.processes import Place, heading_for_pyongyang, reply
from tests.test_recovery import BEGIN, END, sky


def played(folder: Path, recorded: Path, ledger: Ledger) -> None:
    """A recording, played into a store as fast as it goes."""
    recording = open_recording(recorded)
    head = replaying.Playhead(recording.entries)
    with Store(folder) as store:
        import_history(store)
        asked = recording.queries(head.current, head.now)
        runner = live.Runner(store, pipeline(store), asked, live.Outlets({"ledger": ledger}, None, None), head)
        replaying.replay(runner, recording, head, None, lambda _: False)
        runner.close()


def run(folder: Path, recorded: Path, seen: Sky, ledger: Ledger, until: datetime) -> None:
    """A live run that is recorded, with a feed that fails now and then and one that is refused for good."""
    clock = FakeClock(BEGIN)
    recorder = Recorder(recorded)
    good = query(seen, clock)
    asked = 0

    def read() -> Reply:
        nonlocal asked
        asked += 1
        if asked % 7 == 0:
            raise FeedError("http_503", "the sky answered 503", body=b"<html>down</html>")
        return good.read()

    def forbidden() -> Reply:
        raise FeedError("http_403", "no", permanent=True)

    shaky = Query("sky", "everything", Scope("world"), good.every_s, read, clock.now)
    shut = Query("other", "everything", Scope("world"), good.every_s, forbidden, clock.now)
    with Store(folder) as store:
        import_history(store)
        found = [recorder.recorded(q) for q in (shaky, shut)]
        runner = live.Runner(store, pipeline(store), found, live.Outlets({"ledger": ledger}, None, None), clock)
        worker = runner.deliver()
        while clock.now() < until and runner.poll_next():
            runner.look_after()
            worker.run_once(clock.now())
        runner.close()


def made(folder: Path) -> tuple[list[dict[str, Any]], list[tuple[Any, ...]], dict[tuple[str, str], int]]:
    """The legs, what was decided about visits, and what was refused."""
    with Store(folder, read_only=True) as store:
        legs = store.legs.table().sort_by([("icao24", "ascending"), ("first_seen", "ascending"), ("leg_id", "ascending")])
        refused = store.refused(BEGIN - timedelta(days=1), END + timedelta(days=9))
        polls = store.catalog.db.execute("SELECT feed, feed_time_us, content FROM snapshots ORDER BY seq").fetchall()
    with closing(sqlite3.connect(folder / "alerts.sqlite")) as book:
        decisions = book.execute("SELECT alert_id, time_us, stage, told, reason FROM decisions ORDER BY id").fetchall()
    return legs.to_pylist(), [*decisions, *polls], refused


def test_a_replay_makes_the_same_legs_and_findings(tmp_path: Path, airports: Airports) -> None:
    """Failures, refusals and all; and the same messages."""
    first, second = Ledger(), Ledger()
    run(tmp_path / "live", tmp_path / "tape", sky(airports), first, END)
    played(tmp_path / "again", tmp_path / "tape", second)
    one, two = made(tmp_path / "live"), made(tmp_path / "again")
    assert one[0] == two[0]
    assert one[1] == two[1]
    assert one[2] == two[2]
    assert len(one[0]) > 0
    stages = [m.stage for m in first.sent if m.stage not in ("outage", "outage_over")]
    assert stages
    assert [(m.alert_id, m.number, m.update) for m in first.sent] == [(m.alert_id, m.number, m.update) for m in second.sent]


def test_a_recording_holds_replies_and_no_secret(tmp_path: Path, httpserver: HTTPServer) -> None:
    """The body as it came, the headers that matter, the refusals; no key, no header that was sent."""
    body = reply([heading_for_pyongyang("155201", 0)], BEGIN.timestamp())
    answers = iter(
        [Response(body, headers={"Set-Cookie": "canary-cookie=1", "X-Rate-Limit-Remaining": "7"}), Response("no", 429)]
    )
    httpserver.expect_request("/v2/all").respond_with_handler(lambda _: next(answers))
    settings = FeedSettings(name="sky", base_url=httpserver.url_for(""), ask=["all"], key_env="K")
    recorder = Recorder(tmp_path)
    (asked,) = [recorder.recorded(q) for q in queries(settings, [], Secret("canary-key"), lambda: BEGIN)]
    assert asked.ask().credits_left == 7
    with pytest.raises(FeedError, match="429"):
        asked.ask()
    first, second = open_recording(tmp_path).entries
    assert (first.time, first.question, first.format) == (BEGIN, ("sky", "everything"), "v2")
    assert gzip.decompress((tmp_path / BODIES / first.body).read_bytes()) == body
    assert (first.headers or {})["X-Rate-Limit-Remaining"] == "7"
    assert (second.error, second.permanent) == ("http_429", False)
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and b"canary" in p.read_bytes()]


def test_recording_ends_where_everything_is_refused_or_asked_often_enough(tmp_path: Path) -> None:
    body = reply([heading_for_pyongyang("155201", 0)], BEGIN.timestamp())

    def forbidden() -> Reply:
        raise FeedError("http_403", "no", permanent=True)

    good = Query("sky", "all", Scope("world"), 0.05, lambda: Reply(body), lambda: BEGIN)
    shut = Query("other", "all", Scope("world"), 0.05, forbidden, lambda: BEGIN)
    assert record([good, shut], threading.Event(), rounds=3) == 3
    assert record([shut], threading.Event()) == 0
    stop = threading.Event()
    stop.set()
    assert record([good], stop) == 0


def test_what_a_crash_left_of_a_recording_still_plays(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no recording"):
        open_recording(tmp_path)
    recorder = Recorder(tmp_path)
    body = reply([heading_for_pyongyang("155201", 0)], BEGIN.timestamp())
    asked = recorder.recorded(Query("sky", "all", Scope("world"), 60.0, lambda: Reply(body), lambda: BEGIN))
    asked.fetch()
    with (tmp_path / INDEX).open("a") as file:
        file.write('{"time": "2023-0')
    (entry,) = open_recording(tmp_path).entries
    again_recorded = Recorder(tmp_path).recorded(Query("sky", "all", Scope("world"), 60.0, lambda: Reply(body), lambda: BEGIN))
    again_recorded.fetch()
    assert len(open_recording(tmp_path).entries) == 2, "the cut line costs itself alone"
    (tmp_path / BODIES / entry.body).write_bytes(b"\x1f\x8bnot gzip")
    head = replaying.Playhead((entry,))
    (again,) = open_recording(tmp_path).queries(head.current, head.now)
    with pytest.raises(FeedError, match="cannot be read"):
        again.fetch()
    with (tmp_path / INDEX).open("w") as file:
        file.write(
            json.dumps({"time": BEGIN.isoformat(), "feed": "x", "label": "y", "format": "beast", "every_s": 1, "scope": "{}"})
        )
    with pytest.raises(InputError, match="`beast` is not known"):
        open_recording(tmp_path)


def test_what_is_shut_for_good_is_not_promised_to_be_tried_again(tmp_path: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/v2/all").respond_with_data("no", status=403)
    httpserver.expect_request("/v2/mil").respond_with_data("later", status=503)
    feed = FeedSettings(name="sky", base_url=httpserver.url_for(""), ask=["all", "military"], spacing_s=0.1)
    recorder, heard = Recorder(tmp_path), LogCaptureHandler()
    logging.getLogger("flightwatch").addHandler(heard)  # what others do to the root's handlers does not matter
    try:
        asked = [recorder.recorded(q) for q in queries(feed, [], None, lambda: BEGIN)]
        assert record(asked, threading.Event(), rounds=1) == 0
    finally:
        logging.getLogger("flightwatch").removeHandler(heard)
    refused, down = [r.getMessage() for r in heard.records]
    assert "[http_403]; not asked again until flightwatch is started anew" in refused
    assert "[http_503]; next try in" in down


def test_recording_and_playing_from_the_command_line(typed: Typed, tmp_path: Path, httpserver: HTTPServer) -> None:
    """`record`, then `run --replay` into a store of its own; the second time it says that there is one."""
    import time

    begun = time.time()
    httpserver.expect_request("/v2/all").respond_with_handler(
        lambda _: Response(reply([heading_for_pyongyang("15521f", time.time() - begun)], time.time()))
    )
    place = Place(tmp_path)
    place.configure(httpserver.url_for(""))
    status, told, complained = typed("record", "tape", "--rounds", "2")
    assert status == 0, complained
    assert "2 good replies" in told
    status, told, complained = typed("run", "--replay", "tape", "--speed", "50")
    assert status == 0, complained
    assert "2 of 2 replies were good" in told
    with Store(tmp_path / "tape" / "store", read_only=True) as store:
        assert store.snapshots.rows() == 2
    status, _, complained = typed("run", "--replay", "tape")
    assert status == 1
    assert "name another one with --store" in complained
    assert not place.store.exists()
    status, _, complained = typed("run", "--once", "--record", "second")
    assert status == 0, complained
    assert len(open_recording(tmp_path / "second").entries) == 1
