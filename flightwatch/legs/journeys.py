"""Legs to journeys and visits.

In: the legs of one aircraft, in order. Out: journeys (chains of legs with short stays between) and, for each place
where a leg ended, the visit. A stop takes what both of its legs say: what was observed comes before what was
inferred.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

from flightwatch.records import End, Journey, Leg, Stop, Visit


def journeys(legs: Sequence[Leg]) -> tuple[Journey, ...]:
    """The journeys of one aircraft, in order."""
    chains = [tuple(chain) for _, chain in groupby(legs, key=lambda leg: leg.journey_id)]
    return tuple(Journey(chain[0].journey_id, chain, _stops(chain)) for chain in chains)


def _stops(chain: Sequence[Leg]) -> tuple[Stop, ...]:
    between = [stop_between(a.destination, b.origin) for a, b in pairwise(chain)]
    return (_stop(chain[0].origin), *between, _stop(chain[-1].destination))


def stop_between(ended: End, began: End) -> Stop:
    """The place between two legs: seen at either of them, or what is probable of the earlier one's end with the later
    one in view."""
    return _stop(began if began.basis == "observed" and ended.basis != "observed" else ended)


def _stop(end: End) -> Stop:
    return Stop(end.candidates, end.basis)


def visit(legs: Sequence[Leg], journey: Journey, start: int, place: int) -> Visit:
    """The visit at stop `place` of a journey, told from its stop `start`. The leg that left again may belong to the
    next journey."""
    way = journey.legs[start:place]
    arrival = way[-1]
    following = legs[legs.index(arrival) + 1 :]
    departure = following[0] if following else None
    stop = stop_between(arrival.destination, departure.origin) if departure else journey.stops[place]
    return Visit(f"visit-{arrival.leg_id}", journey.stops[start], stop, way, departure)
