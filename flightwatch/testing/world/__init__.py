"""A made-up world: flights through real places, with the holes that real coverage has, and the truth about them.

    winds      what blows
    flights    one flight: climb, cruise, descent, holds, missed approaches, diversions, stages
    coverage   where nobody listens, and below which height
    truth      what really happened, and which of it could be seen
    seeing     what feeds give of it: noise, outages, spoofing; a world as a live feed shows it
    habits     aircraft and fleets that have habits, over weeks
    cases      reported flights between Russia and North Korea, reconstructed
    traffic    a day of the whole world's traffic, in pieces that fit into memory

Everything is computed from records and a seed: the same arguments make the same world. What comes out is synthetic,
and whoever shows it has to say so.

    flight = Flight("3c0001", "D-TEST", "A320", "TST1", "EDDF", "LEMD", datetime(2024, 3, 1, 12, tzinfo=UTC))
    back = onward(flight, airports(), timedelta(minutes=50), "EDDF", "TST2", hold=Hold(to_go_nm=30, minutes=15))
    world = World((flight, back), airports(), holes=(low_level(5000, ["EDDF"], airports()),), wind=Jets())
    world.positions(every_s=10.0)                            # a table of `POSITIONS`: what was heard
    write_truth(Path("truth.csv"), world.truth(every_s=10.0), blank_unseen=True)
"""

from __future__ import annotations

from flightwatch.testing.world.coverage import INLAND_SIBERIA, NORTH_KOREA, OCEANS, Region, low_level
from flightwatch.testing.world.flights import Flight, Hold, Path, airway, diverted, landing, landing_at, onward, path, silent_from
from flightwatch.testing.world.seeing import Receivers, Sky, Spoofing, World, polls
from flightwatch.testing.world.truth import TrueLeg, true_journeys, truth_frame, write_truth
from flightwatch.testing.world.winds import CALM, Calm, Jets, Wind

__all__ = [
    "CALM",
    "INLAND_SIBERIA",
    "NORTH_KOREA",
    "OCEANS",
    "Calm",
    "Flight",
    "Hold",
    "Jets",
    "Path",
    "Receivers",
    "Region",
    "Sky",
    "Spoofing",
    "TrueLeg",
    "Wind",
    "World",
    "airway",
    "diverted",
    "landing",
    "landing_at",
    "low_level",
    "onward",
    "path",
    "polls",
    "silent_from",
    "true_journeys",
    "truth_frame",
    "write_truth",
]
