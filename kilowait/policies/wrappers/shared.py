"""Weighted fair share in front of any policy: it decides first for those who have had less of the GPUs.

Source: Slurm's fair tree algorithm (Rao and Johnson, SchedMD documentation, 2014) for ranking by past use over shares
with decay; in front of another policy it is ours.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import get_args

from kilowait.cluster.restricted import lent, with_jobs
from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.cluster.views.room import Room
from kilowait.cluster.views.usage import Resource
from kilowait.core.errors import InputError
from kilowait.core.units import WHOLE
from kilowait.policies.decisions import Decision, Place, Policy
from kilowait.policies.fair import WEIGHTS
from kilowait.policies.wrappers.wrapper import Wrapper

ROUNDING = 1e-9
"""Equal shares are not below their mean."""

MOST_OF_ONE = 200
"""Jobs of one user that a policy is shown, the earliest of them."""


def shared(
    policy: Policy, resource: Resource = "gpu", slack: float = 1.0, weights: Mapping[str, float] | None = None
) -> Policy:
    """`policy`, which decides by weighted fair share: first for those who have had less than others.

    A user's use is what they have had of `resource` (GPU-seconds, or kWh as predicted) with a half-life of a week
    (`kilowait.cluster.views.usage`), over their weight, 1 where none is given; jobs without a user are one user's. The
    users who have had less than the mean of all who wait are served first: `policy` sees their jobs alone, and which of
    those comes first is its choice, so that little of its order is lost. What it starts counts as used at once, and
    when one has had more than the next it is looked at anew. Where it starts nothing, because nothing fits or because
    it holds a job for a type that is busy, twice as many users are shown to it together, and so on to all: what it then
    lets pass does not delay, as far as it plans, what it holds. Of two users the one of less use is first;
    where all have had as much, whose first job is earlier.

    With a `slack` above 1 users are served first who have had less than so many times the mean of the others who wait:
    shares then differ by up to that factor in the long run, and all wait less, since the short jobs of somebody who has
    had a little more are not behind the long ones of somebody who has had less. With 1 it is the mean of all.

    So a user with 10,000 jobs gets what their share is, and which of a user's jobs run, and where, is left to `policy`.
    A wide job that `policy` makes no room for may starve: `aged` around it all helps. With one user it is `policy`
    itself. Raises InputError for another resource, a slack below 1 or a weight that is not > 0.
    """
    if resource not in get_args(Resource):
        raise InputError(f"fair share is of {' or '.join(get_args(Resource))}, got {resource!r}")
    if not (isinstance(slack, float | int) and 1 <= slack < inf):
        raise InputError(f"slack of fair share must be finite and >= 1, got {slack!r}")
    weight_by_user = dict(weights or {})
    for user, weight in weight_by_user.items():
        if not weight > 0:
            raise InputError(f"weights: user {user}: must be > 0, got {weight!r}")

    def shared(cluster: Cluster) -> list[Decision]:
        cluster.count_submissions()
        queues = defaultdict[str | None, list[Waiting]](list)
        for waiting in cluster.queue():
            if len(queues[waiting.job.user]) < MOST_OF_ONE:
                queues[waiting.job.user].append(waiting)
        if len(queues) < 2:
            return policy(cluster)
        used = cluster.usage.of_users(cluster.active.values(), cluster.now_s, resource)
        turns = _Turns(
            room=cluster.room(),
            queues=queues,
            share={user: used.get(user, 0.0) / _weight(user, weight_by_user) for user in queues},
            slack=slack * (1 - ROUNDING),
        )
        return _served(cluster, policy, turns, lambda w: _least(w, resource) / _weight(w.job.user, weight_by_user))

    return shared


@dataclass(slots=True, kw_only=True)
class _Turns:
    """What is free, who waits with which jobs, and what each has had for their weight, while turns are taken."""

    room: Room
    queues: dict[str | None, list[Waiting]]
    share: dict[str | None, float]
    slack: float

    def in_order(self) -> list[str | None]:
        """The users whose turn it is first."""
        return sorted(self.queues, key=lambda user: (self.share[user], self.queues[user][0].place))

    def first(self) -> int:
        """How many users, in order, have had less than the others' mean times the slack, one where none has."""
        shares = [self.share[user] for user in self.queues]
        total, others = sum(shares), len(shares) - 1
        return max(1, sum(share * others < (total - share) * self.slack for share in shares))

    def take(self, waiting: Waiting, decision: Place, more: float) -> None:
        """A job starts, and counts as so much more of its user's share."""
        user = waiting.job.user
        self.room.take(waiting, decision.gpu_type, decision.where)
        self.share[user] += more
        self.queues[user].remove(waiting)
        if not self.queues[user]:
            del self.queues[user]


def _served(cluster: Cluster, policy: Policy, turns: _Turns, more: Callable[[Waiting], float]) -> list[Decision]:
    """What starts, turn after turn."""
    started, shown = list[Decision](), turns.first()
    while turns.room and turns.queues:
        users = turns.in_order()
        with lent(cluster, turns.room):
            decisions = policy(with_jobs(cluster, (w for user in users[:shown] for w in turns.queues[user])))
        if any(not isinstance(decision, Place) for decision in decisions):
            return [*started, *decisions]
        limit = turns.share[users[shown]] if shown < len(users) else inf
        count = len(started)
        for decision in decisions:
            waiting = cluster.waiting[decision.job_id]
            if isinstance(decision, Place) and turns.room.fits(waiting, decision.gpu_type):
                turns.take(waiting, decision, more(waiting))
                started.append(decision)
                if turns.share[waiting.job.user] > limit:
                    break
        if len(started) > count:
            shown = turns.first() if turns.queues else 1
        elif shown >= len(users):
            break
        else:
            shown *= 2
    return started


def _weight(user: str | None, weights: Mapping[str, float]) -> float:
    return 1.0 if user is None else weights.get(user, 1.0)


def _least(waiting: Waiting, resource: Resource) -> float:
    """What a job will have had at least."""
    if resource == "energy":
        return min(waiting.predictions[gpu_type].energy_kwh for gpu_type in waiting.gpus)
    return min(waiting.job.milli_on(t) / WHOLE * waiting.predictions[t].runtime_s for t in waiting.gpus)


def _argument(text: str) -> str | float:
    """A resource, or the slack behind it."""
    try:
        return float(text)
    except ValueError:
        return text


WRAPPER = Wrapper(
    name="shared",
    sentence="it decides first for users who have had less than others for their weight, in GPU-seconds or kWh of late",
    wrap=shared,
    read=_argument,
    arguments="gpu|energy,SLACK",
    parameters=(WEIGHTS,),
    needs=frozenset({"users"}),
)
