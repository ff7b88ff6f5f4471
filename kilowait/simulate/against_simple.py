"""What jobs that are over used, beside what they would have used under the rule Simple: the same submissions, replayed.

A job's run time and energy on the type where it ran are those that were had there. On another type they are those times
predicted(other) / predicted(own): modelled. Replayed are the jobs that finished at their first attempt, on the GPUs
that the cluster has now, on nobody else's load; the others are counted and left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any

from kilowait.cluster.events import JobSubmitted
from kilowait.core.jobs import Prediction
from kilowait.core.units import JOULES_PER_KWH
from kilowait.policies.simple import simple
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """Totals of the `jobs` that both ran; `left_out` were not comparable. `energy_kwh` is as had, the rest modelled."""

    jobs: int
    left_out: int
    energy_kwh: float
    wait_s: float
    simple_energy_kwh: float
    simple_wait_s: float


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
    return Against(
        jobs=len(job_ids),
        left_out=len(rows) - len(job_ids),
        energy_kwh=fsum(row["energy_j"] / JOULES_PER_KWH for row in usable_rows if row["job_id"] in job_ids),
        wait_s=fsum(row["placed_s"] - row["submitted_s"] for row in usable_rows if row["job_id"] in job_ids),
        simple_energy_kwh=fsum(placement.energy_kwh for placement in run.placements),
        simple_wait_s=fsum(placement.wait_s for placement in run.placements),
    )


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
