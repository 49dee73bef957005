"""Journeys judged against what is on record, nearly half of them in a process of their own where there are many.

In: journeys with who flew them, the rules that may find something in each, and all that judging takes (`Task`). Out: what
the rules find. Journeys are judged one by one, in Python, so a second process nearly halves the time; what comes out is the
same. It is a plain interpreter that reads a `Task`, pickled, from its input and writes findings to its output, as MessagePack;
both ends are this program's.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import IO

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flightwatch.aircraft import Registry
from flightwatch.errors import FlightwatchError
from flightwatch.legs.journeys import journeys
from flightwatch.pipeline import Pipeline, State
from flightwatch.places import Airports
from flightwatch.rarity import Baseline, Exposure
from flightwatch.rarity.baseline import Record
from flightwatch.records import Aircraft, Finding, Leg, legs_from_table
from flightwatch.rules import Rule

Ints = NDArray[np.int64]

WORTH_IT = 10_000
"""Journeys from which on a second process, which takes two seconds to begin, is worth it."""

THEIRS = 0.45
"""The share of the journeys that the other process judges: it begins later, because it has the task to read."""

BATCH = 5_000
"""Journeys whose legs are in memory as records at once."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Finding]).decode


@dataclass(frozen=True)
class Known:
    """Legs that were read: a table of `LEGS` with the number of each, in order."""

    numbers: Ints
    table: pa.Table

    def read(self, numbers: Ints) -> list[Leg]:
        """Some of them. All have to be known."""
        return legs_from_table(self.table.take(pa.array(np.searchsorted(self.numbers, numbers))))

    def among(self, numbers: Ints) -> Ints:
        """Those of some legs that are known."""
        return numbers[np.isin(numbers, self.numbers)]


@dataclass(frozen=True)
class Asked:
    """A journey: its legs from `first` to below `over`, by their numbers, and from `begin` to below `end` all that are needed
    to judge it; who flew it, and the rules that may find something."""

    first: int
    over: int
    begin: int
    end: int
    who: Aircraft
    rules: Sequence[Rule]


@dataclass(frozen=True)
class Task:
    """Journeys to judge, with the legs around them and what is on record. Findings about the end of a leg that is not among
    `told` are left out."""

    airports: Airports
    rules: Sequence[Rule]
    exposures: Sequence[Exposure]
    record: Record
    known: Known
    told: Ints
    asked: Sequence[Asked]
    now: datetime


Judge = subprocess.Popen[bytes]


@contextmanager
def second_judge(journeys: int) -> Iterator[Judge | None]:
    """Another process to judge so many journeys with, if it is worth it; it gets ready while the caller does."""
    if journeys < WORTH_IT or (os.cpu_count() or 1) < 2:
        yield None
        return
    other = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield other
    finally:
        other.kill()  # it has nothing left to do, or nobody wants it any more
        with other:  # which closes its pipes and waits for its end
            pass


def judge(task: Task, other: Judge | None) -> list[Finding]:
    """What rules find in journeys, without how rare it was. A share of them is for the other process."""
    with _uncollected():
        if other is None:
            return list(_findings(task))
        half = round(len(task.asked) * (1 - THEIRS))
        return _shared(replace(task, asked=task.asked[:half]), replace(task, asked=task.asked[half:]), other)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the search for circles of things that nobody needs any more: records have none, and among so many of them it
    takes a quarter of the time. What is left counts as old afterwards, which is seldom searched."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting and not gc.get_freeze_count():  # what the caller froze stays so
            gc.freeze()
            gc.unfreeze()  # among the old, without a search
        if collecting:
            gc.enable()


def _findings(task: Task) -> Iterator[Finding]:
    pipeline = Pipeline(task.airports, Registry(), task.rules)
    state = State(Baseline.of(task.airports, task.record, task.exposures))
    told = set(task.told.tolist())
    for batch in (task.asked[at : at + BATCH] for at in range(0, len(task.asked), BATCH)):
        numbers = task.known.among(np.unique(np.concatenate([np.arange(asked.begin, asked.end) for asked in batch])))
        legs = dict(zip(numbers.tolist(), task.known.read(numbers), strict=True))
        for asked in batch:
            around = tuple(legs[number] for number in range(asked.begin, asked.end) if number in legs)
            flown = {number: legs[number] for number in range(asked.first, asked.over) if number in legs}
            chosen = {leg.leg_id for number, leg in flown.items() if number in told}
            for journey in journeys(list(flown.values())):
                found = pipeline.judge_journey(state, asked.who, around, journey, asked.rules, task.now)
                yield from (finding for finding in found if finding.there.arrival.leg_id in chosen)


def _shared(task: Task, rest: Task, other: Judge) -> list[Finding]:
    assert other.stdin is not None
    assert other.stdout is not None
    sender = threading.Thread(target=_send, args=(rest, other.stdin), name="journeys", daemon=True)
    sender.start()
    try:
        mine, theirs = list(_findings(task)), other.stdout.read()
        ended = other.wait()
    finally:
        other.kill()  # so that nothing waits for it
        sender.join()
    if ended:
        raise FlightwatchError("the process that judges some of the journeys ended early; see what it said above")
    return [*mine, *_decode(theirs)]


def _send(task: Task, to: IO[bytes]) -> None:
    """Where the other process is gone, whoever waits for its answer finds out."""
    with suppress(OSError), to:
        pickle.dump(task, to, pickle.HIGHEST_PROTOCOL)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who asked hears it, too, and says what is to become of this one
    with suppress(BrokenPipeError), _uncollected():
        sys.stdout.buffer.write(_encode(list(_findings(pickle.load(sys.stdin.buffer)))))
        sys.stdout.buffer.flush()
