"""Guards of jobs as a runner starts them."""

import subprocess
import sys
import time
from pathlib import Path

import msgspec

from kilowait.measure.joblog import read_log
from kilowait.measure.outcome import RunOutcome

ROOT = Path(__file__).parents[2]
WITHOUT_GROUPS = (
    "import sys; from kilowait.measure import confinement, ward\n"
    "confinement.find_parents = lambda: None\nsys.argv[1:] = []\nward.main()"
)


def started_ward(order, *, groups=True):
    """A guard that has its order; without `groups` it is one on a machine where no control group can be made.

    Its files are for its user alone, as those of a service are.
    """
    command = ["-m", "kilowait.measure.ward"] if groups else ["-c", WITHOUT_GROUPS]
    process = subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        umask=0o077,
    )
    process.stdin.write(msgspec.json.encode(order) + b"\n")
    process.stdin.flush()
    return process


def ended_well(order):
    """Run a job under a guard to its end, which is a good one."""
    ward = started_ward(order)
    outcome = RunOutcome.from_json(ward.stdout.readline().decode())
    ward.communicate()
    assert (outcome.exit_code, outcome.failure) == (0, None)


def written(log, text):
    """Return once a log holds this."""
    deadline_s = time.monotonic() + 300
    while text not in read_log(log)[1]:
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
