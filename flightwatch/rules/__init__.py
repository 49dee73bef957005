"""Rules: what somebody wants to be told about, in a file that can be read aloud.

In: rule files, journeys and events, and a way to ask history. Out: matches, with the conditions that held and the values
they met. Nothing here keeps state; what follows from a rule alone is remembered.

    language     what a rule may say
    measures     times, rates and spans as people write them
    definitions  names for what several rules say
    loading      reads and checks files
    cases        what a condition is asked of, and what comes of it
    conditions   each kind of condition
    evaluation   whether a rule holds
    trials       runs the tests that stand in rules
    columns      many legs as arrays
    filtering    which of them a rule may hold for
    past         what columns tell of conditions on history
    remembering  what follows from a rule is worked out once
"""

from __future__ import annotations

from flightwatch.rules.cases import History, Result
from flightwatch.rules.conditions import may_fit, may_have_flown
from flightwatch.rules.evaluation import (
    Answer,
    Match,
    Onward,
    answers,
    could_match,
    evaluate,
    event_case,
    has_expired,
    is_about,
    matches,
    positions_of,
    target_of,
)
from flightwatch.rules.language import Rule, codes_of, schema
from flightwatch.rules.loading import Rules, read_rules, region_files
from flightwatch.rules.trials import TestOutcome, run_tests

__all__ = [
    "Answer",
    "History",
    "Match",
    "Onward",
    "Result",
    "Rule",
    "Rules",
    "TestOutcome",
    "answers",
    "codes_of",
    "could_match",
    "evaluate",
    "event_case",
    "has_expired",
    "is_about",
    "matches",
    "may_fit",
    "may_have_flown",
    "positions_of",
    "read_rules",
    "region_files",
    "run_tests",
    "schema",
    "target_of",
]
