"""What a report draws of a world: when its jobs arrive, and one sample under every policy."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from kilowait.core.units import DAY_S, HOUR_S
from kilowait.lab.backtest.backtest import PolicySpec, Sampled, World, run_policy
from kilowait.lab.backtest.sample_path import sample_path
from kilowait.lab.backtest.traces.trace_world import TraceWorld, offered_load


def arrivals_digest(world: World, samples: int) -> dict[str, Any]:
    """Mean jobs a sample by hour of the day, over `samples` samples, and jobs by day of sample 0."""
    first, *others = ([s.job.submit_s for s in world.sample(k).submissions] for k in range(samples))
    hours = Counter(int(t // HOUR_S) % 24 for times in (first, *others) for t in times)
    days = Counter(int(t // DAY_S) for t in first)
    return {
        "by_hour": [hours[h] / samples for h in range(24)],
        "by_day": [days[d] for d in range(int(world.arrivals.days))],
    }


def path_digest(world: Sampled, index: int, specs: Sequence[PolicySpec]) -> dict[str, Any]:
    """Queue and busy GPUs over time of one sample under every policy."""
    sample = world.sample(index)
    return {
        "classes": world.classes,
        "predictions": world.predictions,
        "sample": index,
        "inventory": dict(sample.inventory),
        "policies": {spec.label: asdict(sample_path(run_policy(sample, spec))) for spec in specs},
    }


def trace_digest(world: TraceWorld) -> dict[str, Any]:
    """Where a trace's rows and jobs went, its load, its windows, and how its numbers were had."""
    loads = [offered_load(world.sample(k).submissions, world.inventory) for k in range(world.windows)]
    return {
        "name": world.trace,
        "report": asdict(world.report),
        "planned": asdict(world.planned),
        "load": asdict(world.load),
        "windows": {
            "count": world.windows,
            "jobs": world.window_jobs,
            "left_over": world.left_over,
            "load_min_median_max": np.quantile(loads, [0, 0.5, 1], method="nearest").tolist(),
        },
        "inventory": dict(world.inventory),
        "nodes": {gpu_type: list(counts) for gpu_type, counts in world.nodes.items()},
        "classes": world.classes,
        "seed": world.seed,
    }
