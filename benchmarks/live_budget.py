"""A run of the real scheduler with holds, power limits and a budget, and the same run in the simulator.

    python -m benchmarks.live_budget --json out/live_budget.json

A Ray cluster of this machine with 3 pretended A100 and 3 pretended A6000, its scheduler, and jobs of 8 to 25 s that
only sleep: every third is urgent, some wait for a better hour of a carbon signal, some go on from checkpoints. The
budget is ordered while they run: 900 W, after 30 s 420 W, after 60 s 1,200 W. The log is then simulated, as
`benchmarks.recorded_run` does: each attempt must be on the same type with the same limits, and begin, or be limited
anew, within --within seconds of it. What is promised follows from the log. Over the budget is what is promised beyond
it: from an order until the scheduler has decided, and until jobs have given way. `held_events` say how often Ray still
held, or gave back, boards of an attempt that was over: the simulator knows nothing of these.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from benchmarks.json_record import keep
from benchmarks.pretended_cluster import PretendedCluster
from kilowait.cluster.advance import advance
from kilowait.cluster.events import Event, GpusHeld
from kilowait.cluster.state import Cluster
from kilowait.core.checkpoints.checkpointing import Checkpointing
from kilowait.core.jobs import PowerLimit, Prediction
from kilowait.core.over_time.signals import Signal
from kilowait.core.submission import Program
from kilowait.history.store import Store
from kilowait.live.deciding import held_to
from kilowait.policies import POLICIES
from kilowait.policies.limiting.promised_watts import BUDGET, promised_w
from kilowait.simulate.recorded import differences, recorded

BUDGETS = ((0.0, 900.0), (30.0, 420.0), (60.0, 1200.0))
GOES_ON = """
import os, signal, sys, time
path, seconds = f"{sys.argv[1]}.{os.environ['KILOWAIT_JOB_ID']}", float(sys.argv[2])
done = float(open(path).read()) if os.path.exists(path) else 0.0
began = time.monotonic()
def leave(*_):
    with open(path, "w") as file:
        file.write(str(done + time.monotonic() - began))
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
time.sleep(max(0.1, seconds - done))
"""


def predictions(rng: random.Random) -> dict[str, Prediction]:
    """8 to 25 s at 200 to 280 W on an A100, a quarter longer at fewer watts on an A6000, with curves of limits."""
    found, seconds, watts = dict[str, Prediction](), rng.uniform(8, 25), rng.choice((200, 240, 280))
    for gpu_type, longer, part in (("A100", 1.0, 1.0), ("A6000", 1.25, 0.8)):
        s, w = seconds * longer, watts * part
        curve = ((5 * round(1.1 * w / 5), 1.0), (0.8 * w, 1.1), (0.6 * w, 1.4))
        limits = tuple(
            PowerLimit(limit_w=limit_w, runtime_s=s * more, energy_kwh=min(limit_w, w) * s * more / 3.6e6)
            for limit_w, more in curve
        )
        found[gpu_type] = Prediction(runtime_s=s, energy_kwh=w * s / 3.6e6, limits=limits)
    return found


def submit(world: PretendedCluster, number: int, rng: random.Random) -> str:
    """A job, which sleeps for as long as is predicted for an A100."""
    told = predictions(rng)
    fields = {"priority": int(number % 3 == 0), "slack_s": 60.0 if number % 4 == 1 else None}
    seconds = told["A100"].runtime_s
    if number % 2:
        return world.submit(f"{number}", seconds, predictions=told, **fields)
    arguments = (str(world.marks), str(seconds))
    program = Program(
        files={"m.py": GOES_ON}, entrypoint="m.py", arguments=arguments, checkpointing=Checkpointing(grace_s=20.0)
    )
    return world.submit(f"{number}", program=program, predictions=told, checkpoint_s=1.0, **fields)


def run(folder: Path, policy: str, jobs: int) -> list[Event]:
    """The log of a run."""
    rng = random.Random(3)
    world = PretendedCluster(folder, policy, look_s=10.0, a=("A100", 3), b=("RTX-A6000", 3))
    try:
        world.until(lambda: sum(world.ask("snapshot").free.values()) == 6)
        began_s, ids = time.time(), list[str]()
        times_s = (began_s, began_s + 35, began_s + 70)
        ends_s = began_s + 86400
        world.ask("order", Signal(name="carbon", times_s=times_s, values=(500.0, 200.0, 500.0), ends_s=ends_s))
        happens = sorted([*((at, watts) for at, watts in BUDGETS), *((1.0 + 3.0 * k, None) for k in range(jobs))])
        for at_s, watts in happens:
            time.sleep(max(0.0, began_s + at_s - time.time()))
            if watts is None:
                ids.append(submit(world, len(ids), rng))
            else:
                signal = Signal(name=BUDGET, times_s=(time.time() - 1,), values=(watts,), ends_s=ends_s)
                world.ask("order", signal)
        world.over(*ids)
        store = Store(world.url)
        events = [event for _, event in store.events()]
        store.close()
        return events
    finally:
        world.close()


def over_budget_s(events: Sequence[Event]) -> tuple[float, float]:
    """Seconds for which more was promised than the budget, and the most that was in the end promised of it."""
    cluster, over_s, most = Cluster(order=("A100", "A6000")), 0.0, 0.0
    for event, later in pairwise(events):
        advance(cluster, event)
        if BUDGET in cluster.signals and cluster.total:
            part = promised_w(cluster) / cluster.signals[BUDGET].at(event.time_s)
            over_s += later.time_s - event.time_s if part > 1 + 1e-9 else 0.0
            most = max(most, part if part <= 1 + 1e-9 else 0.0)
    return over_s, most


def main() -> int:
    """Run, simulate, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="flexible(urgent(simple),0s)")
    parser.add_argument("--jobs", type=int, default=15)
    parser.add_argument("--within", type=float, default=3.0, metavar="S")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        events = run(Path(folder), args.policy, args.jobs)
    held = [event for event in events if isinstance(event, GpusHeld)]
    live = recorded(event for event in events if not isinstance(event, GpusHeld))
    found = differences(live, live.simulated(held_to(POLICIES[args.policy]())), args.within)
    kinds = Counter(type(event).__name__ for event in events)
    over_s, most = over_budget_s(events)
    counts = {
        "jobs": len(live.submitted),
        "attempts": kinds["JobPlaced"],
        "limited_anew": kinds["LimitSet"],
        "gave_way": kinds["JobPreempted"],
        "postponed": kinds["JobPostponed"],
        "held_events": len(held),
        "differ": len(found),
        "within_s": args.within,
        "over_budget_s": round(over_s, 3),
        "most_of_budget": round(most, 4),
        "span_s": round(events[-1].time_s - events[0].time_s, 1),
    }
    print("\n".join([*found, ", ".join(f"{name} {value}" for name, value in counts.items())]))
    keep({"policy": args.policy, **counts}, args.json)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
