"""Power limits for samples whose jobs have none: curves of measured networks, given to jobs by chance.

Every job gets a network of those that were measured on each type (A40's for A6000, whose chip it has), and that
network's curve there, at the watts that the job draws by its table. Few networks were measured on both types, so each
type's is drawn by itself. What policies see is the network's own curve, or, as
for a network that nobody has measured, the mean of the others. The curves are measured; that a job has one is modelled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Literal

import numpy as np

from kilowait.core.errors import InputError
from kilowait.predict.power.known_watts import with_limits
from kilowait.predict.power.limit_curve import LimitCurve
from kilowait.predict.power.power_model import PowerModel
from kilowait.simulate.run import Submission

Seen = Literal["own", "others"]
MEASURED_AS = {"A100": "A100-80GB", "A100-80GB": "A100-80GB", "A6000": "A40", "A40": "A40"}
"""On which type's curves a job of a type is run: the same chip."""


def with_measured_limits(
    submissions: Sequence[Submission], model: PowerModel, rng: np.random.Generator, seen: Seen
) -> list[Submission]:
    """The same jobs with curves; raises InputError for a type that has none."""
    found = []
    for submission in submissions:
        gpus = submission.job.amount_on
        drawn = {t: _drawn(model, t, rng) for t in submission.truth}
        true = {t: with_limits(p, t, gpus(t), _curve(model, t, drawn[t], "own")) for t, p in submission.truth.items()}
        told = {t: with_limits(p, t, gpus(t), _curve(model, t, drawn[t], seen)) for t, p in submission.seen.items()}
        found.append(replace(submission, truth=true, seen=true if told == true else told))
    return found


def _drawn(model: PowerModel, gpu_type: str, rng: np.random.Generator) -> str:
    if gpu_type not in MEASURED_AS:
        raise InputError(f"no curves of power limits for {gpu_type}: there are {', '.join(MEASURED_AS)}")
    names = sorted(model.networks[MEASURED_AS[gpu_type]])
    return names[int(rng.integers(len(names)))]


def _curve(model: PowerModel, gpu_type: str, network: str, seen: Seen) -> LimitCurve:
    curves = model.networks[MEASURED_AS[gpu_type]]
    return curves[network] if seen == "own" else _mean([curve for name, curve in curves.items() if name != network])


def _mean(curves: Sequence[LimitCurve]) -> LimitCurve:
    """The mean where all were measured."""
    ratios = sorted(set.intersection(*(set(curve.ratios) for curve in curves)))

    def mean(name: str, ratio: float) -> float:
        return fmean(getattr(curve, name)[curve.ratios.index(ratio)] for curve in curves)

    columns: Mapping[str, tuple[float, ...]] = {
        name: tuple(mean(name, ratio) for ratio in ratios) for name in ("log_slowdown", "draw")
    }
    return LimitCurve(
        ratios=tuple(ratios),
        arithmetic=fmean(curve.arithmetic for curve in curves),
        typical=fmean(curve.typical for curve in curves),
        **columns,
    )
