"""How a flightwatch is: the store, its feeds, the outbox, the disk; read beside a running one, without writing.

In: the settings, the folder of the store, what time it is. Out: checks, each good or bad in one line; it is well when
none is bad.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flightwatch.alerts import AlertBook, in_words
from flightwatch.alerts.phrases import duration
from flightwatch.config import Settings
from flightwatch.deliveries.opening import in_words as place_of
from flightwatch.deliveries.opening import obstacles
from flightwatch.deliveries.worker import mail_to
from flightwatch.errors import FlightwatchError, StoreError
from flightwatch.feeds.outages import patience
from flightwatch.records import HAPPENED, SUSPECT_POSITION, QueryHealth, utc
from flightwatch.store import Store
from flightwatch.store.lock import holder

LEAST_FREE = 1 << 30
"""Bytes: a feed of the whole world fills that in about a day."""

UPDATED_WITHIN = timedelta(minutes=3)
"""A running flightwatch keeps the health of its feeds every half minute."""

MOST_LISTED = 10


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    good: bool
    text: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.good else 'BAD '} {self.text}"


def examine(settings: Settings, base: Path, root: Path, now: datetime) -> list[Check]:
    """Everything that can be said from outside; paths of the settings are relative to `base`."""
    checks = [_disk(root)]
    try:
        with Store(root, read_only=True) as store:
            checks += [
                *_store(store, root),
                *_newest(store, now),
                *_suspect(store),
                *_happened(store),
                *_feeds(store, settings, now),
            ]
            checks += [Check(False, in_words(outage, now)) for outage in store.health.ongoing()]
    except (FlightwatchError, OSError) as error:
        return [*checks, Check(False, f"store: {error}"), *_channels(settings, base, {})]
    return [*checks, *_deliveries(settings, base, root / "alerts.sqlite")]


def _disk(root: Path) -> Check:
    there = next(folder for folder in (root.resolve(), *root.resolve().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    return Check(free >= LEAST_FREE, f"disk: {free / (1 << 30):.1f} GB free in {there}")


def _store(store: Store, root: Path) -> Iterator[Check]:
    running = holder(root)
    yield Check(running is not None, f"running: {running or 'no; `flightwatch run` starts it'}")
    (answer,) = store.catalog.db.execute("PRAGMA quick_check(1)").fetchone()
    count, rows = store.catalog.db.execute("SELECT count(*), coalesce(sum(rows), 0) FROM files").fetchone()
    sound = "" if answer == "ok" else f"; the catalog is damaged ({answer}): run `flightwatch rebuild`"
    yield Check(answer == "ok", f"store: {root}, {count:,} files with {rows:,} rows{sound}")
    damaged = list(_damaged(store, root))
    for name in damaged[:MOST_LISTED]:
        yield Check(False, f"damaged: {name}: put it back from a copy, then run `flightwatch rebuild`")
    if len(damaged) > MOST_LISTED:
        yield Check(False, f"damaged: and {len(damaged) - MOST_LISTED} more")


def _damaged(store: Store, root: Path) -> Iterator[str]:
    """Files that were found damaged when they were read, that are gone, or that are not as long as they were."""
    listed = store.catalog.db.execute("SELECT path, size, damaged FROM files WHERE retired_us IS NULL ORDER BY path")
    for name, size, damaged in listed.fetchall():
        path = root / name
        if damaged or not path.is_file() or path.stat().st_size != size:
            yield name


def _newest(store: Store, now: datetime) -> Iterator[Check]:
    newest_us = store.snapshots.newest_us()
    if not newest_us:
        yield Check(True, "newest data: none yet")
        return
    newest = utc(newest_us)
    yield Check(True, f"newest data: {newest:%Y-%m-%d %H:%M:%S} UTC, {_age(newest, now)}")


def _suspect(store: Store) -> Iterator[Check]:
    """Events of positions that are not believed, in the last day that there are data of."""
    newest = utc(store.snapshots.newest_us())
    if counts := store.events.counts(SUSPECT_POSITION, newest - timedelta(days=1), newest):
        yield Check(True, f"suspect positions in the last day of data: {_counts(counts)}; `flightwatch events` shows them")


def _happened(store: Store) -> Iterator[Check]:
    """Events of legs in the last day that there are data of."""
    newest = utc(store.snapshots.newest_us())
    kinds = store.events.kinds(newest - timedelta(days=1), newest)
    if counts := {words: kinds[kind] for kind, words in HAPPENED.items() if kinds[kind]}:
        yield Check(True, f"events in the last day of data: {_counts(counts)}; `flightwatch events` shows them")


def _feeds(store: Store, settings: Settings, now: datetime) -> Iterator[Check]:
    health = store.health.queries()
    for query in health:
        yield _feed(query, now)
    for feed in settings.feeds:
        if feed.enabled and feed.name not in {h.feed for h in health}:
            yield Check(False, f"feed {feed.name}: was not asked yet; `flightwatch run` asks it")
        elif not feed.enabled:
            yield Check(True, f"feed {feed.name}: switched off in the configuration")


def _feed(query: QueryHealth, now: datetime) -> Check:
    """One question: when it was last well, what went wrong, what it costs."""
    late = query.last_good is None or now - query.last_good > patience(query) + timedelta(seconds=query.every_s)
    old = now - query.updated > UPDATED_WITHIN
    parts = [f"newest {_age(query.last_good, now)}" if query.last_good else "nothing came in yet"]
    parts.append(f"{query.good} good polls, {query.positions:,} positions")
    if query.refused:
        parts.append(f"refused {_counts(query.refused)}")
    if query.unchanged:
        parts.append(f"{query.unchanged} unchanged")
    if query.failed:
        parts.append(f"failed {_counts(query.failed)}")
    if query.truncated_since:
        parts.append(f"TRUNCATED since {query.truncated_since:%d %b %H:%M} UTC")
    if query.credits_left is not None:
        parts.append(f"{query.credits_left} credits left")
    if query.rests_since:
        until = f"{query.rests_until:%d %b %H:%M} UTC" if query.rests_until else "flightwatch is started anew"
        parts.append(f"RESTS for want of credits until {until}")
    if query.circuit != "closed":
        parts.append(f"circuit {query.circuit}")
    if query.last_error:
        parts.append(f"last error: {query.last_error}")
    if old:
        parts.append(f"as of {_age(query.updated, now)}")
    good = not late and query.circuit == "closed" and not query.truncated_since and not query.rests_since
    return Check(good, f"feed {query.feed} ({query.label}, every {query.every_s:.6g} s): {'; '.join(parts)}")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {reason}" for reason, n in sorted(counts.items(), key=lambda pair: -pair[1]))


def _deliveries(settings: Settings, base: Path, path: Path) -> Iterator[Check]:
    if not path.exists():
        yield Check(True, "outbox: nothing was ever told")
        yield from _channels(settings, base, {})
        return
    try:
        book = AlertBook(path, read_only=True)
    except StoreError as error:
        yield Check(False, f"outbox: {error}")
        return
    with book:
        counts, undelivered, by_channel = book.counts(), book.undelivered(), book.by_channel()
    yield from _outbox(counts, undelivered)
    yield from _channels(settings, base, by_channel)


def _channels(settings: Settings, base: Path, found: Mapping[str, Mapping[str, int]]) -> Iterator[Check]:
    """Where messages go, and what became of them there. A secret that is not set here may be set where flightwatch runs."""
    for channel in settings.channels:
        wanting = list(obstacles(channel, base))
        text = "; ".join([f"channel {channel.name} ({place_of(channel)}): {_states(found.get(channel.name))}", *wanting])
        yield Check(all("in this environment" in one for one in wanting), text)
    for recipient in settings.digest.to if settings.digest else ():
        yield Check(True, f"digest to {recipient}: {_states(found.get(mail_to(recipient)))}")


def _states(counts: Mapping[str, int] | None) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted((counts or {}).items())) or "nothing sent yet"


def _outbox(counts: Mapping[str, int], undelivered: Sequence[tuple[str, str, str]]) -> Iterator[Check]:
    dead, known = counts.get("dead", 0), counts.get("acknowledged", 0)
    text = f"outbox: {counts.get('sent', 0)} sent, {counts.get('waiting', 0)} waiting, {dead} dead"
    text += f", {known} acknowledged" if known else ""
    yield Check(not dead, text + ("; `flightwatch alerts dead` shows what can be done" if dead else ""))
    for subject, channel, reason in undelivered[:MOST_LISTED]:
        yield Check(False, f"not delivered: {subject} to {channel}: {reason}")


def _age(time: datetime, now: datetime) -> str:
    seconds = (now - time.astimezone(UTC)).total_seconds()
    return f"{seconds:.0f} s ago" if seconds < 120 else f"{duration(now - time)} ago"


def is_well(checks: Sequence[Check]) -> bool:
    return all(check.good for check in checks)
