"""What follows from a rule or condition alone is worked out once: it is asked for each of many flights.

Rules do not change once they are read; what is derived of one is another one. So what a function gave is known by the very
object that it was asked about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Asked = TypeVar("Asked")
Given = TypeVar("Given")

KEPT = 4096
"""More conditions than people write."""


def remembered(work: Callable[[Asked], Given]) -> Callable[[Asked], Given]:
    """A function of one rule or condition, with what it gave for the last ones."""
    kept: dict[int, tuple[Asked, Given]] = {}  # with the object itself, so that no other one gets its number

    def asked(of: Asked) -> Given:
        try:
            return kept[id(of)][1]
        except KeyError:
            if len(kept) >= KEPT:
                kept.clear()
            given = work(of)
            kept[id(of)] = of, given
            return given

    return asked
