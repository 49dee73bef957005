"""A Slack workspace of one channel: posts, threads, edits, files, history. It can be told to fail, and keeps an
account of its own of what it took."""

from __future__ import annotations

import base64
import hashlib
import json
import queue
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BufferedIOBase
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flightwatch.testing.servers import LoopbackServer, QuietHandler

WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
"""RFC 6455: what the answer to a handshake is made of, and the sorts of frames."""


@dataclass
class Post:
    """One message as the workspace holds it. `edits` counts how often it was changed, `first_text` is what it said
    before that."""

    ts: str
    text: str
    blocks: list[dict[str, Any]]
    thread_ts: str | None
    metadata: dict[str, Any]
    first_text: str = ""
    edits: int = 0
    files: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Failure:
    """What to answer instead: a status with a body and headers; `after_accepting` takes the message first, `drop`
    cuts the line."""

    status: int = 500
    body: bytes = b'{"ok":false,"error":"internal_error"}'
    headers: dict[str, str] = field(default_factory=dict)
    after_accepting: bool = False
    drop: bool = False


class _Handler(QuietHandler):
    def do_POST(self) -> None:  # noqa: N802  # the name that http.server calls
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        self._respond(body)

    def do_GET(self) -> None:  # noqa: N802  # the name that http.server calls
        if self.path.startswith("/socket"):
            self._hold_socket()
        else:
            self._respond(b"")

    def _hold_socket(self) -> None:
        """Socket Mode: a WebSocket (RFC 6455) on which the fake sends and the client answers."""
        fake: SlackServer = self.server.fake  # type: ignore[attr-defined]  # set by LoopbackServer
        accept = hashlib.sha1((self.headers["Sec-WebSocket-Key"] + WEBSOCKET_GUID).encode(), usedforsecurity=False).digest()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accept).decode())
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True
        fake.socket_opened(self.connection)
        while (frame := _frame(self.rfile)) is not None:
            code, data = frame
            if code == _PING:
                fake.send_frame(self.connection, _PONG, data)
            elif code == _TEXT:
                fake.heard.put(json.loads(data))

    def _respond(self, body: bytes) -> None:
        fake: SlackServer = self.server.fake  # type: ignore[attr-defined]  # set by LoopbackServer
        parts = urlsplit(self.path)
        method = parts.path.rsplit("/", 1)[-1]
        arguments = _arguments(body, self.headers.get("Content-Type", ""), parts.query)
        failure = fake.next_failure(method)
        if failure is not None and not failure.after_accepting:
            return self._fail(failure)
        answer = fake.call(method, arguments)
        if failure is not None:
            return self._fail(failure)
        return self.answer(200, json.dumps(answer).encode())

    def _fail(self, failure: Failure) -> None:
        if failure.drop:
            self.close_connection = True
            self.connection.close()
            return
        self.answer(failure.status, failure.body, headers=failure.headers)


def _frame(source: BufferedIOBase) -> tuple[int, bytes] | None:
    """The next frame of a client (masked, in one part): what sort it is and what it holds; None where there is none."""
    head = source.read(2)
    if len(head) < 2 or head[0] & 0x0F == _CLOSE:
        return None
    length = head[1] & 0x7F
    if length == 126:
        length = int.from_bytes(source.read(2), "big")
    mask = source.read(4)
    return head[0] & 0x0F, bytes(b ^ mask[i % 4] for i, b in enumerate(source.read(length)))


def _arguments(body: bytes, kind: str, query: str) -> dict[str, Any]:
    if kind.startswith("application/json"):
        return dict(json.loads(body))
    text = query if not body else body.decode(errors="replace")
    if kind.startswith("multipart/") or (body and not kind.startswith("application/x-www-form-urlencoded")):
        return {}
    return {name: values[0] for name, values in parse_qs(text).items()}


class SlackServer(LoopbackServer):
    """The workspace. `clock` gives seconds since 1970 for time stamps; `posts` is what people see, in order, `whispers` what
    one alone sees, `heard` what came over Socket Mode; `page` is how many messages of a history it shows at once. `asked` are
    all calls, `calls` those that were carried out."""

    handler = _Handler

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._count = 0
        self._failures: list[tuple[str, Failure | None]] = []
        self._socket: socket.socket | None = None
        self.connected = threading.Event()
        self.page = 100
        self.posts: list[Post] = []
        self.calls: list[str] = []
        self.asked: list[str] = []
        self.whispers: list[str] = []
        self.heard: queue.Queue[dict[str, Any]] = queue.Queue()

    @property
    def api(self) -> str:
        return f"{self.url}/api/"

    def fail(self, method: str, *failures: Failure | None) -> None:
        """The next calls of a method fail like this, one after the other; None is one that works."""
        with self._lock:
            self._failures += [(method, failure) for failure in failures]

    def next_failure(self, method: str) -> Failure | None:
        with self._lock:
            self.asked.append(method)
            for i, (name, failure) in enumerate(self._failures):
                if name == method:
                    del self._failures[i]
                    return failure
        return None

    def call(self, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """One call of the Web API."""
        with self._lock:
            self.calls.append(method)
            handler = {
                "chat.postMessage": self._post,
                "chat.update": self._update,
                "conversations.history": self._history,
                "conversations.replies": self._history,
                "files.getUploadURLExternal": self._upload_url,
                "files.completeUploadExternal": self._complete,
                "apps.connections.open": self._open_socket,
                "chat.postEphemeral": self._whisper,
            }.get(method)
            return handler(arguments) if handler else {"ok": True}

    def thread(self, ts: str) -> list[Post]:
        """A message and the replies below it."""
        return [p for p in self.posts if p.ts == ts or p.thread_ts == ts]

    def socket_opened(self, connection: socket.socket) -> None:
        self._socket = connection
        self.connected.set()

    def press(self, action: str, value: str, user: str = "ann") -> None:
        """Somebody presses a button; to be called when a client is connected."""
        payload = {
            "type": "block_actions",
            "user": {"id": "U1", "username": user},
            "channel": {"id": "C1"},
            "actions": [{"action_id": action, "value": value}],
        }
        envelope = {
            "type": "interactive",
            "envelope_id": f"{action}-{value}",
            "payload": payload,
            "accepts_response_payload": False,
        }
        assert self._socket is not None
        self.send_frame(self._socket, _TEXT, json.dumps(envelope).encode())

    def send_frame(self, connection: socket.socket, code: int, data: bytes) -> None:
        size = bytes([len(data)]) if len(data) < 126 else bytes([126]) + len(data).to_bytes(2, "big")
        connection.sendall(bytes([0x80 | code]) + size + data)

    def _open_socket(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "url": f"{self.url.replace('http', 'ws', 1)}/socket?ticket=1"}

    def _whisper(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self.whispers.append(arguments.get("text", ""))
        return {"ok": True}

    def _post(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        ts = f"{int(self._clock())}.{self._count:06d}"
        post = Post(
            ts,
            arguments.get("text", ""),
            arguments.get("blocks", []),
            arguments.get("thread_ts"),
            arguments.get("metadata") or {},
            arguments.get("text", ""),
        )
        self.posts.append(post)
        return {"ok": True, "ts": ts, "channel": arguments.get("channel"), "message": {"text": post.text}}

    def _update(self, arguments: dict[str, Any]) -> dict[str, Any]:
        post = next((p for p in self.posts if p.ts == arguments.get("ts")), None)
        if post is None:
            return {"ok": False, "error": "message_not_found"}
        post.text, post.blocks, post.edits = arguments.get("text", ""), arguments.get("blocks", []), post.edits + 1
        return {"ok": True, "ts": post.ts, "channel": arguments.get("channel"), "text": post.text}

    def _history(self, arguments: dict[str, Any]) -> dict[str, Any]:
        oldest, thread = float(arguments.get("oldest", 0)), arguments.get("ts")
        found = [p for p in self.posts if float(p.ts) >= oldest and (p.thread_ts == thread if thread else p.thread_ts is None)]
        begin = int(arguments.get("cursor") or 0)
        end = begin + min(self.page, int(arguments.get("limit") or self.page))
        shown = [{"ts": p.ts, "text": p.text, "metadata": p.metadata} for p in found[::-1][begin:end]]  # the newest first
        return {"ok": True, "messages": shown, "response_metadata": {"next_cursor": str(end) if end < len(found) else ""}}

    def _upload_url(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        return {"ok": True, "upload_url": f"{self.url}/upload/file-{self._count}", "file_id": f"F{self._count:06d}"}

    def _complete(self, arguments: dict[str, Any]) -> dict[str, Any]:
        files = arguments.get("files") or "[]"
        listed = json.loads(files) if isinstance(files, str) else files
        for post in self.posts:
            if post.ts == arguments.get("thread_ts"):
                post.files += [str(f.get("title")) for f in listed]
        return {"ok": True, "files": [{"id": f.get("id"), "title": f.get("title")} for f in listed]}
