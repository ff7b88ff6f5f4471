"""Jobs of a trace as submissions to a cluster: GPUs and shares of one, and seconds and kWh on every type it has.

Seconds are the trace's own where it measured the job on that type, else they are modelled: the job's time on the type
it ran on, times the ratio of its class's time factors on the two types. A trace that names no type is taken to have run
on `REFERENCE_TYPE`. Energy is the trace's own where it has it, else the class's watts times GPUs times seconds, so it
is modelled too: a share of a GPU draws that share of the watts, and takes the time the trace says. A job's class is
drawn by the shares of the table from the seed and its id alone. Not covered: memory, and that jobs which share a GPU
slow each other down.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from kilowait.core.errors import InputError
from kilowait.core.hardware import CATALOGUE, canonical
from kilowait.core.jobs import Job, Prediction, Provenance
from kilowait.core.units import JOULES_PER_KWH, WHOLE
from kilowait.lab.backtest.scenario.job_classes import JobClass
from kilowait.lab.backtest.scenario.type_model import REFERENCE_TYPE, time_factor, watts
from kilowait.lab.backtest.traces import TraceJob
from kilowait.simulate.run import Submission


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedJob:
    """A submission, the class drawn for it, and by GPU type how its seconds and its energy were had."""

    submission: Submission
    job_class: str
    runtime_provenance: Mapping[str, Provenance]
    energy_provenance: Mapping[str, Provenance]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReport:
    """What became of a trace's jobs on an inventory: `jobs_in` = `planned` + `no_allowed_type` + `too_large`.

    `no_allowed_type` jobs may use none of the inventory's types, `too_large` ones need more GPUs than any type they
    may use has, or of one node where they must be of one. `shares` counts planned jobs that take a share of one GPU,
    `rounded_up` those of more than one whose fraction became a whole one, `narrowed` those that
    lost some of their allowed types. `lacking` counts jobs by each type that they name and the inventory lacks.
    `seconds` and `energy` count planned jobs by type and provenance, `classes` by the class drawn.
    """

    jobs_in: int
    planned: int
    no_allowed_type: int
    too_large: int
    shares: int
    rounded_up: int
    narrowed: int
    lacking: Mapping[str, int]
    classes: Mapping[str, int]
    seconds: Mapping[str, Mapping[str, int]]
    energy: Mapping[str, Mapping[str, int]]


@cache
def type_name(name: str) -> str:
    """The catalogue's name of a GPU type, the name itself where the catalogue does not know it."""
    try:
        return canonical(name)
    except InputError:
        return name


def job_class_of(job_id: str, seed: int, table: Sequence[JobClass]) -> JobClass:
    """The class of a job: drawn by the shares of `table`, the same for the same seed and id."""
    digest = hashlib.sha256(f"{seed}:{job_id}".encode()).digest()
    drawn = int.from_bytes(digest[:6]) / 2**48
    ends = np.cumsum([c.share for c in table])
    return table[int(np.searchsorted(ends, drawn * ends[-1], side="right"))]


def plan(
    jobs: Iterable[TraceJob],
    inventory: Mapping[str, int],
    *,
    seed: int,
    table: Sequence[JobClass],
    nodes: Mapping[str, Sequence[int]] | None = None,
    estimates: bool = False,
) -> tuple[tuple[PlannedJob, ...], PlanReport]:
    """Plan every job that fits on `inventory` (GPUs by `type_name`); the report counts the others.

    `nodes` lists the GPUs of each node by type, as for `simulate`. With `estimates` policies see a job as its user did,
    where the trace says so: seconds and kWh of every type times the estimate over the time that it took.

    Raises InputError when numbers would have to be modelled for a type that the catalogue lacks.
    """
    jobs = list(jobs)
    allowed = {job.job_id: types_for(job, inventory) for job in jobs}
    largest = {t: max((nodes or {}).get(t, (gpus,))) for t, gpus in inventory.items()}
    fitting = {
        j.job_id: tuple(t for t in allowed[j.job_id] if (largest if j.one_node else inventory)[t] >= whole_gpus(j))
        for j in jobs
    }
    planned = tuple(
        _planned(job, fitting[job.job_id], job_class_of(job.job_id, seed, table), estimates)
        for job in jobs
        if fitting[job.job_id]
    )
    missing = {job.job_id: _lacking(job, inventory) for job in jobs}
    kept = [job for job in jobs if fitting[job.job_id]]
    report = PlanReport(
        jobs_in=len(jobs),
        planned=len(planned),
        no_allowed_type=sum(not types for types in allowed.values()),
        too_large=sum(bool(types) and not fitting[job_id] for job_id, types in allowed.items()),
        shares=sum(share_milli(job) < WHOLE for job in kept),
        rounded_up=sum(share_milli(job) == WHOLE and job.gpus != whole_gpus(job) for job in kept),
        narrowed=sum(bool(missing[job.job_id]) for job in kept),
        lacking=dict(Counter(name for names in missing.values() for name in names).most_common()),
        classes=dict(Counter(p.job_class for p in planned).most_common()),
        seconds=_by_type([p.runtime_provenance for p in planned], inventory),
        energy=_by_type([p.energy_provenance for p in planned], inventory),
    )
    return planned, report


def whole_gpus(job: TraceJob) -> int:
    """Boards as the cluster counts them: a share is on one."""
    return math.ceil(job.gpus)


def share_milli(job: TraceJob) -> int:
    """Thousandths that a job takes of each board, rounded up: a whole one unless it asks for less than one GPU."""
    return min(WHOLE, math.ceil(round(job.gpus * WHOLE, 6))) or 1


def types_for(job: TraceJob, inventory: Mapping[str, int]) -> tuple[str, ...]:
    """The inventory's types that a job may use, by the names of the catalogue."""
    barred = {type_name(name) for name in job.barred}
    asked = None if job.allowed is None else {type_name(name) for name in job.allowed}
    return tuple(t for t in inventory if t not in barred and (asked is None or t in asked))


def _lacking(job: TraceJob, inventory: Mapping[str, int]) -> frozenset[str]:
    """Types that a job asks for, as the trace names them, and the inventory lacks."""
    return frozenset(name for name in job.allowed or () if type_name(name) not in inventory)


def _planned(job: TraceJob, types: Sequence[str], job_class: JobClass, estimates: bool) -> PlannedJob:
    """A job with its numbers on `types`."""
    asked = Job(
        job_id=job.job_id,
        submit_s=job.submit_s,
        gpus=whole_gpus(job),
        gpu_milli=share_milli(job),
        one_node=job.one_node,
        allowed=frozenset(types),
        user=job.user,
    )
    measured_s = {type_name(name): seconds for name, seconds in job.measured_s.items()}
    measured_kwh = {type_name(name): kwh for name, kwh in job.measured_kwh.items()}
    truth = {}
    for t in types:
        runtime_s = measured_s[t] if t in measured_s else _modelled_s(job, measured_s, t, job_class)
        if t in measured_kwh:
            kwh = measured_kwh[t]
        else:
            kwh = watts(job_class, t) * asked.amount_on(t) * runtime_s / JOULES_PER_KWH
        truth[t] = Prediction(runtime_s=runtime_s, energy_kwh=kwh)
    seen = truth
    if estimates and job.estimate_s is not None:
        factor = job.estimate_s / job.duration_s
        seen = {
            t: Prediction(runtime_s=p.runtime_s * factor, energy_kwh=p.energy_kwh * factor) for t, p in truth.items()
        }
    return PlannedJob(
        submission=Submission(job=asked, truth=truth, seen=seen),
        job_class=job_class.name,
        runtime_provenance={t: _provenance(t in measured_s) for t in types},
        energy_provenance={t: _provenance(t in measured_kwh) for t in types},
    )


def _modelled_s(job: TraceJob, measured_s: Mapping[str, float], gpu_type: str, job_class: JobClass) -> float:
    """Seconds from the most powerful type the trace measured, or from its length as if on the reference type."""
    base = next((t for t in CATALOGUE if t in measured_s), None)
    spent_s = job.duration_s if base is None else measured_s[base]
    return spent_s * time_factor(job_class, gpu_type) / time_factor(job_class, base or REFERENCE_TYPE)


def _provenance(measured: bool) -> Provenance:
    return Provenance.MEASURED if measured else Provenance.MODELLED


def _by_type(
    found: Sequence[Mapping[str, Provenance]], inventory: Mapping[str, int]
) -> Mapping[str, Mapping[str, int]]:
    counts = Counter((gpu_type, how) for by_type in found for gpu_type, how in by_type.items())
    kinds = (Provenance.MEASURED, Provenance.MODELLED)
    return {t: {how.value: counts[t, how] for how in kinds} for t in inventory}
