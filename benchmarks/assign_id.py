"""Times the flight splitting of the `traffic` library, in an environment of its own (see `against_traffic.py`).

    python -I benchmarks/assign_id.py positions.parquet

-I keeps this folder, which has a `traffic.py` of its own, off the path. Prints for one process and for two the seconds of the
call alone, by the clock and of the processor, and the flights found, as JSON.
"""

import json
import os
import sys
import time

import pandas as pd
from traffic.core import Traffic


def main() -> None:
    positions = pd.read_parquet(sys.argv[1])
    found = []
    for processes in (1, 2):
        given = Traffic(positions.copy())
        begun, used = time.perf_counter(), sum(os.times()[:4])
        flights = given.assign_id().eval(max_workers=processes)
        seconds, processor = time.perf_counter() - begun, sum(os.times()[:4]) - used
        many = flights.data["flight_id"].nunique()
        found.append({"processes": processes, "seconds": seconds, "processor": processor, "flights": many})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
