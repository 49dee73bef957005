"""The alert book: alerts, and the messages about them that wait to be delivered, in one SQLite file.

An alert and its messages are committed together, with the number of the last snapshot whose findings are in
(`applied`): findings of earlier snapshots, which a restart makes again, change nothing. Each message is a row for
each channel (the outbox). A worker claims a row with a lease, sends, and notes the receipt; what fails is tried again
with growing waits, what can never work is put aside as dead, and a row whose outcome nobody knows is looked up before
it is repeated. What quiet hours hold back waits until they are over (`quiet`).

Somebody retries a dead message or acknowledges it; who that was, when, and why it was dead stays (`handled`).

Other processes and threads may only add to the book: that somebody looks after an alert (`acknowledge_alert`), or wants
to hear nothing of something (`silence`). What becomes of alerts through that is written by the one that writes alerts.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

import msgspec

from flightwatch.alerts.lifecycle import (
    Acknowledgement,
    Alert,
    Decision,
    acknowledged,
    alert_id,
    closes_after,
    decide,
    foremost,
    held_until,
    is_open,
    singly,
)
from flightwatch.alerts.notices import many
from flightwatch.alerts.silences import USUAL_RADIUS_NM, Silence, silenced
from flightwatch.errors import Damaged, InputError
from flightwatch.records import Delivery, Finding, Message, message_from_bytes, message_to_bytes, micros, utc

IN_ONE_OF_MANY = "in a message about many"
"""What a decision says of an alert that shares its message with others."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS alerts (
    alert_id TEXT PRIMARY KEY, aircraft TEXT NOT NULL, stage TEXT NOT NULL, opened_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL, changed_us INTEGER NOT NULL,
    alert BLOB NOT NULL, finding BLOB NOT NULL, message BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS alerts_by_change ON alerts (changed_us);
CREATE INDEX IF NOT EXISTS alerts_by_stage ON alerts (stage, updated_us);
CREATE INDEX IF NOT EXISTS alerts_by_aircraft ON alerts (aircraft, opened_us);
CREATE TABLE IF NOT EXISTS decisions (
    id INTEGER PRIMARY KEY, alert_id TEXT NOT NULL, time_us INTEGER NOT NULL, stage TEXT NOT NULL, told INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY, subject TEXT NOT NULL, number INTEGER NOT NULL, channel TEXT NOT NULL, payload BLOB NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting', attempts INTEGER NOT NULL DEFAULT 0, due_us INTEGER NOT NULL,
    lease_us INTEGER NOT NULL DEFAULT 0,
    unknown_since_us INTEGER, receipt TEXT, error TEXT, UNIQUE (subject, number, channel)
) STRICT;
CREATE INDEX IF NOT EXISTS outbox_due ON outbox (state, due_us);
CREATE TABLE IF NOT EXISTS quiet (
    subject TEXT NOT NULL, number INTEGER NOT NULL, until_us INTEGER NOT NULL, PRIMARY KEY (subject, number)
) STRICT;
CREATE TABLE IF NOT EXISTS handled (
    id INTEGER PRIMARY KEY, message INTEGER NOT NULL, what TEXT NOT NULL, who TEXT NOT NULL, time_us INTEGER NOT NULL,
    error TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS silences (
    id INTEGER PRIMARY KEY, rule TEXT, aircraft TEXT, near TEXT, within_nm REAL NOT NULL, country TEXT,
    since_us INTEGER NOT NULL, until_us INTEGER NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL,
    ended_us INTEGER, ended_by TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS acknowledgements (
    id INTEGER PRIMARY KEY, alert_id TEXT NOT NULL, who TEXT NOT NULL, time_us INTEGER NOT NULL, why TEXT NOT NULL,
    done INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS digests (day TEXT PRIMARY KEY, written_us INTEGER NOT NULL) STRICT;
"""

LEASE = timedelta(minutes=2)
"""A worker that has not reported back after this is dead; deliveries take seconds."""

FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 900.0

LONGEST_REST = timedelta(seconds=2 * LONGEST_WAIT_S)
"""Nothing is put off for longer: what is due later than this was put off by a clock that has been set back since."""

LONGEST_QUIET = timedelta(days=1)
"""Quiet hours are over after this; what seems to be held back for longer was by a clock that has been set back since."""

SENT_KEPT, DECISIONS_KEPT = timedelta(days=7), timedelta(days=400)
"""How long the content of what was sent, and what was decided, can be looked up."""

STUCK_AFTER = 5
"""Attempts after which a waiting message is told of."""


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert of the book with its last finding and message. `opened` and `updated` are times of the data, `changed`
    is when it was written down."""

    alert: Alert
    opened: datetime
    updated: datetime
    changed: datetime
    finding: Finding
    message: Message


@dataclass(frozen=True, slots=True)
class Dead:
    """A message that could not be delivered: its number in the outbox, whom it was for, and why not."""

    number: int
    subject: str
    channel: str
    attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class Handled:
    """What somebody did with a dead message: `acknowledged` or `retried`; `error` is why it was dead."""

    number: int
    subject: str
    channel: str
    what: str
    who: str
    time: datetime
    error: str


Compose = Callable[[Finding, Alert], Message]


@dataclass(frozen=True, slots=True)
class _Decided:
    """What is to be written about one visit; no message where nothing changes."""

    key: str
    decision: Decision
    finding: Finding
    message: Message | None
    opened_us: int

    @property
    def channels(self) -> list[str]:
        """Those that get a message of it. A rule that joins is told to the channels that have not heard of the alert."""
        if self.decision.alert is None or self.message is None or self.decision.reason == "silenced":
            return []
        return [c for c in self.decision.alert.channels if c != "digest"]


class AlertBook:
    """The book in a file. Each thread needs one of its own; `read_only` never creates or changes anything."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        mode = "ro" if read_only else "rwc"
        self._db = sqlite3.connect(f"file:{quote(str(path))}?mode={mode}", uri=True, isolation_level=None, timeout=30)
        try:
            if read_only:
                self._db.execute("SELECT 1 FROM outbox LIMIT 1")
            else:
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
                self._db.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise Damaged(
                f"{path} cannot be read ({error}): put it back from a copy, or move it away, which forgets what was sent"
            ) from None

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> AlertBook:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # ------------------------------------------------------------------------------------------------------------- findings

    @property
    def applied(self) -> int:
        """The number of the last snapshot whose findings are in."""
        row = self._db.execute("SELECT value FROM meta WHERE key = 'applied'").fetchone()
        return int(row[0]) if row else 0

    def apply(self, seq: int, findings: Sequence[Finding], compose: Compose, now: datetime) -> list[Decision]:
        """Takes the findings of a snapshot in, once. Returns what was decided about each visit.

        Messages are composed before anything is locked: only the one process that holds the store writes alerts, and
        deliveries must not wait for a picture.
        """
        if not findings or seq <= self.applied:
            return []
        decided = self._decided(findings, compose, now)
        with self._transaction() as db:
            self._write_all(decided, now)
            db.execute("INSERT INTO meta VALUES ('applied', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (seq,))
        return [one.decision for one in decided]

    def note(self, findings: Sequence[Finding], compose: Compose, now: datetime) -> list[Decision]:
        """Takes findings about events in; those that are in already change nothing. Returns what was decided of those that
        changed something."""
        decided = [one for one in self._decided(findings, compose, now) if one.message is not None]
        if decided:
            with self._transaction():
                self._write_all(decided, now)
        return [one.decision for one in decided]

    def happened(self, since: datetime) -> list[Finding]:
        """The findings about events that people were told of since a time and that were not taken back, one for each rule."""
        rows = self._db.execute(
            "SELECT alert, finding FROM alerts WHERE stage = 'happened' AND updated_us >= ? ORDER BY alert_id", (micros(since),)
        )
        told = [(_decode_alert(alert), _decode_finding(finding)) for alert, finding in rows.fetchall()]
        return [replace(finding, rule=rule) for alert, finding in told for rule in alert.rules]

    def _decided(self, findings: Sequence[Finding], compose: Compose, now: datetime) -> list[_Decided]:
        ordered = sorted(findings, key=lambda f: (alert_id(f), f.rule.rule_id))
        silences = [silence for silence in self.silences() if silence.holds_at(now)] if ordered else []
        decided: list[_Decided] = []
        for _, group in groupby(ordered, key=alert_id):
            decided.append(self._decide(list(group), compose, silences, decided))
        return decided

    def _decide(
        self, findings: list[Finding], compose: Compose, silences: Sequence[Silence], beside: Sequence[_Decided]
    ) -> _Decided:
        """What becomes of one visit or event; `beside` are those decided just before it."""
        key = alert_id(findings[0])
        row = self._db.execute("SELECT alert, opened_us FROM alerts WHERE alert_id = ?", (key,)).fetchone()
        before = _decode_alert(row[0]) if row else None
        decision = decide(before, findings, self._cooling(key, findings, beside), self._not_wanted(before, findings, silences))
        finding = foremost(findings)
        changed = decision.alert is not None and decision.reason not in ("nothing new", "closed")
        message = compose(finding, decision.alert) if changed and decision.alert else None
        return _Decided(key, decision, finding, message, row[1] if row else micros(finding.as_of))

    @staticmethod
    def _not_wanted(before: Alert | None, findings: Sequence[Finding], silences: Sequence[Silence]) -> set[str]:
        """The rules of an alert that nobody wants to hear of; those that hold from before are about the same aircraft and
        place as what came in."""
        rules = {f.rule.rule_id: f.rule for f in findings} | {r.rule_id: r for r in (before.rules if before else ())}
        return {one for one, rule in rules.items() if silenced(replace(findings[-1], rule=rule), silences) is not None}

    def _cooling(self, key: str, findings: Sequence[Finding], beside: Sequence[_Decided]) -> set[str]:
        """The rules of some findings that told of the same aircraft in another alert, no longer ago than they cool down."""
        cooling = set()
        for finding in findings:
            rule, aircraft, at = finding.rule, finding.aircraft.icao24, micros(finding.as_of)
            if rule.cooldown_s and aircraft:
                since = at - int(rule.cooldown_s * 1e6)
                rows = self._db.execute(
                    "SELECT alert FROM alerts WHERE aircraft = ? AND opened_us BETWEEN ? AND ? AND alert_id != ?",
                    (aircraft, since, at, key),
                )
                before = [_decode_alert(row[0]) for row in rows]
                mine = [one for one in beside if one.finding.aircraft.icao24 == aircraft and since <= one.opened_us <= at]
                before += [one.decision.alert for one in mine if one.decision.alert]
                if any(
                    rule.rule_id in {r.rule_id for r in a.rules} - set(a.silent)
                    for a in before
                    if a.channels and a.stage != "withdrawn"
                ):
                    cooling.add(rule.rule_id)
        return cooling

    def _write_all(self, decided: Sequence[_Decided], now: datetime) -> None:
        """Writes what was decided at one time; where a channel would get too many messages of it, most share one."""
        told = {one.key: one for one in decided if one.channels}
        by_channel: dict[str, dict[str, _Decided]] = {}
        for one in told.values():
            for channel in one.channels:
                by_channel.setdefault(channel, {})[one.key] = one
        grouped: dict[str, set[str]] = {key: set() for key in told}
        for channel, ones in by_channel.items():
            alone = singly({key: one.message.severity for key, one in ones.items() if one.message})
            together = [one for key, one in ones.items() if key not in alone]
            for one in together:
                grouped[one.key].add(channel)
            if together:
                self._post_many(channel, together, now)
        for one in decided:
            self._write(one, now, grouped.get(one.key, set()))

    def _post_many(self, channel: str, together: Sequence[_Decided], now: datetime) -> None:
        """One message for many alerts; its subject is made of them, so that doing it again makes no other one."""
        message = many([one.message for one in together if one.message])
        self._post(message.alert_id, message.number, [channel], message_to_bytes(message), micros(now))
        ends = [self._held_until(one, now) for one in together]
        if all(ends):
            until = max(end for end in ends if end)
            self._db.execute("INSERT OR IGNORE INTO quiet VALUES (?, ?, ?)", (message.alert_id, message.number, micros(until)))

    @staticmethod
    def _held_until(one: _Decided, now: datetime) -> datetime | None:
        return held_until(one.decision.alert.rules, one.decision.alert.silent, now) if one.decision.alert else None

    def _write(self, decided: _Decided, now: datetime, grouped: Collection[str]) -> None:
        """`grouped` are channels that are told by a message about many alerts."""
        alert, finding, time = decided.decision.alert, decided.finding, micros(decided.finding.as_of)
        if alert is not None and decided.message is not None:
            payload = message_to_bytes(decided.message)
            self._db.execute(
                "INSERT OR REPLACE INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    decided.key,
                    finding.aircraft.icao24 or "",
                    alert.stage,
                    decided.opened_us,
                    time,
                    micros(now),
                    _encode(alert),
                    _encode(finding),
                    payload,
                ),
            )
            # a rule that joins brings channels that have not heard of it yet; those that have keep what they have
            self._post(decided.key, alert.number, [c for c in decided.channels if c not in grouped], payload, micros(now))
            if (until := self._held_until(decided, now)) is not None:
                values = (decided.key, alert.number, micros(until))
                self._db.execute("INSERT OR IGNORE INTO quiet VALUES (?, ?, ?)", values)
        stage = alert.stage if alert else finding.stage
        reason = decided.decision.reason + (f" ({IN_ONE_OF_MANY})" if grouped else "")
        self._note_decision(decided.key, time, stage, decided.decision.tell, reason)

    def _note_decision(self, alert_id: str, time_us: int, stage: str, told: bool, reason: str) -> None:
        self._db.execute(
            "INSERT INTO decisions (alert_id, time_us, stage, told, reason) VALUES (?, ?, ?, ?, ?)",
            (alert_id, time_us, stage, int(told), reason),
        )

    def alerts(self, since: datetime | None = None, *, only_open: bool = False) -> list[OpenAlert]:
        """Alerts that were changed after a time, the newest last; open are those that something may still be said
        of."""
        found = self._listed("changed_us > ?", micros(since) if since else -(2**62))
        return [a for a in found if not only_open or is_open(a.alert)]

    def named(self, alert_id: str) -> OpenAlert:
        """One alert. Raises InputError where there is none of this name."""
        found = self._listed("alert_id = ?", alert_id)
        if not found:
            raise InputError(f"there is no alert {alert_id}: `flightwatch alerts list` shows them")
        return found[0]

    def _listed(self, which: str, value: int | str) -> list[OpenAlert]:
        """The alerts for which a condition of SQL holds, the newest last."""
        rows = self._db.execute(
            f"SELECT opened_us, updated_us, changed_us, alert, finding, message FROM alerts WHERE {which}"
            " ORDER BY updated_us, alert_id",
            (value,),
        )
        return [
            OpenAlert(
                _decode_alert(alert),
                utc(opened),
                utc(updated),
                utc(changed),
                _decode_finding(finding),
                message_from_bytes(message),
            )
            for opened, updated, changed, alert, finding, message in rows
        ]

    def decisions(self, alert_id: str) -> list[tuple[datetime, str, bool, str]]:
        """What was decided about an alert, in order: time of the data, stage, whether anybody was told, why."""
        rows = self._db.execute("SELECT time_us, stage, told, reason FROM decisions WHERE alert_id = ? ORDER BY id", (alert_id,))
        return [(utc(us), stage, bool(told), reason) for us, stage, told, reason in rows]

    # --------------------------------------------------------------------------------------- silences and acknowledgements

    def silence(
        self,
        now: datetime,
        until: datetime,
        who: str,
        why: str,
        *,
        rule: str | None = None,
        aircraft: str | None = None,
        near: str | None = None,
        within_nm: float = USUAL_RADIUS_NM,
        country: str | None = None,
    ) -> Silence:
        """Notes that nobody wants to hear of something until a time. Raises InputError where it is about everything, or
        over already."""
        if not (rule or aircraft or near or country):
            raise InputError("a silence needs a rule, an aircraft or an area: everything would never be heard of again")
        if until <= now:
            raise InputError(f"the silence would be over already, at {until:%-d %b %Y %H:%M} UTC")
        row = (rule, aircraft, near, within_nm, country, micros(now), micros(until), who, why)
        number = self._db.execute(
            "INSERT INTO silences (rule, aircraft, near, within_nm, country, since_us, until_us, who, why)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        ).lastrowid
        return Silence(number or 0, rule, aircraft, near, within_nm, country, now, until, who, why)

    def silence_alert(
        self, alert_id: str, until: datetime, who: str, why: str, now: datetime, *, its_rules: bool
    ) -> list[Silence]:
        """Notes that nobody wants to hear of the aircraft of an alert until a time, or of its rules. Raises InputError where
        there is no such alert, or where the aircraft has no address."""
        found = self.named(alert_id)
        if its_rules:
            return [self.silence(now, until, who, why, rule=rule.rule_id) for rule in found.alert.rules]
        if found.finding.aircraft.icao24 is None:
            raise InputError(f"{alert_id}: its aircraft is not known by an address; silence a rule or an area instead")
        return [self.silence(now, until, who, why, aircraft=found.finding.aircraft.icao24)]

    def silences(self) -> list[Silence]:
        """All that were ever noted, in their order."""
        if not self._has_table("silences"):
            return []
        rows = self._db.execute(
            "SELECT id, rule, aircraft, near, within_nm, country, since_us, until_us, who, why, ended_us, ended_by FROM silences"
            " ORDER BY id"
        )
        return [
            Silence(n, rule, icao24, near, nm, country, utc(since), utc(until), who, why, utc(ended) if ended else None, by)
            for n, rule, icao24, near, nm, country, since, until, who, why, ended, by in rows
        ]

    def end_silence(self, number: int, who: str, now: datetime) -> Silence:
        """Ends a silence early. Raises InputError where there is none of this number that lasts."""
        found = next((s for s in self.silences() if s.number == number and s.holds_at(now)), None)
        if found is None:
            raise InputError(f"{number} is the number of no silence that lasts: `flightwatch alerts silences` shows them")
        self._db.execute("UPDATE silences SET ended_us = ?, ended_by = ? WHERE id = ?", (micros(now), who, number))
        return replace(found, ended=now, ended_by=who)

    def acknowledge_alert(self, alert_id: str, who: str, why: str, now: datetime) -> None:
        """Notes that somebody looks after an alert; whoever writes alerts tells those who were told of it. Raises InputError
        where there is no such alert."""
        self.named(alert_id)
        row = (alert_id, who, micros(now), why)
        self._db.execute("INSERT INTO acknowledgements (alert_id, who, time_us, why) VALUES (?, ?, ?, ?)", row)

    def take_acknowledgements(self, compose: Compose, now: datetime) -> list[Decision]:
        """Has the alerts say who looks after them: for the one that writes alerts. Returns what was decided."""
        rows = self._db.execute(
            "SELECT k.id, k.alert_id, k.who, k.time_us, k.why, a.alert, a.finding, a.opened_us FROM acknowledgements AS k"
            " JOIN alerts AS a USING (alert_id) WHERE k.done = 0 ORDER BY k.id"
        ).fetchall()
        taken = []
        for number, key, who, time_us, why, known, told_by, opened_us in rows:
            finding = _decode_finding(told_by)
            decision = acknowledged(_decode_alert(known), Acknowledgement(who, utc(time_us), why))
            assert decision.alert is not None
            said = replace(compose(finding, decision.alert), update=f"{who} looks after this" + (f": {why}" if why else "."))
            with self._transaction() as db:
                self._write(_Decided(key, decision, finding, said, opened_us), now, ())
                db.execute("UPDATE acknowledgements SET done = 1 WHERE id = ?", (number,))
            taken.append(decision)
        return taken

    def close_what_is_over(self, now: datetime) -> list[OpenAlert]:
        """Closes the alerts of which nothing was heard for long; nobody is told but by the digest. Returns those that had
        been open until then."""
        found = [a for a in self.alerts() if not a.alert.closed and a.changed < now - closes_after(a.alert)]
        with self._transaction() as db:
            for one in found:
                closed = _encode(replace(one.alert, closed=True))
                db.execute("UPDATE alerts SET alert = ? WHERE alert_id = ?", (closed, one.alert.alert_id))
                self._note_decision(one.alert.alert_id, micros(now), one.alert.stage, False, "closed")
        return [one for one in found if is_open(one.alert)]

    def closed_since(self, since: datetime) -> list[OpenAlert]:
        """The alerts that were closed after a time although how they ended is not known."""
        rows = self._db.execute(
            "SELECT DISTINCT alert_id FROM decisions WHERE reason = 'closed' AND told = 0 AND time_us > ?", (micros(since),)
        ).fetchall()
        names = {key for (key,) in rows}
        return [
            a for a in self.alerts() if a.alert.alert_id in names and a.alert.closed and is_open(replace(a.alert, closed=False))
        ]

    def _has_table(self, name: str) -> bool:
        """Whether a book that is opened for reading was made by a version that had it."""
        return self._db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is not None

    # --------------------------------------------------------------------------------------------------------------- outbox

    def post(self, subject: str, number: int, channels: Iterable[str], payload: bytes, now: datetime) -> None:
        """Puts one message for each channel in the outbox; one that is there stays as it is."""
        with self._transaction():
            self._post(subject, number, channels, payload, micros(now))

    def _post(self, subject: str, number: int, channels: Iterable[str], payload: bytes, now_us: int) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO outbox (subject, number, channel, payload, due_us) VALUES (?, ?, ?, ?, ?)",
            [(subject, number, channel, payload, now_us) for channel in channels],
        )

    def claim(self, now: datetime, channels: Sequence[str]) -> Delivery | None:
        """The next message that is due on one of these channels, leased; messages of one subject go out in their
        order."""
        now_us = micros(now)
        marks = ", ".join("?" * len(channels))
        with self._transaction() as db:
            row = db.execute(
                "SELECT id, subject, number, channel, payload, attempts, unknown_since_us, lease_us FROM outbox AS o"
                f" WHERE state = 'waiting' AND (due_us <= ? OR due_us > ?) AND lease_us <= ? AND channel IN ({marks})"  # only ?
                " AND NOT EXISTS (SELECT 1 FROM outbox AS e WHERE e.subject = o.subject AND e.channel = o.channel"
                " AND e.number < o.number AND e.state = 'waiting')"
                " AND NOT EXISTS (SELECT 1 FROM quiet AS q WHERE q.subject = o.subject AND q.number = o.number"
                " AND q.until_us > ? AND q.until_us <= ?) ORDER BY due_us, id LIMIT 1",
                (now_us, micros(now + LONGEST_REST), now_us, *channels, now_us, micros(now + LONGEST_QUIET)),
            ).fetchone()
            if row is None:
                return None
            db.execute("UPDATE outbox SET lease_us = ?, attempts = attempts + 1 WHERE id = ?", (micros(now + LEASE), row[0]))
            thread = db.execute(
                "SELECT receipt FROM outbox WHERE subject = ? AND channel = ? AND number < ? AND state = 'sent'"
                " ORDER BY number LIMIT 1",
                (row[1], row[3], row[2]),
            ).fetchone()
        unknown = None if row[6] is None else utc(row[6])
        if unknown is None and row[7] > 0:  # claimed before and never reported back: that worker died, perhaps after sending
            unknown = utc(row[7]) - LEASE
        return Delivery(row[0], row[1], row[2], row[3], row[4], row[5] + 1, thread[0] if thread else None, unknown)

    def take_over(self) -> None:
        """Frees what a dead worker had claimed: to be called by the one process that holds the store, before its
        workers start. Nobody knows whether those messages went out, so they are looked up before they are sent."""
        self._db.execute(
            "UPDATE outbox SET unknown_since_us = coalesce(unknown_since_us, lease_us - ?), lease_us = 0"
            " WHERE state = 'waiting' AND lease_us > 0",
            (int(LEASE.total_seconds() * 1e6),),
        )

    def put_aside(self, known: Sequence[str]) -> int:
        """Puts messages aside as dead that wait for a channel (`known`: all that there are) which the configuration has no
        more: nobody would ever claim them. Returns how many; whoever puts the channel back can retry them."""
        marks = ", ".join("?" * len(known))
        return self._db.execute(
            "UPDATE outbox SET state = 'dead', lease_us = 0, error = 'the configuration has no such channel any more'"
            f" WHERE state = 'waiting' AND channel NOT IN ({marks})",  # only ?
            tuple(known),
        ).rowcount

    def sent(self, due: Delivery, receipt: str) -> None:
        self._db.execute(
            "UPDATE outbox SET state = 'sent', receipt = ?, lease_us = 0, error = NULL WHERE id = ?", (receipt, due.id)
        )

    def failed(
        self, due: Delivery, now: datetime, error: str, *, permanent: bool, retry_after_s: float | None, outcome_unknown: bool
    ) -> None:
        """Notes a failure: dead, or due again after a wait that doubles with each attempt (full jitter), and no
        earlier than the channel asks."""
        if permanent:
            self._db.execute("UPDATE outbox SET state = 'dead', lease_us = 0, error = ? WHERE id = ?", (error, due.id))
            return
        ceiling = min(FIRST_WAIT_S * 2 ** min(due.attempts, 20), LONGEST_WAIT_S)
        asked = min(retry_after_s or 0.0, LONGEST_WAIT_S)
        wait = max(random.uniform(FIRST_WAIT_S / 2, ceiling), asked)  # no secret hangs on it
        doubt = due.unknown_since or (now if outcome_unknown else None)
        since = micros(doubt) if doubt else None
        self._db.execute(
            "UPDATE outbox SET due_us = ?, lease_us = 0, error = ?,"
            " unknown_since_us = coalesce(unknown_since_us, ?) WHERE id = ?",
            (micros(now + timedelta(seconds=wait)), error, since, due.id),
        )

    def counts(self) -> dict[str, int]:
        """Rows of the outbox by state."""
        return dict(self._db.execute("SELECT state, count(*) FROM outbox GROUP BY state").fetchall())

    def by_channel(self) -> dict[str, dict[str, int]]:
        """Rows of the outbox by channel and state."""
        found: dict[str, dict[str, int]] = {}
        for channel, state, count in self._db.execute("SELECT channel, state, count(*) FROM outbox GROUP BY 1, 2"):
            found.setdefault(channel, {})[state] = count
        return found

    def undelivered(self) -> list[tuple[str, str, str]]:
        """Messages that could not be delivered, or not yet in many attempts: subject, channel, why."""
        rows = self._db.execute(
            "SELECT subject, channel, error, state, attempts FROM outbox"
            " WHERE state = 'dead' OR (state = 'waiting' AND attempts >= ?) ORDER BY id",
            (STUCK_AFTER,),
        )
        return [(s, c, e if state == "dead" else f"{e}; tried {n} times, still trying") for s, c, e, state, n in rows]

    def deliveries(self) -> dict[str, dict[str, dict[str, int]]]:
        """How many messages about each subject are in which state, by channel."""
        found: dict[str, dict[str, dict[str, int]]] = {}
        rows = self._db.execute("SELECT subject, channel, state, count(*) FROM outbox GROUP BY 1, 2, 3 ORDER BY 1, 2, 3")
        for subject, channel, state, count in rows:
            found.setdefault(subject, {}).setdefault(channel, {})[state] = count
        return found

    def dead(self) -> list[Dead]:
        """The messages that were put aside and that nobody has handled, in their order."""
        rows = self._db.execute(
            "SELECT id, subject, channel, attempts, coalesce(error, '') FROM outbox WHERE state = 'dead' ORDER BY id"
        )
        return [Dead(*row) for row in rows]

    def handled(self) -> list[Handled]:
        """What was done with dead messages, in order."""
        if not self._has_table("handled"):
            return []
        rows = self._db.execute(
            "SELECT message, subject, channel, what, who, time_us, coalesce(handled.error, '') FROM handled"
            " JOIN outbox ON outbox.id = message ORDER BY handled.id"
        )
        return [Handled(n, subject, to, what, who, utc(us), error) for n, subject, to, what, who, us, error in rows]

    def acknowledge(self, numbers: Sequence[int], who: str, now: datetime) -> list[Dead]:
        """Notes that somebody knows that these dead messages will reach nobody: all of them, or none. Raises InputError
        where one is not dead."""
        with self._transaction() as db:
            found = self._to_handle(numbers, "acknowledged", who, now)
            db.executemany("UPDATE outbox SET state = 'acknowledged' WHERE id = ?", [(dead.number,) for dead in found])
        return found

    def retry(self, numbers: Sequence[int], who: str, now: datetime) -> list[Dead]:
        """Has these dead messages sent as if they were new: all of them, or none. Raises InputError where one is not dead,
        or was overtaken: what it says is no longer so, and the channel knows better."""
        with self._transaction() as db:
            found = self._to_handle(numbers, "retried", who, now)
            for dead in found:
                later = db.execute(
                    "SELECT 1 FROM outbox AS o JOIN outbox AS d ON d.subject = o.subject AND d.channel = o.channel"
                    " WHERE d.id = ? AND o.number > d.number AND o.state = 'sent'",
                    (dead.number,),
                ).fetchone()
                if later is not None:
                    raise InputError(
                        f"{dead.number}: a later message about {dead.subject} has reached {dead.channel}: acknowledge this one"
                    )
            db.executemany(
                "UPDATE outbox SET state = 'waiting', attempts = 0, error = NULL, due_us = ? WHERE id = ?",
                [(micros(now), dead.number) for dead in found],
            )
        return found

    def _to_handle(self, numbers: Sequence[int], what: str, who: str, now: datetime) -> list[Dead]:
        """These messages, with what is done with them noted; to be called inside a transaction."""
        dead = {one.number: one for one in self.dead()}
        for number in numbers:
            if number not in dead:
                raise InputError(f"{number} is the number of no dead message: `flightwatch alerts dead` shows them")
        found = [dead[number] for number in dict.fromkeys(numbers)]
        self._db.executemany(
            "INSERT INTO handled (message, what, who, time_us, error) VALUES (?, ?, ?, ?, ?)",
            [(one.number, what, who, micros(now), one.error) for one in found],
        )
        return found

    def forget(self, now: datetime) -> None:
        """Drops what nobody needs any more, so that the book does not grow for ever: the content of old messages that
        were sent or acknowledged (not that they were), and old decisions."""
        self._db.execute(
            "UPDATE outbox SET payload = x'' WHERE state IN ('sent', 'acknowledged') AND due_us < ? AND length(payload) > 0",
            (micros(now - SENT_KEPT),),
        )
        self._db.execute("DELETE FROM decisions WHERE time_us < ?", (micros(now - DECISIONS_KEPT),))
        self._db.execute("DELETE FROM quiet WHERE until_us < ?", (micros(now - SENT_KEPT),))

    # --------------------------------------------------------------------------------------------------------------- digest

    def last_digest(self, now: datetime) -> datetime | None:
        """When the last digest was written; one that a wrong clock wrote in the future does not count."""
        row = self._db.execute("SELECT max(written_us) FROM digests WHERE written_us <= ?", (micros(now),)).fetchone()
        return utc(row[0]) if row and row[0] is not None else None

    def has_digest(self, day: str) -> bool:
        """Whether the digest of a day (YYYY-MM-DD) was written."""
        return self._db.execute("SELECT 1 FROM digests WHERE day = ?", (day,)).fetchone() is not None

    def post_digest(self, day: str, mails: Iterable[tuple[str, bytes]], now: datetime) -> bool:
        """Puts the digest of a day in the outbox, one row a recipient, once; says whether it was the first time."""
        with self._transaction() as db:
            if db.execute("INSERT OR IGNORE INTO digests VALUES (?, ?)", (day, micros(now))).rowcount == 0:
                return False
            for recipient, mail in mails:
                self._post(f"digest-{day}", 1, [f"mail:{recipient}"], mail, micros(now))
        return True


_encode = msgspec.msgpack.Encoder().encode
_decode_alert = msgspec.msgpack.Decoder(Alert).decode
_decode_finding = msgspec.msgpack.Decoder(Finding).decode
