"""Saves the state that the log leads to, now and then, so that a restart replays little: in a process of its own.

The scheduler gives no time to it: that process reads the log as anybody may, from the last saved state on.
"""

import asyncio
import logging
import os
import time
from typing import Any

import ray
from ray.exceptions import RayError

from kilowait.core.errors import KilowaitError
from kilowait.core.hardware import GPU_TYPES
from kilowait.history.saved_states import events_since
from kilowait.history.store import Store
from kilowait.live.saving import EVERY, LAYOUT, save

from .history_node import on_history_node
from .settings import SchedulerSettings

LOOK_S = 30.0
"""How often it is looked whether there is enough to save."""
NICE = 10
"""The process gives way to whatever else runs."""

_log = logging.getLogger(__name__)


class SavingLoop:
    """Looks at a scheduler's history; that a state cannot be saved is logged, and tried again."""

    def __init__(self, store: Store, settings: SchedulerSettings) -> None:
        self._store, self._settings = store, settings

    async def run(self) -> None:
        """Never returns."""
        while True:
            try:
                if await asyncio.to_thread(events_since, self._store, LAYOUT) >= EVERY:
                    await saving(self._settings)
            except (RayError, KilowaitError) as error:
                _log.warning("no state is saved: %s", error)
            await asyncio.sleep(LOOK_S)


def saving(settings: SchedulerSettings) -> Any:
    """Ray's reference to the number of the event up to which a state is saved, in a process that ends with that."""
    task = ray.remote(num_cpus=0, max_retries=0, max_calls=1)(_save)
    return task.options(**on_history_node(settings.url)).remote(settings)


def _save(settings: SchedulerSettings) -> int:
    os.nice(NICE)
    store = Store(settings.url)
    try:
        return save(store, settings.policy, settings.policy_options, tuple(GPU_TYPES), time.time())
    finally:
        store.close()
