"""What people do about alerts: hear nothing of some, look after one; and what is done about many at once, and about old
ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flightwatch import live
from flightwatch.alerts import Alert, AlertBook
from flightwatch.alerts.lifecycle import AT_ONCE, FORGOTTEN_AFTER, OVER_AFTER
from flightwatch.config import Secret
from flightwatch.deliveries.buttons import Buttons, Press, pressed
from flightwatch.deliveries.slack import Slack
from flightwatch.deliveries.worker import Worker
from flightwatch.errors import InputError
from flightwatch.places import airports
from flightwatch.places.great_circle import distance_nm
from flightwatch.records import Finding, Message, message_from_bytes
from flightwatch.testing.slack import SlackServer
from tests.processes import wait_for
from tests.test_alerts import OTHER, RULE, START, finding
from tests.test_quiet import composed, visit

SLACK = replace(RULE, notify=("slack",))
OTHERS = replace(OTHER, notify=("slack",))
LATER = START + timedelta(hours=1)
TOMORROW = START + timedelta(days=1)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[AlertBook]:
    with AlertBook(tmp_path / "alerts.sqlite") as opened:
        yield opened


def told(book: AlertBook, seq: int, *findings: Finding) -> list[tuple[bool, str]]:
    return [(d.tell, d.reason) for d in book.apply(seq, findings, composed, LATER)]


def sent(book: AlertBook) -> list[str]:
    """The headlines of all messages that wait, as they go out."""
    out = []
    while (due := book.claim(LATER + timedelta(days=2), ["slack"])) is not None:
        out.append(message_from_bytes(due.payload).headline)
        book.sent(due, f"ts-{due.id}")
    return out


def test_a_silence_needs_something_to_be_about_and_time_to_last(book: AlertBook) -> None:
    with pytest.raises(InputError, match="everything"):
        book.silence(START, TOMORROW, "ann", "")
    with pytest.raises(InputError, match="over already"):
        book.silence(START, START, "ann", "", rule="x")


@pytest.mark.parametrize(
    "about",
    [
        {"rule": RULE.rule_id},
        {"aircraft": "15521f"},
        {"aircraft": "15521f", "rule": RULE.rule_id},
        {"near": "ZKPY"},
        {"country": "KP"},
        {"near": "ZKPY", "country": "KP", "within_nm": 1.0},
    ],
)
def test_what_is_silenced_stays_in_the_book_and_reaches_nobody(book: AlertBook, about: dict[str, Any]) -> None:
    book.silence(START, TOMORROW, "ann", "a rehearsal", **about)
    assert told(book, 1, finding("presumed_landed", SLACK)) == [(False, "silenced")]
    assert sent(book) == []
    assert [a.alert.stage for a in book.alerts()] == ["presumed_landed"], "the digest shows it"
    assert [reason for _, _, _, reason in book.decisions(book.alerts()[0].alert.alert_id)] == ["silenced"]


@pytest.mark.parametrize(
    "about",
    [
        {"rule": "another"},
        {"aircraft": "15520a"},
        {"aircraft": "15520a", "rule": RULE.rule_id},
        {"near": "EDDF"},
        {"country": "DE"},
        {"near": "ZKPY", "country": "DE"},
    ],
)
def test_a_silence_about_something_else_changes_nothing(book: AlertBook, about: dict[str, Any]) -> None:
    book.silence(START, TOMORROW, "ann", "", **about)
    assert told(book, 1, finding("presumed_landed", SLACK)) == [(True, "opened")]


def test_another_rule_speaks_where_one_is_silenced(book: AlertBook) -> None:
    book.silence(START, TOMORROW, "ann", "", rule=RULE.rule_id)
    assert told(book, 1, finding("lost", SLACK), finding("lost", OTHERS)) == [(True, "opened")]
    assert told(book, 2, finding("presumed_landed", SLACK)) == [(True, "stage changed")]


def test_when_a_silence_is_over_the_next_thing_that_happens_is_told(book: AlertBook) -> None:
    silence = book.silence(START, TOMORROW, "ann", "", aircraft="15521f")
    assert told(book, 1, finding("lost", SLACK)) == [(False, "silenced")]
    book.end_silence(silence.number, "bob", LATER)
    assert told(book, 2, finding("presumed_landed", SLACK)) == [(True, "stage changed")]
    assert sent(book) == ["presumed_landed 2"]
    with pytest.raises(InputError, match="no silence that lasts"):
        book.end_silence(silence.number, "bob", LATER)
    assert book.silences()[0].ended_by == "bob"


def test_what_was_told_is_taken_back_in_spite_of_a_silence(book: AlertBook) -> None:
    """It keeps news from people, not corrections."""
    told(book, 1, finding("heading_there", SLACK))
    book.silence(START, TOMORROW, "ann", "", aircraft="15521f")
    assert told(book, 2, finding("lost", SLACK)) == [(False, "silenced")]
    assert told(book, 3, finding("withdrawn", SLACK)) == [(True, "withdrawn")]
    assert sent(book) == ["heading_there 1", "withdrawn 3"]


def test_a_rule_that_joins_in_a_silence_does_not_tell_what_was_kept_quiet(book: AlertBook) -> None:
    told(book, 1, finding("heading_there", SLACK))
    book.silence(START, TOMORROW, "ann", "", aircraft="15521f")
    told(book, 2, finding("lost", SLACK))
    assert told(book, 3, finding("lost", SLACK), finding("lost", OTHERS)) == [(False, "silenced")]
    assert sent(book) == ["heading_there 1"]


def test_whoever_looks_after_an_alert_is_named_in_its_thread(book: AlertBook) -> None:
    told(book, 1, finding("lost", SLACK))
    name = book.alerts()[0].alert.alert_id
    book.acknowledge_alert(name, "ann", "calling the airport", LATER)
    assert [d.reason for d in book.take_acknowledgements(composed, LATER)] == ["acknowledged"]
    assert book.take_acknowledgements(composed, LATER) == [], "once"
    by = book.alerts()[0].alert.acknowledged
    assert by is not None
    assert (by.who, by.why) == ("ann", "calling the airport")
    assert sent(book) == ["lost 1", "lost 2"]
    assert told(book, 2, finding("presumed_landed", SLACK)) == [(True, "stage changed")], "its story goes on"
    assert book.alerts()[0].alert.acknowledged == by
    with pytest.raises(InputError, match="no alert x"):
        book.acknowledge_alert("x", "ann", "", LATER)


@pytest.mark.parametrize("count", [AT_ONCE, AT_ONCE + 1, 500])
def test_many_at_once_share_a_message_and_none_is_lost(book: AlertBook, count: int) -> None:
    def worded(found: Finding, alert: Alert) -> Message:
        return replace(composed(found, alert), severity=found.rule.severity)

    findings = [visit(f"v{n:03d}", timedelta(), replace(SLACK, severity="high" if n == 400 else "medium")) for n in range(count)]
    assert {d.reason for d in book.apply(1, findings, worded, LATER)} == {"opened"}
    book.apply(1, findings, worded, LATER)
    messages = sent(book)
    assert len(messages) == min(count, AT_ONCE)
    assert len(book.alerts()) == count, "the digest and the index have all of them"
    if count > AT_ONCE:
        assert f"{count - AT_ONCE + 1} more alerts at once" in messages
        one = next(a for a in book.alerts() if "many" in book.decisions(a.alert.alert_id)[0][3])
        assert book.apply(2, [replace(one.finding, stage="lost")], composed, LATER)[0].tell
        assert sent(book) == ["lost 2"], "what happens next is told of each by itself"
    if count > 400:
        assert book.decisions("v400")[0][3] == "opened", "the severest have a message of their own"


def test_an_alert_of_which_nothing_is_heard_is_closed_and_opens_again(book: AlertBook) -> None:
    told(book, 1, finding("presumed_landed", SLACK))
    assert book.close_what_is_over(LATER + FORGOTTEN_AFTER) == []
    closed = book.close_what_is_over(LATER + FORGOTTEN_AFTER + timedelta(seconds=1))
    assert [a.alert.stage for a in closed] == ["presumed_landed"]
    assert book.alerts(only_open=True) == []
    assert len(book.closed_since(LATER)) == 1, "the digest says so"
    assert told(book, 2, finding("left_again", SLACK)) == [(True, "stage changed")]
    assert len(book.alerts(only_open=True)) == 1
    assert book.closed_since(LATER) == []


def test_what_is_final_is_closed_without_a_word_and_stays_so(book: AlertBook) -> None:
    told(book, 1, finding("returned", SLACK))
    assert book.close_what_is_over(LATER + OVER_AFTER + timedelta(seconds=1)) == []
    assert book.alerts()[0].alert.closed
    assert book.closed_since(LATER) == []
    assert told(book, 2, finding("landed", SLACK)) == [(False, "closed")]


def test_a_silence_in_an_area_is_about_what_goes_there(book: AlertBook) -> None:
    """Pyongyang and Wonsan lie 80 nm apart."""
    pyongyang, wonsan = (airports().get(ident) for ident in ("ZKPY", "ZKWS"))
    assert pyongyang is not None
    assert wonsan is not None
    apart = float(distance_nm(pyongyang.latitude, pyongyang.longitude, wonsan.latitude, wonsan.longitude))
    narrow = book.silence(START, TOMORROW, "ann", "", near="ZKWS", within_nm=apart - 5)
    assert told(book, 1, finding("presumed_landed", SLACK)) == [(True, "opened")]
    book.end_silence(narrow.number, "ann", LATER)
    book.silence(START, TOMORROW, "ann", "", near="ZKWS", within_nm=apart + 5)
    assert told(book, 2, finding("landed", SLACK)) == [(False, "silenced")]


# --------------------------------------------------------------------------------------------------------------- buttons


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer(lambda: LATER.timestamp()) as server:
        yield server


def test_a_message_has_buttons_where_somebody_listens_and_commands_where_not(book: AlertBook, slack: SlackServer) -> None:
    told(book, 1, finding("lost", SLACK), visit("second", timedelta(), SLACK))
    for with_buttons in (True, False):
        channel = Slack("C1", Secret("canary"), slack.api, with_buttons=with_buttons)
        Worker(book, {"slack": channel}, None, []).run_once(LATER + timedelta(hours=1))
    first, second = (post.blocks[-1] for post in slack.posts)
    assert [b["action_id"] for b in first["elements"]] == ["acknowledge", "silence_aircraft", "silence_rules"]
    assert {b["value"] for b in first["elements"]} <= {a.alert.alert_id for a in book.alerts()}
    assert "`flightwatch alerts acknowledge " in second["elements"][0]["text"]


def test_a_press_is_acted_on_and_answered_to_whoever_pressed(tmp_path: Path, slack: SlackServer) -> None:
    path, stop = tmp_path / "alerts.sqlite", threading.Event()
    with AlertBook(path) as book:
        told(book, 1, finding("lost", SLACK))
        name = book.alerts()[0].alert.alert_id

        def act(press: Press) -> str:
            with AlertBook(path) as own:
                return live.acted_on(press, own, LATER)

        buttons = Buttons(Secret("canary-app"), Secret("canary"), act, slack.api)
        listener = threading.Thread(target=buttons.listen, args=(stop,), daemon=True)
        listener.start()
        assert slack.connected.wait(10)
        for action, value in (
            ("acknowledge", name),
            ("silence_aircraft", name),
            ("silence_rules", name),
            ("acknowledge", "gone"),
        ):
            slack.press(action, value)
            assert slack.heard.get(timeout=10)["envelope_id"] == f"{action}-{value}", "Slack is told that it arrived"
        wait_for(lambda: len(slack.whispers) == 4)
        stop.set()
        listener.join(10)
        assert not listener.is_alive()
        assert [d.reason for d in book.take_acknowledgements(composed, LATER)] == ["acknowledged"]
        assert {(s.aircraft, s.rule, s.who) for s in book.silences()} == {("15521f", None, "ann"), (None, RULE.rule_id, "ann")}
    assert any("no alert gone" in whisper for whisper in slack.whispers)
    assert sum("Silent until" in whisper for whisper in slack.whispers) == 2


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"type": "view_submission"},
        {"type": "block_actions"},
        {"type": "block_actions", "actions": [{"action_id": "delete everything", "value": "x"}]},
        {"type": "block_actions", "actions": [{"action_id": "acknowledge"}]},
    ],
)
def test_what_is_no_press_of_these_buttons_is_passed_over(payload: dict[str, Any]) -> None:
    assert pressed(payload) == []


def test_a_name_from_slack_is_made_harmless() -> None:
    payload = {
        "type": "block_actions",
        "user": {"username": "a\n\u202eb"},
        "actions": [{"action_id": "acknowledge", "value": "x"}],
    }
    assert pressed(payload) == [Press("acknowledge", "x", "a b")]
