"""What a rule may say: typed conditions, no expressions, no patterns but globs.

when:         one of  all: [...]  any: [...]  not: {...}  or one of these:
aircraft:     {watchlist, registration, icao24, typecode, operator, callsign}
              all that are given must hold; a list means any of it
origin:       {airport, country, probability}   `probability` is the least that counts, 0.5 by default
destination:  the same
rarity:       {of: tail | fleet | type | anybody, at_most: 12 per year, unknown: match | skip}
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from flightwatch.config import Name
from flightwatch.documents import Strict

PERIOD_DAYS = {"day": 1.0, "week": 7.0, "month": 365.25 / 12, "year": 365.25}
RATE = re.compile(r"(\d+) per (day|week|month|year)")
LEG = re.compile(r"([A-Za-z0-9-]+?)-([A-Za-z0-9]{3,4}|[A-Za-z]{2}-\d{4})")
ADDRESS = re.compile(r"~?(?:[0-9a-fA-F?]{6}|(?=.{1,7}$)[0-9a-fA-F?]*\*[0-9a-fA-F?*]*)")
HISTORY = re.compile(r"(\S+) (\d{4}-\d{2}-\d{2})")


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _address(value: Any) -> Any:
    """An address of digits alone is a number to YAML; it means the six digits."""
    if isinstance(value, list):
        return [_address(v) for v in value]
    return f"{value:06d}" if isinstance(value, int) and not isinstance(value, bool) else value


def _are_addresses(words: list[str]) -> list[str]:
    for word in words:
        if not ADDRESS.fullmatch(word):
            raise ValueError(f"`{word}` is no address: six hex digits in quotes, or a pattern of them like 1552*")
    return words


Words = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
Addresses = Annotated[
    list[str], BeforeValidator(lambda v: _address(_listed(v))), Field(min_length=1), AfterValidator(_are_addresses)
]


class AircraftCondition(Strict):
    watchlist: Words | None = None
    registration: Words | None = None
    icao24: Addresses | None = None
    typecode: Words | None = None
    operator: Words | None = None
    callsign: Words | None = None

    @model_validator(mode="after")
    def _says_something(self) -> AircraftCondition:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError("is empty: name a watchlist, a registration, ...")
        return self


class PlaceCondition(Strict):
    airport: Words | None = None
    country: Words | None = None
    probability: float = Field(0.5, gt=0, le=1, strict=False)

    @model_validator(mode="after")
    def _says_something(self) -> PlaceCondition:
        if self.airport is None and self.country is None:
            raise ValueError("is empty: name an airport or a country")
        return self


class RarityCondition(Strict):
    of: Literal["tail", "fleet", "type", "anybody"] = "tail"
    at_most: str
    unknown: Literal["match", "skip"] | None = None

    @field_validator("at_most")
    @classmethod
    def _is_a_rate(cls, text: str) -> str:
        if not RATE.fullmatch(text):
            raise ValueError(f"`{text}`: write a number and a period, like `12 per year` (day, week, month, year)")
        return text

    @property
    def per_day(self) -> float:
        match = RATE.fullmatch(self.at_most)
        assert match is not None  # checked when it was read
        return int(match[1]) / PERIOD_DAYS[match[2]]


class Condition(Strict):
    all_: list[Condition] | None = Field(None, alias="all", min_length=1)
    any_: list[Condition] | None = Field(None, alias="any", min_length=1)
    not_: Condition | None = Field(None, alias="not")
    aircraft: AircraftCondition | None = None
    origin: PlaceCondition | None = None
    destination: PlaceCondition | None = None
    rarity: RarityCondition | None = None

    @model_validator(mode="after")
    def _is_one_condition(self) -> Condition:
        given = [f.alias or n for n, f in type(self).model_fields.items() if getattr(self, n) is not None]
        if len(given) != 1:
            what = f"has {', '.join(given)}" if given else "is empty"
            raise ValueError(
                f"{what}: a condition is exactly one thing; put several under `all:` or `any:`, each with a dash of its own"
            )
        return self


class Given(Strict):
    """A flight made up for a test: `legs` as AAAA-BBBB, `history` as `AAAA-BBBB 2023-08-01`, flown by the same
    aircraft."""

    aircraft: Annotated[str, BeforeValidator(_address)]
    legs: list[str] = Field(min_length=1)
    callsign: str | None = None
    typecode: str | None = None
    history: list[str] | None = None

    @field_validator("legs")
    @classmethod
    def _are_legs(cls, legs: list[str]) -> list[str]:
        for leg in legs:
            if not LEG.fullmatch(leg):
                raise ValueError(f"`{leg}`: write a leg as two airports with a dash, like UUMU-ZKPY")
        return legs

    @field_validator("history")
    @classmethod
    def _are_dated(cls, history: list[str] | None) -> list[str] | None:
        for item in history or ():
            match = HISTORY.fullmatch(item)
            if not match or not LEG.fullmatch(match[1]) or not _is_a_day(match[2]):
                raise ValueError(f"`{item}`: write an earlier flight as two airports and a day, like UUMU-ZKPY 2023-08-01")
        return history


def _is_a_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


class InlineTest(Strict):
    name: str
    given: Given
    expect: Literal["match", "no match"]


class Rule(Strict):
    id: Name
    title: str
    severity: Literal["low", "medium", "high"] = "medium"
    subject: Literal["leg", "journey"] = "journey"
    when: Condition
    notify: list[str] = ["all"]
    tests: list[InlineTest] = []


class RuleFile(Strict):
    rules: list[Rule]


def conditions(condition: Condition, *, denied: bool = True) -> list[Condition]:
    """A condition and all that it is made of; without what stands under a `not` where `denied` is false."""
    inner = [*(condition.all_ or ()), *(condition.any_ or ()), *([condition.not_] if condition.not_ and denied else ())]
    return [condition, *(c for part in inner for c in conditions(part, denied=denied))]


def names_somebody_or_somewhere(condition: Condition) -> bool:
    """Whether a condition demands certain aircraft or places."""
    return any(c.aircraft or c.origin or c.destination for c in conditions(condition, denied=False))
