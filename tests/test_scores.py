"""How rare each leg was: from what came before it alone, for every airport there is, without holes."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightwatch.places import Airports
from flightwatch.rarity import Baseline, Exposure
from flightwatch.rarity.rates import expected, shortest
from flightwatch.rarity.recurrence import Flown, Recurrence
from flightwatch.rarity.routes import NOWHERE, Destinations, Flight
from flightwatch.rarity.scores import NEVER, scores
from flightwatch.raritytables import RARITY, show, write
from flightwatch.records import UNKNOWN, Leg, RouteRarity, Scope, legs_table
from tests.examples import tries
from tests.test_rarity import flown

PLACES = ("UUMU", "ZKPY", "ZBAA", "UHWW", "KSFO", "XX-NOWHERE")
"""The last one stands in no table."""

LEGS = st.lists(
    st.tuples(
        st.sampled_from(["15521f", "15520a"]),
        st.sampled_from([*PLACES, None]),
        st.sampled_from([*PLACES, None]),
        st.sampled_from([0.3, 0.5, 2, 40]),
    ),
    max_size=12,
)
WORLD = Exposure(Scope("world"), datetime(2020, 1, 1, tzinfo=UTC).date(), datetime(2030, 1, 1, tzinfo=UTC).date())

Drawn = Sequence[tuple[str, str | None, str | None, float]]


def history(drawn: Drawn) -> list[Leg]:
    """Legs of a drawn history, in order; each begins some days after the one before."""
    made = []
    ago = accumulate((days for *_, days in drawn), initial=-1000.0)
    for number, ((aircraft, origin, to, _), begun) in enumerate(zip(drawn, list(ago)[1:], strict=True)):
        leg = flown(number, -begun, origin or "UUMU", to or "UUMU", aircraft)
        if origin is None:
            leg = replace(leg, origin=replace(leg.origin, airport=None, basis="unknown"))
        if to is None:
            leg = replace(leg, destination=replace(leg.destination, airport=None, basis="unknown"))
        made.append(leg)
    return made


def rows_of(legs: Sequence[Leg], airports: Airports, *exposures: Exposure) -> list[RouteRarity]:
    return list(scores(Baseline(airports, legs_table(legs), exposures), {}))


# ---------------------------------------------------------------------------------------------------------------- destinations


@settings(max_examples=tries(15), deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(-1, 4), st.integers(-1, 4)), max_size=15),
    st.sampled_from("abc"),
    st.integers(-1, 5),
)
def test_probabilities_of_all_places_sum_to_one(
    airports: Airports, past: list[tuple[str, int, int]], aircraft: str, here: int
) -> None:
    """Every airport of the table, every code that was seen, and any other place; each as likely as its bits say."""
    numbers = [
        airports.row("UUMU"),
        airports.row("ZKPY"),
        airports.row("KSFO"),
        len(airports),
        len(airports) + 7,
        airports.row("ZBAA"),
    ]
    places = [number for number in numbers if number is not None]
    model = Destinations(airports)
    for day, (who, origin, to) in enumerate(past):
        ends = [NOWHERE if i < 0 else places[i] for i in (origin, to)]
        model.learn(Flight(who, None, "T154", ends[0], day / 3), ends[1])
    flight = Flight(aircraft, "an operator", "T154", NOWHERE if here < 0 else places[here], 9.0)
    rows, others, anywhere = model.distribution(flight)
    assert len(rows) >= 2000
    assert rows.min() > 0
    assert anywhere > 0
    assert rows.sum() + sum(others.values()) + anywhere == pytest.approx(1.0)
    assert 2 ** -model.bits(flight, places[5]) == pytest.approx(rows[places[5]])


def test_habits_make_a_destination_likely_and_others_rare(airports: Airports) -> None:
    """A shuttle between two places: after a month going back is no news, and going to a small airport far away is."""
    moscow, pyongyang, elsewhere = (airports.row(code) for code in ("UUMU", "ZKPY", "KHAF"))
    assert moscow is not None
    assert pyongyang is not None
    assert elsewhere is not None
    model = Destinations(airports)
    for day in range(30):
        ends = (moscow, pyongyang) if day % 2 == 0 else (pyongyang, moscow)
        model.learn(Flight("a", None, None, ends[0], float(day)), ends[1])
    flight = Flight("a", None, None, moscow, 30.0)
    assert model.bits(flight, pyongyang) < 0.5
    assert model.bits(flight, elsewhere) > 15


# ----------------------------------------------------------------------------------------------------------------------- rates


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30).filter(lambda weights: sum(weights) > 0))
def test_an_interval_holds_what_it_says_and_is_not_wider_than_it_must_be(weights: list[float]) -> None:
    chances = np.array(weights) / sum(weights)
    low, high = shortest(np.cumsum(chances))
    assert chances[low : high + 1].sum() >= 0.9 - 1e-9
    narrower = [chances[i : i + high - low].sum() for i in range(len(chances))]
    assert max(narrower, default=0.0) < 0.9


def test_more_visits_let_more_be_expected_and_more_days_less() -> None:
    assert expected(0, 1000).per_year < expected(1, 1000).per_year < expected(1, 100).per_year < 5
    year = expected(100, 365)
    assert year.low < 100 < year.high
    assert year.per_year == pytest.approx(100, rel=0.03)


# ------------------------------------------------------------------------------------------------------------------ recurrence


def test_a_series_whose_routes_were_flown_again_makes_the_next_one_likely_to_be() -> None:
    """Numbers 2xxx are a line, 9xxx ferries that never come again."""
    model = Recurrence()
    for n in range(10):
        for again in range(2):
            model.learn(Flown("a", None, f"WQ2{n:03}", n, 100 + n, float(n + 10 * again)))
        model.learn(Flown("a", None, f"WQ9{n:03}", n, 200 + n, float(n)))
    line, ferry = (model.log_odds(Flown("a", None, callsign, 50, 51, 40.0)) for callsign in ("WQ2999", "WQ9999"))
    assert line > ferry + 0.5


# ------------------------------------------------------------------------------------------------------------------------ rows


@settings(max_examples=tries(10), deadline=None)
@given(LEGS, LEGS)
def test_nothing_is_known_from_the_future(airports: Airports, past: Drawn, future: Drawn) -> None:
    """What comes later, and in which order, changes no row."""
    alone = rows_of(history(past), airports, WORLD)
    assert rows_of(history([*past, *future]), airports, WORLD)[: len(past)] == alone
    assert rows_of(history([*past, *reversed(future)]), airports, WORLD)[: len(past)] == alone


@settings(max_examples=tries(10), deadline=None)
@given(LEGS, st.integers(0, 12))
def test_legs_that_come_later_give_the_same_as_all_read_again(airports: Airports, drawn: Drawn, cut: int) -> None:
    legs = history(drawn)
    extended = Baseline(airports, legs_table(legs[:cut]), [WORLD]).extended(legs_table(legs[cut:]))
    assert list(scores(extended, {})) == rows_of(legs, airports, WORLD)


def test_a_flight_that_is_in_the_air_tells_nothing_yet(airports: Airports) -> None:
    """Two aircraft leave for the same place an hour apart; where the first one goes is known nine hours later."""
    legs = [flown(1, 50), flown(2, 50 - 1 / 24, aircraft="15520a"), flown(3, 49, aircraft="15520a")]
    assert [row.n_before for row in rows_of(legs, airports, WORLD)] == [0, 0, 2]


@settings(max_examples=tries(10), deadline=None)
@given(LEGS, st.sampled_from([(), (WORLD,)]))
def test_no_cell_is_empty(airports: Airports, drawn: Drawn, exposures: tuple[Exposure, ...]) -> None:
    rows = rows_of(history(drawn), airports, *exposures)
    assert len(rows) == len(drawn)
    for row in rows:
        figures = [row.expected_per_year, row.bits, row.score, row.flights_30d_low, row.flights_30d_high]
        assert all(math.isfinite(figure) for figure in figures)
        assert row.sentence
        assert row.registration
        assert (row.n_before == 0) == (row.last_before == NEVER)
        if row.destination == UNKNOWN:
            assert "not known" in row.sentence
            assert row.score == row.bits == 0.0


def test_too_little_history_is_said(airports: Airports) -> None:
    """The first flight, one after two weeks, and one after a year."""
    begun = Exposure(Scope("world"), datetime(2023, 1, 1, tzinfo=UTC).date(), datetime(2024, 3, 1, tzinfo=UTC).date())
    rows = rows_of([flown(1, 425), flown(2, 411), flown(3, 60)], airports, begun)
    assert ["Too little history" in row.sentence for row in rows] == [True, True, False]
    assert [row.enough_history for row in rows] == [False, False, True]
    assert rows[2].sentence.startswith(
        "2 flights from Chkalovskiy (Moscow) to Pyongyang in the 365 observed days before, by any aircraft of this history,"
        " all of them by RA-86559; the last on 15 Jan 2023. Expected: "
    )


def test_days_that_nobody_watched_are_called_days_on_record(airports: Airports) -> None:
    """A collection of reports says nothing of what it does not mention."""
    last = rows_of([flown(1, 425), flown(2, 60)], airports)[-1]
    assert last.observed_days == 0
    assert "365 days since the first leg on record" in last.sentence
    assert last.sentence.endswith("Whether the record of these days is complete is not known.")


# --------------------------------------------------------------------------------------------------------------------- command


@pytest.fixture
def flight_list(tmp_path: Path) -> Path:
    """Eighty days of a shuttle, one flight elsewhere, and one whose end nobody noted."""
    path = tmp_path / "list.csv"
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    flights = [(d, *(("UUMU", "UHWW") if d % 2 == 0 else ("UHWW", "UUMU"))) for d in range(80)]
    flights += [(80, "UUMU", "ZKPY"), (81, "ZKPY", "")]
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["date", "registration", "origin", "destination"])
        rows.writerows([(begin + timedelta(days=d)).date(), "RA-86559", *ends] for d, *ends in flights)
    return path


def test_the_command_writes_a_row_for_each_leg_in_order(flight_list: Path, typed: Callable[..., tuple[int, str, str]]) -> None:
    typed("import", "--store", "s", str(flight_list))
    status, out, _ = typed("rarity", "--store", "s", "-o", "rarity.parquet")
    assert status == 0
    assert out.startswith("rarity.parquet: 82 legs")
    table = pq.read_table("rarity.parquet")
    assert table.schema.names == RARITY.names
    assert not any(column.null_count for column in table.columns)
    rows = table.to_pylist()
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    assert [row["destination"] for row in rows[-2:]] == ["ZKPY", UNKNOWN]
    assert max(rows[40:], key=lambda row: row["score"])["destination"] == "ZKPY"
    assert max(rows[40:], key=lambda row: row["bits"])["destination"] == "ZKPY"
    assert rows[79]["flights_30d_low"] <= 15 <= rows[79]["flights_30d_high"]
    assert rows[79]["n_before"] == 39
    assert rows[79]["observed_days"] == 79

    typed("rarity", "--store", "s", "--since", "2024-03-15", "-o", "late.parquet")
    assert pq.read_table("late.parquet").to_pylist() == [row for row in rows if row["time"] >= datetime(2024, 3, 15, tzinfo=UTC)]

    _, out, _ = typed("rarity", "--store", "s")
    assert out.splitlines()[0].startswith("2024-03-21  RA-86559    UUMU ZKPY")
    assert "31 more after too little history" in " ".join(out.split())


def test_files_for_spreadsheets_and_for_programs(tmp_path: Path, airports: Airports) -> None:
    rows = rows_of([replace(flown(1, 60), registration="=cmd"), flown(2, 10)], airports, WORLD)
    write(rows, tmp_path / "rarity.csv", {})
    write(rows, tmp_path / "rarity.json", {})
    assert "'=cmd" in (tmp_path / "rarity.csv").read_text()
    assert '"=cmd"' in (tmp_path / "rarity.json").read_text()
    assert "=cmd" in show(rows, {})
