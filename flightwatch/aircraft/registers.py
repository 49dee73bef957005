"""Registrations that follow from an address by arithmetic, and the other way round.

Russia    RA-ddddd is 0x140000 + ddddd (tar1090's table of registrations; 296 of 297 rows of plane-alert-db agree)
DPRK      P-ddd is 0x720000 + 30000 + ddd (found in the data: 10 of 11 rows of plane-alert-db agree)
USA       N-numbers from A00001 on, by the FAA's scheme: digits first, then one or two letters without I and O

What follows by rule is a fact about the register, not about who sends the address; a database with a date comes
before it.
"""

from __future__ import annotations

import re

RUSSIA, NORTH_KOREA = 0x140000, 0x720000 + 30_000
US_FIRST, US_LAST = 0xA00001, 0xADF7C7
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
SUFFIXES = 1 + len(LETTERS) + len(LETTERS) ** 2
"""After a digit: nothing, one letter, or two."""

US_STEPS = (101_711, 10_111, 951, 35)
"""Numbers below each of the first four digits: 951 = 601 + 10 x 35, 10,111 = 601 + 10 x 951, and so on."""


def registration_of(icao24: str) -> str | None:
    """The registration that an address stands for by rule, or None."""
    if icao24.startswith("~"):
        return None
    number = int(icao24, 16)
    if RUSSIA <= number <= RUSSIA + 99_999:
        return f"RA-{number - RUSSIA:05d}"
    if NORTH_KOREA + 500 <= number <= NORTH_KOREA + 999:
        return f"P-{number - NORTH_KOREA:03d}"
    if US_FIRST <= number <= US_LAST:
        return _us_registration(number - US_FIRST)
    return None


def address_of(registration: str) -> str | None:
    """The address that a registration stands for by rule, or None."""
    text = registration.strip().upper()
    if match := re.fullmatch(r"RA-?(\d{5})", text):
        return f"{RUSSIA + int(match[1]):06x}"
    if match := re.fullmatch(r"P-?([5-9]\d\d)", text):
        return f"{NORTH_KOREA + int(match[1]):06x}"
    if match := re.fullmatch(rf"N([1-9]\d{{0,4}})([{LETTERS}]{{0,2}})", text):
        return _us_address(match[1], match[2])
    return None


def _us_registration(offset: int) -> str:
    digit, offset = divmod(offset, US_STEPS[0])
    text = f"N{digit + 1}"
    for step in US_STEPS[1:]:
        if offset < SUFFIXES:
            return text + _suffix(offset)
        digit, offset = divmod(offset - SUFFIXES, step)
        text += str(digit)
    if offset <= len(LETTERS):  # after four digits: nothing, one letter, or a fifth digit
        return text + ("" if offset == 0 else LETTERS[offset - 1])
    return text + str(offset - len(LETTERS) - 1)


def _suffix(offset: int) -> str:
    if offset == 0:
        return ""
    first, rest = divmod(offset - 1, len(LETTERS) + 1)
    return LETTERS[first] + ("" if rest == 0 else LETTERS[rest - 1])


def _us_address(digits: str, letters: str) -> str | None:
    if len(digits) + len(letters) > 5:
        return None
    offset = (int(digits[0]) - 1) * US_STEPS[0]
    for place, digit in enumerate(digits[1:4], start=1):
        offset += SUFFIXES + int(digit) * US_STEPS[place]
    if len(digits) == 5:
        offset += len(LETTERS) + 1 + int(digits[4])
    elif len(digits) == 4:
        offset += LETTERS.index(letters) + 1 if letters else 0
    elif letters:
        offset += 1 + LETTERS.index(letters[0]) * (len(LETTERS) + 1) + (LETTERS.index(letters[1]) + 1 if len(letters) == 2 else 0)
    return f"{US_FIRST + offset:06x}"
