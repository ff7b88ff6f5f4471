"""Dry runs of programs nobody vouches for: a worker process that forks a child for each, and what comes back, checked.

This side needs no PyTorch. A worker that dies is started again.
"""

import math
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import IO, Protocol, Self

import msgspec

from kilowait.core.errors import InputError
from kilowait.predict.dryrun.child.import_time import IMPORTS_S
from kilowait.predict.dryrun.child.worker_messages import ChildAnswer, DryRunRequest, receive_answer, send_request
from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.record import HOW, Completeness, DryRun
from kilowait.predict.foreign import foreign
from kilowait.predict.interpreter import OWN, Interpreter, plain_environment
from kilowait.predict.more_gpus import LAUNCHED, with_needed_gpus, with_ranks
from kilowait.program.source import Source

TARGETS = ("cuda", "cpu")
MOST_LINES, LONGEST_LINE = 50, 300
"""Of each list in a record that is for people; the recorder holds to the same."""


class DryRunner:
    """A context manager; `run` and `run_program` give a DryRun whatever the program does.

    `budget_s` are CPU seconds a program gets, and three times as many by the clock (up to twelve times on a busy
    machine); when they are spent, the result is partial. Installed packages are imported beside it, for at most
    `imports_s`. `target` is "cuda" for any GPU type and "cpu" for CPU device types. `unsafe` executes programs with the
    rights of this process, limits of resources aside: only for programs that are trusted as much as the code that calls
    this. `interpreter` is the Python that programs run under, kilowait's own where nothing is said. The first worker is
    that of `pair`, where it has one left.

    Entering raises InputError where the machine has no sandbox and `unsafe` is not set.
    """

    def __init__(
        self,
        *,
        budget_s: float = 1.0,
        imports_s: float = IMPORTS_S,
        target: str = "cuda",
        unsafe: bool = False,
        interpreter: Interpreter = OWN,
        pair: "OpenLines | None" = None,
    ) -> None:
        if target not in TARGETS:
            raise InputError(f"target must be one of {', '.join(TARGETS)}, got {target!r}")
        if not 0 < budget_s < math.inf:
            raise InputError(f"budget_s must be > 0 and finite, got {budget_s}")
        self.budget_s, self.imports_s = budget_s, imports_s
        self.target = target
        self.unsafe = unsafe or interpreter.contained
        self.interpreter = interpreter
        self._pair = pair
        self._line: WorkerLine | None = None
        self._worker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, source: Source, arguments: tuple[str, ...] = ()) -> DryRun:
        """Run one file dry."""
        name = "job.py"
        files = {name: source.text.encode()}
        return self.run_program(
            DryProgram(files=files, entrypoint=name, arguments=arguments, content_hash=source.content_hash)
        )

    def run_program(self, program: DryProgram) -> DryRun:
        """Run several files dry from their entrypoint; once more where it only wants more GPUs than one."""
        run = self._run_once(program)
        if run.gpus_needed < 2 or LAUNCHED & program.environment.keys():
            return run
        again = self._run_once(with_ranks(program, run.gpus_needed))
        return with_needed_gpus(run, again)

    def _run_once(self, program: DryProgram) -> DryRun:
        if program.entrypoint not in program.files:
            names = ", ".join(sorted(program.files)[:10])
            raise InputError(f"entrypoint {program.entrypoint!r} is not among the files ({names})")
        if reason := foreign(program.files, program.entrypoint, program.environment):
            return self._failed(program, reason)
        request = DryRunRequest(program=program, target=self.target, budget_s=self.budget_s, imports_s=self.imports_s)
        answer = self._ask(request)
        if self._pair and program.place and answer.loaded:
            self._pair.note(self.target, ahead_of(request, answer.loaded))
        if answer.failure:
            return self._failed(program, answer.failure)
        try:
            return checked(answer.data, program, self.target)
        except (msgspec.DecodeError, ValueError) as error:
            return self._failed(program, f"its record is damaged: {error}"[:500])

    def close(self) -> None:
        """End the worker; one of a pair ends with its pipes."""
        if self._line is None:
            return
        if self._pair and self._worker is None:
            self._pair.before_closing(self.target, self._line)
        self._line.close(self._worker)
        self._line = self._worker = None

    def _failed(self, program: DryProgram, reason: str) -> DryRun:
        return DryRun(
            content_hash=program.content_hash,
            target=self.target,
            completeness=Completeness.FAILED,
            reason=reason,
        )

    def _ask(self, request: DryRunRequest) -> ChildAnswer:
        """Send the request; once more to a fresh worker when there was none alive to begin with."""
        for fresh in (False, True):
            if fresh or self._line is None:
                self._start()
            try:
                assert self._line is not None
                send_request(self._line.requests, request)
                return receive_answer(self._line.answers)
            except (EOFError, OSError, ValueError):
                self.close()
        return ChildAnswer(failure="the worker ended twice while it ran this program")

    def _start(self) -> None:
        self.close()
        self._line = self._pair.take(self.target) if self._pair else None
        if self._line is None:
            self._line, self._worker = self._own_line()
        try:
            self._line = has_started(self._line, self.interpreter, self.target, unsafe=self.unsafe)
        except InputError:
            self.close()
            raise

    def _own_line(self) -> "tuple[WorkerLine, subprocess.Popen[bytes]]":
        worker = subprocess.Popen(
            worker_command(self.interpreter, self.target, self.unsafe),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=worker_environment(self.interpreter),
        )
        assert worker.stdin is not None
        assert worker.stdout is not None
        return WorkerLine(requests=worker.stdin, answers=worker.stdout), worker


@dataclass(frozen=True, kw_only=True)
class WorkerLine:
    """The pipes to a worker and from it; `ready` once it has said that it serves."""

    requests: IO[bytes]
    answers: IO[bytes]
    ready: bool = False

    def close(self, worker: "subprocess.Popen[bytes] | None" = None) -> None:
        """Close them, and end the worker where it is this line's alone."""
        with suppress(OSError):
            self.requests.close()
        if worker is not None:
            worker.kill()
            worker.wait()
        self.answers.close()


def has_started(line: WorkerLine, interpreter: Interpreter, target: str, *, unsafe: bool = False) -> WorkerLine:
    """The pipes, once the worker says that it serves; raises InputError where it does not."""
    if line.ready:
        return line
    try:
        failure = receive_answer(line.answers).failure
    except (EOFError, ValueError) as error:
        command = shlex.join(worker_command(interpreter, target, unsafe))
        raise InputError(f"the worker of dry runs does not start; run it by hand to see why: {command}") from error
    if failure:
        raise InputError(f"{failure}; without a sandbox a dry run executes a program only when told to (unsafe)")
    return replace(line, ready=True)


class OpenLines(Protocol):
    """Who has workers running already: `kilowait.predict.worker_pair.WorkerPair`."""

    def take(self, target: str) -> WorkerLine | None:
        """The pipes of a target, None where there are none left."""

    def note(self, target: str, request: DryRunRequest) -> None:
        """Remember what the next run of a program can have imported ahead."""

    def before_closing(self, target: str, line: WorkerLine) -> None:
        """The runner that took these pipes needs them no more."""


def ahead_of(request: DryRunRequest, loaded: Sequence[str]) -> DryRunRequest:
    """The request to have these modules imported for the next run of a program."""
    program = replace(request.program, files=dict.fromkeys(request.program.files, b""), content_hash="")
    return replace(request, program=program, ahead=tuple(loaded))


def have_imported(line: WorkerLine, request: DryRunRequest) -> None:
    """Let a worker that serves import ahead; it answers before that is done. Raises OSError, EOFError, ValueError."""
    send_request(line.requests, request)
    receive_answer(line.answers)


def worker_command(
    interpreter: Interpreter, target: str, unsafe: bool, second: tuple[str, int, int] | None = None
) -> list[str]:
    """The command of a worker; `second` is another target with the files of its requests and answers."""
    more = [":".join(map(str, second))] if second else []
    return [*interpreter.command, interpreter.bootstrap, target, "unsafe" if unsafe else "sandboxed", *more]


def worker_environment(interpreter: Interpreter) -> Mapping[str, str]:
    """Nothing is inherited but the way to the libraries; Hugging Face stays offline.

    Only kilowait's own interpreter keeps what it compiles, until it is warm: the next worker starts sooner.
    """
    if interpreter.contained:
        return plain_environment()  # of the engine; the image has its own
    if interpreter.is_own:
        own = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    else:
        own = {"PYTHONDONTWRITEBYTECODE": "1"}
    return {
        "PATH": "/usr/bin:/bin",
        **own,
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "WANDB_MODE": "disabled",
        "LANG": "C.UTF-8",
    }


def read_dry_run(data: bytes | str) -> DryRun:
    """The inverse of `DryRun.to_json`; raises msgspec.ValidationError on anything else."""
    return msgspec.json.decode(data, type=DryRun)


def checked(data: bytes, program: DryProgram, target: str) -> DryRun:
    """The record a child wrote, which the program could have forged: of this program, finite, nothing below zero."""
    run = read_dry_run(data)
    if (run.content_hash, run.target) != (program.content_hash, target):
        raise ValueError("it names another program or target")
    Completeness(run.completeness)
    for lines in (run.assumptions, run.missing, run.unset, (run.interpreter, run.remedy)):
        if len(lines) > MOST_LINES or any(len(line) > LONGEST_LINE for line in lines):
            raise ValueError(f"it says more than {MOST_LINES} lines of {LONGEST_LINE} characters")
    if len(run.assumed_how) != len(run.assumptions) or not set(run.assumed_how) <= set(HOW):
        raise ValueError("its assumptions are of no known kind")
    numbers = [run.steps, run.parameters, run.peak_memory_bytes, run.seconds, run.samples, run.limit_s]
    for op in run.operations:
        numbers += [op.count, op.flops, op.bytes_read, op.bytes_written, op.kernels]
    numbers += [run.world, run.gpus_needed, *vars(run.footprint).values()]
    for exchange in run.exchanges:
        numbers += [exchange.bytes, exchange.count, exchange.ranks]
    if not all(math.isfinite(number) and number >= 0 for number in numbers):
        raise ValueError("a number in it is negative or not finite")
    return run
