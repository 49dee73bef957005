"""Alerts as lines of text."""

from __future__ import annotations

import sys
from typing import TextIO

from flightwatch.deliveries import CannotTell
from flightwatch.deliveries.plain import clean
from flightwatch.records import Message


class Console:
    """Writes to a stream. A line that was written cannot be found again, so a repeat is possible after a crash, and says
    that it may be one."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def send(self, message: Message, thread: str | None) -> str:
        stream = self._stream or sys.stdout
        if message.update:
            stream.write(f"UPDATE {message.alert_id}: {clean(message.update)}\n")
        else:
            stream.write(f"ALERT {message.alert_id}: {clean(message.headline)} ({clean(message.qualifier)})\n")
            stream.writelines(f"  {clean(fact)}\n" for fact in message.facts)
            stream.writelines(f"  {clean(line)}\n" for line in message.footer)
            stream.writelines([f"  Evidence page: {clean(message.page)}\n"] if message.page else [])
        stream.flush()
        return f"{message.alert_id}/{message.number}"

    def find(self, message: Message, thread: str | None, since_s: float) -> str | None:
        raise CannotTell
