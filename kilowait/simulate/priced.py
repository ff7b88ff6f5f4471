"""A price list in a simulation: which parameters of a policy follow from it, and what a run costs."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from kilowait.core.over_time.price_list import PriceList
from kilowait.core.over_time.signals import Signal
from kilowait.core.units import HOUR_S
from kilowait.policies import Rule
from kilowait.simulate.run import Run, Submission
from kilowait.simulate.scores import Scores
from kilowait.simulate.signal_totals import SignalTotal

ENERGY_PARAMETERS = ("wait_s_per_kwh", "max_extra_wait"), ("kappa", "kappa_relative")
"""The parameters by which a policy weighs a kWh, each with what stands for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a run costs in USD, modelled: the cluster's energy with its carbon and water, hours of waiting and of GPUs,
    and deadlines that were missed.

    Where the idle power of a type is unknown, energy, carbon and water are those of the jobs alone.
    """

    energy: float
    carbon: float
    water: float
    waiting: float
    running: float
    missed_deadlines: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.energy + self.carbon + self.water + self.waiting + self.running + self.missed_deadlines


def usual_usd_per_kwh(prices: PriceList, signals: Mapping[str, Signal]) -> float:
    """USD a kWh with all that it brings, on average over the signals."""
    means = {name: s.mean(s.begins_s, s.ends_s) for name, s in signals.items() if name in ("price", "carbon", "water")}
    return prices.of_a_kwh(**means)


def priced_parameters(
    rule: Rule, given: Mapping[str, Any], prices: PriceList, usd_per_kwh: float, submissions: Iterable[Submission]
) -> dict[str, Any]:
    """The parameters with what a kWh is worth by the price list, where the policy weighs that and nothing was given.

    Raises InputError where the list has no price to weigh a kWh against.
    """
    (wait, _), (kappa, _) = ENERGY_PARAMETERS
    settled = {name: value for name, value in given.items() if value is not None}
    free = [names[0] for names in ENERGY_PARAMETERS if names[0] in rule.takes and not settled.keys() & set(names)]
    if wait in free:
        settled[wait] = prices.wait_s_per_kwh(usd_per_kwh)
    if kappa in free:
        settled[kappa] = prices.kappa(usd_per_kwh, _typical_gpu_s(submissions))
    return settled


def _typical_gpu_s(submissions: Iterable[Submission]) -> float:
    """The geometric mean of GPU-seconds over all jobs and types, as predicted; 1 without any."""
    logs = [
        math.log(one.job.amount_on(t) * prediction.runtime_s)
        for one in submissions
        for t, prediction in one.seen.items()
    ]
    return math.exp(fmean(logs)) if logs else 1.0


def bill(run: Run, scores: Scores, prices: PriceList, totals: Mapping[str, SignalTotal], missed: int = 0) -> Bill:
    """What a run costs; carbon and water only where their signals were given."""

    def of(name: str, usd: float) -> float:
        total = totals.get(name)
        return 0.0 if total is None else usd * (total.jobs if total.cluster is None else total.cluster)

    kwh = scores.energy_kwh if scores.cluster_energy_kwh is None else scores.cluster_energy_kwh
    return Bill(
        energy=of("price", 1.0) if "price" in totals else prices.usd_per_kwh * kwh,
        carbon=of("carbon", prices.usd_per_kg_co2),
        water=of("water", prices.usd_per_l),
        waiting=prices.usd_per_h_waiting * scores.total_wait_s / HOUR_S,
        running=prices.usd_per_h_running * math.fsum(p.gpu_s for p in run.placements) / HOUR_S,
        missed_deadlines=prices.usd_per_missed_deadline * missed,
    )
