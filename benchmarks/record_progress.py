"""Record what trainings write, and when: python -m benchmarks.record_progress FOLDER [KIND ...] [--seconds 140].

Each of `benchmarks.trainings` runs alone in one thread; of what it writes, the end of every twentieth of a second is
kept with two clocks: the wall's since its start, and the processor time of all its threads, which others on the same
machine change little. A file a training, `KIND.json`.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

EVERY_S, KEPT = 0.05, 1000


def processor_s(pid: int) -> float:
    """Seconds that the threads of a process have had of the processors; 0 once it has ended."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except (OSError, IndexError):
        return 0.0


def recorded(kind: str, seconds: float) -> dict[str, object]:
    """Run a training, and return what it wrote when."""
    command = [sys.executable, "-m", "benchmarks.trainings", kind, str(seconds)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    began_s = time.perf_counter()
    job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
    assert job.stdout is not None
    pieces: list[tuple[float, float, str]] = []
    cpu_s = 0.0
    while chunk := os.read(job.stdout.fileno(), 1 << 16):
        wall_s, cpu_s = time.perf_counter() - began_s, max(cpu_s, processor_s(job.pid))
        text = chunk.decode(errors="replace")
        if pieces and wall_s - pieces[-1][0] < EVERY_S:
            text = pieces.pop()[2] + text
        pieces.append((round(wall_s, 3), round(cpu_s, 3), text if len(text) < 2 * KEPT else text[:KEPT] + text[-KEPT:]))
    _, status, usage = os.wait4(job.pid, 0)
    ended = {"wall_s": time.perf_counter() - began_s, "cpu_s": usage.ru_utime + usage.ru_stime, "status": status}
    return {"kind": kind, **ended, "pieces": pieces}


def main() -> None:
    """Record the trainings named, or all, one after the other."""
    from benchmarks.trainings import KINDS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("kinds", nargs="*", default=[kind.__name__ for kind in KINDS])
    parser.add_argument("--seconds", type=float, default=140.0)
    options = parser.parse_args()
    for kind in options.kinds:
        record = recorded(kind, options.seconds)
        (options.folder / f"{kind}.json").write_text(json.dumps(record))
        print(kind, round(float(str(record["wall_s"])), 1), round(float(str(record["cpu_s"])), 1), record["status"])


if __name__ == "__main__":
    main()
