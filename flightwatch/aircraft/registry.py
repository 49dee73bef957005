"""Who an address is on a date: what lists, databases and registers say, weighed and kept.

In: watchlists and databases. Out: `Aircraft` for the stages, from a cache; `Identity` for people, with every claim,
where it comes from, how sure it is, and where claims contradict each other.

The word of a list decides: somebody wrote it down on purpose. Otherwise each claim counts with the odds that its
source is right, the claims for one value together, and the likeliest value is taken. That takes sources for
independent, which databases that copy from each other are not, so no more than `SUREST` is ever said. What the feed
tells of an aircraft fills in where all of these are silent; a registration that it tells against them is one claim
more.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

from msgspec import Struct

from flightwatch.aircraft.blocks import Block, block_of, country_of, number_of, of_forces
from flightwatch.aircraft.databases import Database, Row
from flightwatch.aircraft.registers import RUSSIA, RUSSIAN_NUMBERS, Derived, address_of, derived
from flightwatch.aircraft.watchlists import Entry, Watchlist
from flightwatch.records import Aircraft, Terms

What = Literal["registration", "typecode", "operator", "role"]
WHATS: tuple[What, ...] = ("registration", "typecode", "operator", "role")

BY_HAND = 0.95
"""How far an entry of a list is trusted when confidence is told: people mistype, too."""

FED = 0.97
"""How often the registration is right that a feed adds: the database behind most of them agrees with the Russian
register in 1,781 of 1,834 rows."""

EVEN = 0.5
"""Counts neither for nor against."""

SUREST = 0.99
"""Nothing is said to be surer than this: sources copy from each other."""

MOST_REMEMBERED = 200_000
"""Addresses whose aircraft stay in memory: more than are ever heard in a day."""

REGISTER, BLOCK = "arithmetic of the register", "block of addresses"


class Claim(Struct, frozen=True):
    """What one source says of one thing. `source` is a list, a database or a rule, `detail` where that has it from;
    `confidence` how often the source is right; `dated` when it was written or checked."""

    what: What
    value: str
    source: str
    detail: str
    confidence: float
    dated: date | None = None
    valid_from: date | None = None
    valid_until: date | None = None


class Verdict(Struct, frozen=True):
    """The value that the claims come to, how sure it is, and the claims that say something else."""

    value: str
    confidence: float
    against: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Hint:
    """A known aircraft whose address has the same low 16 bits. Transponders with a wrong first byte exist; that this
    is one is a guess, and never an identity."""

    icao24: str
    registration: str | None
    source: str


@dataclass(frozen=True, slots=True)
class Identity:
    """All that is known of an address on a day. `others` are claims that held, or will hold, at another time."""

    aircraft: Aircraft
    on: date
    block: Block | None
    by_rule: Derived | None
    claims: tuple[Claim, ...]
    others: tuple[Claim, ...]
    hints: tuple[Hint, ...]

    def verdict(self, what: What) -> Verdict | None:
        return weigh([c for c in self.claims if c.what == what])


Listed = tuple[str, Entry]
"""A list's name with one of its entries."""


class Registry:
    """Who an aircraft is, from the watchlists, the databases and the registers' arithmetic."""

    def __init__(self, watchlists: Sequence[Watchlist] = (), databases: Sequence[Database] = ()) -> None:
        self.watchlists = tuple(watchlists)
        self.databases = tuple(databases)
        self._by_address: dict[str, list[Listed]] = {}
        self._by_registration: dict[str, list[Listed]] = {}
        self._patterns: list[Listed] = []
        for watchlist in watchlists:
            for entry in watchlist.entries:
                self._take(watchlist.name, entry)
        self._by_low_bits: dict[int, list[str]] = {}
        for icao24 in self._by_address:
            if (number := number_of(icao24)) is not None:
                self._by_low_bits.setdefault(number & 0xFFFF, []).append(icao24)
        self._open_lists = tuple(dict.fromkeys(n for found in self._by_registration.values() for n, _ in found))
        self._turns_of_others = _turns(
            [e for _, e in [*(e for found in self._by_registration.values() for e in found), *self._patterns]]
        )
        self._turns: dict[str, list[date]] = {}
        self._known: dict[tuple[str, int, str | None], Aircraft] = {}
        self._as_told: dict[tuple[str, int, str | None, str | None, str | None], Aircraft] = {}

    def _take(self, name: str, entry: Entry) -> None:
        if entry.icao24 is not None:
            self._by_address.setdefault(entry.icao24, []).append((name, entry))
        elif entry.registration is not None:
            self._by_registration.setdefault(entry.registration, []).append((name, entry))
        else:
            self._patterns.append((name, entry))

    # -------------------------------------------------------------------------------------------------------------- for stages

    def who(
        self,
        icao24: str,
        on: date | None,
        *,
        registration: str | None = None,
        typecode: str | None = None,
        operator: str | None = None,
        callsigns: Sequence[str] | None = None,
    ) -> Aircraft:
        """What is known of an address on a date; "" where the address is not known.

        The rest is what feed and legs tell of it, for entries that go by that. `Aircraft.undecided` are the lists on
        which it would stand if what is not known of it fitted. Without a date: what holds at any time, and the lists
        on which it ever stood are undecided.
        """
        if self._by_registration or self._patterns:
            known = self._at_some_time(icao24) if on is None else self._on(icao24, on, registration)
            return self._on_lists(known, on, registration, typecode, operator, callsigns)
        if on is None:
            return _filled(self._at_some_time(icao24), registration, typecode, operator)
        key = (icao24, self._span(icao24, on), registration, typecode, operator)
        if key not in self._as_told:
            self._as_told[key] = _filled(self._on(icao24, on, registration), registration, typecode, operator)
        return self._as_told[key]

    def _on_lists(
        self,
        known: Aircraft,
        on: date | None,
        registration: str | None,
        typecode: str | None,
        operator: str | None,
        callsigns: Sequence[str] | None,
    ) -> Aircraft:
        """An aircraft with what lists say that go by other things than its address."""
        told = [r for r in (known.registration, registration) if r]
        named = [e for r in dict.fromkeys(t.upper() for t in told) for e in self._by_registration.get(r, ())]
        met = [(name, e) for name, e in named if on is not None and e.holds_on(on)]
        known = _with_entries(known, met)
        known = _filled(known, registration, typecode, operator)
        undecided = [*known.undecided, *(self._open_lists if registration is None else [n for n, e in named if on is None])]
        lists = list(known.watchlists)
        for name, entry in self._patterns:
            fits = entry.fits(known.registration, known.typecode, known.operator, callsigns)
            if fits and on is not None and entry.holds_on(on):
                lists.append(name)
            elif fits is None or (fits and on is None):
                undecided.append(name)
        watchlists, undecided = tuple(dict.fromkeys(lists)), [n for n in dict.fromkeys(undecided) if n not in lists]
        if (watchlists, tuple(undecided)) == (known.watchlists, known.undecided):
            return known
        return replace(known, watchlists=watchlists, undecided=tuple(undecided))

    def turns(self, icao24: str) -> list[date]:
        """The days from which on something else may be known of an address than the day before, by lists that go by other
        things than addresses, too."""
        if icao24 not in self._turns:
            self._turns[icao24] = self._turns_of(icao24, self._sourced(icao24))
        own = self._turns[icao24]
        return sorted({*own, *self._turns_of_others}) if self._turns_of_others else own

    def _turns_of(self, icao24: str, claims: Sequence[Claim]) -> list[date]:
        return _turns([*claims, *(e for _, e in self._by_address.get(icao24, ()))])

    def _span(self, icao24: str, on: date) -> int:
        """The number of the span between two dates on which something else may be known of an address than before."""
        if len(self._turns) >= MOST_REMEMBERED or len(self._known) >= MOST_REMEMBERED or len(self._as_told) >= MOST_REMEMBERED:
            self._known.clear()
            self._as_told.clear()
            self._turns.clear()
        if icao24 not in self._turns:
            self._turns[icao24] = self._turns_of(icao24, self._sourced(icao24))
        turns = self._turns[icao24]
        return bisect_right(turns, on) if turns else 0

    def _on(self, icao24: str, on: date, told: str | None = None) -> Aircraft:
        """From the cache; an address whose claims are dated has an aircraft for each span between two dates, and one
        for each registration that a feed tells: one claim more where it is against the others."""
        key = (icao24, self._span(icao24, on), told)
        if key not in self._known:
            sourced, by_rule = self._sourced(icao24), derived(icao24)
            claims = [c for c in _with_rules(icao24, sourced, by_rule) if _holds(c, on)]
            said = [c for c in claims if c.what == "registration"]
            known = weigh(said) if len(said) > 1 else said[0] if said else None
            if told and known is not None and told.upper() != known.value.upper():
                claims = [c for c in _with_rules(icao24, sourced, by_rule, told) if _holds(c, on)]
            self._known[key] = self._aircraft(icao24, on, claims)
        return self._known[key]

    def _at_some_time(self, icao24: str) -> Aircraft:
        known = self._aircraft(icao24, None, [c for c in self._claims(icao24) if c.valid_from is None and c.valid_until is None])
        listed = self._by_address.get(icao24)
        if listed is None:
            return known
        ever = dict.fromkeys(name for name, _ in listed)
        return replace(known, undecided=tuple(n for n in ever if n not in known.watchlists))

    def _aircraft(self, icao24: str, on: date | None, claims: Sequence[Claim]) -> Aircraft:
        sayings: dict[What, list[Claim]] = {}
        for claim in claims:
            sayings.setdefault(claim.what, []).append(claim)
        found = {what: verdict for what, said in sayings.items() if len(said) > 1 and (verdict := weigh(said))}
        value = {what: found[what].value if what in found else said[0].value for what, said in sayings.items()}
        listed = self._by_address.get(icao24, ())
        lists = dict.fromkeys([name for name, e in listed if (e.holds_on(on) if on is not None else not e.dated)])
        roles = [c.value for c in sayings.get("role", ())]
        return Aircraft(
            icao24=icao24 or None,
            registration=value.get("registration"),
            typecode=value.get("typecode"),
            operator=value.get("operator"),
            country=country_of(icao24),
            role=value.get("role"),
            military=True if "military" in roles else False if roles else None,  # one source is enough
            watchlists=tuple(lists),
            sources=tuple(dict.fromkeys([(c.source, c.detail) for c in claims])),
            conflicts=tuple([conflict(w, found[w], claims) for w in WHATS if w in found and found[w].against]),
        )

    # ---------------------------------------------------------------------------------------------------------------- claims

    def _claims(self, icao24: str) -> list[Claim]:
        """Everything that any source says of an address, whenever it holds; lists first, then databases and what follows by
        rule."""
        return _with_rules(icao24, self._sourced(icao24), derived(icao24))

    def _sourced(self, icao24: str) -> list[Claim]:
        """What lists and databases say: of all claims, these may be dated."""
        found = [c for name, entry in self._by_address.get(icao24, ()) for c in _listed(name, entry)]
        for database in self.databases:
            found += [c for row in database.rows(icao24) for c in _recorded(database, row)]
        return found

    def identify(self, icao24: str, on: date) -> Identity:
        """All that is known of an address on a day, for people."""
        claims = self._claims(icao24)
        return Identity(
            aircraft=self._on(icao24, on),
            on=on,
            block=block_of(icao24),
            by_rule=derived(icao24),
            claims=tuple(c for c in claims if _holds(c, on)),
            others=tuple(c for c in claims if not _holds(c, on)),
            hints=tuple(self._hints(icao24)),
        )

    def _hints(self, icao24: str) -> Iterator[Hint]:
        """Known aircraft that this address could stand for by a wrong first byte: in the same country's block, and
        only where nobody knows the address itself."""
        number = number_of(icao24)
        if number is None or any(c.source != BLOCK for c in self._claims(icao24)):
            return
        country = country_of(icao24)
        seen = set()
        for other in self._by_low_bits.get(number & 0xFFFF, ()):
            if country_of(other) == country:
                seen.add(other)
                name, entry = self._by_address[other][0]
                yield Hint(other, self._on(other, entry.valid_from or date.max).registration, f"watchlist {name}")
        for database in self.databases:
            for row in database.alike(icao24):
                if row.icao24 not in seen and country_of(row.icao24) == country:
                    seen.add(row.icao24)
                    yield Hint(row.icao24, row.registration, database.name)
        if country == "RU":
            for start in range(RUSSIA, RUSSIA + RUSSIAN_NUMBERS, 1 << 16):
                other = f"{start + (number & 0xFFFF):06x}"
                by_rule = derived(other)
                if by_rule and other not in seen:
                    yield Hint(other, by_rule.registration, f"{REGISTER} alone")

    # ----------------------------------------------------------------------------------------------------------------- asking

    def addresses(self, names: Iterable[str] | None = None) -> list[str]:
        """The addresses on some lists, or on all of them, whenever their entries hold."""
        chosen = None if names is None else set(names)
        return sorted(a for a, found in self._by_address.items() if chosen is None or any(name in chosen for name, _ in found))

    def address(self, text: str, on: date | None = None) -> str | None:
        """The address that a user means by an address or a registration."""
        if re.fullmatch(r"~?[0-9a-fA-F]{6}", text):
            return text.lower()
        return next((icao24 for icao24, _ in self.holders(text, on)), None)

    def holders(self, registration: str, on: date | None = None) -> list[tuple[str, str]]:
        """The addresses that have, or had, a registration, each with a source: those of lists, of the register's rule,
        of databases; those that hold on the day first."""
        text = registration.strip().upper()
        found: list[tuple[bool, str, str]] = []
        for icao24, listed in self._by_address.items():
            for name, e in listed:
                if e.registration == text:
                    found.append((on is None or e.holds_on(on), icao24, f"watchlist {name}"))
        by_rule = address_of(text)
        if by_rule is not None:
            found.append((True, by_rule, REGISTER))
        for database in self.databases:
            found += [(on is None or row.holds_on(on), row.icao24, database.name) for row in database.holders(text)]
        return list(dict.fromkeys((icao24, source) for _, icao24, source in sorted(found, key=lambda f: not f[0])))

    def terms(self, sources: Iterable[str]) -> dict[str, Terms]:
        """What those demand whose data stand behind some sources: whom to name, and whether it may be republished; by
        source."""
        named = {f"watchlist {w.name}": Terms(w.attribution) for w in self.watchlists if w.attribution}
        for known in (d.about for d in self.databases):
            credit = f"{known.attribution} (licence: {known.licence})"
            named[known.source] = Terms(credit, known.retention_days, known.republish)
        return {source: named[source] for source in dict.fromkeys(sources) if source in named}


# ------------------------------------------------------------------------------------------------------------------- weighing


def weigh(claims: Sequence[Claim]) -> Verdict | None:
    """What claims about one thing come to (see the module)."""
    if not claims:
        return None
    values = [_same(c) for c in claims]
    scores: dict[str, float] = {}
    for claim, value in zip(claims, values, strict=True):
        scores[value] = scores.get(value, 0.0) + math.log(claim.confidence / (1 - claim.confidence))
    listed = [i for i, c in enumerate(claims) if c.source.startswith("watchlist ")]
    best = listed[0] if listed else max(range(len(claims)), key=lambda i: scores[values[i]])
    weight = sum([math.exp(s) for s in scores.values()]) + 1  # and that none of them is right
    confidence = min(math.exp(scores[values[best]]) / weight, SUREST)
    against = tuple([c for c, value in zip(claims, values, strict=True) if value != values[best]])
    return Verdict(claims[best].value, round(confidence, 3), against)


def _with_rules(icao24: str, sourced: Sequence[Claim], by_rule: Derived | None, told: str | None = None) -> list[Claim]:
    """What lists and databases say, with what a feed tells against them and what follows by rule."""
    found = list(sourced)
    if of_forces(icao24):
        found.append(Claim("role", "military", BLOCK, "beyond the last N-number", SUREST))
    if told is not None:
        found.append(Claim("registration", told, "feed", "", FED))
    if by_rule is not None:
        others = [c.value.upper() for c in found if c.what == "registration"]
        if not others or f"RF{by_rule.registration[2:]}" not in others:
            found.append(Claim("registration", by_rule.registration, REGISTER, by_rule.rule, _worth(by_rule, others)))
    return found


def _worth(by_rule: Derived, others: Sequence[str]) -> float:
    """How often a rule is right beside what others say. The Russian one gives a number, which civil (RA-) and state
    aircraft (RF-) share: where somebody says RF- and another number, it counts for nothing; the same number is no
    contradiction at all."""
    return EVEN if by_rule.country == "RU" and any(r.startswith("RF-") for r in others) else by_rule.confidence


def conflict(what: What, verdict: Verdict, claims: Sequence[Claim]) -> str:
    """A contradiction in a line: `registration: RA-64508 (plane-alert-db), but RA-64058 (arithmetic of the register)`."""
    mine = [c.source for c in claims if c.what == what and _same(c) == verdict.value.casefold()]
    others = ", ".join(f"{c.value} ({c.source})" for c in verdict.against)
    return f"{what}: {verdict.value} ({', '.join(dict.fromkeys(mine))}), but {others}"


def _same(claim: Claim) -> str:
    return claim.value.casefold()


def _holds(claim: Claim, on: date) -> bool:
    return (claim.valid_from is None or claim.valid_from <= on) and (claim.valid_until is None or on <= claim.valid_until)


def _turns(dated: Sequence[Claim | Entry]) -> list[date]:
    """The days from which on something else holds than the day before."""
    begins = [d.valid_from for d in dated if d.valid_from]
    ends = [d.valid_until + timedelta(days=1) for d in dated if d.valid_until and d.valid_until < date.max]
    return sorted({*begins, *ends})


def _listed(name: str, entry: Entry) -> Iterator[Claim]:
    """What an entry says; that it stands on the list at all, where it says nothing else, goes without a claim."""
    for what in WHATS:
        value = getattr(entry, what)
        if value:
            days = (entry.source_date, entry.valid_from, entry.valid_until)
            yield Claim(what, value, f"watchlist {name}", entry.source, BY_HAND, *days)


def _recorded(database: Database, row: Row) -> Iterator[Claim]:
    known = database.about
    for what in WHATS:
        value = getattr(row, what)
        if value:
            yield Claim(what, value, known.source, row.note or "", known.confidence, known.dated, row.valid_from, row.valid_until)


def _with_entries(known: Aircraft, met: Sequence[Listed]) -> Aircraft:
    """The aircraft with what lists say that know it by its registration."""
    if not met:
        return known
    entries = [e for _, e in met]
    return replace(
        known,
        registration=entries[0].registration,
        typecode=next((e.typecode for e in entries if e.typecode), known.typecode),
        operator=next((e.operator for e in entries if e.operator), known.operator),
        role=next((e.role for e in entries if e.role), known.role),
        watchlists=tuple(dict.fromkeys([*known.watchlists, *(name for name, _ in met)])),
        sources=(*known.sources, *((f"watchlist {name}", e.source) for name, e in met)),
    )


def _filled(known: Aircraft, registration: str | None, typecode: str | None, operator: str | None) -> Aircraft:
    """The aircraft with what was told of it where everything else is silent."""
    filled = (known.registration or registration, known.typecode or typecode, known.operator or operator)
    if filled == (known.registration, known.typecode, known.operator):
        return known
    return replace(known, registration=filled[0], typecode=filled[1], operator=filled[2])
