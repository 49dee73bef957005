"""How many examples a property is tried with: a sixth of them with every run of the tests, all of them in the slow set, which
is called with `--hypothesis-profile thorough`."""

from __future__ import annotations

from hypothesis import settings

QUICK, THOROUGH = "quick", "thorough"
SHARE = 6
LEAST = 2

settings.register_profile(QUICK, max_examples=settings().max_examples // SHARE, deadline=None)
settings.register_profile(THOROUGH, deadline=None)


def tries(thorough: int) -> int:
    """`max_examples` for `settings`, given how many the slow set takes."""
    return thorough if settings.get_current_profile_name() == THOROUGH else max(thorough // SHARE, min(LEAST, thorough))
