"""Submissions on their way to the scheduler, those that wait at the same time together."""

import asyncio
from typing import Any

from kilowait.core.submission import Request

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
