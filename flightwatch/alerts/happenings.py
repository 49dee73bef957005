"""The words of an alert about an event: what happened to an aircraft besides going from one place to another.

What positions that are not believed say is never given as where an aircraft was. In: a finding about an event, its alert,
and the context. Out: a `Message`.
"""

from __future__ import annotations

from datetime import timedelta

from flightwatch.alerts.lifecycle import Alert
from flightwatch.alerts.naming import who
from flightwatch.places import Airports
from flightwatch.records import HAPPENED, RENDEZVOUS, SUSPECT_POSITION, Event, Finding

NEAR_NM = 60.0
"""A town farther away than this says little about where something was."""

SUSPECT = {
    "ghost": "sent positions where it cannot have been",
    "spoofed": "was led to send wrong positions, or sent what cannot be",
    "elsewhere": "was said to be where it cannot have got to",
    "two_emitters": "shares its address with another transmitter",
    "jamming": "lost the integrity of its positions, as others around it did",
}

OTHERS_NAMED = 5
A_MOMENT = timedelta(minutes=1)


def headline(finding: Finding, alert: Alert, airports: Airports) -> tuple[str, str]:
    """What happened, and how sure that is."""
    event = _event(finding)
    said = f"{who(finding.aircraft)} {_verb(event)}{_place(event, airports)}"
    if alert.stage == "withdrawn":
        return f"Withdrawn: {said}", "better data do not bear it out"
    return said, _certainty(event)


def facts(finding: Finding) -> list[str]:
    """What there is to say of the event, a line each."""
    event = _event(finding)
    if finding.stage == "withdrawn":
        return [f"It was said of {_when(event)}."]
    others = [who(one) for one in finding.everybody if one.icao24 != finding.aircraft.icao24]
    told = [f"When: {_when(event)}."]
    if event.words:
        told.append(f"What was seen: {event.words}.")
    if others:
        more = f" and {len(others) - OTHERS_NAMED} more" if len(others) > OTHERS_NAMED else ""
        told.append(f"With: {', '.join(others[:OTHERS_NAMED])}{more}.")
    if event.evidence:
        numbers = (f"{name.replace('_', ' ')} {value:,.6g}" for name, value in event.evidence.items())
        told.append(f"Evidence: {', '.join(numbers)}.")
    if event.count:
        told.append(f"It rests on {event.count:,} position{'' if event.count == 1 else 's'}.")
    if event.kind == SUSPECT_POSITION:
        told.append("Those positions made no leg and no landing: where the aircraft really was, they do not say.")
    return told


def update(finding: Finding) -> str:
    """The one line in the thread."""
    taken_back = "Withdrawn: what came in since does not bear this out. Nothing of it is claimed any longer."
    return taken_back if finding.stage == "withdrawn" else ""


def _event(finding: Finding) -> Event:
    assert finding.event is not None  # the caller has looked
    return finding.event


def _verb(event: Event) -> str:
    if event.kind == SUSPECT_POSITION:
        return SUSPECT.get(event.reason, "sent positions that cannot be true")
    if event.kind == RENDEZVOUS and len(event.aircraft) > 2:
        return f"met {len(event.aircraft) - 1} other watched aircraft"
    verb = HAPPENED.get(event.kind, event.kind)
    return f"probably {verb}" if event.basis == "inferred" else verb


def _place(event: Event, airports: Airports) -> str:
    """Near which airport it was; nothing where the positions are not believed."""
    if event.kind == SUSPECT_POSITION:
        return ""
    named = next((airport for ident in event.airports if (airport := airports.get(ident)) is not None), None)
    if named is not None:
        return f" at {named.short_name}" if event.kind == RENDEZVOUS else f" ({named.short_name})"
    rows, _ = airports.near((event.south + event.north) / 2, _middle(event), NEAR_NM)
    big = [airports[row] for row in rows.tolist() if airports[row].size in ("large", "medium")]
    return f" near {big[0].short_name}" if big else ""


def _middle(event: Event) -> float:
    return (event.west + event.east) / 2


def _certainty(event: Event) -> str:
    if event.kind == SUSPECT_POSITION:
        return "not believed; observed as sent"
    if event.probability is None:
        return f"{event.basis}; nobody can put a number to it"
    return event.basis if event.basis == "observed" else f"{event.basis}, {event.probability:.2f}"


def _when(event: Event) -> str:
    if event.until - event.since < A_MOMENT:
        return f"{event.since:%-d %b %Y %H:%M} UTC"
    last = f"{event.until:%H:%M}" if event.until.date() == event.since.date() else f"{event.until:%-d %b %H:%M}"
    return f"{event.since:%-d %b %Y %H:%M} to {last} UTC"
