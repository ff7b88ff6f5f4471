"""How much memory a sample takes, from a second dry run where the program states its batch, else from the first."""

from kilowait.predict.board_memory.largest_batch import BatchLine, line_of_one, line_of_two
from kilowait.predict.dry_run_access import DryRunAccess
from kilowait.predict.dry_runs import DryRuns
from kilowait.predict.dryrun.record import DryRun
from kilowait.program.job_source import JobSource
from kilowait.program.stated_batch import StatedBatch, stated_batch, with_batch


def batch_line(source: JobSource, run: DryRun, dry_runs: DryRuns, access: DryRunAccess) -> BatchLine | None:
    """The line of a program on GPUs, whose dry run is `run`; None where nothing tells how its memory grows."""
    stated = stated_batch(source)
    line = _of_second(source, stated, run, dry_runs, access) if stated else None
    return line or line_of_one(run)


def _of_second(
    source: JobSource, stated: StatedBatch, run: DryRun, dry_runs: DryRuns, access: DryRunAccess
) -> BatchLine | None:
    """Twice the batch, or half of it where that does not run: data may be too few for a batch so large."""
    for size in (2 * stated.size, stated.size // 2):
        if size < 1:
            continue
        second = dry_runs.submit(with_batch(source, stated, size), access).result().usable
        if second and (line := line_of_two(run, second, (stated.size, size), stated.how)):
            return line
    return None
