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
from kilowait.predict.dryrun.child.ready_process import ReadyProcess
from kilowait.predict.dryrun.child.worker_messages import DryRunRequest
from kilowait.predict.dryrun.distributed.exchanges import noted
from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.record import Completeness, DryRun, Exchange
from kilowait.predict.dryrun.recorder import MOST_LINES, Recorder
from kilowait.predict.dryrun.sandbox import ROOT, WALL

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
    recorder = Recorder(target=request.target, assumed=request.program.assumed)
    _execute(request, recorder, hand_in, ReadyProcess(recorder, folder / ROOT, _import_time(request)))


def execute_ahead(
    request: DryRunRequest, folder: Path, awaited: Callable[[], DryRunRequest], hand_in: Callable[[DryRun], None]
) -> None:
    """Import `request.ahead` as a program like that of `request` would, then execute the one that is `awaited`.

    They may differ in files and arguments alone.
    """
    recorder = Recorder(target=request.target, assumed=request.program.assumed)
    process = ReadyProcess(recorder, folder / ROOT, _import_time(request))
    with process.importing(request.program, request.ahead or ()):
        asked = awaited()
        process.import_time.leave(asked.budget_s)
        _execute(asked, recorder, hand_in, process)


def _import_time(request: DryRunRequest) -> ImportTime:
    return ImportTime(SPARE_S, request.imports_s, request.imports_s * request.wall / WALL)


def _execute(
    request: DryRunRequest, recorder: Recorder, hand_in: Callable[[DryRun], None], process: ReadyProcess
) -> None:
    start_s = time.perf_counter()
    program, budget_s = request.program, request.budget_s

    def result(reason: str, remedy: str = "") -> DryRun:
        recorder.ends.close()
        seconds = float(time.perf_counter() - start_s)  # of a clock that may be watched already, no plain number
        return _result(program, recorder, reason, remedy, seconds)

    def finish(reason: str) -> None:
        hand_in(result(reason, BUDGET))
        os._exit(0)

    budget_spent = f"the budget of {budget_s:g} CPU seconds was spent"
    _arm(budget_s, budget_s * request.wall, budget_spent, recorder, finish)
    reason = remedy = ""
    try:
        process.run(program)
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
