"""Flight lists: legs that somebody wrote down, without positions.

Columns: `registration` or `icao24`, `origin`, `destination`, and `takeoff_time` / `landing_time` or a `date`;
`typecode`, `callsign` and `operator` where there are any. Times are ISO 8601 (UTC where no zone is given), seconds or
milliseconds since 1970, or a clock beside a `date`; what can be read in two ways (09/10/2023) is refused. Codes may be
ICAO, IATA or local; those that no table knows are kept as given, missing ends stay null. A row is told from others by
all its columns and by which occurrence of them it is in the file, so the same list read twice brings nothing, and two
alike flights of one day stay two. A registration without its hyphen (RA86559) gets it where the form leaves no doubt.

What a list says was not observed by anybody here: its ends are `inferred`, because the list says so.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa

from flightwatch.aircraft import as_written
from flightwatch.aircraft.types import DEFAULT, performance
from flightwatch.errors import InputError
from flightwatch.feeds.contents import shown
from flightwatch.places import Airports
from flightwatch.places.great_circle import distance_nm
from flightwatch.records import UNKNOWN, Candidate, End, Leg, legs_table

LISTED_PROBABILITY = 0.95
"""A list is somebody's word for it: one flight in twenty is booked under another airport, diverted, or not flown."""

NAMES = {
    "registration": ("registration", "reg", "tail", "aircraft_registration"),
    "icao24": ("icao24", "hex", "icao"),
    "typecode": ("typecode", "type", "aircraft_type"),
    "callsign": ("callsign", "flight"),
    "operator": ("operator", "airline"),
    "origin": ("origin", "from", "departure", "dep"),
    "destination": ("destination", "to", "arrival", "arr"),
    "date": ("date", "day"),
    "takeoff_time": ("takeoff_time", "departure_time", "first_seen", "dep_utc", "start", "start_time"),
    "landing_time": ("landing_time", "arrival_time", "last_seen", "arr_utc", "end", "end_time"),
    "flight_id": ("flight_id", "fr24_id"),
}
"""What each column may be called."""

DAY = timedelta(days=1)

NO_CODE = {"ZZZZ": "a place without a code", "AFIL": "a flight plan filed in the air"}
"""What flight plans write in the place of an airport (ICAO Doc 4444, items 13 and 16)."""

OWN_COLUMNS = {"leg_id", "origin_basis", "destination_basis"}
"""What `flightwatch legs -o` writes has these, and no list that somebody else wrote."""

MOST_NAMED = 8
"""Codes and columns that a note names; of the rest it gives the number."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A flight list, read: its legs (a table of `LEGS`), the rows that were refused (counted from 0) by reason, and what
    whoever brought it should know."""

    legs: pa.Table
    refused: Mapping[str, Sequence[int]]
    notes: tuple[str, ...]


def is_flight_list(columns: Iterable[str]) -> bool:
    """Whether these columns are those of a flight list."""
    found = columns_of(columns)
    return (
        bool({"registration", "icao24"} & set(found))
        and bool({"origin", "destination"} & set(found))
        and bool({"date", "takeoff_time", "landing_time"} & set(found))
    )


def columns_of(columns: Iterable[str]) -> dict[str, str]:
    """Our names to those in the file."""
    given = {c.strip().lower(): c for c in columns}
    return {ours: given[name] for ours, names in NAMES.items() for name in reversed(names) if name in given}


def read(
    frame: pd.DataFrame,
    feed: str,
    airports: Airports,
    address_of: Callable[[str], str | None],
    list_id: str,
    registration: str | None = None,
) -> Listed:
    """A frame of texts as legs. Raises InputError where it is no flight list, or one that flightwatch made.

    `address_of` gives the address that a registration determines, where it does; `list_id` names the list among the
    sources of its legs; `registration` stands in where the file says nobody.
    """
    if set(frame.columns) >= OWN_COLUMNS:
        raise InputError(OWN_LEGS)
    names = columns_of(frame.columns)
    if not is_flight_list([*names, *(["registration"] if registration else [])]):
        raise InputError(
            "a flight list needs registration or icao24, origin or destination, and a date or times: name the columns so"
        )
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")
    rows = [{ours: record[theirs] for ours, theirs in names.items() if record[theirs] is not None} for record in records]
    given_codes = [code for r in rows for end in ("origin", "destination") if (code := _text(r.get(end))) is not None]
    codes = airports.resolve(code for code in given_codes if code.upper() not in NO_CODE)
    seen: Counter[tuple[tuple[str, str], ...]] = Counter()
    legs: list[Leg] = []
    refused: dict[str, list[int]] = {}
    for order, (record, given) in enumerate(zip(records, rows, strict=True)):
        if registration and not ({"registration", "icao24"} & given.keys()):
            given["registration"] = registration
        columns: dict[Any, Any] = {**record, **given}
        identity = tuple(sorted((str(k), str(v)) for k, v in columns.items() if v is not None))
        seen[identity] += 1
        leg = _leg(given, order, _leg_id(identity, seen[identity]), (feed, list_id), codes, address_of)
        if isinstance(leg, str):
            refused.setdefault(leg, []).append(order)
        else:
            legs.append(_doubted(leg, airports))
    ends = [leg.origin for leg in legs] + [leg.destination for leg in legs]
    unread = [str(column) for column in frame.columns if column not in names.values()]
    open_ends = Counter(code.upper() for code in given_codes if code.upper() in NO_CODE)
    told = (*_unknown_codes(ends, airports), *_no_codes(open_ends), *_odd_times(legs), *_unread_columns(unread))
    return Listed(legs_table(legs), refused, told)


DOUBTED = "the flight list has it"
"""How the reason begins of a leg whose times cannot be right."""

TAIL_WIND_KT = 150.0
"""More than any jet stream gives over a whole flight."""

SLOWEST, LINGERS_H = 1.5, 4.0
"""Half as long again as the way takes, and some hours of circling or waiting: longer is no flight between two places."""

OWN_LEGS = (
    "these are legs that flightwatch wrote (`flightwatch legs -o`): taken in as a flight list, what it inferred would count as"
    " somebody's word. Import the files that they were made of, or copy the store's folder, which holds them"
)


def _unknown_codes(ends: Iterable[End], airports: Airports) -> Iterator[str]:
    """What stands in no table is kept, but nobody can tell where it is."""
    codes = Counter(end.airport for end in ends if end.airport is not None and airports.row(end.airport) is None)
    if codes:
        named = [code if count == 1 else f"{code} ({count} times)" for code, count in codes.most_common(MOST_NAMED)]
        yield (
            f"{len(codes):,} airport {_are('code', codes)} in no table, kept as given, so no rule about places sees"
            f" {'it' if len(codes) == 1 else 'them'}: {_listed(named, len(codes))}"
        )


def _no_codes(found: Mapping[str, int]) -> Iterator[str]:
    """One table has an island in Japan under ZZZZ, which no flight list means."""
    for code, count in sorted(found.items()):
        yield f"{code} is no airport but {NO_CODE[code]}: left open, {count:,} {'time' if count == 1 else 'times'}"


def _odd_times(legs: Iterable[Leg]) -> Iterator[str]:
    odd = sum(leg.destination.reason.startswith(DOUBTED) for leg in legs)
    if odd:
        flights = "flight takes" if odd == 1 else "flights take"
        yield f"{odd:,} {flights} a time that the way does not: of it the days alone are kept"


def _unread_columns(columns: Sequence[str]) -> Iterator[str]:
    if columns:
        yield f"{len(columns):,} {_are('column', columns)} not read: {_listed(columns, len(columns))}"


def _are(word: str, things: Sized) -> str:
    return f"{word} is" if len(things) == 1 else f"{word}s are"


def _listed(names: Sequence[str], count: int) -> str:
    more = count - min(len(names), MOST_NAMED)
    return shown(names[:MOST_NAMED]) + (f" and {more:,} more" if more else "")


def _leg_id(identity: tuple[tuple[str, str], ...], occurrence: int) -> str:
    text = "\x1f".join(f"{k}={v}" for k, v in identity) + f"\x1f{occurrence}"
    return "listed-" + hashlib.sha256(text.encode()).hexdigest()[:20]


def _leg(
    given: Mapping[str, Any],
    order: int,
    leg_id: str,
    feeds: tuple[str, str],
    codes: Mapping[str, str],
    address_of: Callable[[str], str | None],
) -> Leg | str:
    """One row as a leg, or the reason why it cannot be one."""
    registration, icao24 = _upper(given.get("registration")), _text(given.get("icao24"))
    registration = as_written(registration) if registration else None
    icao24 = icao24.lower() if icao24 else None
    if icao24 is None and registration is not None:
        icao24 = address_of(registration)
    if icao24 is None and registration is None:
        return "no_aircraft"
    ends = {end: _code(given.get(end), codes) for end in ("origin", "destination")}
    try:
        takeoff, landing = _times(given)
    except (ValueError, OverflowError, OSError):
        return "bad_time"
    return Leg(
        leg_id=leg_id,
        revision=1,
        journey_id=leg_id,
        icao24=icao24,
        registration=registration,
        typecode=_upper(given.get("typecode")),
        operator=_text(given.get("operator")),
        callsign=_upper(given.get("callsign")),
        first_seen=None,
        last_seen=None,
        origin=_end(ends["origin"], takeoff),
        destination=_end(ends["destination"], landing),
        landed_probability=1.0,
        status="landed",
        gaps=(),
        longest_gap_s=0.0,
        distance_nm=0.0,
        positions=0,
        model="",
        source="listed",
        feeds=feeds,
        list_order=order,
    )


def _doubted(leg: Leg, airports: Airports) -> Leg:
    """The leg with its days alone where the time between take-off and landing is not one that the way can take: nobody can
    tell which of them is wrong. Of types that are not known only too short a time is."""
    origin, destination = (airports.get(end.airport) for end in (leg.origin, leg.destination))
    takeoff, landing = leg.origin, leg.destination
    if origin is None or destination is None or takeoff.time is None or landing.time is None:
        return leg
    if takeoff.earliest != takeoff.latest or landing.earliest != landing.latest:
        return leg
    way = float(distance_nm(origin.latitude, origin.longitude, destination.latitude, destination.longitude))
    hours, type_ = (landing.time - takeoff.time) / timedelta(hours=1), performance(leg.typecode)
    longest = math.inf if type_ is DEFAULT else SLOWEST * way / type_.cruise_kt + LINGERS_H
    if way / (type_.cruise_kt + TAIL_WIND_KT) <= hours <= longest:
        return leg
    why = f"{DOUBTED}, but {hours:.1f} h for {way:,.0f} nm are not take-off to landing"
    first, last = sorted((takeoff.time, landing.time))
    begins, ends = _whole_day(first.date())[0], _whole_day(last.date())[1]
    middle = begins + (ends - begins) / 2
    vague = {"time": middle, "earliest": begins, "latest": ends, "reason": why}
    return replace(leg, origin=replace(takeoff, **vague), destination=replace(landing, **vague))  # type: ignore[arg-type]  # fields of an End


def _end(airport: str | None, when: tuple[datetime, datetime] | None) -> End:
    earliest, latest = when or (None, None)
    middle = earliest + (latest - earliest) / 2 if earliest is not None and latest is not None else None
    if airport is None:
        return End(None, "unknown", 0.0, (Candidate(UNKNOWN, 1.0),), "the list leaves it open", middle, earliest, latest)
    listed = (Candidate(airport, LISTED_PROBABILITY), Candidate(UNKNOWN, round(1 - LISTED_PROBABILITY, 4)))
    return End(airport, "inferred", LISTED_PROBABILITY, listed, "as the flight list has it", middle, earliest, latest)


Span = tuple[datetime, datetime]

CLOCK = re.compile(r"([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d)?")
EARLIEST, LATEST = datetime(1940, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""What is outside was meant in another unit."""

MILLISECONDS_FROM = 1e11
"""Seconds since 1970 stay below this for three thousand years."""


def _times(given: Mapping[str, Any]) -> tuple[Span | None, Span | None]:
    """The spans that take-off and landing lie in: moments where the list has times, whole days where it has dates.
    Raises ValueError where it has neither, or writes them in a way that can be read in two."""
    day = _day(given.get("date"))
    takeoff, landing = _span(given.get("takeoff_time"), day), _span(given.get("landing_time"), day)
    if takeoff is None and landing is None:
        if day is None:
            raise ValueError("neither times nor a date")
        return day, day
    if takeoff and landing and landing[1] < takeoff[0] and CLOCK.fullmatch(str(given["landing_time"]).strip()):
        landing = landing[0] + DAY, landing[1] + DAY  # a clock after midnight
    return takeoff, landing


def _day(value: Any) -> Span | None:
    """The whole day of a date; a moment where the date has a time of day."""
    span = _span(value, None)
    midnight = span is not None and span[0] == span[1] and span[0].time() == time.min
    return span if span is None or not midnight else _whole_day(span[0].date())


def _span(value: Any, day: Span | None) -> Span | None:
    """A moment, or a whole day; a clock alone is one of that day. Raises ValueError for anything else."""
    text = _text(value)
    if text is None or text in ("NaT", "nan"):
        return None
    if isinstance(value, datetime):  # pandas' Timestamp is one
        return _moment(value)
    if isinstance(value, date):
        return _whole_day(value)
    if isinstance(value, int | float) or re.fullmatch(r"\d{9,14}(\.\d+)?", text):
        seconds = float(value) / (1000 if float(value) > MILLISECONDS_FROM else 1)
        return _moment(datetime.fromtimestamp(seconds, UTC))
    if CLOCK.fullmatch(text):
        if day is None:
            raise ValueError("a clock without a date")
        clock = time.fromisoformat(text.zfill(5) if len(text) < 6 else text.zfill(8))
        return _moment(datetime.combine(day[0].date(), clock, UTC))
    if len(text) == 10:
        return _whole_day(date.fromisoformat(text))
    return _moment(datetime.fromisoformat(text))


def _moment(moment: datetime) -> Span:
    """UTC where no zone is given."""
    utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if not EARLIEST < utc < LATEST:
        raise ValueError("a time that cannot be meant")
    utc = datetime(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond, UTC)
    return utc, utc


def _whole_day(day: date) -> Span:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return start, start + DAY - timedelta(microseconds=1)


def _text(value: Any) -> str | None:
    text = "" if value is None else str(value).strip()
    return text or None


def _upper(value: Any) -> str | None:
    text = _text(value)
    return text.upper() if text else None


def _code(value: Any, codes: Mapping[str, str]) -> str | None:
    text = _text(value)
    return None if text is None else codes.get(text)  # one of `NO_CODE` is in no table
