"""Alerts as lines of a file, one JSON object an update (`updates` says what is in it), for programs that follow it.

A line is written in one go at the end of the file and synced before it counts as delivered. A line that a crash left
unfinished is ended first, so that it spoils no other one. A file that was moved away (logrotate) is begun anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from flightwatch.deliveries.files import append_line
from flightwatch.deliveries.updates import as_object, key_of
from flightwatch.errors import DeliveryError
from flightwatch.records import Message


class JsonLines:
    """Appends to a file, and makes it and its folder where they are missing."""

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._path = path
        self._now = now

    def send(self, message: Message, thread: str | None) -> str:
        line = json.dumps(as_object(message, self._now()), ensure_ascii=False).encode()
        try:
            append_line(self._path, line)
        except OSError as error:
            raise DeliveryError(f"{self._path} cannot be written ({error.strerror})", outcome_unknown=True) from None
        return key_of(message)

    def find(self, message: Message, thread: str | None, since_s: float) -> str | None:
        """Looks through the whole file, once for each message whose outcome nobody knows."""
        key = json.dumps(key_of(message), ensure_ascii=False).encode()
        try:
            with self._path.open("rb") as file:
                return key_of(message) if any(key in line and _is_about(line, key_of(message)) for line in file) else None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DeliveryError(f"{self._path} cannot be read ({error.strerror})") from None


def _is_about(line: bytes, key: str) -> bool:
    try:
        found = json.loads(line)
    except ValueError:  # a crash left a part of it
        return False
    return isinstance(found, dict) and found.get("key") == key
