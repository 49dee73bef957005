"""Drives the pipeline with what arrives: polls, stores, steps, alerts, until it is told to stop.

A snapshot is committed before anything is made of it. The checkpoint is written every few minutes; after a crash it
is read and the snapshots behind it are stepped through again, which changes nothing that was told (see
`alerts.book`). The cadence comes from a monotonic clock; apscheduler calls for the digest and for housekeeping, and
the main loop does both, so that only one thread writes to the store. Deliveries have a thread for each outlet.
"""

from __future__ import annotations

import gc
import logging
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from flightwatch import backfill, digests
from flightwatch import legs as leg_stage
from flightwatch import pipeline as pipes
from flightwatch.alerts import AlertBook, began, ended, rules_refused
from flightwatch.config import DigestSettings, Secret, Settings, SlackSettings, secret
from flightwatch.deliveries import Channel
from flightwatch.deliveries.buttons import Buttons, Press
from flightwatch.deliveries.console import Console
from flightwatch.deliveries.email import Mailer, MailServer
from flightwatch.deliveries.opening import open_channel
from flightwatch.deliveries.worker import Worker, mail_to
from flightwatch.desk import Desk
from flightwatch.errors import ConfigError, FeedError, StoreError
from flightwatch.evidence import Folder, Pages
from flightwatch.feeds import outages
from flightwatch.feeds.poller import Answer, Query, Schedule, asked_again, by_question
from flightwatch.legs.rows import aircraft_number
from flightwatch.pipeline import Outcome, Pipeline, State
from flightwatch.records import Finding, Message, Snapshot, message_to_bytes
from flightwatch.store import Store
from flightwatch.store.legs import SETTLED_AFTER_DAYS

log = logging.getLogger(__name__)

CHECKPOINT_EVERY = timedelta(minutes=15)
HOUSEKEEPING_EVERY = timedelta(hours=1)
HEARTBEAT_EVERY_S = 60.0
HEALTH_EVERY_S = 30.0
"""How often the health of the feeds is kept, and outages are looked for."""

COLLECTED_EVERY_S = 900.0
"""How often garbage is collected as a whole: what comes up in so long, Python goes through in a few milliseconds."""

REREAD_EVERY_S = 10.0
"""How often it is looked whether rules, lists or regions were changed."""

OUTAGES_KEPT = EVENTS_KEPT = timedelta(days=400)
SLOWER = 1.2
"""A cadence that credits make slower by less than this is no news."""

WORKER_IDLE_S = 0.5
SLICE_S = 0.5
"""The longest that the loop sleeps at a stretch, so that it hears of a stop."""

LEGS_AT_ONCE = 100
"""Aircraft whose legs are drawn up and stored at one go between two polls: a quarter of a second at the most."""

BLIND_AFTER = timedelta(minutes=5)
"""A sky of which nothing came in for so long is not quiet: nobody is looking."""

DISK_FAULTS = (OSError, sqlite3.Error, StoreError)
"""What a full or failing disk raises: none of it ends the run, and what it kept from being done is done later."""

PRESSED_FOR = timedelta(days=1)
"""How long a button silences what it is about."""

LAST_DELIVERY_S = 6.0
"""How long a stop waits for a message that is on its way."""

PAGES_EVERY_S = 2.0
"""How often it is looked whether evidence pages are due."""

LAST_PAGE_S = 2.0
"""How long a stop waits for a page that is being written."""

CLOSING_S = 2.0
"""What stopping may spend on that; what is left over is drawn up from the state the next time."""


class Clock(Protocol):
    """What time it is, and waiting. The shipped fake runs as fast as it is asked."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The computer's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(frozen=True)
class Outlets:
    """Where alerts go: channels by name, and the mail server with the digest's settings; those whose buttons are listened to."""

    channels: Mapping[str, Channel]
    mailer: Mailer | None
    digest: DigestSettings | None
    listened_to: Sequence[SlackSettings] = ()

    @property
    def recipients(self) -> list[str]:
        return list(self.digest.to) if self.digest else []

    def apart(self) -> dict[str, Outlets]:
        """Each channel by itself, and the mail: one that hangs holds no other up."""
        alone = {name: Outlets({name: channel}, None, None) for name, channel in self.channels.items()}
        return alone | ({"mail": Outlets({}, self.mailer, self.digest)} if self.mailer else {})


def outlets(settings: Settings, base: Path, now: Callable[[], datetime]) -> Outlets:
    """The configured outlets; the console where there is no other. Files are relative to `base`. Raises ConfigError where a
    secret or a package is missing."""
    channels: dict[str, Channel] = {channel.name: open_channel(channel, base, now) for channel in settings.channels}
    if not channels:
        channels["console"] = Console()
    listened_to = {c.app_token_env: c for c in settings.channels if isinstance(c, SlackSettings) and c.app_token_env}
    mailer = _mailer(settings.digest) if settings.digest else None
    return Outlets(channels, mailer, settings.digest, tuple(listened_to.values()))


def _mailer(settings: DigestSettings) -> Mailer:
    def known(variable: str | None) -> Secret | None:
        return secret(variable) if variable else None

    server = MailServer(settings.host, settings.port, settings.security, known(settings.user_env), known(settings.password_env))
    return Mailer(server, settings.sender)


class Runner:
    """Live: everything between the clock and the outlets.

    Only the thread that made it may use it.
    """

    def __init__(
        self,
        store: Store,
        pipeline: Pipeline,
        found: Sequence[Query],
        outlets: Outlets,
        clock: Clock,
        *,
        retention_days: int = 30,
        checkpoint_every: timedelta = CHECKPOINT_EVERY,
        pages_url: str = "",
    ) -> None:
        self.store = store
        self.outlets = outlets
        self.schedule = Schedule(found, clock.monotonic(), by_question(store.health.queries()))
        self.book = AlertBook(store.root / "alerts.sqlite")
        self.book.take_over()
        if left := self.book.put_aside([*outlets.channels, *map(mail_to, outlets.recipients)]):
            log.warning("%d messages wait for channels that are not configured any more: `flightwatch alerts dead`", left)
        store.snapshots.number_after(self.book.applied)
        self._pipeline = pipeline
        self._clock = clock
        self._retention_days = retention_days
        self._checkpoint_every = checkpoint_every
        self._pages_url = pages_url
        self._desk = Desk(store, pipeline.airports, pipeline.registry, pages_url)
        self._unsaved: set[int] = set()
        self._behind = False
        self.rules_refused = False
        store.events.look_for(pipeline.noted, self._now())
        self._resume()
        self._unsaved = leg_stage.aircraft_of(self._state.legs)
        self._started = clock.now()
        self._health_kept = float("-inf")
        self._checkpointed = self._kept_house = clock.monotonic()
        self._skip_first_digest(clock.now())

    def close(self) -> None:
        """Stores where everything stands and lets go."""
        until = self._clock.monotonic() + CLOSING_S
        try:
            self.look_at_feeds()
        except DISK_FAULTS as error:  # the checkpoint matters more, and may find room
            log.error("how the feeds do could not be kept (%s): make room; it is looked at again at the next start", error)
        self.checkpoint()
        while self._unsaved and self._clock.monotonic() < until:
            self._save_some_legs()
        self.book.close()

    # ------------------------------------------------------------------------------------------------------------ beginning

    def _resume(self) -> None:
        """The state as it was left: the checkpoint and the snapshots behind it; then what was imported meanwhile."""
        saved = self.store.load_checkpoint()
        before: State | None = None
        if saved is not None:
            baseline = backfill.frozen_baseline(self.store, self._pipeline)
            self._state, self._seq = pipes.from_bytes(saved, baseline)
            self._replay()
            before = self._state
            self._save_legs(before.reported)  # derived legs get the ids of those that were told
        if before is None or backfill.EVERYTHING in self.store.marked():
            derived = backfill.derive(self.store, self._pipeline)
            now = max(derived.now, self._clock.now())  # what follows from the past alone, by waiting, is no news either
            self._state, self._seq = self._pipeline.take_stock(derived.state, now, before), derived.seq
            self.store.save_checkpoint(pipes.to_bytes(self._state, self._seq))
            self.store.unmark(derived.marked)
            self.store.events.seen(self.store.events.put_until())  # what happened in the past alerts nobody
        elif self.store.marked():
            self.checkpoint()

    def _replay(self) -> None:
        """Takes in the snapshots that are stored and were not taken in yet."""
        for seq, snapshot in self.store.snapshots.after(self._seq):
            self._step(seq, snapshot)
        self._behind = False

    # ----------------------------------------------------------------------------------------------------------------- running

    def poll_next(self) -> bool:
        """Waits for the query that is due next and asks it; False where there is none left to ask."""
        due = self.schedule.next()
        if due is None:
            return False
        index, when = due
        self._clock.sleep(max(when - self._clock.monotonic(), 0.0))
        self.poll(index)
        return True

    def poll_each(self) -> Iterator[bool]:
        """Asks every query once, in turn and at the pace of its service."""
        for index in range(len(self.schedule.queries)):
            self._clock.sleep(max(self.schedule.when(index) - self._clock.monotonic(), 0.0))
            yield self.poll(index)

    def poll(self, index: int) -> bool:
        """Asks one query, stores the answer and steps; says whether there was one."""
        query = self.schedule.queries[index]
        try:
            answer = query.ask()
        except FeedError as error:
            before = self.schedule.health[index].circuit
            wait = self.schedule.failed(index, self._clock.monotonic(), error, self._clock.now())
            opened = self.schedule.health[index].circuit == "open" and before != "open"
            what = asked_again(error, wait)
            what += "; the circuit is open: it is asked less and less often" if opened else ""
            log.warning("%s (%s): %s [%s]; %s", query.name, query.label, error, error.reason, what)
            self._note_refusal(query.name, error.reason, str(error), error.body)
            return False
        snapshot, last = answer.snapshot, self.schedule.health[index].last_good
        if last is not None and snapshot.feed_time < last:  # another server answered, or a cache: all that it says is late
            log.info("%s (%s): the clock went back from %s to %s", query.name, query.label, last, snapshot.feed_time)
            self._succeeded(index, answer, new=False)
            return True
        try:
            seq = self.store.snapshots.append(snapshot)
        except StoreError as error:
            log.error("%s (%s): %s", query.name, query.label, error)
            self.schedule.failed(index, self._clock.monotonic(), FeedError("not_stored", str(error)), self._clock.now())
            return False
        self._succeeded(index, answer, new=seq is not None)
        if seq is None:
            log.info("%s (%s): the same reply as before, clock %s", query.name, query.label, snapshot.feed_time)
            return True
        self._take_in(seq, snapshot)
        return True

    def _succeeded(self, index: int, answer: Answer, *, new: bool) -> None:
        """Notes an answer. Two tiles without aircraft are one to the store; each is news of its part of the sky all the
        same, if its clock has moved on."""
        query, before = self.schedule.queries[index], self.schedule.health[index].circuit
        last = self.schedule.health[index].last_good
        new = new or last is None or answer.snapshot.feed_time > last
        pace = self.schedule.every_s(index)
        now = self._clock.monotonic()
        self.schedule.succeeded(index, now, answer.snapshot, new=new, credits_left=answer.credits_left)
        if before != "closed":
            log.info("%s (%s): the circuit is closed again, it is asked at its pace", query.name, query.label)
        if self.schedule.every_s(index) > pace * SLOWER:
            every = self.schedule.every_s(index)
            log.warning("%s: %s credits left, asked every %.0f s so that they last", query.name, answer.credits_left, every)

    def _take_in(self, seq: int, snapshot: Snapshot) -> None:
        """Makes of a stored snapshot what is to be made of it; where the disk fails, that is done with the next one."""
        try:
            if self._behind:
                self._replay()
            else:
                self._step(seq, snapshot)
        except DISK_FAULTS as error:
            self._behind = True
            log.error("snapshot %d is stored, but nothing could be made of it (%s): tried again with the next one", seq, error)

    def _step(self, seq: int, snapshot: Snapshot) -> None:
        """The state moves on last: what fails on the way is done again, and the book takes findings once."""
        try:
            state = backfill.recalled(self.store, self._pipeline, self._state, snapshot.positions)
            state, outcome = self._pipeline.step(state, snapshot)
        except DISK_FAULTS:
            raise
        except Exception as error:  # a poll that nobody foresaw must not stop the ones after it
            log.exception("snapshot %d of %s is passed over: please report this", seq, snapshot.feed)
            self._note_refusal(snapshot.feed, "not_understood", f"snapshot {seq}: {type(error).__name__}: {error}", b"")
            self._seq = seq
            return
        self._keep(state, outcome)
        self._unsaved |= self._pipeline.of_note(state, self._state)
        for decision in self.book.apply(seq, outcome.findings, self._desk.compose, self._clock.now()):
            if decision.tell and decision.alert is not None:
                log.info("alert %s: %s (%s)", decision.alert.alert_id, decision.alert.stage, decision.reason)
        self._state, self._seq = state, seq
        self.look_at_events()

    def _note_refusal(self, feed: str, reason: str, message: str, body: bytes) -> None:
        """Keeps what could not be used, if the disk lets us."""
        try:
            self.store.refuse(self._clock.now(), feed, reason, message, body)
        except DISK_FAULTS as error:
            log.error("a refusal of %s could not be kept (%s): make room", feed, error)

    def _keep(self, state: State, outcome: Outcome) -> None:
        """Stores what is final, and the legs that are going to be told of, so that better data find them under the id
        that they were told under."""
        self._unsaved |= set(outcome.turned)
        told = {aircraft_number(f.there.arrival.icao24) for f in outcome.findings if f.there.arrival.icao24}
        now = outcome.now
        self.store.legs.put((*outcome.settled, *self._pipeline.unsettled_legs(state, told, now)))
        if outcome.frozen is not None:
            self.store.legs.put(outcome.frozen)
            self.store.legs.freeze(outcome.frozen)
        self.store.events.put(outcome.events)
        for icao24, since in outcome.late.items():
            self.store.mark(icao24, since)

    def deliver(self) -> Worker:
        """A worker for all outlets, for this thread."""
        return Worker(self.book, self.outlets.channels, self.outlets.mailer, self.outlets.recipients)

    def pages(self, folder: Path) -> Pages:
        """What keeps the evidence pages up, in whichever thread."""
        return Pages(Folder(folder, self.store.root, self._pipeline.airports, lambda: self._pipeline.registry))

    # ------------------------------------------------------------------------------------------------------------ now and then

    def look_after(self) -> None:
        """Whatever is due besides polling: legs to store, the checkpoint, the digest, housekeeping."""
        try:
            if self._clock.monotonic() - self._health_kept >= HEALTH_EVERY_S:
                self.look_at_feeds()
            self._save_some_legs()
            self.look_at_events()
            for decision in self.book.take_acknowledgements(self._desk.compose, self._clock.now()):
                log.info("alert %s: %s", decision.alert.alert_id if decision.alert else "", decision.reason)
            if self._clock.monotonic() - self._checkpointed >= self._checkpoint_every.total_seconds():
                self.checkpoint()
            self.send_digest_if_due(self._clock.now())
            if self._clock.monotonic() - self._kept_house >= HOUSEKEEPING_EVERY.total_seconds():
                self.keep_house()
        except DISK_FAULTS as error:
            log.error("housekeeping could not be done (%s): make room; it is tried again", error)

    def look_at_feeds(self) -> None:
        """Keeps how every query does, and tells of outages that begin or end: the health first, so that a restart finds
        the outage as old as it is and makes the same message of it, which the outbox takes once."""
        now = self._clock.now()
        health = self.schedule.report(self._started, now)
        self.store.health.keep(health)
        self._health_kept = self._clock.monotonic()
        asked = {h.feed for h in health}
        ongoing = self.store.health.ongoing()
        for outage in ongoing:
            if outage.feed not in asked:  # the configuration has no such feed any more: nobody waits for it
                self.store.health.note(replace(outage, ended=now))
        judged = [replace(h, updated=self.schedule.health[i].as_of or now) for i, h in enumerate(health)]
        for outage in outages.changes([o for o in ongoing if o.feed in asked], judged, now):
            if outage.ended is not None:
                self._tell(ended(outage), now)
            elif outage not in ongoing and outage.subject not in {o.subject for o in ongoing}:
                self._tell(began(outage), now)
            self.store.health.note(outage)

    def _tell(self, message: Message, now: datetime) -> None:
        """To every channel: whoever waits for alerts has to know that none can come."""
        log.warning("%s", message.update or message.headline)
        self.book.post(message.alert_id, message.number, self.outlets.channels, message_to_bytes(message), now)

    def look_at_events(self) -> None:
        """Has rules look at the events that are new in the store or have grown, and takes back those told of that are no
        more. The book takes each once, so that what a crash interrupts is done again."""
        events, upto = self.store.events.unseen()
        now = self._now()
        findings = []
        try:
            findings += self._pipeline.judge_events(events, now, self._state)
        except Exception as error:  # an event that nobody foresaw must not stop the polls
            log.exception("%d events are passed over: please report this", len(events))
            self._note_refusal("events", "not_understood", f"{type(error).__name__}: {error}", b"")
        told = [finding for finding in self.book.happened(now - pipes.FRESH) if self._is_kept(finding, now)]
        findings += self._pipeline.taken_back(told, self.store.events.of({f.subject_id for f in told}), now)
        if told_now := {aircraft_number(name) for f in findings if f.event for name in f.event.aircraft}:
            self._save_legs(told_now & leg_stage.aircraft_of(self._state.legs))  # for the map
        for decision in self.book.note(findings, self._desk.compose, self._clock.now()):
            if decision.tell and decision.alert is not None:
                log.info("alert %s: %s (%s)", decision.alert.alert_id, decision.alert.stage, decision.reason)
        self.store.events.seen(upto)

    def _is_kept(self, finding: Finding, now: datetime) -> bool:
        """Whether an event that is not there was taken back: what feeds' terms let nobody keep goes, too."""
        assert finding.event is not None  # the book has been asked for those
        days = [t.retention_days for t in self.store.terms_of(finding.event.feeds).values() if t.retention_days is not None]
        return not days or finding.event.until >= max(now, self._clock.now()) - timedelta(days=min(days))

    def reread(self, changed: Callable[[], Pipeline | None]) -> None:
        """Goes on with other rules and lists when those on the disk have changed; with the old ones, and telling of it once,
        when the new ones are not valid."""
        try:
            pipeline = changed()
        except ConfigError as error:
            self.rules_refused = True
            self._tell(rules_refused(error, self._clock.now()), self._clock.now())
            return
        if pipeline is not None:
            self.rules_refused = False
            self._pipeline = pipeline
            self.store.events.look_for(pipeline.noted, self._now())
            self._desk = Desk(self.store, pipeline.airports, pipeline.registry, self._pages_url)
            self._state = replace(self._state, dismissed=frozenset())
            log.info("rules and lists were read again: %d rules are in force", len(pipeline.rules))

    def checkpoint(self) -> None:
        """Stores the state, so that a restart begins here, after late data have been put in their place. Aircraft that
        have been out of sight for long leave memory with it."""
        late = [a for a in self.store.marked() if a != backfill.EVERYTHING]
        if late:
            self._save_legs(map(aircraft_number, late))
            self._state = backfill.rederive_late(self.store, self._pipeline, self._state, late, self._now())
        self._unsaved |= self._pipeline.gone_silent(self._state, self._now())
        state, idle, legs = self._pipeline.put_aside(self._state, self._now())
        self.store.legs.put(legs)
        backfill.note_meetings(self.store, self._pipeline, self._state, self._now())
        self.store.save_checkpoint(pipes.to_bytes(state, self._seq), idle)
        self._state = state
        self._checkpointed = self._clock.monotonic()

    def _save_some_legs(self) -> None:
        """Stores the legs of some of the aircraft that turned since they were stored last."""
        some = set(islice(self._unsaved, LEGS_AT_ONCE))
        self._save_legs(some)
        self._unsaved -= some

    def _save_legs(self, numbers: Iterable[int]) -> None:
        self.store.legs.put(self._pipeline.unsettled_legs(self._state, numbers, self._now()))

    def _now(self) -> datetime:
        """The time up to which anything is known: that of the newest snapshot, which a silent feed holds back."""
        return backfill.newest(self.store)

    def keep_house(self) -> None:
        """Compacts hours that are over, retires what is older than it may be, files settled legs. A wall clock that is
        far ahead of the feeds' is not believed: it would retire everything. Feeds' own terms are another matter: they end
        when they end, also while the feeds are silent."""
        now = min(self._clock.now(), self._now() + HOUSEKEEPING_EVERY)
        self.store.snapshots.compact(now)
        self.store.snapshots.retain(now, self._retention_days)
        self.store.snapshots.remove_retired(now)
        self.store.keep_terms(self._clock.now())
        self.store.legs.file_settled(now - timedelta(days=SETTLED_AFTER_DAYS))
        self.store.health.forget(now - OUTAGES_KEPT)
        self.store.events.forget(now - EVENTS_KEPT)
        for one in self.book.close_what_is_over(now):
            log.info("alert %s is closed: nothing was heard of it since %s", one.alert.alert_id, one.changed)
        self.book.forget(now)
        self._kept_house = self._clock.monotonic()

    def send_digest_if_due(self, now: datetime) -> bool:
        """Writes the digest once its time has come and puts it in the outbox; once a day, whatever restarts. It tells
        of what was written down since the last one."""
        settings = self.outlets.digest
        if settings is None:
            return False
        local = now.astimezone(ZoneInfo(settings.timezone))
        if local.strftime("%H:%M") < settings.at or self.book.has_digest(local.date().isoformat()):
            return False
        since = self.book.last_digest(now) or now - timedelta(days=1)
        self._save_legs(map(aircraft_number, self._pipeline.registry.addresses()))
        made = digests.mails(self._desk, self.book, since, now, settings, self._state.baseline)
        return self.book.post_digest(local.date().isoformat(), made, now)

    def _skip_first_digest(self, now: datetime) -> None:
        """On its first day flightwatch sends no digest for a time at which it was not there."""
        settings = self.outlets.digest
        if settings is not None and self.book.last_digest(now) is None:
            local = now.astimezone(ZoneInfo(settings.timezone))
            day = local.date() if local.strftime("%H:%M") >= settings.at else local.date() - timedelta(days=1)
            self.book.post_digest(day.isoformat(), (), now)

    def heartbeat(self) -> str:
        """One line on how things are."""
        health = list(self.schedule.health.values())
        good, failed = sum(h.good for h in health), sum((h.failed for h in health), Counter[str]())
        counts = self.book.counts()
        return (
            f"polls: {good} good, {sum(h.unchanged for h in health)} unchanged, {failed.total()} failed{_reasons(failed)};"
            f" {sum(h.positions for h in health):,} positions; {self._sight()};"
            f" outbox: {counts.get('waiting', 0)} waiting, {counts.get('dead', 0)} dead"
            f"{'; the CHANGED RULES are NOT VALID: the old ones are in force' if self.rules_refused else ''}"
        )

    def _sight(self) -> str:
        """Up to when anything was seen, and loudly if that is too long ago, or something is not asked for any more."""
        health = self.schedule.health
        newest = max((h.last_good for h in health.values() if h.last_good), default=None)
        if newest is None:
            seen = "BLIND: nothing came in since the start"
        elif self._clock.now() - newest > BLIND_AFTER:
            seen = f"BLIND since {newest:%Y-%m-%d %H:%M:%S} UTC"
        else:
            seen = f"newest {newest:%H:%M:%S} UTC"
        for circuit, words in (("open", "asked LESS OFTEN"), ("shut", "NOT ASKED any more")):
            named = [f"{q.name} ({q.label})" for i, q in enumerate(self.schedule.queries) if health[i].circuit == circuit]
            seen += f"; {words}: {', '.join(named)}" if named else ""
        cut = [f"{q.name} ({q.label})" for i, q in enumerate(self.schedule.queries) if health[i].truncated_since]
        rests = [f"{q.name} ({q.label})" for i, q in enumerate(self.schedule.queries) if health[i].rests_since]
        left = {q.name: health[i].credits_left for i, q in enumerate(self.schedule.queries) if health[i].credits_left is not None}
        seen += f"; TRUNCATED: {', '.join(cut)}" if cut else ""
        seen += f"; RESTS for want of credits: {', '.join(rests)}" if rests else ""
        return seen + "".join(f"; {name}: {credits} credits left" for name, credits in left.items())


def _reasons(counts: Counter[str]) -> str:
    return f" ({', '.join(f'{reason} {n}' for reason, n in counts.most_common())})" if counts else ""


def run(
    runner: Runner,
    clock: Clock,
    stop: threading.Event,
    book_path: Path,
    changed: Callable[[], Pipeline | None],
    reports: Path | None = None,
) -> None:
    """Runs until `stop` is set: the loop here, the calendar, each outlet and evidence pages (in the folder `reports`) in threads
    of their own. `changed` brings the pipeline with other rules when there are any."""
    wake = threading.Event()
    scheduler = _calendar(runner.outlets.digest, wake)
    deliverers = [
        threading.Thread(target=_deliver_until, args=(part, stop, clock, book_path), name=f"deliveries: {name}", daemon=True)
        for name, part in runner.outlets.apart().items()
    ]
    writer = threading.Thread(target=_write_pages_until, args=(runner, stop, reports), name="pages", daemon=True)
    scheduler.start()
    for thread in (*deliverers, writer):
        thread.start()
    listeners = [_listening(channel, stop, clock, book_path) for channel in runner.outlets.listened_to]
    beat = looked = reread = collected = clock.monotonic()
    collect_between_polls()
    try:
        while not stop.is_set():
            due = runner.schedule.next()
            if due is not None and due[1] <= clock.monotonic():
                runner.poll(due[0])
            idle = due is None or due[1] > clock.monotonic()
            if wake.is_set() or idle or clock.monotonic() - looked >= HEALTH_EVERY_S:  # polls may take all of the time
                wake.clear()
                looked = clock.monotonic()
                runner.look_after()
            if idle and clock.monotonic() - collected >= COLLECTED_EVERY_S:
                collect_between_polls()
                collected = clock.monotonic()
            if clock.monotonic() - reread >= REREAD_EVERY_S:
                reread = clock.monotonic()
                runner.reread(changed)
            if clock.monotonic() - beat >= HEARTBEAT_EVERY_S:
                beat = clock.monotonic()
                log.info("%s", runner.heartbeat())
            left = SLICE_S if due is None else due[1] - clock.monotonic()
            stop.wait(min(max(left, 0.0), SLICE_S))
    finally:
        stop.set()
        gc.unfreeze()
        scheduler.shutdown(wait=False)
        until = time.monotonic() + LAST_DELIVERY_S
        for thread in (*deliverers, *listeners):  # a server that hangs is left; its message is looked up at the next start
            thread.join(max(until - time.monotonic(), 0.0))
        writer.join(LAST_PAGE_S)  # what it did not get to is due at the next start


def collect_between_polls() -> None:
    """Collects garbage now and has later collections pass over what is left: nearly all of it is the state, which lasts, and
    going through it takes longer than a step, in the middle of whichever step it falls into."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _calendar(digest: DigestSettings | None, wake: threading.Event) -> BackgroundScheduler:
    """Wakes the loop when the digest is due and for housekeeping. What has been done already stands in the book, so a
    call too many does nothing."""
    scheduler = BackgroundScheduler(timezone=UTC, job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1})
    scheduler.add_job(wake.set, "interval", seconds=HOUSEKEEPING_EVERY.total_seconds(), id="housekeeping")
    if digest is not None:
        hour, minute = digest.at.split(":")
        scheduler.add_job(wake.set, CronTrigger(hour=hour, minute=minute, timezone=ZoneInfo(digest.timezone)), id="digest")
    return scheduler


def _listening(channel: SlackSettings, stop: threading.Event, clock: Clock, book_path: Path) -> threading.Thread:
    """A thread that hears of the buttons in a workspace."""
    assert channel.app_token_env is not None  # else nobody listens there

    def act(press: Press) -> str:
        with AlertBook(book_path) as book:
            return acted_on(press, book, clock.now())

    buttons = Buttons(secret(channel.app_token_env), secret(channel.token_env), act, channel.base_url)
    thread = threading.Thread(target=buttons.listen, args=(stop,), name=f"buttons of {channel.name}", daemon=True)
    thread.start()
    return thread


def acted_on(press: Press, book: AlertBook, now: datetime) -> str:
    """Does what a button asks for; returns what to answer. Raises InputError where there is no such alert."""
    if press.action == "acknowledge":
        book.acknowledge_alert(press.alert_id, press.who, "", now)
        return "Noted; the thread is going to say so."
    made = book.silence_alert(
        press.alert_id, now + PRESSED_FOR, press.who, "by a button", now, its_rules=press.action == "silence_rules"
    )
    words = "; ".join(f"{s.words} (`flightwatch alerts unsilence {s.number}` ends that)" for s in made)
    return f"Silent until {now + PRESSED_FOR:%-d %b %H:%M} UTC: {words}. The digest tells of it all the same."


def _deliver_until(outlets: Outlets, stop: threading.Event, clock: Clock, book_path: Path) -> None:
    book = AlertBook(book_path)
    worker = Worker(book, outlets.channels, outlets.mailer, outlets.recipients)
    try:
        while not stop.wait(WORKER_IDLE_S):
            try:
                worker.run_once(clock.now(), stop.is_set)
            except DISK_FAULTS as error:
                log.error("the outbox cannot be read or written (%s): tried again", error)
        worker.run_once(clock.now())
    finally:
        book.close()


def _write_pages_until(runner: Runner, stop: threading.Event, reports: Path | None) -> None:
    """Nothing waits for pages, and no alert hangs on them."""
    if reports is None:
        return
    pages = runner.pages(reports)
    while not stop.wait(PAGES_EVERY_S):
        pages.keep_up(stop.is_set)


def describe(found: Sequence[Query]) -> list[str]:
    """What is asked and how often, in words, so that the pace can be seen."""
    return [f"{q.name}: {q.label}, every {q.every_s:.6g} s" for q in found]


__all__ = ["Clock", "Outlets", "Runner", "SystemClock", "describe", "outlets", "run"]
