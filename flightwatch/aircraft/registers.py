"""Registrations that follow from an address by arithmetic, and the other way round.

Russia       RA-ddddd is 0x140000 + ddddd (296 of 297 rows of plane-alert-db agree, 1,781 of 1,834 of tar1090-db).
             RF-ddddd is not derived: too many rows break it.
DPRK         P-ddd is 0x720000 + 30000 + ddd (found in the data: 10 of 11 rows of plane-alert-db agree)
USA          N-numbers from A00001 on, by the FAA's scheme: digits first, then one or two letters without I and O
Cuba         CU-Tdddd is 0x0B0000 + dddd, from 1000 to 1999
South Korea  HLdddd: the digits read as hexadecimal ones, in the stretches of `KOREA`
Japan        JAdd and two more: digits and letters in blocks, without I and O
letters      three letters at fixed distances, for the countries in `LETTERED`

What follows by rule is a fact about the register, not about who sends the address; a database with a date comes
before it. The last four were worked out from patterns of allocation (tar1090's table of registrations has the
figures), and a register may depart from its own pattern, so they count for less.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from flightwatch.aircraft.blocks import number_of

RUSSIA, NORTH_KOREA, CUBA, JAPAN = 0x140000, 0x720000 + 30_000, 0x0B0000, 0x840000
RUSSIAN_NUMBERS = 100_000
US_FIRST, US_LAST = 0xA00001, 0xADF7C7
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SUFFIXES = 1 + len(LETTERS) + len(LETTERS) ** 2
"""After a digit: nothing, one letter, or two."""

US_STEPS = (101_711, 10_111, 951, 35)
"""Numbers below each of the first four digits: 951 = 601 + 10 x 35, 10,111 = 601 + 10 x 951, and so on."""

JAPAN_STEPS = (22_984, 916, 34)
"""Numbers below the first digit, the second, and a third that is a digit: 34 = 10 digits + 24 letters, 916 = 10 x 34
+ 24 x 24."""

KOREA = ((0x71BA00, 7200, 7799), (0x71C000, 8000, 8099), (0x71C200, 8200, 8399), (0x71C500, 8500, 8599))
"""Where a stretch of HL-numbers begins, its first number and its last. 8300 to 8399 and 8500 to 8599 are found in the
data (13 of 13 rows of VRS standing-data agree)."""


@dataclass(frozen=True, slots=True)
class Lettered:
    """A register that counts three letters from AAA on: `steps` is how far apart two first letters lie, and two
    second ones. `zero` is where AAA is, or would be; `first` and `last` bound the letters that are in it."""

    country: str
    prefix: str
    zero: int
    steps: tuple[int, int]
    first: str = "AAA"
    last: str = "ZZZ"

    def address(self, letters: str) -> int:
        a, b, c = (ALPHABET.index(letter) for letter in letters)
        return self.zero + a * self.steps[0] + b * self.steps[1] + c

    def holds(self, number: int) -> bool:
        return self.zero <= number < self.zero + len(ALPHABET) * self.steps[0]

    def letters(self, number: int) -> str | None:
        """The letters of an address that it holds; there may be none."""
        a, rest = divmod(number - self.zero, self.steps[0])
        b, c = divmod(rest, self.steps[1])
        if not (0 <= a < len(ALPHABET) and b < len(ALPHABET) and c < len(ALPHABET)):
            return None
        found = ALPHABET[a] + ALPHABET[b] + ALPHABET[c]
        return found if self.first <= found <= self.last else None


DENSE, BY_BITS, WIDE = (26 * 26, 26), (1024, 32), (4096, 64)
LETTERED = (
    Lettered("FR", "F-G", 0x390000, BY_BITS),
    Lettered("FR", "F-H", 0x398000, BY_BITS),
    Lettered("DE", "D-A", 0x3C4421, BY_BITS, last="OZZ"),
    Lettered("DE", "D-A", 0x3C0001 - 15 * 26 * 26, DENSE, first="PAA"),
    Lettered("DE", "D-B", 0x3C8421, BY_BITS, last="OZZ"),
    Lettered("DE", "D-B", 0x3C2001 - 15 * 26 * 26, DENSE, first="PAA"),
    Lettered("DE", "D-C", 0x3CC000, DENSE),
    Lettered("DE", "D-E", 0x3D04A8, DENSE),
    Lettered("DE", "D-F", 0x3D4950, DENSE),
    Lettered("DE", "D-G", 0x3D8DF8, DENSE),
    Lettered("DE", "D-H", 0x3DD2A0, DENSE),
    Lettered("DE", "D-I", 0x3E1748, DENSE),
    Lettered("BE", "OO-", 0x448421, BY_BITS),
    Lettered("DK", "OY-", 0x458421, BY_BITS),
    Lettered("FI", "OH-", 0x460000, DENSE),
    Lettered("GR", "SX-", 0x468421, BY_BITS),
    Lettered("PT", "CS-", 0x490421, BY_BITS),
    Lettered("RO", "YR-", 0x4A0421, BY_BITS),
    Lettered("TR", "TC-", 0x4B8421, BY_BITS),
    Lettered("JO", "JY-", 0x740421, BY_BITS),
    Lettered("PK", "AP-", 0x760421, BY_BITS),
    Lettered("SG", "9V-", 0x768421, BY_BITS),
    Lettered("SY", "YK-", 0x778421, BY_BITS),
    Lettered("CA", "C-F", 0xC00001, DENSE),
    Lettered("CA", "C-G", 0xC044A9, DENSE),
    Lettered("AR", "LV-", 0xE01041, WIDE),
)

CHECKED = {"RU": 0.90, "KP": 0.91, "US": 0.99}
"""How often a register's rule is right. Russia: 1,781 of the 1,977 RA- and RF- rows of tar1090-db, because the number
alone does not say which prefix it is, and where rule and database disagree nobody knows which is right. North Korea:
10 of 11 rows of plane-alert-db. For the USA the scheme is published; privacy addresses are the exception."""

UNCHECKED = 0.9
"""For rules that others found in the data and that were checked on a handful of rows."""


@dataclass(frozen=True, slots=True)
class Derived:
    """A registration that follows from an address; `confidence` is how often this rule is right."""

    registration: str
    country: str
    rule: str
    confidence: float


def derived(icao24: str) -> Derived | None:
    """What follows from an address by rule, and by which; None where no rule covers it."""
    number = number_of(icao24)
    if number is None:
        return None
    found = _numbered(number) or _korean(number) or _japanese(number) or _lettered(number)
    if found is None:
        return None
    registration, country, rule = found
    return Derived(registration, country, rule, CHECKED.get(country, UNCHECKED))


def registration_of(icao24: str) -> str | None:
    """The registration that an address stands for by rule, or None."""
    found = derived(icao24)
    return found.registration if found else None


def address_of(registration: str) -> str | None:
    """The address that a registration stands for by rule, or None."""
    number = _address(registration.strip().upper())
    return None if number is None else f"{number:06x}"


def _address(text: str) -> int | None:
    if match := re.fullmatch(r"RA-?(\d{5})", text, re.ASCII):
        return RUSSIA + int(match[1])
    if match := re.fullmatch(r"P-?([5-9]\d\d)", text, re.ASCII):
        return NORTH_KOREA + int(match[1])
    if match := re.fullmatch(rf"N([1-9]\d{{0,4}})([{LETTERS}]{{0,2}})", text, re.ASCII):
        return _us_address(match[1], match[2])
    if match := re.fullmatch(r"CU-T(1\d\d\d)", text, re.ASCII):
        return CUBA + int(match[1])
    if match := re.fullmatch(r"HL(\d{4})", text, re.ASCII):
        return _korean_address(int(match[1]))
    if match := re.fullmatch(rf"JA(\d)(\d)(\d[\d{LETTERS}]|[{LETTERS}]{{2}})", text, re.ASCII):
        return _japanese_address(int(match[1]), int(match[2]), match[3])
    for register in LETTERED:
        letters = text.removeprefix(register.prefix)
        if letters != text and re.fullmatch(r"[A-Z]{3}", letters) and register.first <= letters <= register.last:
            return register.address(letters)
    return None


MARKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        r"\d{5}": ("EK", "EX", "EY", "RA", "RF", "UK", "UR"),
        r"[5-9]\d{2}": ("P",),
        r"\d{4}": ("B",),
        r"T\d{4}": ("CU",),
        r"[A-Z]{4}": ("D", "F", "G", "I"),
        r"[A-Z]{3}": (
            *("A6", "A7", "AP", "CC", "CN", "CS", "EC", "EI", "EP", "ER", "ES", "ET", "HA", "HB", "HS", "HZ", "JY", "LN", "LV"),
            *("LX", "LY", "LZ", "OD", "OE", "OH", "OK", "OM", "OO", "OY", "PH", "PK", "PP", "PR", "PS", "PT", "S5", "SE", "SP"),
            *("ST", "SU", "SX", "T7", "TC", "TF", "TS", "UR", "VH", "VN", "VP", "VQ", "VT", "XA", "XB", "XC", "YI", "YK", "YL"),
            *("YR", "YU", "ZK", "ZS", "4X", "5A", "5B", "5N", "5Y", "7T", "9A", "9H", "9K", "9M", "9V"),
        ),
        r"[FGI][A-Z]{3}": ("C",),
    }
)
"""Nationality marks that are written with a hyphen, by what follows it (ICAO Annex 7 and its supplement). No mark begins
another, so a registration without its hyphen can be read in one way; forms that a register uses besides are left
out."""

_MARKED = re.compile("|".join(rf"(?:{'|'.join(marks)})(?={form}\Z)" for form, marks in MARKS.items()), re.ASCII)


def as_written(registration: str) -> str:
    """A registration in upper case as its register writes it: `ra86559` is RA-86559, where its form leaves no doubt. Any
    other stays as it is."""
    text = registration.strip().upper()
    mark = _MARKED.match(text)
    return text if mark is None else f"{mark[0]}-{text[mark.end() :]}"


Found = tuple[str, str, str] | None
"""Registration, country, and the rule in words."""


def _numbered(number: int) -> Found:
    if RUSSIA <= number < RUSSIA + RUSSIAN_NUMBERS:
        return f"RA-{number - RUSSIA:05d}", "RU", "0x140000 + number"
    if NORTH_KOREA + 500 <= number <= NORTH_KOREA + 999:
        return f"P-{number - NORTH_KOREA:03d}", "KP", "0x727530 + number"
    if US_FIRST <= number <= US_LAST:
        return _us_registration(number - US_FIRST), "US", "the FAA's order of N-numbers"
    if CUBA + 1000 <= number <= CUBA + 1999:
        return f"CU-T{number - CUBA}", "CU", "0x0B0000 + number"
    return None


def _korean(number: int) -> Found:
    for start, first, last in KOREA:
        begin, end = int(str(first), 16), int(str(last), 16)
        digits = f"{number - start + begin:x}" if start <= number <= start + end - begin else ""
        if digits.isdecimal() and first <= int(digits) <= last:
            return f"HL{digits}", "KR", "the digits read as hexadecimal ones"
    return None


def _korean_address(digits: int) -> int | None:
    return next(
        (start + int(str(digits), 16) - int(str(first), 16) for start, first, last in KOREA if first <= digits <= last), None
    )


def _japanese(number: int) -> Found:
    first, rest = divmod(number - JAPAN, JAPAN_STEPS[0])
    second, rest = divmod(rest, JAPAN_STEPS[1])
    if not (0 <= first <= 9 and second <= 9):
        return None
    tens = 10 * JAPAN_STEPS[2]
    if rest < tens:
        third, fourth = divmod(rest, JAPAN_STEPS[2])
        end = f"{third}{fourth}" if fourth < 10 else f"{third}{LETTERS[fourth - 10]}"
    else:
        a, b = divmod(rest - tens, len(LETTERS))
        end = LETTERS[a] + LETTERS[b]
    return f"JA{first}{second}{end}", "JP", "digits and letters in order"


def _japanese_address(first: int, second: int, end: str) -> int:
    if end[0].isdigit():
        rest = int(end[0]) * JAPAN_STEPS[2] + (int(end[1]) if end[1].isdigit() else 10 + LETTERS.index(end[1]))
    else:
        rest = 10 * JAPAN_STEPS[2] + LETTERS.index(end[0]) * len(LETTERS) + LETTERS.index(end[1])
    return JAPAN + first * JAPAN_STEPS[0] + second * JAPAN_STEPS[1] + rest


def _lettered(number: int) -> Found:
    for register in LETTERED:
        if register.holds(number) and (letters := register.letters(number)):
            return register.prefix + letters, register.country, "letters at fixed distances"
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


def _us_address(digits: str, letters: str) -> int | None:
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
    return US_FIRST + offset
