"""Seconds of a decision of defragmenting(simple,0s): python -m benchmarks.defragment [--nodes N] [--json FILE].

N nodes of 8 A100, on each three jobs of two boards that go on from checkpoints, and one job that wants a whole node.
"""

import argparse
import sys
import time
from pathlib import Path

from benchmarks.json_record import keep
from kilowait.cluster.advance import replay
from kilowait.cluster.events import Event, GpusJoined, JobPlaced, JobSubmitted
from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Held, Job, Prediction
from kilowait.policies import POLICIES, Preempt

TOLD = {"A100": Prediction(runtime_s=3600.0, energy_kwh=1.0)}


def world(nodes: int) -> Cluster:
    """The cluster in which the last job waits."""
    events: list[Event] = [GpusJoined(time_s=0.0, node=f"n{n}", gpu_type="A100", gpus=8) for n in range(nodes)]
    for number in range(3 * nodes):
        job = Job(job_id=f"{number}", submit_s=0.0, gpus=2, one_node=True, checkpoint_s=float(number % 50))
        where = (Held(node=f"n{number // 3}", gpus=2),)
        placed = JobPlaced(time_s=0.0, job_id=job.job_id, attempt=1, gpu_type="A100", gpus=2, where=where)
        events += [JobSubmitted(time_s=0.0, job=job, predictions=TOLD), placed]
    wide = Job(job_id="wide", submit_s=1.0, gpus=8, one_node=True)
    return replay([*events, JobSubmitted(time_s=1.0, job=wide, predictions=TOLD)], ("A100",))


def main() -> int:
    """Print the seconds, and how many jobs move."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1500)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cluster, policy = world(options.nodes), POLICIES["defragmenting(simple,0s)"]()
    began_s = time.perf_counter()
    found = policy(cluster)
    taken_s, moved = time.perf_counter() - began_s, sum(isinstance(one, Preempt) for one in found)
    print(f"{options.nodes:,} nodes, {len(cluster.active):,} jobs: {taken_s:.2f} s, {moved} move")
    keep({"nodes": options.nodes, "seconds": taken_s, "moved": moved}, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
