"""Driving live with a recording: the same queries, the same code, on the recording's own clock.

In: a recording and a runner on a store of its own. Out: what the runner makes of it. Polls come in the order and at the
times in which they were recorded, at any speed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from flightwatch.feeds.recordings import Entry, Recording
from flightwatch.live import Runner


@dataclass
class Playhead:
    """Where in the recording we are; a clock for `live`, which is set and never runs by itself."""

    entries: tuple[Entry, ...]
    at: int = 0

    def current(self) -> Entry:
        return self.entries[self.at]

    def now(self) -> datetime:
        return self.current().time

    def monotonic(self) -> float:
        return (self.now() - self.entries[0].time).total_seconds()

    def sleep(self, seconds: float) -> None:
        """Time passes when the recording goes on."""


def replay(runner: Runner, recording: Recording, head: Playhead, speed: float | None, wait: Callable[[float], bool]) -> int:
    """Plays a recording; `speed` is how many seconds of it pass in one of ours (None: as fast as it goes). `wait` waits
    and says whether to stop. Returns how many polls were good."""
    indexes = {(q.name, q.label): i for i, q in enumerate(runner.schedule.queries)}
    worker = runner.deliver()
    good = 0
    for number, entry in enumerate(recording.entries):
        gap_s = (entry.time - head.now()).total_seconds()
        if wait(gap_s / speed if speed else 0.0):
            break
        head.at = number
        good += runner.poll(indexes[entry.question])
        runner.look_after()
        worker.run_once(head.now())
    return good
