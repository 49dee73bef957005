"""The daily digest: what happened in a day, what is still open, what was rare, what could not be observed. It goes out every
day, also when there was nothing.

In: a `Digest` record. Out: subject, plain text, HTML (jinja2, everything escaped) and the maps. The HTML holds no
script, no remote picture and no style sheet from elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from importlib import resources

from jinja2 import Environment, StrictUndefined

from flightwatch.deliveries.plain import clean
from flightwatch.records import Message

MOST_MAPS = 12
"""More pictures make a mail that no server takes. Flights beyond these have a line each: mail programs cut pages of more than
100 kB."""

SEVERITIES = ("high", "medium", "low")
"""In the order in which they are told."""


@dataclass(frozen=True, slots=True)
class Movement:
    """One leg of a watched aircraft, in words."""

    aircraft: str
    route: str
    when: str
    certainty: str


@dataclass(frozen=True, slots=True)
class RareMovement:
    """One leg that was rare, in words, and how rare."""

    movement: Movement
    sentence: str


@dataclass(frozen=True, slots=True)
class FeedDay:
    """How a feed did in the day."""

    name: str
    polls: int
    positions: int
    refused: str
    failures: str
    silent: str


@dataclass(frozen=True, slots=True)
class Digest:
    """Everything that the digest of a day says, which is about the time from `since` on. `flagged` are alerts of the day,
    `still_open` older ones that are not closed; `rarest` are legs whether or not a rule fired, and `rarest_of` says among which
    they were; `sources` are those whose data it shows, as they want to be named."""

    day: date
    zone: str
    since: datetime
    written: datetime
    flagged: tuple[Message, ...]
    still_open: tuple[Message, ...]
    rarest: tuple[RareMovement, ...]
    rarest_of: str
    movements: tuple[Movement, ...]
    feeds: tuple[FeedDay, ...]
    unobserved: tuple[str, ...]
    undelivered: tuple[str, ...]
    notes: tuple[str, ...]
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rendered:
    subject: str
    plain: str
    html: str
    pictures: dict[str, bytes]


def render(digest: Digest) -> Rendered:
    """The digest in words and pictures."""
    from flightwatch import maps  # a fifth of all that is imported for a start, which draws nothing

    flagged = sorted(digest.flagged, key=lambda m: SEVERITIES.index(m.severity))
    told, more = flagged[:MOST_MAPS], flagged[MOST_MAPS:]
    pictures = {f"map-{m.alert_id}": maps.draw(m.map) for m in told if m.map is not None and m.map.track.latitude}
    values = {"digest": digest, "told": told, "more": more, "pictures": pictures, "title": _title(digest)}
    html = _environment(escaped=True).from_string(_template("digest.html.j2")).render(values)
    plain = _environment(escaped=False).from_string(_template("digest.txt.j2")).render(values)
    return Rendered(_title(digest), plain, html, pictures)


def unmade(day: date) -> Rendered:
    """What goes out of a day of which no digest could be put together: that, and no word of what happened."""
    title = f"flightwatch {day:%-d %b %Y}: the digest could not be put together"
    text = "The log of flightwatch says why: please report it. Nothing is said here about this day. Alerts go out as always."
    return Rendered(title, f"{title}\n\n{text}\n", f"<!doctype html>\n<title>{title}</title>\n<p>{text}</p>\n", {})


def _title(digest: Digest) -> str:
    if not digest.flagged:
        what = "nothing flagged"
    elif len(digest.flagged) == 1:
        what = clean(digest.flagged[0].headline)
    else:
        what = f"{len(digest.flagged)} flights flagged"
    return f"flightwatch {digest.day:%-d %b %Y}: {what}"[:180]


def _environment(*, escaped: bool) -> Environment:
    environment = Environment(autoescape=escaped, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["clean"] = clean
    return environment


def _template(name: str) -> str:
    return (resources.files("flightwatch.deliveries") / "templates" / name).read_text(encoding="utf-8")
