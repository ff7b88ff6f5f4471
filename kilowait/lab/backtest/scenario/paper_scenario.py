"""The paper's backtest world (A.3.2): arrivals, jobs of several classes, an inventory drawn a sample.

Every time and energy here is modelled. A job's times on the two types share its size, so that they correlate;
energy is watts times GPUs times time. Not covered: memory, and jobs that may use only one type.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from kilowait.core.arrays import FloatArray
from kilowait.core.jobs import Job, Prediction
from kilowait.core.units import HOUR_S, JOULES_PER_KWH
from kilowait.lab.backtest.scenario.arrivals import ArrivalPattern
from kilowait.lab.backtest.scenario.job_classes import FACTOR_SD, POWER_SD_W, SIZE_SD_SHARE, JobClass, class_table
from kilowait.simulate.run import Submission

A100_RANGE = (10, 20)
A6000_RANGE = (20, 40)
"""GPUs a sample may have of each type, both ends included (the paper, A.3.2)."""

Role = Literal["test", "validation"]
_SPAWN_KEYS: Mapping[Role, int] = {"test": 0, "validation": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One world: what is submitted and the GPUs there are, most powerful type first.

    `nodes` lists the GPUs of each node by type; a type that it lacks is on one node.
    """

    submissions: tuple[Submission, ...]
    inventory: Mapping[str, int]
    nodes: Mapping[str, Sequence[int]] = field(default_factory=dict)


def sample_rng(seed: int, role: Role, index: int) -> np.random.Generator:
    """The generator of one sample; roles never share a stream, so tuning never sees a test sample."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_SPAWN_KEYS[role], index)))


def truncated_normal(
    rng: np.random.Generator, mean: npt.ArrayLike, sd: npt.ArrayLike, *, above: float = 0.0
) -> FloatArray:
    """Normal draws, each redrawn until it is > `above`: nothing piles up at the bound.

    Needs means not far below the bound, or it draws for long.
    """
    mean, sd = np.broadcast_arrays(np.asarray(mean, dtype=float), np.asarray(sd, dtype=float))
    drawn = rng.normal(mean, sd)
    while (low := drawn <= above).any():
        drawn[low] = rng.normal(mean[low], sd[low])
    return np.asarray(drawn)


def with_checkpoints(sample: Sample, checkpoint_s: float | None) -> Sample:
    """The same sample whose jobs can be preempted and take `checkpoint_s` seconds to go on; None leaves them be."""
    if checkpoint_s is None:
        return sample
    submissions = (replace(s, job=replace(s.job, checkpoint_s=checkpoint_s)) for s in sample.submissions)
    return replace(sample, submissions=tuple(submissions))


def paper_scenario(
    rng: np.random.Generator,
    *,
    classes: str | Sequence[JobClass] = "calibrated",
    arrivals: ArrivalPattern | None = None,
    load: float = 1.0,
) -> Sample:
    """One sample of the paper's world; `load` multiplies the expected number of jobs.

    `classes` is a table's name or the classes themselves. Policies see the truth (an oracle) until
    `kilowait.lab.backtest.scenario.noise` replaces it. Raises InputError for an unknown table.
    """
    table = class_table(classes) if isinstance(classes, str) else tuple(classes)
    pattern = arrivals or ArrivalPattern()
    inventory = {
        "A100": int(rng.integers(A100_RANGE[0], A100_RANGE[1] + 1)),
        "A6000": int(rng.integers(A6000_RANGE[0], A6000_RANGE[1] + 1)),
    }
    times = replace(pattern, expected=pattern.expected * load).draw(rng)
    return Sample(submissions=_submissions(rng, table, times), inventory=inventory)


def _submissions(rng: np.random.Generator, table: Sequence[JobClass], times_s: FloatArray) -> tuple[Submission, ...]:
    """A job for every arrival: its class by share, its size, its time and energy on both types."""
    shares = np.array([c.share for c in table])
    drawn = rng.choice(len(table), size=len(times_s), p=shares / shares.sum())

    def column(read: Callable[[JobClass], float]) -> FloatArray:
        return np.array([read(c) for c in table])[drawn]

    hours = column(lambda c: c.hours)
    a100_s = truncated_normal(rng, hours, hours * SIZE_SD_SHARE) * HOUR_S
    a6000_s = a100_s * truncated_normal(rng, column(lambda c: c.a6000_factor), FACTOR_SD)
    watts = {
        "A100": truncated_normal(rng, column(lambda c: c.a100_w), POWER_SD_W),
        "A6000": truncated_normal(rng, column(lambda c: c.a6000_w), POWER_SD_W),
    }
    runtimes = {"A100": a100_s, "A6000": a6000_s}
    width = len(str(len(times_s)))
    return tuple(
        _submission(f"job-{i:0{width}d}", float(times_s[i]), table[drawn[i]].gpus, i, runtimes, watts)
        for i in range(len(times_s))
    )


def _submission(
    job_id: str,
    submit_s: float,
    gpus: int,
    i: int,
    runtimes_s: Mapping[str, FloatArray],
    watts: Mapping[str, FloatArray],
) -> Submission:
    truth = {
        gpu_type: Prediction(
            runtime_s=float(runtime_s[i]),
            energy_kwh=float(watts[gpu_type][i] * gpus * runtime_s[i] / JOULES_PER_KWH),
        )
        for gpu_type, runtime_s in runtimes_s.items()
    }
    return Submission(job=Job(job_id=job_id, submit_s=submit_s, gpus=gpus), truth=truth, seen=truth)
