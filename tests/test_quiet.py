"""Rules that keep quiet, end, or change while flightwatch runs: quiet hours, cooling down, expiry, reading again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from flightwatch import live
from flightwatch.alerts import Alert, AlertBook, decide
from flightwatch.alerts.lifecycle import held_until
from flightwatch.errors import ConfigError
from flightwatch.pipeline import Pipeline
from flightwatch.places import Airports
from flightwatch.records import Finding, Message, Quiet
from flightwatch.rules import matches
from flightwatch.store import Store
from flightwatch.testing.clock import FakeClock
from flightwatch.userfiles import Changes
from tests.live_runs import Ledger, pipeline
from tests.test_alerts import OTHER, RULE, START, finding
from tests.test_rules import IL62, TO_KOREA, journey, nothing_counted, rule, stop

NIGHT = Quiet(22 * 60, 6 * 60, "Europe/Berlin")
AT_NIGHT = datetime(2023, 9, 25, 21, 30, tzinfo=UTC)
"""23:30 in Berlin."""
MORNING = datetime(2023, 9, 26, 4, 0, tzinfo=UTC)


def composed(found: Finding, alert: Alert) -> Message:
    headline = f"{alert.stage} {alert.number}"
    return Message(alert.alert_id, alert.number, alert.stage, headline, "", (), "", (), (), "high", None)


def visit(name: str, after: timedelta, rule: object = RULE) -> Finding:
    """A finding of another visit of the same aircraft."""
    found = finding("heading_there", rule)  # type: ignore[arg-type]  # a RuleReference
    return replace(found, visit=replace(found.visit, visit_id=f"visit-{name}"), as_of=START + after)


def test_in_its_quiet_hours_a_message_waits_and_then_goes_out(tmp_path: Path) -> None:
    book = AlertBook(tmp_path / "alerts.sqlite")
    quiet = replace(RULE, quiet=NIGHT, notify=("slack",))
    book.apply(1, [visit("a", timedelta(), quiet)], composed, AT_NIGHT)
    assert book.claim(AT_NIGHT, ["slack"]) is None
    assert book.claim(MORNING - timedelta(seconds=1), ["slack"]) is None
    due = book.claim(MORNING, ["slack"])
    assert due is not None
    assert due.attempts == 1
    book.close()


def test_a_clock_that_was_set_back_holds_no_message_for_years(tmp_path: Path) -> None:
    book = AlertBook(tmp_path / "alerts.sqlite")
    book.apply(1, [visit("a", timedelta(), replace(RULE, quiet=NIGHT, notify=("slack",)))], composed, AT_NIGHT)
    assert book.claim(AT_NIGHT - timedelta(days=700), ["slack"]) is not None
    book.close()


def test_a_rule_without_quiet_hours_is_not_held_by_another() -> None:
    quiet = replace(RULE, quiet=NIGHT)
    assert held_until([quiet], (), AT_NIGHT) == MORNING
    assert held_until([quiet, OTHER], (), AT_NIGHT) is None
    assert held_until([quiet, OTHER], (OTHER.rule_id,), AT_NIGHT) == MORNING, "a rule that tells nobody wakes nobody"
    assert held_until([quiet, replace(OTHER, quiet=replace(NIGHT, ends_min=5 * 60))], (), AT_NIGHT) == MORNING - timedelta(
        hours=1
    )
    assert held_until([quiet], (), MORNING) is None


def test_of_two_visits_that_come_in_at_once_a_rule_that_cools_down_tells_of_one(tmp_path: Path) -> None:
    cooling = replace(RULE, cooldown_s=6 * 3600.0, notify=("slack",))
    with AlertBook(tmp_path / "alerts.sqlite") as book:
        at_once = [visit("first", timedelta(0), cooling), visit("second", timedelta(0), cooling)]
        told = book.apply(1, at_once, composed, START)
    assert [(d.tell, d.reason) for d in told] == [(True, "opened"), (False, "cooled down")]


def test_a_rule_that_cools_down_tells_nobody_of_the_next_visit_but_keeps_it(tmp_path: Path) -> None:
    book = AlertBook(tmp_path / "alerts.sqlite")
    cooling = replace(RULE, cooldown_s=6 * 3600.0, notify=("slack",))
    told = [
        book.apply(seq, [visit(name, timedelta(hours=hours), cooling)], composed, START)[0]
        for seq, (name, hours) in enumerate((("a", 0), ("b", 3), ("c", 7)), 1)
    ]
    assert [(d.tell, d.reason) for d in told] == [(True, "opened"), (False, "cooled down"), (True, "opened")]
    assert [a.alert.alert_id for a in book.alerts()] == ["a", "b", "c"], "the digest shows all of them"
    assert book.counts() == {"waiting": 2}
    book.close()


def test_another_rule_tells_of_what_one_is_silent_about() -> None:
    opened = decide(None, [finding("heading_there")], {RULE.rule_id})
    assert (opened.tell, opened.reason) == (False, "cooled down")
    assert opened.alert is not None
    assert opened.alert.channels == ()
    later = decide(opened.alert, [finding("lost"), finding("lost", OTHER)])
    assert later.alert is not None
    assert later.alert.channels == OTHER.notify, "the silent rule stays silent at later stages"
    assert later.tell


def test_an_expired_rule_finds_nothing_new_and_goes_on_with_what_began_before(airports: Airports) -> None:
    flown = journey(stop(("UUMU", 1.0)), stop(("ZKPY", 1.0)))
    begins = flown.legs[0].first_seen
    assert begins is not None
    for expires, found in ((begins.date(), 0), (begins.date() + timedelta(days=1), 1)):
        ending = rule(TO_KOREA + f"expires: {expires}\n")
        assert ending.expires == date.fromisoformat(str(expires))
        assert len(list(matches(ending, flown, IL62, airports, nothing_counted))) == found


# ------------------------------------------------------------------------------------------------------------- reading again


GOOD = "- id: mine\n  title: Mine\n  when: {aircraft: {icao24: abc123}}\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "mine.yaml").write_text(GOOD)
    file = tmp_path / "flightwatch.yaml"
    file.write_text("rules: [rules]\n")
    return file


def test_changed_rules_are_read_once_nobody_writes_them_any_more(config: Path) -> None:
    changes = Changes(config)
    assert changes.read() is None
    rules = config.parent / "rules" / "mine.yaml"
    rules.write_text(GOOD + GOOD.replace("mine", "second"))
    assert changes.read() is None, "somebody may still be writing"
    found = changes.read()
    assert found is not None
    assert [r.id for r in found.rules.rules] == ["mine", "second"]
    assert changes.read() is None
    (rules.parent / "third.yaml").write_text(GOOD.replace("mine", "third"))
    assert changes.read() is None
    found = changes.read()
    assert found is not None
    assert len(found.rules.rules) == 3
    rules.write_text("- id: mine\n  tittle: Mine\n")
    assert changes.read() is None
    with pytest.raises(ConfigError, match="did you mean `title`"):
        changes.read()
    assert changes.read() is None, "told once"


SQUARE = '{"type": "Polygon", "coordinates": [[[0, 0], [LON, 0], [LON, 55], [0, 55]]]}'
IN_A_SQUARE = """
define: {regions: {square: {file: square.geojson}}}
rules:
  - id: mine
    title: Mine
    when: {destination: {region: square}}
"""


def test_a_changed_region_is_read_again_as_rules_are(config: Path) -> None:
    outline = config.parent / "rules" / "square.geojson"
    outline.write_text(SQUARE.replace("LON", "10"))
    (config.parent / "rules" / "mine.yaml").write_text(IN_A_SQUARE)
    changes = Changes(config)
    assert changes.read() is None

    def inside() -> tuple[str, ...]:
        assert changes.read() is None, "somebody may still be writing"
        found = changes.read()
        assert found is not None
        place = found.rules.rules[0].when.destination
        assert place is not None
        return place.inside

    outline.write_text(SQUARE.replace("LON", "20"))
    assert "EDDB" in inside(), "Berlin lies at 13.5 degrees"
    outline.write_text("{")
    assert changes.read() is None
    with pytest.raises(ConfigError, match=r"square.geojson is no GeoJSON or KML"):
        changes.read()
    assert changes.read() is None, "told once"
    outline.write_text(SQUARE.replace("LON", "10"))
    there = inside()
    assert "EDDB" not in there
    assert "EDDF" in there


def test_a_run_goes_on_with_the_old_rules_while_the_new_ones_are_not_valid(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, ledger = FakeClock(START), Ledger()
    with Store(tmp_path) as store:
        runner = live.Runner(store, pipeline(store, []), [], live.Outlets({"ledger": ledger}, None, None), clock)

        def broken() -> Pipeline | None:
            raise ConfigError([])

        runner.reread(broken)
        runner.reread(broken)
        worker = runner.deliver()
        assert worker.run_once(clock.now()) == 1
        clock.sleep(10)
        assert worker.run_once(clock.now()) == 0, "the same problems are told once"
        assert ledger.stages() == ["rules_refused"]
        assert "NOT VALID" in runner.heartbeat()
        with caplog.at_level("INFO", "flightwatch"):
            runner.reread(lambda: pipeline(store, [rule(TO_KOREA)]))
        assert "NOT VALID" not in runner.heartbeat()
        assert "1 rules are in force" in caplog.text
        runner.book.close()
