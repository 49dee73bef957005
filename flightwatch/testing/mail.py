"""A mail server that keeps what it gets, and can be told to refuse, and to break off after it has taken a message."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Any

from aiosmtpd.controller import Controller

CUT = "cut the line"
"""An answer that takes the message and is never given."""


class MailServer:
    """Runs while its block lasts. `received` holds (recipient, message) in order; `answers` are used up, one a message,
    before it accepts; `refused` are answers to recipients, used up in the same way, the last one for good."""

    def __init__(self) -> None:
        self.received: list[tuple[str, bytes]] = []
        self.answers: list[str] = []
        self.refused: dict[str, list[str]] = {}
        self.port = _free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)

    async def handle_RCPT(  # noqa: N802  # the name that aiosmtpd calls
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if answers := self.refused.get(address):
            return answers.pop(0) if len(answers) > 1 else answers[0]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  # the name that aiosmtpd calls
        answer = self.answers.pop(0) if self.answers else "250 OK"
        if answer in ("250 OK", CUT):
            self.received += [(recipient, envelope.content) for recipient in envelope.rcpt_tos]
        if answer == CUT:
            server.transport.abort()
        return answer

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
