"""What habits are worth: aircraft and fleets that have them, whose ends nobody sees any more after two weeks.

The world is made up, so the habits are known, and so is what a perfect memory of them would say. `make slow` measures
and prints; what is asserted is what somebody would notice.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from flightwatch import legs as leg_stage
from flightwatch.aircraft import Registry, read_watchlist
from flightwatch.legs import LegState, Model, ends
from flightwatch.legs.rows import aircraft_number
from flightwatch.pipeline import Pipeline
from flightwatch.places import airports as all_airports
from flightwatch.rarity import Baseline
from flightwatch.records import LEGS, UNKNOWN, End, Leg
from flightwatch.testing.world import Flight, World, landing
from flightwatch.testing.world.habits import Tail, chances, faithful, line, roaming, weeks

TABLE = all_airports()
BEGIN = datetime(2024, 2, 5, tzinfo=UTC)
WEEKS = timedelta(days=14)
"""Of history, and of what is masked."""

EVERY_S = 120.0
UNSEEN = timedelta(minutes=60)
"""The last part of each masked flight; of short ones half."""

LOOK = timedelta(minutes=30)
"""How often the lost ones are looked at: before any of them can have turned round."""

EUROPE = ("LEMD", "LIRF", "EKCH", "ESSA", "EFHK", "LOWW", "LPPT", "EGLL", "EHAM", "LTFM")
RUSSIA = ("ULLI", "URSS", "USSS", "UNNT", "UHHH", "UIII", "UMMS", "UBBB", "UAAA", "UWKD")
ANYWHERE = ("LFPG", "LSGG", "LEBL", "EGLL", "LIML", "LGAV", "OMDB", "GMMN", "EIDW", "LPPT", "ENGM", "EPWA")
SHORT = ("LFBO", "LFML", "LFLL", "EGBB", "EHEH", "EDDL", "LSZH", "LFRS")


def fleets(rng: np.random.Generator, share: int = 1) -> dict[str, tuple[Tail, ...]]:
    """The fleets of the world by their kind of habit, with a share of their aircraft."""
    return {
        "a timetable": line("Alpha Line", "A320", "EDDF", EUROPE, 8 // share, 0x3E0000, rng),
        "a timetable, short": line("Beta Commuter", "AT76", "LFPG", SHORT, 6 // share, 0x3E1000, rng),
        "tails with places": faithful("Gamma State", "T204", "UUWW", RUSSIA, 10 // share, 0x3E2000, rng),
        "jets with places": faithful("Delta Jets", "GLF6", "EGGW", ANYWHERE, 8 // share, 0x3E3000, rng, wanders=0.1),
        "roaming": roaming("Epsilon Cargo", "B763", "EDDK", EUROPE, 6 // share, 0x3E4000),
    }


# --------------------------------------------------------------------------------------------------------------- the world itself


def test_habits_are_flown_as_they_are_written() -> None:
    """Shares of places, hours of a timetable, flights of one aircraft one after the other."""
    rng = np.random.default_rng(5)
    tails = [tail for fleet in fleets(rng, share=2).values() for tail in fleet]
    flights = weeks(tails, BEGIN, 30, TABLE, rng)
    for earlier, later in pairwise(flights):
        if earlier.icao24 == later.icao24:
            assert earlier.destination == later.origin
            assert landing(earlier, TABLE) + timedelta(minutes=30) < later.takeoff
    tail = next(t for t in tails if t.operator == "Gamma State")
    out = [f for f in flights if f.icao24 == tail.icao24 and f.origin == tail.home]
    favourite = np.mean([f.destination == tail.habits[0].place for f in out])
    assert favourite == pytest.approx(0.65, abs=0.2)
    scheduled = next(t for t in tails if t.operator == "Alpha Line")
    hour = {habit.place: habit.hour for habit in scheduled.habits}
    mine = [f for f in flights if f.icao24 == scheduled.icao24 and f.origin == scheduled.home]
    late = [f.takeoff.hour + f.takeoff.minute / 60 - (hour[f.destination] or 0) for f in mine]
    assert np.std(late) < 1.0


def test_a_perfect_memory_knows_the_way_home_and_the_timetable() -> None:
    rng = np.random.default_rng(5)
    first = fleets(rng)["a timetable"][0]
    habit = first.habits[3]
    assert habit.hour is not None
    assert chances(first, habit.place, 12.0) == {first.home: 1.0}
    known = chances(first, first.home, habit.hour)
    assert max(known, key=lambda place: known[place]) == habit.place
    assert sum(known.values()) == pytest.approx(1.0)


# ------------------------------------------------------------------------------------------------------------------ the measure


@dataclass(frozen=True)
class Masked:
    """The world with the ends of its second half unseen: positions by time, and the flights whose end is in question."""

    tails: dict[str, Tail]
    kinds: dict[str, str]
    positions: pa.Table
    cut: tuple[tuple[datetime, Flight], ...]

    @cached_property
    def times(self) -> NDArray[np.int64]:
        return np.asarray(self.positions["timestamp"].cast(pa.int64()))

    def between(self, begin: datetime, end: datetime) -> pa.Table:
        first, last = np.searchsorted(self.times, [int(begin.timestamp() * 1e6), int(end.timestamp() * 1e6)])
        return self.positions.slice(first, last - first)


def masked(*, shared_ways: bool) -> Masked:
    rng = np.random.default_rng(11)
    by_kind = fleets(rng)
    tails = {tail.icao24: tail for fleet in by_kind.values() for tail in fleet}
    kinds = {tail.icao24: kind for kind, fleet in by_kind.items() for tail in fleet}
    flights, cut = [], []
    for flight in weeks(list(tails.values()), BEGIN, 2 * WEEKS.days, TABLE, rng, shared_ways=shared_ways):
        if flight.takeoff >= BEGIN + WEEKS:
            down = landing(flight, TABLE)
            lost = max(down - UNSEEN, flight.takeoff + (down - flight.takeoff) / 2)
            flight = replace(flight, silent=((lost, down + timedelta(minutes=15)),))
            cut.append((lost, flight))
        flights.append(flight)
    table = World(tuple(flights), TABLE, (), seed=1).positions(EVERY_S).sort_by("timestamp")
    return Masked(tails, kinds, table, tuple(sorted(cut, key=lambda pair: pair[0])))


def registry(tails: Iterable[Tail], file: Path) -> Registry:
    """A list that says whose each aircraft is."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["registration", "icao24", "typecode", "operator"])
        writer.writerows([t.registration, t.icao24, t.typecode, t.operator] for t in tails)
    return Registry([read_watchlist(file)])


Draw = Callable[[pa.Table, Sequence[int], datetime], dict[int, tuple[Leg, ...]]]
"""Takes in what came since the last look, and draws up the legs of some aircraft."""


def with_history(who: Registry) -> Draw:
    """The pipeline as it is: what was seen on the days before tells what is usual."""
    pipeline = Pipeline(TABLE, who)
    state = pipeline.start(LEGS.empty_table())

    def draw(positions: pa.Table, numbers: Sequence[int], now: datetime) -> dict[int, tuple[Leg, ...]]:
        nonlocal state
        state, _ = pipeline.absorb(state, positions)
        return leg_stage.unsettled(state.legs, numbers, pipeline.model(state), now)

    return draw


def with_model(model: Model) -> Draw:
    """The legs alone, judged with one model all the time."""
    state = LegState()

    def draw(positions: pa.Table, numbers: Sequence[int], now: datetime) -> dict[int, tuple[Leg, ...]]:
        nonlocal state
        state, _ = leg_stage.advance(state, positions, model)
        return leg_stage.unsettled(state, numbers, model, now)

    return draw


@dataclass(frozen=True)
class PerfectMemory:
    """Knows the habits of everybody; of whoever wanders, no more than how large airports are."""

    tails: dict[str, Tail]
    plain: Baseline

    def over(
        self,
        which: ends.Which,
        day: date,
        *,
        aircraft: str,
        operator: str | None,
        typecode: str | None,
        other: int | None,
        clock_min: int | None = None,
        military: bool = False,
    ) -> NDArray[np.float64]:
        base = self.plain.over(
            which, day, aircraft=aircraft, operator=operator, typecode=typecode, other=other, clock_min=clock_min
        )
        if which != "destination" or other is None or clock_min is None:
            return base
        known = chances(self.tails[aircraft], TABLE.ident[other], clock_min / 60)
        prior = (1 - sum(known.values()) + 1e-3) * base
        for place, chance in known.items():
            prior[TABLE.row(place)] += (1 - 1e-3) * chance
        return prior / prior.sum()

    def seen_share(
        self, day: date, latitude: NDArray[np.float64], longitude: NDArray[np.float64], altitude: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.plain.seen_share(day, latitude, longitude, altitude)

    def came_by(
        self,
        which: ends.Which,
        day: date,
        *,
        other: int | None,
        latitude: float,
        longitude: float,
        altitude: float,
        course: float,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Nothing of ways."""
        return self.plain.came_by(
            which, day, other=other, latitude=latitude, longitude=longitude, altitude=altitude, course=course
        )


def ends_told(world: Masked, draw: Draw) -> list[tuple[Flight, End]]:
    """What is said of the end of each masked flight, within half an hour after it was lost."""
    said: list[tuple[Flight, End]] = []
    waiting = list(world.cut)
    time = BEGIN
    while time < BEGIN + 2 * WEEKS + timedelta(days=1):
        then = time + LOOK
        lost = []
        while waiting and waiting[0][0] < then:
            lost.append(waiting.pop(0)[1])
        numbers = [aircraft_number(flight.icao24) for flight in lost]
        drawn = draw(world.between(time, then), numbers, then)
        said += [(flight, drawn[number][-1].destination) for flight, number in zip(lost, numbers, strict=True)]
        time = then
    return said


@dataclass(frozen=True)
class Figures:
    """How good the ends are: shares of the right place first and among the first three, and the calibration error of the
    leading probability in ten bins."""

    n: int
    top1: float
    top3: float
    ece: float

    def __str__(self) -> str:
        return f"{self.n:5d}  top1 {self.top1:.3f}  top3 {self.top3:.3f}  ECE {self.ece:.3f}"


def figures(said: Sequence[tuple[Flight, End]]) -> Figures:
    ranked = [[c for c in end.candidates if c.airport != UNKNOWN] for _, end in said]
    first = np.array([bool(r) and r[0].airport == f.destination for r, (f, _) in zip(ranked, said, strict=True)])
    among = np.array([f.destination in [c.airport for c in r[:3]] for r, (f, _) in zip(ranked, said, strict=True)])
    chance = np.array([r[0].probability if r else 0.0 for r in ranked])
    bins = np.minimum((chance * 10).astype(int), 9)
    error = sum(abs(chance[bins == b].mean() - first[bins == b].mean()) * (bins == b).sum() for b in np.unique(bins))
    return Figures(len(said), float(first.mean()), float(among.mean()), float(error / len(said)))


@pytest.mark.slow
@pytest.mark.parametrize("shared_ways", [True, False])
def test_habits_tell_where_a_lost_aircraft_goes(shared_ways: bool, tmp_path: Path, told_figures: Callable[[str], None]) -> None:
    """Two weeks seen, two weeks in which the last hour of every flight is not: the destination, ranked within half
    an hour after the signal was lost, by history, without any, and by a perfect memory of everybody's habits. Flights
    take ways that others take, or each one of its own, which then must not mislead."""
    world = masked(shared_ways=shared_ways)
    who = registry(world.tails.values(), tmp_path / "whose.csv")
    empty = Baseline(TABLE)
    said = {
        "with history": ends_told(world, with_history(who)),
        "without": ends_told(world, with_model(Model(TABLE, empty, who.who))),
        "perfect memory": ends_told(world, with_model(Model(TABLE, PerfectMemory(world.tails, empty), who.who))),
    }
    by_kind: dict[str, dict[str, Figures]] = {}
    for source, told in said.items():
        for kind in ("all", *dict.fromkeys(world.kinds.values())):
            for way in ("out", "home"):
                mine = [
                    (f, end)
                    for f, end in told
                    if kind in ("all", world.kinds[f.icao24]) and (f.origin == world.tails[f.icao24].home) == (way == "out")
                ]
                by_kind.setdefault(f"{kind}, {way}", {})[source] = figures(mine)
    ways = "the ways of others" if shared_ways else "ways of their own"
    lines = [f"{kind:24} {source:16} {row}" for kind, rows in by_kind.items() for source, row in rows.items()]
    told_figures("\n".join([f"SYNTHETIC habits, {ways}: ends of flights whose last hour nobody saw", *lines]))
    for told in said.values():
        assert all(end.basis != "observed" for _, end in told)
    out = by_kind["all, out"]
    assert out["with history"].top1 > out["without"].top1 + 0.2
    assert out["with history"].top1 > out["perfect memory"].top1 - 0.1
    assert by_kind["all, home"]["with history"].top1 > 0.95
    assert figures(said["with history"]).ece < 0.1


# ------------------------------------------------------------------------------------------------------------- stops nobody saw


def stops_unseen() -> tuple[dict[str, Tail], tuple[Flight, ...], pa.Table]:
    """The world with every stop of its second half unseen: the transponder is off from twelve minutes before a landing
    until ten minutes after the next take-off."""
    rng = np.random.default_rng(12)
    tails = {tail.icao24: tail for fleet in fleets(rng).values() for tail in fleet}
    flights = list(weeks(list(tails.values()), BEGIN, 2 * WEEKS.days, TABLE, rng))
    for i, (flight, after) in enumerate(pairwise(flights)):
        if flight.icao24 == after.icao24 and after.takeoff >= BEGIN + WEEKS:
            down, up = landing(flight, TABLE), after.takeoff
            descent = (down - timedelta(minutes=12), down + timedelta(minutes=15))
            flights[i] = replace(flights[i], silent=(*flights[i].silent, descent))
            flights[i + 1] = replace(after, silent=((up - timedelta(minutes=15), up + timedelta(minutes=10)),))
    return tails, tuple(flights), World(tuple(flights), TABLE, (), seed=1).positions(EVERY_S)


def matched(flights: Sequence[Flight], legs: Sequence[Leg]) -> list[tuple[Flight, list[Leg]]]:
    """The legs that were told while each flight was in the air."""
    by_aircraft: dict[str, list[Leg]] = {}
    for leg in legs:
        by_aircraft.setdefault(leg.icao24 or "", []).append(leg)
    found = []
    for flight in flights:
        begin, end = flight.takeoff + timedelta(minutes=11), landing(flight, TABLE) - timedelta(minutes=13)
        mine = [leg for leg in by_aircraft.get(flight.icao24, ()) if leg.first_seen and leg.last_seen]
        found.append((flight, [leg for leg in mine if leg.first_seen < end and leg.last_seen > begin]))  # type: ignore[operator]  # not None
    return found


@pytest.mark.slow
def test_stops_that_nobody_saw_part_flights_and_are_placed(tmp_path: Path, told_figures: Callable[[str], None]) -> None:
    """Turnarounds of half an hour to a night, of which only descent and climb are seen: two legs, and where between."""
    tails, flights, positions = stops_unseen()
    pipeline = Pipeline(TABLE, registry(tails.values(), tmp_path / "whose.csv"))
    state, absorbed = pipeline.absorb(pipeline.start(LEGS.empty_table()), positions)
    now = max(positions["timestamp"].to_pylist()) + timedelta(days=1)
    legs = (*absorbed.settled, *pipeline.all_unsettled(state, now))
    hidden = [(f, found) for f, found in matched(flights, legs) if f.silent and landing(f, TABLE) - f.takeoff > LOOK]
    shared = Counter(leg.leg_id for _, found in hidden for leg in found)
    whole = np.mean([len(found) == 1 and shared[found[0].leg_id] == 1 for _, found in hidden])
    ends_of = [(f, found[-1].destination) for f, found in hidden if found and found[-1].destination.basis != "observed"]
    row = figures(ends_of)
    told_figures(f"SYNTHETIC habits, stops unseen: whole {whole:.3f} of {len(hidden)}; destinations {row}")
    assert whole > 0.9
    assert row.top1 > 0.95
    assert row.ece < 0.1
