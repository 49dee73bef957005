"""What notebooks import: the store as pandas frames, and pictures of flights.

    from flightwatch import explore
    sky = explore.open_store("data/demo/store")
    sky.legs(aircraft=["RA-86559"])

Texts from feeds stay texts: frames are shown escaped, nothing here makes HTML of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from flightwatch import maps
from flightwatch.alerts import AlertBook
from flightwatch.alerts.wording import area_name, coverage_note, map_note
from flightwatch.backfill import exposures, oldest
from flightwatch.errors import StoreError
from flightwatch.pipeline import Pipeline
from flightwatch.places import airports
from flightwatch.rarity import Baseline
from flightwatch.reasons import unobserved, unsearched_words, why, why_data, why_not
from flightwatch.records import CoverageMap, MapSpec, Track, credits_of, legs_from_table
from flightwatch.rules import codes_of
from flightwatch.store import Store
from flightwatch.userfiles import read_all


@dataclass(frozen=True)
class Explorer:
    """A store, opened for reading."""

    store: Store

    def legs(
        self, aircraft: Sequence[str] | None = None, since: datetime | None = None, until: datetime | None = None
    ) -> pd.DataFrame:
        """Legs as a frame, by departure; `aircraft` are addresses or registrations. `frame.attrs["data"]` says whose data
        they were made of; pandas writes it into a Parquet file, too."""
        table = self.store.legs.table(since, until, aircraft)
        return self._credited(_frame(table), (feed for row in table["feeds"].to_pylist() for feed in row or ()))

    def positions(self, icao24: str, since: datetime | None = None, until: datetime | None = None) -> pd.DataFrame:
        """Positions of one aircraft as a frame with the column names that pandas-based flight tools share.
        `frame.attrs["data"]` says whose they are, and which of them may not be republished."""
        frame = _frame(self.store.snapshots.positions(since, until, [icao24.lower()])).sort_values("timestamp", ignore_index=True)
        return self._credited(frame, frame["feed"].unique())

    def _credited(self, frame: pd.DataFrame, feeds: Iterable[str]) -> pd.DataFrame:
        frame.attrs["data"] = list(credits_of(self.store.terms_of(feeds).values()))
        return frame

    def alerts(self) -> pd.DataFrame:
        """The alerts, one a row: who, where, how far it has got, and what was said."""
        book = AlertBook(self.store.root / "alerts.sqlite")
        try:
            rows = [
                {
                    "alert_id": a.alert.alert_id,
                    "registration": a.finding.aircraft.registration,
                    "stage": a.alert.stage,
                    "place": area_name(a.finding.visit.place, airports()) if a.finding.visit else None,
                    "probability": a.finding.probability,
                    "opened": a.opened,
                    "updated": a.updated,
                    "headline": a.message.headline,
                    "facts": list(a.message.facts),
                    "rules": [r.rule_id for r in a.alert.rules],
                    "footer": list(a.message.footer),
                }
                for a in book.alerts()
            ]
        finally:
            book.close()
        return pd.DataFrame(rows)

    def why(self, alert_id: str) -> dict[str, Any]:
        """What an alert rests on: see `flightwatch why --json`."""
        with AlertBook(self.store.root / "alerts.sqlite", read_only=True) as book:
            return why_data(why(self.store, book, alert_id))

    def why_not(
        self, rule: str, aircraft: str, config: str | Path, since: datetime | None = None, until: datetime | None = None
    ) -> pd.DataFrame:
        """What a rule of a configuration says of each flight of an aircraft: see `flightwatch why-not`. What could not be
        observed stands in `frame.attrs["unobserved"]`, outages and days without watch only from `since` on."""
        found, path = read_all(Path(config)), self.store.root / "alerts.sqlite"
        pipeline = Pipeline(airports(), found.registry, found.rules.rules, exposures(self.store))
        with AlertBook(path, read_only=True) if path.exists() else nullcontext() as book:
            answers = pd.DataFrame(asdict(a) for a in why_not(self.store, book, pipeline, rule, aircraft, since, until))
        known = found.registry.who(found.registry.address(aircraft) or "", None)
        blind = list(unobserved(self.store, known, since, until or datetime.now(UTC))) if since else []
        asked = [r for r in found.rules.rules if r.id == rule]
        codes = self.store.events.unsearched(codes_of(asked), since or oldest(self.store))
        answers.attrs["unobserved"] = [*blind, *unsearched_words(codes)]
        return answers

    def reconstructed(self) -> list[str]:
        """The feeds in this store that nobody observed: made up, or reconstructed."""
        return sorted(self.store.made_up())

    def coverage(self) -> CoverageMap:
        """Where traffic is seen, for all that the legs tell; `maps.draw_coverage` draws it. Raises StoreError where they
        tell next to nothing."""
        table = self.store.legs.table()
        learned = Baseline(airports(), table).coverage
        day = learned.told_until
        bands = tuple(learned.as_of(day).bands())
        if not any(len(band.share) for band in bands):
            raise StoreError("too little is known yet of where traffic is seen: `flightwatch import` brings positions in")
        terms = self.store.terms_of({feed for row in table["feeds"].to_pylist() for feed in row or ()}).values()
        return CoverageMap(f"Where aircraft are seen, as of {day:%-d %b %Y}", bands, coverage_note(tuple(terms)))

    def picture(self, leg_id: str) -> bytes:
        """A leg on a map, as PNG: solid where it was seen, dashed to the airports that lead. Unlike a message, it shows
        what may not be republished, and says so."""
        table = self.store.legs.table()
        (leg,) = legs_from_table(table.filter(pc.equal(table["leg_id"], leg_id)))
        positions = self.positions(leg.icao24 or "", leg.first_seen, leg.last_seen)
        track = _track(positions)
        places, inferred = [], []
        for end, at in ((leg.origin, 0), (leg.destination, -1)):
            airport = airports().get(end.airport)
            if airport is not None:
                places.append((airport.short_name, airport.latitude, airport.longitude))
                if end.basis != "observed" and track.latitude:
                    inferred.append((track.latitude[at], track.longitude[at], airport.latitude, airport.longitude))
        lat, lon = track.latitude, track.longitude
        inferred += [(lat[i - 1], lon[i - 1], lat[i], lon[i]) for i in track.breaks]
        note = map_note(tuple(self.store.terms_of({*leg.feeds, *positions["feed"]}).values()))
        return maps.draw(MapSpec(f"{leg.registration or leg.icao24}, {leg.leg_id}", track, tuple(inferred), tuple(places), note))


def open_store(path: str | Path) -> Explorer:
    """Opens a store for reading. Raises StoreError where there is none."""
    return Explorer(Store(Path(path), read_only=True))


def _frame(table) -> pd.DataFrame:  # type: ignore[no-untyped-def]  # pyarrow has no types
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _track(positions: pd.DataFrame) -> Track:
    times = positions["timestamp"].to_numpy("datetime64[us]")
    holes = np.flatnonzero(np.diff(times) > np.timedelta64(timedelta(minutes=10))) + 1
    return Track(tuple(positions["latitude"]), tuple(positions["longitude"]), tuple(holes.tolist()))
