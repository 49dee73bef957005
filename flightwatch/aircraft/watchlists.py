"""Watchlists: aircraft that somebody wants to follow, in a file each, CSV or YAML. The file's name without its ending
is the list's name. A rule finds a list by name beside it first, then among those that ship.

An entry names one aircraft by `registration` or `icao24` (one of them is enough), or a kind of aircraft by `operator`,
`callsign` (both may be patterns with * and ?) and `typecode`, of which all that are given must fit. In an entry for one
aircraft, `typecode`, `operator` and `role` are what the list says of it. `valid_from` and `valid_until` (both days
included) bound when an entry holds: addresses are used again, and aircraft sold.

A CSV file has these names in its first line; # begins a comment. A YAML file is a list of entries, or has
`attribution:` and `entries:`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from flightwatch.aircraft.registers import address_of
from flightwatch.documents import load, nearest
from flightwatch.errors import ConfigError, Problem

COLUMNS = (
    "registration",
    "icao24",
    "typecode",
    "operator",
    "callsign",
    "role",
    "valid_from",
    "valid_until",
    "note",
    "source",
    "source_date",
)
NAMES = ("registration", "icao24", "operator", "callsign", "typecode")
"""What an entry can go by; it needs one of them."""

ROLES = ("state", "military", "police", "private", "civil")
SUFFIXES = (".csv", ".yaml", ".yml")
ATTRIBUTION = "# attribution: "
"""Begins the comment of a CSV list that says whose data it holds."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list. `icao24` is the address that was written, or that follows from the registration; without
    registration and address the entry is a pattern, for all aircraft that fit `operator`, `callsign` and
    `typecode`."""

    icao24: str | None
    registration: str | None
    typecode: str | None
    operator: str | None
    note: str
    source: str
    callsign: str | None = None
    role: str | None = None
    source_date: date | None = None
    valid_from: date | None = None
    valid_until: date | None = None

    def holds_on(self, day: date) -> bool:
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_until is None or day <= self.valid_until)

    @property
    def dated(self) -> bool:
        return self.valid_from is not None or self.valid_until is not None

    def fits(
        self, registration: str | None, typecode: str | None, operator: str | None, callsigns: Sequence[str] | None
    ) -> bool | None:
        """Whether an aircraft without a listed address is the one that is meant, or one of them; None where that
        hangs on something that is not known of it."""
        if self.registration is not None:
            return None if registration is None else registration.upper() == self.registration
        tests = (
            (self.typecode, None if typecode is None else [typecode]),
            (self.operator, None if operator is None else [operator]),
            (self.callsign, callsigns),
        )
        truths = [None if values is None else any(_like(v, wanted) for v in values) for wanted, values in tests if wanted]
        return False if False in truths else None if None in truths else True


@dataclass(frozen=True, slots=True)
class Watchlist:
    """`attribution` names those whose data it was made from, where their licence asks for that."""

    name: str
    entries: tuple[Entry, ...]
    attribution: str = ""


def read_watchlist(path: Path) -> Watchlist:
    """Reads one list. Raises ConfigError with every line that is wrong."""
    problems: list[Problem] = []
    entries = []
    attribution, rows = _yaml_rows(path) if path.suffix in (".yaml", ".yml") else _csv_rows(path)
    for line, row in rows:
        try:
            entries.append(_entry(row))
        except ValueError as error:
            problems.append(Problem(str(path), line, str(error)))
    if problems:
        raise ConfigError(problems)
    return Watchlist(path.stem, tuple(entries), attribution)


Rows = Iterable[tuple[int, Mapping[str, str]]]
"""Rows with their line numbers. The name "" holds what is wrong with the shape of a row."""


def _csv_rows(path: Path) -> tuple[str, Rows]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(path), 1, f"is not UTF-8 (byte {error.start + 1}): save it as UTF-8")]) from None
    except OSError as error:
        raise ConfigError([Problem(str(path), 1, f"cannot be read: {error.strerror}")]) from None
    said = [line.removeprefix(ATTRIBUTION).strip() for line in lines if line.startswith(ATTRIBUTION)]
    try:
        return "; ".join(said), list(_numbered_rows(path, lines))
    except csv.Error as error:
        raise ConfigError([Problem(str(path), 1, f"is no CSV: {error}")]) from None


def _numbered_rows(path: Path, lines: Sequence[str]) -> Rows:
    reader = csv.reader("\n" if line.startswith("#") else line for line in lines)
    header: list[str] | None = None
    for values in reader:
        if not values:
            continue
        if header is None:
            header = [name.strip() for name in values]
            _check_names(path, reader.line_num, header)
            continue
        row = {name: value.strip() for name, value in zip(header, values, strict=False)}
        over = "more values than columns: put texts with commas in double quotes" if len(values) > len(header) else ""
        yield reader.line_num, row | {"": over}


def _yaml_rows(path: Path) -> tuple[str, Rows]:
    document = load(path)
    content = document.content
    attribution, at = "", ()
    if isinstance(content, dict) and set(content) <= {"attribution", "entries"}:
        attribution, content, at = str(content.get("attribution") or ""), content.get("entries"), ("entries",)  # type: ignore[assignment]  # a path of one part
    if not isinstance(content, list):
        raise ConfigError(
            [document.problem((), "a watchlist is a list of entries: begin each with `- registration:` or the like")]
        )
    rows = []
    for index, entry in enumerate(content):
        line = document.places.get((*at, index), (1, 1))[0]
        rows.append((line, _yaml_entry(entry)))
    return attribution, rows


def _yaml_entry(entry: Any) -> dict[str, str]:
    if not isinstance(entry, dict):
        return {"": "an entry has names and values, like `registration: RA-86559`"}
    for name, value in entry.items():
        if name not in COLUMNS:
            return {"": f"`{name}` is not known here{nearest(str(name), COLUMNS)}"}
        if isinstance(value, (dict, list, bool, float)):
            return {"": f"`{name}` must be a text: put it in quotes"}
    texts = {name: "" if value is None else str(value).strip() for name, value in entry.items()}
    if isinstance(entry.get("icao24"), int):  # an address of digits alone is a number to YAML
        texts["icao24"] = f"{entry['icao24']:06d}"
    return texts | {"": ""}


def _check_names(path: Path, line: int, header: Sequence[str]) -> None:
    unknown = sorted(set(header) - set(COLUMNS))
    if unknown or not set(NAMES) & set(header):
        wrong = f"; not {', '.join(unknown)}" if unknown else ""
        message = f"the columns must be among {', '.join(COLUMNS)}, with one of {', '.join(NAMES)}{wrong}"
        raise ConfigError([Problem(str(path), line, message)])


def _entry(row: Mapping[str, str]) -> Entry:
    if row[""]:
        raise ValueError(row[""])
    registration = row.get("registration", "").upper() or None
    icao24 = row.get("icao24", "").lower() or None
    if icao24 is not None and not re.fullmatch(r"~?[0-9a-f]{6}", icao24):
        raise ValueError(f"{icao24} is no address: it takes 6 hex digits")
    if registration is not None and re.search(r"[*?\s]", registration):
        raise ValueError(f"{registration} is no registration: only operator and callsign take patterns")
    if not any(row.get(name) for name in NAMES):
        raise ValueError("neither registration nor icao24, and no operator, callsign or typecode")
    callsign = row.get("callsign", "").upper() or None
    if callsign and (registration or icao24):
        raise ValueError("a callsign is for entries without registration and icao24: give it a line of its own")
    role = row.get("role", "").lower() or None
    if role is not None and role not in ROLES:
        raise ValueError(f"`{role}` must be one of {', '.join(ROLES)}{nearest(role, ROLES)}")
    if _says_everybody(row) and not (registration or icao24):
        raise ValueError("`*` alone fits every aircraft: say which ones")
    days = {name: _day(name, row.get(name, "")) for name in ("valid_from", "valid_until", "source_date")}
    if days["valid_from"] and days["valid_until"] and days["valid_from"] > days["valid_until"]:
        raise ValueError("valid_from lies after valid_until")
    if icao24 is None and registration is not None:
        icao24 = address_of(registration)
    return Entry(
        icao24,
        registration,
        row.get("typecode", "").upper() or None,
        row.get("operator") or None,
        row.get("note", ""),
        row.get("source", ""),
        callsign,
        role,
        days["source_date"],
        days["valid_from"],
        days["valid_until"],
    )


def _says_everybody(row: Mapping[str, str]) -> bool:
    """Whether all patterns of a row are made of stars."""
    given = [row.get(name, "") for name in ("operator", "callsign", "typecode")]
    return any(given) and all(not text.strip("*") for text in given)


def _day(name: str, text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise ValueError(f"{name} {text} is no date: write it as 2023-09-26") from None


def _like(value: str, pattern: str) -> bool:
    return fnmatchcase(value.casefold(), pattern.casefold())
