"""Rules: what a file may say, what is wrong with it, and when a rule holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flightwatch.aircraft import Registry, read_watchlist
from flightwatch.config import files_in
from flightwatch.documents import load, parse, validate
from flightwatch.errors import ConfigError
from flightwatch.places import Airports
from flightwatch.records import UNKNOWN, Aircraft, Candidate, Counted, Journey, Leg, Stop, Target
from flightwatch.rules import codes_of, could_match, matches, read_rules, run_tests, schema
from flightwatch.rules.cases import Case
from flightwatch.rules.evaluation import evaluate, target_of
from flightwatch.rules.language import Condition, Rule

IL62 = Aircraft("15521f", "RA-86559", "IL62", "Russian Air Force", watchlists=("russian-state",))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry([read_watchlist(p) for p in files_in(["shipped"], "watchlists", Path())])


def rule(text: str) -> Rule:
    return validate(parse(text.encode(), "rule.yaml"), Rule)


def stop(*chances: tuple[str, float]) -> Stop:
    rest = 1 - sum(p for _, p in chances)
    return Stop((*(Candidate(a, p) for a, p in chances), Candidate(UNKNOWN, rest)), "inferred")


def journey(*stops: Stop) -> Journey:
    """A journey of which only the stops matter."""
    from tests.test_alerts import leg

    legs = tuple(leg(f"leg-{i}", takeoff=timedelta(hours=10 * i)) for i in range(len(stops) - 1))
    return Journey("j", legs, stops)


TO_KOREA = """
id: test
title: Test
when:
  all:
    - aircraft: {watchlist: russian-state}
    - origin: {country: RU}
    - destination: {country: KP, probability: 0.6}
"""


class Told:
    """A history that answers every question with one count and tells these flights; `asked` are the targets."""

    def __init__(self, counted: Counted, flights: Sequence[Leg] = ()) -> None:
        self.counted, self.asked = counted, list[Target]()
        self._flights = flights

    def __call__(self, leg: int) -> Told:
        return self

    def count(self, of: str, target: Target, since: datetime | None = None) -> Counted:
        self.asked.append(target)
        return self.counted

    def flights(self, since: datetime | None = None) -> Sequence[Leg]:
        return self._flights


nothing_counted = Told(Counted(0, 0))


SHIPPED = files_in(["shipped", "shipped/more"], "rules", Path())


def test_shipped_rules_pass_their_own_tests(registry: Registry, airports: Airports) -> None:
    """Those that are switched off, too; each rule has a flight that it finds and one that it does not, each file its costs, and
    whether they were counted."""
    found = read_rules(SHIPPED, registry, airports, [])
    outcomes = run_tests(found.rules, registry, airports)
    assert [o for o in outcomes if not o.passed] == []
    assert all({t.expect for t in r.tests} == {"match", "no match"} for r in found.rules)
    heads = [path.read_text(encoding="utf-8").split("- id:")[0] for path in SHIPPED]
    assert all("ost" in head and ("estimate" in head or "counted" in head) for head in heads)


def test_the_schema_takes_what_the_language_takes(tmp_path: Path, registry: Registry, airports: Airports) -> None:
    """The shipped rules; single words and lists, files that are lists or mappings. What is wrong in its form is wrong to both."""
    known = jsonschema.Draft202012Validator(schema())
    known.check_schema(schema())
    assert [error.message for path in SHIPPED for error in known.iter_errors(load(path).content)] == []
    for text, valid in (
        ("rules: []\ndefine: {lists: {a: x}}\n", True),
        (
            "[{id: x, title: T, notify: slack-desk, when: {aircraft: {icao24: 155221, role: [state]}}, expires: 2030-01-01}]\n",
            True,
        ),
        ("[{id: x, title: T, when: {all: [{not: {time: {days: sat, between: 22:00-06:00}}}]}, cooldown: 3 days}]\n", True),
        ("[{id: x, title: T}]\n", False),
        ("[{id: X Y, title: T, when: {origin: {country: RU}}}]\n", False),
        ("[{id: x, title: T, when: {all_: [{origin: {country: RU}}]}}]\n", False),
        ("[{id: x, title: T, when: {origin: {country: RU}, via: {country: RU}}}]\n", False),
        ("[{id: x, title: T, when: {origin: {}}}]\n", False),
        ("[{id: x, title: T, subject: event, when: {event: {kind: transponder.lots}}}]\n", False),
        ("[{id: x, title: T, when: {dormant: {at_least: 3 months}}}]\n", False),
    ):
        path = tmp_path / "rules.yaml"
        path.write_text(text)
        assert known.is_valid(load(path).content) is valid, text
        if valid:
            read_rules([path], registry, airports, ["slack-desk"])
        else:
            with pytest.raises(ConfigError):
                read_rules([path], registry, airports, [])


CODES = """\
define: {lists: {visitors: ["70*", "0021"]}}
rules:
  - id: codes
    title: Special codes
    subject: event
    when: {squawk: [7777, "list:visitors"]}
    tests:
      - {name: a number, given: {aircraft: abc123, event: {squawk: 7777, at: [50, 10]}}, expect: match}
      - {name: without a zero, given: {aircraft: abc123, event: {squawk: 0021}}, expect: match}
      - {name: another, given: {aircraft: abc123, event: {squawk: "7101"}}, expect: no match}
      - {name: an emergency, given: {aircraft: abc123, event: {squawk: "7700"}}, expect: no match}
      - {name: no code, given: {aircraft: abc123, event: {kind: flight.circling}}, expect: no match}
"""


def test_codes_of_transponders_are_asked_for_and_those_alone_are_looked_for(
    tmp_path: Path, registry: Registry, airports: Airports
) -> None:
    path = tmp_path / "codes.yaml"
    path.write_text(CODES)
    found = read_rules([path], registry, airports, [])
    assert [o.detail for o in run_tests(found.rules, registry, airports) if not o.passed] == []
    assert codes_of(found.rules) == {"7777", "0021", *(f"70{n:02o}" for n in range(64))}
    for event in ('{squawk: "7001", kind: flight.circling}', "{}", '{squawk: "7*"}', '{squawk: "7001", reason: x}'):
        path.write_text(CODES.replace("{kind: flight.circling}", event))
        with pytest.raises(ConfigError, match=r"four digits|give either a `kind`"):
            read_rules([path], registry, airports, [])


def test_every_word_of_the_language_is_explained() -> None:
    """In docs/rules.md, and in the schema those of the conditions."""
    text = (Path(__file__).parents[1] / "docs" / "rules.md").read_text(encoding="utf-8")
    parts = schema()["$defs"]
    words = {word for part in parts.values() for word in part.get("properties", {})}
    assert {"all", "when", "first_visit", "watched_since"} < words
    assert {word for word in words if not re.search(rf"`{word}[:`]|^ *-? ?{word}: |{{{word}: ", text, re.MULTILINE)} == set()
    assert [name for name, part in parts.items() if name.endswith("Condition") and "description" not in part] == []


def test_countries_are_summed_over_airports(airports: Airports) -> None:
    """No airport leads, but it is North Korea with 0.75."""
    split = journey(stop(("UUMU", 1.0)), stop(("ZKPY", 0.4), ("ZKWS", 0.35), ("RKSI", 0.2)))
    (found,) = matches(rule(TO_KOREA), split, IL62, airports, nothing_counted)
    assert found.probability == pytest.approx(0.75)
    assert "0.75" in found.held[-1].value


def test_less_than_the_asked_probability_is_no_match(airports: Airports) -> None:
    split = journey(stop(("UUMU", 1.0)), stop(("ZKPY", 0.55), ("RKSI", 0.4)))
    assert not list(matches(rule(TO_KOREA), split, IL62, airports, nothing_counted))


def test_what_was_told_gets_the_benefit_of_the_doubt(airports: Airports) -> None:
    split = journey(stop(("UUMU", 1.0)), stop(("ZKPY", 0.4), ("RKSI", 0.5)))
    assert list(matches(rule(TO_KOREA), split, IL62, airports, nothing_counted, factors=[0.5]))


def test_every_ordered_pair_of_stops_is_tested_and_the_shortest_taken(airports: Airports) -> None:
    """Moscow, Vladivostok, Pyongyang, Vladivostok: found once, from Vladivostok."""
    chain = journey(*(stop((code, 1.0)) for code in ("UUMU", "UHWW", "ZKPY", "UHWW")))
    (found,) = matches(rule(TO_KOREA), chain, IL62, airports, nothing_counted)
    assert (found.start, found.place) == (1, 2)
    from_moscow = rule(TO_KOREA.replace("country: RU", "airport: UUMU"))
    (found,) = matches(from_moscow, chain, IL62, airports, nothing_counted)
    assert (found.start, found.place) == (0, 2)
    single = rule(TO_KOREA.replace("country: RU", "airport: UUMU") + "subject: leg\n")
    assert not list(matches(single, chain, IL62, airports, nothing_counted))


def test_flying_over_is_not_going_there(airports: Airports) -> None:
    assert not list(matches(rule(TO_KOREA), journey(stop(("ZSPD", 1.0)), stop(("UHWW", 1.0))), IL62, airports, nothing_counted))


@pytest.mark.parametrize(
    ("counted", "verdict"), [(Counted(3, 365), True), (Counted(40, 365), False), (Counted(0, 30), True), (Counted(0, 0), True)]
)
def test_unknown_rarity_holds_beside_aircraft_and_places(counted: Counted, verdict: bool, airports: Airports) -> None:
    with_rarity = rule(TO_KOREA + "    - rarity: {of: fleet, at_most: 12 per year}\n")
    found = list(matches(with_rarity, journey(stop(("UUMU", 1.0)), stop(("ZKPY", 1.0))), IL62, airports, Told(counted)))
    assert bool(found) is verdict
    if counted.observed_days < 90 and found:
        assert "too few" in found[0].held[-1].value


@pytest.mark.parametrize(("unknown", "verdict"), [("", None), (", unknown: match", True), (", unknown: skip", False)])
def test_unknown_rarity_alone_fails_unless_asked_for(unknown: str, verdict: bool | None, airports: Airports) -> None:
    only = rule(f"id: t\ntitle: T\nwhen:\n  rarity: {{of: tail, at_most: 1 per year{unknown}}}\n")
    case = Case(IL62, airports, target=Target(("ZKPY",), ()), history=Told(Counted(0, 3)))
    assert evaluate(only.when, case).truth is verdict


def test_an_unknown_rarity_opens_no_alternative(airports: Airports) -> None:
    """`any` of a place and a rarity: a flight to somewhere else does not match because nobody has counted yet."""
    either = rule(
        "id: t\ntitle: T\nwhen:\n  any:\n    - destination: {country: KP}\n    - rarity: {of: tail, at_most: 1 per year}\n"
    )
    elsewhere, there = (journey(stop(("UUMU", 1.0)), stop((code, 1.0))) for code in ("ULLI", "ZKPY"))
    assert not list(matches(either, elsewhere, IL62, airports, nothing_counted))
    assert list(matches(either, there, IL62, airports, nothing_counted))


def test_without_a_place_in_the_rule_the_place_of_the_visit_is_counted(airports: Airports) -> None:
    """A route flown every week is not rare because the rule names no destination."""
    anywhere = rule(
        "id: t\ntitle: T\nwhen:\n  all:\n    - aircraft: {icao24: 15521f}\n    - rarity: {of: tail, at_most: 1 per year}\n"
    )
    often = Told(Counted(111, 455))
    assert not list(matches(anywhere, journey(stop(("UUMU", 1.0)), stop(("ULLI", 0.9))), IL62, airports, often))
    assert often.asked == [Target(("ULLI",), ())]
    nowhere = journey(stop(("UUMU", 1.0)), stop(("ULLI", 0.4)))
    (found,) = matches(anywhere, nowhere, IL62, airports, often)
    assert "the place is not known" in found.held[-1].value


def test_a_place_that_is_ruled_out_is_not_what_the_rule_is_about(airports: Airports) -> None:
    """`not: {destination: RU}`: an alert about Minsk says nothing of visits to Russia."""
    abroad = rule("id: t\ntitle: T\nwhen:\n  all:\n    - aircraft: {icao24: 15521f}\n    - not: {destination: {country: RU}}\n")
    assert target_of(abroad) == Target((), ())
    (found,) = matches(abroad, journey(stop(("UUMU", 1.0)), stop(("UMMS", 0.9))), IL62, airports, nothing_counted)
    assert found.probability == pytest.approx(0.9)


TRUTHS = st.sampled_from(["true", "false", "open"])


@given(TRUTHS, TRUTHS)
def test_logic_is_three_valued(a: str, b: str) -> None:
    """Kleene's tables, also under `not`."""
    from flightwatch.places import airports as all_airports

    known = {"true": True, "false": False, "open": None}
    parts = {
        "true": {"aircraft": {"icao24": "15521f"}},
        "false": {"aircraft": {"icao24": "ffffff"}},
        "open": {"destination": {"country": "KP"}},
    }
    case = Case(IL62, all_airports())

    def truth(condition: object) -> bool | None:
        return evaluate(Condition.model_validate(condition), case).truth

    values = [known[a], known[b]]
    assert truth({"all": [parts[a], parts[b]]}) is (False if False in values else None if None in values else True)
    assert truth({"any": [parts[a], parts[b]]}) is (True if True in values else None if None in values else False)
    assert truth({"not": parts[a]}) is (None if known[a] is None else not known[a])


def test_globs_not_patterns(airports: Airports) -> None:
    """`*` and `?`, any case; a regular expression is only text."""
    for text, holds in (("ra-865*", True), ("RA-8655?", True), ("RA-(86559|1)", False), ("*", True)):
        condition = Condition.model_validate({"aircraft": {"registration": text}})
        assert evaluate(condition, Case(IL62, airports)).truth is holds


def test_an_aircraft_that_no_rule_can_match_is_told_early(airports: Airports) -> None:
    other = Aircraft("abc123", None, "A320")
    assert not could_match(rule(TO_KOREA), other, None, airports)
    assert could_match(rule(TO_KOREA), IL62, None, airports)
    from_china = journey(stop(("ZBAA", 1.0)), stop(("RKSI", 0.5)))
    assert not could_match(rule(TO_KOREA), IL62, from_china, airports)
    by_type = rule("id: t\ntitle: T\nwhen: {aircraft: {typecode: IL76}}\n")
    assert could_match(by_type, Aircraft("abc123"), None, airports), "its type may still become known"


# --------------------------------------------------------------------------------------------------------------------- loading


def problems(text: str, tmp_path: Path, registry: Registry, airports: Airports) -> list[tuple[int, str]]:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_rules([path], registry, airports, ["slack-desk"])
    return [(p.line, p.message) for p in raised.value.problems]


RULE_X = "- id: x\n  title: T\n  when: {aircraft: {icao24: abc123}}\n"
TEST = "  tests:\n    - name: t\n      given: {{aircraft: abc123, legs: [{legs}]}}\n      expect: {expect}\n"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("id: x\n", 1, "is a list"),
        ("- title: T\n  when: {aircraft: {icao24: abc123}}\n", 1, "`id` is missing"),
        ("- id: X Y\n  title: T\n  when: {aircraft: {icao24: abc123}}\n", 1, "no name here"),
        ("- id: x\n  title: T\n  sevrity: high\n  when: {aircraft: {icao24: abc123}}\n", 3, "did you mean `severity`"),
        ("- id: x\n  title: T\n  severity: hgih\n  when: {aircraft: {icao24: abc123}}\n", 3, "did you mean `high`"),
        ("- id: x\n  title: T\n  when: {}\n", 3, "is empty"),
        ("- id: x\n  title: T\n  when: {aircraft: {icao24: abc123}, origin: {country: RU}}\n", 3, "exactly one thing"),
        ("- id: x\n  title: T\n  when:\n    aircraft: {hex: abc123}\n", 4, "`hex` is not a setting here"),
        ("- id: x\n  title: T\n  when:\n    aircraft: {}\n", 4, "is empty"),
        ("- id: x\n  title: T\n  when:\n    origin: {}\n", 4, "name an airport or a country"),
        ("- id: x\n  title: T\n  when:\n    all: []\n", 4, "at least 1 item"),
        ("- id: x\n  title: T\n  when:\n    origin: {country: RU, probability: 60}\n", 4, "less than or equal to 1"),
        ("- id: x\n  title: T\n  when:\n    rarity: {of: tail, at_most: 12 a year}\n", 4, "12 per year"),
        ("- id: x\n  title: T\n  when:\n    aircraft: {watchlist: russian-stat}\n", 4, "did you mean `russian-state`"),
        ("- id: x\n  title: T\n  when:\n    origin: {country: Russia}\n", 4, "two capital letters"),
        ("- id: x\n  title: T\n  when:\n    origin: {airport: FNJ}\n", 4, "did you mean `ZKPY`"),
        ("- id: x\n  title: T\n  when: {aircraft: {icao24: abc123}}\n  notify: [slak-desk]\n", 4, "did you mean `slack-desk`"),
        ("- id: x\n  title: T\n  when: {aircraft: {icao24: abc123}}\n  notify: [digest]\n", 4, "`digest` is no channel"),
        ("- id: x\n  title: T\n  when: {aircraft: {icao24: 15e521}}\n", 3, "quotes"),
        ("- id: x\n  title: T\n  when: {aircraft: {icao24: RA-86559}}\n", 3, "six hex digits"),
        ("- id: x\n  title: T\n  when: {aircraft: {icao24: 0x155221}}\n", 3, "six hex digits"),
        ("- id: x\n  title: T\n  when:\n    destination: {airport: MOW}\n", 4, "one of"),
        (RULE_X + TEST.format(legs="UUMU-ZKPX", expect="match"), 6, "did you mean"),
        (
            RULE_X + RULE_X,
            4,
            "two rules have the id",
        ),
        (
            RULE_X + TEST.format(legs="UUMU", expect="match"),
            6,
            "UUMU-ZKPY",
        ),
        (
            RULE_X + TEST.format(legs="UUMU-ZKPY", expect="maybe"),
            7,
            "match, no match",
        ),
    ],
)
def test_each_mistake_is_named_at_its_line(
    text: str, line: int, says: str, tmp_path: Path, registry: Registry, airports: Airports
) -> None:
    found = problems(text, tmp_path, registry, airports)
    assert any(at == line and says in message for at, message in found), found


def test_a_rule_as_the_documentation_has_it(tmp_path: Path, registry: Registry, airports: Airports) -> None:
    """Digits alone are an address, lists and single words both work, and the tests in it pass."""
    path = tmp_path / "rules.yaml"
    path.write_text(
        """
- id: russian-state-to-dprk
  title: Russian state aircraft to North Korea
  severity: high
  subject: journey                  # leg | journey
  when:
    all:
      - aircraft: {watchlist: [russian-state]}
      - origin: {country: RU}
      - destination: {country: KP, probability: 0.6}
      - rarity: {of: fleet, at_most: 12 per year}
  notify: [slack-desk, digest]
  tests:
    - name: staged over Vladivostok, an hour on the ground in Pyongyang
      given: {aircraft: 155221, legs: [UUMU-UHWW, UHWW-ZKPY, ZKPY-UHWW]}
      expect: match
    - name: the scheduled Nordwind service
      given: {aircraft: 151e7c, legs: [UUEE-ZKPY]}
      expect: no match
"""
    )
    found = read_rules([path], registry, airports, ["slack-desk", "digest"])
    assert [o.passed for o in run_tests(found.rules, registry, airports)] == [True, True]


def test_a_test_that_fails_says_what_it_got(tmp_path: Path, registry: Registry, airports: Airports) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(
        "- id: x\n  title: T\n  when: {destination: {country: KP}}\n  tests:\n"
        "    - {name: wrong, given: {aircraft: abc123, legs: [UUMU-ZBAA]}, expect: match}\n"
    )
    (outcome,) = run_tests(read_rules([path], registry, airports, None).rules, registry, airports)
    assert not outcome.passed
    told = "destination North Korea with at least 0.5: observed, 0.00 (ZBAA)"
    assert outcome.detail == f"expected match, got no match: {told}"


def test_a_watchlist_of_callsigns_operators_and_registrations_works_in_a_rule(tmp_path: Path, airports: Airports) -> None:
    """An entry need not know an address: the leg tells the callsign, another list the operator."""
    for name, text in {
        "facts.csv": "icao24,operator\n15521f,Russian Air Force\n",
        "mine.csv": "operator,callsign\n*air force,\n,RSD*\n",
        "named.csv": "registration\nRF-85136\n",
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    lists = Registry([read_watchlist(path) for path in sorted(tmp_path.glob("*.csv"))])
    path = tmp_path / "rules.yaml"
    path.write_text(
        """
- id: listed
  title: On my list
  when: {aircraft: {watchlist: mine}}
  tests:
    - {name: by operator, given: {aircraft: 15521f, legs: [UUMU-ZKPY]}, expect: match}
    - {name: by callsign, given: {aircraft: abcdef, callsign: RSD655, legs: [UUMU-ZKPY]}, expect: match}
    - {name: neither, given: {aircraft: abcdef, callsign: AFL1, legs: [UUMU-ZKPY]}, expect: no match}
- id: named
  title: By its name
  when: {aircraft: {watchlist: named}}
  tests:
    - {name: a registration that no rule knows, given: {aircraft: RF-85136, legs: [UUMU-ZKPY]}, expect: match}
    - {name: another, given: {aircraft: RF-85137, legs: [UUMU-ZKPY]}, expect: no match}
""",
        encoding="utf-8",
    )
    found = read_rules([path], lists, airports, None)
    assert [o.detail for o in run_tests(found.rules, lists, airports) if not o.passed] == []
    listed, named = found.rules
    nobody = lists.who("abcdef", None)
    assert could_match(listed, nobody, None, airports), "its callsign may still become known"
    assert could_match(named, nobody, None, airports), "so may its registration"
    assert not could_match(rule(TO_KOREA), nobody, None, airports)
