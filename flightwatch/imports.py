"""Brings files into a store: opened by the feeds, kept by the store.

In: a file. Out: what was stored and what was refused. The same file with the same options changes nothing the second
time.
"""

from __future__ import annotations

from pathlib import Path

from flightwatch.aircraft import address_of
from flightwatch.errors import InputError
from flightwatch.feeds.files import open_file
from flightwatch.places import airports
from flightwatch.records import Scope, Terms
from flightwatch.store import Import, Store

IMPORTED, RECONSTRUCTED = "import", "reconstructed"
"""The feeds that imported data stand under, by whether anybody observed them."""


def import_file(
    store: Store,
    path: Path,
    *,
    format: str | None = None,
    registration: str | None = None,
    scope: str | None = None,
    reconstructed: bool = False,
    feed: str | None = None,
) -> Import:
    """Imports one file. Raises InputError where it cannot be read."""
    name = feed or (RECONSTRUCTED if reconstructed else IMPORTED)
    source = open_file(path, name, airports(), address_of, format=format, registration=registration, scope=_scope(scope))
    if (before := store.imported(source.identity)) is not None:
        return before
    store.set_terms(name, Terms(reconstructed=reconstructed))
    if source.legs is not None:
        return store.import_legs(source.identity, path.name, name, source.scope, source.legs, source.refused)
    assert source.positions is not None  # a source has the one or the other
    return store.import_positions(
        source.identity, path.name, source.format, name, source.scope, source.positions(), source.refused
    )


def _scope(text: str | None) -> Scope | None:
    if text is None:
        return None
    if text in ("world", "aircraft", "reported"):
        return Scope(text)  # type: ignore[arg-type]  # one of its kinds
    raise InputError(f"{text} is no scope: use world, aircraft or reported")
