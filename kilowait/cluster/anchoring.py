"""What the first steps of a running job teach: about itself, and about jobs of the same program.

How much longer or shorter a program takes than was predicted is a property of the program more than of the GPU type,
so the ratio is carried over: to the types that the job does not run on, should it be tried again, to jobs of the same
program that wait, and to those that are submitted later, as long as they are predicted by the same version, which
cannot know yet. On the type that it was seen on, that type's own ratio counts; on another the last one. Called by
`kilowait.cluster.advance` alone.
"""

from collections.abc import Mapping

import msgspec

from kilowait.cluster.events import JobProgressed
from kilowait.cluster.state import Cluster
from kilowait.core.errors import IllegalEvent
from kilowait.core.jobs import Job, Prediction

MOST_ANCHORS = 1000
"""Programs and versions of predictions of which a ratio is kept; the oldest goes first."""


def take_in(cluster: Cluster, event: JobProgressed) -> None:
    """Expect of a running job what is expected by now; raises IllegalEvent unless this attempt of it runs."""
    active = cluster.active.get(event.job_id)
    if active is None or active.attempt != event.attempt:
        raise IllegalEvent(f"job {event.job_id}: attempt {event.attempt} was seen, but it does not run")
    job, predictions = active.job, active.predictions
    if active.remaining == 1.0:
        predicted = active.whole[active.gpu_type].under(event.prediction.limit_w)
        _keep(cluster, job, active.gpu_type, predicted, event.prediction.runtime_s)
        predictions = anchored(cluster, job, active.whole)
    renewed = msgspec.structs.replace(
        active, predictions={**predictions, active.gpu_type: event.prediction}, progress=event
    )
    if cluster._ends is not None:
        cluster._ends.remove(active)
        cluster._ends.add(renewed)
    cluster.active[event.job_id] = renewed
    _wait_by_it(cluster, job)


def anchored(cluster: Cluster, job: Job, predictions: Mapping[str, Prediction]) -> Mapping[str, Prediction]:
    """Predictions of a job, by what was seen of the same program where anything was."""
    if not cluster.anchors or not job.content_hash:
        return predictions
    ratios = {t: _ratio(cluster, job, t, prediction) for t, prediction in predictions.items()}
    if not any(ratios.values()):
        return predictions
    return {t: prediction.times(ratios[t] or 1.0) for t, prediction in predictions.items()}


def _ratio(cluster: Cluster, job: Job, gpu_type: str, prediction: Prediction) -> float | None:
    seen = cluster.anchors.get((job.content_hash, prediction.probe_version))
    return None if not seen else seen.get(gpu_type) or list(seen.values())[-1]


def _keep(cluster: Cluster, job: Job, gpu_type: str, predicted: Prediction, seen_s: float) -> None:
    if not job.content_hash:
        return
    key = job.content_hash, predicted.probe_version
    others = {t: ratio for t, ratio in cluster.anchors.pop(key, {}).items() if t != gpu_type}
    cluster.anchors[key] = {**others, gpu_type: seen_s / predicted.runtime_s}
    if len(cluster.anchors) > MOST_ANCHORS:
        del cluster.anchors[next(iter(cluster.anchors))]


def _wait_by_it(cluster: Cluster, job: Job) -> None:
    """Let jobs of the same program that wait for their first attempt wait by what was seen."""
    if not job.content_hash:
        return
    same = [w for w in cluster.queue() if w.job.content_hash == job.content_hash and w.attempt == 1]
    for waiting in same:
        cluster.requeue(msgspec.structs.replace(waiting, predictions=anchored(cluster, waiting.job, waiting.whole)))
