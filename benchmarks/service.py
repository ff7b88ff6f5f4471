"""The live service over HTTP, measured beside an empty route of the same Ray Serve in the same run.

    python -m benchmarks.service --json out/bench/service.json

Four numbers: the latency of a prediction that is known, that of one that is not (a program of about 1,600 tokens, a
new text each time), and how many submissions a second are accepted durably (SQLite, each commit on disk), each in a
request of its own and 50 in one. Everything
runs on this machine, the client too; a ratio to the empty route says what the service adds to Serve's own work.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import ray
import requests
from fastapi import FastAPI
from ray import serve
from ray.cluster_utils import Cluster

from benchmarks.json_record import keep
from benchmarks.stopwatch import timed_ms
from kilowait.core.closed_ray import closed_ray
from kilowait.history.store import Store
from kilowait.history.tokens import Role, create
from serve.app import Options, app
from serve.runner.gang import NAMESPACE
from serve.scheduler.ray_nodes import pretended_node

PORT = 8765
MEMORY_BYTES = 200_000_000
LINE = "loss_{n} = model(batch[{n}], labels[{n}]).mean() * {weight}\n"
BATCH = 50
TOKENS_A_LINE = 24
"""Of the line above, by the embedded model's tokenizer, to within a few percent; `tokens` counts them exactly."""

empty = FastAPI()


@serve.deployment(name="empty", max_ongoing_requests=512, ray_actor_options={"num_cpus": 0})
@serve.ingress(empty)
class Empty:
    """The baseline: a route that does nothing."""

    @empty.get("/")
    def nothing(self) -> dict[str, str]:
        """Nothing."""
        return {}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write the numbers with --json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service", description=__doc__, allow_abbrev=False)
    parser.add_argument("--requests", type=int, default=500, help="of the cached prediction and the empty route each")
    parser.add_argument("--uncached", type=int, default=10, help="new texts of about 1,600 tokens")
    parser.add_argument("--submissions", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=32, help="that submit at once")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, closed_ray(ray, Path(folder, "kilowait.ray-token")):
        results = _measure(args, Path(folder))
    sys.stdout.write(_as_text(results))
    keep(results, args.json)
    return 0


def program(serial: int, tokens: int = 1600) -> str:
    """A text of about so many tokens, another one for each serial."""
    lines = (LINE.format(n=n, weight=serial + n / 8) for n in range(tokens // TOKENS_A_LINE))
    return f"# program {serial}\nimport torch\n" + "".join(lines)


def _measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    with running(folder) as (address, headers):
        return _numbers(args, address, headers)


@contextmanager
def running(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The service on a pretended cluster with one A100, and an empty route beside it: its address, an operator's
    headers. Its history is kept in the folder."""
    head = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": MEMORY_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(**pretended_node("A100", 1, memory_bytes=MEMORY_BYTES))
    try:
        ray.init(address=cluster.address, namespace=NAMESPACE, log_to_driver=False)
        url = f"sqlite:///{folder}/kilowait.db"
        store = Store(url)
        token = create(store, "benchmark", Role.OPERATE, time.time())
        store.close()
        serve.start(http_options={"host": "127.0.0.1", "port": PORT})
        serve.run(Empty.bind(), name="empty", route_prefix="/empty")
        serve.run(app(Options(database=url)), name="kilowait", route_prefix="/")
        yield f"http://127.0.0.1:{PORT}", {"Authorization": f"Bearer {token}"}
    finally:
        serve.shutdown()
        ray.shutdown()
        cluster.shutdown()


def _numbers(args: argparse.Namespace, address: str, headers: dict[str, str]) -> dict[str, Any]:
    session = requests.Session()
    session.headers.update(headers)
    until(lambda: session.get(f"{address}/v1/health").status_code == 200)
    until(lambda: session.get(f"{address}/v1/cluster").json()["types"] != [])

    def predict(text: str) -> None:
        session.post(f"{address}/v1/predict", json={"source": text}).raise_for_status()

    predict(program(0))
    uncached = [timed_ms(lambda n=n: predict(program(n))) for n in range(1, args.uncached + 1)]
    nothing, cached = [], []
    for _ in range(args.requests):  # in turns, so that whatever else runs here slows both
        nothing.append(timed_ms(lambda: session.get(f"{address}/empty/").raise_for_status()))
        cached.append(timed_ms(lambda: predict(program(0))))
    return {
        "provenance": "measured",
        "tokens": _tokens(program(1)),
        "empty_ms": _quantiles(nothing),
        "cached_ms": _quantiles(cached),
        "uncached_ms": _quantiles(uncached),
        "submissions": _submissions(args, address, headers),
    }


def _submissions(args: argparse.Namespace, address: str, headers: dict[str, str]) -> dict[str, Any]:
    """Accepted jobs a second, and empty requests a second by the same clients; the one GPU is taken all the while."""
    blocker = {"source": "import time\ntime.sleep(600)\n"}
    requests.post(f"{address}/v1/jobs", json=blocker, headers=headers, timeout=60).raise_for_status()
    text = {"source": program(0)}

    def submit(session: requests.Session) -> str:
        answer = session.post(f"{address}/v1/jobs", json=text)
        answer.raise_for_status()
        return str(answer.json()["job_id"])

    def nothing(session: requests.Session) -> None:
        session.get(f"{address}/empty/").raise_for_status()

    def submit_batch(session: requests.Session) -> list[str]:
        answer = session.post(f"{address}/v1/jobs:batch", json={"jobs": [text] * BATCH})
        answer.raise_for_status()
        return [str(job["accepted"]["job_id"]) for job in answer.json()["jobs"]]

    rate_of_nothing, _ = _rate(nothing, args.submissions, args.clients, headers)
    rate, job_ids = _rate(submit, args.submissions, args.clients, headers)
    batches, batch_ids = _rate(submit_batch, -(-args.submissions // BATCH), min(4, args.clients), headers)
    job_ids += [job_id for batch in batch_ids for job_id in batch]
    metrics_text = requests.get(f"{address}/metrics", headers=headers, timeout=60).text
    counter_line = next(
        line for line in metrics_text.splitlines() if line.startswith('kilowait_job_events_total{event="submitted"}')
    )
    assert len(set(job_ids)) == len(job_ids) == int(float(counter_line.split()[-1])) - 1, "not all are in the log"
    rates = {"per_s": rate, "batch_per_s": batches * BATCH, "empty_per_s": rate_of_nothing}
    return {"clients": args.clients, "jobs": len(job_ids), "batch": BATCH, **rates}


def _rate(
    call: Callable[[requests.Session], Any], calls: int, clients: int, headers: dict[str, str]
) -> tuple[float, list[Any]]:
    """Calls a second by so many threads, and their answers."""
    sessions = [requests.Session() for _ in range(clients)]
    for session in sessions:
        session.headers.update(headers)
    share = -(-calls // clients)
    counts = [min(share, calls - n * share) for n in range(clients)]

    def work(worker: int) -> list[Any]:
        return [call(sessions[worker]) for _ in range(max(0, counts[worker]))]

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(call, sessions)) if call.__name__ == "nothing" else None
        began_s = time.perf_counter()
        answers = [answer for worker_answers in pool.map(work, range(clients)) for answer in worker_answers]
        return calls / (time.perf_counter() - began_s), answers


def _tokens(text: str) -> int:
    from kilowait.predict.embed.language_model import load_language_model

    return len(load_language_model(depth=1).tokenize(text).ids)


def _quantiles(milliseconds: Sequence[float]) -> dict[str, float]:
    p50, p99 = np.quantile(milliseconds, [0.5, 0.99]).tolist()
    return {"p50": p50, "p99": p99, "requests": len(milliseconds)}


def until(what: Callable[[], bool], timeout_s: float = 120.0) -> None:
    """Wait until a condition holds; raises TimeoutError."""
    deadline_s = time.monotonic() + timeout_s
    while not what():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"the service is not well after {timeout_s} s")
        time.sleep(0.2)


def _as_text(results: dict[str, Any]) -> str:
    empty_ms, cached, new, accepted = (results[k] for k in ("empty_ms", "cached_ms", "uncached_ms", "submissions"))
    lines = [
        "all measured, over HTTP on this machine            p50 ms    p99 ms",
        f"an empty route of Ray Serve                      {empty_ms['p50']:8.1f}  {empty_ms['p99']:8.1f}",
        f"a prediction that is known                       {cached['p50']:8.1f}  {cached['p99']:8.1f}"
        f"   {cached['p50'] / empty_ms['p50']:.1f} times the empty route's",
        f"a new text of {results['tokens']:,} tokens                       {new['p50']:8.1f}  {new['p99']:8.1f}",
        f"submissions accepted durably, {accepted['clients']} clients       {accepted['per_s']:8.0f} a second; "
        f"the empty route {accepted['empty_per_s']:.0f} ({accepted['per_s'] / accepted['empty_per_s']:.2f} of it)",
        f"the same, {accepted['batch']} in a request                     {accepted['batch_per_s']:8.0f} a second",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
