"""Jobs that can wait are kept for cheaper hours, around any policy: less carbon, water or money for the same work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from kilowait.cluster.restricted import lent, with_jobs
from kilowait.cluster.standing import Postponed, Waiting
from kilowait.cluster.state import Cluster
from kilowait.cluster.views.room import Room
from kilowait.core.errors import InputError
from kilowait.core.jobs import Prediction
from kilowait.core.over_time.deadlines import latest_start_s
from kilowait.core.over_time.price_list import PriceList
from kilowait.core.over_time.signals import Signal
from kilowait.core.over_time.time_text import seconds
from kilowait.policies.decisions import Decision, Place, Policy, checked_weight
from kilowait.policies.parameters import Parameter
from kilowait.policies.planning.cheapest_hours import Hours, PricedStart, cheaper_later, saves_enough
from kilowait.policies.planning.profile import Profile
from kilowait.policies.planning.stops import Stops
from kilowait.policies.wrappers.wrapper import Wrapper

BY_DEFAULT = {"carbon": PriceList(usd_per_kg_co2=1.0), "price": PriceList(), "water": PriceList(usd_per_l=1.0)}
"""By signal, what counts where no prices are given: that alone, and waiting is free."""

MOST_ADDED_MISSES = 0.01
"""How much larger the chance to miss a deadline may be for a job that is kept than for one that starts at once."""

ROUNDS = 2
"""How often the policy is asked in one decision: again without those that are kept, so that others get their room."""

LOOKED_AT_S = 1800.0
"""For so long a kept job is not looked at again where no signal is new: boards may have come free meanwhile."""


def flexible(policy: Policy, slack_s: float = 0.0, *, prices: PriceList | None = None) -> Policy:
    """`policy`, whose starts wait for hours at which their energy costs less.

    A kWh costs what the signals that the cluster knows (carbon, price, water) and `prices` make of it; without prices
    the first of these signals counts alone. A job may be kept for as long after its submission as its own `slack_s`
    says, else for `slack_s` of this policy. What `policy` would start now is kept instead where a start within that
    time costs less, with an hour of waiting at its price, on any type on which it ends no later than it may on the one
    chosen. Boards are reserved for it, as in conservative backfilling, by what running jobs are expected to take: so no
    more jobs are kept for an hour than can run in it, and it starts then. Meanwhile it blocks no job that cannot wait;
    one that can wait until behind it is not started where it would delay it. When a signal is reported anew, and else
    at times, kept jobs are looked at again: each moves to hours that cost less by what is known then, or to sooner ones
    that cost the same, or starts where waiting no longer saves enough. Keeping a job adds no more than a
    hundredth to the chance that it misses its deadline, by the interval of its run. `policy` does not see kept jobs.
    Where nothing varies nothing is kept, and only the proportions of prices count.

    A job that says how long it takes to go on from a checkpoint (`checkpoint_s`) is stopped too while hours are dear,
    so that it ends no later than a whole one that waited for all its slack.

    What `policy` promises about waiting holds from the end of a job's slack on. Raises InputError for a slack that is
    negative or not finite.
    """
    checked_weight("slack_s", slack_s)
    if prices is not None and not isinstance(prices, PriceList):
        raise InputError(f"flexible: prices must be a kilowait.core.over_time.price_list.PriceList, got {prices!r}")
    known = _CostOverTime(prices)

    def flexible(cluster: Cluster) -> list[Decision]:
        list_, cost = known.at(cluster)
        if cost is None or not (cluster.waiting or _may_stop(cluster)):
            return policy(cluster)
        return _Round(cluster, policy, cost, list_.usd_per_h_waiting, slack_s, known.since_s).decisions()

    return flexible


def _may_stop(cluster: Cluster) -> bool:
    return any(active.job.checkpoint_s is not None for active in cluster.active.values())


def prices_by_default(signals: Mapping[str, Signal]) -> PriceList:
    """What counts where no prices are given: the first of `BY_DEFAULT` that there is a signal of."""
    return next((prices for name, prices in BY_DEFAULT.items() if name in signals), PriceList())


class _CostOverTime:
    """What a kWh costs by the signals of a cluster, anew when one of them is reported; since when that is known."""

    def __init__(self, prices: PriceList | None) -> None:
        self._prices, self._signals = prices, dict[str, Signal]()
        self._cost: Signal | None = None
        self.since_s = -inf

    def at(self, cluster: Cluster) -> tuple[PriceList, Signal | None]:
        """The prices that count, and USD a kWh over time; None where no signal has a price."""
        signals = cluster.signals
        prices = self._prices or prices_by_default(signals)
        if any(self._signals.get(name) is not signal for name, signal in signals.items()):
            self._signals, self._cost, self.since_s = dict(signals), prices.over_time(signals), cluster.now_s
        return prices, self._cost


@dataclass(slots=True)
class _Round:
    """One decision. `cluster.kept` says which jobs are kept, `planned` has their boards and those of running jobs."""

    cluster: Cluster
    policy: Policy
    cost: Signal
    usd_per_h_waiting: float
    slack_s: float
    known_since_s: float
    planned: Profile = field(init=False)
    stops: Stops = field(init=False)
    late: set[str] = field(default_factory=set)
    """Jobs that can wait until there is room behind kept ones, and would delay them now."""

    def decisions(self) -> list[Decision]:
        """Kept jobs whose time has come, and what the policy starts on the boards that these leave."""
        cluster, room = self.cluster, self.cluster.room()
        due, self.planned = dict[str, Decision](), Profile(cluster)
        self.stops = Stops(
            cluster=cluster,
            cost=self.cost,
            usd_per_h_waiting=self.usd_per_h_waiting,
            slack_s=self.slack_s,
            added_misses=MOST_ADDED_MISSES,
        )
        self._forget()
        for job_id, kept in list(cluster.kept.items()):
            waiting = cluster.waiting.get(job_id)
            if waiting is None:
                continue
            if kept.until_s > cluster.now_s:
                self._reserve(self.planned, waiting, kept.gpu_type, kept.until_s)
                continue
            del cluster.kept[job_id]  # where its boards are not free it is the policy's again
            if kept.gpu_type in waiting.gpus and room.fits(waiting, kept.gpu_type):
                room.take(waiting, kept.gpu_type)
                self._reserve(self.planned, waiting, kept.gpu_type, cluster.now_s)
                due[job_id] = Place(job_id=job_id, gpu_type=kept.gpu_type)
        due |= self._looked_at_again(room)
        stopped = self.stops.decisions(self.planned, self.known_since_s)
        if not room:
            return [*stopped, *due.values()]
        with lent(cluster, room):
            stop = {one.job_id for one in stopped}  # the policy may want the same of them, or move them
            return [*stopped, *due.values(), *(one for one in self._others(due) if one.job_id not in stop)]

    def _looked_at_again(self, room: Room) -> dict[str, Decision]:
        """Kept jobs that start now, by what was reported since they were planned; others move to better hours."""
        cluster, due = self.cluster, dict[str, Decision]()
        for job_id, kept in list(cluster.kept.items()):
            waiting = cluster.waiting.get(job_id)
            if waiting is None or kept.since_s >= max(self.known_since_s, cluster.now_s - LOOKED_AT_S):
                continue
            self._reserve(self.planned, waiting, kept.gpu_type, kept.until_s, -1)
            if kept.gpu_type not in waiting.gpus:  # its nodes have left: it is the policy's again
                del cluster.kept[job_id]
                continue
            best = self._best(waiting, kept, room)
            if best.start_s == cluster.now_s:
                del cluster.kept[job_id]
                room.take(waiting, best.gpu_type)
                due[job_id] = Place(job_id=job_id, gpu_type=best.gpu_type)
            else:
                cluster.kept[job_id] = Postponed(until_s=best.start_s, gpu_type=best.gpu_type, since_s=cluster.now_s)
            self._reserve(self.planned, waiting, best.gpu_type, best.start_s)
        return due

    def _best(self, waiting: Waiting, kept: Postponed, room: Room) -> PricedStart:
        """Where a kept job starts best by what is known now: as planned or sooner for the same, at hours that cost
        clearly less, or at once where waiting no longer saves enough."""
        told, latest_s, now_s = waiting.predictions[kept.gpu_type], self._latest_s(waiting), self.cluster.now_s
        if waiting.job.checkpoint_s is not None:
            start_s, gpu_type = self.stops.start(self.planned, waiting, kept.gpu_type)
            start_s = start_s if start_s > now_s or room.fits(waiting, gpu_type) else kept.until_s
            return PricedStart(0.0, start_s, gpu_type)
        hours, latest = self._hours(waiting, latest_s), self._latest(waiting, told, latest_s)
        as_planned = PricedStart(hours.at(kept.until_s, told), kept.until_s, kept.gpu_type)
        sooner = [(gpu_type, min(until_s, kept.until_s)) for gpu_type, until_s in latest]
        best = cheaper_later(self.planned, hours, waiting, as_planned, sooner, least_saving=-1e-9)
        best = cheaper_later(self.planned, hours, waiting, best, latest)
        if saves_enough(best.cost, hours.now(told)) or not room.fits(waiting, kept.gpu_type):
            return best
        milli = waiting.job.milli_on(kept.gpu_type)
        at_once = self.planned.earliest_s(kept.gpu_type, milli, told.runtime_s) == now_s
        return PricedStart(hours.now(told), now_s, kept.gpu_type) if at_once else best

    def _forget(self) -> None:
        """Whoever runs or is over is kept no more."""
        cluster = self.cluster
        for job_id in [one for one in cluster.kept if one in cluster.active or one in cluster.over]:
            del cluster.kept[job_id]

    def _others(self, due: dict[str, Decision]) -> Sequence[Decision]:
        cluster, found = self.cluster, list[Decision]()
        for _ in range(ROUNDS):
            hidden = cluster.kept.keys() | due.keys() | self.late
            shown = [waiting for waiting in cluster.queue() if waiting.job.job_id not in hidden]
            if not shown:
                return []
            found = self.policy(cluster if len(shown) == len(cluster.waiting) else with_jobs(cluster, shown))
            trial = self.planned.copy()
            kept = [one for one in found if isinstance(one, Place) and self._is_kept(trial, one)]
            if not kept:
                return found
            found = [one for one in found if one not in kept]
        return found

    def _is_kept(self, trial: Profile, decision: Place) -> bool:
        """Whether a job does not start though the policy would start it; `trial` has what starts before it too."""
        cluster, waiting = self.cluster, self.cluster.waiting.get(decision.job_id)
        if waiting is None:  # it runs, and moves
            return False
        told, milli = waiting.predictions[decision.gpu_type], waiting.job.milli_on(decision.gpu_type)
        latest_s = self._latest_s(waiting)
        start_s, gpu_type = cluster.now_s, decision.gpu_type
        if waiting.job.checkpoint_s is None:
            may_wait_until_s = self._latest_on_s(waiting, gpu_type, latest_s, inf)
        else:
            may_wait_until_s = self.stops.end_s(waiting, gpu_type) - told.runtime_s
        if may_wait_until_s > start_s:
            if start_s < trial.earliest_s(gpu_type, milli, told.runtime_s) <= may_wait_until_s:
                self.late.add(decision.job_id)
                return True
            start_s, gpu_type = self._start(trial, waiting, gpu_type, latest_s)
        self._reserve(trial, waiting, gpu_type, start_s)
        if start_s == cluster.now_s:
            return False
        self._reserve(self.planned, waiting, gpu_type, start_s)
        cluster.kept[decision.job_id] = Postponed(until_s=start_s, gpu_type=gpu_type, since_s=cluster.now_s)
        return True

    def _start(self, trial: Profile, waiting: Waiting, gpu_type: str, latest_s: float) -> tuple[float, str]:
        """When and on which type a job starts that could start on one now."""
        if waiting.job.checkpoint_s is not None:
            return self.stops.start(trial, waiting, gpu_type)
        told, hours = waiting.predictions[gpu_type], self._hours(waiting, latest_s)
        at_once = PricedStart(hours.now(told), self.cluster.now_s, gpu_type)
        best = cheaper_later(trial, hours, waiting, at_once, self._latest(waiting, told, latest_s))
        return best.start_s, best.gpu_type

    def _latest(self, waiting: Waiting, told: Prediction, latest_s: float) -> list[tuple[str, float]]:
        """Until when a job may be kept for each of its types: `told` is of the one on which it would start now."""
        done_s = latest_s + told.runtime_s
        return [(gpu_type, self._latest_on_s(waiting, gpu_type, latest_s, done_s)) for gpu_type in waiting.gpus]

    def _latest_s(self, waiting: Waiting) -> float:
        own = waiting.job.slack_s
        return waiting.waits_since_s + (self.slack_s if own is None else own)

    def _latest_on_s(self, waiting: Waiting, gpu_type: str, latest_s: float, done_s: float) -> float:
        """Until when a job may be kept for a type: it is done by `done_s`, as predicted, and by its deadline."""
        told, deadline_s = waiting.predictions[gpu_type], waiting.job.deadline_s
        found_s = min(latest_s, done_s - told.runtime_s)
        if deadline_s is None:
            return found_s
        return min(found_s, latest_start_s(told, deadline_s, waiting.waits_since_s, MOST_ADDED_MISSES))

    def _hours(self, waiting: Waiting, latest_s: float) -> Hours:
        longest_s = max(waiting.predictions[gpu_type].runtime_s for gpu_type in waiting.gpus)
        return Hours.of(self.cost, self.cluster.now_s, latest_s + longest_s, self.usd_per_h_waiting)

    def _reserve(self, profile: Profile, waiting: Waiting, gpu_type: str, start_s: float, sign: int = 1) -> None:
        """Take its boards from then on; with -1 give them back."""
        end_s = start_s + waiting.predictions[gpu_type].runtime_s
        profile.take(gpu_type, sign * waiting.job.milli_on(gpu_type), start_s, end_s)


def _not_from_text(text: str) -> Any:
    raise InputError(f"prices are a PriceList, which no text says; got {text!r}")


WRAPPER = Wrapper(
    name="flexible",
    sentence="a job is kept within its slack (that of the job, else TIME, 0 by default) for hours at which its energy "
    "costs less by the signals of carbon, price and water",
    wrap=flexible,
    read=seconds,
    arguments="TIME",
    parameters=(
        Parameter(
            name="prices",
            sentence="what a kWh, a kg of CO2, a litre and an hour of waiting cost",
            default_means="carbon alone",
            read=_not_from_text,
            option=False,
        ),
    ),
    needs=frozenset({"signals"}),
    inside=frozenset({"provisioned"}),
)
