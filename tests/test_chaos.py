"""kill -9 at random moments, against accounts that the program does not keep: what the catalog had committed, and what
Slack had taken, is there in the end; nothing is lost, nothing is told twice."""

from __future__ import annotations

import multiprocessing
import random
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from flightwatch.alerts import AlertBook
from flightwatch.store import Store
from flightwatch.testing.slack import SlackServer
from tests.flood import PER_SNAPSHOT, flood
from tests.processes import TAILS, Place, heading_for_pyongyang, reply, stop, wait_for

KILLS = 10
NEW_TAIL_EVERY_S = 1.5


def committed(place: Place) -> dict[int, int]:
    """The snapshots that the catalog has committed by now, with their rows: read from outside, as it stands."""
    path = place.store / "catalog.sqlite"
    if not path.exists():
        return {}
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
        try:
            return dict(db.execute("SELECT seq, rows FROM snapshots").fetchall())
        except sqlite3.OperationalError:  # killed before the tables were made
            return {}


def waiting(place: Place) -> int:
    with closing(sqlite3.connect(f"file:{place.store / 'alerts.sqlite'}?mode=ro", uri=True, timeout=10)) as db:
        return int(db.execute("SELECT count(*) FROM outbox WHERE state = 'waiting'").fetchone()[0])


def named_tail(post_text: str, alert: str) -> str:
    tail = alert.split("-")[0]
    assert tail in TAILS, post_text
    return tail


@pytest.mark.chaos
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_and_nothing_told_twice_when_it_is_killed(seed: int, tmp_path: Path, httpserver: HTTPServer) -> None:
    """Ten kills while state aircraft turn up one after the other; then a run that is left alone."""
    lot, begin, place = random.Random(seed), time.time(), Place(tmp_path)
    until = begin + 1e9

    def sky(_: Request) -> Response:
        now = time.time()
        flying = [(tail, begin + i * NEW_TAIL_EVERY_S) for i, tail in enumerate(TAILS)]
        entries = [heading_for_pyongyang(tail, now - since) for tail, since in flying if since < min(now, until)]
        return Response(reply(entries, now))

    httpserver.expect_request("/v2/all").respond_with_handler(sky)
    acknowledged: dict[int, int] = {}
    with SlackServer(time.time) as slack:
        place.configure(httpserver.url_for(""), slack.api)
        for _ in range(KILLS):
            process = place.start("run")
            time.sleep(lot.uniform(0.3, 5.0))  # the moment of the kill is the test: seeded, and right at any moment
            acknowledged |= committed(place)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        until = time.time()
        process = place.start("run")
        served = len(httpserver.log)
        wait_for(lambda: len(httpserver.log) > served + 2 and waiting(place) == 0, 120)
        status, _, err = stop(process)
        assert status == 0, err
        posts = list(slack.posts)
    assert acknowledged, "it was killed before it stored anything: the machine is too slow for this test"
    with Store(place.store, read_only=True) as store:
        stored = {seq: len(snapshot.positions) for seq, snapshot in store.snapshots.after(0)}
        seen = set(store.snapshots.positions()["icao24"].to_pylist())
    assert acknowledged.items() <= stored.items(), "acknowledged snapshots are there, whole"
    payloads = [p.metadata["event_payload"] for p in posts]
    told = Counter((p["alert"], p["number"]) for p in payloads)
    assert {key: n for key, n in told.items() if n > 1} == {}, "nothing is told twice"
    alerted = Counter(named_tail(p.text, p.metadata["event_payload"]["alert"]) for p in posts if p.thread_ts is None)
    assert set(alerted) == seen, "every aircraft that was seen going there was told of"
    assert set(alerted.values()) == {1}, "one message for one visit"
    assert len(seen) >= KILLS / 2


FLOOD, FLOOD_KILLS, ENDLESS = 3_000, 49, 10**7
"""Alerts at least, and kills; and more than any machine raises meanwhile."""


@pytest.mark.chaos
def test_of_thousands_of_alerts_none_is_lost_and_none_told_twice(tmp_path: Path) -> None:
    """Killed 49 times while it raises alerts and delivers them as fast as it can, however fast that is; then left alone until
    all is out."""
    lot = random.Random(3)
    context = multiprocessing.get_context("forkserver")  # which imports once
    context.set_forkserver_preload(["tests.flood"])
    with SlackServer(time.time) as slack:
        path, raised = tmp_path / "alerts.sqlite", 0
        for kills in range(FLOOD_KILLS + 1):
            ready, tell = context.Pipe(duplex=False)
            process = context.Process(target=flood, args=(path, slack.api, raised if kills == FLOOD_KILLS else ENDLESS, tell))
            process.start()
            assert ready.recv() == "ready"
            if kills < FLOOD_KILLS:
                time.sleep(lot.uniform(0.02, 0.5))  # the moment of the kill is the test: seeded, and right at any moment
                process.kill()
            process.join(300)
            with AlertBook(path, read_only=True) as book:
                raised = max(book.applied * PER_SNAPSHOT, FLOOD)
        assert process.exitcode == 0
        told = Counter((p.metadata["event_payload"]["alert"], p.metadata["event_payload"]["number"]) for p in slack.posts)
    assert len({alert for alert, _ in told}) == raised, "none is lost"
    assert {key: n for key, n in told.items() if n > 1} == {}, "and what may have gone out was looked up"
