"""What several rules share under `define:`, in whatever file it stands, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from flightwatch.aircraft import Registry, read_watchlist
from flightwatch.config import files_in
from flightwatch.errors import ConfigError
from flightwatch.places import Airports
from flightwatch.rules import Rules, read_rules, run_tests


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry([read_watchlist(p) for p in files_in(["shipped"], "watchlists", Path())])


class Folder:
    """A folder of rule files."""

    def __init__(self, path: Path, registry: Registry, airports: Airports) -> None:
        self.path, self.registry, self.airports = path, registry, airports

    def read(self, **texts: str) -> Rules:
        for name, text in texts.items():
            (self.path / f"{name}.yaml").write_text(text, encoding="utf-8")
        return read_rules(sorted(self.path.glob("*.yaml")), self.registry, self.airports, [])

    def problems(self, **texts: str) -> list[tuple[str, int, int, str]]:
        with pytest.raises(ConfigError) as raised:
            self.read(**texts)
        return [(Path(p.file).stem, p.line, p.column, p.message) for p in raised.value.problems]


@pytest.fixture
def folder(tmp_path: Path, registry: Registry, airports: Airports) -> Folder:
    return Folder(tmp_path, registry, airports)


NAMES = """\
define:
  lists:
    neighbours: [CN, KP, MN]
    airliners: [151e7c]
    tails: [RA-86559, P-8*]
  regions:
    korea:
      corners: [[37, 124], [43, 124], [43, 131], [37, 131]]
  conditions:
    from-russia: {origin: {country: RU}}
    to-a-neighbour: {destination: {country: "list:neighbours"}}
    over-the-border: {all: [{use: from-russia}, {use: to-a-neighbour}]}
"""

SHORT = """\
- id: short
  title: Short
  when:
    all:
      - use: over-the-border
      - not: {aircraft: {registration: "list:tails"}}
      - destination: {region: korea}
      - not: {after: {leg: {use: to-a-neighbour}, within: 30 days}}
"""

LONG = """\
- id: long
  title: Long
  when:
    all:
      - all: [{origin: {country: RU}}, {destination: {country: [CN, KP, MN]}}]
      - not: {aircraft: {registration: [RA-86559, P-8*]}}
      - destination: {airport: [%s]}
      - not: {after: {leg: {destination: {country: [CN, KP, MN]}}, within: 30 days}}
"""

FLIGHTS = """\
  tests:
    - {name: there, given: {aircraft: 151e7c, legs: [UUEE-ZKPY], watched_since: 2023-01-01}, expect: match}
    - {name: another, given: {aircraft: RA-86559, legs: [UUEE-ZKPY], watched_since: 2023-01-01}, expect: no match}
    - {name: elsewhere, given: {aircraft: 151e7c, legs: [UUEE-ZBAA], watched_since: 2023-01-01}, expect: no match}
    - {name: from elsewhere, given: {aircraft: 151e7c, legs: [RJAA-ZKPY], watched_since: 2023-01-01}, expect: no match}
    - name: again
      given: {aircraft: 151e7c, legs: [UUEE-ZKPY], history: [UUEE-ZBAA 2023-12-20], watched_since: 2023-01-01}
      expect: no match
    - {name: when nobody watched, given: {aircraft: 151e7c, legs: [UUEE-ZKPY]}, expect: no match}
"""


def test_a_rule_with_names_means_what_it_means_written_out(folder: Folder) -> None:
    """Names of another file, in lists, regions, conditions of conditions and the earlier flight of `after`."""
    found = folder.read(names=NAMES, rules=SHORT + FLIGHTS)
    inside = next(c.destination.inside for c in found.rules[0].when.all_ or () if c.destination)
    assert {"ZKPY", "ZYYJ"} < set(inside)
    assert "ZBAA" not in inside
    both = folder.read(rules=SHORT + FLIGHTS, long=LONG % ", ".join(filter(folder.airports.is_airport, inside)) + FLIGHTS)
    outcomes = run_tests(both.rules, folder.registry, folder.airports)
    assert [o.detail for o in outcomes if not o.passed] == []
    assert [o.rule_id for o in outcomes] == ["long"] * 6 + ["short"] * 6


def test_a_region_of_a_file_beside_the_rules(folder: Folder) -> None:
    (folder.path / "korea.geojson").write_text(
        '{"type": "Polygon", "coordinates": [[[124, 37], [131, 37], [131, 43], [124, 43], [124, 37]]]}'
    )
    named = NAMES.replace("corners: [[37, 124], [43, 124], [43, 131], [37, 131]]", "file: korea.geojson")
    found = folder.read(names=named, rules=SHORT + FLIGHTS)
    assert all(o.passed for o in run_tests(found.rules, folder.registry, folder.airports))


RULE = "- id: x\n  title: T\n  when:\n    {}\n"
BOTH = "define:\n  conditions:\n    far: {{origin: {{country: RU}}}}\n    {}\nrules:\n  - id: x\n    title: T\n    when: {}\n"


@pytest.mark.parametrize(
    ("texts", "file", "line", "column", "says"),
    [
        (
            {"rules": RULE.format("use: from-rusia")},
            "rules",
            4,
            5,
            "`from-rusia` is no condition of `define:` that is known: did you mean `from-russia`?",
        ),
        (
            {"rules": RULE.format("after: {leg: {use: from-rusia}, within: 3 days}")},
            "rules",
            4,
            19,
            "did you mean `from-russia`?",
        ),
        ({"rules": RULE.format('not: {origin: {country: "list:neighbors"}}')}, "rules", 4, 20, "did you mean `list:neighbours`?"),
        ({"rules": RULE.format("position: {region: [korea, koreas]}")}, "rules", 4, 32, "did you mean `korea`?"),
        ({"rules": RULE.format("via: {near: {airport: FNJ, nm: 50}}")}, "rules", 4, 18, "did you mean `ZKPY`?"),
        ({"rules": RULE.format("origin: {airport: [ZKPY, FNJ]}")}, "rules", 4, 30, "did you mean `ZKPY`?"),
        ({"rules": RULE.format("aircraft: {country: [RU, Russia]}")}, "rules", 4, 30, "did you mean `RU`?"),
        ({"rules": RULE.format('aircraft: {icao24: "list:tails"}')}, "names", 5, 13, "`RA-86559` is no address"),
        ({"rules": RULE.format('origin: {airport: "list:neighbours"}')}, "names", 3, 18, "`CN` is no airport"),
        ({"rules": RULE.format('squawk: "list:tails"')}, "names", 5, 13, "`RA-86559` is no code of a transponder"),
        ({"rules": RULE.format('aircraft: {watchlist: "list:tails"}')}, "names", 5, 13, "`RA-86559` is no watchlist"),
        (
            {"rules": RULE.format("destination: {near: {latitude: 0, longitude: -140, nm: 50}}")},
            "rules",
            4,
            5,
            "there is no airport in 50 nm of 0, -140",
        ),
        (
            {"rules": RULE.format("use: twice"), "more": "define:\n  conditions:\n    twice: {event: {kind: rendezvous}}\n"},
            "rules",
            4,
            5,
            "`event` cannot be asked of a journey",
        ),
        (
            {
                "rules": RULE.format("after: {leg: {use: counted}, within: 3 days}"),
                "more": "define:\n  conditions:\n    counted: {dormant: {at_least: 3 days}}\n",
            },
            "rules",
            4,
            19,
            "`dormant` cannot be asked of the earlier flight",
        ),
        ({"more": "define:\n  conditions:\n    unused: {origin: {country: Russia}}\n"}, "more", 3, 23, "did you mean `RU`?"),
        (
            {"more": "define:\n  conditions:\n    nested: {not: {use: unusd}}\n    unused: {origin: {country: RU}}\n"},
            "more",
            3,
            20,
            "did you mean `unused`?",
        ),
        ({"others": "define:\n  lists:\n    korea: [a]\n    tails: [RA-1]\n"}, "others", 4, 5, "`tails` is defined twice"),
        ({"more": 'define:\n  lists:\n    mine: ["list:tails"]\n'}, "more", 3, 5, "a list holds words, not other lists"),
        (
            {"more": "define:\n  regions:\n    sea: {fil: sea.kml}\n"},
            "more",
            3,
            11,
            "`fil` is not a setting here: did you mean `file`?",
        ),
        ({"more": "define:\n  regions:\n    sea: {file: sea.kml}\n"}, "more", 3, 5, "sea.kml cannot be read"),
        ({"more": "define:\n  regions:\n    sea: {corners: [[1, 2], [2, 2], [3, 2]]}\n"}, "more", 3, 5, "has no area"),
        ({"more": "define:\n  regoins: {}\n"}, "more", 2, 3, "did you mean `regions`?"),
        ({"more": BOTH.format("self: {use: self}", "{use: far}")}, "more", 4, 12, "`self` leads back to itself: self -> self"),
        (
            {"more": BOTH.format("one: {not: {use: two}}\n    two: {after: {leg: {use: one}, within: 3 days}}", "{use: far}")},
            "more",
            4,
            17,
            "leads back to itself: two -> one -> two",
        ),
    ],
)
def test_each_mistake_is_named_where_it_stands(
    texts: dict[str, str], file: str, line: int, column: int, says: str, folder: Folder
) -> None:
    (folder.path / "names.yaml").write_text(NAMES)
    found = folder.problems(**texts)
    assert any((file, line, column) == at and says in told for *at_, told in found for at in [tuple(at_)]), found


def test_all_mistakes_of_a_rule_are_told_at_once_in_words_for_people(folder: Folder) -> None:
    text = (
        "- id: Bad Id\n  title: T\n  subject: event\n  expires: tomorrow\n"
        '  when: {all: [{squawk: [7001, "8000", "7*"]}, {aircraft: {icao24: [abcdeg, 12345]}}]}\n'
    )
    found = {(line, column): message for _, line, column, message in folder.problems(rules=text)}
    assert found.keys() == {(1, 3), (4, 3), (5, 32), (5, 40), (5, 69)}
    assert found[1, 3] == "`Bad Id` is no name here: up to 64 small letters, digits and dashes, like `my-rule`"
    assert found[4, 3] == "`tomorrow`: write a day, like 2024-01-31"


def test_a_mistake_in_a_definition_is_told_once(folder: Folder) -> None:
    """However many rules use it, and in whatever file; a file that cannot be read makes no others wrong."""
    several = "".join(f"- {{id: x{i}, title: T, when: {{use: from-russia}}}}\n" for i in range(3))
    found = folder.problems(names=NAMES.replace("{country: RU}", "{country: RUS}"), rules=several)
    assert [(file, line) for file, line, *_ in found] == [("names", 10)]
    found = folder.problems(names=NAMES.replace("origin:", "orgin:"), rules=several)
    assert [(file, line) for file, line, *_ in found] == [("names", 10)]
    found = folder.problems(names=NAMES.replace("[37, 124], [43, 124]", "[97, 124], [43, 124]"), rules=SHORT)
    assert [(file, line) for file, line, *_ in found] == [("names", 7)]


@pytest.mark.parametrize("count", [12, 40])
def test_a_small_file_does_not_explode(count: int, folder: Folder) -> None:
    """Each name stands for ten of the next: a billion conditions in a few lines."""
    names = "".join(f"    n{i}: {{any: [{', '.join(['{use: n' + str(i + 1) + '}'] * 10)}]}}\n" for i in range(count))
    text = f"define:\n  conditions:\n{names}    n{count}: {{origin: {{country: RU}}}}\n"
    told = [message for *_, message in folder.problems(more=text)]
    assert any("1000 conditions" in message or "20 deep" in message for message in told)
    assert len(told) <= count


def test_conditions_in_conditions_have_an_end(folder: Folder) -> None:
    def nested(depth: int) -> str:
        return "- id: x\n  title: T\n  when: " + "{not: " * depth + "{origin: {country: RU}}" + "}" * depth + "\n"

    assert folder.read(rules=nested(20)).rules
    assert [(line, message) for _, line, _, message in folder.problems(rules=nested(21))] == [
        (3, "conditions stand in each other more than 20 deep here")
    ]
    assert "nested deeper than 50" in folder.problems(rules=nested(60))[0][3]


@pytest.mark.parametrize(
    "text",
    ["- &a id: x\n", "define:\n  lists: {a: &a [x], b: *a}\n", "- id: !!str x\n", "- id: x\n  title: !python/name:os.system x\n"],
)
def test_anchors_aliases_and_tags_are_refused(text: str, folder: Folder) -> None:
    assert "anchors, aliases and tags are not allowed" in folder.problems(rules=text)[0][3]


@pytest.mark.parametrize(
    ("subject", "when", "says"),
    [
        ("leg", "via: {airport: ZKPY}", "`via` cannot be asked of a leg: it is for `subject: journey`"),
        ("leg", "at: {airport: ZKPY}", "`at` cannot be asked of a leg: it is for `subject: stay or event`"),
        ("stay", "position: {below: 5000}", "`position` cannot be asked of a stay"),
        ("event", "rarity: {at_most: 3 per year}", "`rarity` cannot be asked of an event"),
        ("journey", 'squawk: "7001"', "`squawk` cannot be asked of a journey: it is for `subject: event`"),
        ("event", 'squawk: ["7001", "7801"]', "`7801` is no code of a transponder: four digits from 0 to 7"),
        ("event", 'squawk: "07001"', "`07001` is no code"),
        ("event", 'squawk: "7*"', "`7*` stands for 512 codes, at most 64 are looked for: write two of the four digits"),
        ("event", "event: {kind: squawk.code}", "`squawk.code` is asked for by the codes themselves"),
        ("journey", "event: {kind: rendezvous}", "`event` cannot be asked of a journey"),
        ("stay", "together: {at_least: 3}", "`together` cannot be asked of a stay"),
        ("leg", "duration: {of: journey, at_least: 3 h}", "the duration of a journey cannot be asked of a leg"),
        ("journey", "duration: {of: stay, at_least: 3 h}", "the duration of a stay cannot be asked of a journey"),
        ("stay", "after: {leg: {duration: {of: stay, at_least: 3 h}}, within: 3 days}", "the duration of a stay cannot be asked"),
        ("leg", "after: {leg: {via: {airport: ZKPY}}, within: 3 days}", "`via` cannot be asked of the earlier flight"),
        (
            "leg",
            "after: {leg: {after: {leg: {use: from-russia}, within: 3 h}}, within: 3 h}",
            "`after` cannot be asked of the earlier",
        ),
    ],
)
def test_what_cannot_be_asked_of_a_subject_is_refused(subject: str, when: str, says: str, folder: Folder) -> None:
    found = folder.problems(names=NAMES, rules=RULE.format(when) + f"  subject: {subject}\n")
    assert any(line == 4 and says in message for _, line, _, message in found), found


def test_tests_fit_the_subject(folder: Folder) -> None:
    tests = "  tests:\n    - {name: t, given: {aircraft: abc123, %s}, expect: no match}\n"
    flown, happened = tests % "legs: [UUEE-ZKPY]", tests % "event: {kind: rendezvous, airports: [FNJ]}"
    found = folder.problems(rules=RULE.format("event: {kind: rendezvous}") + "  subject: event\n" + flown)
    assert [(line, message) for _, line, _, message in found] == [(7, "a rule about an event is tested with an `event`")]
    found = folder.problems(rules=RULE.format("origin: {country: RU}") + happened)
    assert [message for *_, message in found] == [
        "a rule about a journey is tested with `legs`",
        "`FNJ` is no airport ident that is known: did you mean `ZKPY`?",
    ]


@pytest.mark.parametrize(
    ("when", "says"),
    [
        ("time: {between: 22:00-22:00}", "over when it begins"),
        ("time: {between: 24:00-06:00}", "write two times of the day"),
        ("time: {zone: local}", "is empty: name one of days, between, since, until"),
        ("time: {days: [sat, sunday]}", "did you mean `sun`"),
        ("time: {since: yesterday}", "write a day or a time"),
        ("duration: {at_least: 3}", "put it in quotes"),
        ("duration: {at_least: 3 months}", "write a number and a unit"),
        ("duration: {at_least: 0 h}", "between a minute and a hundred years"),
        ("dormant: {at_least: 99999999999999999 days}", "between a minute and a hundred years"),
        ("visits: {within: 30 days}", "is empty: name one of at_least, at_most"),
        ("position: {moving: entering}", "entering what?"),
        ("position: {near: {latitude: 3, nm: 5}}", "name an airport, or a latitude and a longitude"),
        ("position: {near: {airport: ZKPY, latitude: 3, longitude: 3, nm: 5}}", "name an airport, or a latitude and a longitude"),
        ("event: {kind: transponder.lots}", "did you mean `transponder.lost`"),
        ("aircraft: {role: [state, milit]}", "one of state, military, police, private, civil"),
    ],
)
def test_words_that_mean_nothing_are_refused(when: str, says: str, folder: Folder) -> None:
    found = folder.problems(rules=RULE.format(when))
    assert any(line == 4 and says in message for _, line, _, message in found), found
