"""One line by which a program that kilowait runs says how far it is."""

import os
import sys


def progress(step: int, total: int | None = None) -> None:
    """Print `kilowait progress step/total` where a kilowait service runs the program, and nothing anywhere else.

    `step` counts what is done; without a `total` the service needs to know the steps of the whole program otherwise.
    """
    if "KILOWAIT_JOB_ID" in os.environ:
        sys.stdout.write(f"kilowait progress {step}" + ("\n" if total is None else f"/{total}\n"))
        sys.stdout.flush()
