"""Limits of users and groups around any policy: on GPUs at a time, on jobs in the queue, on kWh a month."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kilowait.cluster.restricted import with_jobs
from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.cluster.views.usage import price_per_hour
from kilowait.core.errors import InputError
from kilowait.core.units import HOUR_S, WHOLE
from kilowait.policies.decisions import Decision, Place, Policy
from kilowait.policies.parameters import Parameter, user_groups
from kilowait.policies.planning.giving_way_for import undone_by
from kilowait.policies.wrappers.wrapper import Wrapper

Counted = Literal["gpus", "jobs", "kwh", "cost"]
MONTHLY = ("kwh", "cost")
WORD = re.compile(r"(\d+(?:\.\d+)?)(gpus|jobs|kwh|)(/group|)", re.IGNORECASE)
CLOSE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most `amount` GPUs held at a time, waiting jobs that count, or kWh or cost of GPUs a month, of a user or of a
    whole group."""

    counted: Counted
    amount: float
    of_group: bool = False

    def __post_init__(self) -> None:
        if self.amount <= 0 or (self.counted not in MONTHLY and self.amount != int(self.amount)):
            unit = {"gpus": "GPUs", "jobs": "jobs", "kwh": "kWh", "cost": "cost"}[self.counted]
            least = "> 0" if self.counted in MONTHLY else ">= 1, and whole"
            raise InputError(f"limited: {unit} must be {least}, got {self.amount!r}")

    @classmethod
    def of(cls, text: str) -> "Limit":
        """From `8` or `8gpus`, `100jobs`, `50kwh`, each with `/group` behind it or not; raises InputError."""
        found = WORD.fullmatch(text.strip())
        if found is None:
            raise InputError(f"limited: {text!r} is not a number of GPUs, as in limited(patient,8,100jobs,50kwh/group)")
        counted: dict[str, Counted] = {"": "gpus", "gpus": "gpus", "jobs": "jobs", "kwh": "kwh"}
        return cls(counted=counted[found[2].lower()], amount=float(found[1]), of_group=bool(found[3]))


def limited(policy: Policy, limit: Limit | int, *more: Limit | int, groups: Mapping[str, str] | None = None) -> Policy:
    """`policy`, under which no user, or group of users, has more than these limits; a number alone counts GPUs.

    gpus: held at a time. kwh: the predicted energy of what runs and of what has ended within 30 days. jobs: of those
    that wait, only the first so many of a user are seen; the others wait behind them, and nothing is refused.

    A job that would take its user above a limit is not seen by `policy`, on whatever type, and of what it places in one
    decision the first so many are kept. A job that exceeds a limit by itself, on every type that it can use, may run
    while nothing of its user counts there, since it could never start otherwise. `groups` says who belongs to which
    group; whoever is in none is limited as a user alone, and jobs without a user are not limited. Raises InputError for
    a limit that is not above 0.
    """
    checked = [one if isinstance(one, Limit) else Limit(counted="gpus", amount=one) for one in (limit, *more)]
    group_of = dict(groups or {})

    def limited(cluster: Cluster) -> list[Decision]:
        cluster.count_submissions()
        had = {counted: amounts(counted, cluster) for counted in {limit.counted for limit in checked}}
        return within(policy, cluster, [LimitAccount.of(limit, had[limit.counted], group_of) for limit in checked])

    return limited


def within(policy: Policy, cluster: Cluster, accounts: Sequence["LimitAccount"]) -> list[Decision]:
    """What `policy` decides for the jobs that these accounts admit, without what would pass a limit beside the rest."""
    about = {
        user: [account for account in accounts if account.owner(user) is not None]
        for user in {waiting.job.user for waiting in cluster.queue()}
    }
    admitted = [(w, [account.admits(w) for account in about[w.job.user]]) for w in cluster.queue()]
    seen = [waiting for waiting, by_account in admitted if all(by_account)]
    kept, dropped = list[Decision](), set[str]()
    decisions = policy(cluster if len(seen) == len(cluster.waiting) else with_jobs(cluster, seen))
    for decision in decisions:
        waiting = cluster.waiting.get(decision.job_id)
        if isinstance(decision, Place) and waiting is not None:
            counts = about[waiting.job.user]
            if not all(account.allows(waiting, decision.gpu_type) for account in counts):
                dropped.add(decision.job_id)
                continue
            for account in counts:
                account.take(waiting, decision.gpu_type)
        kept.append(decision)
    undone = undone_by(cluster, decisions, dropped) if dropped else ()
    return [decision for decision in kept if decision.job_id not in undone]


@dataclass(slots=True, kw_only=True)
class LimitAccount:
    """What counts against one limit now, by user or group."""

    limit: Limit
    groups: Mapping[str, str]
    had: dict[str, float]

    @classmethod
    def of(cls, limit: Limit, had: Mapping[str | None, float], groups: Mapping[str, str]) -> "LimitAccount":
        """The account of a limit, `had` being what each user has of what it counts (`amounts`)."""
        account = cls(limit=limit, groups=groups, had=defaultdict(float))
        for user, amount in had.items():
            if (owner := account.owner(user)) is not None:
                account.had[owner] += amount
        return account

    def owner(self, user: str | None) -> str | None:
        """Against whom it counts, None for nobody."""
        return self.groups.get(user) if self.limit.of_group and user is not None else user

    def admits(self, waiting: Waiting) -> bool:
        """Whether the job could start on some type; of jobs, those that are asked about count one after the other."""
        owner = self.owner(waiting.job.user)
        if owner is None:
            return True
        if self.limit.counted == "jobs":
            self.had[owner] += 1
            return self.had[owner] <= self.limit.amount
        return self._within(owner, min(self._needs(waiting, gpu_type) for gpu_type in waiting.gpus))

    def allows(self, waiting: Waiting, gpu_type: str) -> bool:
        """Whether it may start there beside what was taken."""
        owner = self.owner(waiting.job.user)
        return owner is None or self.limit.counted == "jobs" or self._within(owner, self._needs(waiting, gpu_type))

    def take(self, waiting: Waiting, gpu_type: str) -> None:
        """It starts there."""
        if (owner := self.owner(waiting.job.user)) is not None and self.limit.counted != "jobs":
            self.had[owner] += self._needs(waiting, gpu_type)

    def _within(self, owner: str, more: float) -> bool:
        had = self.had[owner]
        return had <= 0 or had + more <= self.limit.amount * (1 + CLOSE)

    def _needs(self, waiting: Waiting, gpu_type: str) -> float:
        if self.limit.counted == "kwh":
            seen, told = waiting.predictions[gpu_type], waiting.whole[gpu_type]
            return max(seen.energy_kwh, told.energy_kwh if waiting.remaining == 1.0 else 0.0)
        gpus = waiting.job.milli_on(gpu_type) / WHOLE
        if self.limit.counted == "cost":
            return gpus * price_per_hour(gpu_type) * waiting.predictions[gpu_type].runtime_s / HOUR_S
        return gpus


def amounts(counted: Counted, cluster: Cluster) -> Mapping[str | None, float]:
    """By user, the GPUs that are held, or the kWh or cost of 30 days; jobs are counted as they are looked at."""
    if counted == "cost":
        return cluster.usage.month_cost(cluster.active.values(), cluster.now_s)
    if counted == "kwh":
        return cluster.usage.month_kwh(cluster.active.values(), cluster.now_s)
    held = defaultdict[str | None, float](float)
    for active in cluster.active.values() if counted == "gpus" else ():
        held[active.job.user] += active.gpus * active.job.gpu_milli / WHOLE
    return held


GROUPS = Parameter(
    name="groups",
    sentence="who belongs to which group, for limits of groups",
    default={},
    default_means="nobody to any",
    read=user_groups,
    metavar="USER=GROUP,...",
)

WRAPPER = Wrapper(
    name="limited",
    sentence="no user (or group, with /group behind a limit) holds more than so many GPUs at a time, has more than so "
    "many waiting jobs seen, or uses more kWh in 30 days",
    wrap=limited,
    read=Limit.of,
    arguments="GPUS[,Njobs][,Nkwh]",
    parameters=(GROUPS,),
    needs=frozenset({"users"}),
    limits=True,
)
