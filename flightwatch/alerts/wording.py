"""The words of an alert. Certainty shows in them: `has landed` is said of what was seen, everything else is
`probably`, with its probability.

In: a finding, the alert it belongs to, and the track to draw. Out: a `Message` of plain text; channels escape and lay
it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from flightwatch.alerts import happenings
from flightwatch.alerts.lifecycle import SEVERITIES, Alert
from flightwatch.alerts.links import TOLD, trackers
from flightwatch.alerts.phrases import capital, chance, duration, sentence, who
from flightwatch.places import Airports, country_name, shown_distance_nm
from flightwatch.records import (
    UNKNOWN,
    Candidate,
    EarlierVisit,
    End,
    Finding,
    Leg,
    MapSpec,
    Message,
    Severity,
    Stop,
    Terms,
    Track,
    credits_of,
)

NUMBERS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
TOLD_CANDIDATES = 4
TOLD_GAPS = 3
TOLD_CONDITIONS = 6
LIKELY = 0.5
"""Less than this is possible, and not probable."""


@dataclass(frozen=True)
class Context:
    """What the words need besides the finding: places, the track so far, the terms of the feeds it came from, whether
    the history that it is counted in is made up, even in part, whose positions the track leaves out because they may not be
    republished, and the address of the alert's evidence page, if it has one."""

    airports: Airports
    track: Track
    terms: tuple[Terms, ...]
    history_made_up: bool = False
    withheld: tuple[str, ...] = ()
    page: str = ""

    @property
    def reconstructed(self) -> bool:
        return any(t.reconstructed for t in self.terms)


def message(finding: Finding, alert: Alert, context: Context) -> Message:
    """The message for an alert at its present stage."""
    about_event = finding.event is not None
    airports = context.airports
    words = happenings.headline if about_event else _headline if _is_about_a_place(alert) else _titled
    headline, qualifier = words(finding, alert, airports)
    if context.reconstructed:
        headline = f"[Reconstruction] {headline}"
    told = happenings.facts(finding, airports) if about_event else _facts(finding, context)
    update = happenings.update if about_event else _update
    return Message(
        alert_id=alert.alert_id,
        number=alert.number,
        headline=headline,
        qualifier=qualifier,
        facts=tuple(_with_reasons(told, finding, alert)),
        stage=alert.stage,
        update=update(finding, alert, airports) if alert.number > 1 else "",
        links=tuple(_links(finding, context)),
        footer=tuple(_footer(finding, alert, context)),
        severity=_severity(alert),
        map=_event_map(finding, headline, context) if about_event else _map(finding, headline, context),
        page=context.page,
    )


def bare_message(finding: Finding, alert: Alert) -> Message:
    """What can be said of an alert without any of the words below, for when they fail."""
    rules = ", ".join(r.title for r in alert.rules) or finding.rule.title
    headline = f"{finding.aircraft.registration or finding.aircraft.icao24}: {rules}: {alert.stage.replace('_', ' ')}"
    note = f"The details could not be put together. They are in the store under alert {alert.alert_id}; please report this."
    update = headline if alert.number > 1 else ""
    return Message(
        alert.alert_id, alert.number, alert.stage, headline, "inferred", (), update, (), (note,), _severity(alert), None
    )


def _severity(alert: Alert) -> Severity:
    """The highest among the rules that hold."""
    return next((s for s in SEVERITIES if s in {r.severity for r in alert.rules}), "medium")


# ------------------------------------------------------------------------------------------------------------------- headline


def _is_about_a_place(alert: Alert) -> bool:
    return any(rule.places for rule in alert.rules) or not alert.rules


def _titled(finding: Finding, alert: Alert, airports: Airports) -> tuple[str, str]:
    """Where no rule is about going somewhere, its title says what is the matter, and where the aircraft went comes second."""
    name, first = who(finding.aircraft), min(alert.rules, key=lambda r: SEVERITIES.index(r.severity))
    if alert.stage == "withdrawn":
        return f"Withdrawn: {name}: {first.title}", "what was seen since speaks against it"
    went, how = _headline(finding, alert, airports)
    return f"{name}: {first.title}", f"{went.removeprefix(name).strip()}; {how}"


def _headline(finding: Finding, alert: Alert, airports: Airports) -> tuple[str, str]:
    assert alert.stage != "happened"  # that is what `happenings` is for
    visit, name = finding.there, who(finding.aircraft)
    place, origin = area_name(visit.place, airports), town_name(visit.start, airports)
    came = f" from {origin}" if origin else ""
    going, inside = _going(visit.place, came, airports), _inside(visit.place, airports)
    chances = _chances(visit.place, airports)
    landed = f"down {chance(visit.arrival.landed_probability)}"
    match alert.stage:
        case "heading_there" | "airborne":
            return f"{name} is {going.removesuffix(',')}", f"in the air; {chances}"
        case "lost":
            return f"{name} was {going} when its signal was lost", f"not seen since; {chances}"
        case "presumed_landed":
            return f"{name} has probably landed{inside}{came}", f"landing not observed: {landed}; {chances}"
        case "landed":
            seen = "seen on the ground" if visit.arrival.destination.basis == "observed" else f"landing not observed: {landed}"
            return f"{name} has landed{inside}{came}", f"{seen}; {chances}"
        case "left_again":
            left = f"{name} has {_probably(finding)}left {place} again after {_stay_words(finding)}"
            return left, _left_qualifier(finding, airports)
        case "returned":
            back = _arrival_words(finding.there.departure, airports) if finding.there.departure else "back"
            left = f"{name} has {_probably(finding)}left {place} after {_stay_words(finding)} and {back}"
            return left, _left_qualifier(finding, airports)
        case "withdrawn":
            wrong = (
                "and it was wrong"
                if visit.arrival.destination.basis == "observed"
                else "and what was seen since speaks against it"
            )
            return (
                f"Withdrawn: {name} is not, or no longer, thought to have gone to {place}",
                f"what was said before was a prediction, {wrong}",
            )


def area_name(stop: Stop, airports: Airports) -> str:
    """The country that most of the probability lies in."""
    totals: dict[str, float] = {}
    for candidate in stop.candidates:
        if country := airports.country_of(candidate.airport):
            totals[country] = totals.get(country, 0.0) + candidate.probability
    return country_name(max(totals, key=lambda c: totals[c])) if totals else "a place not known"


def town_name(stop: Stop, airports: Airports) -> str:
    """The leading airport as people call it; nothing where none leads."""
    return "" if stop.airport is None else _town(stop.airport, airports)


def _town(ident: str, airports: Airports) -> str:
    airport = airports.get(ident)
    return ident if airport is None else airport.short_name


def _chances(stop: Stop, airports: Airports) -> str:
    top = next((c for c in stop.candidates if c.airport != UNKNOWN), None)
    return "no airport stands out" if top is None else f"{_town(top.airport, airports)} {chance(top.probability)}"


def _was_seen_there(finding: Finding) -> list[bool]:
    """Whether it was seen to arrive at the place of the visit, and to leave it."""
    visit = finding.there
    return [e.basis == "observed" for e in (visit.arrival.destination, *([visit.departure.origin] if visit.departure else []))]


def _probably(finding: Finding) -> str:
    """What must stand before a claim that it was there, where nobody saw it there."""
    return "" if any(_was_seen_there(finding)) else "probably "


def _left_qualifier(finding: Finding, airports: Airports) -> str:
    seen = _was_seen_there(finding)
    ends = (
        "landing and take-off observed"
        if all(seen)
        else "landing and take-off not observed"
        if not any(seen)
        else "not both landing and take-off observed"
    )
    down = "" if any(seen) else f"; down {chance(finding.there.arrival.landed_probability)}"
    return f"{ends}{down}; {_chances(finding.there.place, airports)}"


def _arrival_words(leg: Leg, airports: Airports) -> str:
    end = leg.destination
    place = _town(end.airport, airports) if end.airport else "a place not known"
    if leg.status == "landed" and end.basis == "observed":
        return f"landed in {place}"
    return f"probably landed in {place}"


# ---------------------------------------------------------------------------------------------------------------------- facts


def _facts(finding: Finding, context: Context) -> list[str]:
    visit, airports = finding.there, context.airports
    facts = [*_way_facts(finding, airports), _takeoff_fact(visit.arrival, airports), _last_seen_fact(visit.arrival, context)]
    went = (
        visit.place
        if finding.stage != "withdrawn"
        else Stop(visit.arrival.destination.candidates, visit.arrival.destination.basis)
    )
    facts += [_where_fact(went, visit.arrival, airports), _landing_fact(visit.arrival, airports)]
    if visit.departure is not None:
        facts.append(_departure_fact(finding, airports))
    if finding.stage != "withdrawn":
        facts += _earlier_facts(finding, airports)
        facts += [r.sentence for r in finding.rarity]
    facts += _gap_facts(visit.arrival)
    return [fact for fact in facts if fact]


def _with_reasons(facts: Sequence[str], finding: Finding, alert: Alert) -> list[str]:
    """The facts, with why the rule held: first where its title is all that the headline says, else at the end."""
    held = [f"{h.condition} ({h.value})" for h in finding.held]
    more = [f"{len(held) - TOLD_CONDITIONS} more"] if len(held) > TOLD_CONDITIONS else []
    why = [f"Why: {'; '.join([*held[:TOLD_CONDITIONS], *more])}."] if held else []
    doubts = [f"Sources contradict each other. {capital(c)}." for c in finding.aircraft.conflicts if _matters(c)]
    titled = finding.event is None and not _is_about_a_place(alert)
    return [*why, *facts, *doubts] if titled else [*facts, *doubts, *why]


def _matters(conflict: str) -> bool:
    """Whether a contradiction is about who it is; names of types and roles differ everywhere."""
    return conflict.startswith(("registration: ", "operator: "))


def _way_facts(finding: Finding, airports: Airports) -> list[str]:
    """The legs before the last one of a journey in stages."""
    told = []
    for leg in finding.there.way[:-1]:
        origin, destination = (
            _town(e.airport, airports) if e.airport else "a place not known" for e in (leg.origin, leg.destination)
        )
        when = times(leg.destination, _end_zone(leg.destination, airports))
        told.append(f"Came in stages: {origin} to {destination} ({leg.callsign or 'no callsign'}), there {when}.")
    return told


def _takeoff_fact(leg: Leg, airports: Airports) -> str:
    end = leg.origin
    airport = airports.get(end.airport)
    if airport is None:
        return f"Take-off: not known from where. {sentence(end.reason)}"
    how = "observed" if end.basis == "observed" else f"not observed; {chance(end.probability)}"
    return f"Took off from {airport.name} ({airport.ident}) {times(end, airport.timezone)}: {how}."


def _last_seen_fact(leg: Leg, context: Context) -> str:
    """Where it was seen last, and how far that is from where it probably went and from the next likely place."""
    if leg.destination.basis == "observed" or leg.last_seen is None:
        return ""
    told = sentence(leg.destination.reason.split(";")[0])
    airport, track = context.airports.get(leg.destination.airport), context.track
    if airport is None or not track.latitude or context.withheld:  # then the track may end before it was seen last
        return told
    at = len(track.latitude) - 1 if track.departs is None else track.departs - 1
    others = (c.airport for c in leg.destination.candidates if c.airport not in (UNKNOWN, airport.ident))
    places = [airport, context.airports.get(next(others, None))]
    away = [
        f"{shown_distance_nm(track.latitude[at], track.longitude[at], p.latitude, p.longitude):,.0f} nm from {p.short_name}"
        for p in places
        if p is not None
    ]
    return f"{told.removesuffix('.')}, {' and '.join(away)}."


def _where_fact(stop: Stop, leg: Leg, airports: Airports) -> str:
    if stop.basis == "observed":
        return ""
    listed = [f"{_candidate(c, airports)} {chance(c.probability)}" for c in stop.candidates if c.airport != UNKNOWN][
        :TOLD_CANDIDATES
    ]
    unknown = next((c.probability for c in stop.candidates if c.airport == UNKNOWN), 0.0)
    goes = "is going" if leg.status in ("airborne", "lost") else "went"
    return f"Where it {goes} (inferred): {', '.join([*listed, f'unknown {unknown:.2f}'])}."


def _candidate(candidate: Candidate, airports: Airports) -> str:
    airport = airports.get(candidate.airport)
    return candidate.airport if airport is None else f"{airport.name} ({airport.ident})"


def _landing_fact(leg: Leg, airports: Airports) -> str:
    end = leg.destination
    airport = airports.get(end.airport)
    zone = airport.timezone if airport else "UTC"
    if end.basis == "observed":
        place = f"{airport.name} ({airport.ident})" if airport else "a place without a known airport"
        return f"Landed at {place} {times(end, zone)}: observed."
    if leg.status in ("airborne", "lost") and leg.landed_probability < 0.5:
        return f"Expected there {times(end, zone)}, if that is where it goes."
    return f"Landing not observed: down {chance(leg.landed_probability)}, {times(end, zone)}."


def _departure_fact(finding: Finding, airports: Airports) -> str:
    departure = finding.there.departure
    assert departure is not None  # asked for by the caller
    zone = _zone(finding.there.place, airports)
    how = "observed" if departure.origin.basis == "observed" else "not observed"
    seen = f"first seen again {departure.first_seen:%-d %b %H:%M} UTC" if departure.first_seen else ""
    to = departure.destination
    going = (
        f"; {_arrival_words(departure, airports)} {times(to, _end_zone(to, airports))}"
        if departure.status in ("landed", "presumed_landed")
        else ""
    )
    if not going and to.airport:
        going = f"; probably going to {_town(to.airport, airports)} ({chance(to.probability)})"
    left = capital(f"{_probably(finding)}left again")
    return f"{left} {times(departure.origin, zone)} ({how}; {seen}), after {_stay_words(finding)} on the ground{going}."


def _stay_words(finding: Finding) -> str:
    """How long it was there. Where nobody saw it arrive and leave it is `about` so long, or at most, where it may have left as
    soon as it came: lists that tell the days alone have it leave on the day of its arrival."""
    arrived, departure = finding.there.arrival.destination, finding.there.departure
    left = departure.origin if departure else None
    if left is None or left.time is None or arrived.time is None:
        return "a time not known"
    told = duration(left.time - arrived.time)
    if all(_was_seen_there(finding)):
        return told
    if arrived.earliest and arrived.latest and left.earliest and left.latest and left.earliest <= arrived.latest:
        return f"at most {duration(left.latest - arrived.earliest)}"
    return f"about {told}"


def _earlier_facts(finding: Finding, airports: Airports) -> list[str]:
    """The same aircraft's visits before, and which one this is."""
    if not finding.earlier:
        return []
    told = "; ".join(_visit_words(v, airports) for v in finding.earlier[-3:])
    nth = ordinal(len(finding.earlier) + 1)
    arrived = finding.there.arrival.destination.time
    known = f"{nth} known visit"
    if arrived is not None:
        today = arrived.astimezone(ZoneInfo(_zone(finding.there.place, airports))).date()
        if len(finding.earlier) < FEW_VISITS:
            known = f"{nth} visit {_within_days((today - _arrival_day(finding.earlier[0], airports)).days)}"
        else:
            known += f", {_days((today - _arrival_day(finding.earlier[-1], airports)).days)} after the one before"
    certainty = {"heading_there": "would be", "lost": "would be", "landed": "is"}.get(finding.stage, "is probably")
    return [f"Same aircraft as {told}: this {certainty} its {known}."]


FEW_VISITS = 4
"""Up to this many are dated from the first of them, more from the last."""


def _within_days(days: int) -> str:
    return "on one day" if days == 0 else f"in {_days(days)}"


def _days(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"


def ordinal(number: int) -> str:
    """`second`, `21st`, `112th`."""
    if number <= len(NUMBERS):
        return NUMBERS[number - 1]
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _arrival_day(visit: EarlierVisit, airports: Airports) -> date:
    return _as_it_was_there(visit, visit.arrived, airports).date()


def _as_it_was_there(visit: EarlierVisit, time: datetime, airports: Airports) -> datetime:
    """The local time; the day that a list gives is taken as it stands."""
    airport = None if visit.days_only else airports.get(visit.airport)
    return time.astimezone(ZoneInfo(airport.timezone if airport else "UTC"))


def _visit_words(visit: EarlierVisit, airports: Airports) -> str:
    airport = airports.get(visit.airport)
    place = airport.short_name if airport else visit.airport
    arrived = _as_it_was_there(visit, visit.arrived, airports)
    how = "as listed" if visit.source == "listed" else visit.basis
    local = "" if visit.days_only else " local time"
    if visit.left is None:
        return f"in {place} on {arrived:%-d %b %Y}{local} ({how})"
    left = _as_it_was_there(visit, visit.left, airports)
    stayed = how if visit.days_only else f"stayed {duration(visit.left - visit.arrived)}, {how}"
    return f"in {place} on {_span_words(arrived, left)}{local} ({stayed})"


def _span_words(first: datetime, last: datetime) -> str:
    if first.date() == last.date():
        return f"{first:%-d %b %Y}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first:%-d} – {last:%-d %b %Y}"
    return f"{first:%-d %b}{'' if first.year == last.year else f' {first.year}'} – {last:%-d %b %Y}"


def _gap_facts(leg: Leg) -> list[str]:
    gaps = [g for g in leg.gaps if g.decision == "flying"]
    if not gaps:
        return []
    longest = sorted(gaps, key=lambda g: g.start - g.end)[:TOLD_GAPS]
    told = ", ".join(f"{duration(g.end - g.start)} from {g.start:%H:%M} UTC" for g in sorted(longest, key=lambda g: g.start))
    return [f"Not seen on the way (taken for one flight): {told}."]


# --------------------------------------------------------------------------------------------------------------------- update


def _update(finding: Finding, alert: Alert, airports: Airports) -> str:
    """The one line in the thread."""
    assert alert.stage != "happened"  # that is what `happenings` is for
    visit = finding.there
    place = area_name(visit.place, airports)
    there, going = chance(_in_area(visit.place, place, airports)), _going(visit.place, "", airports)
    match alert.stage:
        case "heading_there" | "airborne":
            return f"Seen again, {going.removesuffix(',')} ({there})."
        case "lost":
            return f"Signal lost. {sentence(visit.arrival.destination.reason)} {capital(going.removesuffix(','))} ({there})."
        case "presumed_landed":
            down = chance(visit.arrival.landed_probability)
            inside = _inside(visit.place, airports)
            return f"By now probably on the ground{inside}: not observed; down {down}, {_chances(visit.place, airports)}."
        case "landed":
            return f"Landed: {_landing_fact(visit.arrival, airports)}"
        case "left_again":
            return _departure_fact(finding, airports)
        case "returned":
            assert visit.departure is not None  # what makes the stage
            end = visit.departure.destination
            how = (
                "observed"
                if end.basis == "observed"
                else f"not observed; down {chance(visit.departure.landed_probability)}, {chance(end.probability)}"
            )
            return f"{capital(_arrival_words(visit.departure, airports))} {times(end, _end_zone(end, airports))} ({how})."
        case "withdrawn" if not _is_about_a_place(alert):
            return f"Withdrawn: what was seen since speaks against it. {_instead(visit.arrival, airports)}"
        case "withdrawn":
            return f"Withdrawn: it is not, or no longer, thought to have gone to {place}. {_instead(visit.arrival, airports)}"


def _instead(leg: Leg, airports: Airports) -> str:
    """Where a flight went that was thought to go somewhere else."""
    end = leg.destination
    if end.basis == "observed":
        return _landing_fact(leg, airports)
    went = f"It probably went to {_town(end.airport, airports)} ({chance(end.probability)}): " if end.airport else ""
    reason = end.reason if went else capital(end.reason)
    return f"{went}{reason}."


def _going(stop: Stop, came: str, airports: Airports) -> str:
    """What it is doing on its way to the country that leads, no surer than that is."""
    place = area_name(stop, airports)
    if not _in_area(stop, place, airports):
        return f"in the air{came}, where to is not known,"
    likely = "probably" if _in_area(stop, place, airports) >= LIKELY else "possibly"
    return f"{likely} heading for {place}{came}"


def _inside(stop: Stop, airports: Airports) -> str:
    """In which country it landed, no surer than that is."""
    place = area_name(stop, airports)
    if not _in_area(stop, place, airports):
        return ", where is not known"
    return f" in {place}" if _in_area(stop, place, airports) >= LIKELY else f", possibly in {place}"


def _in_area(stop: Stop, area: str, airports: Airports) -> float:
    """How probable it is that a stop lies in a country."""
    return sum(c.probability for c in stop.candidates if (code := airports.country_of(c.airport)) and country_name(code) == area)


# ---------------------------------------------------------------------------------------------------------- links, footer, map


def _links(finding: Finding, context: Context) -> list[tuple[str, str]]:
    """To public trackers, for that aircraft and day; not for a track that nobody can find there."""
    if context.reconstructed:
        return []
    began = finding.event.since if finding.event is not None else finding.there.arrival.first_seen
    known = finding.aircraft if finding.event is not None else finding.there.arrival
    found = trackers(known.icao24, known.registration, (began or finding.as_of).date())
    return [(f"{name}, {day}" if day else name, url) for name, day, url in found if name in TOLD]


def _footer(finding: Finding, alert: Alert, context: Context) -> list[str]:
    lines = []
    if context.reconstructed:
        lines.append("Reconstruction: the tracks behind this were made to fit published facts. Nobody observed them.")
    if context.history_made_up:
        lines.append("The history that the counts come from is made up in part: how rare this really was, they do not say.")
    if by := alert.acknowledged:
        lines.append(f"{by.who} looks after this, {by.time:%-d %b %H:%M} UTC" + (f": {by.why}" if by.why else "."))
    lines += [f"Rule {r.rule_id}: {r.title}." for r in sorted(alert.rules, key=lambda r: SEVERITIES.index(r.severity))]
    if sources := credits_of(context.terms):
        lines.append(f"Data: {'; '.join(sources)}.")
    if context.withheld:
        lines.append(f"Not on the map: positions of {' and '.join(context.withheld)}, which may not be republished.")
    return lines


def _map(finding: Finding, title: str, context: Context) -> MapSpec:
    visit, airports = finding.there, context.airports
    places = []
    for end in (visit.arrival.origin, visit.arrival.destination, *([visit.departure.destination] if visit.departure else [])):
        airport = airports.get(end.airport)
        if airport is not None:
            places.append((airport.short_name, airport.latitude, airport.longitude))
    note = map_note(context.terms, context.withheld)
    return MapSpec(
        title, context.track, tuple(inferred_lines(finding, context.track, airports)), tuple(dict.fromkeys(places)), note
    )


def _event_map(finding: Finding, title: str, context: Context) -> MapSpec | None:
    note = map_note(context.terms, context.withheld).replace("Solid: seen. Dashed: inferred", "Solid: seen and believed")
    return happenings.drawn(finding, title, context.airports, context.track, note, spot=not context.withheld)


def map_note(terms: Sequence[Terms], withheld: Sequence[str] = ()) -> str:
    """What stands below a map: how to read it, whose data it shows, and whose it may not show."""
    closed = f", or seen by {' and '.join(withheld)} alone, which may not be republished" if withheld else ""
    return f"Solid: seen. Dashed: inferred{closed}.{_whose(terms)}"


def coverage_note(terms: Sequence[Terms]) -> str:
    """What stands below a picture of coverage."""
    return (
        "Share of the flying time in which somebody saw the aircraft; what is months ago counts less. Blank: nobody is known"
        f" to have flown there, so it is not known.{_whose(terms)}"
    )


def _whose(terms: Sequence[Terms]) -> str:
    """Whose data a picture shows, and that nobody observed them where that is so."""
    made_up = " Reconstruction, not observed." if any(t.reconstructed for t in terms) else ""
    sources = credits_of(terms)
    return made_up + (f" Data: {'; '.join(sources)}." if sources else "")


def inferred_lines(finding: Finding, track: Track, airports: Airports) -> list[tuple[float, float, float, float]]:
    """The dashed lines of a visit: across holes, and from where the track broke off to the airport that leads, and back."""
    lat, lon = track.latitude, track.longitude
    lines = []
    began = finding.there.way[0].origin  # the track has all legs of a journey in stages
    if lat and began.basis != "observed":
        lines += _to_airport(lat[0], lon[0], began, airports)
    there = finding.there.arrival.destination
    for i in sorted(track.breaks):
        if i == track.departs and there.airport is not None:
            lines += _to_airport(lat[i - 1], lon[i - 1], there, airports) + _to_airport(lat[i], lon[i], there, airports)
        else:
            lines.append((lat[i - 1], lon[i - 1], lat[i], lon[i]))
    last = finding.there.departure or finding.there.arrival
    if lat and last.destination.basis != "observed":
        lines += _to_airport(lat[-1], lon[-1], last.destination, airports)
    return lines


def _to_airport(latitude: float, longitude: float, end: End, airports: Airports) -> list[tuple[float, float, float, float]]:
    airport = airports.get(end.airport)
    return [] if airport is None else [(latitude, longitude, airport.latitude, airport.longitude)]


# ---------------------------------------------------------------------------------------------------------------------- times


def times(end: End, zone: str) -> str:
    """A moment, or the interval that remains, in UTC and local time."""
    if end.earliest is None or end.latest is None:
        return "at a time not known"
    local = ZoneInfo(zone)
    if end.latest - end.earliest <= timedelta(minutes=6):
        moment = end.time or end.earliest
        return f"{moment:%-d %b %Y %H:%M} UTC ({moment.astimezone(local):%-d %b %H:%M} local)"
    first, last = end.earliest, end.latest
    until = f"{last:%H:%M}" if first.date() == last.date() else f"{last:%-d %b %H:%M}"
    here, then = first.astimezone(local), last.astimezone(local)
    there = f"{here:%-d %b %H:%M} – {then:{'%H:%M' if here.date() == then.date() else '%-d %b %H:%M'}} local"
    return f"between {first:%-d %b %Y %H:%M} and {until} UTC ({there})"


def _zone(stop: Stop, airports: Airports) -> str:
    airport = airports.get(stop.airport)
    return airport.timezone if airport else "UTC"


def _end_zone(end: End, airports: Airports) -> str:
    airport = airports.get(end.airport)
    return airport.timezone if airport else "UTC"
