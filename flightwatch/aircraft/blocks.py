"""Blocks of addresses: which country hands an address out, and which addresses are set aside for its forces.

`data/country_blocks.csv` is written by hand after the table of ICAO Annex 10, volume III, chapter 9; its first line
says so. A block says who registers the aircraft, not who flies it, and a transponder that is set wrong says neither.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

TABLE = Path(__file__).parent / "data" / "country_blocks.csv"

US_FORCES = range(0xADF7C8, 0xB00000)
"""Above the last N-number: of all blocks of forces the one that follows from a rule that is published."""


@dataclass(frozen=True, slots=True)
class Block:
    """Addresses from `first` to `last`, both of them in it, and the country (ISO 3166) that hands them out."""

    first: int
    last: int
    country: str


@cache
def blocks() -> tuple[Block, ...]:
    """All blocks, the narrowest first, so that the first that holds an address is the one that counts."""
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")][1:]
    found = (line.split(",") for line in lines)
    return tuple(sorted((Block(int(a, 16), int(b, 16), c) for a, b, c in found), key=lambda b: (b.last - b.first, b.first)))


@cache
def _stretches() -> tuple[list[int], list[Block | None]]:
    """Where another block begins to count than before, or none does, and which."""
    edges = sorted({0, *(b.first for b in blocks()), *(b.last + 1 for b in blocks())})
    return edges, [next((b for b in blocks() if b.first <= edge <= b.last), None) for edge in edges]


@lru_cache(maxsize=16)  # one address is asked about several times in a row
def number_of(icao24: str) -> int | None:
    """The number behind six hex digits; None for what is no address of ICAO's (`~` before it, or no hex digits)."""
    if len(icao24) != 6 or not (icao24.isascii() and icao24.isalnum()):  # `int` takes signs, spaces and underscores, too
        return None
    try:
        return int(icao24, 16)
    except ValueError:
        return None


def block_of(icao24: str) -> Block | None:
    """The block that an address lies in."""
    number = number_of(icao24)
    if number is None:
        return None
    edges, found = _stretches()
    return found[bisect_right(edges, number) - 1]


def country_of(icao24: str) -> str | None:
    """The country (ISO 3166) that an address belongs to."""
    block = block_of(icao24)
    return block.country if block else None


def of_forces(icao24: str) -> bool:
    """Whether an address lies in a block that is set aside for armed forces."""
    return number_of(icao24) in US_FORCES
