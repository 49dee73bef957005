"""History fetched from where it is published: downloaded piece by piece, imported, remembered.

    <store>/fetched/<feed>/<piece>/                what was downloaded and is not imported yet, whole or in part
    <store>/fetched/<feed>/<piece>/imported.json   says that it is, and has only to be noted and removed

The imports of the store are the ledger. A piece that is in stands there, under the feed of its service, with the days
that are known since; what the server has not got stands there, too. Whatever stops a run, the next one asks for what is
missing, and for no byte that is here already. The store is held meanwhile, so that nobody finds after an hour of
downloading that it cannot be written.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from urllib.parse import urlsplit

import msgspec
import pyarrow.compute as pc

from flightwatch.config import TERMS, FeedSettings, Settings, secret
from flightwatch.documents import nearest
from flightwatch.errors import FeedError, InputError
from flightwatch.feeds import opensky_history, releases
from flightwatch.feeds.credentials import ClientCredentials
from flightwatch.feeds.day_traces import DayTraces
from flightwatch.feeds.history import ANSWER, EVERYBODY, Brought, Clock, Flight, Missing, Piece, Source, Watcher
from flightwatch.feeds.http import Http
from flightwatch.feeds.opensky_history import OpenSkyHistory
from flightwatch.feeds.questions import OPENSKY_STANDARD
from flightwatch.feeds.releases import Releases
from flightwatch.imports import IMPORTED, How, import_files
from flightwatch.records import Scope, Terms
from flightwatch.services import SITES
from flightwatch.store import Store, files

RELEASES, TRACES, OPENSKY = "adsb.lol", "globe-history", "opensky"
NAMES = (RELEASES, OPENSKY, TRACES, *SITES)

OPENSKY_ENV = ("OPENSKY_CLIENT_ID", "OPENSKY_CLIENT_SECRET")
"""Where the account is looked for if the configuration has no OpenSky feed with one."""

SETTLED = timedelta(hours=2)
"""After midnight UTC, until a day is written out everywhere."""

MOST_REFUSED_DAYS = 3
"""Days in a row that end in a 403: whoever refuses them means all of them."""

MOST_FAILURES = 10
"""In a row: the server is down, or the line."""

RESTS = ("http_429", "credits")
"""The server wants to be left alone for a while, and says for how long."""

NOTED = "noted"
"""The format of the ledger's lines that cover no days."""

NO_SCOPE = Scope("reported")

FOLDER, MARK = "fetched", "imported.json"


def source_named(name: str, url: str | None, settings: Settings, clock: Clock) -> Source:
    """A source by its name. Raises InputError, and ConfigError where an account is missing."""
    if name not in NAMES:
        raise InputError(f"`{name}` is no source of history{nearest(name, NAMES) or ': ' + ', '.join(NAMES)}")
    if url is not None and not url.startswith(("http://", "https://")):
        raise InputError("--url must begin with http:// or https://")
    if url is not None and name not in (RELEASES, TRACES):
        raise InputError(f"{name} has its own address: --url is for {RELEASES} (a mirror) and {TRACES}")
    if name == RELEASES:
        return Releases(Http(ANSWER, elsewhere=releases.ELSEWHERE), clock, (url or releases.BASE).rstrip("/"))
    if name == OPENSKY:
        return _opensky(settings, clock)
    if name == TRACES:
        if url is None:
            raise InputError(f"{TRACES} needs --url, the address of a web site of readsb; or name one of {', '.join(SITES)}")
        return DayTraces(Http(ANSWER), clock, url, f"{TRACES} of {urlsplit(url).netloc.rsplit('@', 1)[-1]}", None)
    return DayTraces(Http(ANSWER), clock, SITES[name].url, name, name, SITES[name].keeps_days)


def feed_of(source: Source) -> str:
    """The feed that its data stand under: that of its service, else one of its own."""
    return f"{IMPORTED}-{source.service or re.sub('[^a-z0-9]+', '-', source.name.lower())}"


def _opensky(settings: Settings, clock: Clock) -> OpenSkyHistory:
    """With the account of the first OpenSky feed that has one, else with that of the environment."""
    ident, password = OPENSKY_ENV
    plain = {"name": OPENSKY, "kind": OPENSKY, "client_id_env": ident, "client_secret_env": password}
    configured = (f for f in settings.feeds if f.kind == OPENSKY and f.client_id_env)
    feed = next(configured, FeedSettings.model_validate(plain))
    http = Http(ANSWER, when_refused=feed.when_refused)
    assert feed.client_id_env is not None  # the configuration has them together
    assert feed.client_secret_env is not None
    account = ClientCredentials(http, feed.token_url, secret(feed.client_id_env), secret(feed.client_secret_env))
    credits_a_day = feed.credits_a_day or OPENSKY_STANDARD
    return OpenSkyHistory(http, clock, feed.base_url.rstrip("/"), account, feed.spacing_s, credits_a_day)


@dataclass
class Summary:
    """What a run did. `left` counts the pieces for the next run by reason, `not_before` is when that can be at the
    earliest; `unsettled` are days that are not over."""

    source: str
    terms: Terms
    first: date
    last: date
    before: int = 0
    files: int = 0
    positions: int = 0
    legs: int = 0
    nothing: int = 0
    absent: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    not_before: datetime | None = None
    unsettled: tuple[date, datetime] | None = None
    interrupted: bool = False
    by_aircraft: bool = True

    @property
    def complete(self) -> bool:
        """Whether all is in that there can be."""
        return not self.left and not self.interrupted

    def counts(self) -> Counter[str]:
        """What is told of each day; what fails is told when it does."""
        stored = {"files": self.files, "positions": self.positions, "flights": self.legs}
        return Counter({**stored, "not seen": self.nothing})

    def lines(self) -> Iterator[str]:
        brought = f"{_some(self.files, 'files')}, {_some(self.positions, 'positions')}"
        brought += f", {_some(self.legs, 'flights')}" if self.legs else ""
        yield f"{self.source}, {self.first} to {self.last}: {brought} stored"
        if self.refused:
            yield "refused: " + _counted(self.refused)
        if self.nothing:
            yield f"not seen: on {_some(self.nothing, 'days')} of aircraft, which count as watched"
        if self.absent:
            yield f"not kept there, for good: {self.absent:,}, which count as unwatched"
        if self.before:
            yield f"had from earlier runs: {_some(self.before, 'days')}{' of aircraft' if self.by_aircraft else ''}"
        if self.left:
            when = f"not before {self.not_before:%Y-%m-%d %H:%M} UTC" if self.not_before else "run it again"
            yield f"left for the next run: {_counted(self.left)}; {when}"
        if self.interrupted:
            yield "stopped: what was downloaded is kept, and the same command goes on there"
        if self.unsettled is not None:
            yield f"from {self.unsettled[0]} on: not over; to be had from {self.unsettled[1]:%Y-%m-%d %H:%M} UTC on"
        if self.terms.attribution:
            yield f"source to be named: {self.terms.attribution}" + ("" if self.terms.republish else "; not to be republished")


def _told(counts: Counter[str]) -> str:
    return ", ".join(_some(count, what) for what, count in counts.items() if count)


def _some(count: int, what: str) -> str:
    return f"{count:,} {what.removesuffix('s') if count == 1 else what}"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items()))


@dataclass
class _Trouble:
    """What went wrong with pieces of one format, and whether to go on asking."""

    failures: int = 0
    refused_days: list[date] = field(default_factory=list)
    stopped: str = ""

    def good(self) -> None:
        self.failures = 0
        self.refused_days.clear()

    def passes_over(self, piece: Piece) -> str:
        """The reason for which a piece is not asked for now, if there is one."""
        return self.stopped or ("http_403" if piece.first in self.refused_days else "")

    def bad(self, piece: Piece, error: FeedError) -> str:
        """Takes in an error; a line, if that was the last one."""
        self.failures += 1
        if error.reason == "http_403":
            self.refused_days.append(piece.first)
            if len(self.refused_days) < MOST_REFUSED_DAYS:
                return ""
            why = f"{MOST_REFUSED_DAYS} days in a row were refused: nothing more is asked for"
        elif error.permanent or error.reason in RESTS:
            why = "nothing more is asked for"
        elif self.failures >= MOST_FAILURES:
            why = f"{MOST_FAILURES} failures in a row: nothing more is asked for"
        else:
            return ""
        self.stopped = error.reason
        return why


def begun(source: Source, first: date, last: date, clock: Clock) -> Summary:
    """The summary of a run that is about to begin; it grows while that goes on, so whoever stops it has it."""
    summary = Summary(source.name, TERMS.get(source.service or "", Terms()), first, last)
    settled = _settled(clock)
    if last > settled:
        begins = max(first, settled + timedelta(days=1))
        summary.unsettled = (begins, datetime.combine(begins + timedelta(days=1), time(), UTC) + SETTLED)
    return summary


def fetch(store: Store, source: Source, aircraft: Collection[str], clock: Clock, watcher: Watcher, summary: Summary) -> None:
    """Fetches what is missing of the days of the summary, for some addresses (everybody without any)."""
    last = min(summary.last, _settled(clock))
    summary.by_aircraft = bool(aircraft)
    _Run(store, source, summary.first, last, clock, watcher, summary).run(sorted(aircraft) or [EVERYBODY])


def _settled(clock: Clock) -> date:
    """The last day that is over, and written out."""
    return (clock.now() - SETTLED).date() - timedelta(days=1)


@dataclass
class _Run:
    store: Store
    source: Source
    first: date
    last: date
    clock: Clock
    watcher: Watcher
    summary: Summary
    trouble: dict[str, _Trouble] = field(default_factory=dict)

    @property
    def feed(self) -> str:
        return feed_of(self.source)

    def run(self, aircraft: Sequence[str]) -> None:
        folder = self.store.root / FOLDER / self.feed
        for mark in sorted(folder.glob(f"*/{MARK}")):
            self._note(msgspec.json.decode(mark.read_bytes(), type=Piece), Brought((mark,)))
            shutil.rmtree(mark.parent)
        days = (self.last - self.first).days + 1
        pieces = self.source.pieces(self._missing(aircraft), lambda: self._flights(aircraft))
        for (first, last), together in groupby(pieces, key=lambda piece: (piece.first, piece.last)):
            before = self.summary.counts()
            for piece in together:
                self._look_at(piece)
            self.watcher.reached((last - self.first).days + 1, days)
            if told := _told(self.summary.counts() - before):
                self.watcher.say(f"{first}{'' if first == last else f' to {last}'}: {told}")
        for emptied in (folder, folder.parent):
            if emptied.is_dir() and not any(emptied.iterdir()):
                emptied.rmdir()

    def _look_at(self, piece: Piece) -> None:
        """One piece, unless it is in the ledger already: a track, or a day that the server has not got; `_missing` has
        seen to days that are known."""
        if not self._is_noted(piece):
            self._take(piece)
        elif piece.covers:
            self.summary.absent += 1

    def _take(self, piece: Piece) -> None:
        """Fetched, imported, noted, and its files removed. What fails is left for the next run."""
        if why := self._trouble(piece).passes_over(piece):
            self.summary.left[why] += 1
            return
        folder = self.store.root / FOLDER / self.feed / piece.key
        try:
            brought = self.source.fetch(piece, folder, self.watcher)
            if brought.files:
                self._import(piece, brought)
                files.write_bytes(folder / MARK, msgspec.json.encode(piece))
            self._note(piece, brought)
        except FeedError as error:
            self._failed(piece, error)
            return
        except InputError as error:
            self._failed(piece, FeedError("damaged", str(error)))
        except OSError as error:
            problem = f"{self.store.root} cannot be written ({error.strerror or error}): make room, then run it again"
            self._failed(piece, FeedError("not_written", problem, permanent=True))
            return
        else:
            self._trouble(piece).good()
        shutil.rmtree(folder, ignore_errors=True)

    def _trouble(self, piece: Piece) -> _Trouble:
        return self.trouble.setdefault(piece.format, _Trouble())

    def _failed(self, piece: Piece, error: FeedError) -> None:
        self.summary.left[error.reason] += 1
        self.watcher.warn(str(error))
        if error.reason in RESTS and error.retry_after_s is not None:
            self._not_before(self.clock.now() + timedelta(seconds=error.retry_after_s))
        if line := self._trouble(piece).bad(piece, error):
            self.watcher.warn(f"{self.source.name}: {line}")

    def _not_before(self, time: datetime) -> None:
        self.summary.not_before = max(self.summary.not_before or time, time)

    def _import(self, piece: Piece, brought: Brought) -> None:
        """Raises InputError where the files are not what they should be."""
        archive = piece.format == releases.FORMAT
        how = How(
            format=piece.format,
            scope=None if archive else "reported",  # what it covers is noted with the piece
            feed=self.feed,
            aircraft=piece.aircraft if archive else (),
            service=self.source.service,
        )
        size = sum(path.stat().st_size for path in brought.files)
        with self.watcher.progress(f"import of {piece.key}", size) as advance:
            done = import_files(self.store, brought.files, how, advance)
        self.summary.files += len(brought.files)
        self.summary.refused.update(done.refused)
        if piece.format == opensky_history.FLIGHTS:
            self.summary.legs += done.rows
        else:
            self.summary.positions += done.rows

    def _note(self, piece: Piece, brought: Brought) -> None:
        """Remembers a piece, so that it is not fetched again: by the days that are known since, where it has any."""
        if piece.covers and brought.known:
            self.store.cover(self.feed, piece.aircraft, piece.first, piece.last)
            self.summary.nothing += 0 if brought.files else len(piece.aircraft) * ((piece.last - piece.first).days + 1)
            return
        self.store.import_positions(_identity(self.feed, piece), piece.key, NOTED, self.feed, NO_SCOPE, (), {})
        self.summary.absent += not brought.known

    def _is_noted(self, piece: Piece) -> bool:
        return self.store.imported(_identity(self.feed, piece)) is not None

    def _missing(self, aircraft: Sequence[str]) -> Missing:
        """The days that no earlier run brought, by address."""
        had: dict[str, set[date]] = {}
        for covered in self.store.fetched(self.feed):
            members = covered.scope.members if covered.scope.kind == "aircraft" else (EVERYBODY,)
            for member in members:
                had.setdefault(member, set()).update(_days(covered.first, covered.last))
        missing = {}
        for one in aircraft:
            days = list(_days(self.first, self.last))
            missing[one] = [d for d in days if d not in had.get(one, ()) and d not in had.get(EVERYBODY, ())]
            self.summary.before += len(days) - len(missing[one])
        return missing

    def _flights(self, aircraft: Sequence[str]) -> list[Flight]:
        """The flights that this source has listed for the days that are asked about, in order."""
        table = self.store.legs.table(aircraft=aircraft)
        whole = pc.and_(pc.is_valid(table["takeoff_time"]), pc.is_valid(table["landing_time"]))
        rows = table.filter(pc.and_(whole, pc.equal(table["source"], "listed"))).to_pylist()
        return [
            (row["icao24"], row["takeoff_time"], row["landing_time"])
            for row in rows
            if self.feed in row["feeds"] and self.first <= row["takeoff_time"].date() <= self.last
        ]


def _identity(feed: str, piece: Piece) -> str:
    return hashlib.sha256(f"{NOTED}|{feed}|{piece.key}".encode()).hexdigest()


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=n) for n in range((last - first).days + 1))
