"""Changes of Slurm's queue, each written down before it is made."""

import json
import os
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO, TypeVar

from kilowait.advise.slurm.changes.exchanged_places import MOST, ExchangedPlace
from kilowait.advise.slurm.changes.lowered_limits import LoweredLimit
from kilowait.advise.slurm.slurm_commands import Run, output_of
from kilowait.core.errors import ServiceError

Change = LoweredLimit | ExchangedPlace
Changes = Sequence[Change]
C = TypeVar("C", LoweredLimit, ExchangedPlace)


def of_one_run(changes: Sequence[C]) -> list[C]:
    """The first MOST of one kind: each is a request to the controller, which holds a lock meanwhile.

    Those that belong together are all of them in it, or none.
    """
    chosen = list[C]()
    for _, together in groupby(changes, key=lambda change: change.together):
        group = list(together)
        chosen += group if len(chosen) + len(group) <= MOST else []
    return chosen


def apply_changes(changes: Changes, log: Path, now_s: float, run: Run = output_of) -> dict[str, str]:
    """Ask Slurm for each, and log it; returns why those were not made that were not, by job id.

    Where Slurm refuses one that others belong to, these are taken back, and the rest of them is not asked for. Raises
    OSError where nothing can be written: then nothing more is changed.
    """
    refused: dict[str, str] = {}
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with log.open("a", encoding="utf-8") as file:
        for _, together in groupby(changes, key=lambda change: change.together):
            refused |= _apply_together(list(together), file, now_s, run)
    return refused


def _apply_together(group: Changes, file: TextIO, now_s: float, run: Run) -> dict[str, str]:
    """Make all of them; or none, where one is refused: returns why not, by job id."""
    for place, change in enumerate(group):
        job_id = change.job.job_id
        if (problem := _asked(change, change.asked, change.record, file, now_s, run)) is not None:
            for made in reversed([one for one in group[:place] if isinstance(one, ExchangedPlace)]):
                _asked(made, made.as_before, {**made.record, "taken_back": True}, file, now_s, run)
            left = {one.job.job_id: f"left, since job {job_id} was refused" for one in group}
            return {**left, job_id: problem}
    return {}


def _asked(change: Change, words: str, record: Mapping[str, Any], file: TextIO, now_s: float, run: Run) -> str | None:
    """Log it and ask for it; what Slurm says where it refuses."""
    job = change.job
    written = {"time_s": now_s, "job_id": job.job_id, "user": job.user, **record}
    file.write(json.dumps(written) + "\n")
    file.flush()
    os.fsync(file.fileno())
    try:
        run(["scontrol", "update", f"JobId={job.job_id}", words])
    except ServiceError as error:
        file.write(json.dumps({**written, "refused": str(error)}) + "\n")
        return str(error)
    return None
