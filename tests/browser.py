"""A Chromium without a window, as tests drive it: by its own protocol over pipes, so that what it asks for and complains of is
seen."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ANSWERS_WITHIN_S = 60.0


def program() -> str | None:
    """The browser of this machine, if it has one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One tab, spoken to through two pipes: JSON with a zero byte after each message."""

    def __init__(self, reads: int, writes: int) -> None:
        self._reads, self._writes = reads, writes
        self._rest, self._number = b"", 0
        self._session: dict[str, str] = {}
        self._events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """What the browser answers; what it tells meanwhile is kept."""
        self._number += 1
        asked = {"id": self._number, "method": method, "params": arguments, **self._session}
        os.write(self._writes, json.dumps(asked).encode() + b"\0")
        until = time.monotonic() + ANSWERS_WITHIN_S
        while (answer := self._next(until)).get("id") != self._number:
            self._events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]  # type: ignore[no-any-return]

    def _next(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._reads], [], [], max(until - time.monotonic(), 0.0))
            assert ready, "the browser does not answer"
            read = os.read(self._reads, 1 << 16)
            assert read, "the browser is gone"
            self._rest += read
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)  # type: ignore[no-any-return]

    def open(self, page: Path) -> None:
        """Opens a page of the disk and waits until it is there, and a moment for what would be asked for afterwards."""
        self._events.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        self.ask("new Promise(done => { const go = () => setTimeout(done, 300);"
                 " document.readyState === 'complete' ? go() : addEventListener('load', go); })")  # fmt: skip

    def ask(self, expression: str) -> Any:
        """What an expression is on the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """A key goes down and up. Keys that move a slider do so by their code."""
        text = {"text": key} if len(key) == 1 else {"windowsVirtualKeyCode": {"ArrowLeft": 37, "ArrowRight": 39}[key]}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def picture(self) -> bytes:
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    @property
    def asked_for(self) -> list[str]:
        """The addresses that were asked for since the page was opened, but for those that hold their content (the browser's own
        signs)."""
        urls = [e["params"]["request"]["url"] for e in self._events if e["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith("data:")]

    @property
    def complaints(self) -> list[Any]:
        """What stands on the console since then: errors, breaches of the policy, and whatever a script said."""
        said = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [e["params"] for e in self._events if e["method"] in said]


@contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own. It reads what it is told from descriptor 3, and answers on 4."""
    (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
    words = [
        str(program()), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--remote-debugging-pipe", f"--user-data-dir={profile}", "--window-size=1100,900", "about:blank",
    ]  # fmt: skip
    silent = [(os.POSIX_SPAWN_OPEN, out, os.devnull, os.O_WRONLY, 0) for out in (1, 2)]
    pipes = [(os.POSIX_SPAWN_DUP2, theirs_in, 3), (os.POSIX_SPAWN_DUP2, theirs_out, 4)]
    process = os.posix_spawn(words[0], words, os.environ, file_actions=[*silent, *pipes])
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(ours_in, ours_out)
    finally:
        os.close(ours_in)  # which ends it
        os.close(ours_out)
        os.waitpid(process, 0)
