"""Run one program dry in this process, within a budget of CPU seconds; what comes out is always a DryRun.

CPU seconds, so that a program's dry run ends at the same operation however busy the machine is.

Only for a child that does nothing else: the program's code is executed here.
"""

from __future__ import annotations

import os
import platform
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import torch

from kilowait.predict.dryrun.child.ending import (
    BUDGET,
    place_of,
    progress,
    ranks_wanted,
    reason_of,
    remedy_for,
    unbounded_by,
)
from kilowait.predict.dryrun.child.import_time import ImportTime
from kilowait.predict.dryrun.child.variables import give_variables, watch_variables
from kilowait.predict.dryrun.child.worker_messages import DryRunRequest
from kilowait.predict.dryrun.distributed.exchanges import noted
from kilowait.predict.dryrun.distributed.world import pretend_world
from kilowait.predict.dryrun.dry_program import DryProgram, is_forward
from kilowait.predict.dryrun.forward import record_forward
from kilowait.predict.dryrun.pretend.fused_kernels import pretend_kernels
from kilowait.predict.dryrun.pretend.libraries import pretend_libraries
from kilowait.predict.dryrun.record import Completeness, DryRun, Exchange
from kilowait.predict.dryrun.recorder import MOST_LINES, Recorder
from kilowait.predict.dryrun.sandbox import ROOT, WALL
from kilowait.predict.dryrun.script import record_script
from kilowait.predict.dryrun.standins.stand_in import stand_in

AGAIN_S = 0.02
"""A program that swallows the end of its time is told again after so long."""
PATIENCE = 5
"""How often it is told; then its record is handed in as it stands."""
SPARE_S = 3.0
"""So long above its budget the limit of CPU time stands, for a program that does not hear it."""


class _BudgetSpent(BaseException):
    """The program's time is over; not an Exception, so that programs rarely catch it."""


def execute(request: DryRunRequest, folder: Path, hand_in: Callable[[DryRun], None]) -> None:
    """Write the program's files into `folder`, run it dry on its target, and hand in the result once.

    A program that catches even the end of its time does not return from here: the process ends.
    """
    start_s = time.perf_counter()
    program, budget_s = request.program, request.budget_s
    recorder = Recorder(target=request.target, assumed=program.assumed)

    def result(reason: str, remedy: str = "") -> DryRun:
        recorder.ends.close()
        return _result(program, recorder, reason, remedy, time.perf_counter() - start_s)

    def finish(reason: str) -> None:
        hand_in(result(reason, BUDGET))
        os._exit(0)

    budget_spent = f"the budget of {budget_s:g} CPU seconds was spent"
    _arm(budget_s, budget_s * request.wall, budget_spent, recorder, finish)
    import_time = ImportTime(SPARE_S, request.imports_s, request.imports_s * request.wall / WALL)
    reason = remedy = ""
    try:
        _run(recorder, program, folder, import_time)
    except BaseException as error:
        _disarm()
        spent = isinstance(error, _BudgetSpent)
        place = place_of(error.__traceback__)
        reason = budget_spent + (f" ({place})" if place else "") if spent else reason_of(error)
        remedy = BUDGET if spent else remedy_for(error)
        recorder.ends.ranks_needed = 0 if spent or recorder.steps else ranks_wanted(error)
    _disarm()
    hand_in(result(reason, remedy))


def _arm(budget_s: float, wall_s: float, budget_spent: str, recorder: Recorder, finish: Callable[[str], None]) -> None:
    signal_count = 0

    def end(_signal: int, _frame: FrameType | None) -> None:
        nonlocal signal_count
        signal_count += 1
        recorder.stopping = True
        if signal_count > PATIENCE:
            finish(budget_spent)
        raise _BudgetSpent

    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, end)
    signal.setitimer(signal.ITIMER_PROF, budget_s, AGAIN_S)
    signal.setitimer(signal.ITIMER_REAL, wall_s, AGAIN_S)


def _disarm() -> None:
    for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
        signal.setitimer(timer, 0)


def _run(recorder: Recorder, program: DryProgram, folder: Path, import_time: ImportTime) -> None:
    folder = folder / ROOT
    for name, data in program.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    give_variables(program.environment, folder.parents[1])
    start = folder / program.folder
    start.mkdir(parents=True, exist_ok=True)
    os.chdir(start)
    entrypoint = folder / program.entrypoint
    pretend_kernels(recorder)
    pretend_libraries(recorder)
    import_time.install()
    watch_variables({program.entrypoint, entrypoint.name, *program.files}, recorder.unset_variable)
    pretend_world(recorder)
    stand_in(recorder, folder)  # after the packages that are known better
    text = program.files[program.entrypoint].decode("utf-8-sig")
    if is_forward(text):
        recorder.parameters = record_forward(recorder, text, program.entrypoint)
    else:
        record_script(recorder, entrypoint, program.arguments, import_time, folder)


def _result(program: DryProgram, recorder: Recorder, reason: str, remedy: str, seconds: float) -> DryRun:
    operations = recorder.operations()
    unbounded = unbounded_by(recorder, bool(reason))
    if not reason:
        for place in recorder.ends.interrupted:
            recorder.guess(f"an error that the program caught ended a loop: {place}, which was taken to its end")
    parts = [reason, progress(recorder) if reason and operations else "", *recorder.guesses]
    explanation = "; ".join(filter(None, [*parts, *recorder.ends.unbounded]))[:1000]
    if not operations:
        completeness, explanation = Completeness.FAILED, explanation or "it does nothing with tensors"
    else:
        completeness_at_end = Completeness.GUESSED if recorder.guesses else Completeness.WHOLE
        cut_short = reason or (unbounded and not recorder.ends.limit_s)
        completeness_at_end = Completeness.GUESSED if recorder.ends.limit_s else completeness_at_end
        completeness = Completeness.PARTIAL if cut_short else completeness_at_end
    return DryRun(
        content_hash=program.content_hash,
        target=recorder.target,
        completeness=completeness,
        reason=explanation,
        operations=operations,
        steps=recorder.steps,
        parameters=recorder.parameters,
        peak_memory_bytes=recorder.tensors.peak_bytes,
        footprint=recorder.tensors.footprint,
        seconds=seconds,
        assumptions=tuple(recorder.assumptions),
        assumed_how=tuple(recorder.assumptions.values()),
        missing=(*recorder.missing, *recorder.unmodelled.lines(recorder.tallies.root.counts))[:MOST_LINES],
        unset=tuple(recorder.unset),
        samples=recorder.tallies.root.samples,
        limit_s=recorder.ends.limit_s,
        unbounded=unbounded,
        remedy=remedy,
        interpreter=f"Python {platform.python_version()}, torch {torch.__version__}",
        gpus_needed=max(recorder.ends.ranks_needed, 0 if operations else recorder.ends.gpus_needed),
        world=max(1, recorder.world),
        exchanges=tuple(
            Exchange(op=op, dtype=dtype, bytes=size, count=count, ranks=ranks)
            for op, dtype, size, count, ranks in noted(recorder)
        ),
    )
