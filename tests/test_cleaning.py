"""Positions that cannot be true: what is refused and why, what comes of it, and what does not.

What is right for the three noisy files of the real data (read from them by hand, before any rule was written):

file               legs  from                to                     what is wrong with it
noisy_ground       1     LSZH, seen leaving  not seen: 25,075 ft    the height of another aircraft (38,000 ft, in the air) for 90
                         at 14:20            and climbing at the    rows of one place while it stands there at 14:15; five
                                             end                    heights of a minute before while it climbs
noisy_spoofing     1     LTFM, not seen      not seen: 38,000 ft    frozen from 09:04:51; from 09:24:25 to 09:57:46 over Lviv at
                                             over Sweden at the end 38,000 ft and 50 to 68 kt, with a jump of 17 nm; back on its
                                                                    course at 09:58:11 as if nothing had been
noisy_time_issue   1     LPPR, not seen      LSZH, not seen: 1,175  places frozen for up to seven minutes, heights of other
                                             ft on approach         aircraft (25,175 and 38,000 ft) meanwhile
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flightwatch import legs as leg_stage
from flightwatch.feeds.sanity import checked
from flightwatch.legs import LegState
from flightwatch.places.great_circle import destination
from flightwatch.records import Event, Leg
from tests.conftest import positions, real
from tests.test_legs import SFO, flying, ground, legs_of, model

Rows = list[dict[str, Any]]


def taken(*tables: pa.Table) -> tuple[LegState, Counter[str], dict[str, Event]]:
    """The state after some batches; what was refused or not believed, by reason; the events as they stand."""
    state, counts, events = LegState(), Counter[str](), dict[str, Event]()
    for table in tables:
        state, outcome = leg_stage.advance(state, table, model())
        counts += Counter({**outcome.refused, **outcome.doubted})
        events |= {event.event_id: event for event in outcome.events}
    return state, counts, events


def judged(rows: Sequence[dict[str, Any]]) -> tuple[Counter[str], list[Event]]:
    _, counts, events = taken(positions(in_time(rows)))
    return counts, list(events.values())


def in_time(rows: Sequence[dict[str, Any]]) -> Rows:
    return sorted(rows, key=lambda row: row["at"])


def at(seconds: float, where: tuple[float, float], **more: Any) -> dict[str, Any]:
    return {"at": seconds, "icao24": "abc123", "latitude": where[0], "longitude": where[1], "onground": False, **more}


def cruising(start: float, minutes: float, every: float = 10, **more: Any) -> Rows:
    """East over Kansas, as if it had left from (40, -100) at time 0."""
    lat, lon = destination(40.0, -100.0, 90, 450 * start / 3600)
    return flying(start, minutes, (float(lat), float(lon)), 90, 450, (35_000, 35_000), every, **more)


def circling(start: float, minutes: float, centre: tuple[float, float], every: float = 10, **more: Any) -> Rows:
    """A circle of one mile at 120 kt."""
    times = np.arange(0, minutes * 60, every)
    lat, lon = destination(*centre, np.degrees(times * 120 / 3600), 1.0)
    given = {"groundspeed": 120.0, "altitude": 35_000.0} | more
    return [at(start + t, (a, o), **given) for t, a, o in zip(times.tolist(), lat.tolist(), lon.tolist(), strict=True)]


# ----------------------------------------------------------------------------------------------------------------- real files


def noisy(name: str) -> tuple[list[Leg], Counter[str], list[Event], pd.DataFrame]:
    """The legs of a noisy file as they stand at its end, what was not believed, the events, and the file."""
    frame = pd.read_json(real(f"noisy/noisy_{name}.json.gz"), dtype={"icao24": str})
    frame["timestamp"] = frame["timestamp"].dt.tz_localize("UTC")
    table, _ = checked(pa.Table.from_pandas(frame.drop(columns="last_position", errors="ignore"), preserve_index=False))
    state, counts, events = taken(table)
    drawn = leg_stage.unsettled(state, leg_stage.aircraft_of(state), model(), frame["timestamp"].max().to_pydatetime())
    return [leg for legs in drawn.values() for leg in legs], counts, list(events.values()), frame


def test_noise_on_the_ground_is_one_take_off() -> None:
    (leg,), counts, events, _ = noisy("ground")
    assert (leg.origin.airport, leg.origin.basis) == ("LSZH", "observed")
    assert leg.origin.time is not None
    assert datetime(2019, 11, 11, 14, 20, 15, tzinfo=UTC) < leg.origin.time < datetime(2019, 11, 11, 14, 20, 30, tzinfo=UTC)
    assert (leg.destination.airport, leg.status) == (None, "airborne")
    assert (counts["height"], events) == (5, [])


def test_a_spoofed_flight_is_one_leg_and_the_wrong_places_are_an_event() -> None:
    (leg,), counts, (event,), frame = noisy("spoofing")
    over_lviv = frame["latitude"].between(49.6, 49.8) & frame["longitude"].between(23.6, 24.2)
    moved = (frame["latitude"].diff() != 0) | (frame["longitude"].diff() != 0)
    assert leg.positions == int((moved & ~over_lviv & frame["latitude"].notna()).sum())
    assert (leg.origin.airport, leg.destination.airport, leg.status) == ("LTFM", None, "airborne")
    assert [gap.decision for gap in leg.gaps] == ["flying"]
    assert leg.distance_nm == pytest.approx(1055, rel=0.05), "straight over the hole, not by Lviv"
    assert (event.reason, event.aircraft, event.count) == ("spoofed", ("4baac6",), counts["spoofed"])
    assert (event.south, event.north) == pytest.approx((49.66, 49.72), abs=0.01)
    assert (event.since, event.evidence["slowest_kt"]) == (datetime(2024, 9, 17, 9, 24, 25, tzinfo=UTC), 50)
    assert counts["ghost"] + counts["elsewhere"] + counts["two_emitters"] == 0


def test_frozen_places_and_heights_of_others_leave_one_leg() -> None:
    (leg,), counts, events, frame = noisy("time_issue")
    moved = (frame["latitude"].diff() != 0) | (frame["longitude"].diff() != 0)
    assert leg.positions == int(moved.sum()), "every place that is new is believed, and no other"
    assert (leg.origin.airport, leg.destination.airport) == ("LPPR", "LSZH")
    assert [gap.decision for gap in leg.gaps] == []
    assert (counts["height"], events) == (14, [])


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("airline_multileg", {"height": 1}),  # a single 54,400 ft at cruise
        # radar: zigzags of 2,000 kt over Sofia; 500 ft/s after take-off
        pytest.param("at72_first_half", {"ghost": 12, "height": 1}, marks=pytest.mark.slow),
    ],
)
def test_clean_tracks_pass(name: str, refused: dict[str, int]) -> None:
    """All that is refused of 56,000 positions besides places that are said again."""
    _, counts, _ = taken(checked(pq.read_table(real(f"tracks/{name}.parquet")))[0])
    assert {reason: n for reason, n in counts.items() if n and reason != "repeat"} == refused


# --------------------------------------------------------------------------------------------------------------- made-up faults


def test_a_position_that_cannot_be_reached_is_a_ghost() -> None:
    """Vladivostok to Moscow in ten seconds."""
    rows = flying(0, 20, (44.9, 131.2), 0, 450, (33_000, 33_000), every=10)
    counts, (event,) = judged([*rows, at(305, (55.5915, 37.2615), groundspeed=450.0, altitude=33_000.0)])
    assert counts == Counter(ghost=1)
    assert (event.reason, event.count) == ("ghost", 1)
    assert event.evidence["farthest_nm"] == pytest.approx(3450, rel=0.05)


def test_standing_at_an_airport_in_flight_is_spoofed() -> None:
    """At 12,000 ft and 280 kt, eight seconds later at Vnukovo's reference point without any speed."""
    rows = flying(0, 5, (55.3, 37.4), 0, 280, (12_000, 12_000), every=8)
    counts, (event,) = judged([*rows, at(204, (55.5915, 37.2615), groundspeed=0.0, altitude=12_000.0)])
    assert counts == Counter(spoofed=1)
    assert event.reason == "spoofed"


def test_a_spoofed_circle_makes_no_landing_and_the_flight_goes_on() -> None:
    """Half an hour around an airport, at the end on its ground, between two pieces of a flight that is somewhere else."""
    around = (36.12, -97.1)
    wrong = circling(1200, 20, around) + [
        at(2400 + 10 * i, around, groundspeed=0.0, altitude=None, onground=True) for i in range(60)
    ]
    rows = cruising(0, 20) + wrong + cruising(3000, 20)
    counts, (event,) = judged(rows)
    (leg,) = legs_of(rows)
    assert (leg.status, leg.destination.basis) == ("airborne", "unknown")
    assert leg.positions == 240
    assert (event.reason, event.count) == ("spoofed", 180)
    assert counts["elsewhere"] + counts["spoofed"] == 180, "it takes four minutes to see that it stays there"
    assert event.north - event.south < 0.05


def test_a_jump_there_and_back_is_spoofed() -> None:
    rows = cruising(0, 20) + circling(1200, 3, (36.12, -97.1)) + cruising(1380, 20)
    counts, _ = judged(rows)
    assert (counts["spoofed"] >= 4, counts["elsewhere"] + counts["spoofed"]) == (True, 18)
    assert legs_of(rows)[0].positions == 240


def test_a_spoofed_place_that_comes_again_after_a_silence_lands_nobody() -> None:
    """Heard for five minutes, then again for five minutes half an hour later, on the ground."""
    around = (36.12, -97.1)
    again = [at(3300 + 10 * i, around, groundspeed=0.0, altitude=None, onground=True) for i in range(30)]
    rows = cruising(0, 20) + circling(1200, 5, around) + again
    (leg,) = legs_of(rows)
    assert (leg.positions, leg.status, leg.destination.basis) == (120, "lost", "unknown")
    (leg,) = legs_of(rows + cruising(3700, 10))
    assert (leg.positions, leg.status) == (180, "airborne")


def test_another_height_does_not_make_another_place_true() -> None:
    """Fifteen miles to the side at half the height: near enough to be flown to in a minute."""
    rows = cruising(0, 25)
    side = [{**row, "at": row["at"] + 5, "latitude": row["latitude"] + 0.25, "altitude": 18_000.0} for row in rows[30:60]]
    counts, (event,) = judged(rows + side)
    assert (event.reason, counts) == ("two_emitters", Counter(two_emitters=30))


def test_a_circle_that_an_alternating_track_goes_on_beside_is_another_emitter() -> None:
    """Both send all the time: the emitter that flies the known flight is kept, the landing of the other makes nothing."""
    rows = cruising(0, 60)
    twin = flying(605, 10, (36.5, -97.1), 180, 150, (3000, 1000)) + [
        at(1205 + 10 * i, (36.12, -97.1), groundspeed=8.0, altitude=None, onground=True) for i in range(60)
    ]
    (leg,) = legs_of(in_time(rows + twin))
    counts, events = judged(rows + twin)
    assert (leg.positions, leg.status) == (360, "airborne")
    assert counts == Counter(two_emitters=80)
    assert [(e.reason, e.count) for e in events] == [("two_emitters", 80)]


def test_of_two_emitters_that_nobody_knows_neither_is_believed() -> None:
    """From the first position on they alternate, and both land."""
    one = flying(0, 20, (38.2, -122.375), 180, 150, (8000, 100), every=10) + ground(1200, 10)
    other = flying(5, 20, (34.4, -118.4), 180, 150, (8000, 100), every=10) + ground(1205, 10, (33.942, -118.41))
    counts, events = judged(one + other)
    assert counts["two_emitters"] > 150
    assert [event.reason for event in events] == ["two_emitters"]
    assert not [leg for leg in legs_of(in_time(one + other)) if leg.status == "landed" or leg.destination.basis == "observed"]


@pytest.mark.parametrize("every", [2, 10])
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_an_aircraft_that_is_multilaterated_at_its_stand_is_one_aircraft(every: int, seed: int) -> None:
    """Its places zigzag from one side of the airport to the other for a minute, then it sends where it is, and takes off."""
    away = np.random.default_rng(seed).uniform(-0.04, 0.04, (12, 2))
    stands = {"groundspeed": 12.0, "altitude": None, "onground": True}
    fixes = [at(5 * i, (SFO[0] + north, SFO[1] + east), source="mlat", **stands) for i, (north, east) in enumerate(away.tolist())]
    sent = [at(60 + t, SFO, source="adsb", **stands) for t in range(0, 300, every)]
    rows = fixes + sent + flying(360, 10, SFO, 280, 300, (100, 20_000), source="adsb")
    (leg,) = legs_of(rows)
    assert (leg.origin.airport, leg.origin.basis) == ("KSFO", "observed")
    assert "two_emitters" not in judged(rows)[0]


def test_two_emitters_far_apart_are_not_believed_though_others_fix_their_places() -> None:
    one, other = (
        cruising(0, 5, every=10, source="mlat"),
        flying(5, 5, (50.0, 10.0), 90, 450, (35_000, 35_000), every=10, source="mlat"),
    )
    assert judged(one + other)[0]["two_emitters"] > 50


def test_an_emitter_that_is_left_alone_is_believed_again() -> None:
    one, other = cruising(0, 5, every=10), flying(5, 60, (50.0, 10.0), 90, 450, (35_000, 35_000), every=10)
    counts, _ = judged(one + other)
    assert 30 <= counts["two_emitters"] < 130
    assert any(leg.positions > 200 for leg in legs_of(in_time(one + other)))


def test_a_place_that_the_track_goes_on_from_is_taken_after_ten_minutes() -> None:
    """A server that was late, or a fix that was wrong: the aircraft is not lost for good."""
    rows = cruising(0, 20)
    later = flying(1260, 60, (39.0, -97.0), 90, 450, (35_000, 35_000), every=10)
    counts, (event,) = judged(rows + later)
    (leg,) = legs_of(rows + later)
    assert (event.reason, counts) == ("elsewhere", Counter(elsewhere=event.count))
    assert 55 <= event.count <= 75
    assert leg.positions == len(rows) + len(later) - event.count


def test_slower_than_it_can_fly_is_spoofed_and_a_balloon_is_not() -> None:
    rows = cruising(0, 20)
    slow = flying(1500, 10, (40.2, -97.0), 90, 50, (38_000, 38_000), every=10)
    assert judged(rows + slow + cruising(2100, 1))[0] == Counter(spoofed=60)
    assert judged(flying(0, 60, (40.0, -100.0), 90, 50, (38_000, 38_000)))[0] == Counter()


def test_a_single_height_is_not_believed_and_three_are() -> None:
    """The aircraft stays where it says; only its height is left out."""
    rows = cruising(0, 20)
    rows[60]["altitude"] = 60_000.0
    assert judged(rows)[0] == Counter(height=1)
    assert legs_of(rows)[0].positions == 120
    for row in rows[60:]:
        row["altitude"] = 41_000.0
    assert judged(rows)[0] == Counter()


def test_the_height_of_another_aircraft_lifts_nobody_off_the_ground() -> None:
    stand = ground(0, 30)
    stand[20] |= {"altitude": 38_000.0, "onground": False, "groundspeed": None, "latitude": SFO[0] + 0.0001}
    for row in stand:
        row.setdefault("altitude", 25.0)
    assert judged(stand)[0] == Counter(height=1)
    assert legs_of(stand) == []


def test_a_runway_with_wrong_flags_is_one_take_off() -> None:
    """ground, 650 ft, ground, 700, 1,200 at 150 to 170 kt."""
    run = [(150, True, None), (155, False, 650.0), (158, True, None), (160, False, 700.0), (170, False, 1200.0)]
    lat, lon = destination(*SFO, 280, np.arange(1, 6) * 0.4)
    rows = ground(0, 10) + [
        at(600 + 10 * i, (float(lat[i]), float(lon[i])), groundspeed=float(kt), onground=flag, altitude=height)
        for i, (kt, flag, height) in enumerate(run)
    ]
    rows += flying(650, 20, (float(lat[-1]), float(lon[-1])), 280, 300, (1500, 20_000))
    (leg,) = legs_of(rows)
    assert (leg.origin.airport, leg.origin.basis) == ("KSFO", "observed")


def test_a_ground_flag_at_34_000_ft_lands_nobody() -> None:
    rows = cruising(0, 20)
    for row in rows[60:64]:
        row |= {"onground": True, "altitude": None, "geoaltitude": 34_000.0, "groundspeed": None}
    (leg,) = legs_of(rows)
    assert (leg.positions, leg.status) == (120, "airborne")


def test_the_zigzag_of_a_multilateration_is_refused() -> None:
    """Twelve miles to the side and back, at the speed of a fighter."""
    rows = cruising(0, 20, every=30, source="mlat")
    for row in rows[10:30:3]:
        row["latitude"] += 0.2
    rows += flying(2000, 5, (39.9, -95.0), 90, 450, (35_000, 35_000))
    assert judged(rows)[0] == Counter(ghost=7)
    assert legs_of(rows)[0].positions == 43


def test_a_multilateration_that_seems_to_stand_has_not_landed() -> None:
    rows = flying(0, 20, (38.452, -122.375), 180, 150, (3000, 100), every=30, source="mlat")
    hover = [{**rows[-1], "at": 1200.0 + 30 * i, "groundspeed": 5.0, "onground": None, "source": "mlat"} for i in range(10)]
    hover = [{**row, "latitude": row["latitude"] + 1e-4 * i} for i, row in enumerate(hover)]
    assert legs_of(rows + hover)[0].status == "airborne"
    assert legs_of(rows + [{**row, "source": "adsb"} for row in hover])[0].status == "landed", "of its own word it would have"


def test_a_frozen_place_is_no_position_whatever_its_height() -> None:
    rows = flying(0, 10, (40.0, -100.0), 90, 450, (20_000, 35_000))
    frozen = [{**rows[-1], "at": 570.0 + 30 * i, "altitude": 35_000.0 - 500 * i} for i in range(1, 10)]
    assert judged(rows + frozen)[0] == Counter(repeat=9)


# --------------------------------------------------------------------------------------------------------------------- jamming


def jammed(aircraft: int, **more: Any) -> Rows:
    """Aircraft near each other whose integrity falls after ten minutes."""
    rows: Rows = []
    for n in range(aircraft):
        own = flying(0, 20, (54.2 + n / 20, 19.2), 90, 100, (9_000, 9_000), icao24=f"abc12{n}", source="adsb")
        rows += [{**row, "nic": 8.0 if i < 20 else 0.0, "nac_p": 9.0 if i < 20 else 0.0} | more for i, row in enumerate(own)]
    return rows


def test_several_that_lose_their_integrity_near_each_other_are_jammed() -> None:
    counts, (event,) = judged(jammed(3))
    assert (event.reason, event.count, counts) == ("jamming", 60, Counter(integrity=60))
    assert event.aircraft == ("abc120", "abc121", "abc122")


def test_one_alone_proves_nothing() -> None:
    assert judged(jammed(1))[1] == []
    assert judged(jammed(2))[1] == []


def test_old_equipment_and_what_ground_stations_send_on_is_not_jamming() -> None:
    assert judged(jammed(3, nic=0.0, nac_p=0.0)) == (Counter(), [])
    assert judged(jammed(3, source="tisb")) == (Counter(), [])


def test_nobody_lands_on_the_word_of_a_jammed_receiver() -> None:
    """Over a field at 30 kt it says, after its integrity has fallen; without that it would have landed."""
    rows = flying(0, 20, (38.452, -122.375), 180, 150, (3000, 100), every=30, source="adsb", nic=8.0, nac_p=9.0)
    end = rows[-1]
    last = [{**end, "at": 1200.0 + 30 * i, "latitude": end["latitude"] - i / 5000, "groundspeed": 10.0} for i in range(8)]
    assert legs_of(rows + last)[0].status == "landed"
    assert legs_of(rows + [{**row, "nic": 0.0, "nac_p": 0.0} for row in last])[0].status == "airborne"


# ---------------------------------------------------------------------------------------------------------------------- bounds


def test_hours_of_spoofing_wait_in_four_rows_and_are_one_event() -> None:
    """However long it goes on, what is kept does not grow."""
    wrong = circling(1200, 300, (36.12, -97.1))
    sizes, state, events = [], LegState(), dict[str, Event]()
    for batch in [cruising(0, 20), *(wrong[i : i + 50] for i in range(0, len(wrong), 50))]:
        state, outcome = leg_stage.advance(state, positions(batch), model())
        events |= {event.event_id: event for event in outcome.events}
        assert len(state.open.waiting) <= 4
        sizes.append(len(leg_stage.to_bytes(state)))
    assert max(sizes[3:]) <= sizes[3] + 50
    (event,) = events.values()
    assert (event.reason, event.count) == ("spoofed", len(wrong) - 4)


def test_what_is_spoofed_after_what_was_elsewhere_is_told_the_same_however_it_came_in() -> None:
    """A second wrong place is one more of the first sort until it has stayed for long; by then four rows are told of."""
    away = flying(300, 3, (55.0, 60.0), 0, 450, (35_000, 35_000), 10)
    stays = [at(600 + 30 * i, (55.6, 60.0 + i / 1000), groundspeed=450.0, altitude=35_000.0) for i in range(12)]
    leaves = flying(960, 4, (55.6, 60.02), 0, 450, (35_000, 35_000), 30)
    rows = in_time([*cruising(0, 5), *away, *cruising(480, 2), *stays, *leaves, *cruising(1200, 5)])
    _, _, whole = taken(positions(rows))
    _, _, one_by_one = taken(*(positions([row]) for row in rows))
    assert one_by_one == whole
    told = {event.reason: event.count for event in whole.values()}
    assert told == {"elsewhere": len(away) + 4, "spoofed": len(stays) + len(leaves) - 4}
