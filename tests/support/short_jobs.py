"""Jobs of 100 s on GPUs A, put into a cluster and placed there by hand."""

from kilowait.cluster.advance import advance
from kilowait.cluster.events import JobPlaced, JobSubmitted
from kilowait.core.jobs import Job, Prediction


def short_jobs(cluster, *names, kwh=0.0, **fields):
    """Jobs of 100 s on A that come now."""
    seen, now_s = {"A": Prediction(runtime_s=100, energy_kwh=kwh)}, cluster.now_s
    for name in names:
        job = Job(job_id=name, submit_s=now_s, **fields)
        advance(cluster, JobSubmitted(time_s=now_s, job=job, predictions=seen))


def placed(cluster, job_id, attempt=1, where=()):
    event = JobPlaced(time_s=cluster.now_s, job_id=job_id, attempt=attempt, gpu_type="A", gpus=1, where=where)
    advance(cluster, event)
