"""Live, as tests drive it: a made-up world polled by the real runner on a fast clock, with a channel that writes
down what it gets."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from flightwatch import backfill, live
from flightwatch.aircraft import Registry, read_watchlist
from flightwatch.config import DigestSettings, files_in
from flightwatch.feeds.http import Reply
from flightwatch.feeds.poller import Query
from flightwatch.imports import import_file
from flightwatch.pipeline import Pipeline
from flightwatch.places import Airports, airports
from flightwatch.records import Message, Scope
from flightwatch.rules import Rule, read_rules
from flightwatch.store import Store
from flightwatch.testing.clock import FakeClock
from flightwatch.testing.world import Flight, Sky, World

POLL_S = 240.0


@dataclass
class Ledger:
    """A channel that keeps what it is sent: an account that the program knows nothing of."""

    sent: list[Message] = field(default_factory=list)

    def send(self, message: Message, thread: str | None) -> str:
        self.sent.append(message)
        return f"post-{len(self.sent)}"

    def find(self, message: Message, thread: str | None, since_s: float) -> str | None:
        same = [i for i, m in enumerate(self.sent) if (m.alert_id, m.number) == (message.alert_id, message.number)]
        return f"post-{same[0] + 1}" if same else None

    def stages(self) -> list[str]:
        return [message.stage for message in self.sent]


def state_registry() -> Registry:
    return Registry([read_watchlist(p) for p in files_in(["shipped"], "watchlists", Path())])


@cache
def shipped_rules() -> tuple[Rule, ...]:
    """Read once: a third of a second, for what nothing changes."""
    return read_rules(files_in(["shipped"], "rules", Path()), state_registry(), airports(), []).rules


def import_history(store: Store) -> None:
    """The flight lists that ship."""
    for path in files_in(["shipped"], "history", Path()):
        import_file(store, path, format="legs", scope="reported", feed="reported")


@cache
def _with_history() -> Path:
    """A store that has them and nothing else, made once for all runs of this process."""
    folder = Path(tempfile.mkdtemp(prefix="flightwatch-history-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with Store(folder) as store:
        import_history(store)
    return folder


def pipeline(store: Store, rules: Sequence[Rule] | None = None) -> Pipeline:
    """The shipped rules, or others, told to the ledger."""
    told = [rule.model_copy(update={"notify": ["ledger"]}) for rule in (shipped_rules() if rules is None else rules)]
    return Pipeline(airports(), state_registry(), told, backfill.exposures(store))


def world(flights: Sequence[Flight], table: Airports) -> World:
    return World(tuple(flights), table, seed=3)


def query(sky: Sky, clock: FakeClock, every_s: float = POLL_S) -> Query:
    """The sky of the moment in the v2 format."""

    def read() -> Reply:
        now = clock.now().timestamp()
        return Reply(json.dumps({"ac": sky.entries(now), "now": round(now * 1000)}).encode())

    return Query("sky", "everything", Scope("world"), every_s, read, clock.now)


@contextmanager
def running(
    folder: Path,
    sky: Sky,
    clock: FakeClock,
    ledger: Ledger,
    checkpoint_every: timedelta = timedelta(hours=2),
    rules: Sequence[Rule] | None = None,
    digest: DigestSettings | None = None,
    every_s: float = POLL_S,
    asked: Sequence[Query] = (),
) -> Iterator[live.Runner]:
    """A runner on a store, with other queries than that of the sky where there are some. It is left as a kill would
    leave it: nothing is saved at the end, only the lock goes."""
    if not (folder / "catalog.sqlite").exists():
        shutil.copytree(_with_history(), folder, dirs_exist_ok=True)
    store = Store(folder)
    import_history(store)
    outlets = live.Outlets({"ledger": ledger}, None, digest)
    runner = live.Runner(
        store, pipeline(store, rules), asked or [query(sky, clock, every_s)], outlets, clock, checkpoint_every=checkpoint_every
    )
    try:
        yield runner
    finally:
        runner.book.close()
        store.close()


def poll_until(runner: live.Runner, clock: FakeClock, end: datetime) -> None:
    worker = runner.deliver()
    while clock.now() < end and runner.poll_next():
        runner.look_after()
        worker.run_once(clock.now())
