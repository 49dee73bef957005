"""The promises of what legs did and of who met whom: how positions are cut, ordered and interrupted changes nothing, nor
does the order in which aircraft are asked about, or when meetings were looked for."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightwatch import backfill
from flightwatch.aircraft import Registry, read_watchlist
from flightwatch.legs import Model
from flightwatch.legs.meetings import meetings
from flightwatch.pipeline import Pipeline
from flightwatch.places import airports
from flightwatch.records import Event, Leg, legs_table
from flightwatch.store import Store
from flightwatch.store.legs import SETTLED_AFTER_DAYS
from flightwatch.testing.world import Flight, Hold, diverted, onward, silent_from
from tests.examples import tries
from tests.test_leg_invariants import derived_with
from tests.test_manoeuvres import BEGIN, MINVODY, MOSCOW, NOVOSIBIRSK, OFF_SOCHI, PLANE, SOCHI, Seeing, daily, ring, seen

TABLE = airports()


def by(number: int, flight: Flight, minutes: float = 0.0) -> Flight:
    """The flight of another aircraft, some minutes later."""
    name = {"icao24": f"a0000{number}", "registration": f"RA-0000{number}"}
    return replace(flight, **name, takeoff=flight.takeoff + timedelta(minutes=minutes))


EAST = replace(PLANE, destination=NOVOSIBIRSK)

DEEDS = {
    "leg.diversion": by(1, diverted(PLANE, TABLE, 0.85, MINVODY)),
    "leg.turn_back": by(2, replace(PLANE, over=((52.5, 38.2),), destination=MOSCOW)),
    "flight.holding": by(3, replace(PLANE, hold=Hold(to_go_nm=40, minutes=15))),
    "flight.circling": by(4, replace(PLANE, over=ring(51.0, 39.0, 5, left=True))),
    "transponder.lost": by(5, silent_from(EAST, BEGIN + timedelta(hours=1), BEGIN + timedelta(minutes=100))),
}
"""What a flight does that each kind of event comes of."""


def derived(model: Model, batches: Sequence[pa.Table], *, restart: bool = False) -> list[Leg]:
    """The legs of batches in their order, long afterwards."""
    return [leg for _, leg in sorted(derived_with(model, batches, restart=restart).items())]


@cache
def model() -> Model:
    """History in which everybody goes from Moscow to Sochi, and nearly all of the traffic is seen."""
    nothing = Model(TABLE, Seeing(TABLE), Registry().who)
    return replace(nothing, prior=Seeing(TABLE, legs_table(derived(nothing, [seen(daily(PLANE, 12), every_s=120.0)]))))


@cache
def flown(kind: str) -> pa.Table:
    """The positions of the aircraft that does something, and of two flights after it, in order of time."""
    first = DEEDS[kind]
    back = onward(first, TABLE, timedelta(hours=2), NOVOSIBIRSK if first.destination != NOVOSIBIRSK else SOCHI)
    on = onward(back, TABLE, timedelta(hours=2), MINVODY)
    return seen([first, back, on]).sort_by("timestamp")


def cut(positions: pa.Table, shares: Sequence[float], shuffled: random.Random) -> list[pa.Table]:
    """Rows in order of time as batches, each in an order of its own."""
    edges = [0, *sorted(round(share * len(positions)) for share in shares), len(positions)]
    return [
        positions.slice(a, b - a).take(pa.array(shuffled.sample(range(b - a), b - a), pa.int64())) for a, b in pairwise(edges)
    ]


def kinds(legs: Sequence[Leg]) -> list[str]:
    return [event.kind for leg in legs for event in leg.events]


cuts = st.lists(st.floats(0.0, 1.0), max_size=5)
randoms = st.randoms(use_true_random=False)


@settings(max_examples=tries(12), deadline=None)
@given(st.sampled_from(sorted(DEEDS)), cuts, randoms, st.floats(0.2, 1.0))
def test_what_legs_did_depends_on_the_positions_alone(kind: str, shares: list[float], order: random.Random, until: float) -> None:
    """One batch or many, in any order within each, with restarts in between, up to any moment: the same events, to the last
    digit, of legs that are settled and of those that may still change."""
    positions = flown(kind).slice(0, round(until * len(flown(kind))))
    assert derived(model(), cut(positions, shares, order), restart=True) == derived(model(), [positions])


def test_each_of_the_flights_does_what_it_is_to_do() -> None:
    for kind in DEEDS:
        assert kinds(derived(model(), [flown(kind)])) == [kind]


# ----------------------------------------------------------------------------------------------------------------------- meetings

SECOND = replace(by(2, PLANE), origin=NOVOSIBIRSK)
BESIDE = replace(by(3, PLANE, 1 / 3), destination=MINVODY, over=(OFF_SOCHI,))
FIRST = replace(by(1, PLANE), over=(OFF_SOCHI,))


@cache
def met() -> pa.Table:
    """Three aircraft of which two fly side by side and two stand at one airport, one of them after a flight of its own."""
    away = onward(FIRST, TABLE, timedelta(hours=6), MOSCOW)
    return seen([FIRST, away, SECOND, BESIDE]).sort_by("timestamp")


def meetings_of(legs: Sequence[Leg], order: random.Random | None = None) -> tuple[Event, ...]:
    """Who met whom, the aircraft asked about in some order."""
    names = sorted({leg.aircraft for leg in legs})
    if order is not None:
        order.shuffle(names)
    return meetings({name: [leg for leg in legs if leg.aircraft == name] for name in names}, TABLE, lambda leg, end, ident: 0.0)


@settings(max_examples=tries(6), deadline=None)
@given(cuts, randoms)
def test_who_met_whom_depends_on_the_positions_alone(shares: list[float], order: random.Random) -> None:
    """However the positions came in, and in whatever order the aircraft are asked about."""
    told = meetings_of(derived(model(), cut(met(), shares, order), restart=True), order)
    assert told == meetings_of(derived(model(), [met()]))
    assert [event.reason for event in told] == ["ground", "air", "ground"]


FLIES = timedelta(hours=2)

STAYS_H = (2, 9, 30, 60, 90, 130)
"""Between two flights; who stands for more than two days is parked."""


@cache
def some_leg() -> Leg:
    return derived(model(), [flown("leg.turn_back")])[0]


def flight(name: str, origin: str, destination: str, takeoff: datetime) -> Leg:
    """A leg of two hours, seen from stand to stand."""
    like, down = some_leg(), takeoff + FLIES
    ends = [
        replace(like.origin, airport=place, time=time, earliest=time, latest=time)
        for place, time in ((origin, takeoff), (destination, down))
    ]
    said = {"leg_id": f"{name}-{takeoff:%Y%m%dT%H%M%S}", "icao24": name, "registration": None, "way": b"", "events": ()}
    return replace(like, origin=ends[0], destination=ends[1], first_seen=takeoff, last_seen=down, **said)


@st.composite
def comings_and_goings(draw: st.DrawFn) -> list[Leg]:
    """The legs of two aircraft between three airports."""
    legs = []
    for name in ("a00001", "a00002"):
        time = BEGIN + timedelta(hours=draw(st.integers(0, 48)))
        for origin, destination in pairwise(draw(st.lists(st.sampled_from([MOSCOW, SOCHI, MINVODY]), min_size=3, max_size=5))):
            legs.append(flight(name, origin, destination, time))
            time += FLIES + timedelta(hours=draw(st.sampled_from(STAYS_H)))
    return legs


@pytest.mark.parametrize(("hours", "told"), [(100, 1), (80, 0), (30, 1)])
def test_who_was_parked_is_there_again_when_it_leaves(hours: int, told: int) -> None:
    """Four and a half days in Sochi: another one meets it that comes while it is about to leave, or has just come."""
    parked = [flight("a00001", MOSCOW, SOCHI, BEGIN), flight("a00001", SOCHI, MOSCOW, BEGIN + timedelta(hours=110))]
    visits = [
        flight("a00002", MOSCOW, SOCHI, BEGIN + timedelta(hours=hours)),
        flight("a00002", SOCHI, MOSCOW, BEGIN + timedelta(hours=hours + 4)),
    ]
    assert len([event for event in meetings_of([*parked, *visits]) if event.airports == (SOCHI,)]) == told


@settings(max_examples=tries(8), deadline=None)
@given(legs=comings_and_goings())
def test_meetings_that_were_looked_for_time_and_again_are_those_of_all_legs(
    legs: list[Leg], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As live looks for them, by the legs of the last days, while old legs go into files. Meetings of which
    something becomes known when they are older than what it looks for anew are left out: here it looks once a day, and that
    an aircraft left is known when it has landed."""
    folder, day = tmp_path_factory.mktemp("met"), timedelta(days=1)
    (folder / "mine.csv").write_text("icao24\na00001\na00002\n")
    pipe = Pipeline(TABLE, Registry([read_watchlist(folder / "mine.csv")]))
    with Store(folder / "store") as store:
        now, last = BEGIN, max(map(landed, legs)) + 8 * day
        while now < last:
            store.legs.put(leg for leg in legs if now - day < landed(leg) <= now)
            store.legs.file_settled(now - timedelta(days=SETTLED_AFTER_DAYS))
            backfill.note_meetings(store, pipe, pipe.start(legs_table([])), now)
            now += day
        found = store.events.between()
    expected = meetings_of(legs)
    long = [event for event in expected if event.until - event.since > backfill.MEETINGS_RENEWED - day - FLIES]
    apart = [e for e in found if not any(e.airports == x.airports and x.since <= e.until and e.since <= x.until for x in long)]
    assert [met_as(event) for event in apart] == [met_as(event) for event in expected if event not in long]


def landed(leg: Leg) -> datetime:
    assert leg.last_seen is not None
    return leg.last_seen


def met_as(event: Event) -> tuple[object, ...]:
    """A meeting but for the revisions of its legs."""
    return event.event_id, event.aircraft, event.since, event.until, event.words
