"""What stays of an attempt once it has ended: its outputs, and the last of its log."""

from pathlib import Path

from kilowait.core.control_characters import LINES, escaped
from kilowait.core.submission import Attempt, Log, Program
from kilowait.live.job_outputs import OutputSettings, OutputStore
from kilowait.measure.joblog import add_to_log, read_log

KEPT_LOG_BYTES = 1 << 18
"""What is kept of a log in the history."""


def keep_outputs(
    outputs: OutputSettings, program: Program, attempt: Attempt, rank: int, folder: Path, log: Path
) -> bool:
    """Copy what the job keeps of its folder, and whether that is all; its log says what was kept, and what it wrote
    that is gone."""
    all_kept = False
    try:
        store = OutputStore(outputs if program.outputs else OutputSettings())  # the latter loads nothing
        kept = store.keep(
            folder, program.outputs, program.files, job_id=attempt.job_id, attempt=attempt.attempt, rank=rank
        )
        said, all_kept = kept.said, not kept.problem
    except Exception as error:  # of a place that is not there: the job has ended all the same
        said = f"[kilowait: its outputs could not be kept: {error}]\n"
    add_to_log(log, escaped(said, LINES).encode())
    return all_kept


def kept_log(log: Path, rank: int) -> Log:
    """The last of what it wrote on a node."""
    written_bytes = sum(path.stat().st_size for path in log.glob("*.log"))
    first, _ = read_log(log, 0, 0)
    begin, data = read_log(log, max(first, first + written_bytes - KEPT_LOG_BYTES), KEPT_LOG_BYTES)
    return Log(rank=rank, first_byte=begin, data=data)
