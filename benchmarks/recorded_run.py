"""Does the simulator place what a live scheduler placed? python -m benchmarks.recorded_run DATABASE [--policy NAME].

Reads the log of a history, simulates the same jobs on the same nodes with the same signals under the policy, and prints
each attempt that is on another type or began at another time. A live attempt begins once its decision was taken and
written, so times are compared to within `--within` seconds.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.json_record import keep
from kilowait.history.store import Store
from kilowait.live.deciding import held_to
from kilowait.policies import DEFAULT_POLICY, POLICIES
from kilowait.simulate.recorded import differences, recorded


def main() -> int:
    """Print what differs, and keep the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", help="a URL, as sqlite:///kilowait.db")
    parser.add_argument("--policy", default=DEFAULT_POLICY, help="what the service ran (default: %(default)s)")
    parser.add_argument("--within", type=float, default=1.0, metavar="S", help="seconds (default: %(default)s)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    live = recorded(event for _, event in Store(options.database).events())
    found = differences(live, live.simulated(held_to(POLICIES[options.policy]())), options.within)
    attempts = sum(map(len, live.stints.values()))
    print("\n".join([*found, f"{len(live.submitted)} jobs, {attempts} attempts: {len(found)} differ"]))
    counts = {"jobs": len(live.submitted), "attempts": attempts, "differ": len(found)}
    keep({"policy": options.policy, **counts}, options.json)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
