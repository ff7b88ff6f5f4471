"""Value under uncertainty: as `value`, with the tail expectations of run time and energy in place of their points."""

import math
from dataclasses import replace
from functools import lru_cache
from statistics import NormalDist

from kilowait.cluster.state import Cluster
from kilowait.cluster.views.ranking import Key
from kilowait.core.errors import InputError
from kilowait.core.jobs import Prediction
from kilowait.core.log_normal import TO_END
from kilowait.policies.decisions import Decision, Policy
from kilowait.policies.parameters import Parameter
from kilowait.policies.rule import Rule
from kilowait.policies.value import KAPPA, KAPPA_RELATIVE, place_what_fits, value_key

DEFAULT_RISK = 0.5
"""The mean of the worse half."""

_NORMAL = NormalDist()


def value_cvar(
    *, kappa: float | None = None, kappa_relative: float | None = None, risk: float = DEFAULT_RISK
) -> Policy:
    """A policy that places, best first, every pair that fits, by v_ij = 1 / (a_ij * CVaR[t_ij]) - kappa * CVaR[e_ij].

    `kappa`, per kWh, or `kappa_relative` as for `value`; s and E of the relative form stay means of the points.
    CVaR[x] is the mean of x over the worst 1 - `risk` of its cases, 0 <= risk < 1. Run time and energy are taken as
    log-normal, with the ends of their interval as the quantiles that they stand for. Without an interval, or where
    it has no width, CVaR[x] is the point itself, so that the policy is `value` where nothing is uncertain. Where
    all jobs are equally uncertain it is `value` with a larger kappa: it changes the order of jobs only where the
    widths of their intervals differ.

    Why this form: with risk = 0 a pair is rated by 1 / (a_ij E[t_ij]), which is the rule of Rothkopf, "Scheduling
    with random service times", Management Science 12 (1966): on one machine the order of weight over expected time
    has the least expected waiting. The expectation of 1 / (a_ij t_ij) is none of that: it grows with the width, and
    jobs that nobody knows anything about would go first. Above 0, CVaR (Rockafellar and Uryasev, "Optimization of
    conditional value-at-risk", Journal of Risk 2, 2000) asks for more certainty and is coherent (Artzner et al.,
    "Coherent measures of risk", Mathematical Finance 9, 1999): a pair that takes less in every case is never rated
    below another. A mean less a multiple of the standard deviation lacks that. Optimism (an upper confidence bound)
    pays where trying a job teaches something about later ones, which it does not do here. Value with CVaR is ours.

    Raises InputError for a risk outside [0, 1), and unless exactly one kappa is given, finite and >= 0.
    """
    key_of = value_key(kappa=kappa, kappa_relative=kappa_relative)
    if not 0 <= risk < 1:
        raise InputError(f"risk must be >= 0 and < 1, got {risk!r}")

    @lru_cache(maxsize=1)  # one key for as long as the order is the same, as `value_key` has it
    def averse(key: Key) -> Key:
        return lambda job, gpu_type, prediction: key(job, gpu_type, at_risk(prediction, risk))

    def value_cvar(cluster: Cluster) -> list[Decision]:
        decisions: dict[str, Decision] = {}
        place_what_fits(cluster, averse(key_of(cluster)), cluster.room(), decisions)
        return list(decisions.values())

    return value_cvar


def at_risk(seen: Prediction, risk: float) -> Prediction:
    """A prediction with CVaR at level `risk` in place of its points, and no intervals any more."""
    return replace(
        seen,
        runtime_s=cvar(seen.runtime_s, seen.runtime_low_s, seen.runtime_high_s, risk),
        energy_kwh=cvar(seen.energy_kwh, seen.energy_low_kwh, seen.energy_high_kwh, risk),
        runtime_low_s=None,
        runtime_high_s=None,
        energy_low_kwh=None,
        energy_high_kwh=None,
    )


def cvar(point: float, low: float | None, high: float | None, risk: float) -> float:
    """The mean over the worst 1 - `risk` of a log-normal's cases, in the unit of `point`; `point` without a width.

    With median m and deviation s of the logarithm it is m exp(s^2 / 2) Phi(s - z) / (1 - risk), where z is the
    standard normal quantile of `risk` (Norton, Khokhlov and Uryasev, "Calculating CVaR and bPOE for common
    probability distributions", Annals of Operations Research 299, 2021).
    """
    if low is None or high is None or low == high:
        return point
    sigma = (math.log(high) - math.log(low)) / (2 * TO_END)
    share = _NORMAL.cdf(sigma - _NORMAL.inv_cdf(risk)) if risk else 1.0
    logarithm = (math.log(low) + math.log(high) + sigma**2) / 2 + math.log(share / (1 - risk))
    return math.exp(min(logarithm, 700.0))  # finite, however wide an interval is


RULE = Rule(
    name="value_cvar",
    sentence="as value, but a pair is rated by the mean of the worst cases of its prediction interval",
    detail="the worst 1 - risk of them",
    make=value_cvar,
    parameters=(
        KAPPA,
        KAPPA_RELATIVE,
        Parameter(
            name="risk",
            sentence="0 rates by means, towards 1 by the worst cases",
            default=DEFAULT_RISK,
            metavar="R",
        ),
    ),
    needs=frozenset({"intervals"}),
    place=120,
)
