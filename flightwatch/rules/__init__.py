"""Rules: what somebody wants to be told about, in a file that can be read aloud.

In: rule files, journeys, and a way to count history. Out: matches, with the conditions that held and the values they
met. `language` says what a rule may contain, `loading` reads files and runs the tests in them, `evaluation` decides.
Nothing here keeps state.
"""

from __future__ import annotations

from flightwatch.rules.evaluation import Count, Match, could_match, matches, target_of
from flightwatch.rules.language import Rule
from flightwatch.rules.loading import Rules, TestOutcome, read_rules, run_tests

__all__ = ["Count", "Match", "Rule", "Rules", "TestOutcome", "could_match", "matches", "read_rules", "run_tests", "target_of"]
