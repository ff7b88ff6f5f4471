"""How long one decision took at an earlier commit, measured now, on this machine, on the same jobs.

    python -m benchmarks.decision_before --json out/bench/decision_before.json

The commit's own files, with this tree's jobs and stopwatch, in a folder that is then gone; each policy and queue is a
process of its own, which is ended after `--limit` seconds (then the times are null: longer than that for so many
decisions). `cpu_ms` is the time of the core alone, p99 of so few decisions is about the longest.
`benchmarks.decision_times` has the same for the tree that it is run from. Measured.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.decision_times import NAMES, WORLDS
from benchmarks.json_record import keep

COMMIT = "60d0755"
"""The last one before estimates were renewed and planners compiled."""
HERE = Path(__file__).parent
ROW = """
import json, sys
from benchmarks.decision import latency
from benchmarks.jobs import Setting
from kilowait.policies import POLICIES
name, types, gpus, waiting, decisions = sys.argv[1], *map(int, sys.argv[2:])
policy = POLICIES[name](kappa=1e-5) if name == "value" else POLICIES[name]()
found = latency(name, policy, Setting(jobs=1, types=types, gpus=gpus), decisions, waiting)
print(json.dumps([found.cpu_p50_ms, found.cpu_p99_ms, found.p99_ms]))
"""


def unpacked(commit: str, folder: Path) -> None:
    """The commit's files there, with this tree's benchmark."""
    packed = subprocess.run(["git", "archive", commit], cwd=HERE.parent, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    for name in ("decision.py", "jobs.py"):
        shutil.copy(HERE / name, folder / "benchmarks" / name)


def row(folder: Path, name: str, world: tuple[int, Any, float], options: argparse.Namespace) -> dict[str, Any]:
    """The times of one policy and queue."""
    waiting, setting, limit_ms = world
    numbers = [str(number) for number in (setting.types, setting.gpus, waiting, options.decisions)]
    command = [sys.executable, "-c", ROW, name, *numbers]
    times: Sequence[float | None] = (None, None, None)
    try:
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, check=True, timeout=options.limit
        )
        times = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        pass
    keys = ("cpu_p50_ms", "cpu_p99_ms", "p99_ms")
    return {
        "policy": name,
        "types": setting.types,
        "waiting": waiting,
        **dict(zip(keys, times, strict=True)),
        "limit_ms": limit_ms,
        "decisions": options.decisions,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.decision_before",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--commit", default=COMMIT, help="(default: %(default)s)")
    p.add_argument("--policies", default=",".join(NAMES), metavar="NAMES", help="(default: %(default)s)")
    p.add_argument("--decisions", type=int, default=10, help="of each policy and queue (default: %(default)s)")
    p.add_argument("--limit", type=float, default=60.0, help="seconds of each (default: %(default)g)")
    p.add_argument("--json", type=Path, help="also write all numbers here")
    options = p.parse_args(argv)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        unpacked(options.commit, folder)
        for name in options.policies.split(","):
            for world in WORLDS:
                rows.append(row(folder, name, world, options))
                print(json.dumps(rows[-1]), flush=True)
    keep(rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
