"""Dry runs of the programs of steps, kept in a folder so that each is made once."""

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from kilowait.core.errors import InputError
from kilowait.lab.evaluate.dry_run_shards import read_dry_runs, write_dry_runs
from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import DryRun
from kilowait.predict.interpreter import OWN, Interpreter

SHARD = 16
TARGET = "cuda"


def step_dry_runs(
    programs: Iterable[DryProgram],
    folder: Path,
    *,
    budget_s: float,
    unsafe: bool = False,
    interpreter: Interpreter = OWN,
) -> dict[str, DryRun]:
    """The dry runs of programs by content hash, from `folder` where they are, else made and written there.

    A run that failed is kept too, with its reason: delete its shard to try again.
    """
    wanted = {program.content_hash: program for program in programs}
    known = _known(folder)
    todo = [program for content_hash, program in wanted.items() if content_hash not in known]
    if todo:
        with DryRunner(budget_s=budget_s, target=TARGET, unsafe=unsafe, interpreter=interpreter) as runner:
            for start in tqdm(range(0, len(todo), SHARD), desc="dry runs", unit="shard", file=sys.stderr):
                made = [_bare(runner.run_program(program)) for program in todo[start : start + SHARD]]
                write_dry_runs(folder, made)
                known |= {run.content_hash: run for run in made}
    return {content_hash: known[content_hash] for content_hash in wanted}


def _known(folder: Path) -> dict[str, DryRun]:
    try:
        return read_dry_runs(folder, TARGET)
    except InputError:
        if any(folder.glob("*.parquet")):
            raise
        return {}


def _bare(run: DryRun) -> DryRun:
    """Only what happens on the target: the making of weights on the host is no part of a step."""
    return replace(run, operations=tuple(op for op in run.operations if op.device == run.target))
