"""When waiting jobs are expected to start, and what a job would get, with intervals.

The start that is shown has every job end as all planners expect it: as predicted, and for a job that has overrun at a
renewed estimate (`kilowait.cluster.overrun`), never at once. The ends of its interval are the 5% and 95% quantiles over
draws of all run times, log-normal around their predictions: log T ~ N(log t, sd^2), and for a job that has run e
seconds already as T given T > e. A job that has outlived all but `OUTLIVED` of that distribution is one that it did not
foresee: its T is drawn as P(T > x) = e / x, whose median is twice as long as it has run, as the doubling of its
estimate has it. The interval says nothing about jobs that others will yet submit. All numbers are modelled.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from kilowait.cluster.advance import advance
from kilowait.cluster.events import JobSubmitted
from kilowait.cluster.state import Cluster
from kilowait.core.errors import JobRefused
from kilowait.core.jobs import Held, Job, Prediction
from kilowait.policies import Policy
from kilowait.policies.compiled_form import cost_of
from kilowait.simulate.ahead import PlannedRun, Supposed, run_ahead

PRIOR_SD = 0.65
"""Standard deviation of log(measured / predicted) before anything was measured here.

The default probe's median absolute percentage error is 41.5% in cross-validation by script (README): half of the
logarithms lie within about (ln 1.415 - ln 0.585) / 2 = 0.44 of 0, and 0.44 / 0.6745 = 0.65.
"""

ENOUGH = 20
"""From so many jobs measured here on, their errors count instead of the prior."""

WORK = 4000
"""Jobs that patient places over all draws, a costlier policy fewer.

A longer queue gets fewer draws, down to none (and then no interval).
"""

MOST_DRAWS = 40

OUTLIVED = 0.05
"""Jobs that were to take longer than one has run, below which its prediction says nothing about its rest."""

_STANDARD, _LEAST = NormalDist(), 1e-300
"""Above this probability its quantile is exact without logarithms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """How far run times lie from their predictions: `sd` of the logarithm, and where that is from."""

    sd: float = PRIOR_SD
    basis: str = "the default probe's error in cross-validation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A start and an end in seconds on the cluster's clock; the ends of the interval are None without draws. `where` is
    as `Active`'s."""

    gpu_type: str
    gpus: int
    start_s: float
    start_low_s: float | None
    start_high_s: float | None
    end_s: float
    energy_kwh: float
    where: tuple[Held, ...] = ()


def errors_of(pairs: Sequence[tuple[float, float]]) -> Errors:
    """The errors of (predicted, measured) seconds, the prior while there are too few."""
    logs = [math.log(measured / predicted) for predicted, measured in pairs if predicted > 0 and measured > 0]
    if len(logs) < ENOUGH:
        return Errors()
    return Errors(sd=float(np.sqrt(np.mean(np.square(logs)))), basis=f"{len(logs)} jobs measured here")


def outlook(cluster: Cluster, policy: Policy, now_s: float, errors: Errors, seed: int) -> dict[str, Expected]:
    """By job id, what is expected of every job that waits; one that would never start is left out."""
    return _expected(cluster, policy, now_s, errors, seed, None)


def what_if(
    cluster: Cluster,
    policy: Policy,
    now_s: float,
    job: Job,
    predictions: Mapping[str, Prediction],
    errors: Errors,
    seed: int,
) -> dict[str | None, Expected | str]:
    """What this job would get if it were submitted now: by GPU type that it may be held to, and under None if left
    to the policy. A text says why it can never run there."""
    types = [t for t in cluster.total if job.allowed is None or t in job.allowed]
    return {t: _if(cluster, policy, now_s, job, predictions, errors, seed, t) for t in (None, *types)}


def _if(
    cluster: Cluster,
    policy: Policy,
    now_s: float,
    job: Job,
    predictions: Mapping[str, Prediction],
    errors: Errors,
    seed: int,
    gpu_type: str | None,
) -> Expected | str:
    trial, time_s = cluster.copy(), max(now_s, cluster.now_s)
    trial_job = replace(job, submit_s=time_s, allowed=job.allowed if gpu_type is None else frozenset((gpu_type,)))
    if gpu_type is not None and (reason := cluster.obstacle(trial_job, predictions, gpu_type)):
        return reason
    try:
        advance(trial, JobSubmitted(time_s=time_s, job=trial_job, predictions=predictions))
    except JobRefused as refusal:
        return str(refusal)
    expected = _expected(trial, policy, time_s, errors, seed, {job.job_id})
    return expected.get(job.job_id, "it would not start although every GPU became free")


def _expected(
    cluster: Cluster, policy: Policy, now_s: float, errors: Errors, seed: int, job_ids: set[str] | None
) -> dict[str, Expected]:
    planned_runs = run_ahead(cluster.copy(), policy, now_s, None, job_ids)
    draws = min(MOST_DRAWS, WORK // (cost_of(policy) * (1 + len(cluster.waiting) + len(cluster.active))))
    rng = np.random.default_rng(seed)
    runs = [run_ahead(cluster.copy(), policy, now_s, _drawn(errors.sd, rng), job_ids) for _ in range(draws)]
    return {job_id: _one(job_id, planned, runs) for job_id, planned in planned_runs.items()}


def _one(job_id: str, planned: PlannedRun, runs: Sequence[Mapping[str, PlannedRun]]) -> Expected:
    starts = [run[job_id].start_s for run in runs if job_id in run]
    low, high = np.quantile(starts, [0.05, 0.95]).tolist() if starts else (None, None)
    return Expected(
        gpu_type=planned.gpu_type,
        gpus=planned.gpus,
        start_s=planned.start_s,
        start_low_s=None if low is None else min(low, planned.start_s),
        start_high_s=None if high is None else max(high, planned.start_s),
        end_s=planned.end_s,
        energy_kwh=planned.energy_kwh,
        where=planned.where,
    )


def quantile(share: float, predicted_s: float, run_s: float, sd: float) -> float:
    """The `share` quantile of T given T > `run_s`, log T ~ N(log `predicted_s`, `sd`^2)."""
    if sd == 0:
        return max(predicted_s, run_s)
    if share >= 1:
        return math.inf
    beyond = math.log(run_s / predicted_s) / sd if run_s > 0 else -math.inf
    left = _survival(beyond) * (1 - share)
    deviations = -_STANDARD.inv_cdf(left) if _LEAST < left < 1 else _far_deviations(beyond, share)
    return max(run_s, predicted_s * math.exp(sd * deviations))


def _survival(deviations: float) -> float:
    """The probability of more than so many standard deviations above the mean."""
    return math.erfc(deviations / math.sqrt(2)) / 2


def _far_deviations(beyond: float, share: float) -> float:
    """The same in logarithms: a job may overrun by so many deviations that no float holds the probability."""
    from scipy.special import log_ndtr, ndtri_exp  # takes longer than all else that a submission to Slurm waits for

    return -float(ndtri_exp(float(log_ndtr(-beyond)) + math.log1p(-share)))


def has_outlived(predicted_s: float, run_s: float, sd: float) -> bool:
    """Whether a job has run longer than all but `OUTLIVED` of those with this prediction would take."""
    if sd == 0:
        return run_s >= predicted_s
    return run_s > 0 and _survival(math.log(run_s / predicted_s) / sd) < OUTLIVED


def _drawn(sd: float, rng: np.random.Generator) -> Supposed:
    def drawn(_: str, predicted_s: float, run_s: float) -> float:
        share = rng.uniform()
        if has_outlived(predicted_s, run_s, sd):
            return run_s / (1 - share)
        return quantile(share, predicted_s, run_s, sd)

    return drawn
