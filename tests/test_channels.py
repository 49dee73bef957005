"""Channels besides Slack and e-mail: files, signed webhooks, Slack's incoming webhooks, Apprise; against servers on loopback."""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import json
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from flightwatch.alerts import AlertBook
from flightwatch.config import ChannelSettings, Secret, Settings
from flightwatch.deliveries import CannotTell
from flightwatch.deliveries import webhook as webhooks
from flightwatch.deliveries.atom import AtomFeed
from flightwatch.deliveries.jsonlines import JsonLines
from flightwatch.deliveries.opening import open_channel
from flightwatch.deliveries.slack import SlackWebhook
from flightwatch.deliveries.updates import as_object
from flightwatch.deliveries.webhook import Webhook
from flightwatch.deliveries.worker import Worker
from flightwatch.doctor import examine
from flightwatch.errors import ConfigError, DeliveryError
from flightwatch.places import Airports
from flightwatch.records import Message, RuleReference
from flightwatch.testing.clock import FakeClock
from tests.conftest import Typed
from tests.test_alerts import finding
from tests.test_deliveries import HOSTILE, NOW, first, unmapped

ROOT = Path(__file__).parents[1]
ATOM = {"a": "http://www.w3.org/2005/Atom", "x": "http://www.w3.org/1999/xhtml"}
SECRET = Secret("canary-secret")


@pytest.fixture
def message(airports: Airports) -> Message:
    return replace(first(airports), map=None)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[AlertBook]:
    with AlertBook(tmp_path / "alerts.sqlite") as opened:
        yield opened


def now() -> datetime:
    return NOW


# ----------------------------------------------------------------------------------------------------------------------- files


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_for_each_update(tmp_path: Path, message: Message) -> None:
    """All of it as the schema says; the folder is made."""
    channel = JsonLines(tmp_path / "out" / "alerts.jsonl", now)
    channel.send(message, None)
    channel.send(replace(message, number=2, update="Signal lost."), "x")
    written, later = lines_of(tmp_path / "out" / "alerts.jsonl")
    assert written == as_object(message, NOW)
    assert (written["key"], later["key"]) == ("15521f-20230925T131139/1", "15521f-20230925T131139/2")
    assert later["update"] == "Signal lost."
    documented = re.findall(
        r"^\| ((?:`\w+`(?:, )?)+) \|", (ROOT / "docs" / "channels.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(written) == set(re.findall(r"\w+", " ".join(documented)))


def test_what_strangers_sent_stays_text_in_a_line(tmp_path: Path, message: Message) -> None:
    JsonLines(tmp_path / "a.jsonl", now).send(replace(message, headline=HOSTILE, facts=(HOSTILE,)), None)
    text = (tmp_path / "a.jsonl").read_text(encoding="utf-8")
    assert text.count("\n") == 1
    assert "\u202e" not in text
    assert lines_of(tmp_path / "a.jsonl")[0]["headline"] == HOSTILE.replace("\u202e", "").replace(" \n", " ").replace("\n", " ")


def test_a_line_that_a_crash_cut_spoils_no_other(tmp_path: Path, message: Message) -> None:
    path = tmp_path / "a.jsonl"
    channel = JsonLines(path, now)
    channel.send(message, None)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    second = replace(message, number=2)
    assert channel.find(second, None, 0.0) is None
    channel.send(second, None)
    assert path.read_bytes().startswith(whole + whole[:40] + b"\n{")
    assert channel.find(message, None, 0.0) == "15521f-20230925T131139/1"
    assert channel.find(second, None, 0.0) == "15521f-20230925T131139/2"


def test_what_a_dead_worker_wrote_is_not_written_again(tmp_path: Path, book: AlertBook, airports: Airports) -> None:
    """It wrote the line and died before it could note that; the file knows."""
    rule = RuleReference("r", "R", "high", ("lines", "feed"))
    book.apply(1, [finding("lost", rule=rule)], unmapped(airports), NOW)
    channels = {"lines": JsonLines(tmp_path / "a.jsonl", now), "feed": AtomFeed(tmp_path / "a.atom", "feed", None, 10, now)}
    for name, channel in channels.items():
        due = book.claim(NOW, [name])
        assert due is not None
        channel.send(unmapped(airports)(finding("lost"), book.alerts()[0].alert), None)
    book.take_over()
    assert Worker(book, channels, None, []).run_once(NOW) == 2
    assert book.counts() == {"sent": 2}
    assert len(lines_of(tmp_path / "a.jsonl")) == 1
    assert len(ET.parse(tmp_path / "a.atom").findall("a:entry", ATOM)) == 1


def test_a_file_that_cannot_be_written_keeps_its_messages(tmp_path: Path, message: Message) -> None:
    (tmp_path / "folder").write_text("a file where a folder should be")
    for channel in (JsonLines(tmp_path / "folder" / "a", now), AtomFeed(tmp_path / "folder" / "a", "feed", None, 5, now)):
        with pytest.raises(DeliveryError, match="cannot be written") as raised:
            channel.send(message, None)
        assert not raised.value.permanent


def test_the_feed_has_the_newest_entries_with_ids_that_stay(tmp_path: Path, message: Message) -> None:
    clock = FakeClock(NOW)
    path = tmp_path / "www" / "alerts.atom"
    channel = AtomFeed(path, "public", "https://example.org/alerts.atom", 3, clock.now)
    for number in range(1, 6):
        clock.sleep(60)
        channel.send(replace(message, number=number, update="" if number == 1 else f"update {number}"), None)
    feed = ET.parse(path).getroot()
    titles = [e.findtext("a:title", namespaces=ATOM) for e in feed.findall("a:entry", ATOM)]
    assert titles == ["update 5", "update 4", "update 3"]
    ids = [e.findtext("a:id", namespaces=ATOM) for e in feed.findall("a:entry", ATOM)]
    assert len(set(ids)) == 3
    assert all(i is not None and i.startswith("urn:uuid:") for i in ids)
    channel.send(replace(message, number=5, update="update 5"), None)
    again = ET.parse(path).getroot()
    assert [e.findtext("a:id", namespaces=ATOM) for e in again.findall("a:entry", ATOM)] == ids, "a repeat takes its own place"
    for tag in ("id", "title", "updated", "author/a:name"):
        assert again.findtext(f"a:{tag}", namespaces=ATOM), f"RFC 4287 wants {tag}"
    assert [e.findtext("a:updated", namespaces=ATOM) for e in again.findall("a:entry", ATOM)][2] == "2023-09-26T13:13:00+00:00"
    assert list(path.parent.iterdir()) == [path], "no temporary file is left"


def test_no_feed_text_becomes_markup_in_the_feed(tmp_path: Path, message: Message) -> None:
    hostile = replace(
        message,
        headline=HOSTILE,
        facts=(HOSTILE, "\ud800 \x00 \ufffe"),
        footer=(HOSTILE,),
        links=((HOSTILE, "https://x/?a=<b>&c"),),
    )
    AtomFeed(tmp_path / "a.atom", "feed", None, 5, now).send(hostile, None)
    page = ET.parse(tmp_path / "a.atom").find("a:entry/a:content/x:div", ATOM)
    assert page is not None
    assert {element.tag.rpartition("}")[2] for element in page.iter()} == {"div", "p", "ul", "li", "a", "small"}
    assert "<script" not in (tmp_path / "a.atom").read_text(encoding="utf-8")


def test_a_feed_that_somebody_broke_is_begun_anew(tmp_path: Path, message: Message) -> None:
    (tmp_path / "a.atom").write_text("<feed")
    AtomFeed(tmp_path / "a.atom", "feed", None, 5, now).send(message, None)
    assert len(ET.parse(tmp_path / "a.atom").findall("a:entry", ATOM)) == 1


# --------------------------------------------------------------------------------------------------------------------- webhook


def test_a_webhook_is_signed_and_named(httpserver: HTTPServer, message: Message) -> None:
    """As the receiver that the documents describe checks it."""
    httpserver.expect_request("/hook", method="POST").respond_with_data("", status=204)
    assert Webhook(httpserver.url_for("/hook"), SECRET, now).send(message, None) == "15521f-20230925T131139/1"
    ((request, _),) = httpserver.log
    timestamp = request.headers["Flightwatch-Timestamp"]
    expected = hmac.new(b"canary-secret", f"{timestamp}.".encode() + request.data, hashlib.sha256).hexdigest()
    assert request.headers["Flightwatch-Signature"] == f"sha256={expected}"
    assert request.headers["Idempotency-Key"] == "15521f-20230925T131139/1"
    assert int(timestamp) == int(NOW.timestamp())
    assert json.loads(request.data) == as_object(message, NOW)


@pytest.mark.parametrize(
    ("status", "headers", "permanent", "unknown", "wait_s"),
    [
        (400, {}, True, False, None),
        (422, {}, True, False, None),
        (401, {}, False, False, 900.0),
        (404, {}, False, False, 900.0),
        (429, {"Retry-After": "7"}, False, False, 7.0),
        (503, {"Retry-After": "9"}, False, True, 9.0),
        (302, {"Location": "/other"}, False, False, 900.0),
    ],
)
def test_what_a_receiver_refuses(
    status: int,
    headers: dict[str, str],
    permanent: bool,
    unknown: bool,
    wait_s: float | None,
    httpserver: HTTPServer,
    message: Message,
) -> None:
    httpserver.expect_request("/hook").respond_with_data("no", status=status, headers=headers)
    with pytest.raises(DeliveryError) as raised:
        Webhook(httpserver.url_for("/hook?token=canary"), SECRET, now).send(message, None)
    got = raised.value
    assert (got.permanent, got.outcome_unknown, got.retry_after_s) == (permanent, unknown, wait_s)
    assert "canary" not in str(got)
    assert [r.path for r, _ in httpserver.log] == ["/hook"], "a redirect is not followed"


def test_a_repeat_has_the_same_key(httpserver: HTTPServer, book: AlertBook, airports: Airports) -> None:
    """The answer is lost twice; a receiver that takes each key once has the alert once."""
    taken: list[str] = []
    answers = iter([500, 500, 200])

    def take(request: Request) -> Response:
        taken.append(request.headers["Idempotency-Key"])
        return Response("", status=next(answers))

    httpserver.expect_request("/hook").respond_with_handler(take)
    rule = RuleReference("r", "R", "high", ("hook",))
    book.apply(1, [finding("lost", rule=rule)], unmapped(airports), NOW)
    working = Worker(book, {"hook": Webhook(httpserver.url_for("/hook"), SECRET, now)}, None, [])
    for minute in range(30):
        working.run_once(NOW + timedelta(minutes=minute))
    assert len(taken) == 3
    assert len(set(taken)) == 1
    assert book.counts() == {"sent": 1}


def test_a_receiver_that_drips_is_left(message: Message, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte of a header now and then renews every ordinary time-out."""
    monkeypatch.setattr(webhooks, "TIMEOUT_S", 0.4)
    left = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                while not left.wait(0.1):
                    connection.sendall(b"y")

        dripping = threading.Thread(target=drip)
        dripping.start()
        begun = time.monotonic()
        try:
            with pytest.raises(DeliveryError) as raised:
                Webhook(f"http://127.0.0.1:{server.getsockname()[1]}/", SECRET, now).send(message, None)
        finally:
            left.set()
            dripping.join()
    assert time.monotonic() - begun < 5.0
    assert raised.value.outcome_unknown


def test_a_webhook_to_the_cloud_s_own_addresses_is_not_asked(message: Message) -> None:
    with pytest.raises(DeliveryError, match="link-local or metadata"):
        Webhook("http://169.254.169.254/latest", SECRET, now).send(message, None)


# --------------------------------------------------------------------------------------------------------------- slack webhook


def test_a_slack_webhook_posts_without_threads(httpserver: HTTPServer, message: Message) -> None:
    httpserver.expect_request("/services/x").respond_with_data("ok")
    channel = SlackWebhook(Secret(httpserver.url_for("/services/x")))
    channel.send(message, None)
    channel.send(replace(message, number=2, update=HOSTILE), "whatever")
    begun, later = (json.loads(request.data) for request, _ in httpserver.log)
    assert "thread_ts" not in begun | later
    assert begun["blocks"][0]["text"]["text"].startswith(":red_circle: *Il-62")
    assert "&lt;!channel&gt;" in later["blocks"][0]["text"]["text"]
    assert later["blocks"][1]["elements"][0]["text"] == begun["text"], "what the update is about stands below it"
    with pytest.raises(CannotTell):
        channel.find(message, None, 0.0)


@pytest.mark.parametrize(
    ("status", "body", "permanent", "unknown", "wait_s"),
    [
        (400, "invalid_blocks", True, False, None),
        (403, "invalid_token", False, False, 900.0),
        (404, "no_service", False, False, 900.0),
        (410, "channel_is_archived", False, False, 900.0),
        (429, "", False, False, 30.0),
        (500, "<html>", False, True, None),
    ],
)
def test_what_a_slack_webhook_refuses(
    status: int, body: str, permanent: bool, unknown: bool, wait_s: float | None, httpserver: HTTPServer, message: Message
) -> None:
    headers = {"Retry-After": "30"} if status == 429 else {}
    httpserver.expect_request("/services/canary").respond_with_data(body, status=status, headers=headers)
    with pytest.raises(DeliveryError) as raised:
        SlackWebhook(Secret(httpserver.url_for("/services/canary"))).send(message, None)
    got = raised.value
    assert (got.permanent, got.outcome_unknown, got.retry_after_s) == (permanent, unknown, wait_s)
    assert "canary" not in str(got)
    assert "<" not in str(got)


# --------------------------------------------------------------------------------------------------------------- configuration


def configured(*channels: dict[str, object]) -> list[ChannelSettings]:
    return Settings.model_validate({"channels": list(channels)}).channels


def test_apprise_is_asked_for_in_a_line_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else needs it."""
    monkeypatch.setenv("FW_NTFY", "ntfy://canary")
    monkeypatch.setitem(sys.modules, "apprise", None)
    (settings,) = configured({"name": "phone", "kind": "apprise", "url_env": "FW_NTFY"})
    with pytest.raises(ConfigError) as raised:
        open_channel(settings, tmp_path, now)
    assert str(raised.value) == "configuration:1:1: channel phone needs Apprise: pip install 'flightwatch[apprise]'"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Apprise's own
@pytest.mark.skipif(importlib.util.find_spec("apprise") is None, reason="the extra `apprise` is not installed")
def test_apprise_hands_over_and_says_where_it_could_not(
    tmp_path: Path,
    httpserver: HTTPServer,
    message: Message,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("FW_HOOK", httpserver.url_for("/x").replace("http://", "json://"))
    (settings,) = configured({"name": "phone", "kind": "apprise", "url_env": "FW_HOOK"})
    channel = open_channel(settings, tmp_path, now)
    httpserver.expect_ordered_request("/x").respond_with_data("ok")
    httpserver.expect_ordered_request("/x").respond_with_data("no", status=500)
    channel.send(replace(message, headline=HOSTILE), None)
    assert "is probably" not in str(httpserver.log[0][0].json["title"])
    assert "\u202e" not in httpserver.log[0][0].json["title"]
    with pytest.raises(DeliveryError, match="did not take it"):
        channel.send(message, None)
    monkeypatch.setenv("FW_HOOK", "canary")
    with pytest.raises(ConfigError, match="none that Apprise knows") as raised:
        open_channel(settings, tmp_path, now)
    assert "canary" not in str(raised.value) + caplog.text


def test_check_and_doctor_know_the_channels(tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FW_SIGN", raising=False)
    (tmp_path / "flightwatch.yaml").write_text(
        "rules: [shipped]\nwatchlists: [shipped]\nfeeds: []\nchannels:\n"
        "  - {name: lines, kind: json-lines, path: out/alerts.jsonl}\n"
        "  - {name: public, kind: atom, path: alerts.atom, url: 'https://example.org/alerts.atom'}\n"
        "  - {name: hook, kind: webhook, url: 'https://example.org/hook?token=canary', secret_env: FW_SIGN}\n"
        "  - {name: desk, kind: slack, webhook_env: FW_SLACK}\n"
        "digest: {to: [d@example.org], from: f@example.org, user_env: FW_USER, password_env: FW_PASSWORD}\n"
    )
    status, said, _ = typed("check", "--config", str(tmp_path / "flightwatch.yaml"))
    assert status == 0
    assert "channel lines: json-lines in out/alerts.jsonl\n" in said
    assert "channel hook: webhook to https://example.org; FW_SIGN is not set in this environment\n" in said
    assert "channel desk: Slack, webhook without threads; FW_SLACK is not set in this environment\n" in said
    assert "digest: at 07:00 (UTC) to d@example.org, by localhost:25; FW_USER is not set in this environment; FW_P" in said
    assert "canary" not in said
    (tmp_path / "out").write_text("in the way")
    (settings,) = configured({"name": "lines", "kind": "json-lines", "path": "out/a.jsonl"})
    told = [c for c in examine(Settings(channels=[settings]), tmp_path, tmp_path / "data", NOW) if c.text.startswith("channel")]
    assert [(c.good, c.text) for c in told] == [
        (
            False,
            f"channel lines (json-lines in out/a.jsonl): nothing sent yet; {tmp_path}/out/a.jsonl cannot be written",
        )
    ]
