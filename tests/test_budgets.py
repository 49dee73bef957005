"""Alert budgets: the limit that keeps a rule to so many alerts a week, by what the store has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightwatch.calibration import Curve, _limit, calibrated, in_words, picture, within_budgets
from flightwatch.imports import import_file
from flightwatch.rules import Rule
from flightwatch.rules.budgets import budget_of, limited
from flightwatch.store import Store
from tests.conftest import Typed
from tests.live_runs import pipeline

SOMEBODY = {"aircraft": {"icao24": "abc123"}}
RULE = {
    "id": "budgeted",
    "title": "Budgeted",
    "subject": "leg",
    "when": {"all": [SOMEBODY, {"rarity": {"of": "tail", "budget": "26 per year"}}]},
}


def budgeted() -> Rule:
    return Rule.model_validate(RULE)


@given(st.lists(st.floats(0, 10), max_size=40), st.floats(0, 20))
def test_the_limit_keeps_to_the_budget_and_no_larger_one_does(rates: list[float], most: float) -> None:
    found = np.sort(np.array(rates))
    limit = _limit(found, most)
    within = (found <= limit).sum()
    assert within <= most or limit == 0.0, "where first visits alone are too many, nothing else is let through"
    larger = found[found > limit]
    assert not len(larger) or (found <= larger[0]).sum() > most


def test_a_budget_without_a_limit_calls_nothing_rare_and_one_with_a_limit_says_it() -> None:
    condition = budget_of(budgeted())
    assert condition is not None
    assert condition.per_day is None
    known = budget_of(limited(budgeted(), 0.5))
    assert known is not None
    assert known.per_day == 0.5


@pytest.fixture
def flown(tmp_path: Path) -> Path:
    """A year of one aircraft: home and back every other day, and somewhere else every other week."""
    lines = ["icao24,registration,origin,destination,date"]
    begin = datetime(2023, 1, 1, tzinfo=UTC)
    for n in range(182):
        day = begin + timedelta(days=2 * n)
        away = "EDDF" if n % 7 else "LOWW"
        lines.append(f"abc123,D-TEST,EDDM,{away},{day:%Y-%m-%d}")
        lines.append(f"abc123,D-TEST,{away},EDDM,{day + timedelta(days=1):%Y-%m-%d}")
    path = tmp_path / "flown.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_history_tells_what_a_budget_means(flown: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        import_file(store, flown, format="legs", scope="world")
        pipe = pipeline(store, [budgeted()])
        curve = calibrated(store, pipe, budgeted())
        assert curve is not None
        assert curve.limit is not None
        assert 30 < curve.weeks < 45, "the first ninety days say nothing"
        assert 0.3 < curve.a_week(curve.limit) <= curve.budget < 0.51
        assert 20 < curve.limit * 365 < 30, "Vienna every other week is rare, Frankfurt is not"
        (rule,) = within_budgets(store, pipe)
        assert budget_of(rule).per_day == curve.limit  # type: ignore[union-attr]
        assert picture([curve]).startswith(b"\x89PNG")
        assert picture([Curve("mine", 2.0, 0.0, np.empty(0), None)]).startswith(b"\x89PNG"), "with no history at all"


def test_too_short_a_history_sets_no_limit() -> None:
    short = Curve("budgeted", 1.0, 3.0, np.array([0.1]), None)
    assert "nothing is called rare by it yet" in in_words(short)


def test_the_command_shows_the_curve(flown: Path, tmp_path: Path, typed: Typed) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.yaml").write_text(
        "- id: budgeted\n  title: Budgeted\n  subject: leg\n  when:\n    all:\n      - aircraft: {icao24: abc123}\n"
        "      - rarity: {of: tail, budget: 26 per year}\n"
    )
    assert typed("import", str(flown), "--format", "legs", "--scope", "world", "--store", "store")[0] == 0
    status, out, err = typed("rules", "calibrate", "mine", "--store", "store", "-o", "curve.png")
    assert (status, err) == (0, "")
    assert "budgeted: a budget of 0.498 a week: up to 2" in out
    assert "at most" in out
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
