"""Each kind of condition: when it holds, when it does not, when that is not known, and what it says then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightwatch.aircraft import Registry
from flightwatch.documents import parse, validate
from flightwatch.places import Airports
from flightwatch.places import airports as all_airports
from flightwatch.records import UNKNOWN, Aircraft, Candidate, Counted, End, Event, Leg, Stop, Target
from flightwatch.rules import run_tests
from flightwatch.rules.cases import Case
from flightwatch.rules.definitions import Names, resolved
from flightwatch.rules.evaluation import evaluate, event_case
from flightwatch.rules.language import Condition, Rule
from tests.examples import tries
from tests.test_alerts import leg

NOBODY = Registry([])
WHO = Aircraft("15521f", "RA-86559", "IL62", "Russian Air Force", country="RU", watchlists=("russian-state",), role="military")


def condition(text: str) -> Condition:
    read = validate(parse(text.encode(), "when"), Condition)
    return resolved(read, Names(), all_airports())


def asked(when: str, case: Case) -> tuple[bool | None, str]:
    """Whether a condition holds, and the facts of that in one line."""
    got = evaluate(condition(when), case)
    return got.truth, "; ".join(f"{h.condition}: {h.value}" for h in (got.missed if got.truth is False else got.held))


def flown(when: str, given_: str, subject: str = "leg") -> tuple[bool | None, str]:
    """The same of a made-up flight, as the tests that stand in rules have it."""
    test = f"{{name: t, given: {{aircraft: 15521f, {given_}}}, expect: match}}"
    text = f"id: x\ntitle: T\nsubject: {subject}\nwhen: {{{when}}}\ntests: [{test}]\n"
    rule = validate(parse(text.encode(), "rule"), Rule)
    rule = rule.model_copy(update={"when": resolved(rule.when, Names(), all_airports())})
    (outcome,) = run_tests([rule], NOBODY, all_airports())
    told = outcome.detail.removeprefix("expected match, got no match: ")
    return (True if outcome.passed else None if "not known whether" in told else False), told


# -------------------------------------------------------------------------------------------------------------------- aircraft


@pytest.mark.parametrize(
    ("when", "truth", "told"),
    [
        (
            "{registration: ra-865*, role: [state, military]}",
            True,
            "registration ra-865*: RA-86559; role state, military: military",
        ),
        ("{country: [RU, BY], operator: '* air force'}", True, "operator * air force: Russian Air Force; country RU, BY: RU"),
        ("{watchlist: '*'}", True, "watchlist *: russian-state"),
        ("{watchlist: north-*}", False, "watchlist north-*: russian-state"),
        ("{icao24: '1552??', typecode: IL76}", False, "typecode IL76: IL62"),
        ("{callsign: RFF*}", False, "callsign RFF*: not known"),
        ("{military: true}", False, "military: not known"),
    ],
)
def test_aircraft(when: str, truth: bool, told: str, airports: Airports) -> None:
    assert asked(f"aircraft: {when}", Case(WHO, airports)) == (truth, told)


# ------------------------------------------------------------------------------------------------------------------------ time


@pytest.mark.parametrize(
    ("when", "legs", "truth", "told"),
    [
        ("between: 22:00-06:00", "[UUMU-ZKPY 2024-01-01T22:00 2024-01-02T05:00]", True, "Mon 1 Jan 2024 22:00 (UTC)"),
        ("between: 22:00-06:00", "[UUMU-ZKPY 2024-01-01T05:59 2024-01-01T15:00]", True, "Mon 1 Jan 2024 05:59 (UTC)"),
        ("between: 22:00-06:00", "[UUMU-ZKPY 2024-01-01T06:00 2024-01-01T15:00]", False, "Mon 1 Jan 2024 06:00 (UTC)"),
        ("between: 06:00-22:00, of: landing", "[UUMU-ZKPY 2024-01-01T05:00 2024-01-01T22:00]", False, "22:00 (UTC)"),
        ("days: mon", "[UUMU-ZKPY 2024-01-01T23:00 2024-01-02T05:00]", True, "takeoff on mon UTC"),
        (
            "days: [tue], of: landing, zone: local",
            "[UUMU-ZKPY 2024-01-01T10:00 2024-01-01T16:00]",
            True,
            "Tue 2 Jan 2024 01:00 (Asia/Pyongyang)",
        ),
        (
            "days: tue, zone: local",
            "[UUMU-ZKPY 2024-01-01T20:59 2024-01-02T05:00]",
            False,
            "Mon 1 Jan 2024 23:59 (Europe/Moscow)",
        ),
        ("between: 09:00-10:00, zone: local", "[EGLL-LFPG 2024-03-30T09:30 2024-03-30T10:30]", True, "09:30 (Europe/London)"),
        ("between: 09:00-10:00, zone: local", "[EGLL-LFPG 2024-03-31T09:30 2024-03-31T10:30]", False, "10:30 (Europe/London)"),
        ("since: 2024-01-01, until: 2024-02-01", "[UUMU-ZKPY 2024-01-31T23:59 2024-02-01T05:00]", True, "since 2024-01-01"),
        ("since: 2024-01-01, until: 2024-02-01", "[UUMU-ZKPY 2024-02-01T00:00 2024-02-01T05:00]", False, "until 2024-02-01"),
        ("since: 2024-01-01T10:00, zone: local", "[UUMU-ZKPY 2024-01-01T06:59 2024-01-01T15:00]", False, "09:59 (Europe/Moscow)"),
        ("since: 2024-01-01T10:00:00+03:00", "[UUMU-ZKPY 2024-01-01T07:00 2024-01-01T15:00]", True, "07:00 (UTC)"),
    ],
)
def test_time(when: str, legs: str, truth: bool, told: str) -> None:
    got, words = flown(f"time: {{{when}}}", f"legs: {legs}")
    assert got is truth
    assert told in words


def end(airport: str | None, first: datetime | None, last: datetime | None) -> End:
    """An end that was not seen, between two times."""
    middle = first + (last - first) / 2 if first and last else None
    candidates = (Candidate(airport, 0.9), Candidate(UNKNOWN, 0.1)) if airport else (Candidate(UNKNOWN, 1.0),)
    return End(airport, "inferred", 0.9, candidates, "", middle, first, last)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "first", "last", "truth"),
    [
        ("{between: 22:00-06:00}", "2024-01-01T22:30", "2024-01-02T05:30", True),
        ("{between: 22:00-06:00}", "2024-01-01T21:30", "2024-01-02T05:30", None),
        ("{between: 22:00-06:00}", "2024-01-01T06:30", "2024-01-01T21:30", False),
        ("{between: 22:00-06:00}", "2024-01-01T23:00", "2024-01-02T23:00", None),
        ("{between: 12:00-12:01}", "2024-01-01T06:00", "2024-01-01T20:00", None),
        ("{days: [mon, wed]}", "2024-01-01T12:00", "2024-01-03T12:00", None),
        ("{days: [mon, tue]}", "2024-01-01T12:00", "2024-01-02T12:00", True),
        ("{since: 2024-01-01T13:00}", "2024-01-01T12:00", "2024-01-01T15:00", None),
        ("{days: mon, zone: local}", "2024-01-01T20:00", "2024-01-01T21:30", None),
    ],
)
def test_a_time_that_nobody_saw_is_known_only_where_all_of_it_is_alike(
    when: str, first: str, last: str, truth: bool | None, airports: Airports
) -> None:
    flight = replace(leg("a"), origin=end("UUMU", at(first), at(last)))
    case = Case(WHO, airports, start=Stop(flight.origin.candidates, "inferred"), way=(flight,))
    got, told = asked(f"time: {when}", case)
    assert got is truth
    assert "not observed" in told


def test_a_time_or_a_zone_that_is_not_known(airports: Airports) -> None:
    flight = replace(leg("a"), origin=end(None, None, None))
    case = Case(WHO, airports, start=Stop(flight.origin.candidates, "unknown"), way=(flight,))
    assert asked("time: {days: mon}", case) == (None, "takeoff on mon UTC: not known when")
    flight = replace(leg("a"), origin=end(None, at("2024-01-01T10:00"), at("2024-01-01T11:00")))
    assert asked("time: {days: mon, zone: local}", replace(case, way=(flight,)))[1].endswith("not known in which time zone")


# -------------------------------------------------------------------------------------------------------------------- duration

MOSCOW = "UUMU-UHWW 2024-01-01T00:00 2024-01-01T08:30"


@pytest.mark.parametrize(
    ("subject", "when", "legs", "truth", "told"),
    [
        ("leg", "at_least: 8 h", f"[{MOSCOW}]", True, "duration of the leg at least 8 h: 8 h 30 min"),
        ("leg", "at_least: 8 h, at_most: 8.25 h", f"[{MOSCOW}]", False, "at least 8 h and at most 8.25 h: 8 h 30 min"),
        (
            "journey",
            "at_least: 10 h",
            f"[{MOSCOW}, UHWW-ZKPY 2024-01-01T10:00 2024-01-01T11:30]",
            True,
            "journey at least 10 h: 11 h 30 min",
        ),
        (
            "journey",
            "of: leg, at_least: 10 h",
            f"[{MOSCOW}, UHWW-ZKPY 2024-01-01T10:00 2024-01-01T11:30]",
            False,
            "leg at least 10 h: 8 h 30 min",
        ),
        (
            "stay",
            "at_most: 2 h",
            f"[{MOSCOW}, UHWW-ZKPY 2024-01-01T10:00 2024-01-01T11:30]",
            True,
            "stay at most 2 h: 1 h 30 min",
        ),
        (
            "stay",
            "at_least: 2 days",
            f"[{MOSCOW}, UHWW-ZKPY 2024-01-04T10:00 2024-01-04T11:30]",
            True,
            "stay at least 2 days: 3 d 1 h",
        ),
        ("stay", "of: leg, at_least: 8 h", f"[{MOSCOW}, UHWW-ZKPY 2024-01-04T10:00 2024-01-04T11:30]", True, "leg at least 8 h"),
        ("stay", "at_least: 2 days", f"[{MOSCOW}]", False, "no stay that is over"),
    ],
)
def test_duration(subject: str, when: str, legs: str, truth: bool, told: str) -> None:
    """Short stays lie within a journey, long ones between two."""
    got, words = flown(f"duration: {{{when}}}", f"legs: {legs}", subject)
    assert got is truth
    assert told in words


def test_a_flight_that_is_not_over_has_lasted_so_long_at_least(airports: Airports) -> None:
    flying = replace(leg("a", status="airborne"), destination=end(None, None, None))
    assert flying.first_seen
    flying = replace(flying, last_seen=flying.first_seen + timedelta(hours=4))
    case = Case(WHO, airports, way=(flying,))
    assert [asked(f"duration: {{at_least: {h} h}}", case)[0] for h in (3, 5)] == [True, None]
    assert [asked(f"duration: {{at_most: {h} h}}", case)[0] for h in (3, 5)] == [False, None]


def test_taxiing_is_no_flying(airports: Airports) -> None:
    """The first and the last position stand on the ground, the take-off and the landing were seen."""
    begins = at("2024-01-01T10:00")
    up, down = (replace(end("UUMU", t, t), basis="observed") for t in (begins, begins + timedelta(hours=2)))
    seen = {"first_seen": begins - timedelta(minutes=20), "last_seen": begins + timedelta(minutes=140)}
    case = Case(WHO, airports, way=(replace(leg("a"), origin=up, destination=down, status="landed", **seen),))  # type: ignore[arg-type]
    assert asked("duration: {at_least: 121 min}", case) == (False, "duration of the leg at least 121 min: 2 h 0 min")


# -------------------------------------------------------------------------------------------------------------------- positions

POINTS = "[[50, 8, 0], [50, 9, 20000], [50, 10, 30000], [50, 11, 30000], [50, 12, 2000]]"
WAY = f"legs: [EDDF-EDDB 2024-01-01T10:00 2024-01-01T11:00], way: {POINTS}"
HERE = "near: {latitude: 50, longitude: %s, nm: 10}"


@pytest.mark.parametrize(
    ("when", "truth", "told"),
    [
        (HERE % 10, True, "position in 10 nm of 50, 10: 50.00, 9.75 about 1 Jan 10:26 UTC"),
        (HERE % 20, False, "nowhere on its way, as far as seen; the nearest was 299 nm away"),
        (
            HERE % 10 + ", below: 10000, faster: 100",
            False,
            "nowhere on its way, as far as seen: lowest 27,500 ft, fastest 154 kt there",
        ),
        (HERE % 10 + ", above: 25000", True, "above 25000 ft"),
        (HERE % 10 + ", below: 25000", False, "nowhere on its way"),
        (HERE % 10 + ", moving: entering", True, "position entering 10 nm of 50, 10"),
        (HERE % 8 + ", moving: entering", False, "nowhere"),
        (HERE % 8 + ", moving: leaving", True, "position leaving"),
        (HERE % 12 + ", moving: leaving", False, "nowhere"),
        ("below: 5000, above: 1000", True, "position below 5000 ft, above 1000 ft: 50.00, 8."),
        ("faster: 140", True, "faster 140 kt"),
        ("faster: 300", False, "faster 300 kt: nowhere on its way, as far as seen: fastest 154 kt"),
    ],
)
def test_position(when: str, truth: bool, told: str) -> None:
    got, words = flown(f"position: {{{when}}}", WAY)
    assert (got, told in words) == (truth, True), words


def test_what_lies_in_a_hole_of_the_way_is_not_known() -> None:
    hole = WAY.replace("11:00", "20:00")
    assert flown(f"position: {{{HERE % 10}}}", hole) == (True, "position in 10 nm of 50, 10: 50.00, 10.00 about 1 Jan 15:00 UTC")
    got, told = flown(f"position: {{{HERE % 10.5}}}", hole)
    assert got is None
    assert "part of its way was not seen" in told
    assert flown("position: {slower: 100}", hole)[0] is None
    assert flown("position: {above: 100}", "legs: [EDDF-EDDB]")[0] is None, "a flight list keeps no way"


# ---------------------------------------------------------------------------------------------------------------------- history

TO = "legs: [UUMU-ZKPY 2024-01-10T10:00 2024-01-10T19:00]"
BEFORE = "[UUMU-ZKPY 2023-12-01, ZKPY-UUMU 2023-12-02, UUMU-ZKPY 2024-01-05, ZKPY-UUMU 2024-01-06]"
TWICE = f"history: {BEFORE}, watched_since: 2023-01-01"


@pytest.mark.parametrize(
    ("when", "given_", "truth", "told"),
    [
        (
            "visits: {at_least: 2, within: 30 days}",
            f"{TO}, {TWICE}",
            True,
            "visits of tail to the airport within 30 days, at least 2: 2, this one included",
        ),
        ("visits: {at_least: 3, within: 30 days}", f"{TO}, {TWICE}", False, "2, this one included"),
        ("visits: {at_least: 3, within: 60 days, to: country}", f"{TO}, {TWICE}", True, "3, this one included"),
        ("visits: {of: anybody, at_most: 1, within: 3 days}", f"{TO}, {TWICE}", True, "1, this one included"),
        ("visits: {at_most: 1, within: 3 days}", f"{TO}, watched_since: 2024-01-09", None, "not all of the days were watched"),
        ("visits: {at_least: 2, within: 30 days}", f"{TO}, watched_since: 2024-01-09", None, "not all of the days were watched"),
        (
            "dormant: {at_least: 4 days}",
            f"{TO}, {TWICE}",
            True,
            "first flight for 4 days: last flight on record 6 Jan 2024; 4 observed days since",
        ),
        ("dormant: {at_least: 5 days}", f"{TO}, {TWICE}", False, "flew 4 d 10 h before"),
        (
            "dormant: {at_least: 60 days}",
            f"{TO}, watched_since: 2023-12-20",
            None,
            "no earlier flight on record; 21 observed days: too few",
        ),
        (
            "dormant: {at_least: 20 days}",
            f"{TO}, watched_since: 2023-12-20",
            True,
            "no earlier flight on record; 21 observed days",
        ),
        ("first_seen: {}", f"{TO}, {TWICE}", False, "first flight of the aircraft: 4 on record, the last on 6 Jan 2024"),
        ("first_seen: {}", f"{TO}, watched_since: 2023-01-01", True, "none on record in 374 observed days"),
        ("first_seen: {}", f"{TO}, watched_since: 2023-12-20", None, "21 observed days are too few"),
        ("first_seen: {unknown: match}", f"{TO}, watched_since: 2023-12-20", True, "unknown: 21 observed days are too few"),
        ("first_visit: {to: country}", f"{TO}, {TWICE}", False, "2 before"),
        (
            "first_visit: {}",
            f"{TO}, watched_since: 2023-01-01",
            True,
            "first visit of tail to the airport: none in 374 observed days",
        ),
        ("first_visit: {}", f"{TO}, watched_since: 2023-12-20", None, "21 observed days are too few"),
        ("first_visit: {unknown: skip}", f"{TO}, watched_since: 2023-12-20", False, "21 observed days are too few"),
        ("first_visit: {unknown: match}", f"{TO}, watched_since: 2023-12-20", True, "21 observed days are too few"),
        ("rarity: {at_most: 1 per year}", f"{TO}, {TWICE}", False, "2 in 374 observed days"),
        (
            "after: {leg: {origin: {country: KP}}, within: 5 days}",
            f"{TO}, {TWICE}",
            True,
            "after another flight within 5 days: ZKPY-UUMU, 6 Jan 2024",
        ),
        ("after: {leg: {origin: {country: KP}}, within: 4 days}", f"{TO}, {TWICE}", False, "none on record"),
        ("after: {leg: {origin: {country: CN}}, within: 90 days}", f"{TO}, {TWICE}", False, "4 on record, none fits"),
        (
            "after: {leg: {origin: {country: CN}}, within: 90 days}",
            f"{TO}, watched_since: 2024-01-01",
            None,
            "none on record; not all of the days were watched",
        ),
    ],
)
def test_history(when: str, given_: str, truth: bool | None, told: str) -> None:
    got, words = flown(when, given_)
    assert (got, told in words) == (truth, True), words


STAGES = "[UUMU-UHWW 2024-01-10T00:00 2024-01-10T09:00, UHWW-ZKPY 2024-01-10T11:00 2024-01-10T12:30]"
STAGED = f"legs: {STAGES}, watched_since: 2023-01-01"


def test_the_first_flight_of_a_journey_is_not_before_it() -> None:
    """Dormant until it set out, it is still that on the second flight; and no flight of the way was before the way."""
    first = "all: [{destination: {country: KP}}, {origin: {airport: UUMU}}, {dormant: {at_least: 60 days}}]"
    assert flown(first, STAGED, "journey")[0]
    to_stop = "{after: {leg: {destination: {airport: UHWW}}, within: 3 days}}"
    earlier = f"all: [{{origin: {{airport: UUMU}}}}, {{destination: {{country: KP}}}}, {to_stop}]"
    assert not flown(earlier, STAGED, "journey")[0]


def test_a_journey_of_a_test_ends_where_a_journey_of_life_does() -> None:
    both = "all: [{origin: {airport: UUMU}}, {destination: {country: KP}}]"
    apart = STAGED.replace("2024-01-10T11:00 2024-01-10T12:30", "2024-01-10T21:00 2024-01-10T23:00")
    assert flown(both, STAGED, "journey")[0] is True
    got, told = flown(both, apart, "journey")
    assert got is False
    assert told.startswith("UUMU-UHWW: destination North Korea with at least 0.5: observed, 0.00 (UHWW); UHWW-ZKPY: origin UUMU")


def test_via_and_onward() -> None:
    over = "all: [{destination: {country: KP}}, {via: {airport: UHWW}}]"
    assert flown(over, STAGED, "journey")[0] is True
    assert flown(over.replace("UHWW", "UHHH"), STAGED, "journey")[0] is False
    stay = "all: [{at: {airport: UHWW}}, {origin: {country: RU}}, {destination: {near: {airport: ZKPY, nm: 30}}}]"
    assert flown(stay, STAGED, "stay")[0] is True


class Watched:
    """A history in which nothing is known of the days."""

    def count(self, of: str, target: Target, since: datetime | None = None) -> Counted:
        return Counted(0, 0)

    def flights(self, since: datetime | None = None) -> Sequence[Leg]:
        return []


def test_a_message_says_that_history_is_too_short_under_a_not_too(airports: Airports) -> None:
    case = Case(WHO, airports, target=Target(("ZKPY",), ()), history=Watched())
    got, told = asked("all: [{aircraft: {icao24: 15521f}}, {not: {rarity: {at_most: 3 per year}}}]", case)
    assert got is True
    assert told.endswith("not: rarity of tail: at most 3 per year: unknown: 0 observed days are too few")


# ----------------------------------------------------------------------------------------------------------------------- events


def happened(**more: Any) -> Event:
    time = at("2024-01-06T23:30")
    given_: dict[str, Any] = {"event_id": "e", "kind": "flight.circling", "reason": "left", "aircraft": ("15521f",), "count": 9}
    return Event(**given_ | {"since": time, "until": time, "south": 49.9, "north": 50.1, "west": 9.9, "east": 10.1} | more)


@pytest.mark.parametrize(
    ("when", "event", "truth", "told"),
    [
        (
            "event: {kind: [flight.circling, flight.holding], reason: l*}",
            {},
            True,
            "event flight.circling, flight.holding: flight.circling; reason l*: left",
        ),
        ("event: {kind: rendezvous}", {}, False, "event rendezvous: flight.circling"),
        ('squawk: ["70*", "0021"]', {"kind": "squawk.code", "reason": "7001"}, True, "squawk 70*, 0021: 7001"),
        ('squawk: "7700"', {"kind": "squawk.emergency", "reason": "7700"}, True, "squawk 7700: 7700"),
        ('squawk: "7700"', {"kind": "squawk.emergency", "reason": "minfuel"}, False, "squawk 7700: minfuel"),
        ("squawk: 0021", {}, False, "squawk 0021: none, but flight.circling"),
        ("event: {probability: 0.8}", {"probability": 0.7}, False, "probability of at least 0.8: 0.70"),
        ("event: {probability: 0.8}", {"probability": None}, None, "no number"),
        ("at: {near: {latitude: 50, longitude: 10, nm: 5}}", {}, True, "at 5 nm of 50, 10: observed, 50.0, 10.0"),
        ("at: {near: {latitude: 50, longitude: 11, nm: 5}}", {}, False, "50.0, 10.0"),
        (
            "at: {near: {latitude: 50, longitude: 20, nm: 5}}",
            {"evidence": {"began_latitude": 50.0, "began_longitude": 20.0}},
            True,
            "observed, 50.0, 20.0",
        ),
        ("at: {country: DE}", {"airports": ("EDDF",)}, True, "at Germany: observed, EDDF"),
        ("at: {country: DE}", {}, False, "at Germany: observed, 50.0, 10.0"),
        (
            "at: {country: DE, observed: true}",
            {"airports": ("EDDF",), "basis": "inferred"},
            False,
            "at Germany, observed: inferred, EDDF",
        ),
        ("at: {near: {latitude: 50, longitude: 0, nm: 50}}", {"west": -180, "east": 180}, None, "all round the world"),
        ("time: {days: sat, between: 22:00-06:00}", {}, True, "time on sat between 22:00-06:00 UTC: Sat 6 Jan 2024 23:30 (UTC)"),
        (
            "time: {days: sun, zone: local}",
            {"airports": ("EDDF",)},
            True,
            "time on sun local: Sun 7 Jan 2024 00:30 (Europe/Berlin)",
        ),
        ("together: {at_least: 2, aircraft: {role: military}}", {}, True, "at least 2 of its aircraft: 2: RA-86559, RA-86561"),
        ("together: {at_least: 3}", {}, False, "2: RA-86559, RA-86561"),
        ("aircraft: {registration: RA-86561}", {}, True, "registration RA-86561: RA-86561"),
        ("aircraft: {registration: RA-86561, icao24: 15521f}", {}, False, ""),
    ],
)
def test_events(when: str, event: dict[str, Any], truth: bool | None, told: str, airports: Airports) -> None:
    second = replace(WHO, icao24="155221", registration="RA-86561")
    base = {"basis": "observed"}
    got, words = asked(when, event_case(happened(**base | event), [WHO, second], airports))
    assert (got, told in words) == (truth, True), words


# ----------------------------------------------------------------------------------------------------------------------- places


def test_a_region_without_airports_holds_nowhere(airports: Airports) -> None:
    """It is no condition that is left out."""
    case = Case(WHO, airports, place=Stop((Candidate("ZKPY", 1.0),), "observed"), way=(leg("a"),))
    assert asked("destination: {near: {latitude: 0, longitude: -140, nm: 50}}", case)[0] is False
    assert asked("destination: {near: {airport: ZKPY, nm: 5}}", case)[0] is True


def test_observed_only(airports: Airports) -> None:
    places = {basis: Stop((Candidate("ZKPY", 0.9), Candidate(UNKNOWN, 0.1)), basis) for basis in ("observed", "inferred")}  # type: ignore[arg-type]
    when = "destination: {country: KP, observed: true}"
    got = {basis: asked(when, Case(WHO, airports, place=place, way=(leg("a"),))) for basis, place in places.items()}
    assert got["observed"] == (True, "destination North Korea, observed, with at least 0.5: observed, 0.90")
    assert got["inferred"][0] is False


# ------------------------------------------------------------------------------------------------------------------------ logic

LEAVES = {
    "{aircraft: {icao24: 15521f}}": True,
    "{aircraft: {icao24: ffffff}}": False,
    "{destination: {country: KP}}": None,
    "{time: {days: mon}}": None,
    "{position: {above: 100}}": None,
}

nested = st.recursive(
    st.sampled_from(list(LEAVES)),
    lambda inner: st.one_of(
        inner.map(lambda part: f"{{not: {part}}}"),
        st.tuples(st.sampled_from(["all", "any"]), st.lists(inner, min_size=1, max_size=3)).map(
            lambda made: f"{{{made[0]}: [{', '.join(made[1])}]}}"
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=tries(60), deadline=None)
@given(st.lists(nested, min_size=1, max_size=3))
def test_de_morgan(parts: list[str]) -> None:
    """Whatever conditions stand in conditions: not all of them is any of them not, and the other way round."""
    case = Case(WHO, all_airports())
    together, denied = ", ".join(parts), ", ".join(f"{{not: {part}}}" for part in parts)
    for one, other in (("all", "any"), ("any", "all")):
        assert asked(f"not: {{{one}: [{together}]}}", case)[0] is asked(f"{other}: [{denied}]", case)[0]
    for part in parts:
        assert asked(f"not: {{not: {part}}}", case)[0] is asked(part[1:-1], case)[0]
