"""From outcomes of many samples to what the tables say.

Means, paired changes against Simple, the share of the way from Simple to what no policy can pass, and watts a running
job.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from kilowait.core.arrays import FloatArray
from kilowait.core.errors import InputError
from kilowait.core.units import JOULES_PER_KWH
from kilowait.lab.backtest.scenario.job_classes import class_table
from kilowait.lab.backtest.statistics import change_interval, mean_interval, share_interval
from kilowait.report.interval import Interval

BASELINE = "simple"

METRICS = (
    "total_wait_s",
    "delayed_tasks",
    "running_s",
    "energy_kwh",
    "cluster_energy_kwh",
    "makespan_s",
    "p50_wait_s",
    "p99_wait_s",
    "max_wait_s",
)
"""Columns of `columns.BACKTEST` that are compared."""

BOUNDS = {"total_wait_s": "wait_bound_s", "energy_kwh": "greenest_kwh"}
"""Columns that have a bound, and where it stands. The bounds hold one by one; no schedule need reach both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperClaims:
    """What is known of the paper's results: its abstract's claims, and the power its tables imply.

    The cells of its Tables 1 and 2 are not public in a form we could read, so none is repeated here.
    """

    energy_change: float = -0.32
    wait_change: float = -0.30
    simple_w: float = 104.0
    value_w: float = 58.0
    source: str = (
        "LLM-Powered Predictive Decision-Making for Sustainable Data Center Operations "
        "(ICLR 2025 submission, openreview.net 2HN97iDvHz)"
    )

    @property
    def running_change(self) -> float:
        """What claims and watts together imply for cumulative running time: energy is power times time."""
        return (1 + self.energy_change) / (self.value_w / self.simple_w) - 1


PAPER = PaperClaims()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySummary:
    """One policy over all samples: means, changes of totals against Simple, and watts while a job or a GPU runs.

    `shares` says how much of the way from Simple to the bound (1) a policy covers, for the columns of `BOUNDS`.
    """

    policy: str
    kappa: float | None
    means: Mapping[str, Interval]
    changes: Mapping[str, Interval]
    shares: Mapping[str, Interval]
    watts_a_job: float
    watts_a_gpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All policies on the same samples of one world.

    `greenest_change` and `wait_bound_change` are the bounds on energy and on waiting against Simple.
    """

    classes: str
    predictions: str
    samples: int
    jobs: float
    gpus: float
    policies: tuple[PolicySummary, ...]
    greenest_change: float | None
    wait_bound_change: float | None
    trace: str | None = None

    @property
    def world(self) -> str:
        """The world's name for headings."""
        return f"classes {self.classes}" if self.trace is None else f"{self.trace}, classes {self.classes}"

    def policy(self, name: str) -> PolicySummary | None:
        """The summary of this label, None where it was not run."""
        return next((p for p in self.policies if p.policy == name), None)


Columns = Mapping[str, FloatArray]


def compare(outcomes: pa.Table, rng: np.random.Generator, *, trace: str | None = None) -> Comparison:
    """Summarise a `columns.BACKTEST` table of one world; raises InputError unless it is one, whole and paired.

    `trace` names the trace whose windows the samples are, None for the paper's scenario.
    """
    worlds = set(zip(outcomes["classes"].to_pylist(), outcomes["predictions"].to_pylist(), strict=True))
    if len(worlds) != 1:
        raise InputError(f"a comparison needs outcomes of exactly one world, got {len(worlds)}")
    ((classes, predictions),) = worlds
    by_policy = _by_policy(outcomes)
    (apart,) = rng.spawn(1)  # leaves the draws of all other intervals as they are
    baseline = by_policy.get(BASELINE)
    first = next(iter(by_policy.values()))
    return Comparison(
        classes=classes,
        predictions=predictions,
        samples=len(first["sample"]),
        jobs=float(first["jobs"].mean()),
        gpus=float(first["gpus"].mean()),
        policies=tuple(_summary(name, columns, baseline, rng, apart) for name, columns in by_policy.items()),
        trace=trace,
        greenest_change=None if baseline is None else _ratio(baseline, "greenest_kwh", "energy_kwh") - 1,
        wait_bound_change=None if baseline is None else _ratio(baseline, "wait_bound_s", "total_wait_s") - 1,
    )


def _by_policy(outcomes: pa.Table) -> dict[str, Columns]:
    """Columns as float arrays by policy label, in order of first appearance, rows by sample."""
    names = list(dict.fromkeys(outcomes["policy"].to_pylist()))
    numeric = [name for name in outcomes.column_names if name not in ("classes", "predictions", "policy")]
    whole = {name: np.array(outcomes[name].to_pylist(), dtype=float) for name in numeric}
    labels = np.array(outcomes["policy"].to_pylist())
    order = np.argsort(whole["sample"], kind="stable")
    by_policy: dict[str, Columns] = {
        name: {c: v[order][labels[order] == name] for c, v in whole.items()} for name in names
    }
    samples = {name: columns["sample"].tolist() for name, columns in by_policy.items()}
    if any(taken != samples[names[0]] for taken in samples.values()):
        raise InputError(f"policies ran on different samples, so they cannot be paired: {', '.join(names)}")
    return by_policy


def _summary(
    name: str, own: Columns, baseline: Columns | None, rng: np.random.Generator, apart: np.random.Generator
) -> PolicySummary:
    against = baseline if baseline is not None and name != BASELINE else None
    kappa = float(own["kappa"][0])
    return PolicySummary(
        policy=name,
        kappa=None if math.isnan(kappa) else kappa,
        means={metric: mean_interval(own[metric], rng) for metric in METRICS},
        changes={} if against is None else {m: change_interval(own[m], against[m], rng) for m in METRICS},
        shares={} if against is None else {m: _share(own, against, m, apart) for m in BOUNDS},
        watts_a_job=_ratio(own, "energy_kwh", "running_s") * JOULES_PER_KWH,
        watts_a_gpu=_ratio(own, "energy_kwh", "gpu_running_s") * JOULES_PER_KWH,
    )


def _share(own: Columns, against: Columns, metric: str, rng: np.random.Generator) -> Interval:
    return share_interval(own[metric], against[metric], against[BOUNDS[metric]], rng)


def _ratio(columns: Columns, above: str, below: str) -> float:
    total = columns[below].sum()
    return float(columns[above].sum() / total) if total else float("nan")


def explain(comparison: Comparison, *, paper: PaperClaims = PAPER) -> list[str]:
    """Where and why our savings differ from the paper's, in sentences; empty without Simple and a Value policy."""
    simple = comparison.policy(BASELINE)
    values = [p for p in comparison.policies if p.policy == "value" or p.policy.startswith("value (")]
    if simple is None or not values or comparison.greenest_change is None:
        return []
    best = min(values, key=lambda p: p.changes["energy_kwh"].estimate)
    if comparison.trace is not None:
        return _explain_trace(comparison, simple, best)
    return [
        f"The paper claims {paper.energy_change:+.0%} energy and {paper.wait_change:+.0%} waiting for Value; the best "
        f"Value here reaches {best.changes['energy_kwh'].estimate:+.1%} of the jobs' energy "
        f"({best.changes['cluster_energy_kwh'].estimate:+.1%} of the cluster's, idle boards included) "
        f"and {best.changes['total_wait_s'].estimate:+.0%} waiting.",
        f"Watts a running job: the paper's tables imply {paper.simple_w:.0f} W under Simple and {paper.value_w:.0f} W "
        f"under Value, ours {simple.watts_a_job:.0f} and {best.watts_a_job:.0f} W "
        f"({simple.watts_a_gpu:.0f} and {best.watts_a_gpu:.0f} W a GPU). "
        "The paper's saving is one of power: its jobs draw "
        f"{1 - paper.value_w / paper.simple_w:.0%} less and run {paper.running_change:.0%} longer in sum. "
        f"{paper.simple_w:.0f} W is about what one A100 draws while it holds a job and does little, and "
        f"{paper.value_w:.0f} W about what it draws with none.",
        "Waiting follows from how arrivals cluster, which the paper does not give: here "
        f"{simple.means['delayed_tasks'].estimate / comparison.jobs:.0%} of the jobs wait under Simple.",
        f"With every job on its greener type and no limit of GPUs the jobs' energy would change by "
        f"{comparison.greenest_change:+.1%} against Simple: no policy can save more in this world. "
        "Value stays above that because it never holds a job back: when the greener type is busy and the other is "
        "free, the job starts on the other at once.",
        _greener_classes(comparison.classes),
    ]


def _explain_trace(comparison: Comparison, simple: PolicySummary, best: PolicySummary) -> list[str]:
    """What the best Value changes on a trace, and what no policy can pass."""
    waiting = best.changes["total_wait_s"].estimate
    shown = (
        "no job waits under Simple, so a change of waiting is undefined" if math.isnan(waiting) else f"{waiting:+.0%}"
    )
    return [
        f"The best Value changes the jobs' energy by {best.changes['energy_kwh'].estimate:+.1%} "
        f"({best.changes['cluster_energy_kwh'].estimate:+.1%} of the cluster's, idle boards included); "
        f"waiting: {shown}. "
        f"{simple.means['delayed_tasks'].estimate / comparison.jobs:.0%} of the jobs wait under Simple.",
        f"Watts a busy GPU: {simple.watts_a_gpu:.0f} W under Simple, {best.watts_a_gpu:.0f} W under Value.",
        "With every job on its greener type and no limit of GPUs the jobs' energy would change by "
        f"{comparison.greenest_change:+.1%} against Simple: no policy can save more on this trace.",
    ]


def _greener_classes(classes: str) -> str:
    ratios = ", ".join(f"{c.name} {c.energy_ratio:.2f}" for c in class_table(classes))
    return (
        f"Energy of a job on an A6000 over an A100, at the means of {classes}: {ratios}. "
        "Only a class below 1 saves energy by moving to the A6000."
    )


def versions(found: Sequence[Comparison]) -> list[list[Comparison]]:
    """Comparisons of the same world under different predictions together, in order of first appearance."""
    by_world: dict[str, list[Comparison]] = {}
    for comparison in found:
        by_world.setdefault(comparison.world, []).append(comparison)
    return list(by_world.values())


def split_worlds(outcomes: pa.Table) -> Sequence[pa.Table]:
    """One table a world, in order of first appearance."""
    keys = list(zip(outcomes["classes"].to_pylist(), outcomes["predictions"].to_pylist(), strict=True))
    return [outcomes.filter(pa.array([key == wanted for key in keys])) for wanted in dict.fromkeys(keys)]
