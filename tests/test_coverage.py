"""Coverage: learned from the legs, the same in whatever order they come, and what silence means where it is known."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightwatch import backfill, maps, rarity
from flightwatch import legs as leg_stage
from flightwatch.aircraft import Registry
from flightwatch.errors import StoreError
from flightwatch.explore import Explorer
from flightwatch.imports import import_file
from flightwatch.legs import LegState, Model, silence
from flightwatch.legs.gaps import Edge, Fix, judge_gap
from flightwatch.pipeline import Pipeline
from flightwatch.places import Airports
from flightwatch.places import airports as all_airports
from flightwatch.places.great_circle import destination
from flightwatch.rarity import Baseline
from flightwatch.rarity.coverage import BANDS, CELLS, Coverage, boxes, cells_at
from flightwatch.records import WAYPOINT, Aircraft, CoverageMap, CoveredBand, Gap, Leg, Target, legs_table
from flightwatch.store import Store, files
from flightwatch.testing.world import INLAND_SIBERIA, Flight, World
from tests.examples import tries
from tests.test_alerts import leg

DAY = date(2024, 3, 1)
NOTHING = legs_table(())


def flown(
    number: int, days: int, *, south: float = 0.0, minutes: int = 60, height: float = 30_000.0, hole: float | None = None
) -> Leg:
    """A leg eastwards from 50 N, 10 E that landed so many days after `DAY`, its ends unknown; with a hole of 20 minutes
    that was flown with this probability."""
    begun = datetime(DAY.year, DAY.month, DAY.day, 10, tzinfo=UTC) + timedelta(days=days)
    way = np.zeros(minutes // 5 + 1, WAYPOINT)
    way["time"] = int(begun.timestamp()) + 300 * np.arange(len(way))
    way["latitude"], way["longitude"], way["altitude"] = 50.5 - south, 10.5 + np.arange(len(way)), height
    made = leg(f"abc{number:03d}", origin=("UUMU", 0.3, "inferred"), to=("ZKPY", 0.3, "inferred"))
    over = begun + timedelta(minutes=minutes)
    ends = {n: replace(getattr(made, n), time=t, earliest=t, latest=t) for n, t in (("origin", begun), ("destination", over))}
    gap = begun + timedelta(minutes=10), begun + timedelta(minutes=30)
    gaps = () if hole is None else (Gap(*gap, "flying", hole, ""),)
    return replace(made, first_seen=begun, last_seen=over, gaps=gaps, way=way.tobytes(), **ends)


def learned(*legs: Leg) -> Coverage:
    return Coverage().changed(legs_table(legs), NOTHING, all_airports())


def share(coverage: Coverage, day: int, longitude: float, latitude: float = 50.5, altitude: float = 30_000.0) -> float:
    """How much was seen at a place, as known so many days after `DAY`; NaN where nobody came by."""
    seen, unknown = coverage.as_of(DAY + timedelta(days=day)).share(latitude, longitude, altitude)
    return float(seen / (1 - unknown)) if unknown < 1 else math.nan


# -------------------------------------------------------------------------------------------------------------------- learning


@settings(max_examples=tries(40), deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 200), st.floats(0, 20), st.sampled_from([None, 0.6, 0.99])), max_size=12
    ),
    st.integers(0, 20),
)
def test_legs_that_come_and_change_day_by_day_make_the_coverage_of_all_of_them(
    made: list[tuple[int, int, float, float | None]], back: int
) -> None:
    """A leg that is known better takes the place of what was known of it; a restart draws up everything anew."""
    made = sorted(made, key=lambda m: m[1])
    baseline = Baseline(all_airports())
    last: dict[str, Leg] = {}
    for number, days, south, hole in made:
        new = flown(number, days, south=south, hole=hole)
        last[new.leg_id] = new
        baseline = baseline.extended(legs_table([new]))
    anew = Baseline(all_airports(), legs_table(last.values()))
    asked = DAY + timedelta(days=max((m[1] for m in made), default=0) - back)
    for name in ("seen", "unseen"):
        assert np.array_equal(getattr(baseline.coverage.as_of(asked), name), getattr(anew.coverage.as_of(asked), name))


def test_a_day_knows_nothing_of_the_days_to_come() -> None:
    coverage = learned(flown(1, 0), flown(2, 5, south=10))
    assert math.isnan(share(coverage, 0, 12.5))
    assert share(coverage, 1, 12.5) == pytest.approx(1)
    assert math.isnan(share(coverage, 5, 12.5, 40.5))
    assert share(coverage, 6, 12.5, 40.5) == pytest.approx(1)


def test_holes_count_as_unseen_where_they_were_surely_flown() -> None:
    assert share(learned(flown(1, 0, hole=0.99)), 1, 14.5) == 0.0
    assert math.isnan(share(learned(flown(1, 0, hole=0.6)), 1, 14.5)), "it may have been down: no evidence"
    assert share(learned(flown(1, 0, hole=0.99)), 1, 18.5) == pytest.approx(1)


@pytest.mark.parametrize(("probability", "told"), [(0.95, True), (0.8, False)])
def test_the_way_down_to_an_airport_that_is_certain_counts_as_unseen(probability: float, told: bool, airports: Airports) -> None:
    """Lost at 30,000 ft, 130 nm before Pyongyang, and probably down there 25 minutes later."""
    row = airports.row("ZKPY")
    assert row is not None
    field = float(airports.latitude[row]), float(airports.longitude[row])
    made = flown(1, 0)
    at = np.frombuffer(made.way, WAYPOINT)[-1:].copy()
    at["latitude"], at["longitude"] = destination(*field, 0.0, 130.0)
    landed = made.destination.time
    assert landed is not None
    down = landed + timedelta(minutes=25)
    to = replace(made.destination, airport="ZKPY", probability=probability, time=down, earliest=down, latest=down)
    table = learned(replace(made, way=at.tobytes(), destination=to)).as_of(DAY + timedelta(days=1))
    seen, unseen = table.low_minutes([field[0]], [field[1]])
    assert (seen, unseen > 2) == (0.0, told)


def test_a_receiver_that_went_away_is_noticed() -> None:
    """Two months with it, then none: after as long again most of what is known says that nobody is seen."""
    there = [flown(n, n) for n in range(0, 60, 3)]
    gone = [flown(n, n, hole=0.99) for n in range(60, 150, 3)]
    coverage = learned(*there, *gone)
    assert share(coverage, 59, 14.5) == pytest.approx(1)
    assert share(coverage, 150, 14.5) < 0.3


def test_years_of_traffic_take_no_more_room_than_one() -> None:
    coverage, sizes = Coverage(), []
    for day in range(0, 1500, 10):
        coverage = coverage.changed(legs_table([flown(day, day)]), NOTHING, all_airports())
        sizes.append(len(coverage.seconds.key))
    assert max(sizes[50:]) <= max(sizes[:50])


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_every_place_lies_in_its_cell(latitude: float, longitude: float) -> None:
    cell = cells_at(latitude, longitude)
    assert 0 <= int(cell) < CELLS
    west, south, east, north = boxes(np.array([int(cell)]))[0]
    assert south - 1e-6 <= latitude <= north + 1e-6
    assert (longitude - west + 1e-6) % 360 <= east - west + 2e-6


def test_a_store_has_the_same_coverage_after_a_restart_and_a_rebuild(tmp_path: Path, airports: Airports) -> None:
    made = world([("UUEE", "UNNT"), ("UUEE", "USSS")], days=3)
    files.write_parquet(tmp_path / "flown.parquet", made.positions(60.0))
    with Store(tmp_path / "store") as store:
        import_file(store, tmp_path / "flown.parquet")
        pipeline = Pipeline(airports, Registry())
        first = backfill.derive(store, pipeline).state.baseline.coverage
        restarted = backfill.frozen_baseline(store, pipeline).coverage
        again = backfill.derive(store, pipeline).state.baseline.coverage
    assert len(first.seconds.key) > 50
    for other in (restarted, again):
        assert all(np.array_equal(getattr(first.seconds, n), getattr(other.seconds, n)) for n in ("key", "seen", "unseen"))


# --------------------------------------------------------------------------------------------------------------------- silence


def edge(minutes: float, longitude: float, altitude: float, climb: float) -> Edge:
    return Edge(Fix(int(minutes * 60e6), 50.5, longitude, altitude, 420.0, 90.0, climb), 420.0, climb)


def everywhere(low: float, high: float) -> silence.Seen:
    """A sky in which this share of the traffic is seen below and above 10,000 ft, as is well known."""
    return lambda lat, lon, alt: (np.where(alt < 10_000, low, high), np.zeros(np.broadcast(lat, lon, alt).shape))


def landed(seen: silence.Seen) -> float:
    """A hole of 80 minutes between 15,000 ft going down and as high going up again, 150 nm apart."""
    before, after = edge(0, 10.0, 15_000, -1200), edge(80, 13.9, 15_000, 1200)
    return judge_gap(before, after, 450, 450, all_airports(), seen).landed


def test_a_hole_in_well_covered_air_was_rather_a_landing() -> None:
    """Who flew on would have been seen; who went down where nobody is seen would not."""
    assert landed(everywhere(low=0.0, high=1.0)) >= landed(everywhere(0.0, 0.0)) > 0.5
    assert landed(everywhere(low=1.0, high=0.0)) < landed(everywhere(0.0, 0.0))


def test_who_knows_nothing_concludes_nothing() -> None:
    """However long the way is: near airports gain nothing, and neither does either story of a hole."""
    before, after = edge(0, 10.0, 15_000, -1200), edge(80, 13.9, 15_000, 1200)
    assert landed(silence.nothing_known) == judge_gap(before, after, 450, 450, all_airports()).landed
    fields = np.array([[50.5, 10.5, 0.0], [50.5, 14.0, 300.0], [20.0, 60.0, 0.0]])
    for silent_min in (1.0, 30.0, 600.0):
        chances = silence.to_airports((50.5, 10.0, 3e4), 3.6e4, fields, 420, silent_min, silence.nothing_known, climbs=False)
        assert np.ptp(chances) == 0


@given(st.floats(0, 1000), st.floats(0, 1))
def test_silence_never_says_more_than_its_bound(minutes: float, unknown: float) -> None:
    chance = float(silence.chance(np.float64(minutes), np.float64(unknown)))
    assert silence.OTHER_REASONS <= chance <= 1


def test_only_the_silence_that_has_lasted_counts() -> None:
    """Over covered air to a place in a hole, and to one in covered air: after a minute there is nothing in it, after
    an hour the second would have been seen."""
    seen: silence.Seen = lambda lat, lon, alt: (np.where(lon < 14, 1.0, np.where(lat > 50, 0.0, 1.0)), lat * 0)  # noqa: E731
    fields = np.array([[55.0, 24.0, 0.0], [45.0, 24.0, 0.0]])

    def odds(silent_min: float) -> float:
        hole, covered = silence.to_airports((50.0, 13.8, 3e4), 3.6e4, fields, 420, silent_min, seen, climbs=False)
        return float(hole / covered)

    assert odds(0.2) == pytest.approx(1, abs=0.05)
    assert odds(60) > 2


def world(pairs: list[tuple[str, str]], days: int, *, first: int = 0, number: int = 0) -> World:
    """An airliner a day on each of these routes, from some day after `DAY` on."""
    begin = datetime(DAY.year, DAY.month, DAY.day, 6, tzinfo=UTC) + timedelta(days=first)
    flights = [
        Flight(f"{0xA00000 + number + 100 * i + d:06x}", f"XX-{d}", "A320", "X1", a, b, begin + timedelta(days=d, minutes=37 * i))
        for i, (a, b) in enumerate(pairs)
        for d in range(days)
    ]
    return World(tuple(flights), all_airports(), holes=(INLAND_SIBERIA,))


def listed(legs: list[Leg], pairs: list[tuple[str, str]]) -> list[Leg]:
    """A flight on each of these routes that stands in a list, without a track."""
    made = []
    for i, (a, b) in enumerate(pairs):
        begun = datetime(2024, 3, 2, 9, tzinfo=UTC)
        ends = {
            n: replace(
                legs[0].origin, airport=place, basis="observed", probability=1.0, candidates=(), time=t, earliest=t, latest=t
            )
            for n, place, t in (("origin", a, begun), ("destination", b, begun + timedelta(hours=4)))
        }
        listing = {"source": "listed", "feeds": ("a list",), "first_seen": None, "last_seen": None, "gaps": (), "way": b""}
        made.append(replace(legs[0], leg_id=f"listed-{i}", icao24=f"b0000{i}", registration=f"YY-{i}", **ends, **listing))
    return made


class Unaware(Baseline):
    """A history that knows nothing of coverage."""

    def seen_share(self, day: date, latitude: object, longitude: object, altitude: object) -> tuple[object, object]:
        return silence.nothing_known(latitude, longitude, altitude)


def legs_of(made: World, history: Baseline) -> list[Leg]:
    """The legs of a world, a day and a half after the last that was seen."""
    table = made.positions(60.0)
    model = Model(all_airports(), history, Registry().who)
    state, _ = leg_stage.advance(LegState(), table, model)
    now = max(table["timestamp"].to_pylist()) + timedelta(hours=36)
    return [leg for legs in leg_stage.current(state, leg_stage.aircraft_of(state), model, now).values() for leg in legs]


def test_flights_that_were_lost_at_the_edge_of_a_hole_are_followed_into_it() -> None:
    """Traffic flies across Siberia and lands on either side of the hole; four routes end in it, and nobody sees where.
    One flight on each is known from a list."""
    ordinary = [("UUEE", "ZBAA"), ("USSS", "UHWW"), ("UUEE", "USSS"), ("UUEE", "USCC"), ("UUEE", "UNNT"), ("UUEE", "UACC")]
    into = [("UUEE", "USRR"), ("UUEE", "UOOO"), ("UUEE", "USMU"), ("USSS", "USRR")]
    before = legs_of(world(ordinary, 6), Baseline(all_airports()))
    history = legs_table([*before, *listed(before, into)])
    lost = world(into, 2, first=8, number=5000)
    truth = {f.icao24: f.destination for f in lost.flights}

    def right(baseline: Baseline) -> tuple[int, float]:
        """How many lead with the truth, and the mean log-probability of it."""
        ends = {leg.icao24: leg.destination.candidates for leg in legs_of(lost, baseline)}
        first = sum(ends[a][0].airport == place for a, place in truth.items())
        probability = [max([c.probability for c in ends[a] if c.airport == place], default=1e-3) for a, place in truth.items()]
        return first, float(np.mean(np.log(probability)))

    without, aware = right(Unaware(all_airports(), history)), right(Baseline(all_airports(), history))
    assert aware[0] >= without[0]
    assert aware[1] > without[1] + 0.1


# ------------------------------------------------------------------------------------------------------------ words, pictures


def test_of_places_where_nobody_is_seen_coming_down_the_count_says_so(airports: Airports) -> None:
    """Whole flights low over Pyongyang, seen or in a hole."""
    target, who = Target(("ZKPY",), ()), Aircraft("15521f", "RA-86559", "IL62", None)

    def told(hole: float | None) -> str:
        made = [flown(n, n, south=11.3, minutes=30, height=5000.0, hole=hole) for n in range(5)]
        over = []
        for one in made:
            way = np.frombuffer(one.way, WAYPOINT).copy()
            way["longitude"] = 125.67
            over.append(replace(one, way=way.tobytes()))
        baseline = Baseline(airports, legs_table(over))
        return rarity.rarities(baseline, target, who, DAY + timedelta(days=20))[0].sentence

    assert "was seen" not in told(None)
    assert "Only 33% of the flying below 10,000 ft around there was seen: landings are inferred" in told(0.99)
    assert "below 10,000 ft" not in rarity.rarities(Baseline(airports), target, who, DAY)[0].sentence


@pytest.mark.parametrize("longitudes", [[10.0], [170.0, 179.5, -179.5, -170.0], [-180.0, -90.0, 0.0, 90.0, 179.0]])
def test_a_picture_of_any_coverage(longitudes: list[float]) -> None:
    cells = boxes(np.unique(cells_at(np.linspace(-80, 80, len(longitudes)) if len(longitudes) > 4 else 50.0, longitudes)))
    none = CoveredBand("above", cells[:0], np.zeros(0), 0.0, 0.0)
    bands = (CoveredBand("below", cells, np.linspace(0, 1, len(cells)), 1.0, 1.0), none, none, none)
    pixels = matplotlib.image.imread(io.BytesIO(maps.draw_coverage(CoverageMap("A title", bands, "A $note$"))), format="png")
    assert 300 < pixels.shape[0] <= maps.TALLEST_PX
    coloured = np.ptp(pixels[..., :3], axis=-1) > 0.3
    panel = coloured[: pixels.shape[0] // 2, : pixels.shape[1] // 2]
    assert panel.any(), "what is known is shown"
    columns = np.flatnonzero(panel.any(axis=0))
    if longitudes[0] == 170.0:
        assert np.ptp(columns) < pixels.shape[1] // 2, "not around the whole world"


def test_a_store_without_tracks_has_no_coverage_to_show(tmp_path: Path) -> None:
    with Store(tmp_path) as store, pytest.raises(StoreError, match="flightwatch import"):
        Explorer(store).coverage()


def test_bands_of_a_store_say_how_much_is_seen(tmp_path: Path, airports: Airports) -> None:
    made = world([("UUEE", "UNNT"), ("UUEE", "USSS")], days=3)
    files.write_parquet(tmp_path / "flown.parquet", made.positions(60.0))
    with Store(tmp_path / "store") as store:
        import_file(store, tmp_path / "flown.parquet", reconstructed=True)
        backfill.derive(store, Pipeline(airports, Registry()))
        shown = Explorer(store).coverage()
    assert len(shown.bands) == BANDS
    assert shown.bands[3].unseen_h > 1, "the hole before Novosibirsk"
    assert shown.bands[3].seen_h > shown.bands[3].unseen_h
    assert "Reconstruction" in shown.note
