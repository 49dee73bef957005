"""A process that raises alerts by the thousand and delivers them as fast as it can, to be killed. It goes on where the one
before it was killed, says when it begins, and ends when all is out."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

from flightwatch.alerts import AlertBook
from flightwatch.alerts.lifecycle import AT_ONCE
from flightwatch.config import Secret
from flightwatch.deliveries import worker
from flightwatch.deliveries.slack import Slack
from tests.test_alerts import RULE
from tests.test_quiet import composed, visit

PER_SNAPSHOT = AT_ONCE
"""As many as get messages of their own."""

MOST_WAITING = 200
"""Alerts are not raised faster than they get out, or most of them would be delivered when nobody kills any more."""


def flood(path: Path, api: str, count: int, ready: Connection) -> None:
    worker.PACE = timedelta(0)  # the one message a second that Slack wants
    rule = RULE.__class__(RULE.rule_id, RULE.title, RULE.severity, ("slack",))
    with AlertBook(path) as book:
        book.take_over()
        ready.send("ready")
        done = threading.Event()
        deliverer = threading.Thread(target=_deliver, args=(path, api, done))
        deliverer.start()
        for seq in range(book.applied + 1, count // PER_SNAPSHOT + 1):
            while book.counts().get("waiting", 0) > MOST_WAITING:
                done.wait(0.01)
            found = [visit(f"v{seq}-{n}", timedelta(), rule) for n in range(PER_SNAPSHOT)]
            book.apply(seq, found, composed, datetime.now(UTC))
        done.set()
        deliverer.join()


def _deliver(path: Path, api: str, done: threading.Event) -> None:
    with AlertBook(path) as book:
        out = worker.Worker(book, {"slack": Slack("C1", Secret("canary"), api)}, None, [])
        while not (done.is_set() and book.counts().get("waiting", 0) == 0):
            if not out.run_once(datetime.now(UTC)):
                done.wait(0.05)
