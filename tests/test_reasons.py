"""Why an alert was raised, and why a rule raised none."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from flightwatch import explore
from tests.conftest import Typed


@pytest.fixture
def where(demo_folder: Path) -> tuple[str, ...]:
    return "--config", str(demo_folder / "flightwatch.yaml"), "--store", str(demo_folder / "store")


def test_why_tells_the_conditions_the_rarity_the_legs_and_the_files(
    typed: Typed, where: tuple[str, ...], demo_folder: Path
) -> None:
    alert = explore.open_store(demo_folder / "store").alerts()["alert_id"].iloc[-1]
    _, told, _ = typed("why", alert, *where)
    assert "destination North Korea with at least 0.6: inferred, 0.9" in told
    assert "rarity of fleet: at most 12 per year: 1 in" in told
    assert "earlier visit of RA-86559 to North Korea in the" in told
    assert "heading there: opened" in told
    found = json.loads(typed("why", alert, "--json", *where)[1])
    assert found["alert_id"] == alert
    assert {"condition": "watchlist russian-state", "value": "russian-state", "number": None} in found["held"]
    assert found["files"]
    for file in found["files"]:
        assert hashlib.sha256((demo_folder / "store" / file["path"]).read_bytes()).hexdigest() == file["sha256"]


def test_why_not_names_the_condition_that_failed_and_what_became_of_a_match(typed: Typed, where: tuple[str, ...]) -> None:
    asked = ("why-not", "russian-state-to-north-korea", "--aircraft", "RA-86559")
    _, told, _ = typed(*asked, "--since", "2023-07-01", "--until", "2023-10-01", *where)
    assert "ZKPY-UUMU: not matched" in told, "the way home is no visit"
    assert "origin Russia with at least 0.5: inferred, 0.00 (ZKPY)" in told
    assert "no alert is known of it" in told, "August was imported, not watched"
    assert "messages were delivered" in told
    assert "Not observable: on" in told
    answers = json.loads(typed(*asked, "--json", *where)[1])["legs"]
    assert [a["outcome"] for a in answers[:2]] == ["matched", "not matched"]


def test_why_not_says_what_it_does_not_know(typed: Typed, where: tuple[str, ...]) -> None:
    for asked, says in (
        (("no-such-rule", "--aircraft", "RA-86559"), "no rule has the id no-such-rule"),
        (("russian-state-to-north-korea", "--aircraft", "XX-NOBODY"), "give the address"),
    ):
        status, _, error = typed("why-not", *asked, *where)
        assert (status, says in error) == (1, True)
    status, _, error = typed("why", "nobody", *where)
    assert (status, "no alert nobody" in error) == (1, True)


def test_notebooks_ask_the_same(demo_folder: Path) -> None:
    sky = explore.open_store(demo_folder / "store")
    alert = sky.alerts()["alert_id"].iloc[-1]
    assert sky.why(alert)["alert_id"] == alert
    answers = sky.why_not("russian-state-to-north-korea", "RA-86559", demo_folder / "flightwatch.yaml")
    assert set(answers["outcome"]) >= {"matched", "not matched"}
