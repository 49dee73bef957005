"""`flightwatch rules backtest`: what a user reads on the terminal, in the file and on the page."""

from __future__ import annotations

import gc
import weakref
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flightwatch.alerts import AlertBook
from flightwatch.records import message_from_bytes
from tests.conftest import Typed

FLIGHTS = """\
date,icao24,registration,operator,callsign,origin,destination
2024-01-08,15521f,RA-86559,<script>alert(1)</script>,RFF1,UUMU,ZKPY
2024-01-09,15521f,RA-86559,<script>alert(1)</script>,RFF1,ZKPY,UUMU
2024-02-20,15521f,RA-86559,<script>alert(1)</script>,RFF1,UUMU,ZKPY
2024-02-20,abc123,T-1,Somebody,TST1,UUMU,UHWW
"""
RULE = """
- id: there
  title: To North Korea
  when: {all: [{aircraft: {registration: RA-*}}, {destination: {country: KP}}]}
"""


@pytest.fixture
def imported(typed: Typed, tmp_path: Path) -> Typed:
    """A folder with a store of a flight list, and two versions of a rule."""
    (tmp_path / "flown").mkdir()
    (tmp_path / "flown" / "flights.csv").write_text(FLIGHTS, encoding="utf-8")
    (tmp_path / "old.yaml").write_text(RULE, encoding="utf-8")
    (tmp_path / "new.yaml").write_text(RULE.replace("country: KP", "country: [KP, RU]").replace("RA-*", "T-1"), encoding="utf-8")
    assert typed("import", "flown/flights.csv", "--format", "legs", "--store", "s")[0] == 0
    return typed


def test_a_backtest_tells_when_of_whom_and_why(imported: Typed, tmp_path: Path) -> None:
    """As text, as rows, and as one page on which nothing from a feed is more than text."""
    status, out, complained = imported("rules", "backtest", "old.yaml", "--store", "s", "-o", "f.parquet", "--html", "r.html")
    assert (status, complained) == (0, "")
    assert "4 legs from 8 Jan 2024" in out
    assert ": 2 alerts, 0.33 a week, at most 1 in a week" in out
    assert "destination North Korea with at least 0.5: inferred, 0.95" in out
    assert "No earlier visit of RA-86559 to North Korea on record" in out
    assert "One earlier visit of RA-86559 to North Korea" in out
    rows = pq.read_table(tmp_path / "f.parquet").to_pylist()
    assert [(r["rule_id"], r["registration"], r["place"], r["told"]) for r in rows] == [("there", "RA-86559", "ZKPY", True)] * 2
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<rect") == 2


def test_a_span_bounds_what_is_told_and_not_what_is_known(imported: Typed) -> None:
    status, out, _ = imported("rules", "backtest", "old.yaml", "--store", "s", "--since", "2024-02-01")
    assert status == 0
    assert "2 legs from 1 Feb 2024" in out
    assert " 1 alert," in out
    assert "on 8 Jan 2024" in out, "the visit before is history"


def test_two_versions_of_rules_are_compared(imported: Typed) -> None:
    status, out, _ = imported("rules", "backtest", "--diff", "old.yaml", "new.yaml", "--store", "s")
    assert status == 0
    assert "Only the old rules find: 2" in out
    assert "RA-86559: UUMU – ZKPY (inferred 0.95)  [there]" in out
    assert "Only the new rules find: 1" in out
    assert "T-1: UUMU – UHWW" in out


def test_what_nobody_needs_any_more_goes_after_a_backtest_too(imported: Typed) -> None:
    """Also where it is a circle: notebooks live long."""

    class Circle:
        itself: Circle

    circle = Circle()
    circle.itself = circle
    gone = weakref.ref(circle)
    assert imported("rules", "backtest", "old.yaml", "--store", "s")[0] == 0
    del circle
    gc.collect()
    assert gone() is None


def test_rules_or_two_versions_of_them_are_asked_for(imported: Typed) -> None:
    assert imported("rules", "backtest", "--store", "s")[0] == 2
    assert imported("rules", "backtest", "old.yaml", "--store", "s", "-o", "f.txt")[0] == 1


def test_a_backtest_reaches_a_channel_only_where_somebody_asks_for_it_and_once(imported: Typed, tmp_path: Path) -> None:
    """What is found in the past alerts nobody by itself."""
    (tmp_path / "flightwatch.yaml").write_text("store: s\nchannels: [{name: desk, kind: console}]\n", encoding="utf-8")
    assert imported("rules", "backtest", "old.yaml")[0] == 0
    assert not (tmp_path / "s" / "alerts.sqlite").exists()
    for _ in range(2):
        status, out, _ = imported("rules", "backtest", "old.yaml", "--tell", "desk")
        assert (status, "sends it to desk, once" in out) == (0, True)
    with AlertBook(tmp_path / "s" / "alerts.sqlite") as book:
        due = book.claim(datetime.now(UTC), ["desk"])
        assert due is not None
        message = message_from_bytes(due.payload)
        assert message.headline.startswith("Backtest: 2 alerts from 8 Jan 2024")
        assert "about the past" in message.qualifier
        assert book.alerts() == []
        assert book.counts() == {"waiting": 1}
    status, _, err = imported("rules", "backtest", "old.yaml", "--tell", "nobody")
    assert (status, "it has desk" in err) == (1, True)
