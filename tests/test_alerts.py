"""Alerts: one for a visit, told once, in words that claim no more than was seen."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flightwatch.alerts import Alert, AlertBook, Context, decide, message
from flightwatch.alerts.lifecycle import foremost
from flightwatch.alerts.phrases import chance, duration
from flightwatch.alerts.wording import ordinal, times
from flightwatch.errors import Damaged
from flightwatch.places import Airports
from flightwatch.records import (
    UNKNOWN,
    Aircraft,
    Candidate,
    EarlierVisit,
    End,
    Finding,
    Gap,
    Held,
    Leg,
    Message,
    Rarity,
    RuleReference,
    Stage,
    Status,
    Stop,
    Terms,
    Track,
    Visit,
    message_from_bytes,
)
from tests.examples import tries

START = datetime(2023, 9, 25, 13, 10, tzinfo=UTC)
IL62 = Aircraft("15521f", "RA-86559", "IL62", "Russian Air Force", watchlists=("russian-state",))
RULE = RuleReference("russian-state-to-north-korea", "Russian state aircraft to North Korea", "high", ("slack", "digest"))
OTHER = RuleReference("any-to-north-korea", "Anybody to North Korea", "medium", ("console",))
GOLDEN = Path(__file__).parent / "golden"


def end(airport: str, probability: float, basis: str, earliest: datetime, latest: datetime | None = None) -> End:
    listed = (Candidate(airport, probability), Candidate(UNKNOWN, round(1 - probability, 4)))
    latest = latest or earliest
    named = airport if probability >= 0.5 else None
    reason = "last seen 25 Sep 21:38 UTC at 41.81, 130.50 at 34,000 ft on course 236"
    return End(named, basis, probability, listed, reason, earliest + (latest - earliest) / 2, earliest, latest)  # type: ignore[arg-type]


def leg(
    leg_id: str = "15521f-20230925T131139",
    *,
    origin: tuple[str, float, str] = ("UUMU", 0.9998, "observed"),
    to: tuple[str, float, str] = ("ZKPY", 0.93, "inferred"),
    takeoff: timedelta = timedelta(0),
    status: Status = "presumed_landed",
    landed: float = 0.97,
) -> Leg:
    begun = START + takeoff
    return Leg(
        leg_id=leg_id,
        revision=1,
        journey_id=leg_id,
        icao24="15521f",
        registration="RA-86559",
        typecode="IL62",
        operator="Russian Air Force",
        callsign="RFF7237",
        first_seen=begun,
        last_seen=begun + timedelta(hours=8, minutes=28),
        origin=end(*origin, begun),
        destination=end(*to, begun + timedelta(hours=9), begun + timedelta(hours=9, minutes=20)),
        landed_probability=landed,
        status=status,
        gaps=(Gap(begun + timedelta(hours=2), begun + timedelta(hours=3, minutes=13), "flying", 0.99, "as flying on takes"),),
        longest_gap_s=4380.0,
        distance_nm=3700.0,
        positions=140,
        model="2023-09-25",
        source="tracked",
        feeds=("demo-sky",),
    )


BACK = leg(
    "15521f-20230928T000159",
    origin=("ZKPY", 0.93, "inferred"),
    to=("UUMU", 0.9998, "observed"),
    takeoff=timedelta(days=2, hours=10),
    status="landed",
    landed=1.0,
)


def finding(stage: Stage, rule: RuleReference = RULE, minutes: float = 0.0) -> Finding:
    status: dict[str, Status] = {"heading_there": "airborne", "lost": "lost", "landed": "landed"}
    went = {"landed": ("ZKPY", 0.9998, "observed"), "withdrawn": ("UHWW", 0.9998, "observed")}.get(
        stage, ("ZKPY", 0.93, "inferred")
    )
    there = leg(status="landed" if stage == "withdrawn" else status.get(stage, "presumed_landed"), to=went)
    departure = {"left_again": replace(BACK, status="airborne"), "returned": BACK}.get(stage)
    place = Stop((Candidate("ZKPY", 0.93), Candidate(UNKNOWN, 0.07)), "observed" if stage == "landed" else "inferred")
    start = Stop(there.origin.candidates, "observed")
    return Finding(
        rule=rule,
        aircraft=IL62,
        visit=Visit(f"visit-{there.leg_id}", start, place, (there,), departure),
        stage=stage,
        probability=0.93,
        held=(Held("destination North Korea with at least 0.6", "inferred, 0.93"),),
        earlier=(
            EarlierVisit(
                "RA-86559",
                "Russian Air Force",
                "ZKPY",
                datetime(2023, 7, 31, 21, 40, tzinfo=UTC),
                datetime(2023, 8, 2, 9, 40, tzinfo=UTC),
                "inferred",
                "tracked",
            ),
        ),
        rarity=(
            Rarity(
                "RA-86559",
                "North Korea",
                1,
                0,
                None,
                1289,
                "One earlier visit of RA-86559 to North Korea in the 1,289 observed days before.",
            ),
        ),
        as_of=START + timedelta(hours=9, minutes=minutes),
    )


def context(airports: Airports, *, reconstructed: bool = False) -> Context:
    track = Track((55.9, 55.0, 43.0, 41.8), (38.0, 82.9, 132.0, 130.5), (2,))
    return Context(airports, track, (Terms("adsb.lol and its contributors (ODbL 1.0)", reconstructed=reconstructed),))


def told(airports: Airports):  # type: ignore[no-untyped-def]  # a Compose
    return lambda f, alert: message(f, alert, context(airports))


STAGES: tuple[Stage, ...] = ("heading_there", "lost", "presumed_landed", "landed", "left_again", "returned", "withdrawn")


@pytest.mark.parametrize("stage", STAGES)
def test_the_words_of_each_stage(stage: Stage, airports: Airports, request: pytest.FixtureRequest) -> None:
    """Golden texts; `pytest --update-golden` writes them anew, and then they are to be read."""
    alert = Alert("15521f-20230925T131139", stage, 1 if stage == "heading_there" else 2, (RULE,), ("slack",))
    got = _as_text(message(finding(stage), alert, context(airports)))
    path = GOLDEN / f"alert_{stage}.txt"
    if request.config.getoption("--update-golden"):
        path.write_text(got, encoding="utf-8")
    assert got == path.read_text(encoding="utf-8")


def _as_text(m: Message) -> str:
    lines = [
        m.headline,
        f"({m.qualifier})",
        *(f"- {f}" for f in m.facts),
        f"update: {m.update}",
        *m.footer,
        *(f"{a}: {b}" for a, b in m.links),
        f"map: {m.map.note if m.map else None}",
    ]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_unseen_is_said_to_have_happened(stage: Stage, airports: Airports) -> None:
    """`has landed` stands only where somebody saw it."""
    alert = Alert("a", stage, 2, (RULE,), ())
    words = message(finding(stage), alert, context(airports))
    if stage in ("heading_there", "lost", "presumed_landed"):
        assert "probably" in words.headline
        assert "has landed" not in words.headline
    if stage == "presumed_landed":
        assert "not observed" in words.qualifier


def test_a_reconstruction_says_so_everywhere(airports: Airports) -> None:
    made_up = message(finding("lost"), Alert("a", "lost", 1, (RULE,), ()), context(airports, reconstructed=True))
    assert made_up.headline.startswith("[Reconstruction]")
    assert made_up.map is not None
    assert "not observed" in made_up.map.note
    assert any("Nobody observed" in line for line in made_up.footer)


def test_nothing_unseen_is_certain() -> None:
    assert (chance(1.0), chance(0.991), chance(0.93)) == ("over 0.99", "over 0.99", "0.93")


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(0, "0 min"), (59, "59 min"), (67, "1 h 7 min"), (36 * 60, "36 h"), (49 * 60, "2 d 1 h"), (96 * 60, "4 d"), (-5, "0 min")],
)
def test_durations_are_no_more_exact_than_they_are(minutes: float, words: str) -> None:
    assert duration(timedelta(minutes=minutes)) == words


# ------------------------------------------------------------------------------------------------------------------- life cycle


ALERT = Alert("15521f-20230925T131139", "lost", 2, (RULE,), ("slack",))


@pytest.mark.parametrize(
    ("number", "word"), [(2, "second"), (10, "tenth"), (11, "11th"), (21, "21st"), (112, "112th"), (122, "122nd"), (223, "223rd")]
)
def test_ordinals(number: int, word: str) -> None:
    assert ordinal(number) == word


@pytest.mark.parametrize(
    ("arrived", "says"),
    [
        (datetime(2023, 8, 1, 14, 40, tzinfo=UTC), "its second visit in 56 days"),  # 23:40 in Pyongyang
        (datetime(2023, 9, 25, 20, 0, tzinfo=UTC), "second visit on one day"),
    ],
)
def test_days_are_counted_as_the_calendar_has_them(arrived: datetime, says: str, airports: Airports) -> None:
    """From late in the evening of 1 August to early on 26 September: 56 days; and two on one day are no `0 days`."""
    earlier = EarlierVisit("RA-86559", None, "ZKPY", arrived, None, "inferred", "tracked")
    made = message(replace(finding("lost"), earlier=(earlier,)), ALERT, context(airports))
    assert any(says in fact for fact in made.facts), made.facts


def test_the_days_of_a_list_are_told_as_days(airports: Airports) -> None:
    """A list that gives days alone says nothing of how long it stayed, and its days are not turned into others."""
    noon = datetime(2023, 7, 31, 12, 0, tzinfo=UTC)
    earlier = EarlierVisit("RA-86559", None, "ZKPY", noon, noon + timedelta(days=2), "inferred", "listed", days_only=True)
    made = message(replace(finding("lost"), earlier=(earlier,)), ALERT, context(airports))
    (fact,) = [f for f in made.facts if f.startswith("Same aircraft")]
    assert "in Pyongyang on 31 Jul – 2 Aug 2023 (as listed)" in fact
    assert "stayed" not in fact


@pytest.mark.parametrize(("days", "says"), [(0, "after at most 24 h"), (1, "after at most 2 d"), (2, "after about 2 d")])
def test_of_a_stay_of_which_the_days_alone_are_known_no_hours_are_told(days: int, says: str, airports: Airports) -> None:
    """It may have left as soon as it came: that is not `about 0 min`."""
    came, day, visit = datetime(2023, 7, 31, 12, 0, tzinfo=UTC), timedelta(days=1), finding("left_again").there
    assert visit.departure is not None

    def on(end: End, noon: datetime) -> End:
        return replace(end, basis="inferred", time=noon, earliest=noon - day / 2, latest=noon + day / 2)

    there = replace(visit.way[-1], destination=on(visit.way[-1].destination, came))
    left = replace(visit.departure, origin=on(visit.departure.origin, came + days * day))
    listed = replace(finding("left_again"), visit=replace(visit, way=(there,), departure=left))
    assert says in message(listed, replace(ALERT, stage="left_again"), context(airports)).headline


def test_an_interval_over_days_shows_both_days() -> None:
    first = datetime(2024, 4, 1, 3, 0, tzinfo=UTC)
    words = times(end("ZKPY", 0.9, "inferred", first, first + timedelta(days=2, hours=2)), "Asia/Pyongyang")
    assert words == "between 1 Apr 2024 03:00 and 3 Apr 05:00 UTC (1 Apr 12:00 – 3 Apr 14:00 local)"


@pytest.mark.parametrize("stage", ["left_again", "returned"])
def test_a_visit_that_nobody_saw_is_never_certain(stage: Stage, airports: Airports) -> None:
    """Seen on neither side of the border crossing: `probably`, with the probability that it was down at all."""
    unseen, alert = finding(stage), replace(ALERT, stage=stage)
    doubtful = replace(unseen.visit.way[-1], landed_probability=0.6)
    made = message(replace(unseen, visit=replace(unseen.visit, way=(doubtful,))), alert, context(airports))
    assert "has probably left" in made.headline
    assert "after about" in made.headline
    assert "down 0.60" in made.qualifier
    seen = replace(doubtful, destination=replace(doubtful.destination, basis="observed"))
    made = message(replace(unseen, visit=replace(unseen.visit, way=(seen,))), alert, context(airports))
    assert "probably" not in made.headline.split(" after ")[0]


def test_a_withdrawal_says_it_was_wrong_only_where_something_else_was_seen(airports: Airports) -> None:
    gone, alert = finding("withdrawn"), replace(ALERT, stage="withdrawn")
    assert "it was wrong" in message(gone, alert, context(airports)).qualifier
    way = gone.visit.way[-1]
    guess = replace(way.destination, basis="inferred", reason="seen on the ground there 5.5 h later")
    elsewhere = replace(gone.visit, way=(replace(way, destination=guess),))
    made = message(replace(gone, visit=elsewhere), alert, context(airports))
    assert "wrong" not in made.qualifier
    assert "It probably went to Vladivostok" in made.update


def test_a_message_names_its_sources(airports: Airports) -> None:
    """Whose data it rests on, as their licence demands."""
    made = message(finding("lost"), ALERT, context(airports))
    assert any("adsb.lol and its contributors (ODbL 1.0)" in line for line in made.footer)


def test_a_message_says_where_sources_contradict_each_other_on_who_it_is(airports: Airports) -> None:
    told = ("registration: P-885 (watchlist mine), but P-883 (tar1090-db)", "typecode: IL62 (a), but IL6 (b)")
    unsure = replace(finding("lost"), aircraft=replace(IL62, conflicts=told))
    said = [fact for fact in message(unsure, ALERT, context(airports)).facts if "contradict" in fact]
    assert said == ["Sources contradict each other. Registration: P-885 (watchlist mine), but P-883 (tar1090-db)."]


def test_one_alert_for_one_visit_whichever_rules_find_it() -> None:
    opened = decide(None, [finding("heading_there")])
    assert opened.alert is not None
    assert (opened.tell, opened.reason, opened.alert.number) == (True, "opened", 1)
    another = decide(opened.alert, [finding("heading_there", OTHER)])
    assert (another.tell, another.reason) == (False, "another rule")
    assert another.alert is not None
    assert {r.rule_id for r in another.alert.rules} == {RULE.rule_id, OTHER.rule_id}
    assert another.alert.channels == ("slack", "digest", "console")


def test_an_alert_is_told_by_the_rule_that_says_the_most() -> None:
    """`to North Korea`, not `to Cuba or Iran or North Korea`, whatever the rules are called; and the severest first."""
    wide = replace(RULE, rule_id="z-wide", places=3)
    nowhere = replace(RULE, rule_id="a-nowhere", places=0)
    assert foremost([finding("lost", r) for r in (nowhere, RULE, wide)]).rule == RULE
    assert foremost([finding("lost", r) for r in (OTHER, wide)]).rule == wide
    assert foremost([finding("withdrawn"), finding("lost", wide)]).rule == wide


def test_a_wrong_prediction_is_withdrawn_once_no_rule_holds() -> None:
    both = decide(None, [finding("heading_there"), finding("heading_there", OTHER)]).alert
    one_left = decide(both, [finding("withdrawn")])
    assert one_left.alert is not None
    assert (one_left.tell, one_left.alert.stage) == (False, "heading_there")
    none_left = decide(one_left.alert, [finding("withdrawn", OTHER)])
    assert none_left.alert is not None
    assert (none_left.tell, none_left.alert.stage) == (True, "withdrawn")


def test_an_aircraft_that_no_rule_expects_anywhere_is_airborne_and_heads_there_once_one_does() -> None:
    nowhere = replace(OTHER, places=0)
    opened = decide(None, [finding("heading_there", nowhere)]).alert
    assert opened is not None
    assert opened.stage == "airborne"
    assert decide(opened, [finding("heading_there", nowhere)]).reason == "nothing new"
    expected = decide(opened, [finding("heading_there", nowhere), finding("heading_there")])
    assert expected.alert is not None
    assert (expected.alert.stage, expected.tell, expected.reason) == ("heading_there", True, "stage changed")


def test_a_rule_that_is_about_no_place_is_told_by_its_title(airports: Airports) -> None:
    """`heading for North Korea` is not what such a rule found."""
    low = replace(RULE, title="Flies again after months", places=0)
    alert = Alert("15521f-20230925T131139", "lost", 1, (low,), ("slack",))
    made = message(finding("lost", low), alert, context(airports))
    assert made.headline == "Il-62 RA-86559 (Russian Air Force): Flies again after months"
    assert made.qualifier.startswith("was probably heading for North Korea from Chkalovskiy")
    with_place = replace(alert, rules=(low, RULE))
    assert "heading for" in message(finding("lost"), with_place, context(airports)).headline
    gone = message(finding("withdrawn", low), replace(alert, stage="withdrawn"), context(airports))
    assert gone.headline == "Withdrawn: Il-62 RA-86559 (Russian Air Force): Flies again after months"


@pytest.mark.parametrize("stage", ["heading_there", "presumed_landed", "withdrawn"])
def test_the_words_where_no_rule_is_about_a_place(stage: Stage, airports: Airports, request: pytest.FixtureRequest) -> None:
    """The title says what was found, the conditions follow, and a country that is as good as guessed is possible alone."""
    rule = replace(RULE, title="Flies again after months", places=0)
    found = finding(stage, rule)
    guess = Stop((Candidate("ZKPY", 0.31), Candidate(UNKNOWN, 0.69)), "inferred")
    found = replace(found, visit=replace(found.there, place=guess), held=(Held("first flight for 60 days", "71 d"),))
    alert = Alert("15521f-20230925T131139", stage, 1 if stage == "heading_there" else 2, (rule,), ("slack",))
    got = _as_text(message(found, alert, context(airports)))
    path = GOLDEN / f"alert_titled_{stage}.txt"
    if request.config.getoption("--update-golden"):
        path.write_text(got, encoding="utf-8")
    assert got == path.read_text(encoding="utf-8")
    assert "probably heading for North Korea" not in got
    assert "landed in North Korea" not in got


def test_what_was_withdrawn_can_come_true_after_all() -> None:
    alert = decide(decide(None, [finding("heading_there")]).alert, [finding("withdrawn")]).alert
    again = decide(alert, [finding("lost")])
    assert again.alert is not None
    assert (again.tell, again.alert.stage, again.alert.number) == (True, "lost", 3)


def test_a_withdrawal_of_what_was_never_told_is_silent() -> None:
    assert decide(None, [finding("withdrawn")]).alert is None


@settings(max_examples=tries(200))
@given(st.lists(st.tuples(st.sampled_from(STAGES), st.sampled_from([RULE, OTHER])), max_size=12))
def test_numbers_rise_by_one_with_each_thing_told_and_the_end_is_final(steps: list[tuple[Stage, RuleReference]]) -> None:
    alert: Alert | None = None
    for stage, rule in steps:
        before = alert
        decision = decide(alert, [finding(stage, rule)])
        alert = decision.alert
        if before is None or alert is None:
            continue
        assert alert.number == before.number + decision.tell
        assert alert.stage == before.stage or decision.tell
        if before.stage == "returned":
            assert (decision.tell, decision.reason) == (False, "closed")


# ------------------------------------------------------------------------------------------------------------------------ book


@pytest.fixture
def book(tmp_path: Path):  # type: ignore[no-untyped-def]  # an AlertBook, closed afterwards
    opened = AlertBook(tmp_path / "alerts.sqlite")
    yield opened
    opened.close()


def test_findings_are_applied_once(book: AlertBook, airports: Airports) -> None:
    """A restart steps through the same snapshots again; nothing is told again."""
    assert [d.reason for d in book.apply(7, [finding("lost")], told(airports), START)] == ["opened"]
    assert book.apply(7, [finding("lost")], told(airports), START) == []
    assert book.apply(3, [finding("presumed_landed")], told(airports), START) == []
    assert book.counts() == {"waiting": 1}
    assert [d.reason for d in book.apply(8, [finding("presumed_landed")], told(airports), START)] == ["stage changed"]
    assert book.counts() == {"waiting": 2}


def test_a_failing_message_leaves_no_trace(book: AlertBook, airports: Airports) -> None:
    """Alert, decision and messages are one transaction."""

    def broken(f: Finding, alert: Alert) -> Message:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        book.apply(1, [finding("lost")], broken, START)
    assert (book.applied, book.alerts(), book.counts()) == (0, [], {})
    assert book.apply(1, [finding("lost")], told(airports), START)


def test_the_digest_is_no_channel_of_its_own_messages(book: AlertBook, airports: Airports) -> None:
    book.apply(1, [finding("lost"), finding("lost", OTHER)], told(airports), START)
    now = START + timedelta(days=1)
    assert book.claim(now, ["digest"]) is None
    assert book.claim(now, ["slack"]) is not None
    assert book.claim(now, ["console"]) is not None


def test_messages_of_an_alert_go_out_in_their_order_and_know_their_thread(book: AlertBook, airports: Airports) -> None:
    book.apply(1, [finding("lost")], told(airports), START)
    book.apply(2, [finding("presumed_landed")], told(airports), START)
    now = START + timedelta(days=1)
    first = book.claim(now, ["slack"])
    assert first is not None
    assert (first.number, first.thread, first.attempts) == (1, None, 1)
    assert book.claim(now, ["slack"]) is None, "the second waits for the first"
    book.sent(first, "123.4")
    second = book.claim(now, ["slack"])
    assert second is not None
    assert (second.number, second.thread) == (2, "123.4")
    assert message_from_bytes(second.payload).update


def test_a_worker_that_died_leaves_its_message_to_be_looked_up(book: AlertBook, airports: Airports) -> None:
    """Nobody knows whether it was sent: the lease runs out, and the next worker is told since when to look."""
    book.apply(1, [finding("lost")], told(airports), START)
    now = START + timedelta(days=1)
    assert book.claim(now, ["slack"]) is not None
    assert book.claim(now + timedelta(seconds=30), ["slack"]) is None, "leased"
    again = book.claim(now + timedelta(minutes=5), ["slack"])
    assert again is not None
    assert again.unknown_since == now
    assert again.attempts == 2


def test_failures_wait_longer_and_longer_up_to_a_quarter_of_an_hour(book: AlertBook, airports: Airports) -> None:
    book.apply(1, [finding("lost")], told(airports), START)
    now = START + timedelta(days=1)
    waits = []
    for _ in range(14):
        due = book.claim(now, ["slack"])
        assert due is not None
        assert due.unknown_since is None
        book.failed(due, now, "down", permanent=False, retry_after_s=None, outcome_unknown=False)
        later = now
        while book.claim(later, ["slack"]) is None:
            later += timedelta(seconds=1)
            assert later - now < timedelta(minutes=16)
        waits.append((later - now).total_seconds())
        book._db.execute("UPDATE outbox SET lease_us = 0")  # the claim above was only to see when it is due
        now = later
    assert max(waits) <= 901
    assert max(waits[-6:]) > max(waits[:2])


def test_a_permanent_failure_is_put_aside_and_told(book: AlertBook, airports: Airports) -> None:
    book.apply(1, [finding("lost")], told(airports), START)
    due = book.claim(START + timedelta(days=1), ["slack"])
    assert due is not None
    book.failed(due, START, "channel_not_found", permanent=True, retry_after_s=None, outcome_unknown=False)
    assert book.counts() == {"dead": 1}
    assert book.undelivered() == [("15521f-20230925T131139", "slack", "channel_not_found")]


def test_a_digest_goes_out_once_a_day(book: AlertBook) -> None:
    mails = [("a@example.org", b"mail"), ("b@example.org", b"mail")]
    assert book.post_digest("2023-09-26", mails, START)
    assert not book.post_digest("2023-09-26", mails, START)
    assert book.counts() == {"waiting": 2}
    assert book.has_digest("2023-09-26")
    assert book.last_digest(START) == START
    assert book.last_digest(START - timedelta(days=1)) is None, "what a wrong clock wrote does not count"


def test_a_damaged_book_is_named(tmp_path: Path) -> None:
    path = tmp_path / "alerts.sqlite"
    path.write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with pytest.raises(Damaged, match=r"alerts\.sqlite"):
        AlertBook(path)


@settings(max_examples=tries(25), deadline=None)
@given(st.lists(st.sampled_from(["claim", "send", "fail", "unknown", "die", "wait"]), max_size=40))
def test_no_message_is_lost_and_none_sent_twice_without_a_doubt(steps: Sequence[str]) -> None:
    """Whatever workers do, every message is sent in the end, and twice only where an outcome was unknown."""
    import tempfile

    from flightwatch.places import airports as all_airports

    with tempfile.TemporaryDirectory() as folder:
        book = AlertBook(Path(folder) / "alerts.sqlite")
        for seq, stage in enumerate(STAGES[:4], start=1):
            book.apply(seq, [finding(stage)], told(all_airports()), START)
        now, held, sent, doubtful = START + timedelta(days=1), None, Counter[int](), set[int]()
        for step in [*steps, *["wait", "claim", "send"] * 12]:
            if step == "wait":
                now += timedelta(minutes=20)
            elif step == "claim" and held is None:
                held = book.claim(now, ["slack"])
            elif held is not None and step == "send":
                sent[held.number] += 1
                book.sent(held, "1")
                held = None
            elif held is not None and step in ("fail", "unknown"):
                if step == "unknown":
                    sent[held.number] += 1
                    doubtful.add(held.number)
                book.failed(held, now, "x", permanent=False, retry_after_s=None, outcome_unknown=step == "unknown")
                held = None
            elif held is not None and step == "die":
                sent[held.number] += 1
                doubtful.add(held.number)
                held = None
        book.close()
    assert set(sent) == {1, 2, 3, 4}
    assert {n for n, times in sent.items() if times > 1} <= doubtful


def test_the_book_survives_being_closed(tmp_path: Path, airports: Airports) -> None:
    path = tmp_path / "alerts.sqlite"
    book = AlertBook(path)
    book.apply(1, [finding("lost")], told(airports), START)
    book.close()
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)
    again = AlertBook(path)
    (alert,) = again.alerts(only_open=True)
    assert alert.finding == finding("lost")
    again.close()
