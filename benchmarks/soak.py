"""Many short jobs on pretended A100 and A6000 nodes while parts of the live service are killed -9 at random.

    python -m benchmarks.soak --jobs 300

Killed are the scheduler's actor, worker nodes, and the replicas of Ray Serve: the HTTP ingress and the predictor. Jobs
are submitted over HTTP by several clients at once, each with a key of its own; a client that gets no answer asks again
by the same key. It prints how many jobs finished, were lost, were made twice by one key and ran twice; the last three
must be 0, or the exit code is 1. A job is lost when it was accepted and does not finish. It ran twice when an attempt
of it began twice, when it ended twice, or when an attempt began while an earlier one still lived. A further kind of
trouble is one more line in `troubles`.

    python -m benchmarks.soak --jobs 60 --flood 300

With --flood the jobs are of several users and of mixed kinds (arrays, torchrun, outputs, secrets), and come twice:
alone, and beside a user who submits so many as fast as may be, at the same seconds of both halves. In both the database
is lost and its disk full for a while. It then prints the 95% quantiles of what each user waited in both halves, too,
for an answer and for GPUs (`benchmarks.flooded_soak`), and how busy the machine was: where all of its cores are busy
without the flood, the waits are of the machine that pretends to be a cluster. --quota-gpus and --quota-jobs are quotas
that each user has.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import Random

from tqdm import tqdm

from benchmarks.flood import MAX_ATTEMPTS
from benchmarks.pretended_service import PretendedService, jobs_of
from benchmarks.troubled_database import installed

AWAY_S = 2.0
"""How long a killed node stays away before one like it joins."""

NODES = {"a1": ("A100", 2), "a2": ("A100", 2), "b1": ("RTX-A6000", 2), "b2": ("RTX-A6000", 2)}


def troubles(service: PretendedService, rng: Random) -> Mapping[str, Callable[[], object]]:
    """What can be done to the service, by name."""
    world = service.world

    def lose_a_node() -> None:
        name = rng.choice(sorted(world.nodes))
        world.lose(name)
        time.sleep(AWAY_S)
        world.nodes[name] = world.add(*NODES[name])

    replicas = {name: partial(service.kill_replica, name) for name in ("ingress", "predictor")}
    return {"scheduler": world.kill_scheduler, "node": lose_a_node, **replicas}


def run_twice(marks: Sequence[tuple[str, str, str]]) -> set[str]:
    """The jobs that ran twice, by the marks (job, attempt, word) that their programs wrote, on each of their nodes."""
    begin_counts = Counter((job, attempt) for job, attempt, word in marks if word == "begins")
    end_counts = Counter((job, attempt.partition("/")[2]) for job, attempt, word in marks if word == "ends")
    twice = {job for counts in (begin_counts, end_counts) for (job, _), times in counts.items() if times > 1}
    return twice | {job for job, _, word in marks if word == "overlaps"}


def submitter(service: PretendedService, seed: int) -> Callable[[int], str]:
    """A function that submits the job of a number, with a client for each thread."""
    local = threading.local()

    def submit(number: int) -> str:
        if not hasattr(local, "client"):
            local.client = service.client()
        seconds = Random(f"{seed}-{number}").uniform(0.1, 1.0)
        return service.submit(local.client, f"soak-{number}", seconds, max_attempts=MAX_ATTEMPTS)

    return submit


def soak(service: PretendedService, jobs: int, clients: int, times: Mapping[str, int], seed: int) -> set[str]:
    """Submit jobs and make trouble, each at a random number of ended jobs; returns the jobs that were accepted."""
    rng = Random(seed)
    due = sorted((rng.randrange(jobs * 9 // 10), name) for name, count in times.items() for _ in range(count))
    acts, bar = troubles(service, rng), tqdm(total=jobs, desc="ended", unit="job")
    submit = submitter(service, seed)
    with ThreadPoolExecutor(clients) as pool:
        futures: list[Future[str]] = [pool.submit(submit, number) for number in range(jobs)]
        while due or not all(future.done() for future in futures):
            bar.update((ended := sum(word == "ends" for *_, word in service.world.marked())) - bar.n)
            while due and due[0][0] <= ended:
                acts[due.pop(0)[1]]()
            time.sleep(0.02)
        return {future.result() for future in futures}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the soak and print what became of the jobs; 1 if one was lost, made twice or ran twice."""
    args = _arguments(argv)
    if args.flood:
        from benchmarks.flooded_soak import flooded  # which looks here for troubles

        return flooded(args)
    times = {name: getattr(args, f"{name}_kills") for name in ("scheduler", "node", "ingress", "predictor")}
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kilowait-soak-") as folder:
        service = PretendedService(Path(folder), "value", **NODES)
        try:
            accepted = soak(service, args.jobs, args.clients, times, args.seed)
            rows = service.world.over(*accepted, timeout_s=args.timeout_s)
            job_rows = jobs_of(service)
        finally:
            service.close()
        twice = run_twice(service.world.marked())
    states = Counter(row["state"] for row in rows)
    lost, surplus = args.jobs - states["finished"], len(job_rows) - args.jobs
    print(f"kills -9        {', '.join(f'{name} {count}' for name, count in times.items())}")
    attempts = sum(len(row["attempts"]) for row in rows)
    print(f"accepted        {len(accepted)} jobs, {attempts} attempts, {time.monotonic() - began_s:.0f} s")
    for reason, count in service.unanswered.most_common():
        print(f"asked again     {count} submissions: {reason}")
    print(f"finished        {states['finished']}")
    print(f"lost            {lost}")
    print(f"made twice      {surplus}")
    print(f"run twice       {len(twice)} {' '.join(sorted(twice))}")
    return 1 if lost or surplus or twice else 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--jobs", type=int, default=300)
    add("--clients", type=int, default=4, help="that submit at once (default 4)")
    add("--scheduler-kills", type=int, default=12, help="kill -9 of the scheduler's actor (default 12)")
    add("--node-kills", type=int, default=2, help="kill -9 of a worker node (default 2)")
    add("--ingress-kills", type=int, default=3, help="kill -9 of the HTTP service's replica (default 3)")
    add("--predictor-kills", type=int, default=3, help="kill -9 of a predictor's replica (default 3)")
    add("--timeout-s", type=float, default=1200.0, help="for what is left when all is submitted (default 1200)")
    add("--flood", type=int, default=0, help="jobs of a user who floods the service (default: none, and no users)")
    add("--flood-s", type=float, default=0.5, help="that each of its jobs takes (default 0.5)")
    add("--boards", type=int, default=2, help="of each of the 4 nodes, with --flood (default 2)")
    add("--quota-gpus", type=int, help="that each user may hold, with --flood (default: no quota)")
    add("--quota-jobs", type=int, help="that may wait of each user, with --flood (default: no quota)")
    kinds = ("postgresql", "sqlite")
    add(
        "--database",
        choices=kinds,
        default=kinds[0] if installed() else kinds[1],
        help="with --flood (default: %(default)s)",
    )
    add("--database-losses", type=int, default=1, help="with --flood: it is killed or locked away (default 1)")
    add("--disk-fulls", type=int, default=1, help="with --flood: its disk is full for a while (default 1)")
    add("--users", type=int, default=4, help="beside the flood (default 4)")
    add("--gap-s", type=float, default=8.0, help="between two jobs of a user, on average (default 8)")
    add("--policy", default="aged(shared(value),7d)", help="beside the flood (default: %(default)s)")
    add("--json", type=Path, help="with --flood: also write all numbers here")
    add("--seed", type=int, default=0)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
