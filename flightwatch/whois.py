"""`flightwatch whois`: all that is known of an address or a registration on a day, and from where.

In: the registry, what somebody asked for, and a store if there is one. Out: lines to read, or plain data for JSON. It
looks and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import pyarrow.compute as pc
from msgspec import structs

from flightwatch.aircraft import Identity, Registry, type_name
from flightwatch.aircraft.registry import WHATS, Claim
from flightwatch.errors import InputError
from flightwatch.places import country_name
from flightwatch.records import Aircraft, Terms, credits_of
from flightwatch.store import Store

WORDS = {"registration": "registration", "typecode": "type", "operator": "operator", "role": "role"}
WIDTH = 15
"""Of the column of names."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store has of an aircraft, and on what terms."""

    legs: int
    last_seen: datetime | None
    terms: tuple[Terms, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """One aircraft that the question may mean. `found_by` says who connects it with what was asked for; without an
    `identity` no address is known."""

    aircraft: Aircraft
    identity: Identity | None
    found_by: tuple[str, ...]
    stored: Stored | None
    credits: tuple[str, ...] = ()


def look_up(text: str, on: date, registry: Registry, store: Store | None) -> list[Answer]:
    """The aircraft that an address or a registration stands for, those that have it on the day first. Raises
    InputError where nobody knows."""
    asked = text.strip()
    address = registry.address(asked, on)
    if address == asked.lower():
        return [_answer(registry, address, on, (), store)]
    holders = registry.holders(asked, on)
    if not holders:
        aircraft = registry.who("", on, registration=asked.upper())
        if not aircraft.watchlists:
            raise InputError(
                f"nobody knows the address of {asked}: give the address (6 hex digits), or add a reference database first"
                " (`flightwatch reference update tar1090-db`)"
            )
        stored = None if store is None else _stored(store, None, aircraft.registration)
        terms = [*registry.terms(s for s, _ in aircraft.sources).values(), *(stored.terms if stored else ())]
        return [Answer(aircraft, None, (), stored, credits_of(terms))]
    addresses = dict.fromkeys(icao24 for icao24, _ in holders)
    return [_answer(registry, a, on, tuple(s for icao24, s in holders if icao24 == a), store) for a in addresses]


def _answer(registry: Registry, icao24: str, on: date, found_by: tuple[str, ...], store: Store | None) -> Answer:
    identity = registry.identify(icao24, on)
    stored = None if store is None else _stored(store, icao24, None)
    told = [*(c.source for c in (*identity.claims, *identity.others)), *(h.source for h in identity.hints), *found_by]
    terms = [*registry.terms(told).values(), *(stored.terms if stored else ())]
    return Answer(identity.aircraft, identity, found_by, stored, credits_of(terms))


def _stored(store: Store, icao24: str | None, registration: str | None) -> Stored:
    legs = store.legs.table(aircraft=[name for name in (icao24, registration) if name])
    last = pc.max(pc.coalesce(legs["last_seen"], legs["landing_time"])).as_py()
    terms = store.terms_of(feed for row in legs["feeds"].to_pylist() for feed in row or ())
    return Stored(len(legs), last, tuple(terms.values()))


# ------------------------------------------------------------------------------------------------------------------------ words


def lines(answers: Sequence[Answer], text: str, on: date) -> Iterator[str]:
    """The answers to read, one below the other."""
    if len(answers) > 1:
        yield f"{text} stands for {len(answers)} addresses: sources disagree, or it was used again."
    for number, answer in enumerate(answers):
        if number or len(answers) > 1:
            yield ""
        yield from _lines(answer, on)


def _lines(answer: Answer, on: date) -> Iterator[str]:
    known, identity = answer.aircraft, answer.identity
    yield f"{known.registration or known.icao24 or 'unknown'} on {on}"
    if identity is None:
        yield _row("address", "not known: it is on a list by its registration, and feeds can tell its address")
    else:
        yield from _of_address(answer, identity)
        for what in WHATS:
            yield from _of_claims(what, identity)
    yield _row("watchlists", ", ".join(known.watchlists) or "none")
    if known.undecided:
        yield _row("", f"perhaps {', '.join(known.undecided)}, by callsign or what else is not known of it")
    if identity is not None:
        for hint in identity.hints:
            yield _row("hint", f"{hint.registration or hint.icao24} is {hint.icao24}, the same low 16 bits ({hint.source})")
        if identity.hints:
            yield _row("", "transponders with a wrong first byte exist; that this is one is not known")
        for claim in identity.others:
            yield _row("at other times", f"{WORDS[claim.what]} {claim.value} {_days(claim)} ({_source(claim)})")
    if answer.stored is not None:
        yield _row("store", _told(answer.stored))
    for credit in answer.credits:
        yield _row("data", credit)


def _of_address(answer: Answer, identity: Identity) -> Iterator[str]:
    block = identity.block
    place = f"block of {country_name(block.country)} ({block.first:06x}-{block.last:06x})" if block else "in no country's block"
    found_by = f"; found by {', '.join(dict.fromkeys(answer.found_by))}" if answer.found_by else ""
    yield _row("address", f"{identity.aircraft.icao24}, {place}{found_by}")
    rule = identity.by_rule
    if rule is not None:
        yield _row("by arithmetic", f"{rule.registration} ({rule.rule}), {rule.confidence:g}")


def _of_claims(what: Any, identity: Identity) -> Iterator[str]:
    verdict = identity.verdict(what)
    if verdict is None:
        yield _row(WORDS[what], "unknown")
        return
    named = what == "typecode" and type_name(verdict.value) != verdict.value
    value = f"{verdict.value} ({type_name(verdict.value)})" if named else verdict.value
    yield _row(WORDS[what], f"{value}, {verdict.confidence:.2f}{', CONTRADICTED' if verdict.against else ''}")
    for claim in (c for c in identity.claims if c.what == what):
        yield _row("", f"{claim.value}: {_source(claim)}{_days(claim, ', ')}")


def _source(claim: Claim) -> str:
    parts = [claim.source, claim.detail, claim.dated.isoformat() if claim.dated else ""]
    return ", ".join(part for part in parts if part)


def _days(claim: Claim, before: str = "") -> str:
    if claim.valid_from is None and claim.valid_until is None:
        return ""
    begins = f"from {claim.valid_from}" if claim.valid_from else ""
    ends = f"until {claim.valid_until}" if claim.valid_until else ""
    return before + " ".join(part for part in (begins, ends) if part)


def _told(stored: Stored) -> str:
    if not stored.legs:
        return "no legs (`flightwatch legs` makes them of new positions)"
    last = f"{stored.last_seen:%Y-%m-%d %H:%M} UTC" if stored.last_seen else "at a time that is not known"
    return f"{stored.legs} legs, last seen {last}"


def _row(name: str, text: str) -> str:
    return f"  {name:<{WIDTH}} {text}".rstrip()


# ------------------------------------------------------------------------------------------------------------------------- data


def data(answers: Sequence[Answer], text: str, on: date) -> dict[str, Any]:
    """The answers as plain data, days and times in ISO 8601."""
    return {"asked": text, "on": on.isoformat(), "aircraft": [_data(answer) for answer in answers]}


def _data(answer: Answer) -> dict[str, Any]:
    known, identity = answer.aircraft, answer.identity
    told: dict[str, Any] = {
        "icao24": known.icao24,
        "registration": known.registration,
        "typecode": known.typecode,
        "operator": known.operator,
        "role": known.role,
        "military": known.military,
        "country": known.country,
        "watchlists": list(known.watchlists),
        "perhaps_on": list(known.undecided),
        "conflicts": list(known.conflicts),
        "found_by": list(answer.found_by),
        "attribution": list(answer.credits),
    }
    if identity is not None:
        verdicts = {what: identity.verdict(what) for what in WHATS}
        told["confidence"] = {what: verdict.confidence for what, verdict in verdicts.items() if verdict}
        told["by_rule"] = asdict(identity.by_rule) if identity.by_rule else None
        told["claims"] = [_plain(structs.asdict(claim)) for claim in identity.claims]
        told["at_other_times"] = [_plain(structs.asdict(claim)) for claim in identity.others]
        told["hints"] = [asdict(hint) for hint in identity.hints]
    if answer.stored is not None:
        last = answer.stored.last_seen
        told["store"] = {"legs": answer.stored.legs, "last_seen": last.isoformat() if last else None}
    return told


def _plain(claim: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in claim.items()}
