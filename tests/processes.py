"""flightwatch as a process of its own, with a sky that it polls and a Slack that it posts to, all on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

RULE = """\
- id: state-to-north-korea
  title: State aircraft to North Korea
  severity: high
  subject: leg
  when:
    all:
      - aircraft: {icao24: "1552*"}
      - destination: {country: KP, probability: 0.5}
  notify: [all]
"""


TAILS = [f"15520{n:x}" for n in range(16)] + [f"15521{n:x}" for n in range(16)]
"""State aircraft that have been to Pyongyang before."""

HISTORY = "date,icao24,origin,destination\n" + "".join(
    f"2020-0{month}-01,{tail},UHWW,ZKPY\n2020-0{month}-02,{tail},ZKPY,UHWW\n" for tail in TAILS for month in range(1, 7)
)


@dataclass(frozen=True)
class Place:
    """A folder with a configuration, a rule, and the store that runs make there."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def configure(self, feed_url: str, slack_api: str = "", every_s: float = 1.0) -> None:
        channel = f"channels: [{{name: desk, kind: slack, channel: C1, base_url: '{slack_api}', token_env: FLIGHTWATCH_T}}]\n"
        (self.folder / "rules").mkdir(exist_ok=True)
        (self.folder / "rules" / "mine.yaml").write_text(RULE, encoding="utf-8")
        (self.folder / "history.csv").write_text(HISTORY, encoding="utf-8")
        (self.folder / "flightwatch.yaml").write_text(
            f"store: store\nfeeds: [{{name: sky, base_url: '{feed_url}', ask: [all], every_s: {every_s}}}]\n"
            f"rules: [rules]\nhistory: [history.csv]\n{channel if slack_api else ''}",
            encoding="utf-8",
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "flightwatch", *words],
            cwd=self.folder, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command to its end."""
        process = self.start(*words)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(words, process.returncode, out, err)


def environment() -> Mapping[str, str]:
    return {**os.environ, "FLIGHTWATCH_T": "not-a-real-token", "PYTHONUNBUFFERED": "1"}


def wait_for(what: Callable[[], object], seconds: float = 30.0) -> None:
    """Waits until something is so; fails where it does not become so in time."""
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)  # another process or thread tells nobody: all there is to do is to look again, until the limit


def stop(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Asks a process to end, as systemd does."""
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


def reply(entries: list[dict[str, object]], now: float) -> bytes:
    """A v2 reply."""
    return json.dumps({"ac": entries, "now": round(now * 1000), "msg": "No error"}).encode()


def heading_for_pyongyang(icao24: str, age_s: float) -> dict[str, object]:
    """A state aircraft off Hamhung, going down towards the south-west as it has been for `age_s` seconds."""
    along = 0.0014 * age_s  # 300 kt as degrees a second, about
    return {
        "hex": icao24,
        "type": "adsb_icao",
        "flight": "RFF7237 ",
        "t": "IL62",
        "alt_baro": 15_000,
        "gs": 300.0,
        "track": 227.0,
        "baro_rate": -1200,
        "lat": round(40.0 - 0.68 * along, 5),
        "lon": round(126.9 - 0.98 * along, 5),
        "seen": 0.1,
        "seen_pos": 0.2,
    }
