"""Dry runs beside other work: a thread waits for the sandboxed worker while this process embeds the same source.

Nothing here raises for what a program does or for a machine without a sandbox: the outcome says what there is.
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from kilowait.core.errors import InputError
from kilowait.core.hardware import GPU_TYPES
from kilowait.predict.assumed import lines
from kilowait.predict.board_memory.memory_need import memory_need
from kilowait.predict.dry_run_access import NOTHING, DryRunAccess
from kilowait.predict.dryrun.dry_program import DryProgram, is_forward
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import Completeness, DryRun
from kilowait.predict.interpreter import OWN, Interpreter
from kilowait.predict.worker_pair import WorkerPair
from kilowait.program.environment import in_dry_run
from kilowait.program.job_source import JobSource
from kilowait.program.source import Source

BUDGET_S = 15.0
"""CPU seconds that a program's dry run gets where nothing else is said."""
WAITING = {"OMP_WAIT_POLICY": "passive"}
"""For the environment of a process that embeds beside a dry run, before PyTorch loads: threads of the language model
that wait for each other would else spin on the core that the dry run needs (0.87 s against 1.09 s, 2 threads, 2 cores).
"""
OFF = "off"
FEATURES = "dry-run"
"""What stands for the features in a prediction that no embedding enters."""
TARGETS = {"cuda": "GPU", "cpu": "CPU"}
NEEDS = {"cuda": "predictions for GPU types need", "cpu": "predictions from its operations need"}
_UNITS = (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRunOutcome:
    """What became of a program's dry run: `run` where one was made, else why not (`off`).

    `forward` says that the program is one forward pass, so that its times are too.
    """

    run: DryRun | None = None
    off: str = ""
    forward: bool = False

    @property
    def usable(self) -> DryRun | None:
        """The dry run, where it has work on its target to predict from and came far enough."""
        run = self.run
        return run if run is not None and run.usable and self._far_enough and _on_target(run) else None

    @property
    def _far_enough(self) -> bool:
        """Whole, past the first optimizer step in loops that have an end, or a forward pass with guessed sizes."""
        run = self.run
        if run is not None and run.unbounded and not run.limit_s:
            return False
        guessed = self.forward and run is not None and run.completeness == Completeness.GUESSED
        return self.whole or guessed or (run is not None and bool(run.steps))

    @property
    def whole(self) -> bool:
        """Whether every operation was seen or stands under a weight."""
        return self.run is not None and self.run.completeness == Completeness.WHOLE

    @property
    def summary(self) -> str:
        """One line: what it found, or why there is nothing."""
        if self.run is None:
            return f"off: {self.off}"
        run, needs = self.run, NEEDS[self.run.target]
        if not run.usable:
            return f"failed: {run.reason}; {needs} it{_remedy(run)}"
        if not _on_target(run):
            return f"{run.completeness}: nothing in it runs on a {TARGETS[run.target]}; {needs} that"
        if not self._far_enough and run.unbounded:
            lack = "" if run.unbounded in run.reason else f"; {run.unbounded}"
            return f"{run.completeness}: {run.reason}{lack}; {needs} a known number of steps{_remedy(run)}"
        if not self._far_enough:
            return f"{run.completeness}: {run.reason}; no optimizer step was seen; {needs} one{_remedy(run)}"
        facts = ["whole" if self.whole else f"{run.completeness}: {run.reason}"]
        until = f"as many steps as fit in its limit of {run.limit_s:,.0f} s"
        facts += [until] if run.unbounded else [f"{run.steps:,.0f} optimizer steps"] if run.steps else []
        facts += ["one forward pass"] if self.forward else []
        facts += [f"{scaled(totals(run)['flops'])}FLOP", f"peak {scaled(run.peak_memory_bytes)}B"]
        return ", ".join([*facts, f"{run.seconds:.1f} s"])

    @property
    def assumed(self) -> list[str]:
        """What it assumed and what it could not see, a line each."""
        return [] if self.run is None else lines(self.run)

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it: FLOPs and bytes are those on the GPU."""
        if self.run is None:
            return {"outcome": OFF, "reason": self.off, "forward": self.forward}
        run = self.run
        return {
            "outcome": str(run.completeness),
            "reason": run.reason,
            "forward": self.forward,
            **totals(run),
            "steps": run.steps,
            "samples": run.samples,
            "limit_s": run.limit_s,
            "unbounded": run.unbounded,
            "remedy": run.remedy,
            "parameters": run.parameters,
            "peak_memory_bytes": run.peak_memory_bytes,
            **({"footprint": vars(run.footprint)} if run.footprint.held else {}),
            "seconds": run.seconds,
            **{name: value for name, value in self._said.items() if value},
        }

    @property
    def _said(self) -> dict[str, Any]:
        """What there is to say about a dry run beside its numbers."""
        run = self.run
        if run is None:
            return {}
        lists = {"assumptions": run.assumptions, "missing": run.missing, "unset": run.unset}
        return {"interpreter": run.interpreter, **{name: list(lines) for name, lines in lists.items()}}


def _remedy(run: DryRun) -> str:
    """What the user can do, where the reason does not say so itself."""
    return f": {run.remedy}" if run.remedy and run.remedy not in run.reason else ""


def totals(run: DryRun) -> dict[str, float]:
    """FLOPs and bytes moved by all operations on the target."""
    on_target = [op for op in run.operations if op.device == run.target]
    return {
        "flops": float(sum(op.count * op.flops for op in on_target)),
        "bytes": float(sum(op.count * (op.bytes_read + op.bytes_written) for op in on_target)),
    }


def memory_lack(run: DryRun, gpu_type: str) -> str:
    """Why a program does not fit on one GPU of a type; empty where it may, as far as its dry run tells."""
    need = memory_need(run, gpu_type)
    if need.fits:
        return ""
    at_least = "at least " if need.partial else ""
    return f"needs {at_least}{need.expected / 1e9:,.0f} GB, has {GPU_TYPES[gpu_type].memory_bytes / 1e9:,.0f} GB"


def scaled(value: float) -> str:
    """A number with the prefix of its unit: 4.1e15 is "4.1 P"."""
    prefix, size = next(((p, s) for p, s in _UNITS if value >= s), ("", 1.0))
    return f"{value / size:.3g} {prefix}"


def _on_target(run: DryRun) -> bool:
    return any(op.device == run.target and op.count > 0 for op in run.operations)


class DryRuns:
    """A context manager around a runner that starts in its own thread; `budget_s` 0 switches it off.

    `target` is "cuda" for GPU types and "cpu" for CPU device types; `interpreter` is the job's, and `pair` a process
    that may serve it and another target.
    """

    def __init__(
        self,
        budget_s: float = BUDGET_S,
        target: str = "cuda",
        interpreter: Interpreter = OWN,
        pair: WorkerPair | None = None,
    ) -> None:
        self.budget_s, self.target, self.interpreter = budget_s, target, interpreter
        self._pair = pair
        self._runners: dict[Interpreter, DryRunner] = {}
        self._off = "" if budget_s else "its budget is 0"
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="dry-run")

    def __enter__(self) -> Self:
        if not self._off:
            self._pool.submit(self._runner, self.interpreter)  # a second of loading PyTorch, beside whatever comes next
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker."""
        self._pool.shutdown(cancel_futures=True)
        for runner in self._runners.values():
            runner.close()

    def submit(self, source: Source | JobSource, access: DryRunAccess = NOTHING) -> "Future[DryRunOutcome]":
        """The outcome, later."""
        return self._pool.submit(self._run, program_of(source, access), access.interpreter or self.interpreter)

    def _runner(self, interpreter: Interpreter) -> DryRunner | str:
        """The warm worker of an interpreter, or why there is none."""
        if self._off:
            return self._off
        if interpreter not in self._runners:
            pair = self._pair if self._pair and self._pair.serves(interpreter, unsafe=False) else None
            runner = DryRunner(budget_s=self.budget_s, target=self.target, interpreter=interpreter, pair=pair)
            try:
                self._runners[interpreter] = runner.__enter__()
            except InputError as error:
                if interpreter == self.interpreter:
                    self._off = str(error)
                return str(error)
        return self._runners[interpreter]

    def _run(self, program: DryProgram, interpreter: Interpreter) -> DryRunOutcome:
        forward = _forward(program)
        runner = self._runner(interpreter)
        if isinstance(runner, str):
            return DryRunOutcome(off=runner, forward=forward)
        return DryRunOutcome(run=runner.run_program(program), forward=forward)


def program_of(source: Source | JobSource, access: DryRunAccess = NOTHING) -> DryProgram:
    """What runs: the files of a job with its arguments, or one text alone; and what it may see besides."""
    if isinstance(source, JobSource):
        files: Mapping[str, bytes] = dict(source.files)
        return DryProgram(
            files=files,
            entrypoint=source.entrypoint,
            arguments=source.arguments,
            content_hash=source.content_hash,
            environment={**dict(access.environment), **in_dry_run(source.environment)},
            folder=source.folder,
            data=access.data,
            here=dict(access.here),
            hidden=access.hidden,
            assumed=dict(access.assumed),
            place=access.place,
        )
    name = "job.py"
    return DryProgram(files={name: source.text.encode()}, entrypoint=name, content_hash=source.content_hash)


def _forward(program: DryProgram) -> bool:
    return is_forward(program.files[program.entrypoint].decode("utf-8-sig"))
