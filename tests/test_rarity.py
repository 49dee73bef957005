"""Rarity: counted from the days before, and only from days on which it would have been seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightwatch import rarity
from flightwatch.places import Airports
from flightwatch.rarity import Baseline, Exposure
from flightwatch.records import Aircraft, Counted, Leg, Scope, Target, legs_table
from tests.examples import tries
from tests.test_alerts import leg

KOREA = Target((), ("KP",))
STATE = "Russian Air Force"
DAY = date(2024, 3, 1)


def flown(
    number: int, days_before: float, origin: str = "UUMU", to: str = "ZKPY", aircraft: str = "15521f", **more: object
) -> Leg:
    """A leg that took nine hours and began some days before `DAY`."""
    begun = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) - timedelta(days=days_before)
    made = leg(f"{aircraft}-{number:04d}", origin=(origin, 1.0, "observed"), to=(to, 0.93, "inferred"))
    shift = begun - (made.first_seen or begun)
    moved = {
        end: replace(
            getattr(made, end),
            **{
                f: getattr(getattr(made, end), f) + shift
                for f in ("time", "earliest", "latest")
                if getattr(getattr(made, end), f)
            },
        )
        for end in ("origin", "destination")
    }
    times = {"first_seen": begun, "last_seen": begun + timedelta(hours=8)}
    return replace(made, icao24=aircraft, **moved, **times, **more)  # type: ignore[arg-type]  # fields of a leg


def history(legs: list[Leg], airports: Airports, *exposures: Exposure) -> Baseline:
    return Baseline(airports, legs_table(legs), exposures)


def who(icao24: str = "15521f", registration: str = "RA-86559", operator: str | None = STATE) -> Aircraft:
    return Aircraft(icao24, registration, "IL62", operator)


def world(days: int) -> Exposure:
    return Exposure(Scope("world"), DAY - timedelta(days=days), DAY)


def sentences(baseline: Baseline, aircraft: Aircraft, day: date = DAY) -> list[str]:
    return [r.sentence for r in rarity.rarities(baseline, KOREA, aircraft, day)]


# -------------------------------------------------------------------------------------------------------------------- counting


def test_only_what_was_over_before_the_day_counts(airports: Airports) -> None:
    """A process that starts anew, or a backfill, says the same of a day as live did on it."""
    legs = [flown(1, 200), flown(2, 10), flown(3, 0.2), flown(4, -3)]
    baseline = history(legs, airports, Exposure(Scope("world"), DAY - timedelta(days=365), DAY + timedelta(days=30)))
    counted = [rarity.count(baseline, "tail", KOREA, who(), DAY + timedelta(days=d)).count for d in (-300, -50, 0, 1, 20)]
    assert counted == [0, 1, 2, 3, 4]


def test_who_counts(airports: Airports) -> None:
    legs = [
        flown(1, 20),
        flown(1, 30, aircraft="15520a", registration="RA-85042", typecode="T154"),
        flown(2, 40, aircraft="c0ffee", registration="P-885", operator="Air Koryo", typecode="IL62"),
        flown(3, 50, to="ZBAA"),
    ]
    baseline = history(legs, airports, world(365))
    found = {of: rarity.count(baseline, of, KOREA, who(), DAY) for of in ("tail", "fleet", "type", "anybody")}
    assert {of: counted.count for of, counted in found.items()} == {"tail": 1, "fleet": 2, "type": 2, "anybody": 3}
    assert {counted.observed_days for counted in found.values()} == {365}


def test_days_count_only_where_the_aircraft_would_have_been_seen(airports: Airports) -> None:
    """A watchlist poll says nothing of others, a press report nothing of anybody."""
    own = Exposure(Scope("aircraft", ("15521f",)), DAY - timedelta(days=30), DAY)
    press = Exposure(Scope("reported"), DAY - timedelta(days=900), DAY)
    baseline = history([flown(1, 20)], airports, own, press)
    assert rarity.count(baseline, "tail", KOREA, who(), DAY).observed_days == 30
    assert rarity.count(baseline, "tail", KOREA, who("15520a", "RA-85042"), DAY).observed_days == 0
    assert rarity.count(baseline, "anybody", KOREA, who(), DAY).observed_days == 0


def test_days_of_two_exposures_count_once(airports: Airports) -> None:
    baseline = history([], airports, world(40), world(25), world(0))
    assert rarity.count(baseline, "tail", KOREA, who(), DAY).observed_days == 40


def test_visits_from_days_that_nobody_watched_say_nothing_of_how_often(airports: Airports) -> None:
    """Press reports of years before the watching began: told, but not divided by the days of watching."""
    reports = [replace(flown(i, 400 + 100 * i), leg_id=f"listed-{i}", source="listed", feeds=("reported", "l")) for i in range(6)]
    baseline = history([*reports, flown(90, 20)], airports, world(95))
    assert rarity.count(baseline, "tail", KOREA, who(), DAY) == Counted(1, 95, unwatched=6)
    assert sentences(baseline, who())[0] == (
        "One earlier visit of RA-86559 to North Korea in the 95 observed days before, on 10 Feb 2024;"
        " on record from other days: 6 more, the last on 26 Jan 2023. Expected: 4.4 a year, 0 to 10 in any one (a 90% interval)."
    )
    assert sentences(history(reports, airports, world(95)), who())[0] == (
        "No earlier visit of RA-86559 to North Korea in the 95 observed days before;"
        " on record from other days: 6, the last on 26 Jan 2023. Expected: 0.73 a year, 0 to 2 in any one (a 90% interval)."
    )


@pytest.mark.parametrize("of", ["fleet", "type"])
def test_an_operator_or_type_that_is_not_known_is_not_rare(of: str, airports: Airports) -> None:
    stranger = Aircraft("abcdef", "XX-1")
    assert rarity.count(history([flown(1, 20)], airports, world(365)), of, KOREA, stranger, DAY) == Counted(0, 0)


def test_a_list_with_registrations_alone_is_of_the_same_aircraft(airports: Airports) -> None:
    """D-ABCD has no arithmetic: its address is known from what the feed says."""
    listed = [
        replace(flown(i, 20 + i), icao24=None, registration="D-ABCD", source="listed", feeds=("import", "l")) for i in (1, 5)
    ]
    tracked = flown(9, 21, aircraft="3c1234", registration="D-ABCD")
    known = Aircraft("3c1234", "D-ABCD")
    assert rarity.count(history(listed, airports, world(365)), "tail", KOREA, known, DAY).count == 2
    assert rarity.count(history([*listed, tracked], airports, world(365)), "tail", KOREA, known, DAY).count == 2, (
        "one of them twice"
    )


def test_a_flight_that_was_listed_and_tracked_is_one(airports: Airports) -> None:
    """Lists give local days, so a day's difference is the same flight; two in a list stay two; each stands for one."""
    tracked = flown(1, 20)
    listed = replace(flown(2, 20.6), leg_id="listed-a", source="listed", feeds=("import", "one"))
    other = replace(flown(3, 25), leg_id="listed-b", source="listed", feeds=("import", "one"))
    elsewhere = replace(flown(4, 20.2, to="ZBAA"), leg_id="listed-c", source="listed", feeds=("import", "one"))
    again = replace(flown(5, 20.7), leg_id="listed-d", source="listed", feeds=("import", "one"))
    reported = replace(flown(6, 24.8), leg_id="listed-e", source="listed", feeds=("reported", "two"))

    def count(legs: list[Leg]) -> int:
        return rarity.count(history(legs, airports, world(365)), "tail", KOREA, who(), DAY).count

    assert count([tracked, listed]) == 1
    assert count([tracked, listed, other, elsewhere]) == 2
    assert count([listed, other]) == 2
    assert count([tracked, listed, again]) == 2, "two flights of a list on one day are two"
    assert count([listed, other, reported]) == 2, "one flight in two lists is one"


def test_two_domestic_flights_of_a_day_are_not_one_because_they_share_a_country(airports: Airports) -> None:
    tracked = flown(1, 20, origin="KJFK", to="KMIA")
    listed = replace(flown(2, 20.3, origin="KLAX", to="KSFO"), leg_id="listed-a", source="listed", feeds=("import", "one"))
    us = Target((), ("US",))
    assert rarity.count(history([tracked, listed], airports, world(365)), "tail", us, who(), DAY).count == 2


def test_a_leg_takes_the_place_of_what_was_known_of_it(airports: Airports) -> None:
    first = flown(1, 20)
    baseline = history([first], airports, world(365))
    better = baseline.extended(legs_table([replace(first, destination=replace(first.destination, airport="UHWW"))]))
    assert rarity.count(better, "tail", KOREA, who(), DAY).count == 0
    assert rarity.count(baseline, "tail", KOREA, who(), DAY).count == 1


# ----------------------------------------------------------------------------------------------------------------- in words


def test_no_visit_is_said_with_the_days_that_were_watched(airports: Airports) -> None:
    sister = flown(2, 200, to="ZBAA", aircraft="15520a", registration="RA-85042")
    assert sentences(history([flown(1, 100, to="ZBAA"), sister], airports, world(365)), who()) == [
        "No earlier visit of RA-86559 to North Korea in the 365 observed days before."
        " Expected: 0.2 a year, 0 to 1 in any one (a 90% interval).",
        "The one other known aircraft of the Russian Air Force: no visit to North Korea in the 365 observed days before."
        " Expected of all its aircraft: 0.2 a year, 0 to 1 in any one (a 90% interval).",
    ]


def test_a_few_weeks_say_nothing_of_how_often(airports: Airports) -> None:
    """And a year of them does, in numbers that a rule can ask for."""
    few, many = (rarity.rarities(history([flown(1, 9)], airports, world(days)), KOREA, who(), DAY)[0] for days in (29, 365))
    assert few.sentence.endswith(" on 21 Feb 2024. That is too little history to say how often (fewer than 30 days).")
    assert (few.expected_per_year, few.year_low, few.year_high) == (None, None, None)
    assert many.expected_per_year == pytest.approx(1.2, abs=0.1)
    assert (many.year_low, many.year_high) == (0, 3)


def test_where_nobody_looked_nothing_is_called_a_first(airports: Airports) -> None:
    assert sentences(history([], airports), who()) == [
        "No earlier visit of RA-86559 to North Korea on record; on no day before would it surely have been seen.",
        "Whether other aircraft of the Russian Air Force went to North Korea is not known: this history has none of them.",
    ]
    press = flown(1, 60, aircraft="15520a", registration="RA-85042", source="listed")
    assert sentences(history([press], airports, Exposure(Scope("reported"), DAY, DAY)), who())[1] == (
        "Other aircraft of the Russian Air Force: one visit to North Korea on record, on 1 Jan 2024 by RA-85042;"
        " on no day before would they surely have been seen."
    )


def test_earlier_visits_are_counted_and_dated_as_it_was_there(airports: Airports) -> None:
    """Arrived at 18:00 UTC on 19 February: 20 February in Pyongyang."""
    legs = [flown(1, 10.625), flown(2, 100), flown(3, 30, aircraft="15520a", registration="RA-85042")]
    assert sentences(history(legs, airports, world(365)), who()) == [
        "2 earlier visits of RA-86559 to North Korea in the 365 observed days before, the last on 20 Feb 2024."
        " Expected: 2.2 a year, 0 to 5 in any one (a 90% interval).",
        "The one other known aircraft of the Russian Air Force: one visit to North Korea in the 365 observed days before,"
        " on 31 Jan 2024 by RA-85042. Expected of all its aircraft: 3.2 a year, 0 to 7 in any one (a 90% interval).",
    ]


def test_visits_of_others_are_told_too(airports: Airports) -> None:
    """Another state aircraft under another operator: whoever reads `no other of the Air Force` must hear of it."""
    other = flown(3, 30, aircraft="157766", registration="RA-96102", operator="Special Flight Detachment")
    told = sentences(history([other, flown(1, 90)], airports, world(365)), who())
    assert told[-1] == "One visit of others to North Korea on record, on 31 Jan 2024 by RA-96102 (Special Flight Detachment)."


def test_stays_are_known_from_the_next_departure(airports: Airports) -> None:
    legs = [flown(1, 20), flown(2, 18, origin="ZKPY", to="UUMU"), flown(3, 10)]
    first, second = rarity.visits_of_tail(history(legs, airports), KOREA, who(), DAY)
    assert first.left is not None
    assert first.left - first.arrived == pytest.approx(timedelta(days=2), abs=timedelta(hours=12))
    assert second.left is None


# -------------------------------------------------------------------------------------------------------------------- the prior


@settings(max_examples=tries(40), deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["UUMU", "ZKPY", "UHWW", "KSFO", "XX99"]), st.integers(1, 300)), max_size=12),
    st.sampled_from(["15521f", "15520a", "ffff00"]),
    st.sampled_from([None, "UUMU", "ZKPY"]),
)
def test_the_prior_is_a_distribution_whatever_the_history(
    airports: Airports, flights: list[tuple[str, int]], aircraft: str, other: str | None
) -> None:
    legs = [flown(i, days, to=to, aircraft=["15521f", "15520a"][i % 2]) for i, (to, days) in enumerate(flights)]
    row = None if other is None else airports.row(other)
    prior = history(legs, airports).over("destination", DAY, aircraft=aircraft, operator=STATE, typecode="IL62", other=row)
    assert prior.sum() == pytest.approx(1.0)
    assert (prior >= 0).all()
    assert prior[airports.row("KLAX")] > 0, "what was never seen stays possible"


def test_the_prior_leans_to_what_the_aircraft_does(airports: Airports) -> None:
    usual = [flown(i, 10 + i, to="UHWW") for i in range(8)] + [flown(9, 40)]
    baseline = history(usual, airports)
    rows = [airports.row(code) for code in ("UHWW", "ZKPY", "KSFO")]
    own, sister, stranger = (
        baseline.over("destination", DAY, aircraft=aircraft, operator=STATE, typecode="IL62", other=None)[rows]
        for aircraft in ("15521f", "15520a", "ffff00")
    )
    assert own[0] > 0.6 > own[1] > 0.03 > own[2]
    assert np.argmax(sister) == np.argmax(stranger) == 0


def test_what_leaves_at_that_time_of_the_day_goes_there_again(airports: Airports) -> None:
    """From Moscow to Vladivostok in the morning and to Sochi at night, whoever flies it; days without times say nothing."""
    morning = [flown(i, 10.3 + i, to="UHWW", aircraft=f"10000{i}") for i in range(4)]
    night = [flown(i, 10.9 + i, to="URSS", aircraft=f"20000{i}") for i in range(4)]
    baseline = history(morning + night, airports)

    def best(hour: float) -> str:
        minutes = int(hour * 60)
        prior = baseline.over(
            "destination", DAY, aircraft="300000", operator=None, typecode=None, other=airports.row("UUMU"), clock_min=minutes
        )
        return airports.ident[int(np.argmax(prior))]

    assert (best(24 * 0.7), best(24 * 0.1)) == ("UHWW", "URSS")


def test_an_aircraft_goes_back_to_where_it_came_from(airports: Airports) -> None:
    """Twenty others fly from Vladivostok to Moscow; this one came from Sochi, and was never seen leaving."""
    others = [flown(i, 10 + i, "UHWW", "UUMU", aircraft=f"30000{i % 10}") for i in range(20)]
    came = flown(90, 5, "URSS", "UHWW")

    def of_sochi(which: Literal["origin", "destination"], aircraft: str, *legs: Leg) -> float:
        prior = history([*others, *legs], airports).over(
            which, DAY, aircraft=aircraft, operator=None, typecode=None, other=airports.row("UHWW")
        )
        return float(prior[airports.row("URSS")])

    before, after = of_sochi("destination", "15521f"), of_sochi("destination", "15521f", came)
    assert after > 20 * of_sochi("destination", "ffff00", came) > 20 * before, "somebody's way back counts less than one's own"
    there = flown(90, 5, "UHWW", "URSS")
    assert of_sochi("origin", "15521f", there) > 20 * of_sochi("origin", "15521f")


def test_the_way_back_tells_nothing_of_where_some_were_seen_to_go(airports: Airports) -> None:
    """However many came from Moscow: how many go there is known from those that did."""
    gone = [flown(i, 10 + i, "UHWW", to, aircraft=f"30000{i}") for i, to in enumerate(["UUMU", "URSS", "URSS"])]
    came = [flown(i, 10 + i, "UUMU", "UHWW", aircraft=f"4000{i}") for i in range(10, 40)]
    without, with_them = (
        history([*gone, *legs], airports).over(
            "destination", DAY, aircraft="15521f", operator=None, typecode=None, other=airports.row("UHWW")
        )
        for legs in ([], came)
    )
    assert with_them[airports.row("UUMU")] <= without[airports.row("UUMU")]


def leaving_sochi(legs: list[Leg], airports: Airports, *exposures: Exposure, to: str = "ZKPY") -> float:
    """How probably RA-86559 goes somewhere from where it never was before."""
    prior = history(legs, airports, *exposures).over(
        "destination", DAY, aircraft="15521f", operator=STATE, typecode="IL62", other=airports.row("URSS")
    )
    return float(prior[airports.row(to)])


def test_reports_of_others_who_went_there_too_make_it_no_likelier(airports: Airports) -> None:
    """They were told because they went there; flights of days that were watched were not."""
    own = [flown(i, 40 + i, source="listed", feeds=("reported", "press")) for i in range(2)]
    others = [flown(n, 50 + n, aircraft=f"1552{n}", source="listed", feeds=("reported", "press")) for n in range(10, 22)]
    alone, together = leaving_sochi(own, airports), leaving_sochi([*own, *others], airports)
    assert together == pytest.approx(alone, abs=0.01)
    watched = leaving_sochi([*own, *others], airports, world(365))
    assert watched / (1 - watched) > 2 * together / (1 - together)
    elsewhere = Exposure(Scope("aircraft", ("ffff00",)), DAY - timedelta(days=365), DAY)
    assert leaving_sochi([*own, *others], airports, elsewhere) == together


def test_a_place_that_is_new_to_an_aircraft_is_possible_however_much_it_flew_elsewhere(airports: Airports) -> None:
    """Six hundred watched flights to and fro, and two others went to Pyongyang: the reference case is such a flight."""
    places = ("UHHH", "UHWW", "UNNT", "URSS", "USSS")
    own = [flown(i, 700 - i, *((places[i // 2 % 5], "UUMU") if i % 2 else ("UUMU", places[i // 2 % 5]))) for i in range(600)]
    others = [flown(i, 300 + i, aircraft="15520a", source="listed", feeds=("reported", "press")) for i in range(2)]
    prior = history([*own, *others], airports, Exposure(Scope("aircraft", ("15521f",)), DAY - timedelta(days=800), DAY)).over(
        "destination", DAY, aircraft="15521f", operator=STATE, typecode="IL62", other=airports.row("UUMU")
    )
    assert prior[airports.row("ZKPY")] > 1e-4


def test_what_reports_name_more_often_is_likelier(airports: Airports) -> None:
    press = [flown(n, 50 + n, aircraft=f"1552{n}", source="listed", feeds=("reported", "press")) for n in range(10, 16)]
    once = flown(90, 90, to="ZKWS", aircraft="155290", source="listed", feeds=("reported", "press"))
    assert leaving_sochi([*press, once], airports) > 5 * leaving_sochi([*press, once], airports, to="ZKWS") > 0.1


def test_who_is_said_to_have_gone_to_a_city_went_to_one_of_its_airports(airports: Airports) -> None:
    """MOW in three reports: no leg ends in a city, so Moscow's airports share what it gets, those of others nothing."""
    reported = [flown(i, 50 + i, "UHWW", "MOW", source="listed", feeds=("reported", "press")) for i in range(3)]
    plain, after = (
        history(known, airports).over(
            "destination", DAY, aircraft="15521f", operator=STATE, typecode="IL62", other=airports.row("UHWW")
        )
        for known in ([], reported)
    )
    moscow = [airports.row(ident) for ident in ("UUWW", "UUEE", "UUMU")]
    assert after[airports.row("MOW")] == 0.0
    assert (after[moscow] > 10 * plain[moscow]).all()
    assert after[airports.row("ULLI")] < plain[airports.row("ULLI")]
    assert after.sum() == pytest.approx(1.0)


def test_military_aircraft_do_not_go_where_airliners_do(airports: Airports) -> None:
    """Saratov's new airport and the air base at Engels across the river: before anything is known, the first sees more of
    everybody else."""
    saratov, engels = airports.row("UWSG"), airports.row("RU-8602")
    asked = {"aircraft": "155221", "operator": None, "typecode": None, "other": None}
    anybody, air_force = (Baseline(airports).over("destination", DAY, military=flag, **asked) for flag in (False, True))
    assert anybody[saratov] > 10 * anybody[engels]
    assert air_force[saratov] == air_force[engels]
    assert air_force.sum() == pytest.approx(1.0)


def test_a_new_place_is_sought_as_far_away_as_the_type_flies(airports: Airports) -> None:
    """Short hops alone, all from elsewhere: from Munich, Rome gains on New York, which is as large."""
    hops = [("EDDF", "EDDH"), ("LFPG", "LFLL"), ("EGLL", "EGCC"), ("LEMD", "LEBL")]
    legs = [flown(n, 30 + n, *hops[n % 4], aircraft=f"bb{n:04x}", typecode="AT72") for n in range(24)]
    asked = {"aircraft": "cc0001", "operator": None, "typecode": "AT72", "other": airports.row("EDDM")}
    plain, after = (history(known, airports).over("destination", DAY, **asked) for known in ([], legs))
    rome, new_york = airports.row("LIRF"), airports.row("KJFK")
    assert after[rome] / after[new_york] > 2 * plain[rome] / plain[new_york]


def test_the_prior_knows_nothing_of_the_days_to_come(airports: Airports) -> None:
    legs = [flown(i, 10 + i, to="UHWW") for i in range(5)]
    now, later = (
        history(known, airports).over("destination", DAY, aircraft="15521f", operator=None, typecode=None, other=None)
        for known in (legs, [*legs, flown(90, 0), flown(91, -4)])
    )
    assert np.array_equal(now, later)


def test_a_history_of_nothing_is_no_error(airports: Airports) -> None:
    empty = Baseline(airports, None)
    assert rarity.visits_of_tail(empty, KOREA, who(), DAY) == []
    assert isinstance(legs_table([]), pa.Table)
