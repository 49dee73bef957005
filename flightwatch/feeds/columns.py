"""What parsers make columns of: loose values of replies and files as arrays in which what is no value is null."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TypeGuard, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from flightwatch.errors import FeedError
from flightwatch.records import TIME

Row = TypeVar("Row")
Floats = np.ndarray[tuple[int], np.dtype[np.float64]]

FT_PER_M = 1 / 0.3048
KT_PER_M_S = 3600 / 1852
FPM_PER_M_S = 60 / 0.3048

MS_CLOCK = 1e11
"""A clock from this on counts milliseconds: as seconds it would be the year 5138."""

LATEST_S = 4e9
"""Seconds since 1970 that a time may have; it is the year 2096."""


LARGEST = 1e30
"""Nothing that a feed measures is larger, and what is smaller can be put into any unit without overflow."""


def clock(now: float) -> datetime:
    """The clock of a reply, seconds or milliseconds since 1970. Raises FeedError where it cannot be one."""
    try:
        seconds = now / 1000 if now > MS_CLOCK else now
        return datetime.fromtimestamp(round(seconds, 3), UTC)
    except (ValueError, OverflowError, OSError):
        raise FeedError("bad_clock", f"the reply's clock says {str(now)[:40]}: refused") from None


def finite(value: Any) -> TypeGuard[float]:
    """Whether a value of JSON is a number that can be counted with; it knows whole numbers of any length."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def typed(items: Iterable[Any], kind: type[Row]) -> tuple[list[Row], int]:
    """Loose JSON values as records, and how many of them are none."""
    good, bad = [], 0
    for item in items:
        try:
            json.dumps(item, ensure_ascii=False).encode()  # fails for half a character, which JSON can escape and Arrow not hold
            good.append(msgspec.convert(item, kind))
        except (msgspec.ValidationError, ValueError, RecursionError):
            bad += 1
    return good, bad


def moments(seconds: Floats) -> pa.Array:
    """Seconds since 1970 as times, null where it cannot be one."""
    with np.errstate(invalid="ignore"):
        good = (seconds > 0) & (seconds < LATEST_S)
    return pa.array((np.where(good, seconds, 0.0) * 1e6).round().astype(np.int64), TIME, mask=~good)


def numbers(values: list[Any]) -> Floats:
    """Numbers, NaN for null and for what is no quantity."""
    try:
        array = np.array(values, dtype=np.float64)
    except (OverflowError, TypeError, ValueError):
        array = np.array([_float(v) for v in values], dtype=np.float64)
    with np.errstate(invalid="ignore"):
        array[np.abs(array) > LARGEST] = np.nan
    return array


def _float(value: Any) -> float:
    try:
        return float(value)
    except (OverflowError, TypeError, ValueError):
        return math.nan


def column(values: Any) -> pa.Array:
    """A list or an array as Arrow has it; NaN is null, and so is a list of nothing but null."""
    if isinstance(values, np.ndarray):
        return pa.array(values, from_pandas=True)
    if isinstance(values, list) and all(v is None for v in values):
        return pa.nulls(len(values))
    return pa.array(values) if isinstance(values, list) else values


def table(columns: dict[str, Any]) -> pa.Table:
    """Lists and arrays of one length as a table."""
    return pa.table({name: column(values) for name, values in columns.items()})
