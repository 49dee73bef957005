"""Stored positions become pieces of tracks in a process of their own, ahead of the legs that are drawn up of them.

Going through positions needs neither history nor names, drawing up legs needs both and no positions: two processes
share the work of a backfill about evenly, and what comes out is the same. The other process is a plain interpreter
that is told on its input which portions to read, and writes what became of each to its output, pickled; both ends are this
program's. Positions are read where they are worked on, the next portion while one is worked on.
"""

from __future__ import annotations

import gc
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import IO

from flightwatch import legs as leg_stage
from flightwatch.errors import FlightwatchError
from flightwatch.legs import LegState
from flightwatch.legs.rows import Rows, empty_rows
from flightwatch.pipeline import TrackedDay, by_day
from flightwatch.store import Portion

WORTH_IT = 3_000_000
"""Positions from which on a second process, which takes a second or two to begin, is worth it."""

AHEAD = 2
"""Portions that wait for the other process, so that it has something to do while legs are drawn up."""

PIPE_BYTES = 1 << 20
"""What Linux lets anybody have: what became of a portion crosses in fewer turns than by the usual 64 kB."""

KEEPS_MEMORY = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 27),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
}
"""For glibc (others ignore it): arrays of some megabytes come and go with each pass, and what is given back to the system has
to be had from it again page by page, a tenth of what the other process takes. It keeps up to a gigabyte."""

Damage = tuple[Path, str]


@dataclass(frozen=True, slots=True)
class ReadPortion:
    """How many rows a portion has, these by day, and its files that are damaged, with what is wrong."""

    rows: int
    days: list[tuple[date, Rows]]
    damaged: tuple[Damage, ...]


@dataclass(frozen=True, slots=True)
class TrackedPortion:
    """How many rows a portion had, its days in order, and its files that are damaged, with what is wrong."""

    rows: int
    days: list[TrackedDay]
    damaged: tuple[Damage, ...]


def tracked(
    portions: Iterable[Portion], positions: int, preferred: Sequence[str], codes: Collection[str] = ()
) -> Iterator[TrackedPortion]:
    """Portions of so many positions in all, tracked from nothing on, with the codes that make events. The open pieces are told
    before a day begins, whose model is made of them, and after all."""
    alone = positions < WORTH_IT or (os.cpu_count() or 1) < 2
    try:
        read = partial(_read, codes=tuple(codes))
        for answer in _in_turn(map(read, portions), preferred) if alone else _apart(portions, preferred, codes):
            yield answer
            gc.freeze()  # what lasts from portion to portion is ever more, and looking it through for garbage takes ever longer
    finally:
        gc.unfreeze()


def _read(portion: Portion, codes: Collection[str]) -> ReadPortion:
    table, damaged = portion.read()
    return ReadPortion(len(table), by_day(table, codes), damaged)


def _in_turn(portions: Iterable[ReadPortion], preferred: Sequence[str]) -> Iterator[TrackedPortion]:
    opened = LegState().open
    newest: date | None = None
    for portion in portions:
        days: list[TrackedDay] = []
        for day, rows in portion.days:
            if newest is not None and day > newest:
                days.append((newest, leg_stage.track(opened, empty_rows(), preferred)))
            tracked = leg_stage.track(opened, rows, preferred)
            assert tracked.opened is not None  # `track` tells them
            opened, newest = tracked.opened, day if newest is None else max(day, newest)
            days.append((day, replace(tracked, opened=None)))
        yield TrackedPortion(portion.rows, days, portion.damaged)
    yield TrackedPortion(0, [] if newest is None else [(newest, leg_stage.track(opened, empty_rows(), preferred))], ())


def _apart(portions: Iterable[Portion], preferred: Sequence[str], codes: Collection[str]) -> Iterator[TrackedPortion]:
    command = [sys.executable, "-P", "-c", f"from {__name__} import work; work()"]  # by -m, its answers would be of `__main__`
    env = KEEPS_MEMORY | os.environ
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pipesize=PIPE_BYTES, env=env)
    assert other.stdin is not None
    assert other.stdout is not None
    try:
        _tell(other.stdin, (tuple(preferred), tuple(codes)))
        under_way = 0
        for portion in portions:
            _tell(other.stdin, portion)
            under_way += 1
            if under_way > AHEAD:
                yield _received(other.stdout)
                under_way -= 1
        _over(other.stdin)
        for _ in range(under_way + 1):
            yield _received(other.stdout)
    finally:
        other.kill()  # it has nothing left to do, or nobody wants it any more
        _over(other.stdin)
        other.stdout.close()
        other.wait()


def _tell(to: IO[bytes], thing: object) -> None:
    """Where the other process is gone, whoever waits for its answers finds out."""
    with suppress(BrokenPipeError):
        pickle.dump(thing, to, pickle.HIGHEST_PROTOCOL)
        to.flush()


def _over(to: IO[bytes]) -> None:
    """Nothing more comes. What could not be sent before is tried once more."""
    with suppress(BrokenPipeError):
        to.close()


def _received(source: IO[bytes]) -> TrackedPortion:
    try:
        answer: TrackedPortion = pickle.load(source)
    except EOFError:
        raise FlightwatchError("the process that goes through stored positions ended early; see what it said above") from None
    return answer


def work() -> None:
    """What the other process does: portions from its input, what became of them to its output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who asked hears it, too, and says what is to become of this one
    source, to = sys.stdin.buffer, sys.stdout.buffer
    preferred, codes = pickle.load(source)
    with suppress(BrokenPipeError):
        for answer in _in_turn(_read_ahead(source, codes), preferred):
            pickle.dump(answer, to, pickle.HIGHEST_PROTOCOL)
            to.flush()


def _read_ahead(source: IO[bytes], codes: Collection[str]) -> Iterator[ReadPortion]:
    """What the portions have that are told of, each read while the one before is worked on. The thread goes on while this
    process waits for answers to be taken, or two that both tell would wait for each other; `AHEAD` bounds what it reads."""
    waiting: queue.SimpleQueue[ReadPortion | None] = queue.SimpleQueue()
    threading.Thread(target=_read_all, args=(source, waiting, codes), name="positions", daemon=True).start()
    return iter(waiting.get, None)


def _read_all(source: IO[bytes], waiting: queue.SimpleQueue[ReadPortion | None], codes: Collection[str]) -> None:
    try:
        for portion in _told(source):
            waiting.put(_read(portion, codes))
    finally:
        waiting.put(None)  # one answer too few: whoever waits for it finds out


def _told(source: IO[bytes]) -> Iterator[Portion]:
    while True:
        try:
            yield pickle.load(source)
        except EOFError:
            return
