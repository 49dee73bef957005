"""The filter over columns loses nothing: for any rule and any legs, what it leaves gives the same findings as all legs."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flightwatch import judging
from flightwatch.aircraft import Registry, Watchlist
from flightwatch.aircraft.watchlists import Entry
from flightwatch.backtesting import backtest
from flightwatch.errors import FlightwatchError
from flightwatch.gathering import gather
from flightwatch.legs.rows import aircraft_number
from flightwatch.pipeline import Pipeline, State
from flightwatch.places import airports as all_airports
from flightwatch.rarity import Baseline, Exposure
from flightwatch.rarity.baseline import recorded
from flightwatch.records import UNKNOWN, WAYPOINT, Aircraft, Candidate, End, Finding, Leg, Scope, legs_table
from flightwatch.rules.definitions import Names, resolved
from flightwatch.rules.filtering import possible
from flightwatch.rules.language import MEANT_FOR, Rule
from flightwatch.store import Store
from flightwatch.store.legs import Piece
from tests.examples import tries

TABLE = all_airports()
PLACES = ("UUMU", "UHWW", "ZKPY", "ZBAA", "RKSI")
LISTED = ("155220", "RA-86561", "IL62", "Russian Air Force")
"""An aircraft of which lists alone tell."""

TAILS: tuple[tuple[str, str | None, str | None, str | None], ...] = (
    ("15521f", "RA-86559", "IL62", "Russian Air Force"),
    ("780a51", "B-1234", "B738", "Demo China"),
    ("71bf00", None, None, None),
)
KINDS = {
    "observed": (0.9998, 0.0),
    "sure": (0.96, 0.02),
    "split": (0.62, 0.3),
    "faint": (0.35, 0.3),
    "unknown": (0.0, 0.0),
}
"""Kinds of ends, and the probabilities of their first two airports."""

BEGIN = datetime(2024, 3, 1, tzinfo=UTC)


# ------------------------------------------------------------------------------------------------------------------------ legs


@st.composite
def ends(draw: st.DrawFn, when: datetime | None) -> End:
    """One that was seen, one that is one of several, or nobody knows."""
    kind = draw(st.sampled_from(list(KINDS)))
    a, b = draw(st.permutations(PLACES))[:2]
    chances = KINDS[kind]
    candidates = tuple(Candidate(code, p) for code, p in zip((a, b), chances, strict=True) if p)
    rest = round(1 - sum(chances), 4)
    lead = a if chances[0] >= 0.5 else None
    basis: Any = kind if kind in ("observed", "unknown") else "inferred"
    early, late = (when - timedelta(hours=1), when + timedelta(hours=1)) if when and draw(st.booleans()) else (when, when)
    return End(lead, basis, chances[0], (*candidates, Candidate(UNKNOWN, rest)), "made up", when, early, late)


USUAL = {field.name: None for field in fields(Leg)} | {
    "revision": 1, "landed_probability": 0.9, "status": "landed", "gaps": (), "longest_gap_s": 0.0, "distance_nm": 0.0,
    "positions": 10, "model": "", "source": "tracked", "feeds": ("demo",), "way": b"", "events": (),
}  # fmt: skip


WAYS = (
    b"",
    *(
        np.array([(minutes * 60, *point, 2000) for minutes, *point in points], WAYPOINT).tobytes()
        for points in (
            [(0, 39.0, 110.0), (50, 39.0, 125.7), (60, 39.0, 130.0)],
            [(0, 41.0, 120.0), (40, 37.0, 131.0)],
            [(0, 45.0, 110.0), (50, 34.0, 141.0)],
            [(0, -10.0, 10.0), (30, -12.0, 10.0)],
        )
    ),
)
"""None that was kept, one over the place that rules ask for, two past it between waypoints that are far apart and farther,
and one elsewhere."""


def leg(**given: Any) -> Leg:
    return Leg(**(USUAL | given))


@st.composite
def flown(draw: st.DrawFn) -> list[Leg]:
    """The legs of a few aircraft, some of which go on after short stays."""
    legs: list[Leg] = []
    for icao24, registration, typecode, operator in TAILS:
        at, before = BEGIN + timedelta(hours=draw(st.integers(0, 30))), ""
        for number in range(draw(st.integers(0, 4))):
            leg_id = f"{icao24}-{number}"
            journey = before if before and draw(st.booleans()) else leg_id
            timed, hours = draw(st.booleans()), draw(st.sampled_from([1, 5, 9]))
            over = at + timedelta(hours=hours)
            legs.append(
                leg(
                    leg_id=leg_id,
                    journey_id=journey,
                    icao24=icao24,
                    registration=registration,
                    typecode=typecode,
                    operator=operator,
                    callsign=draw(st.sampled_from([None, "RFF7237", "DMO1"])),
                    first_seen=at,
                    last_seen=over,
                    origin=draw(ends(at if timed else None)),
                    destination=draw(ends(over if timed else None)),
                    status=draw(st.sampled_from(["landed", "presumed_landed", "lost"])),
                    way=draw(st.sampled_from(WAYS)),
                )
            )
            at, before = over + timedelta(hours=draw(st.sampled_from([2, 11, 40]))), journey
    return legs


@st.composite
def listed(draw: st.DrawFn) -> list[Leg]:
    """Earlier flights that two lists tell of, some of which are tracked, too, or stand in both."""
    legs = []
    for number in range(draw(st.integers(0, 6))):
        icao24, registration, typecode, operator = draw(st.sampled_from((*TAILS[:2], LISTED)))
        noon = BEGIN + timedelta(days=draw(st.sampled_from([-150, -100, -20, -3, 0, 1, 2])), hours=12)
        origin, destination = (
            replace(draw(ends(None)), time=noon, earliest=noon - timedelta(hours=12), latest=noon + timedelta(hours=12))
            for _ in range(2)
        )
        legs.append(
            leg(
                leg_id=f"listed-{number}",
                journey_id=f"listed-{number}",
                icao24=draw(st.sampled_from([icao24, None])),
                registration=registration,
                typecode=typecode,
                operator=operator,
                origin=origin,
                destination=destination,
                source="listed",
                feeds=("lists", draw(st.sampled_from(["list-a", "list-b"]))),
                list_order=number,
            )
        )
    return legs


# ----------------------------------------------------------------------------------------------------------------------- rules

PLACE = st.fixed_dictionaries(
    {"probability": st.sampled_from([0.02, 0.3, 0.5, 0.9, 0.97])},
    optional={
        "airport": st.sampled_from(["ZKPY", ["UUMU", "RKSI"]]),
        "country": st.sampled_from(["KP", ["RU", "CN"]]),
        "near": st.just({"latitude": 39.0, "longitude": 125.7, "nm": 60}),
        "observed": st.booleans(),
    },
).filter(lambda p: {"airport", "country", "near"} & set(p))

AIRCRAFT = st.dictionaries(
    st.sampled_from(["registration", "icao24", "typecode", "operator", "callsign", "watchlist", "country"]), st.none(), min_size=1
).flatmap(
    lambda names: st.fixed_dictionaries(
        {
            name: st.sampled_from(
                {
                    "registration": ["RA-*", "B-1234"],
                    "icao24": ["15521f", "7*"],
                    "typecode": ["IL62", "B*"],
                    "operator": ["*air force", "Demo*"],
                    "callsign": ["RFF*", "DMO?"],
                    "watchlist": ["addresses", "callsigns"],
                    "country": ["RU", "CN"],
                }[name]
            )
            for name in names
        }
    )
)
TIME = st.fixed_dictionaries(
    {"of": st.sampled_from(["takeoff", "landing"]), "zone": st.sampled_from(["UTC", "local"])},
    optional={
        "days": st.sampled_from(["fri", ["sat", "sun"]]),
        "between": st.sampled_from(["22:00-06:00", "05:30-12:00"]),
        "since": st.just("2024-03-02"),
        "until": st.just("2024-03-02T20:00"),
    },
).filter(lambda t: {"days", "between", "since", "until"} & set(t))
DURATION = st.fixed_dictionaries(
    {},
    optional={"at_least": st.sampled_from(["4 h", "10 h"]), "at_most": st.sampled_from(["5 h", "1 day"]), "of": st.just("leg")},
).filter(lambda d: {"at_least", "at_most"} & set(d))
LEAVES = {
    "aircraft": AIRCRAFT,
    "origin": PLACE,
    "destination": PLACE,
    "via": PLACE,
    "at": PLACE,
    "time": TIME,
    "duration": DURATION,
    "visits": st.builds(
        lambda of, limit: {"within": "30 days", **of, **limit},
        st.sampled_from([{}, {"to": "country"}, {"of": "fleet"}, {"of": "anybody"}]),
        st.sampled_from([{"at_most": 2}, {"at_least": 2}]),
    ),
    "dormant": st.sampled_from([{"at_least": "30 h"}, {"at_least": "10 days"}]),
    "first_seen": st.sampled_from([{}, {"unknown": "match"}, {"unknown": "skip"}]),
    "after": st.builds(lambda p: {"leg": {"origin": p}, "within": "3 days"}, PLACE),
    "first_visit": st.sampled_from([{"to": "country"}, {"of": "fleet"}, {"of": "type"}, {"of": "anybody", "unknown": "match"}]),
    "rarity": st.builds(
        lambda of, rate: {"of": of, "at_most": rate},
        st.sampled_from(["tail", "fleet", "type", "anybody"]),
        st.sampled_from(["1 per year", "12 per year"]),
    ),
    "position": st.fixed_dictionaries(
        {"near": st.just({"latitude": 39.0, "longitude": 125.7, "nm": 60})},
        optional={"moving": st.sampled_from(["entering", "leaving"]), "below": st.just(3000)},
    )
    | st.just({"below": 3000}),
}


def conditions(subject: str) -> st.SearchStrategy[Any]:
    usable = [name for name in LEAVES if subject in MEANT_FOR.get(name, (subject,))]
    leaf = st.sampled_from(usable).flatmap(lambda name: st.builds(lambda value: {name: value}, LEAVES[name]))
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda part: {"not": part}, inner),
        ),
        max_leaves=5,
    )


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    subject = draw(st.sampled_from(["leg", "journey", "stay"]))
    rule = Rule.model_validate({"id": "r", "title": "R", "subject": subject, "when": draw(conditions(subject))})
    return rule.model_copy(update={"when": resolved(rule.when, Names(), TABLE)})


# ----------------------------------------------------------------------------------------------------------------------- tests


def entry(**given: Any) -> Entry:
    return Entry(**(dict.fromkeys(("icao24", "registration", "typecode", "operator"), None) | {"note": "", "source": ""} | given))


LISTS = Registry(
    [
        Watchlist("addresses", (entry(icao24="15521f", valid_until=date(2024, 3, 2)), entry(icao24="780a51"))),
        Watchlist("callsigns", (entry(callsign="RFF*", typecode="IL62"), entry(callsign="DMO*"))),
    ]
)
"""A list by address, of which an entry ends, and one by callsign."""

WATCHED = [Exposure(Scope("world"), BEGIN.date() - timedelta(days=200), BEGIN.date() + timedelta(days=20))]


@settings(max_examples=tries(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(legs=flown(), before=listed(), rule=rules())
def test_nothing_is_lost(legs: list[Leg], before: list[Leg], rule: Rule) -> None:
    """Every leg with which a rule finds something is among those that the filter leaves."""
    pipeline = Pipeline(TABLE, LISTS, [rule], lambda: WATCHED)
    both = [*legs, *before]
    table = legs_table(both)
    gathered = gather([Piece(np.arange(len(both)), lambda names: table.select(list(names)))], pipeline)
    left = {both[n].leg_id for n in gathered.numbers(possible(rule, gathered.columns)).tolist()}
    assert {found.there.arrival.leg_id for found in judged(pipeline, legs, before)} <= left


def test_ways_that_lead_elsewhere_are_not_looked_at() -> None:
    """Those that nobody kept neither; those that may have come by are."""
    near = {"position": {"near": {"latitude": 39.0, "longitude": 125.7, "nm": 60}}}
    rule = Rule.model_validate({"id": "r", "title": "R", "when": near})
    rule = rule.model_copy(update={"when": resolved(rule.when, Names(), TABLE)})
    legs = [replace(one, way=way) for one, way in zip(CROWD, WAYS, strict=False)]
    table, pipeline = legs_table(legs), Pipeline(TABLE, LISTS, [rule])
    gathered = gather([Piece(np.arange(len(legs)), lambda names: table.select(list(names)))], pipeline)
    assert sorted(gathered.numbers(possible(rule, gathered.columns)).tolist()) == [1, 2, 3]


@settings(max_examples=tries(4), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(legs=flown(), before=listed(), several=st.lists(rules(), min_size=2, max_size=5))
def test_a_backtest_finds_what_live_finds(
    legs: list[Leg], before: list[Leg], several: list[Rule], tmp_path_factory: pytest.TempPathFactory
) -> None:
    _same_findings(legs, before, several, tmp_path_factory)


@pytest.mark.slow
@settings(max_examples=tries(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(legs=flown(), before=listed(), several=st.lists(rules(), min_size=2, max_size=5))
def test_a_backtest_finds_what_live_finds_in_many_skies(
    legs: list[Leg], before: list[Leg], several: list[Rule], tmp_path_factory: pytest.TempPathFactory
) -> None:
    _same_findings(legs, before, several, tmp_path_factory)


def _same_findings(legs: list[Leg], before: list[Leg], several: list[Rule], tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same rules, visits, stages, probabilities, held conditions and sentences, of tracked flights: live judges no
    others."""
    named = [rule.model_copy(update={"id": f"r{number}"}) for number, rule in enumerate(several)]
    pipeline = Pipeline(TABLE, LISTS, named, lambda: WATCHED)
    with Store(tmp_path_factory.mktemp("store")) as store:
        store.legs.put([*legs, *before])
        done = backtest(store, pipeline)
        findings = {f.key: told(done.in_full(f)) for f in done.findings if f.there.arrival.source == "tracked"}
    assert findings == {f.key: told(f) for f in judged(pipeline, legs, before)}


CROWD = [
    leg(
        leg_id=f"crowd-{number}",
        journey_id=f"crowd-{number}",
        icao24=f"15520{number}",
        registration=f"RA-8640{number}",
        operator="Russian Air Force",
        callsign=f"RFF{number}",
        first_seen=BEGIN + timedelta(days=number // 2),
        last_seen=BEGIN + timedelta(days=number // 2, hours=9),
        origin=End("UUMU", "observed", 0.99, (Candidate("UUMU", 0.99), Candidate(UNKNOWN, 0.01)), "", BEGIN, BEGIN, BEGIN),
        destination=End("ZKPY", "inferred", 0.9, (Candidate("ZKPY", 0.9), Candidate(UNKNOWN, 0.1)), "", None, None, None),
        source="tracked",
    )
    for number in range(6)
]
"""Several aircraft that go to one place on three days."""

THERE = [
    Rule.model_validate({"id": "there", "title": "T", "when": {"all": [{"destination": {"country": "KP"}}, *others]}})
    for others in ([], [{"first_visit": {"of": "fleet"}}], [{"visits": {"of": "anybody", "at_least": 3, "within": "30 days"}}])
]


def test_two_processes_find_what_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same order, with the same evidence."""
    pipeline = Pipeline(TABLE, LISTS, [r.model_copy(update={"id": f"r{n}"}) for n, r in enumerate(THERE)], lambda: WATCHED)
    with Store(tmp_path) as store:
        store.legs.put(CROWD)
        one = backtest(store, pipeline)
        monkeypatch.setattr(judging, "WORTH_IT", 0)
        two = backtest(store, pipeline)
        assert [f.rule.rule_id for f in one.findings].count("r0") == len(CROWD)
        assert {f.rule.rule_id for f in one.findings} == {"r0", "r1", "r2"}
        assert two.findings == one.findings
        assert [told(two.in_full(f)) for f in two.findings] == [told(one.in_full(f)) for f in one.findings]


def test_legs_keep_their_numbers_for_who_reads_them_while_others_are_filed(tmp_path: Path) -> None:
    """A backtest reads some columns of all legs, and then the others of a few, while `run` goes on."""
    with Store(tmp_path) as writer, Store(tmp_path, read_only=True) as reader:
        writer.legs.put(CROWD[::-1])
        with reader.catalog.standing_still():
            (piece,) = reader.legs.pieces()
            before = piece.read(["leg_id"])["leg_id"].to_pylist()
            assert writer.legs.file_settled(BEGIN + timedelta(days=9)) == len(CROWD)
            filed = [leg_id for now in writer.legs.pieces() for leg_id in now.read(["leg_id"])["leg_id"].to_pylist()]
            assert filed != before, "filed legs lie in another order"
            numbers, legs = reader.legs.rows(np.arange(len(CROWD)), ["leg_id"])
            assert (numbers.tolist(), legs["leg_id"].to_pylist()) == (list(range(len(CROWD))), before)


def test_of_flights_that_turn_out_to_be_damaged_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Columns of them were read before, so history would count them, and look at them."""
    visits = {"of": "anybody", "at_least": 1, "within": "30 days"}
    asked = {"all": [{"destination": {"country": "KP"}}, {"dormant": {"at_least": "2 days"}}, {"visits": visits}]}
    rule = Rule.model_validate({"id": "there", "title": "T", "when": asked})
    legs = []
    for number in range(4):
        began = BEGIN + timedelta(days=3 * number)
        ids = {"leg_id": f"one-{number}", "journey_id": f"one-{number}"}
        legs.append(replace(CROWD[0], **ids, first_seen=began, last_seen=began + timedelta(hours=9)))
    with Store(tmp_path) as store:
        for some in (legs[:2], legs[2:]):
            store.legs.put(some)
            store.legs.file_settled(BEGIN + timedelta(days=30))
        pipeline = Pipeline(TABLE, LISTS, [rule], lambda: WATCHED)
        assert [f.there.arrival.leg_id for f in backtest(store, pipeline).findings] == [leg.leg_id for leg in legs]
        damaged = next(tmp_path.glob("legs/*one-2*"))
        ids_ = pq.read_metadata(damaged).row_group(0).column(0)
        assert ids_.path_in_schema == "leg_id"
        content = bytearray(damaged.read_bytes())
        content[ids_.data_page_offset + 40] ^= 1
        damaged.write_bytes(content)
        assert [f.there.arrival.leg_id for f in backtest(store, pipeline).findings] == [leg.leg_id for leg in legs[:2]]
    assert damaged.name in caplog.text


def test_a_second_process_that_ends_early_is_told_of_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As where the machine is out of memory."""
    monkeypatch.setattr(judging, "WORTH_IT", 0)
    known = judging.Known(np.arange(1), legs_table(CROWD[:1]))
    record = recorded(legs_table([]), TABLE)
    journeys = [judging.Asked(0, 1, 0, 1, Aircraft(None), several) for several in ([], [None])]
    task = judging.Task(TABLE, [], [], replace(record, legs=known.read), known, known.numbers, journeys, BEGIN)  # type: ignore[arg-type]
    with judging.second_judge(len(journeys)) as other, pytest.raises(FlightwatchError, match="ended early"):
        judging.judge(task, other)
    assert "Traceback" in capfd.readouterr().err, "it says what went wrong"


def told(finding: Finding) -> tuple[object, ...]:
    return finding.stage, finding.probability, finding.held, finding.rarity, finding.earlier, finding.visit, finding.aircraft


def judged(pipeline: Pipeline, legs: list[Leg], before: list[Leg]) -> list[Finding]:
    """What live finds in these legs, and knows of others."""
    state = State(Baseline(TABLE, legs_table([*legs, *before]), WATCHED))
    now = BEGIN + timedelta(days=20)
    return [
        finding
        for icao24, mine in groupby(legs, key=lambda leg: leg.icao24 or "")
        for finding in pipeline.judge(state, aircraft_number(icao24), tuple(mine), now)
    ]
