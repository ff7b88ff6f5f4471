"""How evenly waiting falls on jobs and users: slowdowns and Jain's index; modelled, never measured.

Sources: Jain, Chiu and Hawe, "A quantitative measure of fairness and discrimination for resource allocation in shared
computer systems", DEC TR-301, 1984 (the index); Feitelson, "Metrics for parallel job scheduling and their
convergence", JSSPP 2001 (bounded slowdown). Both know one type of processor. With several we divide by what a job
takes on its fastest type of the inventory, so that a slower type counts as slowdown and a policy cannot hide it.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import fsum

import numpy as np

from kilowait.simulate.run import Placement, Run, Submission

BOUND_S = 10.0
"""A job shorter than this counts as this long, so that seconds of waiting do not make it an outlier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fairness:
    """Of one run. `jain` is over users' mean slowdowns where `users` of them are named, else (0) over jobs'.

    1 is the same slowdown for everybody, 1/n all of it on one of n. Without jobs the index is 1 and the rest 0.
    """

    jain: float
    users: int
    p99_bounded_slowdown: float


def fairness(run: Run, submissions: Iterable[Submission]) -> Fairness:
    """The fairness of a run of these submissions; jobs that were refused do not count.

    Slowdown = (wait + run) / t and bounded slowdown = max(1, (wait + run) / max(t, 10 s)), where t are the seconds
    the job takes on its fastest type of the inventory. Users are named when every job has one; percentiles
    interpolate linearly.
    """
    by_id = {s.job.job_id: s for s in submissions}
    fastest_s = {p.job_id: _fastest_s(by_id[p.job_id], run) for p in run.placements}
    slowdowns = {p.job_id: _response_s(p) / fastest_s[p.job_id] for p in run.placements}
    bounded = [max(1.0, _response_s(p) / max(fastest_s[p.job_id], BOUND_S)) for p in run.placements]
    by_user: defaultdict[str | None, list[float]] = defaultdict(list)
    for job_id, slowdown in slowdowns.items():
        by_user[by_id[job_id].job.user].append(slowdown)
    users = 0 if None in by_user else len(by_user)
    over = [fsum(found) / len(found) for found in by_user.values()] if users else list(slowdowns.values())
    return Fairness(
        jain=jain_index(over),
        users=users,
        p99_bounded_slowdown=float(np.quantile(bounded or [0.0], 0.99)),
    )


def jain_index(values: Iterable[float]) -> float:
    """(sum x)^2 / (n sum x^2); 1 where there is nothing to share."""
    found = list(values)
    squares = fsum(x * x for x in found)
    return fsum(found) ** 2 / (len(found) * squares) if squares else 1.0


def _response_s(placement: Placement) -> float:
    return placement.wait_s + placement.runtime_s


def _fastest_s(submission: Submission, run: Run) -> float:
    job = submission.job
    return min(
        truth.runtime_s
        for gpu_type, truth in submission.truth.items()
        if job.gpus_on(gpu_type) <= run.inventory.get(gpu_type, 0) and (job.allowed is None or gpu_type in job.allowed)
    )
