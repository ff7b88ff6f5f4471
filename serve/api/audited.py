"""Keeps who changed what by the API, and whether that was let: ASGI middleware, and the route that tells it.

Questions are not kept, nor keys that are typed, nor what was asked with a token that is none. What was done is kept
before it is answered, but for jobs that are submitted: those are events of the history anyway, and wait a moment so
that many are kept together.
"""

import asyncio
import csv
import io
import logging
import time
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from kilowait.core.control_characters import escaped
from kilowait.core.errors import KilowaitError
from kilowait.history import audit_log
from kilowait.history.tokens import Identity

from ..desk.desk import Desk
from ..wire.audit_schemas import AuditEntry, AuditPage
from .access import At, Operator

router = APIRouter(prefix="/v1")
CHANGES = ("POST", "PUT", "PATCH", "DELETE")
QUESTIONS = ("/v1/predict", "/v1/what-if")
MANY = ("/v1/jobs", "/v1/jobs:batch", "/v1/arrays")
TOGETHER_S = 0.2
MAX_TARGET = 200
CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}}}


class Audited:
    """Around the application of `serve.api.routes`."""

    def __init__(self, app: Any, desk: Desk) -> None:
        self.app, self._desk = app, desk
        self._waiting: list[audit_log.Row] = []
        self._keeping: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on, and keep what was done."""
        if scope["type"] != "http" or scope["method"] not in CHANGES or _is_no_change(scope["path"]):
            await self.app(scope, receive, send)
            return

        async def kept(message: Any) -> None:
            who = scope.get("state", {}).get("identity")
            if message["type"] == "http.response.start" and who is not None:
                await self._keep(scope, who, message)
            await send(message)

        scope.setdefault("state", {})
        await self.app(scope, receive, kept)

    async def _keep(self, scope: Any, who: Identity, message: Any) -> None:
        location = dict(message.get("headers", ())).get(b"location", b"").decode("latin-1")
        action, target = _said(scope)
        row = {
            "time_s": time.time(),
            "owner": who.owner,
            "token_id": who.token_id,
            "role": who.role.name.lower(),
            "address": scope["client"][0] if scope.get("client") else "",
            "action": action,
            "target": (target or location.rpartition("/")[2])[:MAX_TARGET],
            "status": message["status"],
        }
        self._waiting.append(row)
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._written(TOGETHER_S if scope["path"] in MANY else 0.0))
        while scope["path"] not in MANY and any(one is row for one in self._waiting):
            await asyncio.shield(self._keeping)

    async def _written(self, pause_s: float) -> None:
        """Write what waits; what came meanwhile is written next, together."""
        await asyncio.sleep(pause_s)
        rows = self._waiting[:]
        try:
            await self._desk.ask(audit_log.add, rows)
        except KilowaitError as error:  # what was done was done: that it is not kept is told where operators look
            logging.getLogger("ray.serve").error("not kept of who did what: %s; %s", error, rows)
        del self._waiting[: len(rows)]
        if self._waiting:
            self._keeping = asyncio.create_task(self._written(0.0))


def _is_no_change(path: str) -> bool:
    """Whether this only asks, or types at a terminal: that a shell was asked for is kept."""
    return path in QUESTIONS or (path.startswith("/v1/shells/") and path.endswith("/terminal"))


def _said(scope: Any) -> tuple[str, str]:
    """What was done, as the API describes it, and to what: as every database keeps it, for one that does not would lose
    what others did, too."""
    path = getattr(scope.get("route"), "path", "") or scope["path"][:MAX_TARGET]
    return escaped(f"{scope['method']} {path}"), escaped("/".join(map(str, scope.get("path_params", {}).values())))


@router.get("/audit", responses=CSV)
async def audit(
    desk: At,
    _: Operator,
    owner: Annotated[str | None, Query(max_length=200)] = None,
    since_s: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    until_s: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    form: Annotated[str, Query(alias="format", pattern="^(json|csv)$")] = "json",
) -> Any:
    """Who changed what, the first first: operators only. As CSV, all of it in one answer, whatever the limit."""
    chosen = {"owner": owner, "since_s": since_s, "until_s": until_s}
    if form == "csv":
        return Response(await _csv(desk, after, chosen), media_type="text/csv; charset=utf-8")
    rows = await desk.ask(partial(audit_log.done, **chosen, after=after, limit=limit))
    entries = [AuditEntry(**row) for row in rows]
    return AuditPage(entries=entries, next=rows[-1]["seq"] if len(rows) == limit else None)


async def _csv(desk: Desk, after: int, chosen: dict[str, Any]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, audit_log.COLUMNS, lineterminator="\n")
    writer.writeheader()
    while rows := await desk.ask(partial(audit_log.done, **chosen, after=after, limit=10_000)):
        await asyncio.to_thread(writer.writerows, rows)
        after = rows[-1]["seq"]
    return out.getvalue().encode()
