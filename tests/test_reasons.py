"""Why, and why not: of events as of flights, and the same as live and backtests say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from flightwatch import backfill
from flightwatch.aircraft import Registry
from flightwatch.alerts import AlertBook
from flightwatch.backtesting import backtest
from flightwatch.desk import Desk
from flightwatch.imports import import_file
from flightwatch.pipeline import Pipeline
from flightwatch.places import airports as all_airports
from flightwatch.reasons import WhyNot, unsearched_words, why_not
from flightwatch.records import LEGS
from flightwatch.rules import Rule
from flightwatch.store import Store, files
from tests.conftest import T0, positions
from tests.test_happenings import report

CODES = {"id": "codes", "title": "Codes", "subject": "event"}
THEIRS = {"aircraft": {"registration": "D-*", "typecode": "A3*", "callsign": "DLH*"}}
LUFTHANSA = {"aircraft": "3c1234", "registration": "D-AIMA", "typecode": "A388", "callsign": "DLH400"}


def rule(when: object, **more: object) -> Rule:
    return Rule.model_validate(CODES | {"when": when} | more)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """An aircraft that its feed alone names sends 7001 twice, an hour and a half apart."""
    folder = tmp_path_factory.mktemp("reasons")
    rows = [report(60.0 * n, "7001" if n % 90 < 5 else "1000", **LUFTHANSA) for n in range(100)]  # type: ignore[arg-type]
    files.write_parquet(folder / "flight.parquet", positions(rows))
    with Store(folder / "store") as opened:
        import_file(opened, folder / "flight.parquet")
        yield opened


def asked(store: Store, of: Rule, book: AlertBook | None = None) -> list[WhyNot]:
    pipeline = searched(store, of)
    return why_not(store, book, pipeline, of.id, "3c1234", None, None)


def searched(store: Store, *rules: Rule) -> Pipeline:
    pipeline = Pipeline(all_airports(), Registry(), rules)
    backfill.derive(store, pipeline)
    return pipeline


def test_live_backtest_and_why_not_know_the_same_of_who_sent_a_code(store: Store) -> None:
    """Its registration, type and callsign, where only its feed tells them."""
    theirs = rule({"all": [{"squawk": "7001"}, THEIRS]})
    pipeline = searched(store, theirs)
    state, brought = pipeline.absorb(pipeline.start(LEGS.empty_table()), store.snapshots.positions())
    live = {(f.subject_id, f.held) for f in pipeline.judge_events(brought.events, T0 + timedelta(hours=2), state)}
    done = {(h.event.event_id, h.held) for h in backtest(store, pipeline).happenings}
    told = {(one.subject, one.facts) for one in asked(store, theirs) if one.outcome == "matched"}
    assert len(live) == 2
    assert live == done == told


def test_what_nobody_searched_for_is_said_in_a_line_for_each_time() -> None:
    codes = {f"000{n}": T0 for n in range(8)} | {"0010": T0, "7001": None}
    assert list(unsearched_words(codes)) == [
        "before 1 Mar 2024 12:00 UTC nobody searched what came in for squawk 0000, 0001, 0002, 0003, 0004, 0005, 0006, 0007 and 1"
        " more: who sent it is not known",
        "so far nobody searched what came in for squawk 7001: who sent it is not known",
    ]


def test_a_rule_about_events_cools_down_in_a_backtest(store: Store) -> None:
    for cooldown, silent in (("1 h", 0), ("2 h", 1)):
        done = backtest(store, searched(store, rule({"squawk": "7001"}, cooldown=cooldown)))
        assert (len(done.happenings), len(done.silent)) == (2, silent)


@pytest.mark.parametrize("subject", ["event", "leg"])
def test_a_rule_that_expired_says_so(store: Store, subject: str) -> None:
    when = {"squawk": "7001"} if subject == "event" else THEIRS
    for one in asked(store, rule(when, subject=subject, expires="2024-02-01")):
        assert one.outcome == "not matched"
        assert [(f.condition, f.value) for f in one.facts] == [("before the rule expired on 1 Feb 2024", "began 1 Mar 2024")]


def test_a_stay_that_is_not_over_is_not_known(store: Store) -> None:
    (one,) = asked(store, rule(THEIRS, subject="stay"))
    assert (one.outcome, one.facts[0].value) == ("not known", "no flight away from there is known")


def test_why_not_says_what_became_of_a_match(store: Store, tmp_path: Path) -> None:
    """Told, put off by quiet hours, silenced, cooled down."""
    now = T0 + timedelta(hours=2)

    def became(silence: bool = False, **more: object) -> list[str]:
        theirs = rule({"squawk": "7001"}, notify=["desk"], **more)
        pipeline = searched(store, theirs)
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.sqlite"
        with AlertBook(path) as book:
            if silence:
                book.silence(now, now + timedelta(hours=1), "somebody", "it is known", rule="codes")
            for event in [e for e in store.events.between() if e.kind == "squawk.code"]:
                found = list(pipeline.judge_event(event, event.until))
                book.note(found, Desk(store, pipeline.airports, pipeline.registry, "").compose, now)
            return [one.became for one in asked(store, theirs, book) if one.outcome == "matched"]

    assert ["0 messages were delivered; still to be sent: 1" in told for told in became()] == [True, True]
    quiet = became(quiet={"between": "12:00-16:00"})
    assert all(told.endswith("after the quiet hours of the rule (12:00-16:00 UTC)") for told in quiet)
    assert all(told.endswith("silenced for a time, so that nobody was told then") for told in became(silence=True))
    assert "the rule was cooling down" in became(cooldown="2 h")[1]
