"""Measures as people write them in rules: `3 days`, `12 per year`, `22:00-06:00`, `500 ft`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

PERIOD_DAYS = {"day": 1.0, "week": 7.0, "month": 365.25 / 12, "year": 365.25}
_RATE = re.compile(r"(\d+) per (day|week|month|year)")
_UNITS_S = {"min": 60, "minute": 60, "h": 3600, "hour": 3600, "day": 86_400, "week": 604_800}
_SPAN = re.compile(r"(\d+(?:\.\d+)?) ?(min|minute|h|hour|day|week)s?")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


LONGEST = timedelta(days=36_525)
"""No span is longer than a hundred years."""


def per_day(rate: str) -> float:
    """`12 per year` as a number a day. Raises ValueError."""
    match = _RATE.fullmatch(rate)
    if match is None:
        raise ValueError(f"`{rate}`: write a number and a period, like `12 per year` (day, week, month, year)")
    return int(match[1]) / PERIOD_DAYS[match[2]]


def span(text: str) -> timedelta:
    """`90 min`, `12 h`, `3 days`, `2 weeks` as a time. Raises ValueError."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError(f"`{text}`: write a number and a unit, like `90 min`, `12 h`, `3 days` or `2 weeks`")
    seconds = float(match[1]) * _UNITS_S[match[2]]
    if not 0 < seconds <= LONGEST.total_seconds():
        raise ValueError(f"`{text}`: write a time between a minute and a hundred years")
    return timedelta(seconds=seconds)


def clock(text: str) -> tuple[int, int]:
    """`22:00-06:00` as minutes of the day; the second may lie before the first, on the next day. Raises ValueError."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise ValueError(f"`{text}`: write two times of the day, like `22:00-06:00`")
    hours = [int(part) for part in match.groups()]
    begins, ends = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
    if begins == ends:
        raise ValueError(f"`{text}` is over when it begins: write two different times")
    return begins, ends


def in_clock(text: str, minute: int) -> bool:
    """Whether a minute of the day lies in a span of it; the end is outside."""
    begins, ends = clock(text)
    return begins <= minute < ends if begins < ends else minute >= begins or minute < ends


def moment(text: str) -> datetime:
    """`2024-01-01` or `2024-01-01T10:00`; without a zone where none is written. Raises ValueError."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"`{text}`: write a day or a time, like `2024-01-01` or `2024-01-01T10:00`") from None


def _checked(read: Callable[[str], object]) -> AfterValidator:
    def check(text: str) -> str:
        read(text)
        return text

    return AfterValidator(check)


def _shown(pattern: re.Pattern[str], example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern.pattern}$", "examples": [example]})


Rate = Annotated[str, _checked(per_day), _shown(_RATE, "12 per year")]
Span = Annotated[str, _checked(span), _shown(_SPAN, "3 days")]
Clock = Annotated[str, _checked(clock), _shown(_CLOCK, "22:00-06:00")]
Moment = Annotated[str, _checked(moment)]
