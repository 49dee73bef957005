"""flightwatch: rebuilds flights from what receivers hear, and tells people of the rare ones.

Data flow one way, and the folders are the flow:

    feeds -> store -> legs -> rarity -> rules -> alerts -> deliveries

    records      the tables and records that the stages hand each other; nothing else is shared
    documents    YAML files that people write; config: the settings in them; errors: what can go wrong
    services     public services that feeds come from: paths, pace, terms
    places       airports, countries, great circles, coastlines
    aircraft     who is this address, what can this type do, who is on which list
    feeds        bytes to snapshots: live feeds and files
    store        snapshots and legs on disk, durable
    legs         positions to legs, journeys and visits; where it came from and where it went
    rarity       how often that happened before, as far as anybody was looking
    rules        what somebody wants to be told about
    alerts       what people are told about one visit; the outbox
    deliveries   Slack, e-mail, console
    maps         pictures, offline
    pipeline     the one composition of the stages
    backfill     drives it with what is stored; live: with what arrives; desk: what messages say of the store
    backtesting  what rules would have found in what is stored; reports: tells people of it
    explore      what notebooks import
    doctor       how a flightwatch is, from outside; replaying: drives live with a recording
    cli          the commands; demo: the reference case from end to end; testing: the fakes, shipped

Start reading at `pipeline`, then at whichever folder's `__init__` the question lies in.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("flightwatch")
except PackageNotFoundError:  # a checkout that was not installed
    __version__ = "0"
