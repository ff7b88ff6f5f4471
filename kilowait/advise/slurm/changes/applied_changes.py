"""Changes of Slurm's queue, each written down before it is made."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from kilowait.advise.slurm.changes.exchanged_places import ExchangedPlace
from kilowait.advise.slurm.changes.lowered_limits import LoweredLimit
from kilowait.advise.slurm.slurm_commands import Run, output_of
from kilowait.core.errors import ServiceError

MOST = 100
"""Changes of one kind in one run: each is a request to the controller, which holds a lock meanwhile."""
Changes = Sequence[LoweredLimit] | Sequence[ExchangedPlace]


def apply_changes(changes: Changes, log: Path, now_s: float, run: Run = output_of) -> dict[str, str]:
    """Ask Slurm for each, and log it; returns why those were not made that were not, by job id.

    From the first on that Slurm refuses, others of its group are not asked for. Raises OSError where nothing can be
    written: then nothing more is changed.
    """
    refused: dict[str, str] = {}
    ended: dict[str, str] = {}
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with log.open("a", encoding="utf-8") as file:
        for change in changes[:MOST]:
            job = change.job
            if change.together in ended:
                refused[job.job_id] = f"left, since job {ended[change.together]} was refused"
                continue
            record = {"time_s": now_s, "job_id": job.job_id, "user": job.user, **change.record}
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())
            try:
                run(["scontrol", "update", f"JobId={job.job_id}", change.asked])
            except ServiceError as error:
                refused[job.job_id], ended[change.together] = str(error), job.job_id
                file.write(json.dumps({**record, "refused": str(error)}) + "\n")
    return refused
