"""Tells subscribers of their jobs: follows the log, keeps what is due, and tries until it is taken or given up.

It runs beside the routes, with threads of its own, so that neither the scheduler nor anybody who asks waits for a slow
receiver; of one owner few are told at a time.
"""

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from kilowait.core.errors import InputError
from kilowait.history import notices
from kilowait.history.queries import events_after
from kilowait.history.secrecy.key_file import derived, read_key
from kilowait.history.secrecy.sealing import opened
from kilowait.history.store import Store
from kilowait.live.notifying import mailing, messages
from kilowait.live.notifying.outward import NotTold, post

from ...scheduler.settings import SchedulerSettings
from ..desk import Desk
from . import worth_telling
from .late_jobs import LateJobs

LOOK_S, OVERRUN_S, FORGET_S = 1.0, 20.0, 3600.0
PAGE = 1000
AT_ONCE, EACH = 16, 2
"""Receivers that are spoken to together, and of one owner."""
DUE_EACH, DUE = 4, 2000
"""Notices of one owner, some of which are being told, and of all, that are looked at for something to tell."""
FIRST_S, FACTOR, MOST_S, TRIES = 10.0, 4.0, 3600.0, 8
"""Seconds to the second try, times as long from one to the next, at most, and tries in all."""
TARGET = "notice"
"""What the targets of webhooks are sealed for: who knows them can write there."""


class Notifier:
    """Follows the history of a desk."""

    def __init__(self, desk: Desk, now: Any = time.time) -> None:
        self._desk, self._now = desk, now
        self._threads = ThreadPoolExecutor(AT_ONCE, "notice")
        self._telling: dict[tuple[str, str, str], asyncio.Task[None]] = {}
        self._owners: Counter[str] = Counter()
        self._overrun, self._late = set[str](), LateJobs()
        self._overruns_s = self._forgot_s = 0.0

    async def run(self) -> None:
        """Never returns."""
        while True:
            try:
                await self.look()
            except Exception:  # the history may be on its way back
                logging.getLogger("ray.serve").warning("notices are not told now", exc_info=True)
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Keep what is worth telling since the last look, and begin to tell what is due."""
        subscribers = defaultdict[str, list[notices.Row]](list)
        for row in await self._desk.ask(notices.subscriptions):
            subscribers[row["owner"]].append(row)
        if not subscribers:
            return
        while await self._desk.ask(_keep, subscribers):
            pass
        if self._now() - self._overruns_s > OVERRUN_S:
            self._overruns_s = self._now()
            await self._look_for_overruns(subscribers)
            await self._look_for_deadlines(subscribers)
        if self._now() - self._forgot_s > FORGET_S:
            self._forgot_s = self._now()
            await self._desk.ask(notices.forget, self._now())
        for row in await self._desk.ask(notices.due, self._now(), DUE_EACH, DUE):
            if len(self._telling) >= AT_ONCE:
                break
            self._begin(row)

    async def _look_for_overruns(self, subscribers: worth_telling.Subscribers) -> None:
        active = list((await self._desk.mirror()).cluster.active.values())
        self._overrun &= {one.job.job_id for one in active}
        asked = [one for one in active if one.job.user in subscribers and one.job.job_id not in self._overrun]
        rows = await self._desk.ask(notices.jobs_told_of, [one.job.job_id for one in asked])
        await self._note(worth_telling.overruns(asked, rows, self._now()), subscribers, self._overrun)

    async def _look_for_deadlines(self, subscribers: worth_telling.Subscribers) -> None:
        cluster = (await self._desk.mirror()).cluster
        if await self._late.learn(cluster, subscribers, partial(self._desk.ask, notices.jobs_told_of)):
            expected = await self._desk.expected()
            await self._note(list(self._late.missed(cluster, expected, self._now())), subscribers, self._late.told)

    async def _note(
        self, found: Sequence[messages.JobNotice], subscribers: worth_telling.Subscribers, told: set[str]
    ) -> None:
        """Keep what was found; where that cannot be written, its jobs are not `told` of, and are found again."""
        if found:
            await self._desk.ask(notices.note, worth_telling.to_all(found, subscribers))
            told |= {message.job_id for message in found}

    def _begin(self, row: notices.Row) -> None:
        key, owner = (row["subscription_id"], row["subject"], row["event"]), row["owner"]
        if key in self._telling or self._owners[owner] >= EACH:
            return
        self._owners[owner] += 1
        task = self._telling[key] = asyncio.create_task(self._tell(row))

        def over(done: "asyncio.Task[None]") -> None:
            del self._telling[key]
            self._owners[owner] -= 1
            if not done.cancelled() and done.exception() is not None:
                logging.getLogger("ray.serve").warning("a notice is told again: %r", type(done.exception()).__name__)

        task.add_done_callback(over)

    async def _tell(self, row: notices.Row) -> None:
        settings = self._desk.settings
        assert settings is not None  # once the history was asked
        told_s, next_s, problem = None, None, None
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, deliver, row, settings, self._now())
            told_s = self._now()
        except (NotTold, InputError) as error:
            problem = str(error)[:500]
            if row["tries"] + 1 < TRIES and not (isinstance(error, NotTold) and error.final):
                next_s = self._now() + min(MOST_S, FIRST_S * FACTOR ** row["tries"])
        await self._desk.ask(_tried, row, told_s, next_s, problem)


def deliver(row: notices.Row, settings: SchedulerSettings, now_s: float) -> None:
    """Tell one notice; raises NotTold, and InputError where it cannot be told."""
    message, options = messages.read(row["message"]), settings.notices
    if row["kind"] == "mail":
        address = mailing.checked_address(row["target"], options)
        mailing.send(address, messages.line(message), _mail_text(message), options)
        return
    url = opened(settings.secrets_key_file, TARGET, row["target"])
    headers = {"Content-Type": "application/json"}
    if row["kind"] == "slack":
        post(url, messages.slack_payload(message), headers, options.internal)
        return
    body = messages.payload(message)
    key = signing_key(settings.secrets_key_file, row["subscription_id"])
    headers |= {
        messages.SIGNATURE: messages.signed(body, key, now_s),
        "Kilowait-Delivery": "/".join((row["subscription_id"], row["subject"], row["event"])),
    }
    post(url, body, headers, options.internal)


def signing_key(key_file: str, subscription_id: str) -> str:
    """With which a subscription's webhooks are signed; it is kept nowhere."""
    return derived(read_key(key_file), f"notice/{subscription_id}")


def _mail_text(message: messages.JobNotice) -> str:
    what = f"\nIts log: kilowait logs {message.job_id}\n" if message.job_id else ""
    return f"{messages.line(message)}\n{what}\nStop these mails with: kilowait notify list, kilowait notify remove ID\n"


def _keep(store: Store, subscribers: worth_telling.Subscribers) -> bool:
    """Keep what a page of events tells; whether there may be more."""
    events = events_after(store, notices.seen(store), PAGE)
    if events:
        notices.note(store, worth_telling.rows_of(store, events, subscribers), events[-1][0])
    return len(events) == PAGE


def _tried(store: Store, row: notices.Row, told_s: float | None, next_s: float | None, problem: str | None) -> None:
    notices.tried(store, row, told_s=told_s, next_s=next_s, problem=problem)
