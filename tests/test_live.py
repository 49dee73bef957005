"""`flightwatch run` against servers on loopback: real replies, bad ones, a stop and a start."""

from __future__ import annotations

import json
import logging
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from flightwatch import cli, live
from flightwatch.config import DigestSettings, FeedSettings
from flightwatch.deliveries.email import Mailer, MailServer
from flightwatch.feeds.questions import queries
from flightwatch.store import Store
from flightwatch.testing.clock import FakeClock
from flightwatch.testing.slack import SlackServer
from tests.conftest import Typed, real
from tests.live_runs import Ledger, pipeline
from tests.processes import Place, heading_for_pyongyang, reply, stop, wait_for


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# --------------------------------------------------------------------------------------------------------- a real sky, once


@pytest.mark.parametrize("share", [10, pytest.param(1, marks=pytest.mark.slow)])
def test_a_snapshot_of_the_whole_world(share: int, typed: Typed, place: Place, httpserver: HTTPServer) -> None:
    """8,423 aircraft, or one in ten of them, its clock set to now: what is plausible is stored, the rest counted by reason,
    nothing alerts."""
    data = json.loads(real("feeds/readsb_global_20220501.json").read_bytes())
    data |= {"aircraft": data["aircraft"][::share], "now": time.time()}
    shifted = json.dumps(data).encode()
    httpserver.expect_request("/v2/all").respond_with_data(shifted, content_type="application/json")
    place.configure(httpserver.url_for(""))
    status, told, complained = typed("run", "--once")
    assert status == 0, complained
    assert "positions stored; refused: " in told
    assert "ALERT" not in told
    with Store(place.store, read_only=True) as store:
        ((_, snapshot),) = store.snapshots.after(0)
    kept, refused = len(snapshot.positions), sum(snapshot.refused.values())
    assert kept + refused == len(data["aircraft"])
    assert kept > 7000 / share
    assert {"no_position"} <= set(snapshot.refused)


def test_the_same_snapshot_unshifted_is_stale(typed: Typed, place: Place, httpserver: HTTPServer) -> None:
    """A copy of years ago says nothing about now."""
    httpserver.expect_request("/v2/all").respond_with_data(real("feeds/readsb_global_20220501.json").read_bytes())
    place.configure(httpserver.url_for(""))
    status, told, complained = typed("run", "--once")
    assert status == 1
    assert "stale" in complained
    assert "BLIND" in told
    with Store(place.store, read_only=True) as store:
        assert store.snapshots.rows() == 0
        assert [reason for _, reason in store.refused(datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC))] == ["stale"]


# ------------------------------------------------------------------------------------------------------------------ bad input


def test_bad_replies_are_told_and_the_run_goes_on(
    tmp_path: Path, httpserver: HTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Each of them is one clear line; then a good one is stored, once, however often it comes."""
    clock = FakeClock(datetime(2024, 3, 1, 12, 0, tzinfo=UTC))
    good = reply([heading_for_pyongyang("a00001", 0)], clock.now().timestamp())
    answers = iter(
        [
            Response(good[: len(good) // 2]),
            Response("<html><body>checking your browser</body></html>", content_type="text/html"),
            Response("slow down", status=429, headers={"Retry-After": "40"}),
            Response(b""),
            Response("down", status=503),
            Response(good),
            Response(good),
        ]
    )
    httpserver.expect_request("/v2/all").respond_with_handler(lambda _: next(answers))
    ledger = Ledger()
    settings = FeedSettings(name="sky", base_url=httpserver.url_for(""), ask=["all"], every_s=10.0)
    dead = FeedSettings(name="gone", base_url="http://127.0.0.1:9", ask=["all"], every_s=3600.0)
    with Store(tmp_path) as store, caplog.at_level(logging.INFO):
        asked = [q for s in (settings, dead) for q in queries(s, [], None, clock.now)]
        runner = live.Runner(store, pipeline(store), asked, live.Outlets({"ledger": ledger}, None, None), clock)
        for _ in range(7):
            runner.poll(0)
            clock.sleep(1.0)
        runner.poll(1)
        told = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
        for line, reason in zip(told, ["not_json", "wrong_type", "http_429", "empty", "http_503", "unreachable"], strict=True):
            assert f"[{reason}]" in line
            assert "\n" not in line
            assert "next try in" in line
        assert [r.getMessage() for r in caplog.records if "same reply" in r.getMessage()]
        assert store.snapshots.rows() == 1
        assert "6 failed" in runner.heartbeat()
        kept = sorted(p.name.split("-")[-1] for p in (tmp_path / "refused").iterdir())
        assert kept == ["http_429.body", "http_503.body", "not_json.body", "wrong_type.body"]
        runner.close()


def test_a_clock_that_goes_back_brings_nothing(tmp_path: Path, httpserver: HTTPServer) -> None:
    """Two servers behind one name, five seconds apart: what the slower one says is older than what is known."""
    clock = FakeClock(datetime(2024, 3, 1, 12, 0, tzinfo=UTC))
    ages = iter([0, 15, 0, 15])
    httpserver.expect_request("/v2/all").respond_with_handler(
        lambda _: Response(reply([heading_for_pyongyang("a00001", 60)], clock.now().timestamp() - next(ages)))
    )
    with Store(tmp_path) as store:
        settings = FeedSettings(name="sky", base_url=httpserver.url_for(""), ask=["all"], every_s=10.0)
        asked = queries(settings, [], None, clock.now)
        runner = live.Runner(store, pipeline(store), asked, live.Outlets({"ledger": Ledger()}, None, None), clock)
        for _ in range(4):
            assert runner.poll(0)
            clock.sleep(10.0)
        assert store.snapshots.rows() == 2
        assert store.marked() == {}, "nothing has to be derived anew"
        runner.close()


# --------------------------------------------------------------------------------------------------------------- start and stop


def sky(begin: float) -> Callable[[Request], Response]:
    """One state aircraft on its way to Pyongyang since `begin`."""
    return lambda _: Response(reply([heading_for_pyongyang("15521f", time.time() - begin)], time.time()))


def test_it_stops_when_asked_and_goes_on_where_it_was(
    typed: Typed, place: Place, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs, one alert; the second neither repeats it nor loses a snapshot of the first."""
    monkeypatch.setenv("FLIGHTWATCH_T", "not-a-real-token")
    httpserver.expect_request("/v2/all").respond_with_handler(sky(time.time()))
    with SlackServer(time.time) as slack:
        place.configure(httpserver.url_for(""), slack.api)
        process = place.start("run")
        wait_for(lambda: slack.posts)
        status, _, err = stop(process)
        assert status == 0, err
        assert "sky: everything, every 1 s" in err
        with Store(place.store, read_only=True) as store:
            before = [seq for seq, _ in store.snapshots.after(0)]
        for _ in range(2):
            status, _, err = typed("run", "--once")
            assert status == 0, err
        with Store(place.store, read_only=True) as store:
            after = [seq for seq, _ in store.snapshots.after(0)]
        assert after[: len(before)] == before
        assert len(after) > len(before)
        assert len([p for p in slack.posts if p.thread_ts is None]) == 1
    httpserver.check()


def test_a_mail_server_that_hangs_holds_no_stop_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and says nothing: a stop waits for it as long as it may, and the thread that waits for longer
    keeps no process alive."""
    monkeypatch.setattr(live, "LAST_DELIVERY_S", 0.3)
    clock, told = live.SystemClock(), threading.Event()
    digest = DigestSettings.model_validate({"to": ["desk@example.org"], "from": "f@example.org"})
    held: list[tuple[socket.socket, float]] = []
    with socket.create_server(("127.0.0.1", 0)) as silent, Store(tmp_path) as store:
        silent.settimeout(20)

        def stopped_in_the_middle() -> None:
            connection, _ = silent.accept()
            held.append((connection, time.monotonic()))
            told.set()

        mailer = Mailer(MailServer("127.0.0.1", silent.getsockname()[1]), "f@example.org")
        runner = live.Runner(store, pipeline(store, []), [], live.Outlets({}, mailer, digest), clock)
        runner.book.post_digest("2024-03-01", [("desk@example.org", b"From: f@example.org\n\nhello")], clock.now())
        stopper = threading.Thread(target=stopped_in_the_middle)
        stopper.start()
        live.run(runner, clock, told, tmp_path / "alerts.sqlite", lambda: None)
        stopper.join()
        ((connection, begun),) = held
        assert 0.3 < time.monotonic() - begun < 8.0
        (left,) = [t for t in threading.enumerate() if t.name == "deliveries: mail"]
        assert left.daemon
        connection.close()
    left.join(20)
    assert runner.book.counts().get("sent", 0) == 0
    runner.book.close()


@pytest.mark.slow
def test_a_process_ends_while_a_mail_server_hangs(place: Place, httpserver: HTTPServer) -> None:
    """The same, as systemd sees it; and the mail is kept."""
    httpserver.expect_request("/v2/all").respond_with_handler(sky(time.time()))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place.configure(httpserver.url_for(""))
        config = place.folder / "flightwatch.yaml"
        port = silent.getsockname()[1]
        to = ", ".join(f"desk{n}@example.org" for n in range(5))
        config.write_text(config.read_text() + f"digest: {{to: [{to}], from: f@example.org, at: '00:00', port: {port}}}\n")
        place.run("run", "--once")  # the first day has no digest
        with closing(sqlite3.connect(place.store / "alerts.sqlite")) as db, db:
            db.execute("DELETE FROM digests")
            db.execute("INSERT INTO digests VALUES ('2020-01-01', 0)")
        process = place.start("run")
        silent.settimeout(20)
        connection, _ = silent.accept()
        begun = time.monotonic()
        status, _, err = stop(process)
        took = time.monotonic() - begun
        connection.close()
    assert status == 0, err
    assert took < 10, "as long as systemd would wait"
    with closing(sqlite3.connect(place.store / "alerts.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM outbox WHERE state = 'waiting'").fetchone() == (5,)


def test_a_second_process_is_sent_away_with_the_holders_name(typed: Typed, place: Place, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/v2/all").respond_with_handler(sky(time.time()))
    place.configure(httpserver.url_for(""))
    process = place.start("run")
    try:
        wait_for(lambda: len(httpserver.log) >= 1)
        status, _, complained = typed("run", "--once")
        assert status == cli.BUSY
        assert f"pid {process.pid}" in complained
        status, _, complained = typed("legs")
        assert status == 0, complained
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    status, _, complained = typed("run", "--once")  # the lock goes with the process that held it
    assert status == 0, complained


def test_the_key_of_a_service_appears_nowhere(
    typed: Typed, place: Place, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the output, not in the log, not in any file of the store."""
    canary = "canary-5f1d"
    httpserver.expect_request("/v2/all").respond_with_data("no", status=401)
    place.configure(httpserver.url_for(""))
    config = place.folder / "flightwatch.yaml"
    config.write_text(config.read_text().replace("every_s: 1.0", "every_s: 1.0, key_env: FLIGHTWATCH_KEY"))
    monkeypatch.setenv("FLIGHTWATCH_KEY", canary)
    status, told, complained = typed("run", "--once", "--verbose")
    assert status == 1
    assert httpserver.log[0][0].headers["x-api-key"] == canary
    assert "the key is missing or wrong" in complained
    assert canary not in told + complained
    assert not [p for p in place.store.rglob("*") if p.is_file() and canary.encode() in p.read_bytes()]


def test_the_catalog_is_read_only_for_others(typed: Typed, place: Place, httpserver: HTTPServer) -> None:
    """A reader that opens the store while it is written to cannot change it."""
    httpserver.expect_request("/v2/all").respond_with_handler(sky(time.time()))
    place.configure(httpserver.url_for(""))
    typed("run", "--once")
    with Store(place.store, read_only=True) as store, pytest.raises(sqlite3.OperationalError, match="readonly"):
        store.catalog.db.execute("DELETE FROM snapshots")
