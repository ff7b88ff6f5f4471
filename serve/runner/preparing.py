"""What stands before a guard is given its order: packages, files, what was kept of the last attempt, a terminal."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from kilowait.core.submission import Attempt, Program
from kilowait.isolation.modes import IsolationSettings
from kilowait.live.job_outputs import OutputSettings, OutputStore
from kilowait.measure.allotment import Allotment
from kilowait.measure.step_lines import PATTERN_VARIABLE
from kilowait.measure.ward import WardOrder

from ..environments.built_environments import BuiltEnvironments, EnvironmentSettings
from ..shells.job_terminal import Terminal
from .confine import confine
from .launching import OwnPart, gpus_of_this_node, hidden_of, variables_of, words_of
from .resuming import called_again, preemption_of

LOG_BYTES = 1 << 20
"""What is kept of a log while a job runs."""
LOG, STEPS = "log", "steps.json"
"""In the folder of an attempt."""


class NotRestoredError(Exception):
    """What was kept of the last attempt cannot be read now: another attempt may find it."""


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """Of one attempt on one node, whose files lie in `folder`."""

    attempt: Attempt
    rank: int
    grace_s: float
    isolation: IsolationSettings
    outputs: OutputSettings
    environments: EnvironmentSettings
    folder: Path

    def order(
        self,
        program: Program,
        allotment: Allotment,
        peers: Mapping[str, str],
        held: ExitStack,
        is_wanted: Callable[[], bool],
    ) -> tuple[WardOrder, Terminal | None]:
        """Write the job's files into its scratch folder; its environment is made from nothing.

        The packages that it asks for are there, and stay until what is `held` is let go. Raises InputError and OSError
        for what cannot be had on this node, or once it `is_wanted` no more; and NotRestoredError.
        """
        log = self.folder / LOG
        log.mkdir(mode=0o700)
        if program.requirements:
            built = BuiltEnvironments(self.environments)
            held.enter_context(built.used(program.python, program.requirements, is_wanted))
        confinement, place = confine(
            self.isolation,
            self.attempt,
            allotment,
            self.folder,
            node_gpus=gpus_of_this_node(),
            python=program.python,
            built=bool(program.requirements),
            image=program.image,
        )
        self._write_files(program, place.scratch)
        environment = variables_of(program, self.attempt, allotment, place, peers)
        called = called_again(program, self.attempt.attempt)
        words = words_of(called, OwnPart.of(self.attempt, self.rank), peers)
        terminal = None if program.idle_s is None else Terminal(log, program.idle_s)
        command, seen = place.command(words, environment, program.python, terminal=terminal is not None)
        order = WardOrder(
            command=command,
            environment=seen,
            folder=str(place.scratch),
            log_folder=str(log),
            log_bytes=LOG_BYTES,
            timeout_s=program.timeout_s,
            grace_s=self.grace_s,
            confinement=confinement,
            steps_file=str(self.folder / STEPS),
            hidden=hidden_of(program),
            steps_template=program.environment.get(PATTERN_VARIABLE, ""),
            terminal=None if terminal is None else terminal.fds,
            whole_folder=str(self.folder),
            **preemption_of(program),
        )
        return order, terminal

    def _write_files(self, program: Program, scratch: Path) -> None:
        for name, text in program.files.items():
            path = scratch / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        if program.checkpointing is not None and self.attempt.attempt > 1:
            try:
                OutputStore(self.outputs).restore(scratch, self.attempt.job_id, self.rank)
            except OSError as error:
                raise NotRestoredError(f"its checkpoint cannot be read from {self.outputs.url}: {error}") from error
