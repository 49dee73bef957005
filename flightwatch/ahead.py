"""Stored positions become pieces of tracks in a process of their own, ahead of the legs that are drawn up of them.

Going through positions needs neither history nor names, drawing up legs needs both and no positions: two processes
share the work of a backfill about evenly, and what comes out is the same. The other process is a plain interpreter
that reads batches from its input and writes `TrackedDay`s to its output, pickled; both ends are this program's.
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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date
from typing import IO

import pyarrow as pa

from flightwatch import legs as leg_stage
from flightwatch.errors import FlightwatchError
from flightwatch.legs import LegState
from flightwatch.legs.rows import empty_rows
from flightwatch.pipeline import TrackedDay, tracked_by_day

WORTH_IT = 3_000_000
"""Positions from which on a second process, which takes a second or two to begin, is worth it."""

AHEAD = 2
"""Batches that wait for the other process, so that it has something to do while legs are drawn up; each is some 50 MB."""

SWITCH_S = 0.0002
"""A thread of Python goes on for no longer while another one waits. By the usual 5 ms the one that sends would wait as long
for each piece that the pipe takes, while legs are drawn up, and the other process would have nothing to do."""

PIPE_BYTES = 1 << 20
"""What Linux lets anybody have: batches cross in fewer turns than by the usual 64 kB."""


def tracked(batches: Iterable[pa.Table], positions: int, preferred: Sequence[str]) -> Iterator[tuple[int, list[TrackedDay]]]:
    """Batches of so many positions in all, tracked from nothing on: how many rows each had, and its days in order. The open
    pieces are told before a day begins, whose model is made of them, and after all."""
    alone = positions < WORTH_IT or (os.cpu_count() or 1) < 2
    try:
        for answer in _in_turn(batches, preferred) if alone else _apart(batches, preferred):
            yield answer
            gc.freeze()  # what lasts from batch to batch is ever more, and looking it through for garbage takes ever longer
    finally:
        gc.unfreeze()


def _in_turn(batches: Iterable[pa.Table], preferred: Sequence[str]) -> Iterator[tuple[int, list[TrackedDay]]]:
    opened = LegState().open
    newest: date | None = None
    for batch in batches:
        days: list[TrackedDay] = []
        for day, tracked in tracked_by_day(opened, batch, preferred):
            if newest is not None and day > newest:
                days.append((newest, leg_stage.track(opened, empty_rows(), preferred)))
            assert tracked.opened is not None  # `tracked_by_day` tells them
            opened, newest = tracked.opened, day if newest is None else max(day, newest)
            days.append((day, replace(tracked, opened=None)))
        yield len(batch), days
    yield 0, [] if newest is None else [(newest, leg_stage.track(opened, empty_rows(), preferred))]


def _apart(batches: Iterable[pa.Table], preferred: Sequence[str]) -> Iterator[tuple[int, list[TrackedDay]]]:
    waiting: queue.Queue[object] = queue.Queue(AHEAD)
    command = [sys.executable, "-m", __name__]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pipesize=PIPE_BYTES)
    assert other.stdin is not None
    assert other.stdout is not None
    sender = threading.Thread(target=_send, args=(waiting, other.stdin), name="positions", daemon=True)
    sender.start()
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        waiting.put(tuple(preferred))
        under_way = 0
        for batch in batches:
            waiting.put(batch)
            under_way += 1
            if under_way > AHEAD:
                yield _received(other.stdout)
                under_way -= 1
        waiting.put(None)
        for _ in range(under_way + 1):
            yield _received(other.stdout)
    finally:
        sys.setswitchinterval(usual)
        other.kill()  # it has nothing left to do, or nobody wants it any more
        waiting.put(None)
        sender.join()
        other.stdout.close()
        other.wait()


def _send(waiting: queue.Queue[object], to: IO[bytes]) -> None:
    """Sends what waits until None comes. Where the other process is gone, what still comes is let go: whoever waits for
    its answers finds out."""
    with suppress(OSError), to:
        for thing in iter(waiting.get, None):
            pickle.dump(thing, to, pickle.HIGHEST_PROTOCOL)
            to.flush()
        return
    for _ in iter(waiting.get, None):
        pass


def _received(source: IO[bytes]) -> tuple[int, list[TrackedDay]]:
    try:
        rows, days = pickle.load(source)
    except EOFError:
        raise FlightwatchError("the process that goes through stored positions ended early; see what it said above") from None
    return rows, days


def _work(source: IO[bytes], to: IO[bytes]) -> None:
    preferred = pickle.load(source)
    for answer in _in_turn(_batches(source), preferred):
        pickle.dump(answer, to, pickle.HIGHEST_PROTOCOL)
        to.flush()


def _batches(source: IO[bytes]) -> Iterator[pa.Table]:
    while True:
        try:
            yield pickle.load(source)
        except EOFError:
            return


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who asked hears it, too, and says what is to become of this one
    with suppress(BrokenPipeError):
        _work(sys.stdin.buffer, sys.stdout.buffer)
