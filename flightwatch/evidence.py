"""Evidence pages: what an alert rests on, for people who have to stand by it, in a folder that can be read without flightwatch.

In: the store and the alert book, both only read. Out: a page for each alert, and an index over all. Pages hold no position that
may not be passed on, or kept for good. They are written beside everything else: whatever fails here costs no alert, and is
done again later.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from flightwatch.aircraft import Registry
from flightwatch.alerts import AlertBook, OpenAlert
from flightwatch.alerts.links import INDEX, page_name, trackers
from flightwatch.alerts.phrases import chance, duration, who
from flightwatch.alerts.wording import inferred_lines, times
from flightwatch.deliveries import pages
from flightwatch.deliveries.evidence import (
    Choice,
    DecisionMade,
    Evidence,
    Hole,
    IndexRow,
    Line,
    PastVisit,
    Profile,
    Spot,
    Step,
    StoredFile,
    UnseenEnd,
    Way,
    basis_words,
)
from flightwatch.desk import TRACK_HOLE, Desk, legs_of, thinned
from flightwatch.errors import FlightwatchError, InputError
from flightwatch.places import Airports, shown_distance_nm
from flightwatch.reasons import Why, watched_days, why_of
from flightwatch.records import UNKNOWN, EarlierVisit, End, Event, Finding, Leg, Track, Visit, credits_of
from flightwatch.store import Store
from flightwatch.store.files import write_bytes

log = logging.getLogger(__name__)

SHOWN_POINTS = 600
"""Positions on a page: one a minute for ten hours. With the downloads each takes a quarter of a kilobyte; a page that grows too
large all the same, because names are long or files many, is made with half of them."""

FEWEST_POINTS = 50

PAGES_BEFORE_INDEX = 50
"""Where more are due at once, the index is brought up before them, and again after so many each."""

AGAIN_AFTER_S = 60.0
"""What could not be written is tried again after this."""

MARK = re.compile(rf'<meta name="{pages.CHANGED}" content="([^"]+)">')
HEAD_BYTES = 2_000
"""Where in a page its mark is found."""

LANDMARKS, LANDMARK_NM = 3, 200.0
"""Airports that the map of an event away from any names, for orientation, and how far from it they may lie."""

MOST_FILES = 100
"""Files that a page names; more would fill it."""


# ---------------------------------------------------------------------------------------------------------------- what it says


def evidence(found: Why, desk: Desk, now: datetime, points: int = SHOWN_POINTS) -> Evidence:
    """All that a page says of an alert, as the store and the book have it now, with about so many positions."""
    alert, finding, told = found.alert.alert, found.alert.finding, found.alert.message
    tables, withheld = desk.seen(finding, lasting=True)
    way = _way(tables, points)
    legs = legs_of(finding)
    day = _day(finding)
    terms = desk.terms(finding)
    made_up = any(t.reconstructed for t in terms)
    since = finding.visit.departure.first_seen if finding.visit and finding.visit.departure else None
    track = _track(way, since)
    ends = tuple(_ends(finding.visit, way, desk.airports)) if finding.visit else ()
    watched = sorted(d for d in watched_days(desk.store, finding.aircraft) if d < day) if finding.visit else []
    return Evidence(
        alert_id=alert.alert_id,
        number=alert.number,
        stage=alert.stage,
        severity=told.severity,
        headline=told.headline,
        qualifier=told.qualifier,
        facts=told.facts,
        notes=tuple(_notes(made_up, finding.visit is not None and bool(desk.store.made_up()), alert.stage)),
        opened=found.alert.opened,
        updated=found.alert.updated,
        changed=found.alert.changed,
        written=now,
        version=version("flightwatch"),
        rules=tuple((r.rule_id, r.title, r.severity) for r in alert.rules),
        held_for=finding.rule.rule_id,
        held=finding.held,
        rarity=finding.rarity,
        day=day,
        watched=tuple(_spans(watched)),
        visits=tuple(_past(v, set(watched), desk.airports) for v in finding.earlier),
        steps=tuple(_steps(finding.visit, desk.airports)) if finding.visit else (),
        ends=ends,
        way=way,
        dashed=tuple(_dashed(finding, track, desk.airports)),
        spots=tuple(_spots(finding, way, desk.airports, spot=not withheld)),
        profiles=tuple(_profiles(finding, legs, way, withheld=bool(withheld))),
        withheld=_withheld_words(withheld),
        track_note=_track_note(way, withheld=bool(withheld)),
        decisions=tuple(DecisionMade(d.time, d.stage, d.reason, d.told) for d in found.decisions),
        files=tuple(StoredFile(f.path, f.feed or "", f.rows, f.sha256) for f in found.files[:MOST_FILES]),
        files_note=_files_note(found),
        sources=credits_of(terms),
        trackers=() if made_up else tuple(_trackers(finding, legs)),
        reconstructed=made_up,
    )


def _day(finding: Finding) -> date:
    if finding.event is not None:
        return finding.event.since.date()
    leg = finding.there.arrival
    return (leg.first_seen or leg.origin.time or finding.as_of).date()


def _notes(made_up: bool, history_made_up: bool, stage: str) -> Iterator[str]:
    if stage == "withdrawn":
        yield "This alert was withdrawn: what came in since speaks against it."
    if made_up:
        yield "Reconstruction: the tracks behind this were made to fit published facts. Nobody observed them."
    if history_made_up:
        yield "The history that the counts come from is made up in part: how rare this really was, they do not say."


# ---------------------------------------------------------------------------------------------------------------------- the way


def _way(tables: Sequence[pa.Table], points: int) -> Way:
    """The positions of all aircraft, one after the other, thinned."""
    room = points // max(len(tables), 1)
    parts, breaks, total, at = [], list[int](), 0, 0
    for table in tables:
        keep, holes = thinned(np.asarray(table["timestamp"].cast(pa.int64())), room)
        breaks += [at] if at and len(keep) else []
        breaks += [at + int(hole) for hole in holes]
        parts.append(table.take(pa.array(keep)))
        at, total = at + len(keep), total + len(table)
    found = pa.concat_tables(parts) if parts else None

    def floats(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.asarray(found[name].to_numpy(zero_copy_only=False), dtype=np.float64) if found is not None else np.empty(0)

    def texts(name: str) -> tuple[str, ...]:
        return tuple(text or "" for text in found[name].to_pylist()) if found is not None else ()

    return Way(
        seconds=np.asarray(found["timestamp"].cast(pa.int64())) // 1_000_000 if found is not None else np.empty(0, np.int64),
        latitude=floats("latitude"),
        longitude=floats("longitude"),
        altitude=floats("altitude"),
        groundspeed=floats("groundspeed"),
        course=floats("track"),
        onground=np.array([bool(v) for v in found["onground"].to_pylist()] if found is not None else [], dtype=bool),
        aircraft=texts("icao24"),
        callsign=texts("callsign"),
        feed=texts("feed"),
        source=texts("source"),
        breaks=tuple(breaks),
        total=total,
    )


def _track(way: Way, departs: datetime | None) -> Track:
    """The way as the line that messages draw."""
    left = None
    if departs is not None and len(way):
        at = int(np.searchsorted(way.seconds, int(departs.timestamp())))
        left = at if at in way.breaks else None
    return Track(tuple(way.latitude.tolist()), tuple(way.longitude.tolist()), way.breaks, left)


def _dashed(finding: Finding, track: Track, airports: Airports) -> Iterable[Line]:
    """The inferred ways of a visit; across the holes around an event nothing is claimed."""
    return inferred_lines(finding, track, airports) if finding.visit else ()


def _track_note(way: Way, *, withheld: bool) -> str:
    if not len(way):
        kept = "" if withheld else " Positions that are older than the store keeps them are gone; legs stay."
        return f"No position can be shown.{kept}"
    if way.total > len(way):
        return (
            f"The track is thinned: {len(way):,} of {way.total:,} positions are shown and in the downloads, evenly, with both"
            " sides of each hole. The store has all."
        )
    return f"All {way.total:,} positions that are believed are shown."


def _withheld_words(withheld: Sequence[str]) -> str:
    if not withheld:
        return ""
    names = " and ".join(withheld)
    return (
        f"Not on this page: positions of {names}, which may not be republished, or not be kept for good. A dashed line may be a"
        " stretch that was seen there."
    )


def _profiles(finding: Finding, legs: Sequence[Leg], way: Way, *, withheld: bool) -> Iterator[Profile]:
    """One for each flight of a visit, or each aircraft of an event, that has positions to show."""
    if finding.event is not None:
        aircraft = np.array(way.aircraft)
        for name in dict.fromkeys(way.aircraft):
            index = np.flatnonzero(aircraft == name)
            yield _profile(_tail(finding, name), None, way, int(index[0]), int(index[-1]) + 1, withheld=withheld)
        return
    for leg in legs:
        if leg.first_seen is None or leg.last_seen is None:
            continue
        first = int(np.searchsorted(way.seconds, int(leg.first_seen.timestamp())))
        stop = int(np.searchsorted(way.seconds, int(leg.last_seen.timestamp()), side="right"))
        if stop - first > 1:
            ends = " to ".join(end.airport or "not known" for end in (leg.origin, leg.destination))
            yield _profile(f"{ends}, {leg.first_seen:%-d %b %Y}", leg, way, first, stop, withheld=withheld)


def _profile(title: str, leg: Leg | None, way: Way, first: int, stop: int, *, withheld: bool) -> Profile:
    moments = [datetime.fromtimestamp(int(s), UTC) for s in way.seconds[first:stop]]
    since = leg.first_seen if leg and leg.first_seen else moments[0]
    until = leg.last_seen if leg and leg.last_seen else moments[-1]
    holes = []
    for i in (b for b in way.breaks if first < b < stop):
        a, b = moments[i - first - 1], moments[i - first]
        holes.append(Hole(a, b, _hole_words(leg, a, b, withheld=withheld)))
    for a, b in ((since, moments[0]), (moments[-1], until)):
        if b - a > TRACK_HOLE:
            holes.append(Hole(a, b, _hole_words(leg, a, b, withheld=withheld)))
    return Profile(title, since, until, first, stop, tuple(sorted(holes, key=lambda h: h.since)))


def _hole_words(leg: Leg | None, since: datetime, until: datetime, *, withheld: bool) -> str:
    """What is known of a time without a position to show. That nobody saw it is said where the leg says so: else positions may
    have been there that are not kept, or not believed."""
    for gap in leg.gaps if leg else ():
        if min(gap.end, until) - max(gap.start, since) > (until - since) / 2:
            went = "flying on" if gap.decision == "flying" else "a landing"
            return f"not seen; taken for {went} ({chance(gap.probability)})"
    return "no position that may be shown" if withheld else "no position to show"


# ------------------------------------------------------------------------------------------------------------------------ places


def _sides(visit: Visit) -> Iterator[tuple[str, End, datetime | None]]:
    """The ends that a visit is told by: what each is called, the end, and when the aircraft was seen next to it."""
    for number, leg in enumerate(visit.way, 1):
        of = f" of flight {number}" if len(visit.way) > 1 else ""
        yield f"Take-off{of}", leg.origin, leg.first_seen
        yield f"Landing{of}", leg.destination, leg.last_seen
    if visit.departure is not None:
        yield "Take-off after the stay", visit.departure.origin, visit.departure.first_seen
        yield "Landing after the stay", visit.departure.destination, visit.departure.last_seen


def _ends(visit: Visit, way: Way, airports: Airports) -> Iterator[UnseenEnd]:
    """The ends that nobody saw. What the flights on both sides of a stop say of it is one thing, so it stands once."""
    told: set[tuple[tuple[str, float], ...]] = set()
    for title, end, when in _sides(visit):
        key = tuple((c.airport, round(c.probability, 3)) for c in end.candidates)
        if end.basis == "observed" or not end.candidates or key in told:
            continue
        told.add(key)
        seen = _seen_at(way, when)
        choices = tuple(_choice(c.airport, c.probability, seen, airports) for c in end.candidates)
        yield UnseenEnd(title, _sentence(end.reason), tuple(sorted(choices, key=lambda c: -c.probability)))


def _seen_at(way: Way, when: datetime | None) -> tuple[float, float] | None:
    """The position of a time, if it is among those that are shown."""
    if when is None or not len(way):
        return None
    at = int(np.argmin(np.abs(way.seconds - when.timestamp())))
    near = abs(float(way.seconds[at]) - when.timestamp()) <= TRACK_HOLE.total_seconds()
    return (float(way.latitude[at]), float(way.longitude[at])) if near else None


def _choice(ident: str, probability: float, seen: tuple[float, float] | None, airports: Airports) -> Choice:
    airport = airports.get(ident)
    if airport is None:
        name = "unknown: none of the above" if ident == UNKNOWN else ident
        return Choice(name, "", "", probability, None)
    away = None if seen is None else shown_distance_nm(*seen, airport.latitude, airport.longitude)
    return Choice(airport.name, airport.ident, airport.country, probability, away)


def _spots(finding: Finding, way: Way, airports: Airports, *, spot: bool) -> Iterator[Spot]:
    """What has a name on the map: of a visit known airports, candidates for ends that nobody saw, and where the track broke
    off (`spot`, unless a part of it is missing); of an event its airports, else some nearby, and whose track is whose."""
    if finding.event is not None:
        yield from _spots_of_event(finding, finding.event, way, airports)
    if finding.visit is None:
        return
    chances: dict[str, float | None] = {}
    for _, end, _ in _sides(finding.visit):
        if end.basis == "observed" and end.airport is not None:
            chances[end.airport] = None
        elif end.basis != "observed":
            for c in end.candidates:
                before = chances.get(c.airport, 0.0)
                chances[c.airport] = None if before is None else max(before, c.probability)
    for ident, probability in chances.items():
        if (airport := airports.get(ident)) is not None:
            yield Spot(airport.short_name, airport.latitude, airport.longitude, probability)
    last = finding.visit.departure or finding.visit.arrival
    if spot and last.destination.basis != "observed" and _seen_at(way, last.last_seen) is not None:
        yield Spot(f"last seen {_utc_words(way.seconds[-1])}", float(way.latitude[-1]), float(way.longitude[-1]))


def _spots_of_event(finding: Finding, event: Event, way: Way, airports: Airports) -> Iterator[Spot]:
    for name in dict.fromkeys(way.aircraft):
        at = way.aircraft.index(name)
        yield Spot(_tail(finding, name), float(way.latitude[at]), float(way.longitude[at]))
    named = [airport for ident in event.airports if (airport := airports.get(ident)) is not None]
    if not named and len(way):
        at = int(np.argmin(np.abs(way.seconds - (event.since + (event.until - event.since) / 2).timestamp())))
        rows, _ = airports.near(float(way.latitude[at]), float(way.longitude[at]), LANDMARK_NM)
        named = [airports[row] for row in rows.tolist() if airports[row].size in ("large", "medium")][:LANDMARKS]
    yield from (Spot(airport.short_name, airport.latitude, airport.longitude) for airport in named)


def _tail(finding: Finding, icao24: str) -> str:
    """What an aircraft of an event is called."""
    return next((one.registration for one in finding.everybody if one.icao24 == icao24 and one.registration), icao24)


def _utc_words(seconds: int) -> str:
    return f"{datetime.fromtimestamp(int(seconds), UTC):%-d %b %H:%M} UTC"


# ----------------------------------------------------------------------------------------------------------------------- journey


def _steps(visit: Visit, airports: Airports) -> Iterator[Step]:
    """Flights with the stays between them."""
    legs = [*visit.way, *([visit.departure] if visit.departure else [])]
    for leg, following in pairwise([*legs, None]):
        assert leg is not None  # only the last one has nothing after it
        yield _flight(leg, airports)
        if following is not None and (stay := _stay(leg, following, airports)) is not None:
            yield stay


def _flight(leg: Leg, airports: Airports) -> Step:
    seen = _seen_spans(leg)
    ends = [_end_words(end, airports) for end in (leg.origin, leg.destination)]
    beside = [t for span in seen for t in span]
    began, ended = _interval(leg.origin, beside[:1]), _interval(leg.destination, beside[-1:])
    took_off = f"{_probably(leg.origin)}took off {times(leg.origin, _zone(leg.origin, airports))}"
    landed = f"{_probably(leg.destination)}landed {times(leg.destination, _zone(leg.destination, airports))}"
    if leg.status in ("airborne", "lost"):
        landed = f"not known to have landed: {leg.status}"
    sure = "; ".join(
        f"{way}: {basis_words(end.basis, end.probability)}" for way, end in (("from", leg.origin), ("to", leg.destination))
    )
    down = "" if leg.destination.basis == "observed" else f"; down {chance(leg.landed_probability)}"
    feeds = ", ".join(leg.feeds) or "nobody"
    rests = f"leg {leg.leg_id}, revision {leg.revision}, model {leg.model}; {leg.positions:,} positions of {feeds}"
    words = f"Flight {ends[0]} – {ends[1]}{f' ({leg.callsign})' if leg.callsign else ''}"
    return Step("flight", words, sure + down, began, ended, seen, f"{took_off}; {landed}", rests)


def _probably(end: End) -> str:
    """What must stand before what nobody saw."""
    return "" if end.basis == "observed" else "probably "


def _seen_spans(leg: Leg) -> tuple[tuple[datetime, datetime], ...]:
    """When it was in sight: from first to last, without its gaps."""
    if leg.first_seen is None or leg.last_seen is None:
        return ()
    inside = sorted((g.start, g.end) for g in leg.gaps if g.start >= leg.first_seen and g.end <= leg.last_seen)
    edges = [leg.first_seen, *(t for gap in inside for t in gap), leg.last_seen]
    return tuple((a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b >= a)


def _interval(end: End, beside: Sequence[datetime]) -> tuple[datetime, datetime]:
    """When a flight began or ended, as far as known; else when it was seen next to that."""
    known = [t for t in (end.earliest, end.latest) if t is not None]
    near = [*known, *([end.time] if end.time else []), *beside] or [datetime(1970, 1, 1, tzinfo=UTC)]
    return (known[0], known[-1]) if len(known) == 2 else (near[0], near[0])


def _stay(before: Leg, after: Leg, airports: Airports) -> Step | None:
    arrived, left = before.destination, after.origin
    if arrived.time is None or left.time is None or left.time <= arrived.time:
        return None
    both = arrived.basis == "observed" and left.basis == "observed"
    about = "" if both else "about "
    sure = f"arrival {basis_words(arrived.basis, arrived.probability)}; departure {basis_words(left.basis, left.probability)}"
    where = left if left.basis == "observed" else arrived
    words = f"Stay: {_end_words(where, airports)}, {about}{duration(left.time - arrived.time)}"
    when = f"{arrived.time:%-d %b %H:%M} to {left.time:%-d %b %H:%M} UTC"
    return Step(
        "stay", words, sure, (arrived.time, arrived.time), (left.time, left.time), (), when, "the flights before and after"
    )


def _end_words(end: End, airports: Airports) -> str:
    if end.airport is None:
        return "not known where"
    airport = airports.get(end.airport)
    return _probably(end) + (f"{airport.short_name}, {end.airport}" if airport else end.airport)


def _zone(end: End, airports: Airports) -> str:
    airport = airports.get(end.airport)
    return airport.timezone if airport else "UTC"


# ------------------------------------------------------------------------------------------------------------------------ rarity


def _spans(days: Sequence[date]) -> Iterator[tuple[date, date]]:
    """Days in order as spans, both ends included."""
    if days:
        edges = [i for i, (a, b) in enumerate(pairwise(days), 1) if (b - a).days > 1]
        for first, stop in pairwise([0, *edges, len(days)]):
            yield days[first], days[stop - 1]


def _past(visit: EarlierVisit, watched: set[date], airports: Airports) -> PastVisit:
    airport = airports.get(visit.airport)
    zone = ZoneInfo(airport.timezone if airport and not visit.days_only else "UTC")
    arrived = visit.arrived.astimezone(zone)
    when = f"{arrived:%-d %b %Y}" if visit.days_only else f"{arrived:%-d %b %Y %H:%M} local time"
    stayed = f", stayed {duration(visit.left - visit.arrived)}" if visit.left and not visit.days_only else ""
    how = "as listed" if visit.source == "listed" else visit.basis
    place = f"{airport.short_name}, {visit.airport}" if airport else visit.airport
    return PastVisit(visit.arrived.date(), f"{place}, {when}{stayed} ({how})", visit.arrived.date() in watched)


# -------------------------------------------------------------------------------------------------------------------- provenance


def _files_note(found: Why) -> str:
    if not found.files:
        return "No file of positions is in the store for it any more, or not yet."
    more = f" {len(found.files) - MOST_FILES} more are not named here." if len(found.files) > MOST_FILES else ""
    return (
        "Positions of the last minutes may lie in the catalog still, in no file; and some hours later the files of an hour are"
        f" put together into one, which has another digest.{more}"
    )


def _trackers(finding: Finding, legs: Sequence[Leg]) -> Iterator[tuple[str, str, str]]:
    """Links for each aircraft and day that it is about, each once."""
    told = set[str]()
    for one in finding.everybody or (finding.aircraft,):
        days = {t.date() for leg in legs for t in (leg.first_seen, leg.last_seen) if t is not None} or {_day(finding)}
        for day in sorted(days):
            for name, what, address in trackers(one.icao24, one.registration, day):
                if address not in told:
                    told.add(address)
                    about = ", ".join(filter(None, (what, who(one) if len(finding.everybody) > 1 else "")))
                    yield name, about, address


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


# -------------------------------------------------------------------------------------------------------------------- the folder


def index_row(alert: OpenAlert, page: str) -> IndexRow:
    """An alert in the index."""
    finding = alert.finding
    names = [one.registration or one.icao24 or "" for one in finding.everybody or (finding.aircraft,)]
    return IndexRow(
        alert_id=alert.alert.alert_id,
        page=page,
        headline=alert.message.headline,
        qualifier=alert.message.qualifier,
        stage=alert.alert.stage,
        severity=alert.message.severity,
        rules=tuple(r.rule_id for r in alert.alert.rules),
        aircraft=" ".join(names),
        address=" ".join(one.icao24 or "" for one in finding.everybody or (finding.aircraft,)),
        day=_day(finding),
        updated=alert.updated,
    )


@dataclass(frozen=True)
class Folder:
    """Where pages are, and what they are made of. `registry` is asked each time, because lists are read again."""

    path: Path
    root: Path
    airports: Airports
    registry: Callable[[], Registry]

    def write(self, ids: Sequence[str] = ()) -> list[Path]:
        """Writes the pages of some alerts, or of all whose pages do not say how they stand, and the index. A page that does is
        left alone unless it is asked for: it may show what the store has let go since. Raises InputError where there is no
        such alert."""
        with AlertBook(self.root / "alerts.sqlite", read_only=True) as book, Store(self.root, read_only=True) as store:
            alerts = {a.alert.alert_id: a for a in book.alerts()}
            for name in ids:
                if name not in alerts:
                    raise InputError(f"there is no alert {name}: `flightwatch alerts list` shows them")
            due = ids or [name for name, alert in alerts.items() if not self.is_current(alert)]
            written = [self.write_page(alerts[name], store, book) for name in due]
            return [*written, self.write_index(list(alerts.values()), store)]

    def write_page(self, alert: OpenAlert, store: Store, book: AlertBook) -> Path:
        """Writes the page of an alert, no larger than a page may be."""
        desk = Desk(store, self.airports, self.registry())
        found, points = why_of(store, book, alert), SHOWN_POINTS
        while len(html := pages.page(evidence(found, desk, datetime.now(UTC), points)).encode()) > pages.LARGEST:
            if points <= FEWEST_POINTS:
                break
            points //= 2
        path = self.path / page_name(alert.alert.alert_id)
        write_bytes(path, html)
        return path

    def write_index(self, alerts: Sequence[OpenAlert], store: Store) -> Path:
        """Writes the index, with links to the pages that are there."""
        there = {path.name for path in self.path.glob("*.html")}
        rows = []
        for alert in alerts:
            name = page_name(alert.alert.alert_id)
            rows.append(index_row(alert, name if name in there else ""))
        made_up = sorted(store.made_up())
        notes = [f"Reconstruction: nobody observed what stands under {' and '.join(made_up)}."] if made_up else []
        path = self.path / INDEX
        write_bytes(path, pages.index(rows, notes).encode())
        return path

    def is_current(self, alert: OpenAlert) -> bool:
        """Whether the page of an alert is there and says how it stands."""
        try:
            with (self.path / page_name(alert.alert.alert_id)).open("rb") as file:
                found = MARK.search(file.read(HEAD_BYTES).decode("utf-8", "replace"))
        except OSError:
            return False
        return found is not None and found[1] == alert.changed.isoformat()


class Pages:
    """Keeps a folder of pages up with the alert book. It only reads, with connections of its own, so it may run in any one
    thread; it never raises."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._since: datetime | None = None
        self._not_before = float("-inf")

    def keep_up(self, stopping: Callable[[], bool] = lambda: False) -> int:
        """Writes the pages of the alerts that changed since the last time, at the first time of all whose pages do not say how
        they stand; returns how many. Where the disk fails, the same is tried again later."""
        if time.monotonic() < self._not_before:
            return 0
        try:
            return self._kept_up(stopping)
        except (OSError, sqlite3.Error, FlightwatchError) as error:
            self._not_before = time.monotonic() + AGAIN_AFTER_S
            where = self._folder.path
            log.error("evidence pages could not be written to %s (%s): tried again; alerts go out all the same", where, error)
        except Exception:  # what nobody foresaw must not end the thread: later alerts have pages, too
            self._not_before = time.monotonic() + AGAIN_AFTER_S
            log.exception("evidence pages could not be brought up: please report this")
        return 0

    def _kept_up(self, stopping: Callable[[], bool]) -> int:
        path = self._folder.root / "alerts.sqlite"
        if not path.exists():
            return 0
        with AlertBook(path, read_only=True) as book:
            changed = book.alerts(self._since)
            if not changed and self._since is not None:
                return 0
            due = [a for a in changed if not self._folder.is_current(a)]
            if due or not (self._folder.path / INDEX).exists():
                with Store(self._folder.root, read_only=True) as store:
                    self._write(due, store, book, stopping)
            if not stopping():
                self._since = max((a.changed for a in changed), default=datetime(1970, 1, 1, tzinfo=UTC))
            return len(due)

    def _write(self, due: Sequence[OpenAlert], store: Store, book: AlertBook, stopping: Callable[[], bool]) -> None:
        if len(due) > PAGES_BEFORE_INDEX:
            self._folder.write_index(book.alerts(), store)
        for number, alert in enumerate(due, 1):
            if stopping():
                break
            try:
                self._folder.write_page(alert, store, book)
            except (OSError, sqlite3.Error, FlightwatchError):
                raise
            except Exception:  # an alert that nobody foresaw must not keep the others from their pages
                log.exception("the evidence page of %s could not be put together: please report this", alert.alert.alert_id)
            if number % PAGES_BEFORE_INDEX == 0:
                self._folder.write_index(book.alerts(), store)
        self._folder.write_index(book.alerts(), store)
