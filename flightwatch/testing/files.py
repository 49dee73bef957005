"""A server of files as storage has them: parts of a file by Range, versions by ETag, redirects, and a line that breaks."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from threading import Event

from flightwatch.testing.servers import LoopbackServer, QuietHandler


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `begin` is the first byte that it wanted."""

    method: str
    path: str
    begin: int
    headers: dict[str, str]


class _Handler(QuietHandler):
    def handle(self) -> None:
        with suppress(ConnectionError):  # clients that hang up are what it is for
            super().handle()

    def do_GET(self) -> None:  # noqa: N802  # the name that http.server calls
        fake: FileServer = self.server.fake  # type: ignore[attr-defined]  # set by LoopbackServer
        path = self.path.split("?")[0]
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        begin = int(wanted[1]) if wanted else 0
        fake.asked.append(Asked(self.command, path, begin, dict(self.headers)))
        if fake.refusals.get(path):
            status, headers = fake.refusals[path].pop(0)
            self.answer(status, b"", headers=headers)
        elif path in fake.redirects:
            self.answer(302, b"", headers={"Location": fake.redirects[path]})
        elif path in fake.files:
            self._send(fake, path, begin)
        else:
            self.answer(404, b"Not Found")

    do_HEAD = do_GET  # noqa: N815  # the name that http.server calls

    def _send(self, fake: FileServer, path: str, begin: int) -> None:
        data = fake.files[path]
        etag = f'"{sha256(data).hexdigest()[:16]}"'
        begin = begin if self.headers.get("If-Range", etag) == etag else 0
        if begin >= len(data) > 0:
            self.answer(416, b"", headers={"ETag": etag, "Content-Range": f"bytes */{len(data)}"})
            return
        self.send_response(206 if begin else 200)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(data) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if self.command == "HEAD":
            return
        end = fake.breaks.pop(path, None) or fake.hangs.get(path)
        self.wfile.write(data[begin:end])
        self.wfile.flush()
        if path in fake.hangs:
            fake.released.wait()
        self.close_connection = end is not None


class FileServer(LoopbackServer):
    """Serves `files` by path. `redirects` lead from a path to an address; `refusals` are answers (status, headers) that
    come first; a path in `breaks` is cut at that byte, once; one in `hangs` is sent up to that byte, and no further until
    `released`."""

    handler = _Handler

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.refusals: dict[str, list[tuple[int, dict[str, str]]]] = {}
        self.breaks: dict[str, int] = {}
        self.hangs: dict[str, int] = {}
        self.released = Event()
        self.asked: list[Asked] = []

    def downloads(self) -> list[tuple[str, int]]:
        """What was downloaded, by the end of its path, and from which byte on."""
        return [(a.path.rsplit("/", 1)[-1], a.begin) for a in self.asked if a.method == "GET" and a.path in self.files]
