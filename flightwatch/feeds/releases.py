"""adsb.lol's archives of whole days, published as releases of the repositories `adsblol/globe_history_<year>`.

A release has the tag `v2025.01.03-planes-readsb-prod-0` (staging-0 where the other server lacked that day) and its
archive as `<tag>.tar`, or cut at 2 GB as `<tag>.tar.aa`, `.tar.ab`, ... PREFERRED_RELEASES.txt in the repository has a
line a day, the addresses of the parts between commas. A day has 1.6 to 2.8 GB.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

from flightwatch.errors import FeedError
from flightwatch.feeds.history import Brought, Clock, Flight, Missing, Piece, Polite, Watcher, by_day
from flightwatch.feeds.http import Http, Limits

BASE = "https://github.com"

ELSEWHERE = (
    "https://raw.githubusercontent.com",
    "https://objects.githubusercontent.com",
    "https://release-assets.githubusercontent.com",
)
"""Where GitHub keeps files and the assets of releases: it redirects there, and nowhere else is followed."""

DOWNLOAD = Limits(deadline_s=6 * 3600.0, connect_s=15.0, size=3 << 30)
"""For a part of up to 2 GB over a line of 100 kB/s."""

SPACING_S = 1.0
SERVERS = ("prod-0", "staging-0")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
FORMAT = "globe-history"

ASSET = re.compile(r"/(v(\d{4})\.(\d\d)\.(\d\d)-planes-readsb-(?:prod|staging)-\d+(?:tmp)?)/(\1\.tar(?:\.a[a-z])?)$")
"""The end of a part's address. What multilateration alone saw (`mlatonly`) is no archive of a day."""

LATE = timedelta(days=7)
"""A release comes within hours, now and then days; after that none comes any more."""

YEAR_BEGINS_EARLY = (12, 29)
"""The repository of 2025 begins on 29 December 2024: days from then on may be in that of the next year."""

NO_SIZE = ("http_403", "http_405", "http_501")
"""Answers of storage that tells no size, because the address is signed for a download alone."""


@dataclass
class Releases:
    """The archives as a source; one piece is a day, for those aircraft that lack it."""

    http: Http
    clock: Clock
    base: str = BASE
    name: str = "adsb.lol"
    service: str | None = "adsb-lol"
    _polite: Polite = field(init=False)
    _lists: dict[int, dict[date, list[str]]] = field(default_factory=dict)
    _sizes: dict[str, int | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._polite = Polite(self.clock, SPACING_S)

    def pieces(self, missing: Missing, flights: Callable[[], Sequence[Flight]]) -> Iterator[Piece]:
        for day, aircraft in by_day(missing):
            yield Piece(day.isoformat(), day, day, tuple(a for a in aircraft if a), FORMAT, self.base)

    def fetch(self, piece: Piece, folder: Path, watcher: Watcher) -> Brought:
        urls = self._preferred(piece.first) or self._probed(piece.first)
        if not urls:
            if self.clock.now().date() - piece.first < LATE:
                raise FeedError("not_published", f"{piece.first}: adsb.lol has not published this day yet")
            watcher.say(f"{piece.first}: adsb.lol has no archive of this day, and none will come")
            return Brought(known=False)
        folder.mkdir(parents=True, exist_ok=True)
        sizes = {url: self._size(url) for url in urls if not _path(folder, url).exists()}
        self._announce(piece.first, sizes, folder, watcher)
        for url, size in sizes.items():
            self._download(url, size, folder, watcher)
        return Brought(tuple(_path(folder, url) for url in urls))

    def _announce(self, day: date, sizes: dict[str, int | None], folder: Path, watcher: Watcher) -> None:
        """What is left to download. Raises FeedError where the disk has no room for it."""
        if not sizes:
            return
        begun = sum(p.stat().st_size for url in sizes if (p := _part(folder, url)).exists())
        left = sum(size or 0 for size in sizes.values()) - begun
        told = f"{left / 1e6:,.0f} MB" if all(size is not None for size in sizes.values()) else "of a size that is not told"
        had = f" ({begun / 1e6:,.0f} MB are here already)" if begun else ""
        watcher.say(f"{day}: {len(sizes)} file{'s' if len(sizes) > 1 else ''} to download, {told}{had}")
        free = shutil.disk_usage(folder).free
        if left > free:
            room = f"{left / 1e6:,.0f} MB do not fit into the {free / 1e6:,.0f} MB that are free in {folder}"
            raise FeedError("not_written", f"{day}: {room}: make room, then run it again", permanent=True)

    def _download(self, url: str, size: int | None, folder: Path, watcher: Watcher) -> None:
        part = _part(folder, url)
        with watcher.progress(_path(folder, url).name, size) as advance:
            self._polite.ask(lambda: replace(self.http, limits=DOWNLOAD).download(url, part, advance=advance))
        part.replace(_path(folder, url))

    def _preferred(self, day: date) -> list[str]:
        """The parts of a day as the repositories' own lists have them."""
        found = (self._list(year).get(day) for year in _years(day))
        return next((urls for urls in found if urls), [])

    def _list(self, year: int) -> dict[date, list[str]]:
        if year not in self._lists:
            url = f"{self.base}/adsblol/globe_history_{year}/raw/HEAD/PREFERRED_RELEASES.txt"
            try:
                text = self._polite.ask(lambda: self.http.ask(url)).body.decode("utf-8", "replace")
            except FeedError as error:
                if error.reason not in ("http_404", "empty"):
                    raise
                text = ""
            self._lists[year] = preferred(text, self.base, year)
        return self._lists[year]

    def _probed(self, day: date) -> list[str]:
        """The parts of a day that stands in no list, by the names that they would have."""
        for year in _years(day):
            for server in SERVERS:
                tag = f"v{day:%Y.%m.%d}-planes-readsb-{server}"
                whole = _address(self.base, year, tag, f"{tag}.tar")
                if self._is_there(whole):
                    return [whole]
                parts = (_address(self.base, year, tag, f"{tag}.tar.a{letter}") for letter in LETTERS)
                found: list[str] = []
                while (part := next(parts, None)) is not None and self._is_there(part):
                    found.append(part)
                if found:
                    return found
        return []

    def _is_there(self, url: str) -> bool:
        try:
            self._size(url)
        except FeedError as error:
            if error.reason != "http_404":
                raise
            return False
        return True

    def _size(self, url: str) -> int | None:
        if url not in self._sizes:
            try:
                self._sizes[url] = self._polite.ask(lambda: self.http.size(url))
            except FeedError as error:
                if error.reason not in NO_SIZE:
                    raise
                self._sizes[url] = None
        return self._sizes[url]


def preferred(text: str, base: str, year: int) -> dict[date, list[str]]:
    """What PREFERRED_RELEASES.txt says: the addresses of a day's parts below `base`, wherever the list itself has them.
    Lines that say something else are left out, and all but the first of a day."""
    days: dict[date, list[str]] = {}
    for line in text.splitlines():
        matches = [ASSET.search(url.strip()) for url in line.split(",") if url.strip()]
        parts = [match for match in matches if match is not None]
        if len(parts) < len(matches) or len({match[1] for match in parts}) != 1:
            continue
        with suppress(ValueError):
            day = date(int(parts[0][2]), int(parts[0][3]), int(parts[0][4]))
            days.setdefault(day, sorted({_address(base, year, match[1], match[5]) for match in parts}))
    return days


def _years(day: date) -> tuple[int, ...]:
    """The years whose repository may have a day."""
    return (day.year, day.year + 1) if (day.month, day.day) >= YEAR_BEGINS_EARLY else (day.year,)


def _address(base: str, year: int, tag: str, asset: str) -> str:
    return f"{base}/adsblol/globe_history_{year}/releases/download/{tag}/{asset}"


def _path(folder: Path, url: str) -> Path:
    return folder / url.rsplit("/", 1)[-1]


def _part(folder: Path, url: str) -> Path:
    """Where a download is until all of it is there."""
    path = _path(folder, url)
    return path.with_name(path.name + ".part")
