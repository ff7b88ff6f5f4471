"""Submitting a job array: a few of its calls are predicted, and all of it is taken in, or nothing.

Where those that were predicted take alike, their arguments do not change the work, and one prediction stands for all
tasks. Where they do not, each call has its own: the others wait by that of the first as a guess, until theirs follow.
"""

import asyncio
import uuid
from collections.abc import Container, Mapping
from dataclasses import replace
from functools import cache

import msgspec

from kilowait.core.errors import InputError
from kilowait.core.jobs import Prediction
from kilowait.core.submission import Program, Request
from kilowait.core.tasks.array_request import ARRAY, TASK, ArrayRequest, TaskAsked
from kilowait.history.bases import Base
from kilowait.history.secrecy.sealed_programs import with_sealed
from kilowait.predict.standin import MARK, UNREAD, is_unread
from kilowait.program.environment import shown
from kilowait.program.job_source import JobSource

from ...wire.array_schemas import ArrayBody, ArraySubmitted
from ...wire.schemas import SubmissionBody
from ..answers import expectations
from ..desk import Desk, Prepared
from .task_calls import Call, calls_of, probes

PREDICTED = 8
"""Calls of one array that are predicted before it is taken in."""

ALIKE = 0.02
"""Two predictions that differ by less, in time and in energy on every type, are of the same work."""


async def submit_array(desk: Desk, asked: ArrayBody, owner: str, key: str | None) -> ArraySubmitted:
    """Accept a job array: durable when this returns. Raises as `Desk.submit`; the same key is the same array."""
    calls, at_once = await asyncio.to_thread(calls_of, asked)  # which takes long of long texts
    key, chosen = key or uuid.uuid4().hex, await asyncio.to_thread(probes, calls, PREDICTED)
    seen = {TASK: str(calls[0].task), ARRAY: "array-00000000"}  # one number for all, so that alike calls are one
    answers = await asyncio.gather(*(desk.request(_job_of(asked, call, seen), owner, key) for call in chosen))
    prepared = dict(zip(chosen, answers, strict=True))
    if len({request.job.gpus for request, *_ in answers}) > 1:
        raise InputError("gpus: its tasks ask for different numbers of GPUs by their arguments; give gpus (--gpus)")
    first, _, warnings, _ = answers[0]
    alike = _are_alike(answers, (await desk.mirror()).cluster.total)
    asks = {} if alike else await _guesses(desk, asked, owner, first, {one.call for one in calls} - prepared.keys())
    best = next((answer for answer in answers if not is_unread(answer[0].predictions)), answers[0])[0]
    by_call = {call: best if alike else prepared[call][0] for call in chosen}

    bare = msgspec.structs.replace(
        first.program, arguments=tuple(asked.arguments), environment={}, sealed="", digest=""
    )

    @cache
    def sealed(environment: tuple[tuple[str, str], ...]) -> Program:
        return with_sealed(msgspec.structs.replace(bare, environment=dict(environment)), desk.key_file, owner)

    def task(number: int, call: Call) -> TaskAsked:
        request, program = asks.get(call) or by_call.get(call) or best, sealed(call[1])
        return TaskAsked(
            task=number,
            arguments=call[0],
            environment=program.environment,
            sealed=program.sealed,
            digest=program.digest,
            predictions=request.predictions,
            content_hash=request.job.content_hash,
            dry_run=request.dry_run,
        )

    whole = ArrayRequest(
        request=msgspec.structs.replace(first, program=bare, job=replace(first.job, content_hash="")),
        tasks=tuple(task(one.task, one.call) for one in calls),
        at_once=at_once,
    )
    array_id, job_ids = await desk.scheduler.submit_array.remote(whole)
    for _, _, _, base in answers:
        if isinstance(base, Base):
            desk.corrections.keep(base)
    return ArraySubmitted(
        array_id=array_id,
        job_ids=list(job_ids),
        by_type=expectations(whole.tasks[0].predictions),
        predicted=sum(one.call in prepared for one in calls),
        warnings=[*warnings, *_said(len(calls), len(chosen), alike, len(asks))],
    )


def _said(tasks: int, predicted: int, alike: bool, guessed: int) -> list[str]:
    if guessed:
        return [
            f"the arguments change the work: {predicted} calls are predicted, and the other {guessed} wait by a guess "
            "until their own predictions follow"
        ]
    return (
        [f"{predicted} calls that differ take alike: one prediction for {tasks} tasks"]
        if alike and predicted > 1
        else []
    )


def _job_of(asked: ArrayBody, call: Call, seen: Mapping[str, str]) -> SubmissionBody:
    """One task as a job by itself, with what tasks see beside their own variables."""
    fields = {name: getattr(asked, name) for name in SubmissionBody.model_fields}
    return SubmissionBody.model_construct(
        **{**fields, "arguments": list(call[0]), "environment": {**dict(call[1]), **seen}}
    )


def _are_alike(answers: list[Prepared], types: Container[str]) -> bool:
    """Whether all that is predicted on these types is the same work; a guess says nothing of that."""
    known = [
        {name: one for name, one in request.predictions.items() if name in types and MARK not in one.features}
        for request, *_ in answers
        if not is_unread(request.predictions)
    ]
    return all(_close(known[0], other) for other in known[1:])


def _close(one: Mapping[str, Prediction], other: Mapping[str, Prediction]) -> bool:
    def near(a: float, b: float) -> bool:
        return abs(a - b) <= ALIKE * max(a, b)

    return one.keys() == other.keys() and all(
        near(one[t].runtime_s, other[t].runtime_s) and near(one[t].energy_kwh, other[t].energy_kwh) for t in one
    )


async def _guesses(desk: Desk, asked: ArrayBody, owner: str, first: Request, calls: set[Call]) -> dict[Call, Request]:
    """Requests of calls that nobody predicted yet, by the prediction of the first as a guess."""
    types = None if asked.gpu_types is None else tuple(asked.gpu_types)
    source, *_ = await desk.readings.of(first.program, owner, asked.gpus, types)
    hashes = await asyncio.to_thread(lambda: {call: _hash(source, call) for call in calls})
    guess = {name: _guess(prediction) for name, prediction in first.predictions.items()}
    return {
        call: msgspec.structs.replace(
            first, predictions=guess, dry_run="", job=replace(first.job, content_hash=content_hash)
        )
        for call, content_hash in hashes.items()
    }


def _hash(source: JobSource, call: Call) -> str:
    arguments, environment = call
    seen = shown(dict(environment)) if environment else {}
    return replace(source, arguments=arguments, environment=seen).content_hash


def _guess(prediction: Prediction) -> Prediction:
    return Prediction(
        runtime_s=prediction.runtime_s,
        energy_kwh=prediction.energy_kwh,
        probe_version=UNREAD,
        features=UNREAD + MARK,
    )
