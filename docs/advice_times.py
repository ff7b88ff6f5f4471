"""Keep docs/results/advice_times.json: `python docs/advice_times.py` (as root, on a quiet machine; needs port 8000).

Starts a service on pretended GPUs and a Slurm of its own with an empty queue, times `benchmarks.advice_times` beside
them, and ends them.
"""

import os
import subprocess
import sys
from pathlib import Path

from service_session import served
from sessions import ROOT

sys.path.insert(0, str(ROOT))
from tests.support.slurm_cluster import slurm

TITLE = "From the command to the answer, with the service up"
BENCHMARK = "python -m benchmarks.advice_times examples/train_resnet.py --repeats 7 --json {json}"


def main() -> int:
    """The exit code of the benchmark."""
    with served() as (_, service), slurm() as cluster:
        variables = {**service, "SLURM_CONF": cluster.environment["SLURM_CONF"]}
        keep = [sys.executable, str(Path(__file__).with_name("record.py")), "advice_times", "--provenance", "measured"]
        words = [*keep, "--title", TITLE, "--", *BENCHMARK.split()]
        return subprocess.run(words, cwd=ROOT, env={**os.environ, **variables}).returncode


if __name__ == "__main__":
    sys.exit(main())
