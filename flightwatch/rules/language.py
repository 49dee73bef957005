"""What a rule may say: typed conditions, no expressions, no patterns but globs.

when:         one of  all: [...]  any: [...]  not: {...}  use: NAME (a condition of `define:`)  or one of these:

aircraft:     {watchlist, registration, icao24, typecode, operator, callsign, country, role, military}
              all that are given must hold; a list means any of it
origin:       {airport, country, region, near, probability, observed}
              `probability` is the least that counts, 0.5 by default; `near: {airport: ZKPY, nm: 50}`
destination:  the same; via: the same, of the stops in between; at: the same, of a stay or an event
position:     {region, near, moving: entering | leaving, below, above, slower, faster}   ft, kt; of a leg's way
time:         {of: takeoff | landing, days: [sat, sun], between: 22:00-06:00, zone: UTC | local, since, until}
duration:     {of: leg | stay | journey, at_least: 3 h, at_most: 2 days}
visits:       {of: tail | fleet | type | anybody, to: airport | country, at_least: 3, at_most, within: 30 days}
after:        {leg: {...}, within: 3 days}   an earlier flight of the same aircraft
dormant:      {at_least: 60 days}            first flight for so long
first_seen:   {unknown: match | skip}        no earlier flight of the aircraft at all
first_visit:  {of: tail | fleet | type | anybody, to: airport | country, unknown: match | skip}
rarity:       {of: tail | fleet | type | anybody, at_most: 12 per year, unknown: match | skip}
              `budget: 2 per week` instead of `at_most` sets the rate by how many alerts there may be
event:        {kind, reason, probability}    of the subject `event`
squawk:       "7001" or ["7001", "00*"]      a code that an aircraft sends, of the subject `event`
together:     {at_least: 2, aircraft: {...}} how many of the aircraft of an event fit
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from flightwatch.config import Name
from flightwatch.documents import Strict, nearest
from flightwatch.places.regions import Region
from flightwatch.records import CODE, EMERGENCY_CODES, HAPPENED, SUSPECT_POSITION
from flightwatch.rules.measures import Clock, Moment, Rate, Span, per_day

LEG = re.compile(r"([A-Za-z0-9-]+?)-([A-Za-z0-9]{3,4}|[A-Za-z]{2}-\d{4})")
ADDRESS = re.compile(r"~?(?:[0-9a-fA-F?]{6}|(?=.{1,7}$)[0-9a-fA-F?]*\*[0-9a-fA-F?*]*)")
LIST = "list:"
"""What a word begins with that stands for a list of `define:`."""

KINDS = (SUSPECT_POSITION, *(kind for kind in HAPPENED if kind != CODE))
"""The kinds of events that a rule may name. Codes of transponders are asked for as such: no event is made of any other."""

SQUAWK = re.compile("[0-7]{4}")
EVERY_SQUAWK = tuple(f"{number:04o}" for number in range(0o10000))

MOST_SQUAWKS = 64
"""Codes that a pattern may stand for: two of the four digits are written. What half of the traffic sends tells nothing."""

MOST_DEEP = 20
"""Conditions in conditions in conditions; nobody reads deeper ones."""

Subject = Literal["leg", "journey", "stay", "event"]
Of = Literal["tail", "fleet", "type", "anybody"]
To = Literal["airport", "country"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[str, ...] = get_args(Day)


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _spelled(digits: int) -> Callable[[Any], Any]:
    """What is of digits alone and has no quotes is a number to YAML; it means so many digits."""

    def spell(value: Any) -> Any:
        if isinstance(value, list):
            return [spell(v) for v in value]
        return f"{value:0{digits}d}" if isinstance(value, int) and not isinstance(value, bool) else value

    return spell


_address, _squawk = _spelled(6), _spelled(4)


def _is_like_addresses(word: str) -> str:
    if not ADDRESS.fullmatch(word) and not word.startswith(LIST):
        raise ValueError(f"`{word}` is no address: six hex digits in quotes, or a pattern of them like 1552*")
    return word


@lru_cache(maxsize=1024)
def squawks_like(pattern: str) -> tuple[str, ...]:
    """The codes that a pattern stands for."""
    return tuple(code for code in EVERY_SQUAWK if fnmatchcase(code, pattern))


def wrong_squawk(pattern: str) -> str | None:
    """What is wrong with a pattern of codes."""
    many = len(squawks_like(pattern)) if re.fullmatch("[0-7?*]+", pattern) else 0
    if not many:
        return f"`{pattern}` is no code of a transponder: four digits from 0 to 7 in quotes, or a pattern of them like 00*"
    if many > MOST_SQUAWKS:
        return f"`{pattern}` stands for {many} codes, at most {MOST_SQUAWKS} are looked for: write two of the four digits"
    return None


def _is_like_squawks(word: str) -> str:
    if not word.startswith(LIST) and (wrong := wrong_squawk(word)):
        raise ValueError(wrong)
    return word


def _is_a_squawk(word: str) -> str:
    if not SQUAWK.fullmatch(word):
        raise ValueError(f"`{word}` is no code of a transponder: four digits from 0 to 7 in quotes")
    return word


def _is_a_kind(word: str) -> str:
    if word == CODE:
        raise ValueError(f'`{CODE}` is asked for by the codes themselves: write `squawk: "7001"` instead of `event`')
    if word not in KINDS:
        raise ValueError(f"`{word}` is no kind of event: one of {', '.join(KINDS)}{nearest(word, KINDS)}")
    return word


def _are_words(words: list[str]) -> list[str]:
    for word in words:
        if word.startswith(LIST):
            raise ValueError(f"`{word}`: a list holds words, not other lists")
    return words


Corner = Annotated[tuple[float, float], Field(strict=False)]
"""Latitude, longitude in degrees."""

Kind = Annotated[str, AfterValidator(_is_a_kind), WithJsonSchema({"enum": list(KINDS)})]
Role = Literal["state", "military", "police", "private", "civil"]
_Some = Annotated[list[str], Field(min_length=1)]
Words = Annotated[_Some, BeforeValidator(_listed, json_schema_input_type=str | _Some)]
PlainWords = Annotated[Words, AfterValidator(_are_words)]
Numbered = str | int
"""What digits alone are to YAML, with quotes and without."""

Several = Numbered | Annotated[list[Numbered], Field(min_length=1)]
Addresses = Annotated[
    list[Annotated[str, AfterValidator(_is_like_addresses)]],
    Field(min_length=1),
    BeforeValidator(lambda v: _address(_listed(v)), json_schema_input_type=Several),
]
Squawks = Annotated[
    list[Annotated[str, AfterValidator(_is_like_squawks)]],
    Field(min_length=1),
    BeforeValidator(lambda v: _squawk(_listed(v)), json_schema_input_type=Several),
]
Kinds = Annotated[list[Kind], Field(min_length=1), BeforeValidator(_listed, json_schema_input_type=Kind | list[Kind])]
Days = Annotated[list[Day], Field(min_length=1), BeforeValidator(_listed, json_schema_input_type=Day | list[Day])]
Roles = Annotated[list[Role], Field(min_length=1), BeforeValidator(_listed, json_schema_input_type=Role | list[Role])]


class Says(Strict):
    """A condition that must say something: without any of its settings it would mean everything."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    @model_validator(mode="after")
    def _says_something(self) -> Says:
        if all(getattr(self, name) is None for name in self.demands()):
            raise ValueError(f"is empty: name {self.hint()}")
        return self

    @classmethod
    def demands(cls) -> tuple[str, ...]:
        """The settings of which one must be given."""
        return tuple(cls.model_fields)

    @classmethod
    def hint(cls) -> str:
        return "one of " + ", ".join(cls.demands())


class AircraftCondition(Says):
    """Which aircraft: all that is given must hold, a list means any of it, `*` and `?` stand for any letters and one. Of an
    event, one of its aircraft."""

    watchlist: Words | None = None
    registration: Words | None = None
    icao24: Addresses | None = None
    typecode: Words | None = None
    operator: Words | None = None
    callsign: Words | None = None
    country: Words | None = None
    role: Roles | None = None
    military: bool | None = None

    @classmethod
    def hint(cls) -> str:
        return "a watchlist, a registration, ..."


class Near(Strict):
    """All within some nautical miles of an airport or a point."""

    airport: str | None = None
    latitude: float | None = Field(None, ge=-90, le=90, strict=False)
    longitude: float | None = Field(None, ge=-180, le=180, strict=False)
    nm: float = Field(gt=0, le=2000, strict=False)

    @model_validator(mode="after")
    def _is_a_point(self) -> Near:
        point = (self.latitude is not None, self.longitude is not None)
        if any(point) == (self.airport is not None) or len(set(point)) == 2:
            raise ValueError("name an airport, or a latitude and a longitude")
        return self


class Area(Says):
    """What names regions. `areas` are their outlines, found when the file is read."""

    region: Words | None = None
    near: Near | None = None
    _areas: tuple[Region, ...] = PrivateAttr(())

    @property
    def areas(self) -> tuple[Region, ...]:
        return self._areas


class PlaceCondition(Area):
    """A place: any of the airports, countries, regions and surroundings that are given, with `probability` at least (0.5 unless
    said otherwise); with `observed: true` only where somebody saw it."""

    airport: Words | None = None
    country: Words | None = None
    probability: float = Field(0.5, gt=0, le=1, strict=False)
    observed: bool = False
    _inside: tuple[str, ...] = PrivateAttr(())

    @property
    def inside(self) -> tuple[str, ...]:
        """The airports in the regions, found when the file is read."""
        return self._inside

    @classmethod
    def demands(cls) -> tuple[str, ...]:
        return "airport", "country", "region", "near"

    @classmethod
    def hint(cls) -> str:
        return "an airport or a country, a region, or what it is near to"


class PositionCondition(Area):
    """A place, height (ft) or speed (kt) on the way of a flight, as far as it was seen: a point that fits in all that is
    given."""

    moving: Literal["entering", "leaving"] | None = None
    below: float | None = Field(None, strict=False)
    above: float | None = Field(None, strict=False)
    slower: float | None = Field(None, gt=0, strict=False)
    faster: float | None = Field(None, gt=0, strict=False)

    @model_validator(mode="after")
    def _moves_somewhere(self) -> PositionCondition:
        if self.moving and self.region is None and self.near is None:
            raise ValueError(f"{self.moving} what? name a region, or what it is near to")
        return self


class TimeCondition(Says):
    """When the flight took off or landed, or the event began. Days, `between` and times without a zone are UTC, or with
    `zone: local` those of the airport; `until` is outside."""

    of: Literal["takeoff", "landing"] = "takeoff"
    days: Days | None = None
    between: Clock | None = None
    zone: Literal["UTC", "local"] = "UTC"
    since: Moment | None = None
    until: Moment | None = None

    @classmethod
    def demands(cls) -> tuple[str, ...]:
        return "days", "between", "since", "until"


class DurationCondition(Says):
    """How long a flight, a stay or a journey took."""

    of: Literal["leg", "stay", "journey"] | None = None
    at_least: Span | None = None
    at_most: Span | None = None

    @classmethod
    def demands(cls) -> tuple[str, ...]:
        return "at_least", "at_most"


class VisitsCondition(Says):
    """How many visits to the place there were within a time, this one included."""

    of: Of = "tail"
    to: To = "airport"
    at_least: int | None = Field(None, ge=1)
    at_most: int | None = Field(None, ge=1)
    within: Span

    @classmethod
    def demands(cls) -> tuple[str, ...]:
        return "at_least", "at_most"


class DormantCondition(Strict):
    """The first flight for so long, on as many observed days."""

    at_least: Span


Unknown = Literal["match", "skip"]


class FirstSeenCondition(Strict):
    """No earlier flight of the aircraft is on record, on 90 observed days or more. With fewer it is not known: `unknown` says
    what that means."""

    unknown: Unknown | None = None


class FirstVisitCondition(Strict):
    """No earlier visit to the place is on record, on 90 observed days or more. With fewer it is not known: `unknown` says what
    that means."""

    of: Of = "tail"
    to: To = "airport"
    unknown: Unknown | None = None


class RarityCondition(Strict):
    """How often the place was visited before, on 90 observed days or more: no more often than a rate, or than an alert budget
    lets through. With fewer days it is not known: `unknown` says what that means. `_limit` is the rate (visits a day) that a
    budget means, None until the history of a store has told."""

    of: Of = "tail"
    at_most: Rate | None = None
    budget: Rate | None = None
    unknown: Unknown | None = None
    _limit: float | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _has_one_limit(self) -> RarityCondition:
        if (self.at_most is None) == (self.budget is None):
            raise ValueError("give either `at_most: 12 per year` or `budget: 2 per week`")
        return self

    @property
    def per_day(self) -> float | None:
        return self._limit if self.at_most is None else per_day(self.at_most)

    def limited(self, per_day: float) -> RarityCondition:
        """The same with what its budget means."""
        out = self.model_copy()
        out._limit = per_day
        return out


class EventCondition(Says):
    """What kind of event it is, of which sort, and how probable."""

    kind: Kinds | None = None
    reason: Words | None = None
    probability: float | None = Field(None, gt=0, le=1, strict=False)


class TogetherCondition(Strict):
    """How many of the aircraft of an event are of a kind."""

    at_least: int = Field(2, ge=2)
    aircraft: AircraftCondition | None = None


class AfterCondition(Strict):
    """An earlier flight of the same aircraft, which was over within a time before."""

    leg: Condition
    within: Span


class Condition(Strict):
    """Exactly one condition, or several under `all`, `any` or `not`."""

    model_config = ConfigDict(populate_by_name=False, json_schema_extra={"minProperties": 1, "maxProperties": 1})

    all_: list[Condition] | None = Field(None, alias="all", min_length=1)
    any_: list[Condition] | None = Field(None, alias="any", min_length=1)
    not_: Condition | None = Field(None, alias="not")
    use: str | None = None
    aircraft: AircraftCondition | None = None
    origin: PlaceCondition | None = None
    destination: PlaceCondition | None = None
    via: PlaceCondition | None = None
    at: PlaceCondition | None = None
    position: PositionCondition | None = None
    time: TimeCondition | None = None
    duration: DurationCondition | None = None
    visits: VisitsCondition | None = None
    after: AfterCondition | None = None
    dormant: DormantCondition | None = None
    first_seen: FirstSeenCondition | None = None
    first_visit: FirstVisitCondition | None = None
    rarity: RarityCondition | None = None
    event: EventCondition | None = None
    squawk: Squawks | None = None
    together: TogetherCondition | None = None

    @property
    def kind(self) -> str:
        """Which of them it is."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _is_one_condition(self) -> Condition:
        given = [f.alias or n for n, f in type(self).model_fields.items() if getattr(self, n) is not None]
        if len(given) != 1:
            what = f"has {', '.join(given)}" if given else "is empty"
            raise ValueError(
                f"{what}: a condition is exactly one thing; put several under `all:` or `any:`, each with a dash of its own"
            )
        return self


MEANT_FOR: dict[str, tuple[Subject, ...]] = {
    "origin": ("leg", "journey", "stay"),
    "destination": ("leg", "journey", "stay"),
    "via": ("journey",),
    "at": ("stay", "event"),
    "position": ("leg", "journey"),
    "visits": ("leg", "journey", "stay"),
    "after": ("leg", "journey", "stay"),
    "duration": ("leg", "journey", "stay"),
    "dormant": ("leg", "journey", "stay"),
    "first_seen": ("leg", "journey", "stay"),
    "first_visit": ("leg", "journey", "stay"),
    "rarity": ("leg", "journey", "stay"),
    "event": ("event",),
    "squawk": ("event",),
    "together": ("event",),
}
"""The subjects that a condition can be asked of; what is not here can be asked of all."""

OF_A_PAST_LEG = ("all_", "any_", "not_", "aircraft", "origin", "destination", "time", "duration")
"""What can be asked of the earlier flight of `after`."""


class GivenEvent(Strict):
    """An event made up for a test, of the test's aircraft and `others`: of a `kind`, or the sending of a code (`squawk`)."""

    kind: Kind | None = None
    squawk: Annotated[str, BeforeValidator(_squawk, json_schema_input_type=str | int), AfterValidator(_is_a_squawk)] | None = None
    reason: str = ""
    airports: list[str] = []
    at: Corner | None = None
    others: list[str] = []
    probability: float | None = Field(1.0, ge=0, le=1, strict=False)

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> GivenEvent:
        if (self.kind is None) == (self.squawk is None) or (self.squawk is not None and self.reason):
            raise ValueError('give either a `kind`, with its `reason`, or a `squawk: "7001"`')
        return self


class Given(Strict):
    """A flight made up for a test: `legs` as AAAA-BBBB, one each ten hours and nine hours long, or with their times
    behind them (`AAAA-BBBB 2024-01-01T10:00 2024-01-01T18:30`, UTC); `history` as `AAAA-BBBB 2023-08-01`, flown by the same
    aircraft, with all days observed from the first of them on, or from `watched_since`. `way` are positions of the last leg:
    latitude, longitude, altitude (ft)."""

    aircraft: Annotated[str, BeforeValidator(_address, json_schema_input_type=str | int)]
    legs: list[str] = []
    callsign: str | None = None
    typecode: str | None = None
    operator: str | None = None
    history: list[str] | None = None
    watched_since: date | None = Field(None, strict=False)
    way: list[Annotated[tuple[float, float, float], Field(strict=False)]] = []
    event: GivenEvent | None = None

    @field_validator("legs", "history")
    @classmethod
    def _are_flights(cls, flights: list[str] | None, info: Any) -> list[str] | None:
        for flight in flights or ():
            words = flight.split()
            dated = info.field_name == "history"
            right = LEG.fullmatch(words[0]) if words else None
            if not right or (len(words) != 2 if dated else len(words) not in (1, 3)) or not all(map(_is_a_time, words[1:])):
                raise ValueError(
                    f"`{flight}`: write an earlier flight as two airports and a day, like UUMU-ZKPY 2023-08-01"
                    if dated
                    else f"`{flight}`: write a leg as two airports with a dash, like UUMU-ZKPY, or with both of its times behind"
                    " it (2024-01-01T10:00)"
                )
            if len(words) == 3 and not utc(words[1]) < utc(words[2]):
                raise ValueError(f"`{flight}`: it lands before it takes off")
        return flights

    @model_validator(mode="after")
    def _has_a_subject(self) -> Given:
        if bool(self.legs) == bool(self.event):
            raise ValueError("give legs, or an event")
        return self


def utc(text: str) -> datetime:
    """A day or a time as tests write it; UTC where no zone is written. Raises ValueError."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _is_a_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


class InlineTest(Strict):
    """A made-up flight or event, and whether the rule holds for it."""

    name: str
    given: Given
    expect: Literal["match", "no match"]


class QuietHours(Strict):
    """When messages of a rule are held back until the hours are over; `zone` is a name like Europe/Berlin."""

    between: Clock
    zone: str = "UTC"


class Rule(Strict):
    """What somebody wants to be told about."""

    id: Name
    title: str
    severity: Literal["low", "medium", "high"] = "medium"
    subject: Subject = "journey"
    when: Condition
    notify: Annotated[list[str], BeforeValidator(_listed, json_schema_input_type=str | list[str])] = ["all"]
    quiet: QuietHours | None = None
    cooldown: Span | None = None
    expires: date | None = Field(None, strict=False)
    tests: list[InlineTest] = []


class GivenRegion(Says):
    """A region: a file beside the rules, or corners (latitude, longitude)."""

    file: str | None = None
    corners: list[Corner] | None = Field(None, min_length=3)


class Definitions(Strict):
    """Names for what several rules say."""

    lists: dict[Name, PlainWords] = {}
    regions: dict[Name, GivenRegion] = {}
    conditions: dict[Name, Condition] = {}


class RuleFile(Strict):
    """Rules, and names for what several of them say."""

    define: Definitions = Definitions()
    rules: list[Rule] = []


def schema() -> dict[str, Any]:
    """The JSON Schema of rule files, for editors. It knows the form alone, not which airports and lists there are."""
    described = TypeAdapter(RuleFile | Annotated[list[Rule], Field(min_length=1)]).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "flightwatch rules", **described}


def parts(condition: Condition) -> list[Condition]:
    """The conditions that one is made of directly."""
    return [*(condition.all_ or ()), *(condition.any_ or ()), *([condition.not_] if condition.not_ else ())]


def conditions(condition: Condition, *, denied: bool = True) -> list[Condition]:
    """A condition and all that it is made of; without what stands under a `not` where `denied` is false. The earlier flight
    of an `after` is another matter."""
    inner = [] if condition.not_ and not denied else parts(condition)
    return [condition, *(c for part in inner for c in conditions(part, denied=denied))]


def places(condition: Condition) -> list[PlaceCondition]:
    """The places that one condition names itself."""
    return [p for p in (condition.origin, condition.destination, condition.via, condition.at) if p is not None]


def names_somebody_or_somewhere(condition: Condition) -> bool:
    """Whether a condition demands certain aircraft, places or events."""
    return any(c.aircraft or places(c) or c.position or c.event or c.squawk for c in conditions(condition, denied=False))


def codes_of(rules: Sequence[Rule]) -> frozenset[str]:
    """The codes of transponders that rules ask for, but for those of emergencies, which make events anyway."""
    patterns = [pattern for rule in rules for condition in conditions(rule.when) for pattern in condition.squawk or ()]
    return frozenset(code for pattern in patterns for code in squawks_like(pattern)) - frozenset(EMERGENCY_CODES)
