"""Fair: weighted fair share of GPUs over users, within classes of priority.

Source: Ghodsi et al., "Dominant resource fairness: fair allocation of multiple resource types", NSDI 2011, algorithm 1
and its weighted form: the user of the least dominant share is served next. Here a resource is a GPU type, and jobs
may choose among types, which the source does not cover: its proofs do not carry over.
"""

import heapq
import math
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.cluster.views.room import Room
from kilowait.core.errors import InputError
from kilowait.core.units import WHOLE
from kilowait.policies.choices import fastest
from kilowait.policies.decisions import Decision, Place, Policy
from kilowait.policies.parameters import Parameter, user_weights
from kilowait.policies.rule import Rule


def fair(*, weights: Mapping[str, float] | None = None) -> Policy:
    """A policy that serves the most urgent jobs first, and among those the user who holds the least for their weight.

    A user's share is the largest, over GPU types, of the GPUs held over the type's total, divided by the user's
    weight (1 for users not in `weights`; all jobs without a user belong to one nameless user of weight 1). In each
    class of `Job.priority`, larger first, the user of the least share gets their first job in queue order that fits
    started on the fastest of its types that is free; shares are counted anew after each. Equal shares: whose job
    is earlier in the queue.

    A share counts what is held now; it has no memory of past use. Whatever fits starts, so wide jobs may starve, and
    a job of low priority may start in front of an urgent one that does not fit. Raises InputError for a weight that
    is not finite and > 0.
    """
    weight_by_user = dict(weights or {})
    for user, weight in weight_by_user.items():
        if not (math.isfinite(weight) and weight > 0):
            raise InputError(f"weights: user {user}: must be finite and > 0, got {weight!r}")

    def fair(cluster: Cluster) -> list[Decision]:
        book = _Book.of(cluster, weight_by_user)
        candidates = dict.fromkeys(job_id for job_id, _ in cluster.ranked_jobs(_urgency).fitting(book.room))
        decisions: list[Decision] = []
        for _, members in groupby(candidates, key=lambda job_id: cluster.waiting[job_id].job.priority):
            decisions += _serve(book, members)
        return decisions

    return fair


def _urgency(waiting: Waiting) -> float:
    return -waiting.job.priority


@dataclass(slots=True, kw_only=True)
class _Book:
    """Who holds how many thousandths of GPUs of which type, and what is free."""

    cluster: Cluster
    weights: Mapping[str, float]
    held: dict[str | None, dict[str, int]]
    room: Room

    @classmethod
    def of(cls, cluster: Cluster, weights: Mapping[str, float]) -> "_Book":
        book = cls(cluster=cluster, weights=weights, held={}, room=cluster.room())
        for active in cluster.active.values():
            book.add(active.job.user, active.gpu_type, active.gpus * active.job.gpu_milli)
        return book

    def add(self, user: str | None, gpu_type: str, milli: int) -> None:
        types = self.held.setdefault(user, {})
        types[gpu_type] = types.get(gpu_type, 0) + milli

    def share(self, user: str | None) -> float:
        """The dominant share of a user over their weight."""
        weight = 1.0 if user is None else self.weights.get(user, 1.0)
        held, total = self.held.get(user, {}), self.cluster.total
        shares = (milli / (WHOLE * (total[t] or 1)) for t, milli in held.items())  # 0 GPUs: all of them drain
        return max(shares, default=0.0) / weight

    def place(self, job_id: str) -> Place | None:
        """Start a job on its fastest free type, None when none is free."""
        waiting = self.cluster.waiting[job_id]
        gpu_type = fastest(waiting, self.room.fitting(waiting))
        if gpu_type is None:
            return None
        self.room.take(waiting, gpu_type)
        self.add(waiting.job.user, gpu_type, waiting.job.milli_on(gpu_type))
        return Place(job_id=job_id, gpu_type=gpu_type)


def _serve(book: _Book, candidates: Iterable[str]) -> list[Decision]:
    """Place jobs of one priority, given in queue order: the user of the least share next."""
    queues: defaultdict[str | None, deque[tuple[int, str]]] = defaultdict(deque)
    for position, job_id in enumerate(candidates):
        queues[book.cluster.waiting[job_id].job.user].append((position, job_id))
    turns = [(book.share(user), *queue.popleft(), user) for user, queue in queues.items()]
    heapq.heapify(turns)
    decisions: list[Decision] = []
    while turns and book.room:
        _, _, job_id, user = heapq.heappop(turns)
        decision = book.place(job_id)
        if decision is not None:
            decisions.append(decision)
        if queues[user]:
            heapq.heappush(turns, (book.share(user), *queues[user].popleft(), user))
    return decisions


WEIGHTS = Parameter(
    name="weights",
    sentence="what a user is entitled to against others, > 0",
    default={},
    default_means="1 each",
    read=user_weights,
    metavar="USER=W,...",
)

RULE = Rule(
    name="fair",
    sentence="by priority, then the user who holds the smallest share of GPUs for their weight",
    make=fair,
    parameters=(WEIGHTS,),
    needs=frozenset({"users"}),
    place=80,
)
