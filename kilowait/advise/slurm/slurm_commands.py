"""Slurm's own commands, asked for what they know: quickly, or not at all."""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence

from kilowait.core.errors import ServiceError

WITHIN_S = 10.0
"""A controller that is busy answers in seconds; one that is down makes its commands wait for minutes."""


Run = Callable[[Sequence[str]], str]
"""The words of a command -> what it prints; raises ServiceError."""


def output_of(
    words: Sequence[str],
    within_s: float = WITHIN_S,
    where: str = "where Slurm's commands are",
    doubt: str = "is Slurm's controller up? scontrol ping",
) -> str:
    """What a command prints; raises ServiceError, naming it, where it is missing, fails or takes too long.

    `where` it is to be found and what to `doubt` when it does not answer are said then.
    """
    if shutil.which(words[0]) is None:
        raise ServiceError(f"{words[0]}: not on this machine; run this {where}")
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", timeout=within_s, env={**os.environ, "TZ": "UTC0"}
        )
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"{words[0]}: no answer in {within_s:g} s; {doubt}") from error
    if done.returncode != 0:
        raise ServiceError(f"{words[0]}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'failed'}")
    return done.stdout
