"""The one composition of the stages: a snapshot in, the new state and what it brought out.

    positions -> legs -> journeys -> rules, with rarity -> findings

`Pipeline` holds what does not change while it runs (rules, places, who is who); `State` all that does. Live and
backfill drive the same steps. What is learned from all aircraft is frozen per UTC day: legs and rarity of a day are
judged with the history of the days before it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, partial
from typing import Literal

import msgspec
import numpy as np
import pyarrow as pa

from flightwatch import legs as leg_stage
from flightwatch import rarity, rules
from flightwatch.aircraft import Registry
from flightwatch.errors import Damaged
from flightwatch.legs import LegState, Model, Tracked
from flightwatch.legs.journeys import journeys, stop_between, visit
from flightwatch.legs.meetings import meetings
from flightwatch.legs.pieces import POINT
from flightwatch.legs.rows import Rows, aircraft_number, aircraft_text, changes, rows_from_table
from flightwatch.legs.tracking import OpenPieces
from flightwatch.places import Airports
from flightwatch.rarity import Baseline, Exposure
from flightwatch.rarity.precedents import Precedents
from flightwatch.records import (
    LEGS,
    Aircraft,
    End,
    Event,
    Finding,
    Held,
    Journey,
    Leg,
    Quiet,
    Rarity,
    RuleReference,
    Snapshot,
    Stage,
    Stop,
    Target,
    Visit,
    ipc_bytes,
    ipc_table,
    legs_from_table,
    legs_table,
)
from flightwatch.rules import Answer, Onward, Result, Rule
from flightwatch.rules.language import PositionCondition
from flightwatch.rules.measures import clock, span

TrackedDay = tuple[date, Tracked]
"""Pieces of tracks of some positions, and the day whose model is in force for them."""

TICK = timedelta(minutes=5)
"""Aircraft in the air that a rule could match are looked at this often, whether or not anything changed."""

DAY_BEGINS = timedelta(hours=1)
"""A day's model is frozen an hour into the day, when what happened before midnight has come in."""

DAY_US = 86_400_000_000

IDLE_AFTER = timedelta(hours=36)
"""By then an aircraft that nobody sees is down for all that is known: no type stays up for so long."""

LOST_LATELY = timedelta(minutes=45)
"""Legs of aircraft that were lost no longer ago than this are stored as they stand, with every checkpoint."""

FRESH = timedelta(days=3)
"""A visit is news for this long after the last thing that was seen of it; older ones belong in reports."""

FORGET = timedelta(days=60)
"""What was reported is remembered for this long; the aircraft's log does not reach back farther."""

TOLD_WITHIN_NM = 600.0
"""An hour and a half away. See `Pipeline._worth_a_look`."""

FLOWN_BETWEEN_NM = 100.0
"""No aircraft flies farther from one tick to the next, with a slow poll between them: ten minutes at 600 kt."""

BENEFIT_OF_DOUBT = 0.5
"""What was said is withdrawn when its probability falls below this share of what the rule demands, so that nothing
flickers."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What was last said about a visit under a rule."""

    rule_id: str
    visit_id: str
    stage: Stage
    start: Stop
    place: Stop
    as_of: datetime


@dataclass(frozen=True)
class State:
    """Everything that lasts from step to step. The baseline is not saved with it: the stored legs make it again; nor is
    `dismissed`, because the rules may be others after a restart.

    `dismissed` are the aircraft that no rule can match until they turn to something else, `settled` the legs that
    were settled since the last model was frozen, `reported` what was said, by aircraft.
    """

    baseline: Baseline
    legs: LegState = field(default_factory=LegState)
    model_day: date | None = None
    ticked: datetime | None = None
    dismissed: frozenset[int] = frozenset()
    settled: tuple[pa.Table, ...] = ()
    reported: Mapping[int, tuple[Reported, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a step brought.

    `now` is the time of the data; `turned` are the aircraft whose legs changed; `settled` legs that are final; `frozen`
    those that went into the model of a new day, None where no day began; `events` those that began or grew; `late`
    aircraft to derive anew.
    """

    now: datetime
    findings: tuple[Finding, ...]
    turned: tuple[int, ...]
    settled: tuple[Leg, ...]
    frozen: tuple[Leg, ...] | None
    refused: Mapping[str, int]
    events: tuple[Event, ...]
    late: Mapping[str, datetime]


@dataclass(frozen=True)
class Absorbed:
    """What stored positions brought: legs that are final, those that went into the models of new days, positions
    refused by reason, events as they stand, and aircraft to derive anew."""

    settled: tuple[Leg, ...]
    frozen: tuple[Leg, ...]
    refused: Mapping[str, int]
    events: tuple[Event, ...]
    late: Mapping[str, datetime]


@dataclass(frozen=True)
class Pipeline:
    """The stages with their settings. `exposures` tells the covered days whenever a day's model is frozen, `fleeting` the
    feeds whose positions nobody may keep for long; `preferred` feeds come before others of the same quality, in their
    order. Codes of transponders make events where the rules ask for them; `codes` are noted besides these."""

    airports: Airports
    registry: Registry
    rules: Sequence[Rule] = ()
    exposures: Callable[[], Sequence[Exposure]] = tuple
    fleeting: Callable[[], frozenset[str]] = frozenset
    preferred: Sequence[str] = ()
    codes: frozenset[str] = frozenset()

    def start(self, stored: pa.Table) -> State:
        """A state that knows the stored legs and has seen no position."""
        return State(Baseline(self.airports, stored, self.exposures()))

    def model(self, state: State) -> Model:
        return Model(self.airports, state.baseline, self.registry.who, self.fleeting(), self.preferred)

    def polled(self, state: State, feed: str, time: datetime) -> State:
        """The state after a feed told how the sky was at a time (see `legs.polled`)."""
        return replace(state, legs=leg_stage.polled(state.legs, feed, time))

    @cached_property
    def noted(self) -> frozenset[str]:
        """The codes of transponders that make events."""
        return self.codes | rules.codes_of(self.rules)

    # --------------------------------------------------------------------------------------------------------------- driving

    def step(self, state: State, snapshot: Snapshot) -> tuple[State, Outcome]:
        """Takes one snapshot in, and looks at the aircraft that it changed and, every few minutes, at all that are
        followed."""
        now = snapshot.feed_time
        state = self.polled(state, snapshot.feed, now)
        state, frozen = self._freeze_if_due(state, model_day(now))
        tracked = leg_stage.track(state.legs.open, rows_from_table(snapshot.positions, self.noted), self.preferred)
        state, brought = self._draw_up(state, tracked)
        ticking = state.ticked is None or now - state.ticked >= TICK
        state = replace(state, dismissed=state.dismissed - set(brought.turned), ticked=now if ticking else state.ticked)
        state, findings = self._look(state, self._worth_a_look(state, brought.turned, everything=ticking), now)
        return state, Outcome(
            now, tuple(findings), brought.turned, brought.settled, frozen, brought.refused, brought.events, brought.late
        )

    def absorb(self, state: State, positions: pa.Table) -> tuple[State, Absorbed]:
        """Takes stored positions in, any amount at once, without looking at rules: `judge` does that when all are
        in."""
        return self.absorb_tracked(state, tracked(state.legs.open, by_day(positions, self.noted), self.preferred))

    def absorb_tracked(self, state: State, parts: Iterable[TrackedDay]) -> tuple[State, Absorbed]:
        """As `absorb`, with positions that were tracked from the open pieces of the state on."""
        settled: list[Leg] = []
        frozen: list[Leg] = []
        refused: dict[str, int] = {}
        events: dict[str, Event] = {}
        late: dict[str, datetime] = {}
        for day, part in parts:
            state, legs = self._freeze_if_due(state, day)
            state, brought = self._draw_up(state, part)
            frozen += legs or ()
            settled += brought.settled
            events |= {event.event_id: event for event in brought.events}
            late |= {a: min(t, late.get(a, t)) for a, t in brought.late.items()}
            refused = {r: refused.get(r, 0) + brought.refused.get(r, 0) for r in {*refused, *brought.refused}}
        return state, Absorbed(tuple(settled), tuple(frozen), refused, tuple(events.values()), late)

    def _draw_up(self, state: State, tracked: Tracked) -> tuple[State, leg_stage.Outcome]:
        advanced, brought = leg_stage.draw_up(state.legs, tracked, self.model(state))
        settled = (*state.settled, legs_table(brought.settled)) if brought.settled else state.settled
        return replace(state, legs=advanced, settled=settled), brought

    def _freeze_if_due(self, state: State, day: date) -> tuple[State, tuple[Leg, ...] | None]:
        """Freezes the model of a new day: what is known of the legs until then goes into the baseline."""
        if state.model_day is None:
            return replace(state, model_day=day), None
        if day <= state.model_day:
            return state, None
        begins, since = _begins(day), _begins(state.model_day) - DAY_BEGINS
        open_ = self.unsettled_legs(_whoever_is_out(state), leg_stage.seen_since(state.legs, since), begins)
        legs = (*(leg for table in state.settled for leg in legs_from_table(table)), *open_)
        baseline = state.baseline.extended(legs_table(legs), self.exposures())
        oldest = begins - FORGET
        reported = {n: kept for n, said in state.reported.items() if (kept := tuple(r for r in said if r.as_of >= oldest))}
        return replace(state, baseline=baseline, model_day=day, settled=(), reported=reported), legs

    def unsettled_legs(self, state: State, numbers: Iterable[int], now: datetime) -> tuple[Leg, ...]:
        """The legs of some aircraft that may still change, as they stand."""
        if not (wanted := set(numbers)):  # as after most polls
            return ()
        found = leg_stage.unsettled(state.legs, wanted, self.model(state), now)
        return tuple(leg for number in sorted(found) for leg in found[number])

    def all_unsettled(self, state: State, now: datetime) -> tuple[Leg, ...]:
        return self.unsettled_legs(state, leg_stage.aircraft_of(state.legs), now)

    def of_note(self, state: State, before: State) -> set[int]:
        """The aircraft that were lost at cruise between two ticks, and those that go round: nothing else makes their legs be
        stored while they are in the air, and what they do be told."""
        if state.ticked is None or before.ticked is None or state.ticked == before.ticked:
            return set()
        lost = timedelta(microseconds=leg_stage.LOST_AFTER)
        silent = leg_stage.lost_at_cruise(state.legs, before.ticked - lost, state.ticked - lost)
        return silent | leg_stage.going_round(state.legs, before.ticked)

    def gone_silent(self, state: State, now: datetime) -> set[int]:
        """The aircraft that were lost at cruise a short while ago: nothing else makes their legs be stored."""
        lost = now - timedelta(microseconds=leg_stage.LOST_AFTER)
        return leg_stage.lost_at_cruise(state.legs, lost - LOST_LATELY, lost)

    def meetings(self, state: State, legs: Iterable[Leg]) -> tuple[Event, ...]:
        """The meetings of those aircraft that are watched, given their legs in order."""
        watched: dict[str, list[Leg]] = {}
        for leg in legs:
            if leg.source == "tracked" and self._who(aircraft_number(leg.aircraft), (leg,)).watchlists:
                watched.setdefault(leg.aircraft, []).append(leg)
        return meetings(watched, self.airports, lambda leg, end, ident: self._share(state, leg, end, ident))

    def _share(self, state: State, leg: Leg, end: End, ident: str) -> float:
        """The share of flights of such an aircraft that have an airport as this end, by the days before."""
        row = self.airports.row(ident)
        which: Literal["origin", "destination"] = "destination" if end is leg.destination else "origin"
        prior = state.baseline.over(
            which, _day(leg), aircraft=leg.aircraft, operator=leg.operator, typecode=leg.typecode, other=None
        )
        return float(prior[row]) if row is not None else 0.0

    def rederive(
        self,
        state: State,
        icao24: str,
        positions: pa.Table,
        known: Sequence[Leg],
        now: datetime,
        derivable: Callable[[Leg], bool] = lambda _: True,
    ) -> tuple[State, Correction]:
        """One aircraft anew from all its positions, because some came too late to be taken in order. The rest of the
        state stays."""
        number = aircraft_number(icao24)
        alone, brought = leg_stage.advance(leg_stage.emptied(state.legs), positions, self.model(state), self.noted)
        legs = leg_stage.replaced(state.legs, number, alone)
        state = replace(state, legs=legs, dismissed=state.dismissed - {number})
        correction = corrected((*brought.settled, *self.unsettled_legs(state, [number], now)), known, derivable)
        events = tuple(event for event in brought.events if event.aircraft == (icao24,))
        return replace(state, legs=leg_stage.renamed(state.legs, correction.aliases)), replace(correction, events=events)

    def with_recalled(self, state: State, parts: Iterable[tuple[int, bytes]]) -> State:
        """The state with aircraft that had been put aside (see `put_aside`)."""
        legs = state.legs
        for number, part in parts:
            legs = leg_stage.joined(legs, leg_stage.from_bytes(part), [number])
        return replace(state, legs=legs)

    def put_aside(self, state: State, now: datetime) -> tuple[State, dict[int, bytes], tuple[Leg, ...]]:
        """The state without the aircraft that have been out of sight for long, their parts of it, to be given back when
        they turn up again, and their legs as they stand. Nothing about them changes until then."""
        idle = leg_stage.idle_since(state.legs, now - IDLE_AFTER)
        parts = {n: leg_stage.to_bytes(leg_stage.part_of(state.legs, n)) for n in idle}
        legs = self.unsettled_legs(_whoever_is_out(state), idle, now)
        rest = leg_stage.without(state.legs, idle) if idle else state.legs
        return replace(state, legs=rest, dismissed=state.dismissed - set(idle)), parts, legs

    def take_stock(self, state: State, now: datetime, before: State | None) -> State:
        """The state after a backfill as live needs it: what rules find in the past counts as told, so that no import
        alerts anybody.

        `before` is the state that live was in; what it had told stays as it was.
        """
        reported = dict(before.reported) if before else {}
        wanted = [n for n in sorted(leg_stage.aircraft_of(state.legs)) if self._possible(n)]
        for number, legs in leg_stage.current(state.legs, wanted, self.model(state), now).items():
            told = {(r.rule_id, r.visit_id) for r in reported.get(number, ())}
            past = [f for f in self.judge(state, number, legs, now) if f.key not in told]
            if past:
                reported[number] = _said(reported.get(number, ()), past)
        return replace(state, reported=reported, ticked=before.ticked if before else None)

    # ----------------------------------------------------------------------------------------------------------------- events

    def judge_events(self, events: Iterable[Event], now: datetime, state: State | None = None) -> list[Finding]:
        """What the rules find in events, as far as these are news; an event that grew is found again. `state` tells what
        aircraft say of themselves that no list knows."""
        return [f for event in events if event.until >= now - FRESH for f in self.judge_event(event, now, state)]

    def judge_event(self, event: Event, now: datetime, state: State | None = None) -> Iterator[Finding]:
        """What the rules find in one event, whenever it was."""
        asked = [r for r in self.rules if r.subject == "event" and not rules.has_expired(r, event.since)]
        everybody = self.everybody(event, partial(_says, state) if state else None) if asked else ()
        for rule in asked:
            result = self.asked_of_event(rule, event, everybody)
            if result.truth:
                yield self._event_finding(rule, event, everybody, result.held, now)

    def _event_finding(
        self, rule: Rule, event: Event, everybody: tuple[Aircraft, ...], held: tuple[Held, ...], now: datetime
    ) -> Finding:
        first = self.foremost(rule, everybody)
        probability = 1.0 if event.probability is None else event.probability
        return Finding(reference(rule), first, None, "happened", probability, held, (), (), now, event, everybody)

    def foremost(self, rule: Rule, everybody: Sequence[Aircraft]) -> Aircraft:
        """The aircraft of an event that a rule which holds for it is about."""
        return next((one for one in everybody if rules.is_about(rule, one, self.airports)), everybody[0])

    def everybody(self, event: Event, says: Callable[[str], leg_stage.Says] | None) -> tuple[Aircraft, ...]:
        """The aircraft of an event, as they were known on its day, with what they say (by address) where lists are silent."""
        return tuple(self._known_as(n, event.since.date(), says(n) if says else leg_stage.Says()) for n in event.aircraft)

    def _known_as(self, name: str, day: date, said: leg_stage.Says) -> Aircraft:
        callsigns = (said.callsign,) if said.callsign else ()
        known = self.registry.who(name, day, registration=said.registration, typecode=said.typecode, callsigns=callsigns)
        registration, typecode = known.registration or said.registration, known.typecode or said.typecode
        return replace(known, registration=registration, typecode=typecode, callsigns=callsigns)

    def taken_back(self, told: Iterable[Finding], there: Mapping[str, Event], now: datetime) -> list[Finding]:
        """The withdrawals of findings about events that are not `there` any more, or turned into what their rule does not
        hold of. Of a rule that is no more nothing is said."""
        by_id = {rule.id: rule for rule in self.rules}
        return [gone for f in told if f.rule.rule_id in by_id for gone in self._gone(f, by_id[f.rule.rule_id], there, now)]

    def _gone(self, said: Finding, rule: Rule, there: Mapping[str, Event], now: datetime) -> list[Finding]:
        event = there.get(said.subject_id)
        if event is None:
            return [replace(said, stage="withdrawn", held=(), as_of=now)]
        case = replace(rules.event_case(event, said.everybody, self.airports), factor=BENEFIT_OF_DOUBT)
        found = None if event == said.event else rules.evaluate(rule.when, case)
        if found is None or found.truth is not False:
            return []
        return [replace(said, stage="withdrawn", event=event, held=found.missed, as_of=now)]

    # ---------------------------------------------------------------------------------------------------------------- looking

    def _look(self, state: State, numbers: Collection[int], now: datetime) -> tuple[State, list[Finding]]:
        """Finds what is new about some aircraft, and who has to be looked at again."""
        if not numbers:
            return state, []
        findings: list[Finding] = []
        reported = dict(state.reported)
        dismissed = set(state.dismissed)
        for number, legs in leg_stage.current(state.legs, numbers, self.model(state), now).items():
            new = self._news(state, number, legs, now)
            findings += new
            if new:
                reported[number] = _said(reported.get(number, ()), new)
            if not self._to_follow(number, legs):
                dismissed.add(number)
        return replace(state, reported=reported, dismissed=frozenset(dismissed)), findings

    def _worth_a_look(self, state: State, turned: Iterable[int], *, everything: bool) -> set[int]:
        """Of the aircraft that turned (or of all), those of which a rule may have something to say by now.

        That are those told of before, and for each rule those that it could match and that are near a place it names,
        or are known to go there. Farther away than `TOLD_WITHIN_NM`, an aircraft that was never there could be going to too
        many other places for anything to be said. Where a rule names no place but asks for positions, it is those that may
        have had one since the last look, and those whose flight is over: their whole way is asked. Rules about events look
        at none.
        """
        numbers = (leg_stage.aircraft_of(state.legs) if everything else set(turned)) - state.dismissed
        found = numbers.intersection(state.reported)
        for number in numbers.difference(self._seen):
            self._possible(number)
        names: dict[str, int] = {}
        for rule, rows in zip(self.rules, self._targets, strict=True):
            mine = set[int]().union(*(some & numbers for possible, some in self._alike.items() if rule.id in possible))
            if rows is None and mine and (positions := rules.positions_of(rule)):
                over = leg_stage.began_again(state.legs, mine.intersection(turned))
                mine = over | self._may_be_there(state, mine - over, positions)
            if rows is None or not mine:
                found |= mine
                continue
            found |= leg_stage.nearer_than(state.legs, mine, self.airports, rows, TOLD_WITHIN_NM)
            names = names or {aircraft_text(n): n for n in numbers}
            found |= mine.intersection(names[name] for name in state.baseline.visitors(rows) & names.keys())
        return found

    def _may_be_there(self, state: State, numbers: set[int], positions: Sequence[PositionCondition]) -> set[int]:
        """Of some aircraft, those that may have had one of such positions since the last tick, by where they were seen last.
        Heights and speeds are asked where no region is: what is true of too many says nothing of where to look."""
        found, last = leg_stage.seen_last(state.legs, numbers)
        columns = dict(zip(POINT, last.T, strict=True))
        latitude, longitude, altitude, speed = (columns[n] for n in ("latitude", "longitude", "altitude", "groundspeed"))
        asked = [p for p in positions if p.areas] or positions
        flags = [rules.may_fit(position, latitude, longitude, altitude, speed, FLOWN_BETWEEN_NM) for position in asked]
        return set(found[np.logical_or.reduce(flags)].tolist())

    def _possible(self, number: int) -> frozenset[str]:
        """The rules (ids) that can hold for an aircraft by what the lists say of it."""
        if number not in self._seen:
            who = self._who(number, ())
            found = frozenset([rule.id for rule in self.rules if rules.could_match(rule, who, None, self.airports)])
            self._seen[number] = self._sorts.setdefault(found, found)
            self._alike.setdefault(found, set()).add(number)
        return self._seen[number]

    @cached_property
    def _seen(self) -> dict[int, frozenset[str]]:
        return {}

    @cached_property
    def _sorts(self) -> dict[frozenset[str], frozenset[str]]:
        """Each set of rules once: most aircraft have one and the same."""
        return {}

    @cached_property
    def _alike(self) -> dict[frozenset[str], set[int]]:
        """The aircraft of each set of rules."""
        return {}

    @cached_property
    def _targets(self) -> list[tuple[int, ...] | None]:
        """For each rule the airports that it names or that lie in countries it names; None where it names no
        place."""
        found: list[tuple[int, ...] | None] = []
        for target in map(rules.target_of, self.rules):
            flags = rarity.place_flags(target, self.airports)
            found.append(tuple(np.flatnonzero(flags).tolist()) if target.airports or target.countries else None)
        return found

    def _who(self, number: int, legs: Sequence[Leg]) -> Aircraft:
        """Who it is on some legs of one journey, with what the last of them says where the lists are silent; without
        any, who it is whenever."""
        name = aircraft_text(number)
        if not legs:
            return self.registry.who(name, None)
        leg = legs[-1]
        callsigns = tuple(dict.fromkeys(one.callsign for one in legs if one.callsign))
        return self.identify(name, _day(leg), leg.registration, leg.typecode, leg.operator, callsigns)

    def identify(
        self,
        icao24: str,
        day: date,
        registration: str | None,
        typecode: str | None,
        operator: str | None,
        callsigns: Sequence[str] | None,
    ) -> Aircraft:
        """Who it is on a day, by the lists and by what a leg says of it. Without callsigns, lists that go by them are
        undecided."""
        known = self.registry.who(
            icao24, day, registration=registration, typecode=typecode, operator=operator, callsigns=callsigns
        )
        if (known.registration, known.typecode, known.operator) == (registration, typecode, operator):
            return known  # of most aircraft
        return replace(known, registration=registration, typecode=typecode, operator=operator)

    def _to_follow(self, number: int, legs: Sequence[Leg]) -> bool:
        """Whether an aircraft is in the air, as far as known, on a journey that a rule could match."""
        if not legs or legs[-1].status not in ("airborne", "lost"):
            return False
        journey = journeys(legs)[-1]
        who = self._who(number, journey.legs)
        return any(rules.could_match(rule, who, journey, self.airports) for rule in self.rules)

    def _news(self, state: State, number: int, legs: Sequence[Leg], now: datetime) -> list[Finding]:
        """Findings that say more or something else than what was said before, and withdrawals of what no longer
        holds."""
        before = {(r.rule_id, r.visit_id): r for r in state.reported.get(number, ())}
        lenient = frozenset(key for key, said in before.items() if said.stage != "withdrawn")
        found = {f.key: f for f in self.judge(state, number, legs, now, lenient) if _last_event(f.there) >= now - FRESH}
        news = [f for key, f in found.items() if key not in before or before[key].stage != f.stage]
        in_memory = {f"visit-{leg.leg_id}": leg for leg in legs}
        for key, said in before.items():
            if key not in found and said.stage not in ("left_again", "returned", "withdrawn") and said.visit_id in in_memory:
                news += self._withdrawal(said, number, in_memory[said.visit_id], now)
        return news

    def _withdrawal(self, said: Reported, number: int, leg: Leg, now: datetime) -> list[Finding]:
        rule = next((r for r in self.rules if r.id == said.rule_id), None)
        if rule is None:
            return []
        gone = Visit(said.visit_id, said.start, said.place, (leg,), None)
        return [Finding(reference(rule), self._who(number, (leg,)), gone, "withdrawn", 0.0, (), (), (), now)]

    def judge(
        self, state: State, number: int, legs: Sequence[Leg], now: datetime, lenient: frozenset[tuple[str, str]] = frozenset()
    ) -> Iterator[Finding]:
        """What the rules find in the legs of one aircraft. `lenient` are the rules and visits that were reported and
        keep the benefit of the doubt."""
        asking = [rule for rule in self.rules if rule.id in self._possible(number)]
        for journey in journeys(legs) if asking else ():
            who = self._who(number, journey.legs)
            for found in self.judge_journey(state, who, legs, journey, asking, now, lenient):
                yield self.with_history(state, found)

    def judge_journey(
        self,
        state: State,
        who: Aircraft,
        legs: Sequence[Leg],
        journey: Journey,
        rules_: Sequence[Rule],
        now: datetime,
        lenient: frozenset[tuple[str, str]] = frozenset(),
    ) -> Iterator[Finding]:
        """What some rules find in one journey of an aircraft, without how rare it was (`with_history`). Of its legs, those of
        the journey's days and the next one after them are needed."""
        before = [Precedents(state.baseline, who, leg, legs) for leg in journey.legs]
        for rule in rules_:
            if rule.subject == "event":
                continue
            doubted = {v.removeprefix("visit-") for r, v in lenient if r == rule.id}
            factors = [BENEFIT_OF_DOUBT if leg.leg_id in doubted else 1.0 for leg in journey.legs]
            left = onward(legs, journey) if rule.subject == "stay" else None
            for match in rules.matches(rule, journey, who, self.airports, before.__getitem__, factors, left):
                there = visit(legs, journey, match.start, match.place)
                stage = stage_of(there)
                yield Finding(self._references[rule.id], who, there, stage, match.probability, match.held, (), (), now)

    def asked(self, state: State, rule: Rule, number: int, legs: Sequence[Leg], journey: Journey) -> Iterator[Answer]:
        """What a rule says of each place of one of an aircraft's journeys."""
        aircraft = self._who(number, journey.legs)
        before = [Precedents(state.baseline, aircraft, leg, legs) for leg in journey.legs]
        left = onward(legs, journey) if rule.subject == "stay" else None
        return rules.answers(rule, journey, aircraft, self.airports, before.__getitem__, left)

    def asked_of_event(self, rule: Rule, event: Event, everybody: Sequence[Aircraft]) -> Result:
        """What a rule says of an event; `everybody` are its aircraft."""
        return rules.evaluate(rule.when, rules.event_case(event, everybody, self.airports))

    def with_history(self, state: State, found: Finding) -> Finding:
        """A finding about a visit with the visits before it, and how rare it was."""
        target, day = self._asked_about(found)
        earlier = tuple(rarity.visits_of_tail(state.baseline, target, found.aircraft, day))
        return replace(found, earlier=earlier, rarity=self.rarity_of(state, found))

    def rarity_of(self, state: State, found: Finding) -> tuple[Rarity, ...]:
        """How rare a finding about a visit was. The visits before it are not put together for that."""
        target, day = self._asked_about(found)
        return rarity.rarities(state.baseline, target, found.aircraft, day)

    def _asked_about(self, found: Finding) -> tuple[Target, date]:
        rule = next(rule for rule in self.rules if rule.id == found.rule.rule_id)
        return self._target(rule, found.there), _day(found.there.arrival)

    @cached_property
    def _references(self) -> dict[str, RuleReference]:
        return {rule.id: reference(rule) for rule in self.rules}

    def _target(self, rule: Rule, there: Visit) -> Target:
        """The places that history is asked about: those that the rule names, else the airport of the visit."""
        target = rules.target_of(rule)
        if target.airports or target.countries:
            return target
        return Target((there.place.airport,) if there.place.airport else (), ())


@dataclass(frozen=True)
class Correction:
    """Legs derived anew, under the ids by which they are known where they overlap known ones; `aliases` from the new
    ids; `gone` are the ids that are no more. `events` are all that the positions tell of the aircraft alone."""

    legs: tuple[Leg, ...]
    aliases: Mapping[str, str]
    gone: tuple[str, ...]
    events: tuple[Event, ...] = ()


def corrected(new: Sequence[Leg], known: Sequence[Leg], derivable: Callable[[Leg], bool]) -> Correction:
    """Legs derived anew against the tracked legs of the same aircraft that are known.

    Known legs whose positions are not stored any more (`derivable`) are left alone, and what was derived of their
    remains gives way to them.
    """
    unique = {leg.leg_id: leg for leg in new}
    spared = {leg.leg_id for leg in known if not derivable(leg)}
    aliases: dict[str, str] = {}
    for leg in unique.values():
        free = [o for o in known if o.leg_id not in aliases.values() and overlap(leg, o) > timedelta(0)]
        if free:
            aliases[leg.leg_id] = max(free, key=lambda o: (overlap(leg, o), o.leg_id)).leg_id
    legs = tuple(leg_stage.rename(leg, aliases) for leg in unique.values())
    kept = {leg.leg_id for leg in legs}
    gone = tuple(o.leg_id for o in known if o.leg_id not in kept | spared)
    return Correction(tuple(leg for leg in legs if leg.leg_id not in spared), {a: b for a, b in aliases.items() if a != b}, gone)


def overlap(a: Leg, b: Leg) -> timedelta:
    """How long two legs were under way at once; an instant counts as a second."""
    if a.first_seen is None or a.last_seen is None or b.first_seen is None or b.last_seen is None:
        return timedelta(0)
    shared = min(a.last_seen, b.last_seen) - max(a.first_seen, b.first_seen)
    return shared + timedelta(seconds=1) if shared >= timedelta(0) else timedelta(0)


def stage_of(there: Visit) -> Stage:
    """How far a visit has got, by what is known of it."""
    if there.departure is not None:
        return "returned" if there.departure.status in ("landed", "presumed_landed") else "left_again"
    stages: dict[str, Stage] = {
        "airborne": "heading_there",
        "lost": "lost",
        "presumed_landed": "presumed_landed",
        "landed": "landed",
    }
    return stages[there.arrival.status]


def onward(legs: Sequence[Leg], journey: Journey) -> Onward | None:
    """The flight with which an aircraft left the last stop of a journey; None while it is there, as far as known."""
    after = legs[legs.index(journey.legs[-1]) + 1 :]
    return Onward(after[0], stop_between(journey.legs[-1].destination, after[0].origin)) if after else None


def _whoever_is_out(state: State) -> State:
    """The state for questions whose answer no outage puts off."""
    return replace(state, legs=replace(state.legs, clocks={}))


def model_day(time: datetime) -> date:
    """The day whose model is in force at a time."""
    return (time - DAY_BEGINS).date()


def _says(state: State, name: str) -> leg_stage.Says:
    return leg_stage.says(state.legs, aircraft_number(name))


def _begins(day: date) -> datetime:
    """When a day's model is frozen."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + DAY_BEGINS


def by_day(positions: pa.Table, codes: Collection[str] = ()) -> list[tuple[date, Rows]]:
    """Positions as rows, by the day whose model is in force, in order of the days; `codes` are those that make events."""
    rows = rows_from_table(positions, codes)
    if not len(rows):
        return []
    days = rows.time - DAY_BEGINS // timedelta(microseconds=1)
    first, last = int(days.min()) // DAY_US, int(days.max()) // DAY_US
    if first < last:
        days //= DAY_US
        return [(_date(day), rows.take(days == day)) for day in np.unique(days[changes(days)]).tolist()]
    return [(_date(first), rows)]


def _date(number: int) -> date:
    """The date so many days after the first one of 1970."""
    return date(1970, 1, 1) + timedelta(days=number)


def tracked(opened: OpenPieces, days: Iterable[tuple[date, Rows]], preferred: Sequence[str]) -> Iterator[TrackedDay]:
    """Rows of some days in order as pieces of tracks."""
    for day, rows in days:
        step = leg_stage.track(opened, rows, preferred)
        assert step.opened is not None  # `track` tells them
        opened = step.opened
        yield day, step


def _day(leg: Leg) -> date:
    time = leg.first_seen or leg.origin.time or leg.destination.time
    assert time is not None  # a leg has at least one of them
    return time.date()


def _last_event(there: Visit) -> datetime:
    """When something was last seen of a visit."""
    leg = there.departure or there.arrival
    time = leg.last_seen or leg.destination.time or leg.origin.time
    return time or datetime.min.replace(tzinfo=UTC)


def reference(rule: Rule) -> RuleReference:
    quiet = Quiet(*clock(rule.quiet.between), rule.quiet.zone) if rule.quiet else None
    cooldown = span(rule.cooldown).total_seconds() if rule.cooldown else 0.0
    target = rules.target_of(rule)
    places = len(target.airports) + len(target.countries)
    return RuleReference(rule.id, rule.title, rule.severity, tuple(rule.notify), quiet, cooldown, places)


def _said(before: tuple[Reported, ...], findings: Sequence[Finding]) -> tuple[Reported, ...]:
    """What was said, with what is said now."""
    now = {f.key: Reported(*f.key, f.stage, f.there.start, f.there.place, f.as_of) for f in findings}
    return (*(r for r in before if (r.rule_id, r.visit_id) not in now), *now.values())


# -------------------------------------------------------------------------------------------------------------------- saving


class _Saved(msgspec.Struct):
    """The saved form of a state, MessagePack."""

    seq: int
    legs: bytes
    model_day: date | None
    ticked: datetime | None
    settled: bytes
    reported: dict[int, tuple[Reported, ...]]


def to_bytes(state: State, seq: int) -> bytes:
    """The state after the snapshot with this number, without its baseline."""
    legs = leg_stage.to_bytes(state.legs)
    settled = ipc_bytes(pa.concat_tables([LEGS.empty_table(), *state.settled]))
    saved = _Saved(seq, legs, state.model_day, state.ticked, settled, dict(state.reported))
    return msgspec.msgpack.encode(saved)


def from_bytes(data: bytes, baseline: Baseline) -> tuple[State, int]:
    """The inverse of `to_bytes`, given the baseline again. Raises Damaged where the bytes are not a state."""
    try:
        saved = msgspec.msgpack.decode(data, type=_Saved)
    except msgspec.DecodeError as error:
        raise Damaged(f"the checkpoint of the store cannot be read ({error}): run `flightwatch rebuild`") from None
    legs = leg_stage.from_bytes(saved.legs)
    settled = (ipc_table(saved.settled),)
    state = State(baseline, legs, saved.model_day, saved.ticked, frozenset(), settled, saved.reported)
    return state, saved.seq
