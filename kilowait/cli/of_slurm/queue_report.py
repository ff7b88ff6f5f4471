"""What there is to say of Slurm's queue, as one object and as text."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from kilowait.advise.advice import ExpectedWait
from kilowait.advise.advice_text import duration
from kilowait.advise.slurm.queue_cluster import QueueCluster
from kilowait.advise.slurm.queue_outlook import LimitRisk
from kilowait.advise.slurm.slurm_queue import SlurmJob
from kilowait.advise.slurm.slurm_time import local_time, written_time
from kilowait.client.service_text import table

BASIS = (
    "modelled: the queue is run on with run times drawn around predictions in comments; without one about half of the "
    "limit is assumed; nobody else submits"
)


def queue_report(
    found: QueueCluster,
    waits: Mapping[str, ExpectedWait],
    risks: Sequence[LimitRisk],
    fresh: Mapping[str, ExpectedWait] | None,
) -> dict[str, Any]:
    """Everything there is to show, as JSON would have it."""
    cluster = found.cluster
    return {
        "pools": {
            name: {"gpus": cluster.total[name], "free": cluster.free[name], "partitions": sorted(pool.partitions)}
            for name, pool in found.pools.items()
        },
        "waiting": [{**described(found.jobs[job_id]), **_seconds(wait)} for job_id, wait in waits.items()],
        "limits": [
            {**described(risk.job), "predicted_s": risk.predicted_s, "probability": risk.probability} for risk in risks
        ],
        **({} if fresh is None else {"new_job": {pool: _seconds(wait) for pool, wait in fresh.items()}}),
        "left_out": dict(found.left_out),
        "provenance": BASIS,
    }


def described(job: SlurmJob) -> dict[str, Any]:
    """A job as JSON has it."""
    return {
        "job_id": job.job_id,
        "user": job.user,
        "partitions": list(job.partitions),
        "gpus": job.gpus,
        "gpu_type": job.gpu_word,
        "limit_s": job.limit_s if math.isfinite(job.limit_s) else None,
        "used_s": job.used_s,
        "slurm_start": job.slurm_start,
    }


def _seconds(wait: ExpectedWait) -> dict[str, Any]:
    return {"wait_s": wait.wait_s, "wait_low_s": wait.low_s, "wait_high_s": wait.high_s}


def queue_text(report: Mapping[str, Any]) -> str:
    """A report for a terminal."""
    lines = [
        f"{name}: {pool['free']} of {pool['gpus']} GPUs free, in {', '.join(pool['partitions'])}"
        for name, pool in report["pools"].items()
    ]
    lines += _waiting_lines(report["waiting"])
    for risk in report["limits"]:
        limit = written_time(risk["limit_s"])
        lines.append(
            f"job {risk['job_id']} of {risk['user']} may be ended by its limit of {limit}: {risk['probability']:.0%} "
            f"likely, predicted {duration(risk['predicted_s'])}"
        )
    for one in report.get("lowered", ()):
        before = "none" if one["limit_s"] is None else written_time(one["limit_s"])
        outcome = f"refused: {one['refused']}" if one["refused"] else "lowered"
        lines.append(f"job {one['job_id']}: limit {before} to {written_time(one['lowered_s'])}: {outcome}")
    if report.get("lowered") == []:
        lines.append("no limit to lower")
    for one in report.get("exchanged", ()):
        outcome = f"refused: {one['refused']}" if one["refused"] else "set"
        lines.append(f"job {one['job_id']}: nice {one['nice']}, predicted {duration(one['predicted_s'])}: {outcome}")
    if report.get("exchanged") == []:
        lines.append("no places to exchange")
    for pool, wait in report.get("new_job", {}).items():
        lines.append(f"a new job on {pool} starts in {_interval(wait)}")
    if report["left_out"]:
        lines.append(f"not looked at: {', '.join(f'{job} ({why})' for job, why in [*report['left_out'].items()][:5])}")
        if (more := len(report["left_out"]) - 5) > 0:
            lines.append(f"and {more} more, in --json")
    return "\n".join([*lines, report["provenance"]]) + "\n"


def _waiting_lines(waiting: Sequence[Mapping[str, Any]]) -> list[str]:
    head = ["job", "user", "GPUs", "limit", "starts in (90% interval)", "Slurm's own plan"]
    rows = [
        [
            job["job_id"],
            job["user"],
            f"{job['gpus']} {job['gpu_type']}".strip(),
            "none" if job["limit_s"] is None else written_time(job["limit_s"]),
            _interval(job),
            local_time(job["slurm_start"]) if job["slurm_start"] else "-",
        ]
        for job in waiting
    ]
    if not rows:
        return ["no job waits for its turn"]
    return [line.removeprefix("  ") for line in table(head, rows).splitlines()]


def _interval(wait: Mapping[str, Any]) -> str:
    middle = duration(wait["wait_s"])
    if wait["wait_low_s"] is None or wait["wait_high_s"] is None:
        return middle
    return f"{middle} ({duration(wait['wait_low_s'])} to {duration(wait['wait_high_s'])})"
