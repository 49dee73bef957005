"""Who an address is: arithmetic of registers, blocks of addresses, watchlists, and what they come to together."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightwatch.aircraft import Registry, address_of, as_written, performance, read_watchlist, registration_of, type_name
from flightwatch.aircraft.blocks import blocks, country_of, of_forces
from flightwatch.aircraft.registers import KOREA, LETTERED, US_FIRST, US_LAST, Lettered, derived
from flightwatch.aircraft.registry import BY_HAND, SUREST, Claim, weigh
from flightwatch.config import files_in
from flightwatch.errors import ConfigError
from flightwatch.places import country_names

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


@pytest.mark.parametrize("register", LETTERED, ids=lambda r: r.prefix)
def test_every_register_s_hyphen_is_put_back(register: Lettered) -> None:
    whole = f"{register.prefix}{register.first}"
    assert as_written(whole.replace("-", "").lower()) == whole


@pytest.mark.parametrize(
    ("text", "written"),
    [
        *(("ra86559", "RA-86559"), ("RF12345", "RF-12345"), ("P618", "P-618"), ("CUT1250", "CU-T1250"), ("B2041", "B-2041")),
        *(("GCIVO", "G-CIVO"), ("9vska", "9V-SKA"), ("UR82060", "UR-82060"), ("RA-86559", "RA-86559"), (" n757af ", "N757AF")),
        *(("JA8089", "JA8089"), ("HL7200", "HL7200"), ("RFF7237", "RFF7237"), ("P61", "P61"), ("15521F", "15521F"), ("", "")),
        *(("RA8655", "RA8655"), ("RA865590", "RA865590"), ("RA86559\n", "RA-86559"), ("92+01", "92+01"), ("C130", "C130")),
    ],
)
def test_a_registration_is_written_as_its_register_does_where_that_is_clear(text: str, written: str) -> None:
    assert as_written(text) == written
    assert as_written(written) == written


@given(st.integers(0, 0xFFFFFF))
def test_whatever_follows_from_an_address_leads_back_to_it(number: int) -> None:
    """Of every register, and it is the register of the country that the address belongs to."""
    icao24 = f"{number:06x}"
    if (found := derived(icao24)) is not None:
        assert address_of(found.registration) == icao24
        assert country_of(icao24) == found.country
        assert 0.5 < found.confidence < 1


@given(st.sampled_from(LETTERED), st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=3, max_size=3))
def test_every_lettered_registration_goes_there_and_back(register: Lettered, letters: str) -> None:
    registration = register.prefix + letters
    icao24 = address_of(registration)
    assert icao24 is not None
    assert registration_of(icao24) == registration


@given(st.integers(0, 99), st.from_regex(r"[0-9][0-9A-HJ-NP-Z]|[A-HJ-NP-Z]{2}", fullmatch=True))
def test_every_japanese_registration_goes_there_and_back(number: int, end: str) -> None:
    icao24 = address_of(f"JA{number:02d}{end}")
    assert icao24 is not None
    assert registration_of(icao24) == f"JA{number:02d}{end}"


def test_every_korean_and_cuban_number_goes_there_and_back() -> None:
    numbers = [f"HL{n}" for _, first, last in KOREA for n in range(first, last + 1)]
    for registration in [*numbers, *(f"CU-T{n}" for n in range(1000, 2000))]:
        icao24 = address_of(registration)
        assert icao24 is not None
        assert registration_of(icao24) == registration


@pytest.mark.parametrize(
    ("icao24", "country"),
    [
        ("15521f", "RU"),
        ("7278a1", "KP"),
        ("727fff", "KP"),
        ("728000", "IQ"),  # a test for what begins with 72 would take it for North Korean
        ("72ffff", "IQ"),
        ("400001", "BM"),  # inside the block of the United Kingdom
        ("400200", "GB"),
        ("424299", "BM"),
        ("789abc", "HK"),
        ("78abcd", "CN"),
        ("adf7c8", "US"),
        ("4d0300", "LU"),
        ("f00001", None),
        ("000000", None),
        ("~15521f", None),
        ("1_5521", None),
        (" 15521", None),
        ("+15521", None),
        ("", None),
    ],
)
def test_the_country_of_an_address(icao24: str, country: str | None) -> None:
    assert country_of(icao24) == country


def test_blocks_lie_inside_each_other_or_apart() -> None:
    """So that the narrowest that holds an address is the one that counts; and their countries have names."""
    for a in blocks():
        assert a.first <= a.last
        assert a.country in country_names()
        for b in blocks():
            apart = a.last < b.first or b.last < a.first
            inside = (b.first <= a.first and a.last <= b.last) or (a.first <= b.first and b.last <= a.last)
            assert apart or inside, (a, b)


def test_the_narrowest_block_that_holds_an_address_counts() -> None:
    for number in {edge + beside for b in blocks() for edge in (b.first, b.last) for beside in (-1, 0, 1)}:
        holding = [b for b in blocks() if b.first <= number <= b.last]
        assert country_of(f"{number:06x}") == (min(holding, key=lambda b: b.last - b.first).country if holding else None)


def test_what_lies_beyond_the_last_n_number_is_military() -> None:
    assert [of_forces(icao24) for icao24 in ("adf7c7", "adf7c8", "afffff", "b00000")] == [False, True, True, False]
    found = Registry().who("ae01c0", DAY)
    assert (found.registration, found.role, found.military, found.country) == (None, "military", True, "US")


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


def _registry(tmp_path: Path, **lists: str) -> Registry:
    """A registry of lists that are written as CSV, or as YAML where they begin with a dash."""
    paths = [_write(tmp_path / f"{n.replace('_', '-')}.{'yaml' if t.startswith('-') else 'csv'}", t) for n, t in lists.items()]
    return Registry([read_watchlist(path) for path in paths])


def test_a_list_in_yaml_says_the_same_as_one_in_csv(tmp_path: Path) -> None:
    registry = _registry(
        tmp_path,
        csv="registration,icao24,operator,valid_from\nRA-86559,,Air Force,2015-03-01\n,151234,,\n",
        yaml="- {registration: RA-86559, operator: Air Force, valid_from: 2015-03-01}\n- icao24: 151234\n",
    )
    first, second = registry.watchlists
    assert first.entries == second.entries


def test_every_wrong_entry_in_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    entries = [
        "registration: RA-86559",
        "tail: RA-86561",
        "icao24: xyz",
        "just words",
        "{operator: '*'}",
        "{icao24: 15521f, role: pilot}",
    ]
    text = "".join(f"- {entry}\n" for entry in entries)
    with pytest.raises(ConfigError) as raised:
        read_watchlist(_write(tmp_path / "bad.yaml", text))
    assert [p.line for p in raised.value.problems] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("RA-86559,,,RFF*,,", "line of its own"),
        ("RA-865*,,,,,", "only operator and callsign take patterns"),
        (",,*,,,", "fits every aircraft"),
        ("RA-86559,,,,2024-05-01,2024-04-01", "after valid_until"),
        ("RA-86559,,,,soon,", "2023-09-26"),
    ],
)
def test_an_entry_that_cannot_be_meant_is_refused(line: str, says: str, tmp_path: Path) -> None:
    text = f"registration,icao24,operator,callsign,valid_from,valid_until\n{line}\n"
    with pytest.raises(ConfigError, match=says) as raised:
        read_watchlist(_write(tmp_path / "bad.csv", text))
    assert raised.value.problems[0].line == 2


def test_an_address_that_was_used_again_is_whoever_had_it_on_the_day(tmp_path: Path) -> None:
    """Dates of entries decide, to the day; between two owners nothing is known but the arithmetic."""
    registry = _registry(
        tmp_path,
        old="icao24,registration,operator,valid_until\n15521f,RA-86559,First,2019-12-31\n",
        new="icao24,registration,operator,valid_from\n15521f,RA-11111,Second,2021-01-01\n",
    )
    days = [date(2019, 12, 31), date(2020, 6, 1), date(2021, 1, 1)]
    found = [registry.who("15521f", day) for day in days]
    assert [f.operator for f in found] == ["First", None, "Second"]
    assert [f.registration for f in found] == ["RA-86559", "RA-86559", "RA-11111"]
    assert [f.watchlists for f in found] == [("old",), (), ("new",)]
    assert registry.who("15521f", None).undecided == ("old", "new"), "whenever: it may stand on either"


@pytest.mark.parametrize("days", [(2020, 2025), (2025, 2020)])
def test_dates_of_an_entry_hold_in_whatever_order_they_are_asked(days: tuple[int, int], tmp_path: Path) -> None:
    registry = _registry(tmp_path, new="icao24,valid_from\naabbcc,2024-01-01\n")
    found = {year: registry.who("aabbcc", date(year, 1, 1)).watchlists for year in days}
    assert found == {2020: (), 2025: ("new",)}


def test_a_registration_without_arithmetic_is_met_when_the_feed_tells_it(tmp_path: Path) -> None:
    registry = _registry(tmp_path, mine="registration,typecode,operator,valid_from\nG-CIVO,B744,Somebody,2020-01-01\n")
    assert registry.who("400a1b", DAY).watchlists == ()
    assert registry.who("400a1b", DAY).undecided == ("mine",), "its registration may still become known"
    met = registry.who("400a1b", DAY, registration="g-civo")
    assert (met.registration, met.typecode, met.operator, met.watchlists) == ("G-CIVO", "B744", "Somebody", ("mine",))
    assert registry.who("400a1b", date(2019, 1, 1), registration="G-CIVO").watchlists == ()
    other = registry.who("400a1b", DAY, registration="G-ABCD")
    assert (other.registration, other.watchlists, other.undecided) == ("G-ABCD", (), ())


def test_entries_by_operator_callsign_and_type_fit_whoever_is_like_them(tmp_path: Path) -> None:
    registry = _registry(
        tmp_path,
        facts="icao24,operator\n15521f,Russian Air Force\n",
        air_forces="operator\n*air force\n",
        rff="callsign\nRFF*\n",
        il62="- {typecode: IL62, callsign: RSD*}\n",
    )
    found = registry.who("15521f", DAY, typecode="IL62", callsigns=())
    assert found.watchlists == ("facts", "air-forces")
    assert registry.who("abcdef", DAY, callsigns=("RFF7237",)).watchlists == ("rff",)
    assert registry.who("abcdef", DAY, typecode="IL62", callsigns=("RSD655",)).watchlists == ("il62",)
    assert registry.who("abcdef", DAY, typecode="A320", callsigns=("RSD655",)).watchlists == ()
    assert set(registry.who("abcdef", None).undecided) == {"air-forces", "rff", "il62"}


def test_sources_that_contradict_each_other_are_kept_and_shown(tmp_path: Path) -> None:
    """A digit was mistyped: the list decides what is shown, and the arithmetic is told beside it."""
    registry = _registry(tmp_path, mine="registration,icao24\nRA-64508,14fa3a\n")
    found = registry.who("14fa3a", DAY)
    assert found.registration == "RA-64508"
    assert found.conflicts == ("registration: RA-64508 (watchlist mine), but RA-64058 (arithmetic of the register)",)
    verdict = registry.identify("14fa3a", DAY).verdict("registration")
    assert verdict is not None
    assert verdict.confidence < BY_HAND - 0.1, "what speaks against it makes it less sure"
    assert registry.who("15521f", DAY).conflicts == ()


def test_sources_that_agree_make_surer_and_others_less_sure() -> None:
    one, two = (Claim("typecode", "IL62", source, "", 0.9) for source in ("a", "b"))
    other = Claim("typecode", "T154", "c", "", 0.9)
    found = [weigh(claims) for claims in ([one], [one, two], [one, other], [one, two, other])]
    assert all(found)
    alone, agreed, torn, majority = (v.confidence for v in found if v)
    assert alone == pytest.approx(0.9)
    assert torn < majority < agreed <= SUREST
    assert torn < 0.5
    assert weigh([]) is None


def test_a_wrong_first_byte_is_a_hint_and_no_identity(tmp_path: Path) -> None:
    registry = _registry(tmp_path, mine="registration,operator\nRA-86559,Air Force\n")
    found = registry.identify("1d521f", DAY)
    assert (found.aircraft.registration, found.aircraft.watchlists) == (None, ())
    assert ("15521f", "RA-86559", "watchlist mine") in [(h.icao24, h.registration, h.source) for h in found.hints]
    assert registry.identify("ac521f", DAY).hints == (), "an American address is nobody's wrong Russian one"
    assert registry.identify("15521f", DAY).hints == ()


def test_a_feed_is_believed_before_a_rule_that_is_not_law() -> None:
    """The feed has it from a database; the contradiction is kept. American numbers are handed out by a published scheme."""
    korean = Registry().who("71bf00", DAY, registration="HL9000")
    assert korean.registration == "HL9000"
    assert korean.conflicts == ("registration: HL9000 (feed), but HL7700 (arithmetic of the register)",)
    russian = Registry().who("14fa3a", DAY, registration="RA-64508")
    assert russian.registration == "RA-64508"
    assert len(russian.conflicts) == 1
    assert Registry().who("a061d9", DAY, registration="N1").registration == "N12345"
    assert Registry().who("14fa3a", DAY, registration="RA-64058").conflicts == ()
    state = Registry().who("14fc02", DAY, registration="RF-64514")
    assert (state.registration, state.conflicts) == ("RF-64514", ()), "the number does not say whether it is RA- or RF-"
    assert len(Registry().who("154ed0", DAY, registration="RF-85136").conflicts) == 1, "by rule it is number 85712"


def test_who_is_who_is_remembered(tmp_path: Path) -> None:
    """It is asked for every leg."""
    registry = _registry(tmp_path, mine="registration\nRA-86559\n")
    assert registry.who("15521f", DAY) is registry.who("15521f", date(2020, 1, 1))


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
