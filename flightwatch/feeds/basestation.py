"""A receiver's SBS-1 lines on TCP (port 30003): the connection that collects them, and a snapshot of what came in.

Lines are read as those of files are (`sbs`). A snapshot has one position an aircraft, the newest since the last poll. The
clock of the lines is the sender's and has no zone: whole quarters of an hour between it and ours are its zone.
"""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from flightwatch.errors import FeedError
from flightwatch.feeds import sbs
from flightwatch.feeds.http import Reply
from flightwatch.feeds.sanity import Refused, checked, sum_of
from flightwatch.records import TIME, Scope, Snapshot

log = logging.getLogger(__name__)

ZONE_STEP = timedelta(minutes=15)
"""Time zones differ by multiples of this."""

LARGEST_BUFFER = 8 << 20
"""80,000 lines: minutes of a busy receiver."""

LONGEST_LINE = 4096
QUIET_S = 60.0
"""A connection on which nothing comes for so long may be dead without knowing it."""

CONNECT_S, FIRST_DATA_S = 5.0, 2.0
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
DROPPED = b"DROPPED,"
"""Begins a line of our own: how many bytes did not fit into the buffer."""


def parse(body: bytes, feed: str, scope: Scope, received: datetime) -> Snapshot:
    """Lines as a snapshot of the time at which they were collected."""
    lines = body.splitlines()
    dropped = sum(line.startswith(DROPPED) for line in lines)
    refused: Refused = {"buffer_full": dropped} if dropped else {}
    parts = list(sbs.parse_lines((line for line in lines if not line.startswith(DROPPED)), refused))
    if not parts:
        return Snapshot(feed, received, received, scope, checked(pa.table({"icao24": pa.array([], pa.string())}))[0], refused)
    positions, more = checked(_stamped(_newest(pa.concat_tables(parts)), feed, received))
    return Snapshot(feed, received, received, scope, positions, sum_of(refused, more))


def _newest(positions: pa.Table) -> pa.Table:
    """The last position of each aircraft; one that comes late replaces none."""
    ordered = positions.sort_by("timestamp")
    last = {icao24.lower(): i for i, icao24 in enumerate(ordered["icao24"].to_pylist())}
    return ordered.take(sorted(last.values()))


def _stamped(positions: pa.Table, feed: str, received: datetime) -> pa.Table:
    """In UTC, with where it comes from and when it did. The lines do not say how a position was come by."""
    latest: datetime = pc.max(positions["timestamp"]).as_py()
    zone = ZONE_STEP * round((latest - received) / ZONE_STEP)
    times = pc.subtract(positions["timestamp"], pa.scalar(zone, pa.duration("us")))
    positions = positions.set_column(positions.schema.get_field_index("timestamp"), "timestamp", times)
    for name, value in (("source", pa.scalar("other")), ("received", pa.scalar(received, TIME)), ("feed", pa.scalar(feed))):
        positions = positions.append_column(name, pa.repeat(value, len(positions)))
    return positions


class Lines:
    """A connection that collects in a thread of its own, and makes itself again when it breaks off."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._buffer = bytearray()
        self._dropped = 0
        self._error = "nothing came yet"
        self._heard = time.monotonic()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def read(self) -> Reply:
        """The whole lines that came since the last time. Raises FeedError where nothing comes."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._collect, name=f"sbs {self._address}", daemon=True)
            self._thread.start()
            with self._changed:
                self._changed.wait_for(lambda: b"\n" in self._buffer or bool(self._stop.is_set()), FIRST_DATA_S)
        with self._changed:
            end = self._buffer.rfind(b"\n") + 1
            body, dropped = bytes(self._buffer[:end]), self._dropped
            del self._buffer[:end]
            self._dropped = 0
            quiet = time.monotonic() - self._heard
            error = self._error
        if not body and (error or quiet > QUIET_S):
            raise FeedError("unreachable", f"{self._address}: {error or f'nothing came for {quiet:.0f} s'}")
        return Reply((DROPPED + b"%d\n" % dropped if dropped else b"") + body)

    def close(self) -> None:
        self._stop.set()

    def _collect(self) -> None:
        wait = FIRST_WAIT_S
        while not self._stop.is_set():
            begun = time.monotonic()
            self._listen()
            wait = FIRST_WAIT_S if time.monotonic() - begun > LONGEST_WAIT_S else min(wait * 2, LONGEST_WAIT_S)
            self._stop.wait(random.uniform(FIRST_WAIT_S / 2, wait))  # no secret hangs on it

    def _listen(self) -> None:
        """One connection, until it ends."""
        host, port = self._address.rsplit(":", 1)
        try:
            with socket.create_connection((host, int(port)), CONNECT_S) as connection:
                connection.settimeout(QUIET_S)
                with self._changed:
                    self._error = ""
                while not self._stop.is_set() and (data := connection.recv(1 << 16)):
                    self._keep(data)
            self._ended("the receiver closed the connection")
        except TimeoutError:
            self._ended(f"nothing came for {QUIET_S:.0f} s, or no connection was made")
        except OSError as error:
            self._ended(f"cannot be reached ({error.strerror or type(error).__name__})")

    def _keep(self, data: bytes) -> None:
        with self._changed:
            self._heard = time.monotonic()
            self._buffer += data
            over = len(self._buffer) - LARGEST_BUFFER
            if over > 0:  # the oldest go: what counts is where aircraft are now
                cut = self._buffer.find(b"\n", over) + 1 or len(self._buffer)
                self._dropped += cut
                del self._buffer[:cut]
            elif len(self._buffer) - self._buffer.rfind(b"\n") > LONGEST_LINE:  # whatever this is, it has no lines
                self._dropped += len(self._buffer)
                self._buffer.clear()
            self._changed.notify_all()

    def _ended(self, error: str) -> None:
        """A line that was broken off is not joined to what comes next."""
        with self._changed:
            self._error = error
            del self._buffer[self._buffer.rfind(b"\n") + 1 :]
            self._changed.notify_all()
        log.info("%s: %s; it is tried again", self._address, error)
