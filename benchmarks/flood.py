"""Well-behaved users beside one who floods the service, while parts of it are killed: what `benchmarks.soak` adds.

Jobs of mixed kinds (`benchmarks.mixed_jobs`) come from several users, each at random gaps. The same jobs come twice,
first alone and then beside the flood, with the same troubles in both halves. A wait is from the acceptance until the
first attempt was placed; an answer is what a submission waited for before; the whole wait is both. Quotas of each user
hold in both halves; what they refuse the flood is dropped. What is left of it is cancelled in the end.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random

import numpy as np
from tqdm import tqdm

from benchmarks.mixed_jobs import KEPT, SECRET, Kind, before_of, secret_of, submissions
from benchmarks.pretended_service import PretendedService
from kilowait.client.client import Client
from kilowait.core.errors import InputError, ServiceError
from kilowait.history.store import Store
from kilowait.history.tokens import Role, create

HOSTILE = "mallory"
FLOOD_CLIENTS = 4
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
        self.service, self.name, self.jobs, self._gap_s = service, name, jobs, gap_s
        self._clients = clients(service, users)
        for user, client in self._clients.items():
            client.set_secret(SECRET, secret_of(user))
        self.ids, self.flood_ids, self.refused, self.kinds = list[str](), list[str](), 0, Counter[str]()
        self._keeping, self._asked_s = list[tuple[str, str]](), dict[str, float]()
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
            with tqdm(total=self.jobs, desc=self.name, unit="job") as bar:
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
        if self.flood_ids:
            self.service.client().cancel_jobs(owner=HOSTILE)
        self.flood_rows = self.service.world.over(*self.flood_ids, timeout_s=timeout_s)

    def waits_s(self) -> dict[str, float]:
        """By user, the 95% quantile of the waits of their jobs for GPUs, from when they were accepted."""
        return self._p95_s({row["job_id"]: row["submitted_s"] for row in self.rows})

    def whole_waits_s(self) -> dict[str, float]:
        """The same from when they were asked for: with the answer that was waited for."""
        return self._p95_s(self._asked_s)

    def _p95_s(self, since_s: Mapping[str, float]) -> dict[str, float]:
        waits = dict[str, list[float]]()
        for row in self.rows:
            placed_s = min((attempt["placed_s"] for attempt in row["attempts"]), default=float("inf"))
            waits.setdefault(row["owner"], []).append(placed_s - since_s[row["job_id"]])
        return {user: float(np.quantile(values, 0.95)) for user, values in sorted(waits.items())}

    def p95_answers_s(self) -> dict[str, float]:
        """By user, the 95% quantile of what their submissions took until they were answered."""
        return {user: float(np.quantile(seconds, 0.95)) for user, seconds in self.answers_s.items()}

    def states(self) -> Counter[str]:
        """How the jobs of the well-behaved ended."""
        return Counter(row["state"] for row in self.rows)

    def outputs_missing(self) -> int:
        """How many of the jobs that keep a file have not kept it, or not whole."""
        missing = 0
        for user, job_id in self._keeping:
            pieces = self._clients[user].output(job_id, KEPT)
            try:
                missing += b"".join(pieces) != b"kept"
            except (InputError, ServiceError):
                missing += 1
        return missing

    def _user(self, number: int, name: str) -> None:
        rng, chosen, client = Random(number), submissions(self.jobs), self._clients[name]
        for serial in range(number, len(chosen), len(self._clients)):
            time.sleep(rng.expovariate(1 / self._gap_s))
            kind, seconds = chosen[serial], rng.uniform(0.1, 1.0)
            began_s, asked_s = time.monotonic(), time.time()
            ids = self._submitted(client, name, str(serial), seconds, kind)
            self.answers_s[name].append(time.monotonic() - began_s)
            self.ids.extend(ids)
            self._asked_s |= dict.fromkeys(ids, asked_s)
            self.kinds[kind.name] += len(ids)
            self._keeping.extend((name, job_id) for job_id in ids if "outputs" in kind.fields)

    def _flood(self, number: int, jobs: int, seconds: float) -> None:
        client = clients(self.service, [HOSTILE])[HOSTILE]
        for serial in range(number, jobs, FLOOD_CLIENTS):
            if self._over.is_set():
                return
            try:
                self.flood_ids += self._submitted(client, HOSTILE, f"flood-{serial}", seconds, submissions(1)[0])
            except InputError:  # by a quota
                self.refused += 1
                time.sleep(REFUSED_S)

    def _submitted(self, client: Client, user: str, name: str, seconds: float, kind: Kind) -> list[str]:
        """The ids of the jobs of one submission."""
        key, more = f"{self.name}-{name}", {"max_attempts": MAX_ATTEMPTS, **kind.fields}
        before = before_of(kind, user)
        if kind.tasks:
            return self.service.submit_array(client, key, seconds, kind.tasks, before=before, **more)
        return [self.service.submit(client, key, seconds, before=before, **more)]
