"""Well-behaved users beside one who floods the service, while parts of it are killed: what `benchmarks.soak` adds.

Jobs of mixed kinds (a board, two boards of one node, half a board, one that keeps a file) come from several users, each
at random gaps. The same jobs come twice, first alone and then beside the flood, with kills in both halves. A wait is
from the acceptance until the first attempt was placed; an answer is what a submission waited for before. Quotas of each
user hold in both halves; what they refuse the flood is dropped. What is left of it is cancelled in the end.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.pretended_service import PretendedService
from kilowait.client.client import Client
from kilowait.core.errors import InputError, ServiceError
from kilowait.history.store import Store
from kilowait.history.tokens import Role, create

HOSTILE = "mallory"
FLOOD_CLIENTS = 4
KEPT = 'open("kept.txt", "w").write("kept")\n'
KINDS: Sequence[Mapping[str, Any]] = ({}, {"gpus": 2}, {"gpu_milli": 500}, {"outputs": ["kept.txt"]})
MAX_ATTEMPTS = 20
REFUSED_S = 0.5
"""How soon the flood goes on when it is refused."""


def clients(service: PretendedService, names: Sequence[str]) -> dict[str, Client]:
    """A client of each of these users, who may submit."""
    store = Store(service.world.url)
    try:
        tokens = {name: create(store, name, Role.SUBMIT, time.time()) for name in names}
    finally:
        store.close()
    return {name: Client(service.address, token, patience_s=120.0) for name, token in tokens.items()}


class Half:
    """One half: `jobs` jobs of the well-behaved users, each about `gap_s` after their last, and perhaps a flood."""

    def __init__(self, service: PretendedService, name: str, users: Sequence[str], jobs: int, gap_s: float) -> None:
        self.service, self.name, self._jobs, self._gap_s = service, name, jobs, gap_s
        self._clients = clients(service, users)
        self.ids, self.flood_ids, self.refused = list[str](), list[str](), 0
        self.answers_s: dict[str, list[float]] = {user: [] for user in users}
        self._over = threading.Event()

    def run(self, flood: int, flood_s: float, due: list[tuple[int, Callable[[], object]]], timeout_s: float) -> None:
        """Submit all of it, make trouble whenever so many jobs are accepted, and wait for the well-behaved.

        The flood is of so many jobs that take `flood_s` each.
        """
        due.sort(key=lambda entry: entry[0])
        with ThreadPoolExecutor(len(self._clients) + FLOOD_CLIENTS) as pool:
            flooders = [pool.submit(self._flood, n, flood, flood_s) for n in range(FLOOD_CLIENTS)] if flood else []
            users = [pool.submit(self._user, number, name) for number, name in enumerate(self._clients)]
            with tqdm(total=self._jobs, desc=self.name, unit="job") as bar:
                while due or not all(user.done() for user in users):
                    bar.update(len(self.ids) - bar.n)
                    while due and due[0][0] <= len(self.ids):
                        due.pop(0)[1]()
                    time.sleep(0.1)
            for user in users:
                user.result()
            self.rows = self.service.world.over(*self.ids, timeout_s=timeout_s)
            self._over.set()
            for flooder in flooders:
                flooder.result()
        client = self.service.client()
        for job_id in self.flood_ids:
            with suppress(ServiceError, InputError):  # it is over
                client.cancel(job_id)
        self.flood_rows = self.service.world.over(*self.flood_ids, timeout_s=timeout_s)

    def waits_s(self) -> dict[str, float]:
        """By user, the 95% quantile of the waits of their jobs."""
        waits = dict[str, list[float]]()
        for row in self.rows:
            placed_s = min((attempt["placed_s"] for attempt in row["attempts"]), default=float("inf"))
            waits.setdefault(row["owner"], []).append(placed_s - row["submitted_s"])
        return {user: float(np.quantile(values, 0.95)) for user, values in sorted(waits.items())}

    def p95_answers_s(self) -> dict[str, float]:
        """By user, the 95% quantile of what their submissions took until they were answered."""
        return {user: float(np.quantile(seconds, 0.95)) for user, seconds in self.answers_s.items()}

    def states(self) -> Counter[str]:
        """How the jobs of the well-behaved ended."""
        return Counter(row["state"] for row in self.rows)

    def _user(self, number: int, name: str) -> None:
        rng = Random(number)
        for serial in range(number, self._jobs, len(self._clients)):
            time.sleep(rng.expovariate(1 / self._gap_s))
            kind, seconds = KINDS[serial % len(KINDS)], rng.uniform(0.1, 1.0)
            began_s = time.monotonic()
            self.ids.append(self._submitted(self._clients[name], str(serial), seconds, kind))
            self.answers_s[name].append(time.monotonic() - began_s)

    def _flood(self, number: int, jobs: int, seconds: float) -> None:
        client = clients(self.service, [HOSTILE])[HOSTILE]
        for serial in range(number, jobs, FLOOD_CLIENTS):
            if self._over.is_set():
                return
            try:
                self.flood_ids.append(self._submitted(client, f"flood-{serial}", seconds, {}))
            except InputError:  # by a quota
                self.refused += 1
                time.sleep(REFUSED_S)

    def _submitted(self, client: Client, name: str, seconds: float, kind: Mapping[str, Any]) -> str:
        more = {"max_attempts": MAX_ATTEMPTS, **kind}
        return self.service.submit(client, f"{self.name}-{name}", seconds, before=KEPT, **more)
