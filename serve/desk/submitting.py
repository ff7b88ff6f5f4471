"""Submissions on their way to the scheduler: what it is asked, and those that wait at the same time together."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from kilowait.cluster.state import Cluster
from kilowait.core.errors import QuotaReached
from kilowait.core.jobs import Job, Prediction
from kilowait.core.submission import DEADLINE, Program, Request, Retry, dry_run_line
from kilowait.history.job_arrays import array_of_key
from kilowait.history.job_filter import NAME
from kilowait.history.secrecy.secret_store import check_secrets
from kilowait.history.store import Store
from kilowait.live.operator_orders.quota_check import QuotaCheck
from kilowait.program.job_source import JobSource
from kilowait.program.resources import GpuRequest as Asks

from ..wire import schemas
from .predictor_replica import Told

Ask = Callable[..., Awaitable[Any]]
"""Asks the history in a thread, as `Desk.ask`."""
MOST = 200
"""Requests in one call: the scheduler writes them in one transaction, and answers nobody else meanwhile."""


class Submissions:
    """In front of the actor `scheduler`: while a call is under way others gather, and go with the next.

    One call costs the same for one request as for many, and so does the commit behind it.
    """

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._waiting: list[tuple[Request, asyncio.Future[str]]] = []
        self._sending: asyncio.Task[None] | None = None

    async def submit(self, request: Request) -> str:
        """The id of a job that is durable; raises as the scheduler's `submit`."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        answer: str = await future
        return answer

    async def _send(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            try:
                answers: list[Any] = await self._scheduler.submit_all.remote([request for request, _ in batch])
            except Exception as error:  # whoever waits is told
                answers = [error] * len(batch)
            except BaseException:
                for _, future in batch:
                    future.cancel()
                raise
            for (_, future), answer in zip(batch, answers, strict=True):
                if future.done():  # who asked has gone
                    continue
                future.set_exception(answer) if isinstance(answer, BaseException) else future.set_result(answer)


async def check_early(cluster: Cluster | None, ask: Ask, key_file: str, program: Program, owner: str, key: str) -> None:
    """Before anything of a job is predicted, which takes long: whether it may be given its secrets and may wait.

    Raises InputError as `check_secrets`, and QuotaReached where too many of this owner's wait, unless it is known by
    its key. `cluster` is there where it has quotas; the scheduler looks at them once more.
    """
    if program.secrets:
        await ask(check_secrets, key_file, owner, program.secrets, program.environment)
    if cluster is None:
        return
    try:
        QuotaCheck(cluster).check(Job(job_id="", submit_s=0.0, user=owner))
    except QuotaReached:
        if not await ask(_is_known, owner, key):
            raise


def _is_known(store: Store, owner: str, key: str) -> bool:
    return store.job_of_key(owner, key) is not None or array_of_key(store, owner, key) is not None


def request_of(
    asked: schemas.SubmissionBody,
    program: Program,
    source: JobSource,
    asks: Asks,
    predictions: Mapping[str, Prediction],
    *,
    owner: str,
    key: str,
    told: Told | None = None,
) -> Request:
    """What the scheduler is asked: `program` as it was read (`source`, `asks`), with what is predicted of it."""
    labels = dict(asked.labels)
    if asked.deadline is not None:
        labels[DEADLINE] = asked.deadline.isoformat()
    if asked.name:
        labels[NAME] = asked.name
    job = Job(
        job_id="",
        submit_s=0.0,
        gpus=asks.gpus,
        allowed=asks.gpu_types,
        memory_bytes=asked.memory_bytes,
        gpu_milli=asked.gpu_milli,
        one_node=asked.one_node,
        content_hash=source.content_hash,
        user=owner,
        priority=asked.priority,
        slack_s=asked.slack_s,
        checkpoint_s=None if asked.checkpoint is None else asked.checkpoint.restart_s,
        after=tuple(dict.fromkeys(asked.after)),
        after_any=asked.after_any and bool(asked.after),
        deadline_s=None if asked.deadline is None else max(0.0, asked.deadline.timestamp()),
    )
    return Request(
        job=job,
        predictions=predictions,
        program=program,
        client_key=key,
        labels=labels,
        retry=Retry(max_attempts=asked.max_attempts),
        dry_run="" if told is None else dry_run_line(told.dry_run),
    )


def same(row: Mapping[str, Any], request: Request) -> bool:
    """Whether an earlier job asked for the same, predictions aside: every field counts."""
    asked = request.job
    before: Job = replace(row["submitted"].job, job_id=asked.job_id, submit_s=asked.submit_s)
    if DEADLINE in request.labels:  # the label says it, and earlier releases had no other place for it
        before = replace(before, deadline_s=asked.deadline_s)
    if before.after and all(name in before.after or name.startswith("array-") for name in asked.after):
        before = replace(before, after=asked.after)  # an array that was named stands there as its tasks
    program = msgspec.structs.replace(msgspec.json.decode(row["program"], type=Program), sealed=request.program.sealed)
    labels = msgspec.json.decode(row["labels"], type=dict[str, str])
    retry = msgspec.json.decode(row["retry"], type=Retry)
    return (before, program, labels, retry) == (request.job, request.program, request.labels, request.retry)
