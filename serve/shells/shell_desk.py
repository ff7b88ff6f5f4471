"""Shells over a desk: a request that nobody predicts, and the way to the terminal of one that runs.

Only its owner gets there, no operator and no administrator of a project: whoever types acts as the owner.
"""

import asyncio
import uuid
from dataclasses import dataclass
from typing import Any

import msgspec
import ray
from ray.exceptions import RayError

from kilowait.core.hardware import power_order
from kilowait.core.jobs import OVER, Job
from kilowait.core.submission import BASH, Program, Request, Retry
from kilowait.core.units import WHOLE
from kilowait.history.job_filter import NAME
from kilowait.history.secrecy.sealed_programs import with_sealed
from kilowait.history.tokens import Identity
from kilowait.predict.standin import as_asked
from kilowait.program.resources import GpuRequest

from ..desk import questions
from ..desk.desk import Desk
from ..desk.log_pieces import WHOLE_BYTES, read_piece
from ..desk.submitting import check_early
from ..environments.chosen_python import with_python
from ..runner.gang import NAMESPACE, PREFIX
from ..wire.problems import Refusal
from ..wire.schemas import LogPiece, Submitted
from .shell_schemas import ShellBody, TypedKeys

ENTRYPOINT = "shell"
SCRIPT = """cd "$HOME"
[ $# -gt 0 ] && exec "$@"
bash -i
exit 0
"""
"""What runs. A shell that its user ends has ended well, whatever its last command said; a command counts by its own."""
PIECE_BYTES = 65536
REMEMBERED = 1000
MOST_WAITING, SHORT_S = 200, 0.2
"""So many questions wait for something new to show; further ones are answered soon, so that others get through."""


@dataclass(frozen=True, slots=True)
class _Way:
    """To the terminal of an owner's shell."""

    owner: str
    runner: Any


class ShellDesk:
    """Asks for shells, and reaches their terminals."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ways: dict[str, _Way] = {}
        self._waiting = 0

    async def submit(self, asked: ShellBody, owner: str, key: str | None) -> Submitted:
        """Accept a shell: durable when this returns; raises as `Desk.submit`."""
        desk, given_key = self._desk, key or uuid.uuid4().hex
        program = await with_python(desk, asked, _program(asked))
        cluster = (await desk.mirror()).cluster
        await check_early(cluster, desk.ask, desk.key_file, program, owner, given_key)
        program = with_sealed(program, desk.key_file, owner)
        types, boards = await desk.types(), asked.gpus * asked.gpu_milli / WHOLE
        request = Request(
            job=_job(asked, owner),
            predictions=as_asked(asked.length_s, types, boards),
            program=program,
            client_key=given_key,
            labels={**asked.labels, **({NAME: asked.name} if asked.name else {})},
            retry=Retry(max_attempts=1),
        )
        asks = GpuRequest(gpus=asked.gpus, gpu_types=request.job.allowed, evidence=("given",))
        warning = f"its length is what was asked for, {asked.length_s:g} s; no model predicted it"
        return await desk.accepted((request, asks, [warning], None), key)

    async def shown(self, who: Identity, job_id: str, offset: int, wait_s: float) -> LogPiece:
        """What the terminal has shown from a byte on, once there is something, at the latest after `wait_s`."""
        if (runner := await self._runner(who, job_id)) is not None:
            self._waiting += 1
            try:
                patience_s = wait_s if self._waiting <= MOST_WAITING else min(wait_s, SHORT_S)
                begin, data = await runner.shown.remote(offset, PIECE_BYTES, patience_s)
            except RayError:  # it has just ended
                self._ways.pop(job_id, None)
            else:
                if data:
                    return LogPiece(**read_piece(offset, begin, data, last=False)._asdict(), ended=False)
            finally:
                self._waiting -= 1
        row = await self._row(who, job_id)
        if row["state"] not in OVER:
            await asyncio.sleep(min(wait_s, SHORT_S))  # whoever asks looks again at once
            return LogPiece(offset=offset, next=offset, text="", ended=False)
        begin, data = await self._desk.scheduler.log.remote(job_id, 0, offset, PIECE_BYTES)
        last = len(data) < PIECE_BYTES - WHOLE_BYTES
        return LogPiece(**read_piece(offset, begin, data, last=last)._asdict(), ended=last)

    async def type_in(self, who: Identity, job_id: str, typed: TypedKeys) -> None:
        """Type at the terminal; raises Refusal where there is none, or nobody reads what is typed."""
        why: str | None = None
        if (runner := await self._runner(who, job_id)) is not None:
            size = (typed.rows, typed.columns) if typed.rows and typed.columns else None
            try:
                why = await runner.type_in.remote(typed.keys.encode(errors="replace"), size)
            except RayError:
                self._ways.pop(job_id, None)
                why = None
        if why != "":
            state = (await self._row(who, job_id))["state"]
            raise Refusal(
                409, "conflict", f"{job_id}: {why or f'it has no terminal now: it is {state}'}", field="job_id",
                remedy=f"see how it is with: kilowait show {job_id}",
            )  # fmt: skip

    async def _runner(self, who: Identity, job_id: str) -> Any | None:
        """The runner of a shell that runs, None where it does not; raises Refusal for whom it is not."""
        way = self._ways.get(job_id)
        if way is None or way.owner != who.owner:
            row = await self._row(who, job_id)
            if row["state"] != "running":
                return None
            name = f"{PREFIX}:{job_id}:{row['attempts'][-1]['attempt']}:0"
            try:
                runner = await asyncio.to_thread(ray.get_actor, name, namespace=NAMESPACE)
            except ValueError:  # it is being made, or has just gone
                return None
            if len(self._ways) >= REMEMBERED:
                self._ways.clear()
            way = self._ways[job_id] = _Way(who.owner, runner)
        return way.runner

    async def _row(self, who: Identity, job_id: str) -> questions.Row:
        row = await self._desk.ask(questions.job, job_id)
        if row is None or row["owner"] != who.owner or not _is_shell(row):
            raise Refusal(
                404, "not found", f"no shell {job_id!r} of yours", field="job_id",
                remedy="only its owner gets to a shell's terminal; see yours with: kilowait ps",
            )  # fmt: skip
        return row


def _is_shell(row: questions.Row) -> bool:
    return msgspec.json.decode(row["program"], type=Program).idle_s is not None


def _program(asked: ShellBody) -> Program:
    environment = {"TERM": asked.term, **asked.environment}
    return Program(
        files={ENTRYPOINT: SCRIPT},
        entrypoint=ENTRYPOINT,
        arguments=tuple(asked.command),
        environment=environment,
        timeout_s=asked.length_s,
        secrets=tuple(dict.fromkeys(asked.secrets)),
        launcher=BASH,
        idle_s=asked.idle_s,
    )


def _job(asked: ShellBody, owner: str) -> Job:
    """On one node, and the same as no other: no content of it tells how long another takes."""
    return Job(
        job_id="",
        submit_s=0.0,
        gpus=asked.gpus,
        allowed=None if asked.gpu_types is None else frozenset(power_order(asked.gpu_types)),
        memory_bytes=asked.memory_bytes,
        gpu_milli=asked.gpu_milli,
        one_node=True,
        user=owner,
        priority=asked.priority,
        slack_s=0.0,  # somebody sits there and waits
    )
