"""Reported flights between Russia and North Korea, reconstructed, and what an honest detector says of them: how many
flights, which ends were seen, where the others probably were, and which belong together.

Aircraft, days and routes are from press reports; tracks and everything else are made up (see `testing.world.cases`).
The history is the one that ships, without the trip itself: visits that were reported before each flight's day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightwatch.aircraft import address_of
from flightwatch.alerts import Context, decide, message
from flightwatch.config import files_in
from flightwatch.feeds import flightlists
from flightwatch.legs.rows import aircraft_number
from flightwatch.pipeline import Pipeline
from flightwatch.places import airports as all_airports
from flightwatch.places.great_circle import distance_nm
from flightwatch.rarity import Baseline
from flightwatch.records import LEGS, UNKNOWN, End, Finding, Leg, Track
from flightwatch.testing.world import Flight, Receivers, Spoofing, TrueLeg, World, landing, silent_from, true_journeys
from flightwatch.testing.world.cases import BY_NAME, CASES, Case, ends_of, way_of
from tests.examples import tries
from tests.live_runs import shipped_rules, state_registry

EVERY_S = 60.0

TABLE = all_airports()

DARK = {"R26"}
"""Cases of which no feed heard anything."""

LEFT_OPEN = {
    "R24": "lost over the Volga at cruise, an hour from everything",
    "D01": "before any reported visit, and out of sight from three hundred miles on",
    "D04": "two positions on its way up: nobody knows to this day where it went",
    "D08": "of nine hours three were heard on one way, and a quarter of an hour on the other",
}
"""Cases in which a place need not be listed; naming a wrong one is wrong in them, too."""


def wrong_today(reason: str) -> pytest.MarkDecorator:
    """What the program gets wrong for now. A mark that has become untrue fails, and so does any other failure."""
    return pytest.mark.xfail(strict=True, raises=AssertionError, reason=reason)


WRONG_TODAY = {
    "D03": "is sure of Vladivostok, because Air Koryo was seen nowhere else: a flight within the country has no chance",
}


@cache
def history() -> pa.Table:
    """The reported visits that ship with flightwatch, as legs."""
    tables = []
    for path in files_in(["shipped"], "history", Path()):
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        tables.append(flightlists.read(frame, "reported", TABLE, address_of, path.name).legs)
    return pa.concat_tables(tables)


@dataclass(frozen=True)
class Told:
    """What the pipeline makes of a world: its legs, in order of aircraft and time, and what the shipped rules find."""

    legs: tuple[Leg, ...]
    findings: tuple[Finding, ...]

    def of(self, icao24: str) -> list[Leg]:
        return [leg for leg in self.legs if leg.icao24 == icao24]

    def rules(self) -> set[str]:
        return {finding.rule.rule_id for finding in self.findings}


def told(positions: pa.Table, after: timedelta = timedelta(days=1), *, known: pa.Table | None = None) -> Told:
    """The legs as they stand a while after the last position, by the reported visits or another history."""
    pipeline = Pipeline(TABLE, state_registry(), shipped_rules())
    state = pipeline.start(history() if known is None else known)
    if not len(positions):
        return Told((), ())
    state, absorbed = pipeline.absorb(state, positions)
    now = max(positions["timestamp"].to_pylist()) + after
    legs = sorted(
        (*absorbed.settled, *pipeline.all_unsettled(state, now)),
        key=lambda leg: (leg.icao24 or "", leg.first_seen or leg.origin.time or now),
    )
    findings: list[Finding] = []
    for address, mine in groupby(legs, key=lambda leg: leg.icao24 or ""):
        findings += pipeline.judge(state, aircraft_number(address), tuple(mine), now)
    return Told(tuple(legs), tuple(findings))


@cache
def case_told(name: str) -> tuple[tuple[TrueLeg, ...], Told]:
    """The truth of a case and what is told of it."""
    world = BY_NAME[name].world(TABLE)
    truth = world.truth(EVERY_S)
    return truth, told(world.positions(EVERY_S), known=reported_before(truth))


def reported_before(truth: Sequence[TrueLeg]) -> pa.Table:
    """The reported visits without those of the trip itself."""
    first, last = truth[0].takeoff_time - timedelta(days=1), truth[-1].landing_time + timedelta(days=1)
    own = {true.icao24 for true in truth}
    times = [row["takeoff_time"] or row["landing_time"] for row in history().to_pylist()]
    its_own = [icao24 in own and first < time < last for icao24, time in zip(history()["icao24"].to_pylist(), times, strict=True)]
    return history().filter(pa.array(np.logical_not(its_own)))


@cache
def told_without_history(name: str) -> Told:
    """What is told of a case by somebody who begins with it."""
    return told(BY_NAME[name].world(TABLE).positions(EVERY_S), known=LEGS.empty_table())


def pairs(name: str) -> Iterator[tuple[TrueLeg, Leg]]:
    truth, result = case_told(name)
    yield from zip(truth, result.legs, strict=True)


def both_ends(true: TrueLeg, leg: Leg) -> Iterator[tuple[str, bool, End]]:
    """For either end the airport that it was, whether anybody could see it there, and what is told of it."""
    yield true.origin, true.origin_observable, leg.origin
    yield true.destination, true.destination_observable, leg.destination


def ranked(end: End) -> list[str]:
    listed = sorted((c for c in end.candidates if c.airport != UNKNOWN), key=lambda c: -c.probability)
    return [c.airport for c in listed]


def in_country(end: End, country: str) -> float:
    return sum(c.probability for c in end.candidates if TABLE.country_of(c.airport) == country)


def some_of(names: list[str]) -> list[object]:
    """Each third with every run of the tests, all in the slow set."""
    return [name if i % 3 == 0 else pytest.param(name, marks=pytest.mark.slow) for i, name in enumerate(names)]


heard = pytest.mark.parametrize("name", [case.name for case in CASES if case.name not in DARK])


# -------------------------------------------------------------------------------------------------- what holds in every case


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_aircraft_of_a_case_is_in_two_places_at_once(case: Case) -> None:
    """The cases themselves: flights of one aircraft follow each other where the one before ended."""
    truth = case.world(TABLE).truth(EVERY_S)
    for earlier, later in pairwise(truth):
        if earlier.icao24 == later.icao24:
            assert earlier.landing_time < later.takeoff_time
            assert earlier.destination == later.origin


@heard
def test_as_many_legs_are_told_as_were_flown(name: str) -> None:
    truth, result = case_told(name)
    assert [leg.icao24 for leg in result.legs] == [true.icao24 for true in truth]
    for true, leg in pairs(name):
        assert leg.first_seen is not None
        assert leg.last_seen is not None
        assert leg.first_seen < true.landing_time
        assert leg.last_seen > true.takeoff_time


@heard
def test_an_end_is_called_observed_where_it_was_seen_and_nowhere_else(name: str) -> None:
    for true, leg in pairs(name):
        for airport, observable, end in both_ends(true, leg):
            assert (end.basis == "observed") == observable, (true, end)
            assert not observable or end.airport == airport


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(case.name, marks=wrong_today(WRONG_TODAY[case.name])) if case.name in WRONG_TODAY else case.name
        for case in CASES
        if case.name not in DARK
    ],
)
def test_the_place_that_nobody_saw_is_among_the_first_and_no_other_is_named(name: str) -> None:
    for true, leg in pairs(name):
        for airport, observable, end in both_ends(true, leg):
            if not observable:
                assert end.airport in (None, airport), f"{end.airport} {end.probability}, not {airport}"
                assert airport in ranked(end)[:3] or name in LEFT_OPEN, (airport, end.candidates)
                assert end.probability < 1.0


@pytest.mark.parametrize("name", some_of([case.name for case in CASES if case.name not in DARK]))
def test_without_any_history_no_wrong_place_is_named(name: str) -> None:
    truth, _ = case_told(name)
    for true, leg in zip(truth, told_without_history(name).legs, strict=True):
        for airport, _, end in both_ends(true, leg):
            assert end.airport in (None, airport), f"{end.airport} {end.probability}, not {airport}"


@pytest.mark.parametrize("name", ["R19", "R24"])
def test_a_stop_too_far_away_for_the_time_is_no_candidate(name: str) -> None:
    """Lost off Vladivostok, seen again two hours and a quarter later, coming back: Nanjing and back takes longer."""
    out, back = next(
        (a, b) for a, b in pairwise(told_without_history(name).legs) if a.destination.basis != "observed" != b.origin.basis
    )
    assert out.last_seen is not None
    assert back.first_seen is not None
    hours = (back.first_seen - out.last_seen) / timedelta(hours=1)
    border = (42.3, 130.7)
    for ident in ranked(out.destination):
        place = TABLE.get(ident)
        assert place is not None
        away = float(distance_nm(*border, place.latitude, place.longitude))
        assert 2 * away <= 500 * hours, f"{ident}: {away:.0f} nm away, {hours:.1f} h for the way there and back"


@heard
def test_flights_with_short_stays_are_one_journey_and_long_ones_part_it(name: str) -> None:
    truth, result = case_told(name)
    for icao24 in {true.icao24 for true in truth}:
        flown = [len(chain) for chain in true_journeys([true for true in truth if true.icao24 == icao24])]
        told_so = [len(list(chain)) for _, chain in groupby(result.of(icao24), key=lambda leg: leg.journey_id)]
        assert told_so == flown


@heard
def test_what_was_not_seen_on_the_way_is_listed(name: str) -> None:
    """Every hole of half an hour between two positions of a flight, and nothing but flying in it."""
    world = BY_NAME[name].world(TABLE)
    times = np.sort(np.asarray(world.positions(EVERY_S)["timestamp"].cast(pa.int64())))
    for _, leg in pairs(name):
        if len({true.icao24 for true in case_told(name)[0]}) > 1 or leg.first_seen is None or leg.last_seen is None:
            continue
        mine = times[(times >= leg.first_seen.timestamp() * 1e6) & (times <= leg.last_seen.timestamp() * 1e6)]
        holes = int((np.diff(mine) > 30 * 60e6).sum())
        assert len([gap for gap in leg.gaps if gap.end - gap.start > timedelta(minutes=30)]) == holes
        assert {gap.decision for gap in leg.gaps} <= {"flying"}
        assert all(gap.reason for gap in leg.gaps)


# --------------------------------------------------------------------------------------------------------------------- the traps


@pytest.mark.parametrize("name", ["R04", "R05", "R17", "R21", "R22", "R30"])
def test_a_direct_flight_is_one_leg_as_long_and_as_fast_as_reported(name: str) -> None:
    """6,360 to 6,600 km as the crow flies, 8 to 10 hours: the time of the unseen landing bounds the true one."""
    true, leg = next(pairs(name))
    ends = [TABLE.get(ident) for ident in (true.origin, true.destination)]
    assert ends[0] is not None
    assert ends[1] is not None
    straight_km = float(distance_nm(ends[0].latitude, ends[0].longitude, ends[1].latitude, ends[1].longitude)) * 1.852
    assert 6300 < straight_km < 6650
    assert leg.destination.earliest is not None
    assert leg.destination.latest is not None
    assert leg.destination.earliest <= true.landing_time <= leg.destination.latest
    assert leg.origin.time is not None
    assert timedelta(hours=8) < leg.destination.latest - leg.origin.time < timedelta(hours=10.5)


@pytest.mark.parametrize("name", ["R06", "R19", "R20", "R29", "R32"])
def test_a_staged_trip_is_found_from_where_it_began_whatever_its_callsigns(name: str) -> None:
    """Moscow (or Khabarovsk), an hour or more in Vladivostok, Pyongyang: the shortest way is from Vladivostok, and the
    journey ties all of it together."""
    _, result = case_told(name)
    there = next(f for f in result.findings if f.rule.rule_id == "russia-to-north-korea-unscheduled")
    journey = [leg for leg in result.legs if leg.journey_id == there.visit.arrival.journey_id]
    assert journey[0].origin.airport == {"R20": "UHHH"}.get(name, "UUMU")
    assert journey.index(there.visit.arrival) == 1
    if name != "R20":
        assert journey[0].callsign != journey[1].callsign


def test_a_sharp_turn_from_an_innocent_way_is_believed() -> None:
    """Off Shanghai and north for an hour and a half, then east: once the turn is seen, Pyongyang leads; before it, it
    is not named."""
    world = BY_NAME["R10"].world(TABLE)
    first = replace(world, flights=world.flights[:1])
    seen = first.positions(EVERY_S)
    turn = np.argmin(np.abs(np.asarray(seen["longitude"]) - 119.5))
    before, after = (told(seen.slice(0, n), timedelta(minutes=10)).legs[0].destination for n in (int(turn), len(seen)))
    assert before.airport != "ZKPY"
    assert ranked(after)[0] == "ZKPY"


def test_one_flight_under_two_ids_and_feeds_is_one_flight() -> None:
    """The way back from Pyongyang: one feed hears the first half under a callsign, another the rest without one."""
    world = BY_NAME["R05"].world(TABLE)
    back = replace(world.flights[1])
    handed_over = back.takeoff + timedelta(hours=5)
    far = datetime(2030, 1, 1, tzinfo=UTC)
    feeds = (
        Receivers("first", outages=((handed_over, far),)),
        Receivers(
            "second", outages=((datetime(2000, 1, 1, tzinfo=UTC), handed_over + timedelta(minutes=20)),), lacks=("callsign",)
        ),
    )
    (leg,) = told(replace(world, flights=(back,), feeds=feeds).positions(EVERY_S)).legs
    assert leg.feeds == ("first", "second")
    assert leg.callsign == "RFF7237"
    assert leg.destination.airport == "UUMU"


def test_a_signal_that_is_cut_before_the_landing_leaves_it_inferred_with_a_reason() -> None:
    (_, out), (_, back) = pairs("R18")
    assert out.destination.basis == "inferred"
    assert "last seen 19 Sep 11:1" in out.destination.reason
    assert back.origin.basis == "inferred"
    assert out.status == "presumed_landed"
    assert out.landed_probability < 1.0


def test_what_no_feed_heard_is_not_told() -> None:
    """An aircraft stood in Pyongyang on a picture: nothing here claims to know of it."""
    truth, result = case_told("R26")
    assert [true.positions for true in truth] == [0]
    assert result == Told((), ())


def test_of_a_trip_that_was_mostly_dark_the_unseen_end_stays_open() -> None:
    """Heard for the last quarter of an hour before Moscow, after nine hours of silence."""
    true, leg = next(pairs("D08"))
    assert true.unseen_before_s is not None
    assert true.unseen_before_s > 8 * 3600
    assert leg.origin.basis in ("unknown", "inferred")
    assert leg.origin.probability < 0.9
    assert leg.destination.basis == "observed"


@pytest.mark.parametrize("name", ["R20", "R23", "R24"])
def test_the_end_of_a_track_is_not_a_landing(name: str) -> None:
    """Lost near Yaroslavl at cruise, in the fields before Engels at a few thousand feet, south of Kazan: never seen down."""
    *_, (true, leg) = pairs(name)
    assert not true.destination_observable
    assert leg.destination.basis != "observed"
    assert leg.status == "presumed_landed"
    assert leg.landed_probability < 1.0


@settings(max_examples=tries(15), deadline=None)
@given(st.floats(0.02, 0.998))
def test_wherever_a_track_is_cut_no_landing_is_observed(share: float) -> None:
    """The last flight of R23, with the rest of it unseen from any moment in the air."""
    world = BY_NAME["R23"].world(TABLE)
    flight = replace(world.flights[-1], silent=())
    truth = replace(world, flights=(flight,)).truth(EVERY_S)[0]
    cut = flight.takeoff + share * (truth.landing_time - truth.takeoff_time)
    silent = replace(flight, silent=((cut, cut + timedelta(days=2)),))
    (leg,) = told(replace(world, flights=(silent,)).positions(EVERY_S)).legs
    assert leg.destination.basis != "observed"
    assert leg.status != "landed"


@pytest.mark.parametrize(
    ("name", "there", "utc"),
    [("R13", "2024-06-19", "2024-06-18"), ("R16", "2024-08-26", "2024-08-25"), ("R05", "2023-09-26", "2023-09-25")],
)
def test_the_message_gives_the_day_as_it_was_there_and_in_utc(name: str, there: str, utc: str) -> None:
    """The papers print the Korean day, the feeds have the day before."""
    _, result = case_told(name)
    finding = next(f for f in result.findings if f.rule.rule_id == "russia-to-north-korea-unscheduled")
    landing = finding.visit.arrival.destination
    assert landing.time is not None
    assert landing.time.date() == date.fromisoformat(utc)
    assert landing.time.astimezone(ZoneInfo("Asia/Pyongyang")).date() == date.fromisoformat(there)
    text = "\n".join(alert_text(finding))
    assert f"{date.fromisoformat(utc):%-d %b %Y}" in text
    assert f"{date.fromisoformat(there):%-d %b}" in text


def alert_text(finding: Finding) -> Sequence[str]:
    """The facts that somebody would be told."""
    alert = decide(None, [finding]).alert
    assert alert is not None
    return message(finding, alert, Context(TABLE, Track((41.8,), (130.5,), ()), ())).facts


@pytest.mark.parametrize(
    ("why", "takeoff", "landing"),
    [
        ("five hours for 6,420 km", "2024-06-02T16:00:00Z", "2024-06-02T21:00:00Z"),
        ("4:30 printed for 16:30: twenty hours", "2025-07-27T04:25:00Z", "2025-07-28T00:30:00Z"),
    ],
)
def test_a_listed_flight_that_cannot_have_taken_so_long_is_not_taken_as_it_is(why: str, takeoff: str, landing: str) -> None:
    row = {
        "registration": "RA-64057",
        "typecode": "T204",
        "origin": "VKO",
        "destination": "FNJ",
        "takeoff_time": takeoff,
        "landing_time": landing,
    }
    read = flightlists.read(pd.DataFrame([row]), "list", TABLE, address_of, "list")
    taken = read.legs.to_pylist()
    assert read.refused or taken[0]["destination_reason"] != "as the flight list has it", why


def listed(*rows: dict[str, str]) -> pa.Table:
    """Each row from a list of its own."""
    named = {"registration": "RA-86561", "typecode": "IL62", "operator": "Russian Air Force"}
    return pa.concat_tables(
        flightlists.read(pd.DataFrame([named | row]), f"list {n}", TABLE, address_of, f"list {n}").legs
        for n, row in enumerate(rows)
    )


@pytest.mark.parametrize(
    ("why", "rows"),
    [
        (
            "nine in the evening in one copy, nine in the morning in two others",
            ({"takeoff_time": "2024-10-27T12:00:00Z"}, {"takeoff_time": "2024-10-27T00:00:00Z"}),
        ),
        ("printed a day late", ({"landing_time": "2026-02-09T10:30:00Z"}, {"date": "2026-02-10"})),
        ("the day as it was in Moscow, and as it was in Korea", ({"date": "2023-09-25"}, {"date": "2023-09-26"})),
    ],
)
def test_two_reports_of_one_flight_with_different_clocks_are_one_visit(why: str, rows: tuple[dict[str, str], ...]) -> None:
    ends = [row | {"origin": "VVO", "destination": "WOS"} for row in rows]
    baseline = Baseline(TABLE, listed(*ends))
    korea = np.asarray(TABLE.country == "KP")
    assert len(baseline.earlier_visits(date(2027, 1, 1), korea, tail=("155221", "RA-86561"))) == 1, why


def test_crossing_a_country_is_not_going_there() -> None:
    """Shanghai to Vladivostok over Pyongyang, unseen for the half hour that it takes."""
    ((_, leg),) = pairs("R02")
    _, result = case_told("R02")
    assert (leg.origin.airport, leg.destination.airport) == ("ZSPD", "UHWW")
    assert in_country(leg.destination, "KP") == 0
    assert [gap.decision for gap in leg.gaps] == ["flying"]
    assert result.findings == ()


def test_while_it_crosses_it_may_be_landing_and_that_is_taken_back() -> None:
    """Not seen for ten minutes over North Korea, it might be down; seen again, it was not."""
    seen = BY_NAME["R02"].world(TABLE).positions(EVERY_S)
    hole = int(np.argmax(np.diff(np.asarray(seen["timestamp"].cast(pa.int64())))))
    lost = told(seen.slice(0, hole + 1), timedelta(minutes=10)).legs[0]
    assert lost.destination.basis != "observed"
    assert lost.status in ("airborne", "lost")


def test_a_hole_near_hamhung_is_not_a_landing() -> None:
    """Out towards the east coast, lost, found flying the other way."""
    ((_, leg),) = pairs("D05")
    assert all(gap.decision == "flying" for gap in leg.gaps)
    assert "ZKSD" not in ranked(leg.destination)[:1]


@pytest.mark.parametrize(("name", "watched"), [("R31", False), ("R03", False), ("R29", False), ("R32", True)])
def test_a_rule_about_the_route_needs_no_list(name: str, watched: bool) -> None:
    """A business jet, an airframe that lists book elsewhere, a tail that nobody named."""
    _, result = case_told(name)
    assert "russia-to-north-korea-unscheduled" in result.rules()
    assert not watched or "russian-state-to-north-korea" in result.rules()


def test_the_scheduled_service_is_known_and_no_news() -> None:
    """Nordwind's flight to Pyongyang: told of as a leg, found by no rule."""
    (_, out), (_, back) = pairs("R30")
    _, result = case_told("R30")
    assert (out.destination.airport, back.origin.airport) == ("ZKPY", "ZKPY")
    assert not result.rules() & {"russia-to-north-korea-unscheduled", "russian-state-to-north-korea"}


def moved(name: str, to: str) -> Leg:
    """The first flight of a case as it would have been heard had it gone to another airport next door: the same way as
    far as anybody heard it."""
    case = BY_NAME[name]
    hop = case.hops[0]
    elsewhere = replace(hop, route=f"{ends_of(hop.route)[0]}>{to}", over=way_of(hop.route))
    return told(replace(case, hops=(elsewhere,)).world(TABLE).positions(EVERY_S)).legs[0]


FALSE_PLACES = {"Pyongyang": (39.3, 125.7), "Poltava": (49.6, 34.5), "Moscow": (55.6, 37.3)}


@pytest.mark.parametrize("place", FALSE_PLACES)
@pytest.mark.parametrize("heard_down", [True, False])
def test_a_spoofed_place_is_not_where_it_landed_and_raises_nothing(place: str, heard_down: bool) -> None:
    """Moscow to Sochi; from halfway on its signals say another place, to the stand or until they are lost."""
    off = datetime(2024, 11, 1, 6, tzinfo=UTC)
    flight = Flight("15521f", "RA-86559", "IL62", "RFF7100", "UUMU", "URSS", off, military=True)
    if not heard_down:
        flight = silent_from(flight, landing(flight, TABLE) - timedelta(minutes=20))
    false = Spoofing(49.0, 38.0, 900.0, FALSE_PLACES[place], off + timedelta(minutes=60), off + timedelta(hours=5))
    result = told(World((flight,), TABLE, spoofing=(false,)).positions(EVERY_S))
    assert result.findings == ()
    assert not [leg for leg in result.legs if leg.destination.basis == "observed" and leg.destination.airport != "URSS"]
    assert not [leg for leg in result.legs if leg.destination.airport not in (None, "URSS")]


def test_a_spoofed_stretch_that_ends_again_raises_nothing() -> None:
    """Over Pyongyang for forty minutes on the way from Moscow to Sochi, and where it should be after that."""
    off = datetime(2024, 11, 1, 6, tzinfo=UTC)
    flight = Flight("15521f", "RA-86559", "IL62", "RFF7100", "UUMU", "URSS", off, military=True)
    false = Spoofing(49.0, 38.0, 900.0, (39.3, 125.7), off + timedelta(minutes=40), off + timedelta(minutes=80))
    result = told(World((flight,), TABLE, spoofing=(false,)).positions(EVERY_S))
    assert result.findings == ()
    assert result.legs[-1].destination.airport == "URSS"


@pytest.mark.parametrize(
    ("name", "to"),
    [
        pytest.param("R22", "KP-0020", marks=wrong_today("Hwangju is not listed: nobody was seen going there before")),
        pytest.param("R23", "ZKSD", marks=wrong_today("Wonsan is named at 20,000 ft on course for Hamhung, which is not listed")),
        ("R18", "ZKSD"),
    ],
)
def test_where_reports_disagree_on_the_airport_neither_is_ruled_out(name: str, to: str) -> None:
    """Sunan or Hwangju, Wonsan or Hamhung: the tail was never seen going to the second, and goes there."""
    leg = moved(name, to)
    assert in_country(leg.destination, "KP") > 0.9
    assert to in ranked(leg.destination)


def test_a_message_tells_how_far_the_two_leading_airports_are() -> None:
    _, result = case_told("R22")
    finding = next(f for f in result.findings if f.rule.rule_id == "russian-state-to-north-korea")
    assert sum(len(re.findall(r"[\d,]+ nm", fact)) for fact in alert_text(finding)) >= 2
