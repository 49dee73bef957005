"""How long it takes from a feed's answer to the message at Slack: a full sky every few seconds, and with each reply an aircraft
that a rule is about.

    python benchmarks/latency.py [--aircraft 12500] [--polls 60] [--every 4]

Everything runs as in `flightwatch run`: the loop, the deliveries in their thread, the store and the book on disk; the feed
answers at once, Slack is a server on loopback. Between two messages to a channel there is a second at least, so alerts
come one a reply. Nothing here is a test: no figure fails.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from bench import a_reply

from flightwatch import live
from flightwatch.aircraft import Registry
from flightwatch.config import Secret
from flightwatch.deliveries.slack import Slack
from flightwatch.feeds.http import Reply
from flightwatch.feeds.poller import Query
from flightwatch.pipeline import Pipeline
from flightwatch.places import airports
from flightwatch.records import Scope
from flightwatch.rules import Rule
from flightwatch.store import Store
from flightwatch.testing.slack import SlackServer

WATCHED = 0xABC000
WARM_UP = 3
"""Replies before anybody is watched: the first one shows every aircraft for the first time."""


class Sky:
    """A reply with so many aircraft whenever it is asked for, and when each was given. From the fourth on each has one more
    that is watched."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._begun = time.time()
        self.given: list[float] = []

    def read(self) -> Reply:
        body = json.loads(a_reply(self._count, round(time.time() - self._begun)))
        watched = [
            {"hex": f"{WATCHED + n:06x}", "type": "adsb_icao", "alt_baro": 35_000, "gs": 450.0, "track": 90.0,
             "lat": 50.0 + n / 9, "lon": 9.0, "seen": 0.2, "seen_pos": 0.4}
            for n in range(len(self.given) - WARM_UP)
        ]  # fmt: skip
        reply = Reply(json.dumps({"ac": [*body["ac"], *watched], "now": time.time() * 1000}).encode())
        self.given.append(time.time())
        return reply


def latencies(folder: Path, count: int, polls: int, every_s: float) -> list[float]:
    """Seconds from the reply in which an aircraft was first to the message about it."""
    sky, stop, told = Sky(count), threading.Event(), dict[str, float]()
    rule = Rule.model_validate({"id": "any", "title": "Any", "when": {"aircraft": {"icao24": ["abc*"]}}, "notify": ["slack"]})
    with SlackServer(time.time) as slack, Store(folder) as store:
        query = Query("bench", "everything", Scope("world"), every_s, sky.read, lambda: datetime.now(UTC))
        outlets = live.Outlets({"slack": _Timed(Slack("C1", Secret("none"), slack.api), told)}, None, None)
        runner = live.Runner(store, Pipeline(airports(), Registry(), [rule]), [query], outlets, live.SystemClock())
        ending = threading.Thread(target=_stop_after, args=(sky, polls, every_s, stop))
        ending.start()
        live.run(runner, live.SystemClock(), stop, folder / "alerts.sqlite", lambda: None)
        ending.join()
        runner.close()
    first = {f"{WATCHED + n:06x}": given for n, given in enumerate(sky.given[WARM_UP + 1 :])}
    return [at - first[alert.split("-")[0]] for alert, at in told.items()]


class _Timed:
    """A channel that notes when it was about to send."""

    def __init__(self, channel: Slack, told: dict[str, float]) -> None:
        self._channel, self._told = channel, told
        self.find: Callable[..., str | None] = channel.find

    def send(self, message, thread):  # type: ignore[no-untyped-def]  # as the channel has it
        self._told.setdefault(message.alert_id, time.time())
        return self._channel.send(message, thread)


def _stop_after(sky: Sky, polls: int, every_s: float, stop: threading.Event) -> None:
    while len(sky.given) < polls:
        time.sleep(0.1)
    time.sleep(every_s)
    stop.set()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--aircraft", type=int, default=12_500)
    parser.add_argument("--polls", type=int, default=60)
    parser.add_argument("--every", type=float, default=4.0, help="seconds between two replies")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = latencies(Path(folder), asked.aircraft, asked.polls, asked.every)
    print(f"from a reply with {asked.aircraft:,} aircraft to the message at Slack: {len(found)} alerts,")
    print(f"  {np.median(found):.2f} s median, {np.quantile(found, 0.99):.2f} s p99, {max(found):.2f} s at the most")


if __name__ == "__main__":
    main()
