"""Watchlists: aircraft that somebody wants to follow, in a CSV file each.

Columns: `registration` and `icao24` (one of them is enough where the register's arithmetic gives the other),
`typecode`, `operator`, `note`, `source`, `source_date`. The file's name without .csv is the list's name. A rule finds
a list by name beside it first, then among those that ship.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from flightwatch.aircraft.registers import address_of, registration_of
from flightwatch.errors import ConfigError, Problem
from flightwatch.records import Aircraft

COLUMNS = ("registration", "icao24", "typecode", "operator", "note", "source", "source_date")


@dataclass(frozen=True, slots=True)
class Entry:
    """One aircraft on one list."""

    icao24: str | None
    registration: str | None
    typecode: str | None
    operator: str | None
    note: str
    source: str


@dataclass(frozen=True, slots=True)
class Watchlist:
    name: str
    entries: tuple[Entry, ...]


def read_watchlist(path: Path) -> Watchlist:
    """Reads one list. Raises ConfigError with every line that is wrong."""
    problems: list[Problem] = []
    entries = []
    for line, row in _numbered_rows(path):
        try:
            entries.append(_entry(row))
        except ValueError as error:
            problems.append(Problem(str(path), line, str(error)))
    if problems:
        raise ConfigError(problems)
    return Watchlist(path.stem, tuple(entries))


def _numbered_rows(path: Path) -> Iterable[tuple[int, dict[str, str]]]:
    """The rows with their line numbers; lines that begin with # are comments."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(path), 1, f"is not UTF-8 (byte {error.start + 1}): save it as UTF-8")]) from None
    reader = csv.reader("\n" if line.startswith("#") else line for line in lines)
    header: list[str] | None = None
    for values in reader:
        if not values:
            continue
        if header is None:
            header = [name.strip() for name in values]
            _check_header(path, reader.line_num, header)
            continue
        row = {name: value.strip() for name, value in zip(header, values, strict=False)}
        yield reader.line_num, row | {"": "x" if len(values) > len(header) else ""}


def _check_header(path: Path, line: int, header: Sequence[str]) -> None:
    unknown = sorted(set(header) - set(COLUMNS))
    if unknown or not {"registration", "icao24"} & set(header):
        wrong = f"; not {', '.join(unknown)}" if unknown else ""
        message = f"the columns must be among {', '.join(COLUMNS)}, with registration or icao24{wrong}"
        raise ConfigError([Problem(str(path), line, message)])


def _entry(row: dict[str, str]) -> Entry:
    if row[""]:
        raise ValueError("more values than columns: put texts with commas in double quotes")
    registration = row.get("registration", "").upper() or None
    icao24 = row.get("icao24", "").lower() or None
    if icao24 is not None and not re.fullmatch(r"~?[0-9a-f]{6}", icao24):
        raise ValueError(f"{icao24} is no address: it takes 6 hex digits")
    if registration is None and icao24 is None:
        raise ValueError("neither registration nor icao24")
    if row.get("source_date"):
        _check_date(row["source_date"])
    if icao24 is None and registration is not None:
        icao24 = address_of(registration)
        if icao24 is None:
            raise ValueError(f"the address of {registration} does not follow from it: give its icao24, too (6 hex digits)")
    if registration is None and icao24 is not None:
        registration = registration_of(icao24)
    return Entry(
        icao24,
        registration,
        row.get("typecode", "").upper() or None,
        row.get("operator") or None,
        row.get("note", ""),
        row.get("source", ""),
    )


def _check_date(text: str) -> None:
    try:
        date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"source_date {text} is no date: write it as 2023-09-26") from None


class Registry:
    """Who an aircraft is, from the watchlists and the registers' arithmetic."""

    def __init__(self, watchlists: Sequence[Watchlist] = ()) -> None:
        self.watchlists = tuple(watchlists)
        self._by_address: dict[str, list[tuple[str, Entry]]] = {}
        for watchlist in watchlists:
            for entry in watchlist.entries:
                if entry.icao24 is not None:
                    self._by_address.setdefault(entry.icao24, []).append((watchlist.name, entry))
        self._known: dict[str, Aircraft] = {}

    def who(self, icao24: str, on: date) -> Aircraft:
        """What is known of an address on a date."""
        if icao24 not in self._known:
            self._known[icao24] = self._identify(icao24)
        return self._known[icao24]

    def _identify(self, icao24: str) -> Aircraft:
        found = self._by_address.get(icao24, [])
        by_rule = registration_of(icao24)
        sources = [(f"watchlist {name}", entry.source) for name, entry in found]
        if by_rule:
            sources.append(("registration", "arithmetic of the register"))
        return Aircraft(
            icao24=icao24,
            registration=next((e.registration for _, e in found if e.registration), by_rule),
            typecode=next((e.typecode for _, e in found if e.typecode), None),
            operator=next((e.operator for _, e in found if e.operator), None),
            watchlists=tuple(dict.fromkeys(name for name, _ in found)),
            sources=tuple(sources),
        )

    def addresses(self, names: Iterable[str] | None = None) -> list[str]:
        """The addresses on some lists, or on all of them."""
        chosen = None if names is None else set(names)
        return sorted(a for a, found in self._by_address.items() if chosen is None or any(name in chosen for name, _ in found))

    def address(self, text: str) -> str | None:
        """The address that a user means by an address or a registration."""
        if re.fullmatch(r"~?[0-9a-fA-F]{6}", text):
            return text.lower()
        listed = next((a for a, found in self._by_address.items() if any(e.registration == text.upper() for _, e in found)), None)
        return listed or address_of(text)
