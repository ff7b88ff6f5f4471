"""Well-behaved users beside one who floods the service, while parts of it are killed: what `benchmarks.soak` adds.

Jobs of mixed kinds (`benchmarks.mixed_jobs`) come from several users, each at random gaps. The same jobs come twice,
first alone and then beside the flood, at the same seconds of either half, whether or not earlier ones were answered;
the same troubles begin at the same seconds, so that each finds the same submissions under way. A wait is from the
acceptance until the first attempt was placed; an answer is what a submission waited for before; the whole wait is from
the second at which it was due. Quotas of each user hold in both halves; what they refuse the flood is dropped. What is
left of it is cancelled in the end.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
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

AT_ONCE = 40
"""Submissions of the well-behaved that may wait for their answers together: more than a trouble holds up."""

Answered = tuple[list[str], float]
Trouble = tuple[float, Callable[[], object]]
"""A second of a half, and what is then done to the service."""


@dataclass(frozen=True, kw_only=True)
class Due:
    """A submission: at which second of a half it is made, by whom, of what kind, and how long its program takes."""

    at_s: float
    user: str
    name: str
    kind: Kind
    seconds: float


def planned(users: Sequence[str], jobs: int, gap_s: float) -> list[Due]:
    """Submissions that are so many jobs together, each about `gap_s` after its user's last, by their times."""
    rngs, chosen = [Random(number) for number in range(len(users))], submissions(jobs)
    at_s, due = [0.0] * len(users), list[Due]()
    for serial, kind in enumerate(chosen):
        number = serial % len(users)
        at_s[number] += rngs[number].expovariate(1 / gap_s)
        seconds = rngs[number].uniform(0.1, 1.0)
        due.append(Due(at_s=at_s[number], user=users[number], name=str(serial), kind=kind, seconds=seconds))
    return sorted(due, key=lambda one: one.at_s)


def tokens(service: PretendedService, names: Sequence[str]) -> Mapping[str, str]:
    """A token of each of these users, who may submit."""
    store = Store(service.world.url)
    try:
        return {name: create(store, name, Role.SUBMIT, time.time()) for name in names}
    finally:
        store.close()


def core_times() -> tuple[float, float]:
    """What the machine's cores have been busy since it began, and that with what they were idle, in one unit."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return float(sum(ticks) - ticks[3] - ticks[4]), float(sum(ticks))


def _make(troubles: Sequence[Trouble], began_s: float) -> None:
    """One trouble after another, each at its second."""
    for at_s, act in sorted(troubles, key=lambda trouble: trouble[0]):
        time.sleep(max(0.0, began_s + at_s - time.time()))
        act()


class Half:
    """One half: what the well-behaved users have `due`, and perhaps a flood."""

    def __init__(self, service: PretendedService, name: str, users: Sequence[str], due: Sequence[Due]) -> None:
        self.service, self.name, self.due = service, name, due
        self.jobs = sum(one.kind.jobs for one in due)
        self._tokens, self._local = tokens(service, users), threading.local()
        for user in users:
            self._client(user).set_secret(SECRET, secret_of(user))
        self.ids, self.flood_ids, self.refused, self.kinds = list[str](), list[str](), 0, Counter[str]()
        self._keeping, self._asked_s = list[tuple[str, str]](), dict[str, float]()
        self.answers_s: dict[str, list[float]] = {user: [] for user in users}
        self._over = threading.Event()

    def run(self, flood: int, flood_s: float, troubles: Sequence[Trouble], timeout_s: float) -> None:
        """Submit all of it, make each trouble at its second, and wait for the well-behaved.

        The flood is of so many jobs that take `flood_s` each.
        """
        cores = core_times()
        with ThreadPoolExecutor(AT_ONCE) as pool, ThreadPoolExecutor(FLOOD_CLIENTS + 1) as others:
            began_s = time.time()
            troubling = others.submit(_make, troubles, began_s)
            flooders = [others.submit(self._flood, n, flood, flood_s) for n in range(FLOOD_CLIENTS)] if flood else []
            asked = list[tuple[Due, float, Future[Answered]]]()
            for one in tqdm(self.due, desc=self.name, unit="submission"):
                time.sleep(max(0.0, began_s + one.at_s - time.time()))
                asked.append((one, began_s + one.at_s, pool.submit(self._ask, one)))
            for one, due_s, future in asked:
                self._answered(one, due_s, future.result())
            troubling.result()
            self.rows = self.service.world.over(*self.ids, timeout_s=timeout_s)
            self._over.set()
            busy, whole = np.subtract(core_times(), cores)
            self.busy_share = float(busy / whole)
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
            pieces = self._client(user).output(job_id, KEPT)
            try:
                missing += b"".join(pieces) != b"kept"
            except (InputError, ServiceError):
                missing += 1
        return missing

    def _ask(self, one: Due) -> Answered:
        """Make a submission: the ids of its jobs, and when it was answered."""
        ids = self._submitted(self._client(one.user), one.user, one.name, one.seconds, one.kind)
        return ids, time.time()

    def _answered(self, one: Due, due_s: float, answered: Answered) -> None:
        """A submission that was due at `due_s` of the clock is accepted."""
        ids, at_s = answered
        self.answers_s[one.user].append(at_s - due_s)
        self.ids.extend(ids)
        self._asked_s |= dict.fromkeys(ids, due_s)
        self.kinds[one.kind.name] += len(ids)
        self._keeping.extend((one.user, job_id) for job_id in ids if "outputs" in one.kind.fields)

    def _client(self, user: str) -> Client:
        """A user's client of this thread."""
        own: dict[str, Client] = self._local.__dict__.setdefault("clients", {})
        if user not in own:
            own[user] = Client(self.service.address, self._tokens[user], patience_s=120.0)
        return own[user]

    def _flood(self, number: int, jobs: int, seconds: float) -> None:
        client = Client(self.service.address, tokens(self.service, [HOSTILE])[HOSTILE], patience_s=120.0)
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
