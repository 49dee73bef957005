"""The life of alerts as a whole: whatever happens in whatever order, each thing is told once, and what was told is never
left standing when it proves wrong."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from flightwatch.alerts import AlertBook
from flightwatch.records import Finding, Message, Stage, message_from_bytes
from tests.examples import tries
from tests.test_alerts import OTHER, RULE, START
from tests.test_quiet import composed, visit

STAGES: tuple[Stage, ...] = ("heading_there", "lost", "presumed_landed", "landed", "left_again", "returned", "withdrawn")
RULES = (replace(RULE, notify=("slack", "desk")), replace(OTHER, notify=("desk",), places=0))
VISITS = ("a", "b", "c")
CHANNELS = ("slack", "desk")

findings = st.lists(
    st.tuples(st.sampled_from(VISITS), st.sampled_from(STAGES), st.sampled_from(RULES)),
    min_size=1, max_size=4, unique_by=lambda f: (f[0], f[2].rule_id),
)  # fmt: skip


class LifeCycle(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "alerts.sqlite"
        self.book = AlertBook(self.path)
        self.now = START
        self.seq = 0
        self.last: list[Finding] = []
        self.sent: dict[tuple[str, str], list[Message]] = defaultdict(list)
        self.stages: dict[str, str] = {}

    def teardown(self) -> None:
        self.book.close()
        self.folder.cleanup()

    @rule(found=findings)
    def sees(self, found: list[tuple[str, Stage, object]]) -> None:
        self.seq += 1
        self.last = [replace(visit(name, self.now - START, what), stage=stage) for name, stage, what in found]
        self.book.apply(self.seq, self.last, composed, self.now)

    @rule()
    def sees_the_same_again(self) -> None:
        """As after a restart."""
        self.book.apply(self.seq, self.last, composed, self.now)

    @rule(about=st.sampled_from([{"aircraft": "15521f"}, {"rule": RULE.rule_id}, {"rule": OTHER.rule_id}]))
    def is_silenced(self, about: dict[str, str]) -> None:
        self.book.silence(self.now, self.now + timedelta(hours=6), "ann", "", **about)  # type: ignore[arg-type]

    @rule(name=st.sampled_from(VISITS))
    def is_looked_after(self, name: str) -> None:
        if name in {a.alert.alert_id for a in self.book.alerts()}:
            self.book.acknowledge_alert(name, "ann", "", self.now)
            self.book.take_acknowledgements(composed, self.now)

    @rule(hours=st.sampled_from([1, 5, 24 * 8, 24 * 31]))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        self.book.close_what_is_over(self.now)

    @rule()
    def starts_again(self) -> None:
        self.book.close()
        self.book = AlertBook(self.path)
        self.book.take_over()

    @rule()
    def delivers(self) -> None:
        while (due := self.book.claim(self.now + timedelta(minutes=1), list(CHANNELS))) is not None:
            self.sent[due.subject, due.channel].append(message_from_bytes(due.payload))
            self.book.sent(due, "ts")

    @invariant()
    def one_visit_is_one_alert(self) -> None:
        names = [a.alert.alert_id for a in self.book.alerts()]
        assert len(set(names)) == len(names)
        assert set(names) <= set(VISITS)

    @invariant()
    def messages_go_out_in_order_and_once(self) -> None:
        for messages in self.sent.values():
            numbers = [m.number for m in messages]
            assert numbers == sorted(set(numbers))

    @invariant()
    def returned_is_the_end(self) -> None:
        for alert in self.book.alerts():
            name, stage = alert.alert.alert_id, alert.alert.stage
            assert self.stages.get(name) != "returned" or stage == "returned"
            self.stages[name] = stage

    @invariant()
    def whoever_was_told_is_told_that_it_was_wrong(self) -> None:
        self.delivers()
        for alert in self.book.alerts():
            if alert.alert.stage == "withdrawn":
                for channel in CHANNELS:
                    messages = self.sent[alert.alert.alert_id, channel]
                    assert not messages or messages[-1].stage == "withdrawn"

    @invariant()
    def what_is_open_is_not_closed(self) -> None:
        assert not any(a.alert.closed for a in self.book.alerts(only_open=True))


TestLifeCycle = LifeCycle.TestCase
TestLifeCycle.settings = settings(max_examples=tries(30), stateful_step_count=25, deadline=None)
