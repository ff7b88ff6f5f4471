"""Guards of jobs as a runner starts them."""

import subprocess
import sys
from pathlib import Path

import msgspec

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
