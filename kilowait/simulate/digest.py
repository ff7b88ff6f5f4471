"""What a report draws of a world: when its jobs arrive, and one sample under every policy."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from kilowait.simulate.arrivals import DAY_S, HOUR_S
from kilowait.simulate.path import sample_path
from kilowait.simulate.study import PolicySpec, World, run_policy


def arrivals_digest(world: World, samples: int) -> dict[str, Any]:
    """Mean jobs a sample by hour of the day, over `samples` samples, and jobs by day of sample 0."""
    first, *others = ([s.job.submit_s for s in world.sample(k).submissions] for k in range(samples))
    hours = Counter(int(t // HOUR_S) % 24 for times in (first, *others) for t in times)
    days = Counter(int(t // DAY_S) for t in first)
    return {
        "by_hour": [hours[h] / samples for h in range(24)],
        "by_day": [days[d] for d in range(int(world.arrivals.days))],
    }


def path_digest(world: World, index: int, specs: Sequence[PolicySpec]) -> dict[str, Any]:
    """Queue and busy GPUs over time of one sample under every policy."""
    sample = world.sample(index)
    return {
        "classes": world.classes,
        "predictions": world.predictions,
        "sample": index,
        "inventory": dict(sample.inventory),
        "policies": {spec.label: asdict(sample_path(run_policy(sample, spec))) for spec in specs},
    }
