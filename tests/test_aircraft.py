"""Who an address is: arithmetic of registers, and watchlists."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightwatch.aircraft import Registry, address_of, performance, read_watchlist, registration_of, type_name
from flightwatch.aircraft.registers import US_FIRST, US_LAST
from flightwatch.config import files_in
from flightwatch.errors import ConfigError

DAY = date(2024, 1, 1)


@pytest.mark.parametrize(
    ("registration", "icao24"),
    [
        ("RA-86559", "15521f"),
        ("RA-00000", "140000"),
        ("P-881", "7278a1"),
        ("N12345", "a061d9"),
        ("N1", "a00001"),
        ("N99999", "adf7c7"),
        ("JA01WJ", "8406d0"),
        ("JA03WJ", "840df8"),
        ("HL8353", "71c353"),
        ("HL8513", "71c513"),
        ("CS-CHL", "490d0c"),
        ("YR-BEE", "4a08a5"),
        ("D-AIZE", "3c6745"),
        ("CU-T1250", "0b04e2"),
    ],
)
def test_published_pairs(registration: str, icao24: str) -> None:
    assert address_of(registration) == icao24
    assert registration_of(icao24) == registration


@given(st.integers(US_FIRST, US_LAST))
def test_every_us_address_goes_there_and_back(number: int) -> None:
    registration = registration_of(f"{number:06x}")
    assert registration is not None
    assert address_of(registration) == f"{number:06x}"


@given(st.integers(0, 99_999))
def test_every_russian_number_goes_there_and_back(number: int) -> None:
    icao24 = address_of(f"RA-{number:05d}")
    assert icao24 is not None
    assert registration_of(icao24) == f"RA-{number:05d}"


@pytest.mark.parametrize(
    "text", ["RF-85136", "N0", "N123456", "NI2", "RA-1", "G-CIVO", "", "P-49", "HL9001", "JA1I", "CU-T999", "D-AIM", "D-KABC"]
)
def test_what_follows_from_no_rule(text: str) -> None:
    """RF- numbers break the rule too often; letters that the FAA does not use make no number."""
    assert address_of(text) is None


def test_addresses_that_are_not_icaos_have_no_registration() -> None:
    assert registration_of("~15521f") is None


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_list_needs_only_one_of_the_names(tmp_path: Path) -> None:
    """The register's arithmetic gives the other one."""
    path = _write(tmp_path / "mine.csv", "# mine\nregistration,icao24,operator\nRA-86559,,Air Force\n,7278A1,\n")
    registry = Registry([read_watchlist(path)])
    assert registry.addresses() == ["15521f", "7278a1"]
    found = registry.who("15521f", DAY)
    assert (found.registration, found.operator, found.watchlists) == ("RA-86559", "Air Force", ("mine",))
    assert registry.who("7278a1", DAY).registration == "P-881"
    assert registry.address("ra-86559") == "15521f"


def test_every_wrong_line_is_told_with_its_number(tmp_path: Path) -> None:
    text = "registration,icao24,source_date\nRA-1,zzz,\n,,\nRA-86559,,yesterday\nRA-86561,155221,2024-10-29,one too many\n"
    with pytest.raises(ConfigError) as raised:
        read_watchlist(_write(tmp_path / "bad.csv", text))
    assert [p.line for p in raised.value.problems] == [2, 3, 4, 5]


def test_an_unknown_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tail"):
        read_watchlist(_write(tmp_path / "bad.csv", "tail\nRA-86559\n"))


def test_shipped_lists_agree_with_the_registers() -> None:
    """Every row has a source with a date, and an address that follows from its registration."""
    for path in files_in(["shipped"], "watchlists", Path()):
        for entry in read_watchlist(path).entries:
            assert entry.registration is not None
            assert entry.icao24 == address_of(entry.registration)
            assert entry.source
            assert entry.typecode


def test_types_have_names_and_limits() -> None:
    assert type_name("IL62") == "Il-62"
    assert type_name("ZZZZ") == "ZZZZ"
    assert type_name(None) == "aircraft"
    assert performance("T154").range_nm < performance("IL62").range_nm
    assert performance(None).range_nm >= 5000
