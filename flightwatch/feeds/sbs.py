"""SBS-1 (BaseStation) lines of a receiver on TCP: text to a snapshot, and the connection that collects it.

A line has 22 fields between commas and ends in CR LF: 1 MSG (others are not positions), 2 type (1 callsign, 2 place on
the ground, 3 place in the air, 4 speed, 5 and 6 height and squawk, ...), 5 address, 7 and 8 date and time of the message
in the sender's own time zone, 11 callsign, 12 height ft, 13 speed kt, 14 track, 15 and 16 place, 17 climb ft/min, 18 squawk,
22 on the ground (0, 1, -1 or nothing). Documented by woodair.net, Barebones42, and by readsb, which writes it.

A snapshot has one position an aircraft: the newest of what came in since the last poll, with what its other messages said.
"""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from flightwatch.errors import FeedError
from flightwatch.feeds.columns import moments, numbers, table
from flightwatch.feeds.http import Reply
from flightwatch.feeds.sanity import Refused, checked, sum_of
from flightwatch.records import TIME, Scope, Snapshot

log = logging.getLogger(__name__)

FIELDS = 22
PLACES = ("2", "3")
"""The types that carry a position."""

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
    refused: Refused = {}
    newest: dict[str, dict[str, str]] = {}
    latest: datetime | None = None
    for line in body.decode("ascii", "replace").splitlines():
        fields = line.strip().split(",")
        if fields[0] == "DROPPED":
            refused["buffer_full"] = refused.get("buffer_full", 0) + 1
        if fields[0] != "MSG":
            continue
        if len(fields) != FIELDS or (at := _time(fields[6], fields[7])) is None:
            refused["bad_line"] = refused.get("bad_line", 0) + 1
            continue
        latest = at if latest is None else max(latest, at)
        _take(newest.setdefault(fields[4].strip().lower(), {}), fields, at)
    zone = timedelta(0) if latest is None else ZONE_STEP * round((latest - received) / ZONE_STEP)
    placed = {icao24: said for icao24, said in newest.items() if "latitude" in said}
    positions, more = checked(_table(placed, zone, received, feed))
    return Snapshot(feed, received, received, scope, positions, sum_of(refused, more))


COLUMNS = {"callsign": 10, "altitude": 11, "groundspeed": 12, "track": 13, "vertical_rate": 16, "squawk": 17, "ground": 21}


def _take(said: dict[str, str], fields: list[str], at: datetime) -> None:
    """What one message adds to what is known of its aircraft; a place that is older than the one before adds none."""
    said |= {name: fields[i].strip() for name, i in COLUMNS.items() if fields[i].strip()}
    if fields[1] in PLACES and fields[14] and fields[15] and at.isoformat() >= said.get("at", ""):
        said |= {"latitude": fields[14], "longitude": fields[15], "at": at.isoformat()}
        said["placed_on_ground"] = "1" if fields[1] == "2" else fields[21]


def _time(day: str, moment: str) -> datetime | None:
    try:
        return datetime.strptime(f"{day.strip()} {moment.strip()}", "%Y/%m/%d %H:%M:%S.%f").replace(tzinfo=UTC)
    except ValueError:
        return None


def _table(placed: dict[str, dict[str, str]], zone: timedelta, received: datetime, feed: str) -> pa.Table:
    rows = list(placed.values())

    def column(name: str) -> list[str | None]:
        return [row.get(name) for row in rows]

    times = [(datetime.fromisoformat(row["at"]) - zone).timestamp() for row in rows]
    return table(
        {
            "timestamp": moments(numbers(times)),
            "icao24": list(placed),
            "callsign": column("callsign"),
            **{n: numbers(column(n)) for n in ("latitude", "longitude", "altitude", "groundspeed", "track", "vertical_rate")},
            "onground": [_flag(row.get("placed_on_ground", "")) for row in rows],
            "squawk": column("squawk"),
            "source": ["other"] * len(rows),  # the lines do not say how a position was come by
            "received": pa.repeat(pa.scalar(received, TIME), len(rows)),
            "feed": pa.repeat(pa.scalar(feed), len(rows)),
        }
    )


def _flag(text: str) -> bool | None:
    return {"1": True, "-1": True, "0": False}.get(text.strip())


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
