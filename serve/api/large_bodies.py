"""Large bodies on their way in: none without a token, of one user one at a time, and none that is slow to decode.

Decoding JSON holds up whoever else asks something: 8 MB of nested lists take a second, 8 MB of one text hundredths. So
a large body is looked over first, which makes no objects, and may be large by its texts alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request

from kilowait.core.control_characters import escaped
from kilowait.core.submission_limits import MAX_FIELDS_BYTES, MAX_NAME

from ..desk.turns import Turns
from ..wire.problems import Refusal, answer
from .access import identified

LARGE_BYTES = 200_000
"""More is large: a hundredth of a second of work at the worst."""

PAUSE_S_PER_MB = 0.1
"""Between two large bodies of one user, so that their work leaves most of the time to others."""

REFUSED_PAUSE_S = 1.0
"""After a large body that was refused, until the next of that user is taken in."""

WAITING = 200
"""Large bodies of one user that may wait."""

Receive = Callable[[], Awaitable[Any]]
_DECODE = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_DECODE_JOBS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode


class LargeBodies:
    """ASGI middleware over the application of `serve.api.routes`."""

    def __init__(self, app: Any) -> None:
        self.app, self._turns = app, Turns(at_once=10_000, each=1, room=WAITING)
        self._until_s: dict[str, float] = {}  # by owner, when a next one is taken in after one that was refused

    async def __call__(self, scope: Any, receive: Receive, send: Any) -> None:
        """Pass on what is small as it comes, and what is large once it was looked over."""
        if scope["type"] != "http" or not _may_be_large(scope):
            await self.app(scope, receive, send)
            return
        try:
            request = Request(scope)
            owner = (await identified(request, request.headers.get("authorization"))).owner
            messages = await self._taken_in(owner, receive)
        except Refusal as refusal:
            await answer(refusal)(scope, receive, send)
            return
        except HTTPException as error:  # of the limit of all bodies
            remedy = "send less: data belongs on a shared disk"
            refusal = Refusal(error.status_code, "too large", str(error.detail), field="body", remedy=remedy)
            await answer(refusal)(scope, receive, send)
            return
        await self.app(scope, _replayed(messages, receive), self._watched(owner, send))

    def _watched(self, owner: str, send: Any) -> Any:
        """`send`, which sees whether the request is refused."""

        async def watch(message: Any) -> None:
            if message["type"] == "http.response.start" and 400 <= message["status"] < 500:
                self._refused(owner)
            await send(message)

        return watch

    def _refused(self, owner: str) -> None:
        now_s = asyncio.get_running_loop().time()
        self._until_s = {name: until_s for name, until_s in self._until_s.items() if until_s > now_s}
        self._until_s[owner] = now_s + REFUSED_PAUSE_S

    async def _taken_in(self, owner: str, receive: Receive) -> list[Any]:
        """The message that holds the whole body; or, of who has gone, that he has."""
        async with self._turns.of(owner):
            await asyncio.sleep(self._until_s.get(owner, 0.0) - asyncio.get_running_loop().time())
            body = bytearray()
            more = True
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    return [message]
                body += message.get("body", b"")
                more = message.get("more_body", False)
            if len(body) > LARGE_BYTES:
                try:
                    look_over(bytes(body))
                except Refusal:
                    self._refused(owner)
                    raise
                await asyncio.sleep(len(body) * 1e-6 * PAUSE_S_PER_MB)
            return [{"type": "http.request", "body": bytes(body), "more_body": False}]


def look_over(body: bytes) -> None:
    """Raises Refusal unless this is a JSON object that is large by its texts, or those of its `jobs`, alone."""
    try:
        fields = _DECODE(body)
        jobs = _DECODE_JOBS(fields.pop("jobs")) if "jobs" in fields else []
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise Refusal(
            422, "invalid input", f"body: {escaped(str(error))[:MAX_NAME]}", field="body", remedy="see openapi.json"
        ) from None
    total = 0
    for name, size in (entry for one in (fields, *jobs) for entry in _no_texts(one)):
        total += size
        if total > MAX_FIELDS_BYTES:
            shown = escaped(name[:MAX_NAME])
            detail = f"{shown}: {total:,} bytes of JSON with what stands before it beside texts"
            raise Refusal(
                422, "invalid input", f"{detail}; the limit is {MAX_FIELDS_BYTES:,}", field=shown,
                remedy="put data into a file",
            )  # fmt: skip


def _no_texts(fields: Mapping[str, msgspec.Raw]) -> Iterator[tuple[str, int]]:
    """(name, bytes) of each field that is no text."""
    for name, raw in fields.items():
        value = bytes(raw)
        if not value.lstrip().startswith(b'"'):
            yield name, len(value)


def _may_be_large(scope: Any) -> bool:
    headers = dict(scope["headers"])
    declared_size = headers.get(b"content-length", b"")
    if declared_size.isdigit():
        return int(declared_size) > LARGE_BYTES
    return b"transfer-encoding" in headers


def _replayed(messages: list[Any], receive: Receive) -> Receive:
    """What gives these messages first."""
    waiting = list(messages)

    async def next_message() -> Any:
        return waiting.pop(0) if waiting else await receive()

    return next_message
