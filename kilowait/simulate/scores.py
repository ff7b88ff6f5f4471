"""What a run is judged by: waiting, running, energy, makespan."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum

import numpy as np

from kilowait.core.hardware import idle_power_w as catalogue_idle_power_w
from kilowait.core.units import JOULES_PER_KWH
from kilowait.simulate.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores of one run; modelled numbers, never measured ones.

    `jobs` counts jobs that ran (refused ones are not scored); `delayed_tasks` those that waited at all. A preempted job
    waits again until it goes on, and all its waiting counts as one wait. `running_s` is the sum of run times,
    restarting included; `energy_kwh` is the jobs' own energy. `cluster_energy_kwh` adds the idle power of free GPUs,
    and of the free part of shared ones, in the window from the first submission to the last completion, and where nodes
    were watched (`simulate(..., sleep=...)`) hosts too, asleep or awake; it is None where a type's idle power is
    unknown. `makespan_s` is the last completion on the submissions' clock. Without jobs all are 0.
    """

    policy: str
    jobs: int
    total_wait_s: float
    delayed_tasks: int
    running_s: float
    energy_kwh: float
    makespan_s: float
    cluster_energy_kwh: float | None
    p50_wait_s: float
    p99_wait_s: float
    max_wait_s: float


def score(run: Run, *, idle_power_w: Mapping[str, float] | None = None) -> Scores:
    """Score a run.

    The window for idle energy is from the first submission of a job that ran to the last completion; within it
    every GPU draws either its job's power or its type's idle power, and one that jobs share draws their power and its
    idle power times the share that nobody has. `idle_power_w` gives watts a board by type;
    a type it lacks is looked up in the hardware catalogue. Wait percentiles interpolate linearly between jobs.
    """
    by_job = {placement.job_id: placement.wait_s for placement in run.placements}  # the last attempt's counts
    waits = list(by_job.values())
    p50, p99, longest = np.quantile(waits or [0.0], [0.5, 0.99, 1.0]).tolist()
    energy_kwh = fsum(placement.energy_kwh for placement in run.placements)
    makespan_s = max((placement.end_s for placement in run.placements), default=0.0)
    idle_kwh = _idle_kwh(run, idle_power_w or {})
    if run.sleeping is not None and idle_kwh is not None:
        energy = run.sleeping.energy(energy_kwh, makespan_s, idle_power_w)
        idle_kwh = energy.idle_boards_kwh + energy.hosts_kwh
    return Scores(
        policy=run.policy,
        jobs=len(waits),
        total_wait_s=fsum(waits),
        delayed_tasks=sum(wait > 0 for wait in waits),
        running_s=fsum(placement.runtime_s for placement in run.placements),
        energy_kwh=energy_kwh,
        makespan_s=makespan_s,
        cluster_energy_kwh=None if idle_kwh is None else energy_kwh + idle_kwh,
        p50_wait_s=p50,
        p99_wait_s=p99,
        max_wait_s=longest,
    )


def _idle_kwh(run: Run, watts_by_type: Mapping[str, float]) -> float | None:
    """Energy of free GPUs in the window, None where a type's idle power is unknown."""
    if not run.placements:
        return 0.0
    window_s = max(p.end_s for p in run.placements) - min(p.submit_s for p in run.placements)
    busy_s: defaultdict[str, float] = defaultdict(float)
    for placement in run.placements:
        busy_s[placement.gpu_type] += placement.gpu_s
    idle_j = 0.0
    for gpu_type, gpus in run.inventory.items():
        watts = watts_by_type.get(gpu_type, catalogue_idle_power_w(gpu_type))
        if watts is None:
            return None
        idle_j += watts * max(0.0, gpus * window_s - busy_s[gpu_type])
    return idle_j / JOULES_PER_KWH
