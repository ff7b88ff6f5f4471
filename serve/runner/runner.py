"""A runner: the actor that holds the GPUs of one attempt on one node, and runs the job there under a meter.

It is named after its attempt, so there is never a second one, and it starts the job only when it is told to, once. It
lives until it is killed: while nobody hears it, it keeps the result. The job is a process of its own, guarded by
`kilowait.measure.ward`, which ends it when the runner dies. It sees a minimal environment, nothing of the service's,
and as little of the machine as the operator's isolation says.
"""

import asyncio
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import msgspec
import ray

from kilowait.core.checkpoints.checkpointing import PREEMPTED, Checkpointing
from kilowait.core.errors import InputError, MeterError
from kilowait.core.jobs import Provenance
from kilowait.core.submission import MAX_REASON, Attempt, Ending, Program
from kilowait.isolation.modes import IsolationSettings
from kilowait.live.job_outputs import OutputSettings, OutputStore
from kilowait.measure.allotment import Allotment, allot
from kilowait.measure.joblog import read_log
from kilowait.measure.outcome import RunOutcome
from kilowait.measure.silent_ward import end_tree, silenced
from kilowait.measure.step_clock import StepRecord, read_steps
from kilowait.measure.step_lines import PATTERN_VARIABLE
from kilowait.measure.ward import WardOrder

from ..environments.built_environments import BuiltEnvironments, EnvironmentSettings
from ..shells.job_terminal import Terminal, idle_words
from .confine import confine
from .keeping import keep_outputs, kept_log
from .launching import OwnPart, gpus_of_this_node, guard_process, hidden_of, variables_of, words_of
from .ordered_limit import OrderedLimit
from .resuming import called_again, preemption_of

LOG_BYTES = 1 << 20
"""What is kept of a log while a job runs."""

STEPS = "steps.json"
BETWEEN_S = 0.2
"""Between two looks at a terminal that is not there."""
MARGIN_S = 30.0
"""What a guard may take beyond its job's timeout and grace: it ends what the job started, and keeps its last output."""


class Runner:
    """One attempt on one node; `rank` is the node's number among those of the attempt."""

    def __init__(
        self,
        attempt: Attempt,
        rank: int,
        grace_s: float,
        isolation: IsolationSettings,
        outputs: OutputSettings,
        environments: EnvironmentSettings | None = None,
    ) -> None:
        self._attempt, self._rank, self._grace_s, self._isolation = attempt, rank, grace_s, isolation
        self._outputs, self._environments = outputs, environments or EnvironmentSettings()
        self._folder = Path(tempfile.mkdtemp(prefix=f"kilowait-{attempt.job_id}-"))
        self._process: asyncio.subprocess.Process | None = None
        self._running: asyncio.Task[Ending] | None = None
        self._stopped = self._cut_off = self._preempted = False
        self._checkpointing: Checkpointing | None = None
        self._fence: asyncio.TimerHandle | None = None
        self._patience: asyncio.Timeout | None = None
        self._allotment: Allotment | None = None
        self._terminal: Terminal | None = None
        self._limit = OrderedLimit(attempt.limit_w)

    async def hold(self) -> tuple[str, int]:
        """Answers once the GPUs are held: the node's address and a port that is free on it."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            return ray.util.get_node_ip_address(), probe.getsockname()[1]

    async def run(self, program: Program, peers: Mapping[str, str]) -> Ending:
        """Run the job and say how it ended; asked again, it says it again and runs nothing."""
        if self._running is None:
            self._running = asyncio.create_task(self._run(program, peers))
        return await asyncio.shield(self._running)

    async def stop(self) -> None:
        """Ask the job to end; it is killed after the grace."""
        self._stopped = True
        self._say(b"stop\n")
        self._expect_end(self._grace_s)

    async def preempt(self) -> None:
        """Ask the job to write a checkpoint and end; it is killed after its own grace."""
        self._preempted = True
        if self._checkpointing is not None:
            self._say(b"preempt\n")
            self._expect_end(self._checkpointing.grace_s)

    async def go_on(self, fenced_s: float) -> None:
        """Let the job run until then, in seconds since the epoch: it is killed unless this is called again before.

        Whoever takes the place of a scheduler that is heard of no more may start the job elsewhere from then on.
        """
        if self._fence is not None:
            self._fence.cancel()
        self._fence = asyncio.get_running_loop().call_later(max(0.0, fenced_s - time.time()), self._cut)

    async def leave(self) -> None:
        """The result is kept elsewhere: clean up and give the GPUs back."""
        shutil.rmtree(self._folder, ignore_errors=True)
        ray.actor.exit_actor()

    async def log(self, offset: int, limit: int = 65536) -> tuple[int, bytes]:
        """What the job wrote, from `offset` or the oldest byte that is kept; and where that begins."""
        return read_log(self._folder / "log", offset, limit)

    async def shown(self, offset: int, limit: int, wait_s: float) -> tuple[int, bytes]:
        """As `log`, once the terminal has shown more than `offset` bytes, at the latest after `wait_s`."""
        if self._terminal is not None:
            await self._terminal.changed(offset, wait_s)
        else:  # it has not begun, or has just ended: whoever asks looks again
            await asyncio.sleep(min(wait_s, BETWEEN_S))
        return await self.log(offset, limit)

    async def type_in(self, keys: bytes, size: tuple[int, int] | None) -> str | None:
        """Type at the terminal, once it has this size (rows, columns); "" once done, else why not, None for none."""
        if self._terminal is None or self._process is None or self._process.returncode is not None:
            return None
        if size is not None:
            self._terminal.resize(*size)
        try:
            await self._terminal.type_in(keys)
        except TimeoutError:
            return "its program reads nothing that is typed"
        return ""

    async def power(self) -> tuple[float, Provenance] | None:
        """Watts of its boards now, None where they cannot be read or the job has not begun."""
        return None if self._allotment is None else await asyncio.to_thread(self._allotment.power_w)

    async def limit(self, limit_w: float | None) -> None:
        """Limit its boards to so many watts each from now on, None for their own limits."""
        await self._limit.order(limit_w)

    async def steps(self) -> StepRecord | None:
        """How far the job says it is, and when it was how far; None before it has said anything that counts."""
        return read_steps(self._folder / STEPS)

    def _say(self, order: bytes) -> None:
        orders = self._process.stdin if self._process is not None else None
        if orders is not None and not orders.is_closing():
            orders.write(order)

    def _asked(self) -> bytes:
        """What was asked of the job before there was a guard to tell."""
        if self._stopped:
            return b"stop\n"
        return b"preempt\n" if self._preempted and self._checkpointing is not None else b""

    def _cut(self) -> None:
        self._cut_off = True
        if self._process is not None and self._process.returncode is None:
            end_tree(self._process.pid)

    async def _run(self, program: Program, peers: Mapping[str, str]) -> Ending:
        if self._preempted:
            return Ending(reason=PREEMPTED, preempted=True)
        self._checkpointing = program.checkpointing
        gpu_ids = ray.get_runtime_context().get_accelerator_ids()["GPU"]
        allotment = self._allotment = allot(self._attempt.gpu_type, self._attempt.gpu_milli, gpu_ids)
        with ExitStack() as held:
            try:
                order = await asyncio.to_thread(self._prepare, program, allotment, peers, held)
                await self._limit.begin(allotment)
            except (InputError, OSError, MeterError) as error:  # what was asked for cannot be had on this node
                return Ending(reason=f"it was not started: {error}"[:MAX_REASON])
            return await self._run_ordered(order, program, allotment)

    async def _run_ordered(self, order: WardOrder, program: Program, allotment: Allotment) -> Ending:
        allotment.start()
        outcome, idle = await self._unless_idle(order, program)
        await self._limit.end()
        ending = allotment.ending(outcome, self._attempt.job_id, self._attempt.attempt)
        if idle:
            ending = msgspec.structs.replace(ending, reason=idle_words(program.idle_s or 0.0))
        log, folder = self._folder / "log", Path(order.folder)
        all_kept = await asyncio.to_thread(keep_outputs, self._outputs, program, self._attempt, self._rank, folder, log)
        checkpointed, logs = ending.checkpointed and all_kept, (kept_log(log, self._rank),)
        ending_with_logs = msgspec.structs.replace(ending, logs=logs, checkpointed=checkpointed)
        for name in ("scratch", "tmp"):
            shutil.rmtree(self._folder / name, ignore_errors=True)
        return ending_with_logs

    async def _unless_idle(self, order: WardOrder, program: Program) -> tuple[RunOutcome, bool]:
        """Run the order in a guard, and ask it to end where it has a terminal that is idle; whether that was so."""
        if self._terminal is None:
            return await self._guarded(order), False
        running = asyncio.ensure_future(self._guarded(order))
        idle = asyncio.ensure_future(self._terminal.until_idle())
        try:
            await asyncio.wait((running, idle), return_when=asyncio.FIRST_COMPLETED)
            if is_idle := not running.done():
                await self.stop()
            return await running, is_idle
        finally:
            idle.cancel()
            terminal, self._terminal = self._terminal, None
            terminal.close()

    def _prepare(self, program: Program, allotment: Allotment, peers: Mapping[str, str], held: ExitStack) -> WardOrder:
        """Write the job's files into its scratch folder; its environment is made from nothing.

        The packages that it asks for are there, and stay until what is `held` is let go.
        """
        log = self._folder / "log"
        log.mkdir(mode=0o700)
        if program.requirements:
            held.enter_context(BuiltEnvironments(self._environments).used(program.python, program.requirements))
        confinement, place = confine(
            self._isolation,
            self._attempt,
            allotment,
            self._folder,
            node_gpus=gpus_of_this_node(),
            python=program.python,
            built=bool(program.requirements),
            image=program.image,
        )
        for name, text in program.files.items():
            path = place.scratch / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        if program.checkpointing is not None and self._attempt.attempt > 1:
            OutputStore(self._outputs).restore(place.scratch, self._attempt.job_id, self._rank)
        environment = variables_of(program, self._attempt, allotment, place, peers)
        called = called_again(program, self._attempt.attempt)
        words = words_of(called, OwnPart.of(self._attempt, self._rank), peers)
        if program.idle_s is not None:
            self._terminal = Terminal(log, program.idle_s)
        command, seen = place.command(words, environment, program.python, terminal=self._terminal is not None)
        return WardOrder(
            command=command,
            environment=seen,
            folder=str(place.scratch),
            log_folder=str(log),
            log_bytes=LOG_BYTES,
            timeout_s=program.timeout_s,
            grace_s=self._grace_s,
            confinement=confinement,
            steps_file=str(self._folder / STEPS),
            hidden=hidden_of(program),
            steps_template=program.environment.get(PATTERN_VARIABLE, ""),
            terminal=None if self._terminal is None else self._terminal.fds,
            **preemption_of(program),
        )

    async def _guarded(self, order: WardOrder) -> RunOutcome:
        """Run the order in a guard, which sees no more of the environment than the job does."""
        process = self._process = await guard_process(order.terminal or ())
        if self._terminal is not None:
            self._terminal.hand_over()
        assert process.stdin is not None
        assert process.stdout is not None
        if self._cut_off:
            self._cut()
        process.stdin.write(msgspec.json.encode(order) + b"\n" + self._asked())
        began_s = time.perf_counter()
        try:
            async with asyncio.timeout(None) as self._patience:
                timeout_s = None if order.timeout_s is None else order.timeout_s + self._grace_s
                self._expect_end(self._grace_s if self._stopped else timeout_s)
                answer = await process.stdout.read()
                await process.wait()
        except TimeoutError:
            end_tree(process.pid)
            await process.wait()
            return silenced(began_s)
        if not answer and self._cut_off:
            raise RuntimeError("its scheduler was not heard of in time, and another may start it elsewhere")
        if not answer:
            raise RuntimeError(f"the guard of the job died (exit code {process.returncode})")
        return RunOutcome.from_json(answer.decode())

    def _expect_end(self, within_s: float | None) -> None:
        """From now on a guard that has not answered so long, and a margin, is taken for stuck."""
        if self._patience is None or within_s is None:
            return
        at_s = asyncio.get_running_loop().time() + within_s + MARGIN_S
        self._patience.reschedule(min(at_s, self._patience.when() or at_s))
