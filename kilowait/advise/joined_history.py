"""Joined jobs written into a history, from which corrections are learnt as the service learns them.

The history is one of its own: a service schedules by what its history says, so one that a service has is refused.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from kilowait.advise.advice import NUMBERS
from kilowait.advise.joined_jobs import JoinedJob
from kilowait.cluster.events import AttemptFinished, GpusJoined, JobPlaced, JobSubmitted, NodeLost
from kilowait.core.errors import InputError
from kilowait.core.jobs import Held, Job, Measurement, Prediction, Provenance
from kilowait.core.submission import Ending, Program, Request
from kilowait.core.units import WHOLE
from kilowait.history import bases
from kilowait.history.lease import Claim
from kilowait.history.store import Store
from kilowait.history.writing import Writing

CLUSTER = "slurm-accounting"
_PAGE = 200


def learnt(store: Store, jobs: Sequence[JoinedJob], now_s: float, *, metered: bool = False) -> int:
    """Write the jobs down that are not there yet and whose advice was kept; returns how many these are.

    `metered` says that Slurm's energy is of the job's GPUs alone. Raises Occupied for the history of a service that
    runs, InputError for one that had one, and StoreError.
    """
    teaching = [job for job in jobs if job.teaches]
    last_seq = store.take_over(Claim(cluster=CLUSTER, holder="kilowait learn", time_s=now_s))
    try:
        _check_own(store)
        new = 0
        for start in range(0, len(teaching), _PAGE):
            page = teaching[start : start + _PAGE]
            bases.keep(store, [_base(job) for job in page], now_s)
            with store.writing(last_seq) as writing:
                new += sum(_written(writing, job, metered) for job in page)
                last_seq = writing.last_seq
        return new
    finally:
        store.let_go(CLUSTER)


def _check_own(store: Store) -> None:
    first = next(iter(store.events()), None)
    if first is not None and not (isinstance(first[1], GpusJoined) and first[1].node.startswith(CLUSTER)):
        raise InputError(f"{store.name}: the history of a service; give kilowait learn a database of its own")


def _base(job: JoinedJob) -> bases.Base:
    record = job.record or {}
    return bases.Base(
        content_hash=record["content_hash"],
        base_version=record["version"],
        milli=job.gpus * WHOLE,
        by_type=_predictions(record.get("base_by_type") or record["by_type"]),
        vector=np.array(record["vector"], dtype=np.float32),
    )


def _predictions(by_type: Mapping[str, Mapping[str, Any]]) -> dict[str, Prediction]:
    return {name: Prediction(**{key: row[key] for key in NUMBERS}) for name, row in by_type.items()}


def _written(writing: Writing, job: JoinedJob, metered: bool) -> bool:
    """The life of one job, as it would have been here; False where it is known already."""
    accounted, record = job.job, job.record or {}
    key = f"{accounted.cluster}/{accounted.job_id}/{accounted.submit_s:.0f}"
    if writing.known(accounted.user, key):
        return False
    job_id = f"slurm-{hashlib.sha256(f'{accounted.user}/{key}'.encode()).hexdigest()[:16]}"
    submitted = Job(
        job_id=job_id,
        submit_s=accounted.submit_s,
        gpus=job.gpus,
        allowed=frozenset({job.gpu_type}),
        content_hash=record["content_hash"],
        user=accounted.user,
    )
    predictions = _predictions(record["by_type"])
    request = Request(job=submitted, predictions=predictions, program=Program(files={}, entrypoint=""), client_key=key)
    time_s, node = accounted.end_s, f"{CLUSTER}-{job_id}"
    writing.append(GpusJoined(time_s=time_s, node=node, gpu_type=job.gpu_type, gpus=job.gpus))
    event = JobSubmitted(time_s=time_s, job=submitted, predictions=predictions)
    writing.append(event)
    writing.add_job(event, request, hashlib.sha256(msgspec.json.encode(request.labels)).hexdigest())
    placed = JobPlaced(time_s=time_s, job_id=job_id, attempt=1, gpu_type=job.gpu_type, gpus=job.gpus)
    writing.append(placed)
    writing.add_attempt(placed, (Held(node=node, gpus=job.gpus),))
    writing.append(AttemptFinished(time_s=time_s, job_id=job_id, attempt=1))
    writing.add_ending(job_id, 1, _ending(job, job_id, metered))
    writing.append(NodeLost(time_s=time_s, node=node))
    return True


def _ending(job: JoinedJob, job_id: str, metered: bool) -> Ending:
    energy_j = job.job.energy_j or 0.0
    measured = Measurement(
        job_id=job_id,
        attempt=1,
        gpu_type=job.gpu_type,
        runtime_s=job.job.elapsed_s,
        energy_j=energy_j,
        runtime_provenance=Provenance.MEASURED,
        energy_provenance=Provenance.MEASURED if metered and energy_j else Provenance.ESTIMATED,
    )
    return Ending(exit_code=0, measurement=measured, meter="slurm")
