"""Times the flight splitting of the `traffic` library, in an environment of its own (see `against_traffic.py`).

    python -I benchmarks/assign_id.py positions.parquet

-I keeps this folder, which has a `traffic.py` of its own, off the path. Prints by number of processes the seconds of the
call alone and the flights found, as JSON.
"""

import json
import sys
import time
from importlib.metadata import version

import pandas as pd
from traffic.core import Traffic


def main() -> None:
    positions = pd.read_parquet(sys.argv[1])
    found = {}
    for processes in (1, 2):
        begun = time.perf_counter()
        flights = Traffic(positions.copy()).assign_id().eval(max_workers=processes)
        seconds = time.perf_counter() - begun
        found[processes] = {"seconds": seconds, "flights": flights.data["flight_id"].nunique(), "version": version("traffic")}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
