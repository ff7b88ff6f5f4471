"""`sbatch` and `srun` themselves, run with what was added to their words."""

import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from kilowait.advise.slurm.submission_plan import SubmissionPlan
from kilowait.core.errors import InputError

REFUSALS = ("Batch job submission failed", "Failed to validate job spec", "unrecognized option")
"""What sbatch writes where it did not submit."""
_UNSURE = re.compile(
    r"timed out|unable to contact|zero bytes|connection|transport|transmi|insane message", re.IGNORECASE
)
"""Of refusals those that tell of a controller that did not answer: it may have taken the job all the same."""


def submit(planned: SubmissionPlan, stdin: str | None, environment: Mapping[str, str]) -> int:
    """The exit code of Slurm's command; where sbatch refuses what was added it is run once more without.

    `environment` is what the job inherits. Raises InputError where there is no such command.
    """
    command = planned.request.command
    try:
        if command == "srun":
            return _srun([command, *planned.words], environment)
        code, refused = _sbatch([command, *planned.words], stdin, environment)
        if refused and planned.additions:
            code, _ = _sbatch([command, *replace(planned, additions=()).words], stdin, environment)
            if code == 0:
                sys.stderr.write("kilowait: warning: Slurm refuses what was added; submitted as it was written\n")
        return code
    except FileNotFoundError as error:
        raise InputError(f"{command}: not on this machine; run this where Slurm's commands are") from error


def _srun(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Its exit code; the first Ctrl-C only makes srun ask, so this process must not end it."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        return _shown(subprocess.run(words, env=environment).returncode)
    finally:
        signal.signal(signal.SIGINT, before)


def _sbatch(words: Sequence[str], stdin: str | None, environment: Mapping[str, str]) -> tuple[int, bool]:
    """(exit code, whether Slurm refused the submission for certain); what it writes is passed on."""
    given = subprocess.DEVNULL if stdin is None else subprocess.PIPE
    with subprocess.Popen(
        words, stdin=given, stderr=subprocess.PIPE, text=True, errors="surrogateescape", env=environment
    ) as running:
        assert running.stderr is not None
        if running.stdin is not None:
            with suppress(BrokenPipeError):
                running.stdin.write(stdin or "")
            with suppress(BrokenPipeError):
                running.stdin.close()
        said = []
        for line in running.stderr:
            said.append(line)
            sys.stderr.write(line)
    refused = any(refusal in line for line in said for refusal in REFUSALS)
    return _shown(running.returncode), bool(refused and running.returncode and not _UNSURE.search("".join(said)))


def _shown(code: int) -> int:
    """As a shell shows it where a signal ended the command."""
    return code if code >= 0 else 128 - code
