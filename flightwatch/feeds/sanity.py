"""The one table of what a position must be: rows that cannot be used are refused and counted by reason, fields that
cannot be true become null.

row                                             reason
no address, or not 6 hex digits (with or without ~)   bad_address
address 000000 or ffffff                        dummy_address
no time of the fix                              no_time
a time before 1980 or after 2099                bad_time
no latitude or longitude                        no_position
outside +-90 / +-180, or at a pole              bad_position
within 0.01 degrees of 0, 0                     null_island
a vehicle or obstacle (category C1 to C7)       surface_vehicle

field                                           null where
altitude, geoaltitude                           outside -2,000 to 66,000 ft (a U-2 goes to 70,000, but so do bad decodings)
groundspeed                                     outside 0 to 2,000 kt (the cap of readsb)
track                                           outside 0 to 360 degrees
vertical_rate                                   beyond +-20,000 ft/min
squawk                                          not 4 octal digits
callsign, registration, typecode                empty, or nothing but filling; control characters and padding are cut off
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flightwatch.records import POSITIONS

RANGES = {
    "altitude": (-2_000.0, 66_000.0),
    "geoaltitude": (-2_500.0, 67_000.0),
    "groundspeed": (0.0, 2_000.0),
    "track": (0.0, 360.0),
    "vertical_rate": (-20_000.0, 20_000.0),
}
EARLIEST, LATEST = datetime(1980, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""Before any aircraft sent where it was, and so late that units were mixed up."""

NULL_ISLAND_DEG = 0.01
"""As readsb tests it."""

WORDS = {"callsign": 8, "registration": 12, "typecode": 4}
"""The longest that each can be."""

FILLING = pa.array(["", "00000000", "@@@@@@@@", "????????"])
DUMMIES = pa.array(["000000", "ffffff"])

NO_WORD = pa.scalar(None, pa.string())

Refused = dict[str, int]


def checked(table: pa.Table) -> tuple[pa.Table, Refused]:
    """A table with the columns of `POSITIONS` (missing ones are null), without the rows that cannot be used, and
    their number by reason."""
    table = with_all_columns(table)
    table = _with(table, {"icao24": pc.utf8_lower(pc.utf8_trim_whitespace(table["icao24"]))})
    refused: Refused = {}
    taken = np.zeros(len(table), bool)
    for reason, bad in _bad_rows(table).items():
        count = int(np.sum(bad & ~taken))
        if count:
            refused[reason] = count
        taken |= bad
    return _mended(table.filter(pa.array(~taken))), refused


def sum_of(first: Mapping[str, int], second: Mapping[str, int]) -> Refused:
    """Two counts by reason as one."""
    return {reason: first.get(reason, 0) + second.get(reason, 0) for reason in {**first, **second}}


def with_all_columns(table: pa.Table) -> pa.Table:
    """The columns of `POSITIONS` in their order and types; those that the table lacks are null."""
    given = dict(zip(table.column_names, table.columns, strict=True))
    columns = [given[f.name] if f.name in given else pa.nulls(len(table), f.type) for f in POSITIONS]
    typed = [c if c.type == f.type else c.cast(f.type, safe=False) for f, c in zip(POSITIONS, columns, strict=True)]
    return pa.table(typed, schema=POSITIONS)


def _bad_rows(table: pa.Table) -> Mapping[str, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    latitude, longitude = _array(table, "latitude"), _array(table, "longitude")
    address, time = table["icao24"], table["timestamp"]
    sane = pc.and_(pc.greater_equal(time, pa.scalar(EARLIEST, time.type)), pc.less(time, pa.scalar(LATEST, time.type)))
    with np.errstate(invalid="ignore"):
        outside = (np.abs(latitude) >= 90) | (np.abs(longitude) > 180) | np.isinf(latitude) | np.isinf(longitude)
        island = (np.abs(latitude) < NULL_ISLAND_DEG) & (np.abs(longitude) < NULL_ISLAND_DEG)
    return {
        "bad_address": ~_true(pc.match_substring_regex(address, r"^~?[0-9a-f]{6}$")),
        "dummy_address": _true(pc.is_in(address, value_set=DUMMIES)),
        "surface_vehicle": _true(pc.match_substring_regex(table["category"], "^C[1-7]$")),
        "no_position": np.isnan(latitude) | np.isnan(longitude),
        "no_time": ~_true(pc.is_valid(time)),
        "bad_time": ~_true(sane),
        "bad_position": outside,
        "null_island": island,
    }


def _mended(table: pa.Table) -> pa.Table:
    mended = {}
    for name, (low, high) in RANGES.items():
        values = _array(table, name)
        with np.errstate(invalid="ignore"):
            good = (values >= low) & (values <= high)
        mended[name] = pa.array(values, pa.float32(), mask=~good)
    octal = pc.match_substring_regex(table["squawk"], "^[0-7]{4}$")
    mended["squawk"] = pc.if_else(octal, table["squawk"], NO_WORD)  # null where it is null
    return _with(table, mended | {name: _word(table[name], longest) for name, longest in WORDS.items()})


def _word(column: pa.ChunkedArray, longest: int) -> pa.ChunkedArray:
    """Printable ASCII in upper case without padding, or null."""
    text = pc.replace_substring_regex(pc.utf8_upper(column), r"[^ -~]", "")
    text = pc.utf8_slice_codeunits(pc.utf8_trim_whitespace(text), 0, longest)
    return pc.if_else(pc.is_in(text, value_set=FILLING), NO_WORD, text)


def _with(table: pa.Table, changed: Mapping[str, pa.Array | pa.ChunkedArray]) -> pa.Table:
    """The table with other values in some of its columns: at once, because it is made anew each time."""
    columns = zip(table.column_names, table.columns, strict=True)
    return pa.table([changed.get(name, column) for name, column in columns], schema=table.schema)


def _array(table: pa.Table, name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray(table[name].to_numpy(zero_copy_only=False), dtype=np.float64)


def _true(mask: pa.ChunkedArray) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray(pc.fill_null(mask, False).to_numpy(zero_copy_only=False), dtype=bool)
