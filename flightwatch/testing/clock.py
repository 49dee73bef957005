"""A clock that runs as fast as it is asked."""

from __future__ import annotations

from datetime import datetime, timedelta


class FakeClock:
    """Time passes when somebody sleeps."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._elapsed_s = 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        return self._elapsed_s

    def sleep(self, seconds: float) -> None:
        self._elapsed_s += max(seconds, 0.0)
