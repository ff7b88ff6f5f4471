"""Finished jobs beside what was predicted of them, joined by the comment; how good the predictions were."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from kilowait.advise.job_comment import JobComment, read_comment
from kilowait.advise.ledger import kept
from kilowait.advise.slurm.accounting import AccountedJob
from kilowait.advise.slurm.gpu_words import catalogue_type


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedJob:
    """A completed job on one GPU type: what was predicted (s; the ends None without an interval), what it took.

    `record` is what the ledger has of the advice, None where it has nothing: then the job teaches no correction.
    """

    job: AccountedJob
    advice_id: str
    gpu_type: str
    gpus: int
    predicted_s: float
    low_s: float | None
    high_s: float | None
    record: Mapping[str, Any] | None

    @property
    def teaches(self) -> bool:
        """Whether a correction can be learnt from it: the embedding of its program was kept."""
        return bool(self.record and self.record.get("vector"))

    @property
    def log_error(self) -> float:
        """log(measured / predicted)."""
        return math.log(self.job.elapsed_s / self.predicted_s)

    @property
    def inside(self) -> bool | None:
        """Whether the interval held the truth, None without one."""
        if self.low_s is None or self.high_s is None:
            return None
        return self.low_s <= self.job.elapsed_s <= self.high_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """The jobs that could be joined, and how many could not, by reason."""

    jobs: tuple[JoinedJob, ...]
    left_out: Mapping[str, int]

    @property
    def summary(self) -> Mapping[str, Mapping[str, float | int | None]]:
        """By GPU type: jobs, median factor measured / predicted, median error, share inside of the interval."""
        by_type: dict[str, list[JoinedJob]] = {}
        for job in self.jobs:
            by_type.setdefault(job.gpu_type, []).append(job)
        return {name: _quality(jobs) for name, jobs in sorted(by_type.items())}


def _quality(jobs: Sequence[JoinedJob]) -> dict[str, float | int | None]:
    inside = [job.inside for job in jobs if job.inside is not None]
    return {
        "jobs": len(jobs),
        "median_factor": math.exp(median(job.log_error for job in jobs)),
        "median_error": median(abs(job.job.elapsed_s / job.predicted_s - 1) for job in jobs),
        "inside": sum(inside) / len(inside) if inside else None,
    }


def joined(jobs: Iterable[AccountedJob], ledger: Path) -> Joining:
    """Every completed job with a comment of kilowait's, each once; `ledger` is where advice was kept."""
    found: dict[tuple[str, str, float], JoinedJob] = {}
    left_out: Counter[str] = Counter()
    for job in jobs:
        outcome = _one(job, ledger)
        if isinstance(outcome, JoinedJob):
            found[job.cluster, job.job_id, job.submit_s] = outcome
        else:
            left_out[outcome] += 1
    return Joining(jobs=tuple(sorted(found.values(), key=lambda one: one.job.end_s)), left_out=dict(left_out))


def _one(job: AccountedJob, ledger: Path) -> JoinedJob | str:
    """The job with its prediction, or why it has none."""
    if job.part:
        return job.part
    comment = read_comment(job.comment)
    if comment is None:
        return "no prediction in its comment"
    if not job.completed:
        return f"did not complete: {job.state}"
    gpu_type = _type(job, comment)
    if gpu_type is None:
        return "of a GPU type that is not known, or of several"
    gpus = sum(job.gpus.values())
    if gpus != comment.gpus:
        return "on another number of GPUs than was predicted"
    predicted_s, low_s, high_s = comment.seconds_by_type[gpu_type]
    return JoinedJob(
        job=job,
        advice_id=comment.advice_id,
        gpu_type=gpu_type,
        gpus=gpus,
        predicted_s=predicted_s,
        low_s=low_s,
        high_s=high_s,
        record=kept(comment.advice_id, ledger),
    )


def _type(job: AccountedJob, comment: JobComment) -> str | None:
    """The type it ran on; where Slurm does not say, the only one that was predicted."""
    words = list(job.gpus)
    if words == [""]:
        return next(iter(comment.seconds_by_type)) if len(comment.seconds_by_type) == 1 else None
    names = {found for word in words if (found := catalogue_type(word))}
    name = names.pop() if len(names) == 1 and len(words) == 1 else None
    return name if name in comment.seconds_by_type else None
