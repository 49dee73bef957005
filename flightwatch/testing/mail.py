"""A mail server that keeps what it gets, and can be told to refuse."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Any

from aiosmtpd.controller import Controller


class MailServer:
    """Runs while its block lasts. `received` holds (recipient, message) in order; `answers` are used up, one a
    message, before it accepts."""

    def __init__(self) -> None:
        self.received: list[tuple[str, bytes]] = []
        self.answers: list[str] = []
        self.port = _free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  # the name that aiosmtpd calls
        if self.answers:
            return self.answers.pop(0)
        self.received += [(recipient, envelope.content) for recipient in envelope.rcpt_tos]
        return "250 OK"

    def __enter__(self) -> MailServer:
        self._controller.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._controller.stop()


def _free_port() -> int:
    """A port that nobody listens on; aiosmtpd checks itself on the port it is given, so it cannot be 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
