"""A feed server: answers in the v2 format with the sky of the moment, or with whatever a test scripts."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from flightwatch.testing.servers import LoopbackServer, QuietHandler

Answer = Callable[[str], bytes]
"""The body for a path of the API, like /v2/mil."""


class _Handler(QuietHandler):
    def do_GET(self) -> None:  # noqa: N802  # the name that http.server calls
        fake: FeedServer = self.server.fake  # type: ignore[attr-defined]  # set by LoopbackServer
        fake.asked.append(self.path)
        self.answer(200, fake.answer(self.path))


class FeedServer(LoopbackServer):
    """Serves the entries that `sky` gives for a path, in the v2 envelope; `now` is the feed's clock in seconds since
    1970."""

    handler = _Handler

    def __init__(self, sky: Callable[[str], list[dict[str, object]]], now: Callable[[], float]) -> None:
        self._sky = sky
        self._now = now
        self.asked: list[str] = []

    def answer(self, path: str) -> bytes:
        entries = self._sky(path)
        now_ms = round(self._now() * 1000)
        return msgspec.json.encode(
            {"ac": entries, "msg": "No error", "now": now_ms, "total": len(entries), "ctime": now_ms, "ptime": 0}
        )
