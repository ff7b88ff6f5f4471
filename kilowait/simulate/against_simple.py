"""What jobs that are over used, beside what they would have used under the rule Simple: the same submissions, replayed.

A job's run time and energy on the type where it ran are those that were had there. On another type they are those times
predicted(other) / predicted(own): modelled. Replayed are the jobs that finished at their first attempt, on the GPUs
that the cluster has now, on nobody else's load; the others are counted and left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, fsum
from typing import Any

from kilowait.cluster.events import JobSubmitted
from kilowait.core.jobs import Prediction, Provenance
from kilowait.core.units import JOULES_PER_KWH
from kilowait.policies.simple import simple
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission

Spent = tuple[float, float, float]
"""From when to when a job held its GPUs, seconds, and the kWh that it used meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """Totals of the `jobs` that both ran; `left_out` were not comparable. `energy_kwh` is as had, the rest modelled.

    `spent` and `simple_spent` are the same jobs one by one, as they went and under Simple; `energy_kinds` says how the
    energies of the first were had.
    """

    jobs: int
    left_out: int
    energy_kwh: float
    wait_s: float
    simple_energy_kwh: float
    simple_wait_s: float
    spent: tuple[Spent, ...] = ()
    simple_spent: tuple[Spent, ...] = ()
    energy_kinds: tuple[Provenance, ...] = ()


def against_simple(
    rows: Sequence[Mapping[str, Any]], asked: Mapping[str, JobSubmitted], inventory: Mapping[str, int]
) -> Against:
    """Replay rows of `columns.HISTORY` under Simple on `inventory`; `asked` is how each job was submitted."""
    usable_rows = [row for row in rows if _usable(row, inventory)]
    submissions = [_submission(row, asked[row["job_id"]]) for row in usable_rows]
    if not submissions:
        return Against(jobs=0, left_out=len(rows), energy_kwh=0.0, wait_s=0.0, simple_energy_kwh=0.0, simple_wait_s=0.0)
    run = simulate(submissions, inventory, simple())
    job_ids = {placement.job_id for placement in run.placements}
    replayed = [row for row in usable_rows if row["job_id"] in job_ids]
    return Against(
        jobs=len(job_ids),
        left_out=len(rows) - len(job_ids),
        energy_kwh=fsum(row["energy_j"] / JOULES_PER_KWH for row in replayed),
        wait_s=fsum(row["placed_s"] - row["submitted_s"] for row in replayed),
        simple_energy_kwh=fsum(placement.energy_kwh for placement in run.placements),
        simple_wait_s=fsum(placement.wait_s for placement in run.placements),
        spent=tuple((row["placed_s"], row["ended_s"], row["energy_j"] / JOULES_PER_KWH) for row in replayed),
        simple_spent=tuple((p.start_s, p.end_s, p.energy_kwh) for p in run.placements),
        energy_kinds=tuple(sorted({Provenance(row["energy_provenance"]) for row in replayed})),
    )


def mean_watts(spent: Iterable[Spent], since_s: float, step_s: float, steps: int) -> list[float]:
    """The mean power of jobs in each of `steps` stretches of `step_s` seconds; each draws evenly while it runs."""
    watts = [0.0] * steps
    for start_s, end_s, energy_kwh in spent:
        power_w = energy_kwh * JOULES_PER_KWH / max(end_s - start_s, 1e-9)
        first, last = (floor((time_s - since_s) / step_s) for time_s in (start_s, end_s))
        for step in range(max(first, 0), min(last + 1, steps)):
            begin_s = since_s + step * step_s
            watts[step] += power_w * max(0.0, min(end_s, begin_s + step_s) - max(start_s, begin_s)) / step_s
    return watts


def _usable(row: Mapping[str, Any], inventory: Mapping[str, int]) -> bool:
    ended_well = row["state"] == "finished" and row["attempt"] == 1 and row["energy_j"] is not None
    return ended_well and bool(row["runtime_s"]) and row["gpu_type"] in inventory


def _submission(row: Mapping[str, Any], event: JobSubmitted) -> Submission:
    expected = event.predictions[row["gpu_type"]]
    held_s = max(row["ended_s"] - row["placed_s"], 1e-9)  # what kept others waiting: its start and end included
    time_ratio = held_s / expected.runtime_s
    energy_ratio = row["energy_j"] / JOULES_PER_KWH / expected.energy_kwh if expected.energy_kwh else 0.0
    truth = {
        gpu_type: Prediction(
            runtime_s=prediction.runtime_s * time_ratio, energy_kwh=prediction.energy_kwh * energy_ratio
        )
        for gpu_type, prediction in event.predictions.items()
    }
    return Submission(job=event.job, truth=truth, seen=truth)
