"""What the history can teach: finished attempts that were measured, beside what the base predictor had said of them.

A job teaches when its one attempt ended well (exit code 0: what was killed, failed or timed out measured something
else, and after a preemption the rest of a job is measured alone), its run time was measured, and the base prediction of
its source by the version asked for was kept. Energy that no meter read (power times time) teaches nothing about energy.
What is pretended teaches nothing, unless it is asked for, and then only of GPU types on which nothing was ever measured
for real.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Row, exists, func, select

from kilowait.core.arrays import FloatArray
from kilowait.core.checkpoints.checkpointing import PREEMPTED
from kilowait.core.errors import InputError
from kilowait.core.jobs import Job, Prediction, Provenance
from kilowait.core.units import JOULES_PER_KWH
from kilowait.history import bases
from kilowait.history.queries import submissions
from kilowait.history.schema import ATTEMPTS, JOBS, MEASUREMENTS
from kilowait.history.store import Store
from kilowait.predict.correction.training import MOST, MeasuredJobs

_asked = msgspec.json.Decoder(Job).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """n jobs that teach, in the order in which they ended (`ended_s`, seconds since the epoch).

    `lacking` others would have, but their base prediction was not kept or is of another version.
    """

    measured: MeasuredJobs
    job_id: Sequence[str]
    ended_s: FloatArray
    lacking: int

    def __len__(self) -> int:
        return len(self.job_id)


def observed(store: Store, base_version: str, *, pretended: bool = False, most: int = MOST) -> Observed:
    """The newest `most` jobs that teach about predictions of `base_version`; raises StoreError and InputError."""
    real = measured_types(store)
    rows = [row for row in _ended(store, pretended, most) if not (pretended and row.gpu_type in real)]
    jobs = {row.job_id: _asked(row.asked) for row in rows}
    base_of = bases.found(store, base_version, [job.content_hash for job in jobs.values()])
    entries: list[tuple[Row[Any], Job, bases.Base]] = []
    for row in reversed(rows):
        job = jobs[row.job_id]
        base = base_of.get((job.content_hash, job.gpus * job.gpu_milli))
        if base is not None and row.gpu_type in base.by_type and base.by_type[row.gpu_type].energy_kwh > 0:
            entries.append((row, job, base))
    lengths = {len(base.vector) for *_, base in entries}
    if len(lengths) > 1:
        raise InputError(f"{store.name}: embeddings of {sorted(lengths)} numbers under one version {base_version}")
    return Observed(
        measured=_measured(entries, Provenance.PRETENDED if pretended else Provenance.MEASURED),
        job_id=tuple(row.job_id for row, *_ in entries),
        ended_s=np.array([row.ended_s for row, *_ in entries]),
        lacking=len(rows) - len(entries),
    )


def measured_types(store: Store) -> frozenset[str]:
    """The GPU types on which a run time was ever measured for real."""
    condition = MEASUREMENTS.c.runtime_provenance == Provenance.MEASURED.value
    return frozenset(row[0] for row in store.rows(select(MEASUREMENTS.c.gpu_type).where(condition).distinct()))


def count(store: Store, *, pretended: bool = False, after_s: float = 0.0) -> int:
    """How many attempts that teach ended after a time, whether or not their base prediction was kept."""
    query = _teaching(select(func.count()).select_from(_JOINED), pretended).where(ATTEMPTS.c.ended_s > after_s)
    return int(store.rows(query)[0][0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What had been predicted of a job at its submission, and what was measured, both in seconds."""

    predicted: Prediction
    runtime_s: float


def recent(store: Store, most: int, *, pretended: bool = False) -> list[Seen]:
    """The newest `most` jobs that teach, the newest first, as they were seen at submission; raises StoreError."""
    rows = _ended(store, pretended, most)
    events = submissions(store, [row.job_id for row in rows])
    return [Seen(predicted=events[r.job_id].predictions[r.gpu_type], runtime_s=r.runtime_s) for r in rows]


_BOTH = (MEASUREMENTS.c.job_id == ATTEMPTS.c.job_id) & (MEASUREMENTS.c.attempt == ATTEMPTS.c.attempt)
_earlier = ATTEMPTS.alias()
_preempted_before = exists().where(_earlier.c.job_id == ATTEMPTS.c.job_id, _earlier.c.reason == PREEMPTED)
_JOINED = ATTEMPTS.join(JOBS, JOBS.c.job_id == ATTEMPTS.c.job_id).join(MEASUREMENTS, _BOTH)


def _ended(store: Store, pretended: bool, most: int) -> list[Row[Any]]:
    columns = (
        *(ATTEMPTS.c[name] for name in ("job_id", "gpu_type", "ended_s")),
        *(MEASUREMENTS.c[name] for name in ("runtime_s", "energy_j", "energy_provenance")),
        JOBS.c.asked,
        JOBS.c.owner,
    )
    query = _teaching(select(*columns).select_from(_JOINED), pretended)
    return store.rows(query.order_by(ATTEMPTS.c.ended_s.desc(), ATTEMPTS.c.job_id.desc()).limit(most))


def _teaching(query: Any, pretended: bool) -> Any:
    provenance = Provenance.PRETENDED if pretended else Provenance.MEASURED
    ended_well = (ATTEMPTS.c.exit_code == 0) & ATTEMPTS.c.reason.is_(None) & ATTEMPTS.c.ended_s.is_not(None)
    measured = (MEASUREMENTS.c.runtime_provenance == provenance.value) & (MEASUREMENTS.c.runtime_s > 0)
    return query.where(ended_well, measured, ~_preempted_before)


def _measured(entries: Sequence[tuple[Row[Any], Job, bases.Base]], provenance: Provenance) -> MeasuredJobs:
    runtime, energy = [], []
    for row, _, base in entries:
        prediction = base.by_type[row.gpu_type]
        runtime.append(math.log(row.runtime_s / prediction.runtime_s))
        metered = row.energy_provenance == provenance.value and row.energy_j > 0
        energy.append(math.log(row.energy_j / JOULES_PER_KWH / prediction.energy_kwh) if metered else math.nan)
    numbers = len(entries[0][2].vector) if entries else 0
    return MeasuredJobs(
        gpu_type=tuple(row.gpu_type for row, *_ in entries),
        source=tuple(job.content_hash for _, job, _ in entries),
        owner=tuple(row.owner for row, *_ in entries),
        vectors=np.array([base.vector for *_, base in entries], dtype=np.float32).reshape(len(entries), numbers),
        runtime=np.array(runtime),
        energy=np.array(energy),
    )
