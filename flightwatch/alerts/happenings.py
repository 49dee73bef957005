"""The words of an alert about an event: what happened to an aircraft besides going from one place to another.

What positions that are not believed say is never given as where an aircraft was, and no map shows it. In: a finding about an
event, its alert, and what messages need besides. Out: the parts of a `Message`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from flightwatch.alerts.lifecycle import Alert
from flightwatch.alerts.phrases import chance, duration, sentence, who
from flightwatch.places import Airports, shown_distance_nm
from flightwatch.records import (
    BEGAN,
    CIRCLING,
    CODE,
    DIVERSION,
    EMERGENCY,
    HAPPENED,
    HOLDING,
    RENDEZVOUS,
    SUSPECT_POSITION,
    TRANSPONDER_LOST,
    TURN_BACK,
    Event,
    Finding,
    MapSpec,
    Track,
)

NEAR_NM = 60.0
"""A town farther away than this says little about where something was."""

SMALL_NM = 120.0
"""The middle of a larger area says little, too."""

JAMMING, TWO_EMITTERS = "jamming", "two_emitters"

SUSPECT = {
    "ghost": "They stand alone, or come from a multilateration that erred.",
    "spoofed": "Its receiver was probably led to believe in a wrong place, or somebody sends what cannot be.",
    "elsewhere": "They lie where it cannot have got to by then.",
    TWO_EMITTERS: "Two transmitters probably use its address, and nobody knows which of them is the aircraft.",
    JAMMING: "Several aircraft there lost the integrity of their positions at once, as when somebody jams satellite navigation."
    " Their positions count as poor.",
}

SENT = {
    "7500": "sent the emergency code 7500 (unlawful interference)",
    "7600": "sent the code 7600 (radio failure)",
    "7700": "sent the emergency code 7700",
    "minfuel": "reported minimum fuel",
    "downed": "reported that it is down",
}

SPOTS = {
    CIRCLING: "circled here",
    HOLDING: "held here",
    TRANSPONDER_LOST: "heard last",
    EMERGENCY: "here",
    CODE: "here",
    RENDEZVOUS: "together",
}
"""What a map says at the middle of an event; others have airports alone."""

UNITS = ("nm", "ft", "kt", "s", "min")
TOLD_OTHERWISE = ("minutes", "rounds", "aircraft", "headed_probability", "seen_share", "headed_min", *BEGAN)
"""Evidence that stands in the words of the event already, or on its map."""

OTHERS_NAMED, MOST_IN_A_HEADLINE = 5, 3
A_MOMENT = timedelta(minutes=1)


def headline(finding: Finding, alert: Alert, airports: Airports) -> tuple[str, str]:
    """What happened, and how sure that is."""
    event = _event(finding)
    said = _said(finding, airports)
    if alert.stage == "withdrawn" and finding.held:
        return f"Withdrawn: not what the rule asks for: {said}", "by what came in since"
    if alert.stage == "withdrawn":
        return f"Withdrawn: {said}", "what came in since does not bear this out"
    return said, _certainty(event)


def _said(finding: Finding, airports: Airports) -> str:
    """One clause. What nobody saw is probable in it; a silence was observed, and what it means is not said."""
    event, name = _event(finding), who(finding.aircraft)
    probably = "probably " if event.basis == "inferred" else ""
    towns = [airport.short_name for ident in event.airports if (airport := airports.get(ident)) is not None]
    lasted = duration(event.until - event.since)
    match event.kind:
        case _ if event.kind == SUSPECT_POSITION and event.reason == JAMMING:
            return f"{_together(finding)}: positions without integrity"
        case _ if event.kind == SUSPECT_POSITION:
            return f"{name}: positions that cannot be true"
        case _ if event.kind == EMERGENCY:
            return f"{name} {SENT.get(event.reason, HAPPENED[EMERGENCY])}{_near(event, airports)}"
        case _ if event.kind == CODE:
            return f"{name} sent the code {event.reason}{_near(event, airports)}"
        case _ if event.kind == CIRCLING:
            return f"{name} circled for {lasted}{_near(event, airports)}"
        case _ if event.kind == HOLDING:
            return f"{name} held for {lasted}{_near(event, airports)}"
        case _ if event.kind == TRANSPONDER_LOST:
            return f"{name} fell silent{_near(event, airports)}, where other traffic is seen"
        case _ if event.kind == DIVERSION and len(towns) == 2:
            return f"{name} {probably}diverted to {towns[1]}, having headed for {towns[0]}"
        case _ if event.kind == TURN_BACK and towns:
            return f"{name} {probably}turned back to {towns[0]}"
        case _ if event.kind == RENDEZVOUS and towns:
            return f"{_together(finding)} were {probably}at {towns[0]} together, or within 12 hours of each other"
        case _ if event.kind == RENDEZVOUS:
            return f"{_together(finding)} {probably}flew close together for {lasted}{_near(event, airports)}"
    return f"{name}: {probably}{HAPPENED.get(event.kind, event.kind)}"


def _certainty(event: Event) -> str:
    if event.kind == SUSPECT_POSITION:
        return "poor, not refused" if event.reason == JAMMING else "observed as they were sent; not believed"
    if event.kind == TRANSPONDER_LOST:
        return f"silence observed; inferred: {chance(event.probability or 0.0)} of the traffic is seen there; why is not known"
    if event.probability is None:
        return f"{event.basis}; nobody can put a number to it"
    return "observed" if event.basis == "observed" else f"{event.basis}, {chance(event.probability)}"


def facts(finding: Finding, airports: Airports) -> list[str]:
    """What there is to say of the event, a line each."""
    event = _event(finding)
    if finding.stage == "withdrawn":
        return [f"It was said of {_when(event)}."]
    others = [who(one) for one in finding.everybody if one != finding.aircraft]
    more = f" and {len(others) - OTHERS_NAMED} more" if len(others) > OTHERS_NAMED else ""
    told = [
        f"When: {_when(event)}.",
        sentence(event.words),
        SUSPECT.get(event.reason, "") if event.kind == SUSPECT_POSITION else "",
        _claimed(event) if event.kind == SUSPECT_POSITION else _where(event, airports),
        f"With: {', '.join(others[:OTHERS_NAMED])}{more}." if len(others) >= MOST_IN_A_HEADLINE else "",
        _numbers(event),
        f"It rests on {_positions(event.count)} so far; `flightwatch events` tells how it went on." if event.count else "",
    ]
    return [fact for fact in told if fact]


def _claimed(event: Event) -> str:
    """The place that suspect positions give; it is nobody's place."""
    if event.reason == JAMMING:
        return f"They say: {_area(event)}."
    if event.reason == TWO_EMITTERS:
        return "None of them made a leg, a landing or a line on a map."
    return (
        f"The place that they give is not believed: {_area(event)}. They made no leg, no landing and no line on a map; where it"
        " was meanwhile they do not say."
    )


def _area(event: Event) -> str:
    south, north, west, east = (f"{value:.2f}" for value in (event.south, event.north, event.west, event.east))
    return f"{south}, {west}" if (south, west) == (north, east) else f"{south} to {north}, {west} to {east}"


def _where(event: Event, airports: Airports) -> str:
    named = [f"{airport.name} ({airport.ident})" for ident in event.airports if (airport := airports.get(ident)) is not None]
    if named:
        return f"Airports: {', '.join(named)}."
    told = event.kind in (CIRCLING, HOLDING, TRANSPONDER_LOST)  # in its words
    return "" if told else f"Where: {_area(event)} (latitude, longitude)."


def _numbers(event: Event) -> str:
    told = [_number(name, value) for name, value in event.evidence.items() if name not in TOLD_OTHERWISE]
    return f"Measured: {', '.join(told)}." if told else ""


def _number(name: str, value: float) -> str:
    """`farthest_nm` 612.4 as `farthest 612 nm`."""
    what, _, unit = name.rpartition("_")
    return f"{what.replace('_', ' ')} {value:,.0f} {unit}" if unit in UNITS else f"{name.replace('_', ' ')} {value:,.4g}"


def update(finding: Finding, alert: Alert, airports: Airports) -> str:
    """The one line in the thread."""
    if alert.stage != "withdrawn":
        return f"Not withdrawn any more: {_said(finding, airports)}, by what came in since."
    if finding.held:
        return f"Withdrawn: by what came in since, {_said(finding, airports)}; that is not what the rule asks for."
    return "Withdrawn: what came in since does not bear this out. Nothing of it is claimed any longer."


def drawn(finding: Finding, title: str, airports: Airports, track: Track, note: str, *, spot: bool) -> MapSpec | None:
    """The map: the believed track, without a line across holes, the airports that it is about, and the `spot`, unless that
    may not be shown. None where nothing of it may be, or is known."""
    event = _event(finding)
    places = [(a.short_name, a.latitude, a.longitude) for ident in event.airports if (a := airports.get(ident)) is not None]
    if spot and event.kind in SPOTS and not event.airports and (middle := _middle(event)) is not None:
        places.append((SPOTS[event.kind], *middle))
    return MapSpec(title, track, (), tuple(places), note) if track.latitude else None


# ---------------------------------------------------------------------------------------------------------------------- phrases


def _event(finding: Finding) -> Event:
    assert finding.event is not None  # the caller has looked
    return finding.event


def _together(finding: Finding) -> str:
    """All who were there, as far as there is room."""
    names = [who(finding.aircraft), *(who(one) for one in finding.everybody if one != finding.aircraft)]
    if len(names) > MOST_IN_A_HEADLINE:
        return f"{names[0]} and {len(names) - 1} others"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _positions(count: int) -> str:
    return f"{count:,} position{'' if count == 1 else 's'}"


def _middle(event: Event) -> tuple[float, float] | None:
    """The middle of where it was; None where that says nothing."""
    across = shown_distance_nm(event.south, event.west, event.north, event.east)
    wide = event.east - event.west > 180 or across > SMALL_NM
    return None if wide else ((event.south + event.north) / 2, (event.west + event.east) / 2)


def _near(event: Event, airports: Airports) -> str:
    """How far from which airport of some size it was, or else at which latitude and longitude; nothing where the area is too
    large for that."""
    if (middle := _middle(event)) is None:
        return ""
    rows, away = airports.near(*middle, NEAR_NM)
    known: Iterator[str] = (
        f" {nm:.0f} nm from {airports[row].short_name}" if nm >= 3 else f" over {airports[row].short_name}"
        for row, nm in zip(rows.tolist(), away.tolist(), strict=True)
        if airports[row].size in ("large", "medium")
    )
    return next(known, f" around {middle[0]:.1f}, {middle[1]:.1f}")


def _when(event: Event) -> str:
    if event.until - event.since < A_MOMENT:
        return f"{event.since:%-d %b %Y %H:%M} UTC"
    last = f"{event.until:%H:%M}" if event.until.date() == event.since.date() else f"{event.until:%-d %b %H:%M}"
    return f"{event.since:%-d %b %Y %H:%M} to {last} UTC ({duration(event.until - event.since)})"
