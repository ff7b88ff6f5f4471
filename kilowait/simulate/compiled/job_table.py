"""Submissions as arrays, in queue order. Suffixes as in `kilowait.simulate.compiled.track`.

A submission is a handful of objects scattered over memory, and fetching those is most of what a short simulation costs.
So a few hundred submissions at a time are read through, attribute by attribute, while they are in the processor's
cache; and from there on only arrays are touched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Job, Prediction
from kilowait.core.units import WHOLE
from kilowait.simulate.compiled.covered import NotCovered
from kilowait.simulate.compiled.track import F64, I64
from kilowait.simulate.run import Submission

AT_A_TIME = 256
"""Submissions with two types then take about 300 kB, a part of a processor's second cache."""

LEAST, MOST = 1e-100, 1e100
"""Seconds and kWh between which no sum, product or quotient of the kernels overflows or loses its precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Jobs in queue order: `asked_NT` GPUs on each type, 0 where a job can never run; seconds and kWh there are any.

    What is seen is the same array as what is true where every submission has it so.
    """

    submissions: Sequence[Submission]
    types: Sequence[str]
    job_ids: list[str]
    submit_s_N: F64
    asked_NT: I64
    true_s_NT: F64
    true_kwh_NT: F64
    seen_s_NT: F64
    seen_kwh_NT: F64


def read(submissions: Sequence[Submission], cluster: Cluster, *, exact: bool) -> Table:
    """All submissions on the GPUs of a cluster without jobs; raises NotCovered for what the kernels cannot run.

    `exact` says that what is seen of every submission is its truth: the same object.
    """
    try:
        table = _in_queue_order(_read(submissions, cluster, exact=exact))
    except OverflowError as trouble:
        raise NotCovered(f"a number of the jobs or the inventory is too large: {trouble}") from trouble
    check_range("submit_s", table.submit_s_N, zero=True)
    for seconds in {id(values): values for values in (table.true_s_NT, table.seen_s_NT)}.values():
        check_range("seconds", seconds, zero=False)
    for kwh in {id(values): values for values in (table.true_kwh_NT, table.seen_kwh_NT)}.values():
        check_range("kWh", kwh, zero=True)
    return table


def high_seconds(table: Table) -> F64:
    """The upper ends of the intervals of the predicted seconds (N, T), 0 where there is none or it makes no difference:
    nobody overruns a prediction that is exact."""
    high_s_NT = np.zeros_like(table.seen_s_NT)
    if table.seen_s_NT is not table.true_s_NT:
        for kind, gpu_type in enumerate(table.types):
            seen = (submission.seen.get(gpu_type) for submission in table.submissions)
            high_s_NT[:, kind] = [(one and one.runtime_high_s) or 0.0 for one in seen]
    return high_s_NT


def _read(submissions: Sequence[Submission], cluster: Cluster, *, exact: bool) -> Table:
    types, total_T = list(cluster.total), np.array(list(cluster.total.values()), np.int64)
    asked_NT = np.empty((len(submissions), len(types)), np.int64)
    truth = np.empty((2, *asked_NT.shape))
    seen = truth if exact else np.empty_like(truth)
    job_ids, submit_s = list[str](), list[float]()
    for first in range(0, len(submissions), AT_A_TIME):
        part = submissions[first : first + AT_A_TIME]
        jobs, rows = [s.job for s in part], slice(first, first + len(part))
        job_ids += [j.job_id for j in jobs]
        submit_s += [j.submit_s for j in jobs]
        _check_jobs(jobs)
        plain = not _particular(jobs) and _fill_plainly(truth[:, rows], [s.truth for s in part], types)
        if plain and (exact or _fill_plainly(seen[:, rows], [s.seen for s in part], types)):
            gpus = np.array([j.gpus for j in jobs], np.int64)[:, None]
            asked_NT[rows] = np.where(gpus <= total_T, gpus, 0)
        else:
            asked_NT[rows] = _fill_one_by_one(truth[:, rows], seen[:, rows], part, cluster)
    true_s_NT, true_kwh_NT = truth
    seen_s_NT, seen_kwh_NT = (true_s_NT, true_kwh_NT) if exact else seen
    return Table(
        submissions=submissions,
        types=types,
        job_ids=job_ids,
        submit_s_N=np.array(submit_s, np.float64),
        asked_NT=asked_NT,
        true_s_NT=true_s_NT,
        true_kwh_NT=true_kwh_NT,
        seen_s_NT=seen_s_NT,
        seen_kwh_NT=seen_kwh_NT,
    )


def _check_jobs(jobs: Sequence[Job]) -> None:
    """Raises NotCovered for a share of a board, for a job that asks for one node and for one that runs after others."""
    for job in jobs:
        if job.after:
            raise NotCovered(f"job {job.job_id} runs after others")
        if job.gpu_milli != WHOLE or job.one_node:
            problem = "one_node" if job.one_node else f"gpu_milli {job.gpu_milli}"
            raise NotCovered(f"job {job.job_id} has {problem}, so boards must be told apart")


def _particular(jobs: Sequence[Job]) -> bool:
    """Whether some job says more than how many GPUs it takes."""
    return any(j.gpus_by_type or j.allowed is not None or j.memory_bytes is not None for j in jobs)


def _fill_plainly(into: F64, predictions: Sequence[Mapping[str, Prediction]], types: Sequence[str]) -> bool:
    """Fill seconds and kWh (2, jobs, types); False where some prediction is missing."""
    for kind, gpu_type in enumerate(types):
        try:
            column = [by_type[gpu_type] for by_type in predictions]
        except KeyError:
            return False
        into[0, :, kind] = [prediction.runtime_s for prediction in column]
        into[1, :, kind] = [prediction.energy_kwh for prediction in column]
    return True


def _fill_one_by_one(truth: F64, seen: F64, submissions: Sequence[Submission], cluster: Cluster) -> I64:
    """As `_fill_plainly`, where each job has its own types; returns the GPUs asked (jobs, types)."""
    truth[:], seen[:], asked = 1.0, 1.0, np.zeros(truth.shape[1:], np.int64)
    kind_of = {gpu_type: kind for kind, gpu_type in enumerate(cluster.total)}
    for row, submission in enumerate(submissions):
        for gpu_type, gpus in cluster.possible(submission.job, submission.seen).items():
            kind, true_prediction, prediction = kind_of[gpu_type], submission.truth[gpu_type], submission.seen[gpu_type]
            asked[row, kind] = gpus
            truth[:, row, kind] = true_prediction.runtime_s, true_prediction.energy_kwh
            seen[:, row, kind] = prediction.runtime_s, prediction.energy_kwh
    return asked


def _in_queue_order(table: Table) -> Table:
    """By time of submission, then by job id as text."""
    submit_s_N = table.submit_s_N
    if bool((submit_s_N[1:] > submit_s_N[:-1]).all()):
        return table
    order, job_ids = np.argsort(submit_s_N, kind="stable"), table.job_ids
    sorted_s_N = submit_s_N[order]
    begins = np.flatnonzero(np.concatenate([[True], sorted_s_N[1:] != sorted_s_N[:-1], [True]]))
    for first, last in zip(begins[:-1].tolist(), begins[1:].tolist(), strict=True):
        if last - first > 1:
            order[first:last] = sorted(order[first:last].tolist(), key=job_ids.__getitem__)
    exact = table.seen_s_NT is table.true_s_NT
    true_s_NT, true_kwh_NT = table.true_s_NT[order], table.true_kwh_NT[order]
    return replace(
        table,
        submissions=[table.submissions[k] for k in order.tolist()],
        job_ids=[job_ids[k] for k in order.tolist()],
        submit_s_N=sorted_s_N,
        asked_NT=table.asked_NT[order],
        true_s_NT=true_s_NT,
        true_kwh_NT=true_kwh_NT,
        seen_s_NT=true_s_NT if exact else table.seen_s_NT[order],
        seen_kwh_NT=true_kwh_NT if exact else table.seen_kwh_NT[order],
    )


def check_range(name: str, values: F64, *, zero: bool) -> None:
    """Raises NotCovered for numbers beyond `LEAST` and `MOST`, but 0 where that is allowed."""
    outside = (values > MOST) | ((values < LEAST) & ~((values == 0) & zero))
    if outside.any():
        raise NotCovered(f"{name} must be from {LEAST:g} to {MOST:g}, a job has {values[outside][0]:g}")
