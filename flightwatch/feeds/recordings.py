"""Recordings: replies as they came, and the same queries again from them.

    <folder>/replies.jsonl       one line a reply, in the order in which they came
    <folder>/bodies/NNNNNNNN.gz  what it said
    <folder>/feeds.json          what each feed demands: attribution, retention_days, republish

A line is an object: `time` (ISO, our clock when the reply was there), `feed`, `label`, `format`, `every_s`, `scope`, `most_rows`;
`body` (the file's name) and `headers` (those that say something about data or pace) for a reply; `error`, `message`,
`permanent` and `retry_after_s` for a refusal, with the status in `error` (`http_429`). Nothing that was sent to the service is in
it, so no key and no token. A body is on disk before its line; a line that was cut off by a crash is passed over. What a
feed lets nobody keep any longer is removed whenever a recording is opened, and every hour while it is made.
"""

from __future__ import annotations

import gzip
import json
import logging
import os
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import msgspec

from flightwatch.errors import FeedError, InputError
from flightwatch.feeds.http import Reply
from flightwatch.feeds.poller import FORMATS, Query, Schedule
from flightwatch.records import Scope, Terms

log = logging.getLogger(__name__)

INDEX, BODIES, FEEDS = "replies.jsonl", "bodies", "feeds.json"

LARGEST_BODY = 64 << 20
"""As much as is read of a reply in the first place."""

EXPIRED_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a recording."""

    time: datetime
    feed: str
    label: str
    format: str
    every_s: float
    scope: str
    most_rows: int | None = None
    body: str = ""
    headers: dict[str, str] | None = None
    error: str = ""
    message: str = ""
    permanent: bool = False
    retry_after_s: float | None = None

    @property
    def question(self) -> tuple[str, str]:
        return self.feed, self.label


_decode = msgspec.json.Decoder(Entry).decode
_decode_terms = msgspec.json.Decoder(dict[str, Terms]).decode


class Recorder:
    """Writes what queries bring. Goes on where an earlier recording in the folder ended."""

    def __init__(self, folder: Path, terms: Mapping[str, Terms] = MappingProxyType({})) -> None:
        try:
            (folder / BODIES).mkdir(parents=True, exist_ok=True)
            (folder / FEEDS).write_bytes(msgspec.json.encode(terms_in(folder) | dict(terms)))
        except OSError as error:
            raise InputError(f"{folder} cannot be written ({error.strerror}): record somewhere else") from None
        self._folder = folder
        self._end_cut_line()
        self._expired: datetime | None = None
        self._count = max((int(p.name.split(".")[0]) for p in (folder / BODIES).glob("*.gz")), default=0)

    def _end_cut_line(self) -> None:
        """A line that was cut off costs itself, and not the one that comes after it."""
        index = self._folder / INDEX
        if not index.exists() or not index.stat().st_size:
            return
        with index.open("rb+") as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")

    def recorded(self, query: Query) -> Query:
        """The query, with everything that it reads kept. A disk that fails keeps nobody from reading."""

        def read() -> Reply:
            try:
                reply = query.read()
            except FeedError as error:
                self._write(self._refusal(query, error), error.body)
                raise
            entry = self._entry(query)
            if reply.scope is not None:
                entry = replace(entry, scope=reply.scope.to_json())
            self._write(entry, reply.body, reply.headers)
            return reply

        return replace(query, read=read)

    def _entry(self, query: Query) -> Entry:
        q = query
        return Entry(q.clock(), q.name, q.label, q.format, q.every_s, q.scope.to_json(), q.most_rows)

    def _refusal(self, query: Query, error: FeedError) -> Entry:
        return replace(
            self._entry(query),
            error=error.reason,
            message=str(error),
            permanent=error.permanent,
            retry_after_s=error.retry_after_s,
        )

    def _write(self, entry: Entry, body: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self._count += 1
        name = f"{self._count:08d}.gz"
        try:
            if self._expired is None or entry.time - self._expired >= EXPIRED_EVERY:
                self._expired = entry.time
                expire(self._folder, entry.time)
            if body:
                (self._folder / BODIES / name).write_bytes(gzip.compress(body, 6, mtime=0))
            values = asdict(entry) | {"time": entry.time.isoformat(), "body": name if body else "", "headers": dict(headers)}
            with (self._folder / INDEX).open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")
        except (OSError, InputError) as error:
            log.error("a reply of %s could not be recorded (%s): make room", entry.feed, error)


def terms_in(folder: Path) -> dict[str, Terms]:
    """What the feeds of a recording demand, as far as it says. Raises InputError."""
    path = folder / FEEDS
    try:
        return _decode_terms(path.read_bytes()) if path.exists() else {}
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}): it says how long replies may be kept; put it back") from None


def expire(folder: Path, now: datetime) -> int:
    """Removes the replies that their feeds let nobody keep any longer; returns how many. Bodies go first: a line without
    one is passed over, a body without a line would stay."""
    days = {feed: term.retention_days for feed, term in terms_in(folder).items() if term.retention_days is not None}
    path = folder / INDEX
    if not days or not path.exists():
        return 0
    kept, removed = [], 0
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            entry = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            kept.append(line)
            continue
        if entry.feed not in days or now - entry.time < timedelta(days=days[entry.feed]):
            kept.append(line)
            continue
        removed += 1
        if entry.body:
            (folder / BODIES / Path(entry.body).name).unlink(missing_ok=True)
    if removed:
        shorter = path.with_suffix(".tmp")
        shorter.write_bytes(b"".join(kept))
        shorter.replace(path)
    return removed


def record(found: Sequence[Query], stop: threading.Event, rounds: int | None = None) -> int:
    """Asks the queries at their pace, until it is told to stop or each was asked `rounds` times, and makes nothing of what
    they bring: they are recorded ones. Returns how many answers were good."""
    schedule = Schedule(found, time.monotonic())
    asked = Counter[int]()
    while (due := schedule.next()) is not None:
        index, when = due
        left = [i for i, health in schedule.health.items() if not health.given_up and asked[i] < (rounds or asked[i] + 1)]
        if not left or stop.wait(max(when - time.monotonic(), 0.0)):
            break
        asked[index] += 1
        query = schedule.queries[index]
        try:
            answer = query.ask()
        except FeedError as error:
            wait = schedule.failed(index, time.monotonic(), error)
            log.warning("%s (%s): %s [%s]; next try in %.0f s", query.name, query.label, error, error.reason, wait)
        else:
            schedule.succeeded(index, time.monotonic(), answer.snapshot, new=True, credits_left=answer.credits_left)
            log.info("%s (%s): %d positions", query.name, query.label, len(answer.snapshot.positions))
    return sum(h.good for h in schedule.health.values())


@dataclass(frozen=True)
class Recording:
    """A folder with recorded replies."""

    folder: Path
    entries: tuple[Entry, ...]

    def queries(self, current: Callable[[], Entry], clock: Callable[[], datetime]) -> list[Query]:
        """The queries that were recorded; each reads the entry that is the current one. As they were asked last."""
        last = {entry.question: entry for entry in self.entries}
        return [self._query(entry, current, clock) for entry in last.values()]

    def _query(self, entry: Entry, current: Callable[[], Entry], clock: Callable[[], datetime]) -> Query:
        def read() -> Reply:
            return self._replied(current())

        scope = Scope.from_json(entry.scope)
        return Query(entry.feed, entry.label, scope, entry.every_s, read, clock, entry.format, most_rows=entry.most_rows)

    def _replied(self, entry: Entry) -> Reply:
        body = self._body(entry) if entry.body else b""
        if entry.error:
            raise FeedError(entry.error, entry.message, permanent=entry.permanent, retry_after_s=entry.retry_after_s, body=body)
        return Reply(body, entry.headers or {}, Scope.from_json(entry.scope))

    def _body(self, entry: Entry) -> bytes:
        path = self.folder / BODIES / Path(entry.body).name
        unpacker = zlib.decompressobj(wbits=31)
        try:
            return unpacker.decompress(path.read_bytes(), LARGEST_BODY)
        except (OSError, zlib.error) as error:
            raise FeedError("not_recorded", f"{path} cannot be read ({error})") from None


def open_recording(folder: Path) -> Recording:
    """Reads the index of a recording. Raises InputError where there is none."""
    path = folder / INDEX
    if not path.is_file():
        raise InputError(f"{folder} holds no recording: `flightwatch record {folder}` makes one")
    entries = tuple(_entries(path))
    if not entries:
        raise InputError(f"{path} holds no reply: record for longer")
    return Recording(folder, tuple(sorted(entries, key=lambda e: e.time)))


def _entries(path: Path) -> Iterator[Entry]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                entry = _decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                log.warning("%s, line %d: no reply; passed over", path, number)
                continue
            if entry.format not in FORMATS:
                raise InputError(f"{path}, line {number}: the format `{entry.format}` is not known to this version")
            yield entry
