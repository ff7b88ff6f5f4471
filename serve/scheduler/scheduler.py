"""The scheduler as one named Ray actor: it follows the nodes, decides, starts attempts and takes in their ends.

All state is the controller's and durable; what is here can be lost at any moment. When the actor is killed Ray starts
it again, it replays the history, and takes every attempt that holds GPUs up where it stands: its runners are found by
name. Where they are missing, an attempt whose program was never allowed to start is started now; any other was lost
with its runner. A runner nobody knows is ended.

With SQLite the actor is pinned to the node that holds the file. The store lets only the last scheduler write, so two
never decide. A second Ray cluster is refused by the history's lease while the first lives; one that was replaced waits.
"""

import asyncio
import gc
import os
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from ray.exceptions import RayError

from kilowait.cluster.standing import Snapshot
from kilowait.core.errors import InputError, KilowaitError, StaleAttempt, StoreError, Superseded
from kilowait.core.jobs import Prediction, Provenance
from kilowait.core.submission import Attempt, Ending, Request
from kilowait.core.tasks.array_request import ArrayRequest
from kilowait.history.secrecy.sealed_programs import runnable
from kilowait.live.accepting import Array
from kilowait.live.operator_orders.maintaining import end_maintenance, keep_maintenance
from kilowait.live.operator_orders.order_events import Order
from kilowait.policies import POLICIES
from kilowait.policies.steering.steered import price_in_force
from kilowait.simulate.rehearsal import rehearse

from ..runner import gang
from ..runner.gang import Gang
from .autoscaling import AutoscalerRequest
from .claim import claim
from .decision_loop import DecisionLoop
from .held_lease import HeldLease, opened
from .kept_log import kept_log
from .ray_nodes import NodeFollower
from .saving_loop import SavingLoop
from .settings import SchedulerSettings
from .signals_loop import SignalsLoop
from .steps_loop import StepsLoop

NAME = "scheduler"
POWER_TIMEOUT_S = 2.0
RARELY = 700, 10, 1000
"""How often Python looks for garbage: through all that it holds, which takes seconds, after millions of new objects."""


class Scheduler:
    """The actor. Its methods are what a service may ask; each answer is durable when it is given."""

    async def __init__(self, settings: SchedulerSettings) -> None:
        self._settings, self._problem = settings, None
        policy = POLICIES[settings.policy](**settings.policy_options)
        rehearse(policy)
        claims, replaced = partial(claim, settings.lease_s), partial(gang.end_strangers, set())
        self._controller = await opened(settings, policy, claims, replaced)
        gc.freeze()  # what was recovered is no garbage
        gc.set_threshold(*RARELY)
        self._gangs: dict[int, Gang] = {}
        self._lease = HeldLease(self._controller.store, claims, self._gangs)
        self._tending: set[asyncio.Task[None]] = set()
        self._inbox: list[tuple[Request, asyncio.Future[str]]] = []
        self._decisions = DecisionLoop(self._controller, settings.look_s, self._tend, self._gangs)
        self._wake = self._decisions.wake
        self._follower, self._demand = NodeFollower(self._controller), AutoscalerRequest(self._settings.grow_to)
        gang.end_strangers({Gang(a, 0).name for a in self._controller.all_running()})
        for attempt in self._controller.all_running():
            self._tend(attempt)
        await self._look_again()  # before anything is answered or decided
        self._spawn(self._follow())
        self._spawn(self._decisions.run())
        self._spawn(SavingLoop(self._controller.store, settings).run())
        self._signals = SignalsLoop(self._controller, settings.signals, settings.signals_every_s, self._wake)
        self._spawn(self._signals.run())
        self._spawn(StepsLoop(self._controller, self._gangs, self._wake, settings.look_s).run())

    async def submit(self, request: Request) -> str:
        """Accept a job; returns its id. Raises as `Controller.submit`, and InputError for a request without a key.

        Ray asks again by itself when the actor dies meanwhile: the key makes that the same job.
        """
        if request.client_key is None:
            raise InputError("client_key is missing; give each request one of its own, so that asking again is safe")
        future = asyncio.get_running_loop().create_future()
        self._inbox.append((request, future))
        if len(self._inbox) == 1:  # whatever comes in the same turn goes into the same transaction
            asyncio.get_running_loop().call_soon(self._accept)
        return await future

    async def submit_all(self, requests: Sequence[Request]) -> list[str | BaseException]:
        """As `submit` for each, in one transaction; what that would raise stands in the place of an id."""
        return await asyncio.gather(*map(self.submit, requests), return_exceptions=True)

    async def submit_array(self, asked: ArrayRequest) -> Array:
        """Accept a job array, whole or not at all; raises as `Controller.submit_array`."""
        self._wake.set()
        return self._controller.submit_array(asked, time.time())

    async def predicted(
        self, job_id: str, by_type: Mapping[str, Prediction], problem: str | None, dry_run: str = ""
    ) -> None:
        """A prediction that follows its job, or a problem why there is none; raises as `Controller.predicted`."""
        self._controller.predicted(job_id, by_type, problem, time.time(), dry_run)
        self._wake.set()

    async def cancel(self, job_id: str) -> None:
        """Withdraw a job, or ask its program to end; raises as `Controller.cancel`."""
        if (refusal := (await self.cancel_all([job_id])).get(job_id)) is not None:
            raise InputError(refusal)

    async def cancel_all(self, job_ids: Sequence[str]) -> dict[str, str]:
        """Withdraw jobs, and ask the programs of those that run to end, in one transaction; why not, by job id."""
        outcomes = self._controller.cancel_all(job_ids, time.time())
        for outcome in outcomes.values():
            if isinstance(outcome, Attempt) and outcome.token in self._gangs:
                self._gangs[outcome.token].stop()
        self._wake.set()
        return {job_id: str(outcome) for job_id, outcome in outcomes.items() if isinstance(outcome, InputError)}

    async def drain(self, node: str) -> None:
        """Give a node no more jobs; raises IllegalEvent for one that is not here."""
        self._follower.drain(node, time.time())

    async def undrain(self, node: str) -> None:
        """Give a node jobs again, and maintain it no more; raises IllegalEvent for one not here, or that Ray drains."""
        end_maintenance(self._controller, node, time.time())
        self._follower.undrain(node, time.time())
        self._wake.set()

    async def order(self, order: Order) -> None:
        """An order of an operator's holds from now on; raises InputError, and IllegalEvent for a node not here."""
        self._controller.ordered(order, time.time())
        self._wake.set()

    async def log(self, job_id: str, rank: int = 0, offset: int = 0, limit: int = 65536) -> tuple[int, bytes]:
        """What the last attempt of a job wrote on one node, from `offset` or the oldest byte that is kept."""
        if job_id in self._controller.cluster.active:
            running = self._gangs.get(self._controller.running(job_id).token)
            try:
                return await running.log(rank, offset, limit) if running else (offset, b"")
            except (RayError, IndexError):  # it has just ended, or has not begun
                return offset, b""
        return kept_log(self._controller.store, job_id, rank, offset, limit)

    async def job(self, job_id: str) -> Mapping[str, Any] | None:
        """The row of a job, with its attempts; None for one that is unknown."""
        row = self._controller.store.job(job_id)
        return None if row is None else {**row, "attempts": self._controller.store.attempts(job_id)}

    async def snapshot(self) -> Snapshot:
        """The cluster as it is now."""
        return self._controller.cluster.snapshot()

    async def status(self) -> Mapping[str, Any]:
        """For people: the nodes as Ray shows them, those that are not used and why, and what is wrong, if anything."""
        return {
            "pid": os.getpid(),
            "nodes": list(self._follower.nodes.values()),
            "unknown": {node.address: node.problem for node in self._follower.nodes.values() if node.problem},
            "problem": self._problem or self._decisions.problem or self._signals.problem,
            "settings": self._settings,
        }

    async def power(self) -> dict[str, list[tuple[float, Provenance]]]:
        """By job id, watts on each of its nodes now; whoever does not answer at once is left out."""
        gangs = [(runners.attempt.job_id, runners) for runners in self._gangs.values()]
        readings = [asyncio.wait_for(runners.power(), POWER_TIMEOUT_S) for _, runners in gangs]
        answers = await asyncio.gather(*readings, return_exceptions=True)
        return {job_id: a for (job_id, _), a in zip(gangs, answers, strict=True) if isinstance(a, list) and a}

    async def price(self) -> float | None:
        """Seconds of waiting that a kWh is worth now, None under a policy whose price does not steer itself."""
        return price_in_force(self._controller.policy)

    async def decision_times(self) -> tuple[int, list[float]]:
        """How many decisions this process has made, and the seconds that each of the last ones took."""
        return self._decisions.count, list(self._decisions.seconds)

    def _accept(self) -> None:
        waiting, self._inbox = self._inbox, []
        try:
            answers: list[Any] = self._controller.submit_all([request for request, _ in waiting], time.time())
        except KilowaitError as error:
            answers = [error] * len(waiting)
        for (_, future), answer in zip(waiting, answers, strict=True):
            if not future.done():
                future.set_exception(answer) if isinstance(answer, KilowaitError) else future.set_result(answer)
        self._wake.set()

    async def _follow(self) -> None:
        while True:  # never returns
            await asyncio.sleep(self._settings.look_s)
            await self._look_again()

    async def _look_again(self) -> bool:
        """Keep the history's lease, and tell the controller what became of the nodes; whether that could be kept."""
        try:
            self._lease.keep()
            for attempt in await self._follower.look(time.time):
                self._release(attempt)
            keep_maintenance(self._controller, time.time(), self._follower.leaving())
            self._demand.look(self._controller.cluster)
            self._problem = None
            self._wake.set()
        except Superseded:
            raise
        except KilowaitError as error:
            self._problem = str(error)
        return self._problem is None

    def _tend(self, attempt: Attempt) -> None:
        settings = self._settings
        self._gangs[attempt.token] = Gang.of(attempt, settings)
        self._spawn(self._see_through(attempt))

    async def _see_through(self, attempt: Attempt) -> None:
        """Start an attempt, or find it running, and take in its end."""
        try:
            ending = await self._run(attempt, runners := self._gangs[attempt.token])
        except TimeoutError:
            ending = Ending(reason=f"its GPUs were not held within {self._settings.start_timeout_s:g} s", lost=True)
        except RayError as error:
            ending = Ending(reason=f"the runner was lost: {gang.first_line(error)}", lost=True)
        except StaleAttempt:  # it ended with its node, meanwhile
            self._release(attempt)
            return
        await self._take_end(attempt, ending)
        self._gangs.pop(attempt.token, None)
        self._wake.set()
        if ending.lost:
            runners.kill()
        else:
            await runners.leave()

    async def _run(self, attempt: Attempt, runners: Gang) -> Ending:
        store = self._controller.store
        if not attempt.started:
            runners.make()
        elif not runners.find():
            return Ending(reason="the runner was lost while the scheduler was away", lost=True)
        peers = await asyncio.wait_for(runners.hold(), self._settings.start_timeout_s)
        if self._is_cancelled(attempt):
            if not attempt.started:
                return Ending(reason="cancelled before it started")
            runners.stop()
        await self._decisions.limits_set()  # watts that it has were others' until then
        await self._written(self._controller.attempt_started, attempt.job_id, attempt.attempt, attempt.token)
        program = await self._written(lambda _: runnable(store, attempt, self._settings.secrets_key_file))
        if isinstance(program, InputError):
            return Ending(reason=f"it was not started: {program}")
        return await runners.run(program, peers, self._lease.fenced_s)

    async def _take_end(self, attempt: Attempt, ending: Ending) -> None:
        """Keep the end of an attempt; one that is no longer awaited is dropped."""
        if ending.lost:
            await gang.settled(allocation.node for allocation in attempt.where)  # was it the node?
            while not await self._look_again():
                await asyncio.sleep(self._settings.look_s)
        report, who = self._controller.attempt_finished, (attempt.job_id, attempt.attempt, attempt.token)
        with suppress(StaleAttempt):
            await self._written(report, *who, ending)

    async def _written(self, report: Any, *arguments: Any) -> None:
        """Report to the controller, again and again while the history cannot be read or written."""
        while True:
            try:
                return report(*arguments, time.time())
            except Superseded:
                raise
            except StoreError as error:
                self._problem = str(error)
                await asyncio.sleep(self._settings.look_s)

    def _is_cancelled(self, attempt: Attempt) -> bool:
        controller, job_id = self._controller, attempt.job_id
        return job_id in controller.cluster.active and controller.running(job_id).cancelling

    def _release(self, attempt: Attempt) -> None:
        if (runners := self._gangs.pop(attempt.token, None)) is not None:
            runners.kill()

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tending.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """A task that failed is a fault here, or another took over: leave, and begin again from what is durable."""
        self._tending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            traceback.print_exception(error)
            os._exit(1)
