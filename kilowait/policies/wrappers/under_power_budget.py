"""The power budget that a cluster has been told of, around whatever policy decides: it holds without being named.

As POLCA does (Patel et al., "Characterizing power management opportunities for LLMs in the cloud", ASPLOS 2024), power
limits of the least urgent jobs are lowered first when watts are short, and raised again only once some are to spare.
Where the lowest limits are not enough, jobs that go on from checkpoints give way, the least urgent first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from kilowait.cluster.giving_way import least_urgent_first
from kilowait.cluster.restricted import with_jobs
from kilowait.cluster.standing import Active, Waiting
from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Job, Prediction
from kilowait.core.units import WHOLE
from kilowait.policies.compiled_form import cost_of, with_cost
from kilowait.policies.decisions import Decision, Place, Policy, Preempt, SetLimit
from kilowait.policies.limiting.limit_choices import curve_of, limit_choices
from kilowait.policies.limiting.limit_price import LimitPrice
from kilowait.policies.limiting.promised_watts import (
    BUDGET,
    CLOSE_W,
    LEAD_S,
    at_rest_w,
    budget_w,
    fixed_w,
    least_budget_w,
    least_more_w,
    more_w,
    promised_w,
)
from kilowait.policies.planning.coming_hours import AHEAD_S, ask_at

SPARE = 0.05
"""Limits are raised while this share of the budget stays free, so that they are not lowered again at once."""


def under_power_budget(policy: Policy) -> Policy:
    """`policy`, under which boards and their hosts never draw more than the signal `power_budget` says.

    What it places gets a power limit: jobs of a priority above 0 the highest (`limit_choices`) that there are watts
    for, others the cheapest (`LimitPrice`). For a more urgent job the limits of less urgent ones are lowered. While
    there are no watts for a job, what the policy places behind it waits too; but not behind one that the present budget
    could never let run, nor behind one that cannot give way and has no room in a later budget.
    """

    def decide(cluster: Cluster) -> list[Decision]:
        if BUDGET not in cluster.signals:
            return policy(cluster)
        if budget_w(cluster) == inf:
            lifted = (SetLimit(job_id=k, limit_w=None) for k, one in cluster.active.items() if one.limit_w is not None)
            return [*lifted, *policy(cluster)]
        watts = _Watts.of(cluster)
        watts.keep_within()
        watts.raise_limits(urgent=True)
        cluster.count_submissions()
        seen = [waiting for waiting in cluster.queue() if watts.may_start(waiting)]
        watts.place(policy(cluster if len(seen) == len(cluster.waiting) else with_jobs(cluster, seen)))
        watts.raise_limits(urgent=False)
        _wake(cluster)
        return watts.decisions()

    return with_cost(decide, cost_of(policy))


def _wake(cluster: Cluster) -> None:
    """Have the policy asked when the budget changes, and before, while anybody waits or runs."""
    now_s = cluster.now_s
    times_s = [at for step in _changes(cluster) for at in (step - LEAD_S, step) if at > now_s]
    if times_s and (cluster.active or any(_could_start(cluster, one) for one in cluster.queue())):
        ask_at(cluster, min(times_s))


def _changes(cluster: Cluster) -> list[float]:
    """When the budget is another one, as far as that matters now."""
    signal, until_s = cluster.signals[BUDGET], cluster.now_s + AHEAD_S
    ends = not signal.period_s and cluster.now_s < signal.ends_s <= until_s
    return [*signal.changes(cluster.now_s, until_s), *([signal.ends_s] if ends else [])]


def _could_start(cluster: Cluster, waiting: Waiting) -> bool:
    """Whether a later budget has room for a job, were nobody else there."""
    signal = cluster.signals[BUDGET]
    most_w = max(inf if at >= signal.ends_s and not signal.period_s else signal.at(at) for at in _changes(cluster))
    if waiting.job.checkpoint_s is None:
        most_w = min(most_w, least_budget_w(cluster, _changes(cluster)[-1]))
    least_w = min(least_more_w(waiting.job, told, t) for t, told in waiting.predictions.items() if t in waiting.gpus)
    return at_rest_w(cluster) + least_w <= most_w + CLOSE_W


@dataclass(slots=True, kw_only=True)
class _Watts:
    """Who has which limit in this decision, and the watts that are promised by that.

    `least_w` is the least budget that is known to come, `rest_w` what boards draw at rest, `fixed_w` what is drawn
    whatever is decided.
    """

    cluster: Cluster
    budget_w: float
    least_w: float
    promised_w: float
    rest_w: float
    fixed_w: float
    limits: dict[str, float | None]
    gone: list[Preempt]
    starts: list[Decision]
    price: LimitPrice

    @classmethod
    def of(cls, cluster: Cluster) -> "_Watts":
        return cls(
            cluster=cluster,
            budget_w=budget_w(cluster),
            least_w=least_budget_w(cluster),
            promised_w=promised_w(cluster),
            rest_w=at_rest_w(cluster),
            fixed_w=fixed_w(cluster),
            limits={job_id: active.limit_w for job_id, active in cluster.active.items()},
            gone=[],
            starts=[],
            price=LimitPrice(),
        )

    def keep_within(self) -> None:
        """Lower limits while more is promised than there is, and let jobs give way where that is not enough."""
        self._lower(self._least_urgent(), self.promised_w - self.budget_w)
        for active in self._least_urgent():
            if self.promised_w <= self.budget_w + CLOSE_W:
                return
            if active.job.checkpoint_s is not None:
                self._stops(active.job.job_id)
                self.gone.append(Preempt(job_id=active.job.job_id))

    def place(self, decisions: Sequence[Decision]) -> None:
        """Start what there are watts for, in the order of the policy."""
        gone = {one.job_id for one in self.gone}
        for decision in decisions:
            if decision.job_id in gone:
                continue
            if isinstance(decision, Preempt):
                self._stops(decision.job_id)
            if not isinstance(decision, Place):
                self.starts.append(decision)
            elif not self._starts(decision):
                return

    def raise_limits(self, *, urgent: bool) -> None:
        """Give limits back that were lowered, the most urgent first: to urgent jobs at the expense of the others, to
        these where watts are to spare."""
        for active in reversed(self._least_urgent()):
            job, gpu_type, old_w = active.job, active.gpu_type, self.limits[active.job.job_id]
            if old_w is None or (job.priority > 0) != urgent:
                continue
            told, has_w = active.whole[gpu_type], self._has_w(active)
            self.promised_w -= has_w
            if urgent:
                self._make_room(job, told, gpu_type)
            room_w = (1.0 if urgent else 1 - SPARE) * self.budget_w - self.promised_w
            self.promised_w += has_w
            chosen = self._chosen(active, gpu_type, told, room_w)
            if chosen is not None and chosen > old_w:
                self._set(active, chosen)

    def decisions(self) -> list[Decision]:
        """Limits that fall, what gives way, what starts, and then limits that rise."""
        falling, rising = list[Decision](), list[Decision]()
        for job_id, new_w in self.limits.items():
            old_w = self.cluster.active[job_id].limit_w
            if new_w is not None and new_w != old_w:
                rises = old_w is not None and new_w > old_w
                (rising if rises else falling).append(SetLimit(job_id=job_id, limit_w=new_w))
        return [*falling, *self.gone, *self.starts, *rising]

    def may_start(self, waiting: Waiting) -> bool:
        """Whether a job could start now on any type, were others to end."""
        seen = ((t, waiting.predictions[t]) for t in waiting.gpus)
        return any(self._possible(waiting.job, least_more_w(waiting.job, told, t)) for t, told in seen)

    def _least_urgent(self) -> list[Active]:
        """The running jobs that stay, the least urgent first, and of these the last that started."""
        staying = (one for job_id, one in self.cluster.active.items() if job_id in self.limits)
        return sorted(staying, key=least_urgent_first)

    def _has_w(self, active: Active) -> float:
        return more_w(active.job, active.gpu_type, active.gpus, self.limits[active.job.job_id])

    def _set(self, active: Active, limit_w: float) -> None:
        before_w = self._has_w(active)
        self.limits[active.job.job_id] = limit_w
        self.promised_w += self._has_w(active) - before_w

    def _stops(self, job_id: str) -> None:
        if job_id in self.limits:
            active = self.cluster.active[job_id]
            self.promised_w -= self._has_w(active)
            del self.limits[job_id]

    def _lower(self, jobs: Sequence[Active], short_w: float) -> None:
        """Lower limits, one job after the other, until so many watts are free or all are at their lowest."""
        for active in jobs:
            if short_w <= CLOSE_W:
                return
            has_w, before_w = self._has_w(active), self.promised_w
            lower = [limit_w for limit_w in self._choices(active) if self._more_w(active, limit_w) < has_w]
            enough = [limit_w for limit_w in lower if has_w - self._more_w(active, limit_w) >= short_w]
            if lower:
                self._set(active, enough[0] if enough else lower[-1])
                short_w -= before_w - self.promised_w

    def _choices(self, active: Active) -> list[float]:
        if active.job.gpu_milli != WHOLE:
            return []
        return limit_choices(active.whole[active.gpu_type], active.job, active.gpu_type)

    def _more_w(self, active: Active, limit_w: float) -> float:
        return more_w(active.job, active.gpu_type, active.gpus, limit_w)

    def _starts(self, place: Place) -> bool:
        """Start a job where there are watts for it; False where it is to wait, and those behind it too."""
        one, gpu_type = self.cluster.waiting.get(place.job_id) or self.cluster.active[place.job_id], place.gpu_type
        job, told = one.job, one.predictions[gpu_type]
        least_w = least_more_w(job, told, gpu_type)
        if not self._possible(job, least_w):
            return True  # nobody waits for what cannot start now, whatever else ends
        self._make_room(job, told, gpu_type)
        limit_w = self._chosen(one, gpu_type, told, self.budget_w - self.promised_w)
        if limit_w is None:
            return False
        self.promised_w += more_w(job, gpu_type, job.gpus_on(gpu_type), limit_w)
        self.fixed_w += least_w if job.checkpoint_s is None else 0.0
        whole = job.gpu_milli == WHOLE
        self.starts.append(
            Place(job_id=place.job_id, gpu_type=gpu_type, where=place.where, limit_w=limit_w if whole else None)
        )
        return True

    def _possible(self, job: Job, least_w: float) -> bool:
        """Whether there could be so many watts for a job now, and when the budget falls, unless it can give way."""
        if self.rest_w + least_w > self.budget_w + CLOSE_W:
            return False
        return job.checkpoint_s is not None or self.fixed_w + least_w <= self.least_w + CLOSE_W

    def _make_room(self, job: Job, told: Prediction, gpu_type: str) -> None:
        """Lower the limits of less urgent jobs where that lets this one start, an urgent one at its highest limit."""
        gpus, choices = job.gpus_on(gpu_type), limit_choices(told, job, gpu_type)
        below = [active for active in self._least_urgent() if active.job.priority < job.priority]
        had_w = sum(self._has_w(active) - self._lowest_w(active) for active in below)
        room_w = self.budget_w - self.promised_w
        if below and more_w(job, gpu_type, gpus, choices[-1]) <= room_w + had_w + CLOSE_W:
            wanted_w = more_w(job, gpu_type, gpus, choices[0 if job.priority > 0 else -1])
            self._lower(below, min(wanted_w, room_w + had_w) - room_w)

    def _lowest_w(self, active: Active) -> float:
        choices = self._choices(active)
        return min(self._has_w(active), self._more_w(active, choices[-1])) if choices else self._has_w(active)

    def _chosen(self, one: Waiting | Active, gpu_type: str, told: Prediction, room_w: float) -> float | None:
        """The limit of a job that starts or goes on now; None where there are watts for none."""
        job, gpus = one.job, one.job.gpus_on(gpu_type)
        fit = [
            limit_w
            for limit_w in limit_choices(told, job, gpu_type)
            if more_w(job, gpu_type, gpus, limit_w) <= room_w + CLOSE_W
        ]
        if not fit or job.priority > 0 or job.gpu_milli != WHOLE:
            return fit[0] if fit else None
        return self.price.at_start(self.cluster, one, gpu_type, curve_of(told, fit, gpus))
