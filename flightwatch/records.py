"""The tables and records that the stages hand each other. Nothing else is shared between them.

Two Arrow tables: `POSITIONS` (what a feed said) and `LEGS` (what was made of it). Units stand in the field metadata:
ft, kt, deg true, ft/min, UTC. The column names of positions are those that pandas-based flight tools share.
Everything else is a frozen dataclass; times are aware UTC datetimes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from operator import attrgetter
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

UNKNOWN = "unknown"

Basis = Literal["observed", "inferred", "unknown"]
Status = Literal["airborne", "lost", "presumed_landed", "landed"]
Severity = Literal["low", "medium", "high"]
Stage = Literal[
    "heading_there", "airborne", "lost", "presumed_landed", "landed", "left_again", "returned", "happened", "withdrawn"
]
Notice = Literal["outage", "outage_over", "rules_refused", "many", "backtest"]
"""What a message can be about besides a stage of a visit."""

TIME = pa.timestamp("us", tz="UTC")


def _field(name: str, kind: pa.DataType, unit: str = "") -> pa.Field:
    return pa.field(name, kind, metadata={"unit": unit} if unit else None)


POSITIONS = pa.schema(
    [
        _field("timestamp", TIME, "UTC, the time of the fix"),
        _field("icao24", pa.string(), "6 lower-case hex digits, ~ before addresses that are not ICAO's"),
        _field("callsign", pa.string()),
        _field("registration", pa.string()),
        _field("typecode", pa.string(), "ICAO type designator"),
        _field("latitude", pa.float64(), "deg"),
        _field("longitude", pa.float64(), "deg"),
        _field("altitude", pa.float32(), "ft, barometric"),
        _field("geoaltitude", pa.float32(), "ft, above the WGS 84 ellipsoid"),
        _field("groundspeed", pa.float32(), "kt"),
        _field("track", pa.float32(), "deg true"),
        _field("vertical_rate", pa.float32(), "ft/min"),
        _field("onground", pa.bool_()),
        _field("squawk", pa.string(), "4 octal digits"),
        _field("emergency", pa.string()),
        _field("category", pa.string(), "emitter category, A0 to D7"),
        _field("military", pa.bool_()),
        _field("source", pa.string(), "adsb, adsr, mlat, tisb, adsc, radar, mode_s, estimated, other"),
        _field("nic", pa.float32()),
        _field("nac_p", pa.float32()),
        _field("sil", pa.float32()),
        _field("last_contact", TIME, "UTC, heard with or without a fix"),
        _field("received", TIME, "UTC, when flightwatch got it"),
        _field("feed", pa.string()),
    ],
    metadata={"flightwatch": "positions 1"},
)

_CANDIDATES = pa.list_(pa.struct([("airport", pa.string()), ("probability", pa.float64())]))
_GAPS = pa.list_(
    pa.struct([("start", TIME), ("end", TIME), ("decision", pa.string()), ("probability", pa.float64()), ("reason", pa.string())])
)


def _end_fields(end: str, event: str) -> list[pa.Field]:
    return [
        _field(f"{event}_time", TIME, "UTC; the middle of the interval where it was not seen"),
        _field(f"{event}_earliest", TIME, "UTC"),
        _field(f"{event}_latest", TIME, "UTC"),
        _field(end, pa.string(), "OurAirports ident"),
        _field(f"{end}_basis", pa.string(), "observed, inferred or unknown"),
        _field(f"{end}_probability", pa.float64(), "of the leading airport"),
        _field(f"{end}_candidates", _CANDIDATES),
        _field(f"{end}_reason", pa.string()),
    ]


LEGS = pa.schema(
    [
        _field("leg_id", pa.string()),
        _field("revision", pa.int32()),
        _field("journey_id", pa.string()),
        _field("icao24", pa.string()),
        _field("registration", pa.string()),
        _field("typecode", pa.string()),
        _field("operator", pa.string()),
        _field("callsign", pa.string()),
        _field("first_seen", TIME, "UTC"),
        _field("last_seen", TIME, "UTC"),
        *_end_fields("origin", "takeoff"),
        *_end_fields("destination", "landing"),
        _field("landed_probability", pa.float64()),
        _field("status", pa.string(), "airborne, lost, presumed_landed or landed"),
        _field("gaps", _GAPS),
        _field("longest_gap_s", pa.float64(), "s"),
        _field("distance_nm", pa.float64(), "nm, along the positions and straight across gaps"),
        _field("positions", pa.int64()),
        _field("model", pa.string(), "the UTC day whose priors it was judged with"),
        _field("source", pa.string(), "tracked (from positions) or listed (from a flight list)"),
        _field("feeds", pa.list_(pa.string())),
        _field("list_order", pa.int64(), "place in the flight list, where it comes from one"),
        _field("way", pa.binary(), "the track thinned to a few positions: the bytes of an array of WAYPOINT"),
        _field("events", pa.binary(), "what it did besides going from one place to another: Events as MessagePack"),
    ],
    metadata={"flightwatch": "legs 1"},
)

WAYPOINT = np.dtype([("time", "<u4"), ("latitude", "<f4"), ("longitude", "<f4"), ("altitude", "<f4")])
"""One position of a way: seconds since 1970, deg, deg, ft (NaN where unknown)."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY, _DAY_US = _EPOCH.toordinal(), 86_400_000_000


def utc(timestamp_us: int) -> datetime:
    """Microseconds since 1970, as arrays hold them, to an aware datetime, exactly."""
    return _EPOCH + timedelta(0, 0, int(timestamp_us))


def day_of(timestamp_us: int) -> date:
    """The UTC day of a time in microseconds since 1970."""
    return date.fromordinal(_EPOCH_DAY + int(timestamp_us) // _DAY_US)


def micros(time: datetime) -> int:
    """The inverse of `utc`."""
    return int(time.replace(microsecond=0).timestamp()) * 1_000_000 + time.microsecond


# ---------------------------------------------------------------------------------------------------------------- feeds, store


@dataclass(frozen=True, slots=True)
class Scope:
    """What a snapshot or an import asked for, so that what was not asked for is not taken for an empty sky.

    kind: world; area (`members`: latitude, longitude, radius in nm; or the place of a receiver, without a radius; or
    south, west, north, east); aircraft (`members`: addresses, or registrations
    with a colon before them); types; military; reported (a collection of single reports: it says nothing of what it
    does not mention).
    """

    kind: Literal["world", "area", "aircraft", "types", "military", "reported"]
    members: tuple[str, ...] = ()

    def covers(
        self, icao24: str | None, registration: str | None = None, *, military: bool = False, typecode: str | None = None
    ) -> bool:
        """Whether this aircraft would have been in it, wherever it was. Of areas only the caller can tell."""
        if self.kind == "aircraft":
            return icao24 in self.members or f":{registration}" in self.members
        if self.kind == "types":
            return typecode in self.members
        return self.kind == "world" or (self.kind == "military" and military)

    def to_json(self) -> str:
        return json.dumps({"kind": self.kind, "members": list(self.members)})

    @staticmethod
    def from_json(text: str) -> Scope:
        data = json.loads(text)
        return Scope(data["kind"], tuple(data["members"]))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The positions of one poll of one feed. `refused` counts by reason what the feed sent and nobody can use."""

    feed: str
    feed_time: datetime
    received: datetime
    scope: Scope
    positions: pa.Table
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a source demands of those who use it, and whether it is real."""

    attribution: str = ""
    retention_days: int | None = None
    republish: bool = True
    reconstructed: bool = False

    @property
    def credit(self) -> str:
        """Whom to name, and that nobody may pass it on where that is so; empty where nobody asks for either."""
        return self.attribution if self.republish else f"{self.attribution or 'a source'} (not to be republished)"


def credits_of(terms: Iterable[Terms]) -> tuple[str, ...]:
    """What stands beside data from these sources, each once."""
    return tuple(dict.fromkeys(t.credit for t in terms if t.credit))


TERMS_KEY = b"flightwatch.terms"
"""In the metadata of a Parquet file: the terms of each source of its rows, as JSON."""

FORMULA_STARTS = ("=", "+", "-", "@")
"""How a cell begins that a spreadsheet takes for a formula."""

Circuit = Literal["closed", "open", "shut"]
"""Whether a question is asked at its pace, less often because it failed, or not any more."""


@dataclass(frozen=True, slots=True)
class QueryHealth:
    """How one question to a feed does, kept for other processes to read. Counts are since `started`.

    `last_good` is the feed's time of the newest snapshot; `unanswered_since` when it first brought nothing new, and
    `truncated_since` when it first brought only a part, since the last time that it was well; both outlast restarts, as
    does `rests_since`, from when on it waits for credits, until `rests_until` (None: until flightwatch is started anew).
    """

    feed: str
    label: str
    every_s: float
    started: datetime
    updated: datetime
    circuit: Circuit = "closed"
    good: int = 0
    unchanged: int = 0
    positions: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    last_good: datetime | None = None
    last_error: str = ""
    last_reason: str = ""
    unanswered_since: datetime | None = None
    truncated_since: datetime | None = None
    credits_left: int | None = None
    rests_since: datetime | None = None
    rests_until: datetime | None = None


OutageKind = Literal["silent", "stale", "truncated", "resting"]


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which a feed was silent, its data were stale, it sent a part only, or it rested for want of credits: told
    once, and once when it is over. `well_since` is set while it seems to be."""

    feed: str
    kind: OutageKind
    since: datetime
    questions: tuple[str, ...]
    reason: str
    well_since: datetime | None = None
    ended: datetime | None = None

    @property
    def subject(self) -> str:
        return f"feed-{self.feed}-{self.kind}-{self.since:%Y%m%dT%H%M%S}"


# ---------------------------------------------------------------------------------------------------------------------- events


SUSPECT_POSITION = "position.suspect"
"""The kind of event for positions that are not believed."""

DIVERSION, TURN_BACK = "leg.diversion", "leg.turn_back"
HOLDING, CIRCLING = "flight.holding", "flight.circling"
TRANSPONDER_LOST = "transponder.lost"
RENDEZVOUS = "rendezvous"
EMERGENCY, CODE = "squawk.emergency", "squawk.code"
HAPPENED = {
    DIVERSION: "diverted",
    TURN_BACK: "turned back",
    HOLDING: "held",
    CIRCLING: "circled",
    TRANSPONDER_LOST: "fell silent where it would have been heard",
    RENDEZVOUS: "met another watched aircraft",
    EMERGENCY: "sent an emergency code",
    CODE: "sent a code that a rule asks for",
}
"""What the kinds of events of legs mean, in words for people."""

BEGAN = "began_latitude", "began_longitude"
"""Evidence of events that grow while the aircraft flies on: where the first of their positions lies (degrees)."""

EMERGENCY_CODES = ("7500", "7600", "7700")
"""Unlawful interference, radio failure, any other emergency: they make events of their own kind, whether or not a rule asks."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to one aircraft or several, whether or not a rule asks for it.

    `kind` is what (`position.suspect`), `reason` which sort of it. It lies between `since` and `until`, and in the area
    between the parallels and meridians (degrees; an area across the antimeridian is told as the whole width). `count`
    positions of `feeds` tell of it; `evidence` are numbers by name, with their units in the names.

    Events of legs name them (`legs`), the `airports` that they are about, and say in `words` what they rest on;
    `probability` and `basis` are those of what is claimed; the first is null where nobody can put a number to it.
    """

    event_id: str
    kind: str
    reason: str
    aircraft: tuple[str, ...]
    since: datetime
    until: datetime
    south: float
    west: float
    north: float
    east: float
    count: int
    feeds: tuple[str, ...] = ()
    evidence: Mapping[str, float] = field(default_factory=dict)
    legs: tuple[str, ...] = ()
    airports: tuple[str, ...] = ()
    words: str = ""
    basis: Basis = "observed"
    probability: float | None = 1.0


# ------------------------------------------------------------------------------------------------------------------------ legs


@dataclass(frozen=True, slots=True)
class Candidate:
    """An airport (`ident`) or `unknown`, and how probable it is."""

    airport: str
    probability: float


@dataclass(frozen=True, slots=True)
class End:
    """One end of a leg. `airport` leads with at least 0.5, or is null; `probability` is that of the leading
    candidate.

    `time` lies in the middle between `earliest` and `latest`, which are one where the take-off or landing itself was
    seen.
    """

    airport: str | None
    basis: Basis
    probability: float
    candidates: tuple[Candidate, ...]
    reason: str
    time: datetime | None
    earliest: datetime | None
    latest: datetime | None


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch without positions inside a leg or at its end, and what it was taken for."""

    start: datetime
    end: datetime
    decision: Literal["flying", "landed"]
    probability: float
    reason: str


@dataclass(frozen=True, slots=True)
class Leg:
    """One flight of one aircraft, take-off to landing. `events` are what it did besides: see `legs.manoeuvres`."""

    leg_id: str
    revision: int
    journey_id: str
    icao24: str | None
    registration: str | None
    typecode: str | None
    operator: str | None
    callsign: str | None
    first_seen: datetime | None
    last_seen: datetime | None
    origin: End
    destination: End
    landed_probability: float
    status: Status
    gaps: tuple[Gap, ...]
    longest_gap_s: float
    distance_nm: float
    positions: int
    model: str
    source: Literal["tracked", "listed"]
    feeds: tuple[str, ...]
    list_order: int | None = None
    way: bytes = b""
    events: tuple[Event, ...] = ()

    @property
    def aircraft(self) -> str:
        """What identifies the aircraft across legs: its address, else its registration."""
        return self.icao24 or f":{self.registration}"


_END_COLUMNS = {"origin": "takeoff", "destination": "landing"}


_OTHERWISE = ("origin", "destination", "takeoff", "landing_", "gaps", "events")
_PLAIN = [f.name for f in LEGS if not f.name.startswith(_OTHERWISE)]
_write_events = msgspec.msgpack.Encoder().encode
_read_events = msgspec.msgpack.Decoder(tuple[Event, ...]).decode


def legs_table(legs: Iterable[Leg]) -> pa.Table:
    """Legs as rows of `LEGS`, column by column: row by row takes three times as long."""
    legs = list(legs)
    columns: dict[str, Any] = {name: list(map(attrgetter(name), legs)) for name in _PLAIN}
    columns["events"] = [_write_events(leg.events) if leg.events else None for leg in legs]
    columns["gaps"] = _listed([leg.gaps for leg in legs], LEGS.field("gaps").type)
    for name in _END_COLUMNS:
        columns |= _end_columns(name, list(map(attrgetter(name), legs)))
    arrays = [c if isinstance(c := columns[f.name], pa.Array) else pa.array(c, f.type) for f in LEGS]
    return pa.table(arrays, schema=LEGS)


def _end_columns(name: str, ends: list[End]) -> dict[str, Any]:
    event = _END_COLUMNS[name]
    parts = {part: f"{event}_{part}" for part in ("time", "earliest", "latest")}
    parts |= {"airport": name} | {part: f"{name}_{part}" for part in ("basis", "probability", "reason")}
    columns: dict[str, Any] = {column: list(map(attrgetter(part), ends)) for part, column in parts.items()}
    candidates = f"{name}_candidates"
    return columns | {candidates: _listed([end.candidates for end in ends], LEGS.field(candidates).type)}


def _listed(rows: list[tuple[Any, ...]], kind: pa.ListType) -> pa.ListArray:
    """Records as a column of lists, one list a row."""
    flat = [one for row in rows for one in row]
    parts = [pa.array(list(map(attrgetter(f.name), flat)), f.type) for f in kind.value_type]
    ends = np.cumsum([0, *map(len, rows)]).astype(np.int32)
    return pa.ListArray.from_arrays(ends, pa.StructArray.from_arrays(parts, fields=list(kind.value_type)), type=kind)


def legs_from_table(table: pa.Table) -> list[Leg]:
    """The inverse of `legs_table`, column by column: row by row takes several times as long."""
    columns = {name: _values(table[name].combine_chunks()) for name in _PLAIN}
    columns["way"] = [way or b"" for way in columns["way"]]
    columns["events"] = [_read_events(events) if events else () for events in _values(table["events"].combine_chunks())]
    columns["gaps"] = _lists(table["gaps"].combine_chunks(), Gap)
    columns |= {name: _ends(name, table) for name in _END_COLUMNS}
    return list(map(Leg, *(columns[f.name] for f in fields(Leg))))


def _ends(name: str, table: pa.Table) -> list[End]:
    event = _END_COLUMNS[name]
    columns = {
        "airport": table[name],
        **{part: table[f"{name}_{part}"] for part in ("basis", "probability", "reason")},
        **{part: table[f"{event}_{part}"] for part in ("time", "earliest", "latest")},
    }
    values = {part: _values(column.combine_chunks()) for part, column in columns.items()}
    values["candidates"] = _lists(table[f"{name}_candidates"].combine_chunks(), Candidate)
    return list(map(End, *(values[f.name] for f in fields(End))))


def _values(column: pa.Array) -> list[Any]:
    """What `to_pylist` gives, which takes ten times as long: equal texts are one, and lists are tuples, empty for null."""
    if pa.types.is_list(column.type):
        return _lists(column, lambda value: value)
    if pa.types.is_string(column.type):
        encoded = column.dictionary_encode()
        words = [*encoded.dictionary.to_pylist(), None]
        return [words[i] for i in encoded.indices.fill_null(-1).to_numpy().tolist()]
    if column.type == TIME:
        since = column.to_numpy(zero_copy_only=False).view("m8[us]").tolist()  # a sum is made in a tenth of a time zone's time
        return [None if span is None else _EPOCH + span for span in since]
    return list(column.to_pylist() if column.null_count else column.to_numpy(zero_copy_only=False).tolist())


def _lists(column: pa.ListArray, made: Callable[..., Any]) -> list[tuple[Any, ...]]:
    """The values of a column of lists, made something of, as a tuple for each row; empty for null."""
    flat = column.flatten()
    parts = flat.flatten() if pa.types.is_struct(flat.type) else [flat]
    things = list(map(made, *map(_values, parts)))
    ends = np.cumsum(pc.fill_null(pc.list_value_length(column), 0)).tolist()
    return [tuple(things[begin:end]) for begin, end in pairwise([0, *ends])]


def ipc_bytes(table: pa.Table, compression: str | None = None) -> bytes:
    """A table as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table.combine_chunks())
    return bytes(sink.getvalue())


def ipc_table(data: bytes) -> pa.Table:
    """The inverse of `ipc_bytes`."""
    return pa.ipc.open_stream(data).read_all()


@dataclass(frozen=True, slots=True)
class Stop:
    """A place between two legs, or at the outer end of a journey: who thinks it was where, with what the legs on both
    sides say."""

    candidates: tuple[Candidate, ...]
    basis: Basis

    @property
    def airport(self) -> str | None:
        lead = max((c for c in self.candidates if c.airport != UNKNOWN), key=lambda c: c.probability, default=None)
        return lead.airport if lead and lead.probability >= 0.5 else None


JOURNEY_BREAK = timedelta(hours=12)
"""A stay this long, or longer, ends a journey."""


@dataclass(frozen=True, slots=True)
class Journey:
    """A chain of legs of one aircraft with short stays between. `stops` is one longer than `legs`."""

    journey_id: str
    legs: tuple[Leg, ...]
    stops: tuple[Stop, ...]


@dataclass(frozen=True, slots=True)
class Visit:
    """One stay somewhere: the legs that brought the aircraft, and the one that took it away, once that is known.

    `start` is the stop that the visit is told from (the matched origin of the journey), `way` the legs from there,
    `place` where it was.
    """

    visit_id: str
    start: Stop
    place: Stop
    way: tuple[Leg, ...]
    departure: Leg | None

    @property
    def arrival(self) -> Leg:
        return self.way[-1]


# --------------------------------------------------------------------------------------------------------------------- aircraft


@dataclass(frozen=True, slots=True)
class Aircraft:
    """Who an address is, as far as known, for one date.

    `country` is that of the block of its address, `role` state, military, police, private or civil; `military` that
    any source says so. `sources` says where things come from, `conflicts` where sources contradict each other;
    `undecided` are lists on which it would stand if what is not known of it fitted. `callsigns` are those that it used where it
    is told of by itself (an event); of flights, the legs tell.
    """

    icao24: str | None
    registration: str | None = None
    typecode: str | None = None
    operator: str | None = None
    country: str | None = None
    military: bool | None = None
    watchlists: tuple[str, ...] = ()
    sources: tuple[tuple[str, str], ...] = ()
    role: str | None = None
    conflicts: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    callsigns: tuple[str, ...] = ()


# ---------------------------------------------------------------------------------------------------------- rarity, rules, alerts


@dataclass(frozen=True, slots=True)
class EarlierVisit:
    """A visit of the past, as the stored history has it. A time that nobody saw is null; `days_only`: the times are the
    middles of days, because a list gave nothing else."""

    registration: str | None
    operator: str | None
    airport: str
    arrived: datetime
    left: datetime | None
    basis: Basis
    source: Literal["tracked", "listed"]
    days_only: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """Places that a question is about: airports by ident, and countries. `name` is what people call them all, where they
    have a name together."""

    airports: tuple[str, ...]
    countries: tuple[str, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Counted:
    """How often a subject went to a place on days on which that would have been seen, and how many such days there
    are; `unwatched` more visits are on record from other days."""

    count: int
    observed_days: int
    unwatched: int = 0


@dataclass(frozen=True, slots=True)
class Rarity:
    """How rare a visit is for a subject, in the numbers that a reader understands.

    `count` visits of `subject` to `place` in `observed_days` days before; `unwatched` more on record from days on
    which nobody would surely have seen them, so that they say nothing of how often; the last of all at `last`.
    `expected_per_year` visits are to be expected, and between `year_low` and `year_high` in a year with a probability of 0.9;
    null where there is too little history to say. `sentence` says all that.
    """

    subject: str
    place: str
    count: int
    unwatched: int
    last: datetime | None
    observed_days: int
    sentence: str
    expected_per_year: float | None = None
    year_low: int | None = None
    year_high: int | None = None


@dataclass(frozen=True, slots=True)
class RouteRarity:
    """How rare a leg was, from what came before it alone: a row of the table that `flightwatch rarity` writes, whose fields
    say what each means (`raritytables.RARITY`). `enough_history`: the figures are more than what is usual anywhere."""

    leg_id: str
    registration: str
    origin: str
    destination: str
    time: datetime
    n_before: int
    last_before: datetime
    observed_days: int
    expected_per_year: float
    flights_30d_low: int
    flights_30d_high: int
    bits: float
    score: float
    sentence: str
    enough_history: bool


@dataclass(frozen=True, slots=True)
class Held:
    """One condition of a rule, with the value that it met; `number` is the rate (visits a day) that a condition on rarity
    met."""

    condition: str
    value: str
    number: float | None = None


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours in which messages wait: minutes of the day from one to the other, which may lie on the next day, in a time
    zone."""

    begins_min: int
    ends_min: int
    zone: str


@dataclass(frozen=True, slots=True)
class RuleReference:
    """What a finding and an alert need to know of a rule. For `cooldown_s` after an alert, the rule raises no other one of
    the same aircraft; `places` are the airports and countries that it names: none if it is about no place."""

    rule_id: str
    title: str
    severity: Severity
    notify: tuple[str, ...]
    quiet: Quiet | None = None
    cooldown_s: float = 0.0
    places: int = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that matched a visit or an event, with what it rests on. The same rule and visit come again whenever the stage
    rises; `everybody` are the aircraft of an event, of which `aircraft` is the first that the rule is about."""

    rule: RuleReference
    aircraft: Aircraft
    visit: Visit | None
    stage: Stage
    probability: float
    held: tuple[Held, ...]
    earlier: tuple[EarlierVisit, ...]
    rarity: tuple[Rarity, ...]
    as_of: datetime
    event: Event | None = None
    everybody: tuple[Aircraft, ...] = ()

    @property
    def subject_id(self) -> str:
        """What it is about: a visit or an event."""
        return self.event.event_id if self.event is not None else self.there.visit_id

    @property
    def key(self) -> tuple[str, str]:
        return self.rule.rule_id, self.subject_id

    @property
    def there(self) -> Visit:
        """The visit of a finding that is about one."""
        assert self.visit is not None  # else it is about an event, and the caller has looked
        return self.visit

    def at_stage(self, stage: Stage, as_of: datetime) -> Finding:
        return replace(self, stage=stage, as_of=as_of)


@dataclass(frozen=True, slots=True)
class Track:
    """A drawn line: positions in order. A hole lies before each index in `breaks`; at `departs` the leg begins that
    left again."""

    latitude: tuple[float, ...]
    longitude: tuple[float, ...]
    breaks: tuple[int, ...]
    departs: int | None = None


@dataclass(frozen=True, slots=True)
class MapSpec:
    """What a map picture shows: where the aircraft was seen (solid), and what is inferred (dashed)."""

    title: str
    track: Track
    inferred: tuple[tuple[float, float, float, float], ...]
    places: tuple[tuple[str, float, float], ...]
    note: str


@dataclass(frozen=True, slots=True, eq=False)
class CoveredBand:
    """Where traffic is seen in one altitude band: cells (west, south, east, north in deg; shape (n, 4)), the share of the
    flying time in each that was seen, and the hours of all of them, as they weigh today."""

    name: str
    cells: NDArray[np.float64]
    share: NDArray[np.float64]
    seen_h: float
    unseen_h: float


@dataclass(frozen=True, slots=True, eq=False)
class CoverageMap:
    """What a picture of coverage shows; cells that stand in no band are not known."""

    title: str
    bands: tuple[CoveredBand, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Message:
    """An alert update, ready for any channel: plain text in every part, each channel escapes for itself.

    `headline` and `facts` describe the alert as it stands; `update` is the one line for its thread, empty in the
    first message; `page` is the address of its evidence page, empty where there is none.
    """

    alert_id: str
    number: int
    stage: Stage | Notice
    headline: str
    qualifier: str
    facts: tuple[str, ...]
    update: str
    links: tuple[tuple[str, str], ...]
    footer: tuple[str, ...]
    severity: Severity
    map: MapSpec | None
    page: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way to one channel, claimed from the outbox.

    `thread` is the receipt of the subject's first message on that channel; `unknown_since` is set where an earlier
    attempt may have worked.
    """

    id: int
    subject: str
    number: int
    channel: str
    payload: bytes
    attempts: int
    thread: str | None
    unknown_since: datetime | None


def message_to_bytes(message: Message) -> bytes:
    """What stands in the outbox for a channel of messages."""
    return msgspec.msgpack.encode(message)


def message_from_bytes(payload: bytes) -> Message:
    return msgspec.msgpack.decode(payload, type=Message)
