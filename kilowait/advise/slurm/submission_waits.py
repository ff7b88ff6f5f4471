"""When a job would start on each type if it were submitted now, by the live queue."""

import math
from collections.abc import Mapping
from dataclasses import replace

from kilowait.advise.advice import Advice, ExpectedWait
from kilowait.advise.limit_quantile import time_limit
from kilowait.advise.slurm.batch_request import BatchRequest
from kilowait.advise.slurm.partitions import SlurmPartition, meant
from kilowait.advise.slurm.queue_cluster import queue_cluster
from kilowait.advise.slurm.queue_outlook import NewJob, new_job_waits
from kilowait.advise.slurm.slurm_queue import ask_queue
from kilowait.advise.slurm.slurm_time import seconds_of
from kilowait.core.errors import ServiceError

RUN_ON_WITHIN_S = 1.0
"""How long a submission waits for the queue to be run on; a longer queue's waits are not counted."""


def waiting_counted(
    advice: Advice, request: BatchRequest, partitions: Mapping[str, SlurmPartition], risk: float, margin_s: float
) -> Advice:
    """The advice with the wait on each type, by all `partitions`; as it was where the queue cannot be read."""
    names = [partition.name for partition in meant(partitions, request.value("partition"))]
    if not names:
        return advice
    try:
        found = queue_cluster(partitions.values(), ask_queue())
    except ServiceError:
        return advice
    allowed = found.allowed(names, request.gpu_type or "", request.value("constraint") or "")
    limit = time_limit([on.prediction for on in advice.by_type.values()], risk, margin_s, None)
    own_s = seconds_of(request.value("time") or "")
    limit_s = own_s or (limit.seconds if limit else math.inf)
    nodes = int(first) if (first := (request.value("nodes") or "1").partition("-")[0]).isdigit() else 1
    new = NewJob(gpus=advice.gpus, nodes=nodes, allowed=allowed, limit_s=limit_s)
    waits: dict[str, ExpectedWait] = {}
    for pool, wait in new_job_waits(found, new, within_s=RUN_ON_WITHIN_S).items():
        gpu_type = found.pools[pool].gpu_type
        waits[gpu_type] = min(wait, waits.get(gpu_type, wait), key=lambda one: one.wait_s)
    return replace(
        advice, by_type={name: replace(on, wait=waits.get(name, on.wait)) for name, on in advice.by_type.items()}
    )
