"""How long others wait for their new submissions while one user does what he can to keep them out.

    python -m benchmarks.starvation --json out/bench/starvation.json

Over HTTP on a pretended cluster of this machine, each new text of its own: nobody else there (the baseline, taken
first), then beside sources of 400 KB, 8 MB of environment (refused, again and again) and 200 new sources at once.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import ray
import requests

from benchmarks.json_record import keep
from benchmarks.service import program, running, until
from kilowait.core.closed_ray import closed_ray
from kilowait.predict.standin import MARK, UNREAD

LINE = "x = x + 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + x\n"
MANY = 200
Send = Callable[[dict[str, Any]], requests.Response]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write the numbers with --json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starvation", description=__doc__, allow_abbrev=False)
    parser.add_argument("--submissions", type=int, default=10, help="new sources of the other user, each time")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    with (
        tempfile.TemporaryDirectory() as folder,
        closed_ray(ray, Path(folder, "kilowait.ray-token")),
        running(Path(folder)) as (address, headers),
    ):
        results = _measure(address, headers, args.submissions)
    sys.stdout.write(_as_text(results))
    keep(results, args.json)
    return 0


def _measure(address: str, headers: dict[str, str], submissions: int) -> dict[str, Any]:
    until(lambda: requests.get(f"{address}/v1/health", timeout=60).status_code == 200)
    until(lambda: requests.get(f"{address}/v1/cluster", headers=headers, timeout=60).json()["types"] != [])
    send, others = (_sender(address, headers, owner) for owner in ("eve", "bob"))
    loads: dict[str, tuple[int, Callable[[int], dict[str, Any]]]] = {
        "nobody else": (0, lambda n: {}),
        "400 KB in one line": (2, lambda n: {"source": f"# {n}\nx = 1" + " + 1" * 100_000}),
        "8 MB of environment": (2, lambda n: {"source": f"# {n}", "environment": {"A": "x" * 7_900_000}}),
        f"{MANY} new sources at once": (MANY, lambda n: {"source": f"# many {n}\n{program(n)}"}),
        "400 KB in many lines": (2, lambda n: {"source": f"# {n}\nx = 1\n" + LINE * 8_500}),
    }
    _others(others, 1, 0)  # whatever loads late is loaded now
    results: dict[str, Any] = {"provenance": "measured", "cores": os.cpu_count(), "by_load": {}}
    for number, (name, (threads, asked)) in enumerate(loads.items(), start=1):
        with _load(send, threads, asked) as statuses:
            time.sleep(1.0)
            results["by_load"][name] = _others(others, submissions, number) | {"load_1min": os.getloadavg()[0]}
            results["by_load"][name]["answers_to_the_load"] = dict(statuses)
    return results


def _sender(address: str, headers: dict[str, str], owner: str) -> Send:
    """What submits a job of this owner, who gets a token."""
    asked = {"owner": owner, "role": "submit"}
    token = requests.post(f"{address}/v1/tokens", json=asked, headers=headers, timeout=60).json()["token"]
    own = {"Authorization": f"Bearer {token}"}
    return lambda job: requests.post(f"{address}/v1/jobs", json=job, headers=own, timeout=300)


@contextmanager
def _load(send: Send, threads: int, asked: Callable[[int], dict[str, Any]]) -> Iterator[Counter[int]]:
    """So many threads that send without a pause until the end of the block, each text once; counts the answers."""
    over, statuses = threading.Event(), Counter[int]()

    def work(worker: int) -> None:
        number = worker
        while not over.is_set():
            statuses[send(asked(number)).status_code] += 1
            number += threads

    with ThreadPoolExecutor(max(1, threads)) as pool:
        workers = [pool.submit(work, worker) for worker in range(threads)]
        try:
            yield statuses
        finally:
            over.set()
    for worker in workers:
        worker.result()


def _others(send: Send, submissions: int, number: int) -> dict[str, Any]:
    """Seconds that each of another user's new submissions takes, and how many were predicted by a guess."""
    seconds, guesses = [], 0
    for n in range(submissions):
        began_s = time.perf_counter()
        answer = send({"source": program(number * 1_000_000 + n)})
        seconds.append(time.perf_counter() - began_s)
        assert answer.status_code == 201, answer.text
        guesses += any(one["features"] == UNREAD + MARK for one in answer.json()["by_type"].values())
    return {
        "median_s": float(np.median(seconds)),
        "max_s": max(seconds),
        "submissions": submissions,
        "by_a_guess": guesses,
    }


def _as_text(results: dict[str, Any]) -> str:
    lines = [f"measured, over HTTP, {results['cores']} cores   median s    max s   by a guess   load (1 min)"]
    for name, row in results["by_load"].items():
        lines.append(
            f"{name:28}  {row['median_s']:10.2f} {row['max_s']:8.2f} {row['by_a_guess']:5} of {row['submissions']:<4} "
            f"{row['load_1min']:10.1f}   load answered {row['answers_to_the_load']}"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
