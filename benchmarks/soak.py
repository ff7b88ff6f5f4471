"""Many short jobs on pretended A100 and A6000 nodes while parts of the live service are killed -9 at random.

It prints how many jobs finished, were lost and ran twice; the last two must be 0. A job is lost when it was accepted
and does not finish. It ran twice when an attempt of it began twice, when it ended twice, or when an attempt began while
an earlier one still lived. A further kind of trouble is one more line in `troubles`.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

from tqdm import tqdm

from benchmarks.pretended_cluster import PretendedCluster
from kilowait.submission import Retry

AWAY_S = 2.0
"""How long a killed node stays away before one like it joins."""

NODES = {"a1": ("A100", 2), "a2": ("A100", 2), "b1": ("RTX-A6000", 2), "b2": ("RTX-A6000", 2)}


def troubles(world: PretendedCluster, rng: Random) -> Mapping[str, Callable[[], object]]:
    """What can be done to the service, by name."""

    def lose_a_node() -> None:
        name = rng.choice(sorted(world.nodes))
        world.lose(name)
        time.sleep(AWAY_S)
        world.nodes[name] = world.add(*NODES[name])

    return {"scheduler": world.kill_scheduler, "node": lose_a_node}


def run_twice(marks: list[tuple[str, str, str]]) -> set[str]:
    """The jobs that ran twice, by what they said."""
    begun = Counter((job, attempt) for job, attempt, word in marks if word == "begins")
    ended = Counter(job for job, _, word in marks if word == "ends")
    twice = {job for (job, _), times in begun.items() if times > 1} | {job for job, n in ended.items() if n > 1}
    return twice | {job for job, _, word in marks if word == "overlaps"}


def soak(world: PretendedCluster, jobs: int, times: Mapping[str, int], rng: Random) -> list[str]:
    """Submit jobs and make trouble, each at a random number of ended jobs; returns the jobs that were accepted."""
    due = sorted((rng.randrange(jobs * 9 // 10), name) for name, count in times.items() for _ in range(count))
    acts, accepted = troubles(world, rng), list[str]()
    bar = tqdm(total=jobs, desc="ended", unit="job")
    while len(accepted) < jobs or due:
        if len(accepted) < jobs:
            accepted.append(world.submit(f"soak-{len(accepted)}", rng.uniform(0.1, 1.0), retry=Retry(max_attempts=20)))
        bar.update((ended := sum(word == "ends" for *_, word in world.marked())) - bar.n)
        while due and due[0][0] <= ended:
            acts[due.pop(0)[1]]()
        time.sleep(0.02)
    return accepted


def main() -> None:
    """Run the soak and print what became of the jobs."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: python -m benchmarks.soak --jobs 300")
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--scheduler-kills", type=int, default=12, help="kill -9 of the scheduler's actor (default 12)")
    parser.add_argument("--node-kills", type=int, default=2, help="kill -9 of a worker node (default 2)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    times = {"scheduler": options.scheduler_kills, "node": options.node_kills}
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kilowait-soak-") as folder:
        world = PretendedCluster(Path(folder), policy="value", **NODES)
        try:
            accepted = soak(world, options.jobs, times, Random(options.seed))
            rows = world.over(*accepted, timeout_s=600)
        finally:
            world.close()
        states = Counter(row["state"] for row in rows)
        attempts = sum(len(row["attempts"]) for row in rows)
        twice = run_twice(world.marked())
    print(f"kills -9        {', '.join(f'{name} {count}' for name, count in times.items())}")
    print(f"accepted        {len(set(accepted))} jobs, {attempts} attempts, {time.monotonic() - started_s:.0f} s")
    print(f"finished        {states['finished']}")
    print(f"lost            {len(set(accepted)) - states['finished']}")
    print(f"run twice       {len(twice)} {' '.join(sorted(twice))}")


if __name__ == "__main__":
    main()
