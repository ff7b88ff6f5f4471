"""What the first steps of a running job teach: about itself, and about jobs of the same program.

How much longer or shorter a program takes than was predicted is a property of the program more than of the GPU type,
so the ratio is carried over: to the types that the job does not run on, should it be tried again, to the same user's
jobs of the same program that wait, and to those submitted later, as long as they are predicted by the same version,
which cannot know yet. Another user's are left alone, since a job may say anything of itself; once it has ended, what it
took counts. On the type that it was seen on, that type's own ratio counts; on another the last one. Called by
`kilowait.cluster.advance` alone.
"""

from collections.abc import Mapping
from math import inf

import msgspec

from kilowait.cluster.events import JobProgressed, LimitSet
from kilowait.cluster.standing import Active
from kilowait.cluster.state import Cluster
from kilowait.core.errors import IllegalEvent
from kilowait.core.jobs import Job, Prediction

MOST_ANCHORS = 1000
"""Users' programs and versions of predictions of which a ratio is kept; the oldest goes first."""


def take_in(cluster: Cluster, event: JobProgressed) -> None:
    """Expect of a running job what is expected by now; raises IllegalEvent unless this attempt of it runs."""
    active = cluster.active.get(event.job_id)
    if active is None or active.attempt != event.attempt:
        raise IllegalEvent(f"job {event.job_id}: attempt {event.attempt} was seen, but it does not run")
    job, predictions = active.job, active.predictions
    if active.remaining == 1.0:
        _keep(cluster, active, event.prediction.runtime_s)
        predictions = anchored(cluster, job, active.whole)
    renewed = msgspec.structs.replace(
        active, predictions={**predictions, active.gpu_type: event.prediction}, progress=event
    )
    expect(cluster, renewed)
    _wait_by_it(cluster, job)


def expect(cluster: Cluster, active: Active) -> None:
    """Expect another end of a job that runs."""
    if cluster._ends is not None:
        cluster._ends.remove(active)
        cluster._ends.add(active)
    cluster.active[active.job.job_id] = active


def limited(cluster: Cluster, event: LimitSet) -> None:
    """Expect the rest of a running job under another power limit; raises IllegalEvent unless the attempt runs."""
    active, limit_w = cluster.active.get(event.job_id), event.limit_w
    if active is None or active.attempt != event.attempt:
        raise IllegalEvent(f"job {event.job_id}: attempt {event.attempt} is given a power limit, but it does not run")
    if limit_w is not None and not 0 < limit_w < inf:
        raise IllegalEvent(f"job {event.job_id}: limit_w must be finite and > 0, got {limit_w!r}")
    gpu_type, seen = active.gpu_type, active.predictions
    anew = seen[gpu_type].limited_anew(limit_w, event.time_s - active.placed_s)
    expect(cluster, msgspec.structs.replace(active, predictions={**seen, gpu_type: anew}, limit_w=limit_w))


def ended(cluster: Cluster, active: Active, now_s: float) -> None:
    """A job is finished: where it had said how far it was, what it really took takes the place of that."""
    if active.progress is not None and active.remaining == 1.0 and now_s > active.placed_s:
        _keep(cluster, active, now_s - active.placed_s)
        _wait_by_it(cluster, active.job)


def anchored(cluster: Cluster, job: Job, predictions: Mapping[str, Prediction]) -> Mapping[str, Prediction]:
    """Predictions of a job, by what was seen of the same program where anything was."""
    if not cluster.anchors or not job.content_hash:
        return predictions
    ratios = {t: _ratio(cluster, job, t, prediction) for t, prediction in predictions.items()}
    if not any(ratios.values()):
        return predictions
    return {t: prediction.times(ratios[t] or 1.0) for t, prediction in predictions.items()}


def _ratio(cluster: Cluster, job: Job, gpu_type: str, prediction: Prediction) -> float | None:
    seen = cluster.anchors.get((job.user, job.content_hash, prediction.probe_version))
    return None if not seen else seen.get(gpu_type) or list(seen.values())[-1]


def _keep(cluster: Cluster, active: Active, seen_s: float) -> None:
    job, gpu_type = active.job, active.gpu_type
    if not job.content_hash:
        return
    predicted = active.predicted
    key = job.user, job.content_hash, predicted.probe_version
    others = {t: ratio for t, ratio in cluster.anchors.pop(key, {}).items() if t != gpu_type}
    cluster.anchors[key] = {**others, gpu_type: seen_s / predicted.runtime_s}
    if len(cluster.anchors) > MOST_ANCHORS:
        del cluster.anchors[next(iter(cluster.anchors))]


def _wait_by_it(cluster: Cluster, job: Job) -> None:
    """Let the user's jobs of the same program that wait for their first attempt wait by what was seen."""
    if not job.content_hash:
        return
    whose = job.user, job.content_hash
    for waiting in [w for w in cluster.queue() if (w.job.user, w.job.content_hash) == whose and w.attempt == 1]:
        cluster.requeue(msgspec.structs.replace(waiting, predictions=anchored(cluster, waiting.job, waiting.whole)))
