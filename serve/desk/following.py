"""Predictions that follow their jobs: whoever was accepted with a guess is predicted in the background.

What is to be done is in the log, so a service that starts anew goes on with it.
"""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ray.exceptions import RayTaskError

from kilowait.core.errors import InputError, KilowaitError, ModelError
from kilowait.core.jobs import Job, Prediction
from kilowait.program.job_source import JobSource

from ..wire.problems import Refusal
from . import questions

if TYPE_CHECKING:
    from .desk import Desk

LOOK_S = 2.0
"""How often the log is looked at for jobs that were accepted with a guess."""

AT_ONCE, EACH = 64, 16
"""Jobs that are followed together, and of one owner: the predictor serves fewer at once."""

TRIES, AGAIN_S = 3, 10.0
"""How often a predictor that fails is asked for one job, and seconds from one time to the next."""

NOTED = 200
"""Sources that are remembered from their submission, each with its interpreter; others are read again."""


class Following:
    """Follows the jobs of a desk."""

    def __init__(self, desk: "Desk") -> None:
        self._desk, self._wake = desk, asyncio.Event()
        self._sources: OrderedDict[str, tuple[JobSource, str]] = OrderedDict()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._owners: Counter[str] = Counter()

    def note(self, job_id: str, source: JobSource, python: str) -> None:
        """A job was accepted with a guess; `python` is the interpreter of its software, "" for kilowait's own."""
        self._sources[job_id] = source, python
        while len(self._sources) > NOTED:
            self._sources.popitem(last=False)
        self._wake.set()

    async def run(self) -> None:
        """Look for such jobs, and follow them; never returns."""
        while True:
            self._wake.clear()
            try:
                await self.look()
            except Exception:  # the history may be on its way back
                logging.getLogger("ray.serve").warning("predictions cannot be followed up now", exc_info=True)
            try:
                await asyncio.wait_for(self._wake.wait(), LOOK_S)
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Begin to follow what nobody follows yet, as far as there is room."""
        guessed = (await self._desk.mirror()).guessed
        for job_id, job in list(guessed.items()):
            if len(self._tasks) >= AT_ONCE:
                return
            if job_id not in self._tasks and self._owners[job.user or ""] < EACH:
                self._begin(job_id, job)

    def _begin(self, job_id: str, job: Job) -> None:
        owner = job.user or ""
        self._owners[owner] += 1
        task = self._tasks[job_id] = asyncio.create_task(self._follow(job_id, job, owner))

        def over(done: "asyncio.Task[None]") -> None:
            del self._tasks[job_id]
            self._owners[owner] -= 1
            if not done.cancelled() and (error := done.exception()) is not None:
                logging.getLogger("ray.serve").warning("the prediction of job %s is not kept: %r", job_id, error)

        task.add_done_callback(over)

    async def _follow(self, job_id: str, job: Job, owner: str) -> None:
        predictions, problem, dry_run = await self._outcome(job_id, job, owner)
        try:
            await self._desk.scheduler.predicted.remote(job_id, predictions, problem, dry_run)
            await self._desk.mirror()  # which then lists it no more
        except Exception:
            await asyncio.sleep(AGAIN_S)  # before the next look finds it again
            raise
        finally:
            self._sources.pop(job_id, None)

    async def _outcome(self, job_id: str, job: Job, owner: str) -> tuple[Mapping[str, Prediction], str | None, str]:
        """The predictions, or why there are none, and what the dry run found."""
        failed = 0
        while failed < TRIES:
            try:
                source, python = self._sources.get(job_id) or await self._read(job_id, job, owner)
                answer = await self._desk.predicted_later(source, job.gpus, job.gpu_milli, owner, python)
                predictions, told, base = answer
                self._desk.corrections.keep(base)
                return predictions, None, told.dry_run
            except Refusal:  # too many of this owner wait
                await asyncio.sleep(AGAIN_S)
            except Exception as error:  # of this program, or of a predictor that is on its way back
                cause = error.cause if isinstance(error, RayTaskError) else error
                if isinstance(cause, InputError | ModelError):
                    return {}, str(cause), ""
                failed += not isinstance(cause, KilowaitError)  # the history may be away: that is not its fault
                await asyncio.sleep(AGAIN_S)
        return {}, f"the predictor failed {TRIES} times", ""

    async def _read(self, job_id: str, job: Job, owner: str) -> tuple[JobSource, str]:
        program = await self._desk.ask(questions.program, job_id, self._desk.key_file, owner)
        source, *_ = await self._desk.readings.of(program, owner, job.gpus)
        return source, program.python
