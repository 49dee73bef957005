"""Files that people have: the formats there are, which of them a file is in, and its content as positions or legs.

`FORMATS` is the list of them. The format is taken from the content unless it is given; gzip is seen through.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from flightwatch.aircraft import as_written
from flightwatch.errors import FeedError, InputError
from flightwatch.feeds import (
    archives,
    dictatoralert,
    flightlists,
    flightradar24,
    fr24,
    lines,
    opensky,
    sbs,
    tables,
    traces,
    v2,
)
from flightwatch.feeds.columnmaps import ColumnMap, mapped
from flightwatch.feeds.contents import DAMAGE, HEAD, Content, content_of, damaged, held, shown
from flightwatch.feeds.sanity import Refused, checked
from flightwatch.places import Airports
from flightwatch.records import POSITIONS, Scope

REPORTED = Scope("reported")


@dataclass(frozen=True)
class Given:
    """What somebody said of a file, besides its content. `address` follows from the registration, where one does."""

    registration: str | None = None
    address: str | None = None
    received: datetime = field(default_factory=lambda: datetime.now(UTC))

    def needed_address(self) -> str:
        if self.address is None:
            raise InputError(fr24.NO_ADDRESS)
        return self.address


Positions = Callable[[Content, Given, Refused], Iterable[pa.Table]]
Legs = Callable[[Content, Refused], pd.DataFrame]


@dataclass(frozen=True)
class Format:
    """One format: its name, what it is in a few words, whether a file looks like it, and how it is read: as tables of
    positions (unchecked), or as a flight list under the names of `flightlists`, or both. One that has neither is an
    archive."""

    name: str
    words: str
    fits: Callable[[Content], bool]
    positions: Positions | None = None
    legs: Legs | None = None


@dataclass(frozen=True)
class Source:
    """One file, read: its format, its identity (content and options), and its content. `where` says of reasons on which
    lines they stand, `notes` what else whoever brought it should know."""

    format: str
    identity: str
    positions: Callable[[], Iterator[pa.Table]] | None
    legs: pa.Table | None
    refused: Refused
    scope: Scope
    where: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


# ----------------------------------------------------------------------------------------------------------- how each is read


def _snapshot(content: Content, given: Given, refused: Refused) -> Iterator[pa.Table]:
    snapshot = v2.parse(content.whole(), "", REPORTED, given.received)
    _count(refused, snapshot.refused)
    yield snapshot.positions


def _states(content: Content, given: Given, refused: Refused) -> Iterator[pa.Table]:
    if content.is_json and "icao24" not in content.names:
        snapshot = opensky.parse_states(content.whole(), "", REPORTED, given.received)
        _count(refused, snapshot.refused)
        yield snapshot.positions
        return
    for frame in tables.frames(content, refused):
        positions, bad = opensky.states_table(frame)
        _count(refused, bad)
        yield positions


def _trace(content: Content, given: Given, refused: Refused) -> Iterator[pa.Table]:
    positions, bad = traces.parse_trace(content.whole())
    _count(refused, bad)
    yield positions


def _track(content: Content, given: Given, refused: Refused) -> Iterator[pa.Table]:
    positions, bad = opensky.parse_track(content.whole())
    _count(refused, bad)
    yield positions


def _playback(content: Content, given: Given, refused: Refused) -> Iterator[pa.Table]:
    positions, bad = fr24.parse_playback(content.whole(), given.address)
    _count(refused, bad)
    yield positions


def _playback_csv(content: Content, given: Given, refused: Refused) -> Iterator[pa.Table]:
    address = given.needed_address()
    for frame in tables.frames(content, refused):
        yield fr24.csv_table(frame, address)


def _playback_kml(content: Content, given: Given, refused: Refused) -> Iterator[pa.Table]:
    yield fr24.parse_kml(content.whole(), given.needed_address())


def _fr24_positions(content: Content, given: Given, refused: Refused) -> Iterator[pa.Table]:
    snapshot = flightradar24.parse(content.whole(), "", REPORTED, given.received)
    _count(refused, snapshot.refused)
    yield snapshot.positions


def _fr24_tracks(content: Content, given: Given, refused: Refused) -> Iterator[pa.Table]:
    positions, bad = flightradar24.parse_tracks(content.whole(), given.needed_address())
    _count(refused, bad)
    yield positions


def _fr24_summary(content: Content, refused: Refused) -> pd.DataFrame:
    flights, bad = flightradar24.parse_summary(content.whole())
    _count(refused, bad)
    return pd.DataFrame(flights, columns=list(flightlists.NAMES))


def _inside_flights(content: Content, given: Given, refused: Refused) -> Iterator[pa.Table]:
    for frame in tables.frames(content, {}):  # lines that are none were counted with the legs
        yield from dictatoralert.positions(frame, given.address, refused)


def _mapped(columns: ColumnMap) -> Positions:
    def read(content: Content, given: Given, refused: Refused) -> Iterator[pa.Table]:
        for frame in tables.frames(content, refused):
            yield tables.typed(mapped(frame, columns, given.address))

    return read


def _list(content: Content, refused: Refused) -> pd.DataFrame:
    parts = list(tables.frames(content, refused))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(content.names))


def _list_around_positions(content: Content, refused: Refused) -> pd.DataFrame:
    """The flights alone: their positions are read by themselves."""
    frame = _list(content, refused)
    return frame[[name for name in frame.columns if str(name).strip().lower() != dictatoralert.COLUMN]]


AS_THEY_STAND = (_list, _list_around_positions)
"""These give the rows of a file one by one, so that a row of the frame is one of the file."""

# --------------------------------------------------------------------------------------------------------- what each looks like


def _has(*names: str) -> Callable[[Content], bool]:
    """Whether it is JSON whose objects have these keys."""
    return lambda content: content.is_json and set(names) <= set(content.names)


def _is_snapshot(content: Content) -> bool:
    """`now` may stand at the end, beyond the beginning that is looked at."""
    seen = set(content.names)
    listed = content.is_json and bool({"ac", "aircraft"} & seen)
    return listed and ("now" in seen or len(content.head) == HEAD)


def _is_lines(content: Content) -> bool:
    return content.is_json and {"now", "hex", "lat", "lon"} <= set(content.names) and "seen_pos" not in content.names


def _is_states(content: Content) -> bool:
    return {"time", "states"} <= set(content.names) or set(content.names) >= opensky.TABLE_COLUMNS


def _is_flights(content: Content) -> bool:
    return {name.lower() for name in content.names} >= opensky.FLIGHT_COLUMNS


def _rows_have(*names: str) -> Callable[[Content], bool]:
    """Whether it is JSON with a list of objects (under `data`, or bare) that have these keys."""
    return lambda content: content.is_json and set(names) <= set(content.row_names)


def _is_fr24_positions(content: Content) -> bool:
    """An empty reply is as good as one of any other question."""
    empty = re.fullmatch(rb'\s*\{\s*"data"\s*:\s*\[\s*\]\s*\}\s*', content.head) is not None
    return empty or _rows_have("fr24_id", "lat", "lon", "timestamp")(content)


def _has_positions_inside(content: Content) -> bool:
    """A flight list with a column of lists; one of numbers says how many there were."""
    names = {name.strip().lower() for name in content.names}
    listed = (
        b"[" in content.head.split(b"\n", 1)[-1] if not content.is_json else re.search(rb'"positions"\s*:\s*"?\[', content.head)
    )
    return not content.is_parquet and dictatoralert.COLUMN in names and flightlists.is_flight_list(content.names) and bool(listed)


def _is_kml(content: Content) -> bool:
    return re.match(rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(\w+:)?kml\b", content.head, re.DOTALL) is not None


def _is_sbs(content: Content) -> bool:
    """The first line may be the rest of one that was cut."""
    return any(sbs.is_line(line) for line in content.head.splitlines()[:2])


FORMATS = (
    Format(
        "positions",
        "Parquet, CSV or JSON lines with the columns of flightwatch",
        lambda content: set(content.names) >= tables.REQUIRED,
        positions=lambda content, given, refused: tables.positions(content, refused),
    ),
    Format(
        "dictator-alert",
        "flights with their positions inside, as Dictator Alert exports them",
        _has_positions_inside,
        legs=_list_around_positions,
        positions=_inside_flights,
    ),
    Format("legs", "a flight list", lambda content: flightlists.is_flight_list(content.names), legs=_list),
    Format("readsb-snapshot", "aircraft.json, its history, v2 replies", _is_snapshot, positions=_snapshot),
    Format("readsb-trace", "a day trace", _has("icao", "trace"), positions=_trace),
    Format(
        "readsb-lines",
        "flat JSON lines with now, hex, lat, lon",
        _is_lines,
        positions=lambda content, given, refused: lines.parse_lines(content.lines(), refused),
    ),
    Format("opensky-states", "/states/all, the weekly samples", _is_states, positions=_states),
    Format(
        "opensky-flights",
        "/flights/*",
        _is_flights,
        legs=lambda content, refused: opensky.flights_list(_list(content, refused)),
    ),
    Format("opensky-track", "/tracks", _has("icao24", "startTime", "path"), positions=_track),
    Format(
        "fr24-positions",
        "live and historic flight positions of the Flightradar24 API",
        _is_fr24_positions,
        positions=_fr24_positions,
    ),
    Format(
        "fr24-tracks",
        "flight tracks of the Flightradar24 API",
        _rows_have("fr24_id", "tracks"),
        positions=_fr24_tracks,
    ),
    Format(
        "fr24-summary",
        "flight summaries of the Flightradar24 API",
        _rows_have("fr24_id", "datetime_takeoff"),
        legs=_fr24_summary,
    ),
    Format("fr24-playback", "a playback in JSON", _has("result"), positions=_playback),
    Format("fr24-csv", "a playback in CSV", lambda content: set(content.names) >= fr24.CSV_COLUMNS, positions=_playback_csv),
    Format("fr24-kml", "a playback in KML", _is_kml, positions=_playback_kml),
    Format(
        "sbs",
        "a BaseStation log",
        _is_sbs,
        positions=lambda content, given, refused: sbs.parse_lines(content.lines(), refused),
    ),
    Format("globe-history", "a day's archive of traces (tar)", lambda content: archives.is_archive(content.head)),
)
"""In the order in which a file is compared with them."""

NAMES = tuple(f.name for f in FORMATS)


def format_of(content: Content, name: str | None = None) -> Format:
    """The format of a file: the one that is named, else by its content. Raises InputError with those that there are."""
    if name is not None:
        found = next((f for f in FORMATS if f.name == name), None)
        if found is None:
            raise InputError(f"{name} is not a format: use one of {', '.join(NAMES)}")
        return found
    found = next((f for f in FORMATS if f.fits(content)), None)
    if found is None:
        seen = f" (columns: {shown(content.names)})" if content.names else ""
        raise InputError(f"{content.path} has no format that is known{seen}: give --format, one of {', '.join(NAMES)}")
    return found


def detect(data: bytes, path: Path) -> str:
    """The name of the format of these bytes. Raises InputError with the formats that there are."""
    return format_of(held(data, path)).name


def is_in_archive(path: Path) -> bool:
    """Whether this file is an archive, which is not opened but streamed."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        content = Content(path, file.read(2 * HEAD), None)  # unpacked, it gives HEAD
    try:
        return archives.is_archive(content.head)
    except InputError:  # cut off: what is looked at here ends anywhere
        return False


# ------------------------------------------------------------------------------------------------------------------ one file


ADDRESS = re.compile(r"[0-9a-fA-F]{6}")


def open_file(
    content: Content | Path,
    feed: str,
    airports: Airports,
    address_of: Callable[[str], str | None],
    *,
    format: str | None = None,
    registration: str | None = None,
    scope: Scope | None = None,
    columns: ColumnMap | None = None,
) -> Source:
    """Reads a file for import. Raises InputError, with what to do about it."""
    if isinstance(content, Path):
        content = content_of(content)
    options = f"|{format}|{registration}|{feed}|{scope}" + (f"|{columns.model_dump_json()}" if columns else "")
    identity = content.identity(options)
    kind = format_of(content, format) if columns is None else Format("positions", "", bool, positions=_mapped(columns))
    if kind.legs is None and kind.positions is None:
        raise InputError(f"{content.path} is an archive: give it without --columns")
    refused: Refused = {}
    parts = None
    if kind.positions is not None:
        parts = _parts(kind, kind.positions, content, feed, _given(registration, address_of), refused)
    if kind.legs is None:
        return Source(kind.name, identity, parts, None, refused, scope or REPORTED)
    with _Named(content.path, kind.name):
        frame = kind.legs(content, refused)
        listed = flightlists.read(frame, feed, airports, address_of, f"list-{identity[:12]}", registration)
    _count(refused, {reason: len(rows) for reason, rows in listed.refused.items()})
    where = _places(content, len(frame), listed.refused) if kind.legs in AS_THEY_STAND else {}
    named = scope is None or scope.kind == "aircraft"
    scope = scope if scope and not named else _aircraft_scope(listed.legs)
    return Source(kind.name, identity, parts, listed.legs, refused, scope, where, listed.notes)


def _parts(
    kind: Format, reader: Positions, content: Content, feed: str, given: Given, refused: Refused
) -> Callable[[], Iterator[pa.Table]]:
    """The positions of a file as they are stored, read when they are asked for."""

    def parts() -> Iterator[pa.Table]:
        with _Named(content.path, kind.name):
            for table in reader(content, given, refused):
                yield completed(table, feed, given, refused)

    return parts


def _places(content: Content, rows: int, refused: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """Where the first refused rows of each reason stand: on which lines of a CSV; elsewhere which rows they are, counted
    from 1."""
    lines = content.record_lines() if any(refused.values()) else []
    by_line = len(lines) == rows + 1
    return {
        reason: _named_places(found, lines[1:] if by_line else range(1, rows + 1), by_line) for reason, found in refused.items()
    }


MOST_PLACES = 5


def _named_places(found: Sequence[int], numbers: Sequence[int], by_line: bool) -> str:
    first = ", ".join(str(numbers[row]) for row in found[:MOST_PLACES])
    more = f" and {len(found) - MOST_PLACES:,} more" if len(found) > MOST_PLACES else ""
    return f"{'line' if by_line else 'row'}{'s' if len(found) > 1 else ''} {first}{more}"


def _given(registration: str | None, address_of: Callable[[str], str | None]) -> Given:
    """A registration, or an address in the place of one."""
    if registration is not None and ADDRESS.fullmatch(registration):
        return Given(None, registration.lower())
    written = as_written(registration) if registration else None
    return Given(written, address_of(written) if written else None)


class _Named:
    """Says of whatever fails inside which file it was."""

    def __init__(self, path: Path, kind: str) -> None:
        self._path, self._kind = path, kind

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, DAMAGE):
            raise damaged(self._path, error) from None
        if isinstance(error, UNREADABLE):
            reason = " ".join(str(error).split())[:160]
            raise InputError(
                f"{self._path} cannot be read as {self._kind} ({reason}): give --format if it is something else"
            ) from None
        if isinstance(error, InputError) and str(self._path) not in str(error):
            raise InputError(f"{self._path}: {error}") from None


UNREADABLE = (FeedError, ValueError, KeyError, TypeError, OverflowError, RecursionError, pa.ArrowException)
"""What parsers and libraries raise over a file that is not what it should be."""


def _aircraft_scope(legs: pa.Table) -> Scope:
    """A list covers the aircraft that it names, from its first day to its last."""
    members = {a for a in legs["icao24"].to_pylist() if a} | {f":{r}" for r in legs["registration"].to_pylist() if r}
    return Scope("aircraft", tuple(sorted(members)))


def completed(table: pa.Table, feed: str, given: Given, refused: Refused) -> pa.Table:
    """A table of positions as it is stored: feed, time of import and registration filled in, bad rows refused."""
    table = _replaced(table, "feed", pa.repeat(pa.scalar(feed), len(table)))
    table = _replaced(table, "received", pa.repeat(pa.scalar(given.received, POSITIONS.field("received").type), len(table)))
    if given.registration is not None:
        known = (
            table["registration"].cast(pa.string()) if "registration" in table.column_names else pa.nulls(len(table), pa.string())
        )
        table = _replaced(table, "registration", pc.fill_null(known, given.registration))
    good, bad = checked(table)
    _count(refused, bad)
    return good


def _replaced(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    if name in table.column_names:
        return table.set_column(table.schema.get_field_index(name), name, column)
    return table.append_column(name, column)


def _count(refused: Refused, more: Mapping[str, int]) -> None:
    for reason, count in more.items():
        refused[reason] = refused.get(reason, 0) + count
