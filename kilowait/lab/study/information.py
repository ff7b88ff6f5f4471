"""What a policy may know of a job: nothing, its user's guess, a model's prediction, or the truth; and injected errors.

Every kind of information is a frozen record, and `seen_through` is the one place that says what it does to a sample.
A scheduler always knows what was submitted: GPUs, allowed types, the time of submission. All of it is modelled; only
the errors in `MeasuredErrors` were measured, on other programs and other devices.

Sources: user estimates: Mu'alem and Feitelson, "Utilization, predictability, workloads, and user runtime estimates in
scheduling the IBM SP2 with backfilling", IEEE TPDS 12(6), 2001 (the f-model: an estimate is uniform between the run
time R and (f + 1) R), and Tsafrir, Etsion and Feitelson, "Modeling user runtime estimates", JSSPP 2005 (estimates are
a few round values). The menu of values and f are our choice. Level of an error: Morley, Brito and Welling, "Measures
of model performance based on the log accuracy ratio", Space Weather 16, 2018 (median symmetric accuracy).
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from kilowait.core.errors import InputError
from kilowait.core.hardware import GPU_TYPES, canonical
from kilowait.core.jobs import Prediction
from kilowait.core.units import DAY_S, HOUR_S, JOULES_PER_KWH
from kilowait.lab.backtest.scenario.noise import ErrorPool, with_noise
from kilowait.lab.backtest.scenario.paper_scenario import Sample
from kilowait.lab.backtest.scenario.type_model import REFERENCE_TYPE
from kilowait.simulate.run import Submission

_MINUTE_S = 60.0
MENU_S = (
    *(m * _MINUTE_S for m in (5, 10, 15, 20, 30)),
    *(h * HOUR_S for h in (1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 18)),
    *(d * DAY_S for d in (1, 1.5, 2, 3, 4, 5, 7)),
)
"""Round durations that people give, in seconds; beyond the last they give whole weeks."""

_QUARTILE = float(norm.ppf(0.75))
"""The median of |z| for a standard normal z."""
_SPAWN_KEY = 2
"""Samples draw from 0 and 1 (`paper_scenario` of the backtest): what is seen of a sample never moves the sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """The truth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoPrediction:
    """Every job looks the same: `typical` holds the mean seconds and kWh of a job by GPU type, from earlier jobs."""

    typical: Mapping[str, Prediction]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEstimates:
    """One guess a job whatever the type: its seconds R on the reference type, stretched and rounded up to `MENU_S`.

    The stretch is uniform in [1, 1 + `badness`]. Energy is nameplate: peak watts of the type times GPUs times guess.
    """

    badness: float = 4.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.badness) and self.badness >= 0):
            raise InputError(f"user estimates: badness must be finite and >= 0, got {self.badness!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredErrors:
    """The truth times errors that a trained model made out of fold."""

    pool: ErrorPool


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectedError:
    """The truth times exp(sigma z), z standard normal; sigma makes the median of |ln(seen / true)| be ln(1 + level).

    `shared`: one z a job, so the ratio between its types stays right; else one for every job and type. Seconds and
    kWh of a pair take the same factor, as a predicted energy is watts times a predicted time. The same z serve every
    level, so a curve over levels compares like with like.
    """

    level: float
    shared: bool

    def __post_init__(self) -> None:
        if not (math.isfinite(self.level) and self.level >= 0):
            raise InputError(f"injected error: level must be finite and >= 0, got {self.level!r}")

    @property
    def sigma(self) -> float:
        """Standard deviation of ln(seen / true)."""
        return math.log1p(self.level) / _QUARTILE

    @property
    def median_ape(self) -> float:
        """Median of |seen / true - 1|: close to `level` while that is small, and below 1 however large it is."""
        if self.level == 0:
            return 0.0

        def excess(ape: float) -> float:
            inside = norm.cdf(math.log1p(ape) / self.sigma) - norm.cdf(math.log1p(-ape) / self.sigma)
            return float(inside - 0.5)

        return float(brentq(excess, 0.0, 1 - 1e-12))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bias:
    """The truth times `factor` in seconds and kWh, on `gpu_type` only or, where that is None, on every type."""

    factor: float
    gpu_type: str | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.factor) and self.factor > 0):
            raise InputError(f"bias: factor must be finite and > 0, got {self.factor!r}")


Information = Oracle | NoPrediction | UserEstimates | MeasuredErrors | InjectedError | Bias


def information_rng(seed: int, index: int) -> np.random.Generator:
    """The generator for what is seen of sample `index`; the same for every kind, so that kinds are paired."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_SPAWN_KEY, index)))


def seen_through(information: Information, sample: Sample, rng: np.random.Generator) -> Sample:
    """The same sample with `seen` replaced; the truth, the jobs and the inventory stay.

    Raises InputError where a type has no typical job (NoPrediction) or no nameplate (UserEstimates).
    """
    match information:
        case Oracle():
            return _seen(sample, lambda submission: submission.truth)
        case NoPrediction(typical=typical):
            return _seen(sample, lambda submission: {t: _typical(typical, t) for t in submission.truth})
        case UserEstimates(badness=badness):
            return _seen(sample, lambda submission: _estimate(submission, rng.uniform(1, 1 + badness)))
        case MeasuredErrors(pool=pool):
            return with_noise(sample, pool, rng)
        case InjectedError():
            return _seen(sample, lambda submission: _with_error(submission, information, list(sample.inventory), rng))
        case Bias(factor=factor, gpu_type=gpu_type):
            return _seen(sample, lambda submission: _biased(submission, factor, gpu_type))
        case _:
            assert_never(information)


def typical_jobs(samples: Iterable[Sample]) -> NoPrediction:
    """The mean seconds and kWh of a job by type, over all jobs that could run there; hand in no test sample."""
    found: dict[str, list[Prediction]] = {}
    for sample in samples:
        for submission in sample.submissions:
            for gpu_type, truth in submission.truth.items():
                found.setdefault(gpu_type, []).append(truth)
    return NoPrediction(
        typical={
            gpu_type: Prediction(
                runtime_s=math.fsum(t.runtime_s for t in truths) / len(truths),
                energy_kwh=math.fsum(t.energy_kwh for t in truths) / len(truths),
            )
            for gpu_type, truths in found.items()
        }
    )


def rounded_up_s(seconds: float) -> float:
    """The least value of `MENU_S` that is not below `seconds`, whole weeks beyond it."""
    place = bisect_left(MENU_S, seconds)
    return MENU_S[place] if place < len(MENU_S) else math.ceil(seconds / MENU_S[-1]) * MENU_S[-1]


def _seen(sample: Sample, see: Callable[[Submission], Mapping[str, Prediction]]) -> Sample:
    return replace(sample, submissions=tuple(replace(s, seen=see(s)) for s in sample.submissions))


def _typical(typical: Mapping[str, Prediction], gpu_type: str) -> Prediction:
    if gpu_type not in typical:
        raise InputError(f"no validation job could run on {gpu_type}, so without a prediction nothing is known of it")
    return typical[gpu_type]


def _estimate(submission: Submission, stretch: float) -> Mapping[str, Prediction]:
    """What a user says; a job that cannot run on the reference type is timed on the most powerful it can."""
    truth, job = submission.truth, submission.job
    reference = REFERENCE_TYPE if REFERENCE_TYPE in truth else next(iter(truth))
    guess_s = rounded_up_s(truth[reference].runtime_s * stretch)
    return {
        t: Prediction(
            runtime_s=guess_s,
            energy_kwh=GPU_TYPES[canonical(t)].peak_w * job.gpus_on(t) * guess_s / JOULES_PER_KWH,
        )
        for t in truth
    }


def _with_error(
    submission: Submission, error: InjectedError, types: list[str], rng: np.random.Generator
) -> Mapping[str, Prediction]:
    """One factor for every type of the inventory is drawn, whether the job may use it or not, to stay paired."""
    drawn = rng.standard_normal(len(types))
    factors = np.exp(error.sigma * (np.full(len(types), drawn[0]) if error.shared else drawn))
    by_type = dict(zip(types, factors.tolist(), strict=True))
    return {t: _times(truth, by_type[t]) for t, truth in submission.truth.items()}


def _biased(submission: Submission, factor: float, gpu_type: str | None) -> Mapping[str, Prediction]:
    return {t: _times(truth, factor if gpu_type in (None, t) else 1.0) for t, truth in submission.truth.items()}


def _times(truth: Prediction, factor: float) -> Prediction:
    return Prediction(runtime_s=truth.runtime_s * factor, energy_kwh=truth.energy_kwh * factor)
