"""The desk: puts together what messages and digests say, from the store and the alert book.

In: a finding with its alert, or a span of time. Out: a `Message` with the track to draw, or a `Digest`.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flightwatch.aircraft import Registry
from flightwatch.alerts import Alert, AlertBook, Context, in_words, message
from flightwatch.alerts.book import OpenAlert
from flightwatch.alerts.links import page_url
from flightwatch.alerts.phrases import chance, duration, who
from flightwatch.alerts.wording import bare_message, times
from flightwatch.config import DigestSettings
from flightwatch.deliveries.digest import Digest, FeedDay, Movement, RareMovement, render
from flightwatch.deliveries.email import digest_mail
from flightwatch.legs import believed
from flightwatch.places import Airports
from flightwatch.rarity import Baseline
from flightwatch.rarity.rarest import SURE, Rarest, rarest
from flightwatch.rarity.rates import ENOUGH_DAYS
from flightwatch.records import (
    HAPPENED,
    POSITIONS,
    SUSPECT_POSITION,
    Aircraft,
    Finding,
    Leg,
    Message,
    Terms,
    Track,
    credits_of,
    legs_from_table,
)
from flightwatch.store import Store

log = logging.getLogger(__name__)

TRACK_POINTS = 400
"""Enough for a picture and a page; an alert with more of them says no more."""

MOST_RARE, MOST_MOVEMENTS, MOST_LINES = 10, 100, 60
"""What a digest lists of the rarest legs, of watched aircraft's movements, and of each kind of trouble: more would make it longer
than mail programs show."""

AROUND = timedelta(minutes=30)
MOST_DRAWN = 3
LONGEST_FLIGHT = timedelta(days=1)
"""What a map of an event shows before and after it, and of how many aircraft at the most."""

TRACK_HOLE = timedelta(minutes=10)
SILENT = timedelta(minutes=15)


@dataclass(frozen=True)
class Desk:
    """Composes messages with what the store knows. `pages` is the address under which evidence pages can be read, if
    there is one."""

    store: Store
    airports: Airports
    registry: Registry
    pages: str = ""

    def compose(self, finding: Finding, alert: Alert) -> Message:
        """The message for an alert at its stage, with its track and the terms of the feeds that it rests on. Where the
        words cannot be found, the bare fact is better than silence."""
        try:
            return self._composed(finding, alert)
        except (OSError, sqlite3.Error):
            raise  # the disk, not the words: the snapshot is taken in again
        except Exception:
            log.exception("the message for %s could not be put together", alert.alert_id)
            return replace(bare_message(finding, alert), page=page_url(self.pages, alert.alert_id))

    def _composed(self, finding: Finding, alert: Alert) -> Message:
        tables, withheld = self.seen(finding)
        departure = finding.visit.departure if finding.visit else None
        track = _one_after_the_other([_thinned(table, departure.first_seen if departure else None) for table in tables])
        terms, made_up = self.terms(finding), finding.event is None and bool(self.store.made_up())
        return message(
            finding, alert, Context(self.airports, track, terms, made_up, withheld, page_url(self.pages, alert.alert_id))
        )

    def seen(self, finding: Finding, *, lasting: bool = False) -> tuple[list[pa.Table], tuple[str, ...]]:
        """The positions that a finding is about, as they may be shown, in order of time, a table for each aircraft; and whose
        are left out. Those of a visit are those of its legs. Around an event there are those of its aircraft in the flights
        that it falls into, not long before and after it; of more than a few aircraft they say nothing. `lasting` leaves out
        what may not be kept for good, too."""
        if finding.event is None:
            table, withheld = self.positions(legs_of(finding), lasting=lasting)
            return [table], withheld
        event = finding.event
        if len(event.aircraft) > MOST_DRAWN:
            return [], ()
        around = (event.since - AROUND, event.until + AROUND)
        tables: list[pa.Table] = []
        withheld_from: list[str] = []
        for name in event.aircraft:
            began = self.store.legs.recent_of([name], around[0] - LONGEST_FLIGHT)
            legs = [leg for leg in began if leg.source == "tracked" and _lay_in(leg, *around)]
            table, closed = self.positions(legs, around, lasting=lasting)
            tables.append(table)
            withheld_from += closed
        return tables, tuple(dict.fromkeys(withheld_from))

    def terms(self, finding: Finding) -> tuple[Terms, ...]:
        """What those demand whose data stand behind a finding."""
        if finding.event is None:
            return self._terms(legs_of(finding), finding.aircraft)
        feeds = self.store.terms_of(finding.event.feeds)
        sources = [source for one in finding.everybody for source, _ in one.sources]
        return (*feeds.values(), *self.registry.terms(sources).values())

    def _terms(self, legs: Iterable[Leg], aircraft: Aircraft) -> tuple[Terms, ...]:
        """What those demand whose data stand behind some legs and behind who it is."""
        feeds = self.store.terms_of(feed for leg in legs for feed in leg.feeds)
        return (*feeds.values(), *self.registry.terms(source for source, _ in aircraft.sources).values())

    def track(self, legs: Sequence[Leg]) -> tuple[Track, tuple[str, ...]]:
        """The positions of some consecutive legs of one aircraft as a line to draw, and whose are left out."""
        table, withheld = self.positions(legs)
        return _thinned(table, None), withheld

    def positions(
        self, legs: Sequence[Leg], around: tuple[datetime, datetime] | None = None, *, lasting: bool = False
    ) -> tuple[pa.Table, tuple[str, ...]]:
        """The positions of some consecutive legs of one aircraft in order of time, without those that are not believed and
        those that may not be republished; and whose these are. What lies not `around` a span of time is left out;
        `lasting` leaves out what may be kept for some days only, too."""
        tracked = [leg for leg in legs if leg.first_seen and leg.last_seen and leg.icao24]
        if not tracked:
            return POSITIONS.empty_table(), ()
        first, last = tracked[0].first_seen, tracked[-1].last_seen
        table = self.store.snapshots.positions(first, last, [tracked[0].icao24 or ""])
        terms = self.store.terms_of(table["feed"].unique().to_pylist())
        closed = [feed for feed, term in terms.items() if not term.republish or (lasting and term.retention_days is not None)]
        shown = table.filter(pc.invert(pc.is_in(table["feed"], value_set=pa.array(closed, pa.string()))))
        trusted = believed(shown)
        if around is not None:
            time = trusted["timestamp"]
            trusted = trusted.filter(pc.and_(pc.greater_equal(time, around[0]), pc.less_equal(time, around[1])))
        return trusted.sort_by("timestamp"), tuple(dict.fromkeys(terms[feed].attribution or feed for feed in closed))

    # --------------------------------------------------------------------------------------------------------------- digest

    def digest(
        self,
        book: AlertBook,
        since: datetime,
        until: datetime,
        settings: DigestSettings,
        baseline: Baseline,
        notes: Sequence[str] = (),
    ) -> Digest:
        """What the digest says of a span of time that ends with the day it is named after. `baseline` is what rarity is
        measured against, `notes` is what is to be said besides."""
        zone = ZoneInfo(settings.timezone)
        changed = [a for a in book.alerts(since) if _falls_into(a, since, until)]
        named = {a.alert.alert_id for a in changed}
        still_open = [a for a in book.alerts(only_open=True) if a.alert.alert_id not in named and a.changed <= until]
        legs = self.store.legs.table(since, until)
        watched = self._watched_of(legs)
        rare = rarest(baseline, _ended_after(legs, since), MOST_RARE)
        unobserved = [*self._outages(since, until), *self._suspect(since, until), *self._unobserved(watched)]
        undelivered = [f"{subject} to {channel}: {error}" for subject, channel, error in book.undelivered()]
        made_up = self.store.made_up()
        first = (
            (f"Reconstruction: nobody observed what stands under {' and '.join(sorted(made_up))}; the counts rest on it, too.",)
            if made_up
            else ()
        )
        return Digest(
            day=until.astimezone(zone).date(),
            zone=settings.timezone,
            since=since,
            written=until,
            flagged=tuple(a.message for a in changed),
            still_open=tuple(a.message for a in still_open),
            rarest=tuple(RareMovement(self._movement(one.leg), one.sentence) for one in rare.legs),
            rarest_of=_among(rare),
            movements=tuple(self._movement(leg) for leg in watched[-MOST_MOVEMENTS:]),
            feeds=tuple(self._feed_days(since, until)),
            unobserved=_at_most(unobserved, MOST_LINES),
            undelivered=_at_most(undelivered, MOST_LINES),
            notes=(
                *first,
                *notes,
                *_cut(watched),
                *_kept_quiet(book, since, until),
                *self._happened(since, until),
                *self._troubles(),
            ),
            sources=self._sources([*changed, *still_open], [*watched, *(one.leg for one in rare.legs)]),
        )

    def _sources(self, alerts: Iterable[OpenAlert], watched: Iterable[Leg]) -> tuple[str, ...]:
        """Whose data the digest shows."""
        told = list(alerts)
        found = [term for a in told for term in self._terms(legs_of(a.finding), a.finding.aircraft)]
        found += [term for a in told if a.finding.event for term in self.store.terms_of(a.finding.event.feeds).values()]
        found += [term for leg in watched for term in self._terms([leg], self._who(leg))]
        return credits_of(found)

    def digest_mails(
        self, digest: Digest, settings: DigestSettings, attached: Mapping[str, bytes] = MappingProxyType({})
    ) -> list[tuple[str, bytes]]:
        """The digest as finished e-mails, one a recipient, with files by their names."""
        rendered = render(digest)
        day = digest.day.isoformat()
        return [
            (
                to,
                digest_mail(
                    settings.sender,
                    to,
                    day,
                    digest.written,
                    rendered.subject,
                    rendered.plain,
                    rendered.html,
                    rendered.pictures,
                    attached,
                ),
            )
            for to in settings.to
        ]

    def _watched_of(self, legs: pa.Table) -> list[Leg]:
        """The tracked legs of watched aircraft."""
        watched = pc.is_in(legs["icao24"], value_set=pa.array(self.registry.addresses(), pa.string()))
        return legs_from_table(legs.filter(pc.and_(pc.equal(legs["source"], "tracked"), watched)))

    def _movement(self, leg: Leg) -> Movement:
        ends = [f"{self._place(e.airport)}" if e.airport else "not known where" for e in (leg.origin, leg.destination)]
        said = [e.basis if e.basis == "observed" else f"{e.basis} {chance(e.probability)}" for e in (leg.origin, leg.destination)]
        certainty = f"from: {said[0]}; to: {said[1]}"
        return Movement(who(self._who(leg)), f"{ends[0]} – {ends[1]}", times(leg.origin, "UTC").split(" (")[0], certainty)

    def _who(self, leg: Leg) -> Aircraft:
        """What lists and databases say of an aircraft, and where they are silent, what it was heard or listed as."""
        began = leg.first_seen or leg.origin.time or leg.destination.time
        known = self.registry.who(leg.icao24 or "", began.date() if began else None)
        return replace(
            known,
            registration=known.registration or leg.registration,
            typecode=known.typecode or leg.typecode,
            operator=known.operator or leg.operator,
        )

    def _place(self, ident: str) -> str:
        airport = self.airports.get(ident)
        return ident if airport is None else f"{airport.short_name}, {airport.ident}"

    def _feed_days(self, since: datetime, until: datetime) -> list[FeedDay]:
        out = []
        failures = self.store.refused(since, until)
        for name, polls, positions, refused, longest in self.store.snapshots.days(since, until):
            failed = Counter({reason: count for (feed, reason), count in failures.items() if feed == name})
            silent = f"{'SILENT' if longest >= SILENT else 'longest pause'} {duration(longest)}"
            out.append(FeedDay(name, polls, positions, _counts(refused), _counts(failed), silent))
        silent_feeds = {feed for feed, _ in failures} - {f.name for f in out}
        return out + [
            FeedDay(f, 0, 0, "none", _counts({r: n for (g, r), n in failures.items() if g == f}), "blind all day")
            for f in sorted(silent_feeds)
        ]

    def _outages(self, since: datetime, until: datetime) -> list[str]:
        return [in_words(outage, until) for outage in self.store.health.outages(since, until)]

    def _suspect(self, since: datetime, until: datetime) -> list[str]:
        """How much of what came in is not believed."""
        counts = self.store.events.counts(SUSPECT_POSITION, since, until)
        told = f"Positions that cannot be true: {_counts(counts)}. `flightwatch events` tells of whom and where."
        return [told] if counts else []

    def _happened(self, since: datetime, until: datetime) -> list[str]:
        """What the aircraft in sight did besides going from one place to another, watched or not."""
        kinds = self.store.events.kinds(since, until)
        counts = {words: kinds[kind] for kind, words in HAPPENED.items() if kinds[kind]}
        told = f"What else happened, of all aircraft in sight: {_counts(counts)}. `flightwatch events` tells of whom and where."
        return [told] if counts else []

    def _troubles(self) -> list[str]:
        """Queries that are not asked as they should be, as things stand."""
        words = {"open": "is asked less often", "shut": "is not asked any more"}
        return [
            f"Feed {h.feed} ({h.label}) {words[h.circuit]}: {h.last_error or 'no answer'}"
            for h in self.store.health.queries()
            if h.circuit in words
        ]

    def _unobserved(self, legs: Sequence[Leg]) -> list[str]:
        """Holes in the tracks of watched aircraft, and ends that nobody saw."""
        if not legs:
            return ["No watched aircraft was seen. Where they were is not known."]
        out = []
        for leg in legs:
            name = leg.registration or leg.icao24
            out += [
                f"{name} was out of sight for {duration(g.end - g.start)} from {g.start:%-d %b %H:%M} UTC,"
                f" taken for {g.decision} on ({chance(g.probability)})"
                for g in leg.gaps
            ]
            if leg.destination.basis != "observed" and leg.last_seen is not None and leg.status != "airborne":
                out.append(f"{name}: its landing after {leg.last_seen:%-d %b %H:%M} UTC was not seen")
        return out


def _falls_into(alert: OpenAlert, since: datetime, until: datetime) -> bool:
    """Whether an alert belongs to the digest of a span: it was written down in it last, or it was opened in it and went on
    later, which only digests of the past see."""
    return alert.changed <= until or since < alert.opened <= until


def _ended_after(legs: pa.Table, time: datetime) -> pa.Table:
    """Those that were seen or listed for the last time after a time: each is of one day alone."""
    ended = pc.coalesce(legs["last_seen"], legs["landing_time"])
    return legs.filter(pc.greater(ended, pa.scalar(time, ended.type)))


def _among(rare: Rarest) -> str:
    """Which legs the rarest were chosen from."""
    if rare.legs:
        return (
            f"The rarest of {rare.judged:,} flights that are over and whose ends are observed or inferred with at least {SURE},"
            f" after {rare.days:,} observed days."
        )
    if rare.days < ENOUGH_DAYS:
        return f"The history is too short to say what is rare: {rare.days} observed days, and it takes {ENOUGH_DAYS}."
    return f"No flight of this time is over and has both ends observed, or inferred with at least {SURE}."


def _cut(watched: Sequence[Leg]) -> list[str]:
    more = len(watched) - MOST_MOVEMENTS
    return [f"{more} earlier movements of watched aircraft are left out: `flightwatch legs` shows them."] if more > 0 else []


def _at_most(lines: Sequence[str], most: int) -> tuple[str, ...]:
    """The first lines, and how many there are besides."""
    return tuple(lines) if len(lines) <= most else (*lines[:most], f"and {len(lines) - most:,} more")


def legs_of(finding: Finding) -> list[Leg]:
    """The legs that a message about a visit tells of; one about an event tells of none."""
    if finding.visit is None:
        return []
    return [*finding.visit.way, *([finding.visit.departure] if finding.visit.departure else [])]


def _kept_quiet(book: AlertBook, since: datetime, until: datetime) -> list[str]:
    """Silences that were in force, and alerts that nobody expects to hear of any more."""
    lasting = [s for s in book.silences() if s.since <= until and min(s.until, s.ended or s.until) > since]
    told = [
        f"Silenced until {s.until:%-d %b %Y %H:%M} UTC by {s.who}: {s.words} ({s.why or 'no reason given'})." for s in lasting
    ]
    return told + [
        f"Closed, for nothing was heard of it since {a.changed:%-d %b %Y}: {a.message.headline}" for a in book.closed_since(since)
    ]


def _lay_in(leg: Leg, since: datetime, until: datetime) -> bool:
    """Whether a leg was under way in a span of time."""
    return leg.first_seen is not None and leg.last_seen is not None and leg.first_seen <= until and leg.last_seen >= since


def _one_after_the_other(tracks: Sequence[Track]) -> Track:
    """The tracks of several aircraft as one, with a hole between any two; that of one stays as it is."""
    if len(tracks) == 1:
        return tracks[0]
    latitude: list[float] = []
    longitude: list[float] = []
    breaks: list[int] = []
    for track in tracks:
        breaks += [len(latitude)] if latitude and track.latitude else []
        breaks += [len(latitude) + at for at in track.breaks]
        latitude += track.latitude
        longitude += track.longitude
    return Track(tuple(latitude), tuple(longitude), tuple(breaks))


def thinned(times_us: NDArray[np.int64], points: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of some positions to show, in order of time: about so many, and those on both sides of each hole. And before
    which of those that are shown a hole lies."""
    if not len(times_us):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    keep = np.linspace(0, len(times_us) - 1, min(len(times_us), points)).astype(np.int64)
    holes = np.flatnonzero(np.diff(times_us) > TRACK_HOLE.total_seconds() * 1e6)
    if len(holes) * 2 > points:  # a track that is mostly holes: the longest ones are told apart
        holes = np.sort(holes[np.argsort(-np.diff(times_us)[holes], kind="stable")[: points // 2]])
    keep = np.unique(np.concatenate([keep, holes, holes + 1]))
    return keep, np.flatnonzero(np.isin(keep, holes + 1))


def _thinned(table: pa.Table, departs: datetime | None) -> Track:
    times_us = np.asarray(table["timestamp"].cast(pa.int64()))
    keep, breaks = thinned(times_us, TRACK_POINTS)
    kept = times_us[keep]
    left = None
    if departs is not None and len(kept):
        at = int(np.searchsorted(kept, int(departs.timestamp() * 1e6)))
        left = at if at in breaks else None
    latitude, longitude = (np.round(np.asarray(table[name])[keep], 4).tolist() for name in ("latitude", "longitude"))
    return Track(tuple(latitude), tuple(longitude), tuple(breaks.tolist()), left)


def _counts(counts: Mapping[str, int]) -> str:
    return (
        ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in sorted(counts.items(), key=lambda c: -c[1]))
        or "none"
    )
