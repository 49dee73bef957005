"""What a source of history is: pieces that are fetched one by one, at the pace that its server asks for.

A source says which pieces there are for the days that are missing, and fetches one of them into a folder; what is there
already, whole or in part, it does not ask for again. `flightwatch.histories` imports what came and remembers it.
Another source is one more class with these two methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar

from flightwatch.errors import FeedError
from flightwatch.feeds.http import Limits

EVERYBODY = ""
"""In the place of an address: a source whose pieces are not of single aircraft."""

LONGEST_WAIT_S = 30.0
"""A server that asks for a longer rest has it until the next run."""

WAITS_S = (2.0, 8.0, LONGEST_WAIT_S)
"""After the first, second and third 429 of one question that does not say how long."""

ANSWER = Limits(deadline_s=60.0)
"""For a trace over a slow line, or a question that takes a service a while."""

Missing = Mapping[str, Sequence[date]]
"""The days that are not had yet, by address, in order."""

Flight = tuple[str, datetime, datetime]
"""An address, a take-off and a landing, as a flight list has them."""

Answer = TypeVar("Answer")


class Clock(Protocol):
    """What time it is, and waiting."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Piece:
    """What is fetched at once: some aircraft (the whole sky where none is named) from a first day to a last. `key` is its
    name among those of its source, `format` one of `feeds.files`; `covers` says that those days are known when it is
    in."""

    key: str
    first: date
    last: date
    aircraft: tuple[str, ...]
    format: str
    address: str
    covers: bool = True


@dataclass(frozen=True, slots=True)
class Brought:
    """The files of a piece, those of an archive in parts together; none where the server has nothing, and that for good.
    `known` is false where this says nothing of whether anybody flew."""

    files: tuple[Path, ...] = ()
    known: bool = True


class Watcher(Protocol):
    """Who looks on."""

    def say(self, line: str) -> None: ...

    def warn(self, line: str) -> None: ...

    def reached(self, days: int, of: int) -> None:
        """How many of the days are done."""

    def progress(self, name: str, size: int | None) -> AbstractContextManager[Callable[[int], object]]:
        """For something large: whoever works on it tells how many bytes more are done."""


class Source(Protocol):
    """Where history comes from. `service` is whose data they are, by its name in `config.TERMS`, if that is known."""

    @property
    def name(self) -> str: ...

    @property
    def service(self) -> str | None: ...

    def pieces(self, missing: Missing, flights: Callable[[], Sequence[Flight]]) -> Iterator[Piece]:
        """What there is to fetch. `flights` are those of its own flight lists on the days that were asked for, the pieces
        that were given out already included."""

    def fetch(self, piece: Piece, folder: Path, watcher: Watcher) -> Brought:
        """Fetches a piece into a folder of its own. Raises FeedError where it did not come; then it may come later."""


@dataclass
class Polite:
    """Asks one server: a rest between any two requests, a longer one when it wants that."""

    clock: Clock
    spacing_s: float
    _next_s: float = 0.0

    def ask(self, request: Callable[[], Answer]) -> Answer:
        """The answer. Raises FeedError, for a 429 when the server wants a longer rest than a run can wait."""
        for wait_s in WAITS_S:
            try:
                return self._at_its_time(request)
            except FeedError as error:
                if error.reason != "http_429" or (error.retry_after_s or 0.0) > LONGEST_WAIT_S:
                    raise
                self._next_s = self.clock.monotonic() + max(error.retry_after_s or wait_s, self.spacing_s)
        return self._at_its_time(request)

    def _at_its_time(self, request: Callable[[], Answer]) -> Answer:
        left_s = self._next_s - self.clock.monotonic()
        if left_s > 0:
            self.clock.sleep(left_s)
        self._next_s = self.clock.monotonic() + self.spacing_s
        return request()


def windows(days: Sequence[date], most: int) -> list[tuple[date, date]]:
    """Days, in order, as spans of so many at most: each day in one of them, and no other."""
    spans: list[tuple[date, date]] = []
    for day in days:
        if spans and day == spans[-1][1] + timedelta(days=1) and (day - spans[-1][0]).days < most:
            spans[-1] = (spans[-1][0], day)
        else:
            spans.append((day, day))
    return spans


def by_day(missing: Missing) -> Iterator[tuple[date, list[str]]]:
    """The same the other way round: the days in order, and for whom each is missing."""
    who: dict[date, list[str]] = {}
    for aircraft, days in missing.items():
        for day in days:
            who.setdefault(day, []).append(aircraft)
    yield from sorted(who.items())


def kept(path: Path, body: bytes) -> Path:
    """A file with this content, or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(body)
        part.replace(path)
    except OSError as error:
        raise FeedError("not_written", f"{path} cannot be written ({error.strerror}): make room", permanent=True) from None
    return path
