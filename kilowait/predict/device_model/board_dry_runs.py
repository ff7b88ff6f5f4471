"""Dry runs of the small programs that tell a board (`kilowait.measure.board_steps`)."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from kilowait.core.errors import KilowaitError
from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import Completeness, DryRun
from kilowait.predict.interpreter import Interpreter

BUDGET_S = 10.0


def board_dry_runs(program: str, steps: Sequence[tuple[str, int]], interpreter: Interpreter) -> list[DryRun]:
    """A dry run of `program` with each step's kind and size as its arguments, of what happens on the GPU alone.

    Raises KilowaitError for one that is not whole.
    """
    with DryRunner(budget_s=BUDGET_S, target="cuda", interpreter=interpreter) as runner:
        return [_of_gpu(runner.run_program(_program(program, kind, size)), f"{kind} {size}") for kind, size in steps]


def _program(text: str, kind: str, size: int) -> DryProgram:
    name = hashlib.sha256(f"{text}\0{kind}\0{size}".encode()).hexdigest()
    return DryProgram(
        files={"step.py": text.encode()}, entrypoint="step.py", arguments=(kind, str(size)), content_hash=name
    )


def _of_gpu(run: DryRun, name: str) -> DryRun:
    if not run.usable or run.completeness != Completeness.WHOLE:
        raise KilowaitError(f"the dry run of the board's step {name} is {run.completeness}: {run.reason}")
    return replace(run, operations=tuple(op for op in run.operations if op.device == run.target))
