"""How long a scheduler takes to stand where it stood: by the whole log, and by a saved state and what came after.

    python -m benchmarks.restart --events 1000000

A log of made-up jobs is written (`benchmarks.long_log`), a state is saved, a last part of the log written behind it (as
many events as may be behind a state before the next is saved), and a new process each time opens the history: the
scheduler's controller by the whole log and by the state, and the page's mirror by both. Seconds are of the clock, from
opening the database until the cluster stands, all in one run; memory is what the process holds at most. That saving
stops nobody is shown by submissions that go on meanwhile: the longest of them beside the longest before it.
With --postgres URL an empty PostgreSQL database takes the place of an SQLite file.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import func, select

from benchmarks.json_record import keep
from benchmarks.long_log import PROGRAM, LongLog
from benchmarks.stopwatch import timed_ms
from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Job, Prediction
from kilowait.core.submission import Request
from kilowait.history.queries import decoded, events_after
from kilowait.history.saved_states import PIECES
from kilowait.history.store import Store
from kilowait.live import saving
from kilowait.live.controller import Controller
from kilowait.live.saving import EVERY, save, saved_mirror
from kilowait.policies.simple import simple

PAGE = 5_000


def controller(url: str, order: Sequence[str]) -> Cluster:
    """The cluster of a scheduler that begins."""
    return Controller(Store(url), simple(), order=order).cluster


def mirror(url: str, order: Sequence[str]) -> Cluster:
    """The cluster that the page shows."""
    store = Store(url)
    found = saved_mirror(store, "simple", {}, order)
    while events := events_after(store, found.seq, PAGE):
        for event in events:
            found.take(event[0], decoded(event))
    return found.cluster


def saved_now(url: str, order: Sequence[str]) -> None:
    """Save the state, as the service does."""
    save(Store(url), "simple", {}, order, time.time())


WAYS: dict[str, Callable[[str, Sequence[str]], Cluster | None]] = {
    "scheduler": controller,
    "mirror": mirror,
    "save": saved_now,
}


def child(way: str, url: str, types: str) -> None:
    """In a process of its own: save, or begin once by the whole log or not, and say what it took."""
    order, (what, _, whole) = types.split(","), way.partition(":")
    if whole:
        saving.LAYOUT = ""  # of no state
    began_s = time.perf_counter()
    found = WAYS[what](url, order)
    seconds, used = time.perf_counter() - began_s, resource.getrusage(resource.RUSAGE_SELF)
    counts = {"waiting": len(found.waiting), "running": len(found.active), "over": len(found.over)} if found else {}
    peak = {"cpu_s": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}
    print(json.dumps({"seconds": seconds, **peak, **counts}))


def apart(way: str, url: str, order: Sequence[str]) -> dict[str, Any]:
    """What `child` says."""
    words = [sys.executable, "-m", "benchmarks.restart", "--child", way, "--url", url, "--order", ",".join(order)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def submitted(live: Controller) -> float:
    """Milliseconds of one durable submission."""
    predictions = {name: Prediction(runtime_s=60.0, energy_kwh=0.01) for name in live.cluster.order}
    request = Request(job=Job(job_id="", submit_s=0.0, user="ada"), predictions=predictions, program=PROGRAM)
    return timed_ms(lambda: live.submit(request, live.cluster.now_s))


def meanwhile(live: Controller, url: str, order: Sequence[str]) -> tuple[dict[str, Any], list[float]]:
    """What a save in another process took, and milliseconds of each submission until it was over."""
    found, times_ms = dict[str, Any](), list[float]()
    thread = threading.Thread(target=lambda: found.update(apart("save", url, order)))
    thread.start()
    while thread.is_alive():
        times_ms.append(submitted(live))
        time.sleep(0.01)
    return found, times_ms


def measure(url: str, options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    store = Store(url)
    log = LongLog(store, types=options.types, nodes=options.nodes, waiting=options.waiting)
    log.write(options.events - EVERY)
    first = apart("save", url, log.order)
    log.write(EVERY)
    order, seq = log.order, log.seq
    del log
    starts = {way: apart(way, url, order) for what in ("scheduler", "mirror") for way in (f"{what}:whole", what)}
    live = Controller(store, simple(), order=order)
    alone_ms = [submitted(live) for _ in range(300)]
    second, meanwhile_ms = meanwhile(live, url, order)
    (size,) = store.rows(select(func.sum(func.length(PIECES.c.data)) / func.count(PIECES.c.seq.distinct())))
    store.close()
    return {
        "database": url.partition(":")[0],
        "events": seq,
        "types": options.types,
        "nodes": options.nodes,
        "starts": starts,
        "ratios": {
            name: starts[f"{name}:whole"]["seconds"] / starts[name]["seconds"] for name in ("scheduler", "mirror")
        },
        "saves": {"of the whole log": first, f"of {EVERY:,} events": second},
        "saved_mb": float(size[0]) / 1e6,
        "submission_ms": {
            name: {"count": len(times), "median": median(times), "longest": max(times)}
            for name, times in (("alone", alone_ms), ("while a state is saved", meanwhile_ms))
        },
    }


def report(found: dict[str, Any]) -> None:
    """The figures as text."""
    print(f"{found['events']:,} events, {found['database']}, {found['types']} types, {found['nodes']} nodes (measured)")
    for name, start in found["starts"].items():
        what, _, whole = name.partition(":")
        how = "the whole log" if whole else f"a state and {EVERY:,} events"
        print(f"  {what:9} begins by {how:30} {start['seconds']:7.2f} s  {start['peak_mb']:6.0f} MB at most")
    for name, ratio in found["ratios"].items():
        print(f"  {name:9} {ratio:.0f} times as fast")
    for name, save_ in found["saves"].items():
        print(
            f"  saving a state {name:20} {save_['seconds']:7.2f} s, {save_['peak_mb']:.0f} MB, in a process of its own"
        )
    print(f"  a saved state is {found['saved_mb']:.1f} MB in the database")
    for name, times in found["submission_ms"].items():
        print(f"  a submission {name:24} median {times['median']:6.1f} ms, longest {times['longest']:7.1f} ms")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.restart", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--events", type=int, default=1_000_000, help="of the log (default: %(default)s)")
    p.add_argument("--types", type=int, default=4, help="of GPUs (default: %(default)s)")
    p.add_argument("--nodes", type=int, default=64, help="of 8 GPUs (default: %(default)s)")
    p.add_argument("--waiting", type=int, default=2_000, help="jobs in the queue (default: %(default)s)")
    p.add_argument("--postgres", metavar="URL", help="of an empty database")
    p.add_argument("--folder", help="where the SQLite file is made (default: the temporary folder)")
    p.add_argument("--json", type=Path, help="also write all numbers here")
    p.add_argument("--child", help=argparse.SUPPRESS)
    p.add_argument("--url", help=argparse.SUPPRESS)
    p.add_argument("--order", help=argparse.SUPPRESS)
    options = p.parse_args(argv)
    if options.child:
        child(options.child, options.url, options.order)
        return 0
    with tempfile.TemporaryDirectory(prefix="kilowait-restart-", dir=options.folder) as folder:
        found = measure(options.postgres or f"sqlite:///{folder}/kilowait.db", options)
    report(found)
    keep(found, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
