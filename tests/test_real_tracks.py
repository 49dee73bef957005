"""Legs of real flights with known truth. The figures asserted are promises of the README; what was
reached stands in ARCHITECTURE.md."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from flightwatch import backfill
from flightwatch.aircraft import Registry
from flightwatch.imports import import_file
from flightwatch.pipeline import Pipeline
from flightwatch.places import Airports
from flightwatch.records import Leg, legs_from_table
from flightwatch.store import Store
from tests.conftest import real
from tests.test_legs import in_order


def derived(files: list[Path], folder: Path, airports: Airports) -> list[Leg]:
    """The legs of some files, by way of a store, as a user gets them."""
    with Store(folder) as store:
        for path in files:
            import_file(store, path)
        backfill.derive(store, Pipeline(airports, Registry(), exposures=backfill.exposures(store)))
        return [leg for leg in legs_from_table(store.legs.table()) if leg.source == "tracked"]


class Score:
    """Legs against a truth table: which true legs have exactly one leg of their own, and what is said of their ends."""

    def __init__(self, legs: list[Leg], truth: pd.DataFrame) -> None:
        self.whole = self.right = self.wrong = self.named = self.pretended = 0
        self.n = len(truth)
        by_aircraft: dict[str, list[Leg]] = {}
        for leg in legs:
            by_aircraft.setdefault(leg.icao24 or "", []).append(leg)
        spans = [(r.icao24, *self._span(r)) for r in truth.itertuples()]
        for row, (icao24, begin, end) in zip(truth.to_dict("records"), spans, strict=True):
            found = [leg for leg in by_aircraft.get(icao24, ()) if self._shared(leg, begin, end) > timedelta(seconds=30)]
            alone = (
                len(found) == 1
                and sum(self._shared(found[0], b, e) > timedelta(seconds=30) for a, b, e in spans if a == icao24) == 1
            )
            self.whole += alone
            for side in ("origin", "destination"):
                self._judge(row[side], getattr(found[0 if side == "origin" else -1], side) if found else None)

    def _span(self, row: object) -> tuple[pd.Timestamp, pd.Timestamp]:
        names = ("first_seen", "last_seen") if hasattr(row, "first_seen") else ("takeoff_time", "landing_time")
        return tuple(pd.to_datetime(getattr(row, name), utc=True) for name in names)  # type: ignore[return-value]  # two of them

    def _shared(self, leg: Leg, begin: pd.Timestamp, end: pd.Timestamp) -> timedelta:
        assert leg.first_seen is not None
        assert leg.last_seen is not None
        return min(leg.last_seen, end) - max(leg.first_seen, begin)

    def _judge(self, want: object, end: object) -> None:
        if not isinstance(want, str):
            self.pretended += end is not None and end.basis == "observed"  # type: ignore[attr-defined]  # an End
            return
        self.named += 1
        said = None if end is None else end.airport  # type: ignore[attr-defined]  # an End
        self.right += said == want
        self.wrong += said is not None and said != want


def test_airliners_with_real_gaps(tmp_path: Path, airports: Airports) -> None:
    """32 legs with hours unseen on the stand, holes, midnights and de-icing."""
    truth = pd.read_csv(real("tracks/airline_multileg.truth.csv"), dtype={"icao24": str})
    score = Score(derived([real("tracks/airline_multileg.parquet")], tmp_path / "s", airports), truth)
    assert score.whole >= 31
    assert score.right / score.named >= 0.96
    assert (score.wrong, score.pretended) == (0, 0)


@pytest.mark.slow
def test_every_leg_lands_before_the_next_one_takes_off(tmp_path: Path, airports: Airports) -> None:
    """Survey aircraft over two months, most of their landings unseen."""
    by_aircraft: dict[str | None, list[Leg]] = {}
    for leg in derived([real("tracks/surveillance_aeroptic.parquet")], tmp_path / "s", airports):
        by_aircraft.setdefault(leg.icao24, []).append(leg)
    assert sum(map(len, by_aircraft.values())) > 100
    for legs in by_aircraft.values():
        in_order(sorted(legs, key=lambda leg: leg.first_seen or leg.origin.time))  # type: ignore[arg-type,return-value]  # one of them


@pytest.mark.slow
def test_a_fortnight_of_regional_flights(tmp_path: Path, airports: Airports) -> None:
    """1,399 flights at a position every one to five minutes, without speed or direction."""
    truth = pd.read_csv(real("tracks/at72_first_half.truth.csv"), dtype={"icao24": str})
    score = Score(derived([real("tracks/at72_first_half.parquet")], tmp_path / "s", airports), truth)
    assert score.whole / score.n >= 0.99
    assert score.right / score.named >= 0.985


@pytest.mark.slow
@pytest.mark.parametrize(("feet", "floor"), [(10_000, 0.94), (20_000, 0.89)])
def test_ends_that_were_cut_off_are_ranked_by_what_earlier_days_tell(
    feet: int, floor: float, tmp_path: Path, airports: Airports
) -> None:
    """The last part of each flight of the second week is taken away; the first week, uncut, is the history."""
    flights = pd.read_parquet(real("tracks/at72_first_half.parquet"))
    truth = pd.read_csv(real("tracks/at72_first_half.truth.csv"), dtype={"icao24": str})
    day = pd.to_datetime(truth.takeoff_time, utc=True)
    middle = pd.Timestamp("2019-03-09", tz="UTC")
    early, late = set(truth.icao24[day < middle]), truth[day >= middle]
    flights[flights.icao24.isin(early)].to_parquet(tmp_path / "early.parquet")
    parts = []
    for _, flight in flights[flights.icao24.isin(late.icao24)].sort_values("timestamp").groupby("icao24"):
        high = flight.altitude.to_numpy() >= feet
        if 3 <= (kept := len(flight) - int(high[::-1].argmax()) if high.any() else 0) < len(flight):
            parts.append(flight.iloc[:kept])
    cut = pd.concat(parts)
    cut.to_parquet(tmp_path / "late.parquet")
    legs = {leg.icao24: leg for leg in derived([tmp_path / "early.parquet", tmp_path / "late.parquet"], tmp_path / "s", airports)}
    want = late[late.icao24.isin(cut.icao24)]
    leading = [legs[r.icao24].destination.candidates[0].airport == r.destination for r in want.itertuples() if r.icao24 in legs]
    assert sum(leading) / len(want) >= floor
    assert all(legs[i].destination.basis != "observed" for i in want.icao24 if i in legs)
