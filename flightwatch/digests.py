"""The daily digest from the store to finished e-mails, for a run and for somebody who wants to see one first."""

from __future__ import annotations

import logging
import sqlite3
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from flightwatch import legtables
from flightwatch.alerts import AlertBook
from flightwatch.config import DigestSettings
from flightwatch.deliveries.digest import unmade
from flightwatch.deliveries.email import digest_mail, with_pictures_inside
from flightwatch.desk import Desk
from flightwatch.errors import StoreError
from flightwatch.rarity import Baseline

log = logging.getLogger(__name__)

MOST_ATTACHED = 8 << 20
"""Bytes of all files together: with the base64 of e-mail a third more, and many servers take 10 MB at the most."""

DAY = timedelta(days=1)


def mails(
    desk: Desk, book: AlertBook, since: datetime, until: datetime, settings: DigestSettings, baseline: Baseline
) -> list[tuple[str, bytes]]:
    """The digest of a span of time, one finished e-mail a recipient, with the legs attached if the settings ask for them and
    they are not too large, which it says. One that cannot be put together says that: whoever gets none thinks that all is
    well."""
    try:
        attached, notes = _attached(desk, since, until, settings)
        digest = desk.digest(book, since, until, settings, baseline, notes)
        return desk.digest_mails(digest, settings, attached)
    except (OSError, sqlite3.Error, StoreError):
        raise  # the disk, not the words: it is tried again
    except Exception:
        day = until.astimezone(ZoneInfo(settings.timezone)).date()
        log.exception("the digest of %s could not be put together: please report this", day)
        bare = unmade(day)
        words = (bare.subject, bare.plain, bare.html, bare.pictures)
        return [(to, digest_mail(settings.sender, to, day.isoformat(), until, *words)) for to in settings.to]


def preview(
    desk: Desk, book: AlertBook, day: date | None, now: datetime, settings: DigestSettings, baseline: Baseline
) -> tuple[str, str]:
    """The digest as a page of its own, and the day that it is named after: of the day up to now, or of the one before the hour
    at which the digest of another day goes out."""
    zone = ZoneInfo(settings.timezone)
    until, notes = now, list[str]()
    if day is not None:
        hour, minute = map(int, settings.at.split(":"))
        until = min(datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).astimezone(UTC), now)
        notes = ["A preview of another day: alerts stand here as they are now."]
    digest = desk.digest(book, until - DAY, until, settings, baseline, notes)
    ((_, mail), *_) = desk.digest_mails(digest, settings)
    return digest.day.isoformat(), with_pictures_inside(mail)


def _attached(desk: Desk, since: datetime, until: datetime, settings: DigestSettings) -> tuple[dict[str, bytes], list[str]]:
    """The legs of a span as files, and what is to be said of them."""
    if not settings.attach:
        return {}, []
    table = desk.store.legs.table(since, until)
    day = until.astimezone(ZoneInfo(settings.timezone)).date()
    sources = legtables.sources(table, desk.store.terms(), desk.registry)
    files = legtables.as_files(table, f"legs-{day}", settings.attach, sources)
    if (size := sum(map(len, files.values()))) <= MOST_ATTACHED:
        return files, []
    told = f"The {len(table):,} legs are not attached: {size / (1 << 20):.0f} MB are more than mail servers take"
    log.warning("digest of %s: %s", day, told)
    return {}, [f"{told}. `flightwatch legs --since {since:%Y-%m-%d} -o legs.parquet` writes them."]
