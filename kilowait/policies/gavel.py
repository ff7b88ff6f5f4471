"""Gavel without preemption: shares of time on GPU types from a linear program, started as whole runs.

Source: Narayanan et al., "Heterogeneity-aware cluster scheduling policies for deep learning workloads", OSDI 2020:
sections 3 and 4 for the allocation (`kilowait.policies.planning.allocation`), section 5 for the priorities.
"""

from collections.abc import Mapping, Sequence
from itertools import islice

from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.core.errors import InputError
from kilowait.policies.choices import in_queue_order
from kilowait.policies.decisions import Decision, Place, Policy
from kilowait.policies.parameters import Parameter, whole
from kilowait.policies.rule import Rule

DEFAULT_OBJECTIVE = "max_min"
DEFAULT_HORIZON = 64

DIGITS = 6
"""Shares are rounded to so many decimals: what lies behind is the solver's, and must not decide between jobs."""


def gavel(*, objective: str = DEFAULT_OBJECTIVE, horizon: int = DEFAULT_HORIZON) -> Policy:
    """A policy that solves for the allocation X_mj at every decision and starts waiting jobs by their shares.

    `objective` is "max_min" (the least effective throughput, normalised by that under an equal share of the
    cluster), "throughput" (jobs a second) or "energy" (jobs a kWh). The program holds all running jobs and the first
    `horizon` waiting ones. Then the (waiting job, type) pairs with X_mj > 0 start by falling X_mj wherever they fit;
    equal shares go to the earlier in the queue, then to the more powerful type; between types that make no difference
    the solver's choice stands. A job with no share of any free type waits: its time is meant to be spent elsewhere,
    or, under "throughput" and "energy", other jobs pay more; there long jobs and hungry ones may starve. Wide jobs
    may starve under all three.

    What differs from the source: it preempts every job every round and gives it types by turns, by the priority
    X_mj over the fraction of time received there. Here a job that started stays until its end, so X_mj is a
    preference and not kept as a share of time; running jobs count in the program with a free share of the type they
    hold and none of others. A waiting job has received nothing, and for such the source's priorities are in
    proportion to X_mj, as here. Throughput is whole jobs a second from the predictions, not measured steps; jobs do
    not share GPUs; all have the weight 1; a scale factor is the job's GPUs, or what a type asks for instead in the
    constraints. Jobs that are alike are one row, so that alike jobs have the same shares. Of several optima under
    "max_min" the one of the largest sum is taken. The energy objective is ours (see `allocation.energy`).

    The same state gives the same decisions. Raises InputError for an unknown objective and a horizon below 1.
    """
    from kilowait.policies.planning.allocation import ALLOCATIONS  # loads scipy's solvers
    from kilowait.policies.planning.demand import demand_of

    if objective not in ALLOCATIONS:
        raise InputError(f"objective must be one of {', '.join(ALLOCATIONS)}, got {objective!r}")
    if horizon < 1:
        raise InputError(f"horizon must be >= 1, got {horizon!r}")

    def gavel(cluster: Cluster) -> list[Decision]:
        if next(cluster.ranked_jobs(in_queue_order).fitting(cluster.room()), None) is None:
            return []
        waiting = list(islice(cluster.queue(), horizon))
        demand, groups = demand_of(cluster, waiting)
        rows = ALLOCATIONS[objective](demand).round(DIGITS).tolist()
        return _start(
            cluster, waiting, {job_id: row for row, group in zip(rows, groups, strict=True) for job_id in group}
        )

    return gavel


def _start(cluster: Cluster, queue: Sequence[Waiting], shares: Mapping[str, Sequence[float]]) -> list[Decision]:
    """Start pairs by falling share while they fit; the sort is stable, so ties keep the order of the queue."""
    pairs = [
        (share, waiting, gpu_type)
        for waiting in queue
        for gpu_type, share in zip(cluster.total, shares[waiting.job.job_id], strict=True)
        if share > 0
    ]
    room, decisions = cluster.room(), dict[str, Decision]()
    for _, waiting, gpu_type in sorted(pairs, key=lambda pair: -pair[0]):
        job_id = waiting.job.job_id
        if job_id not in decisions and room.fits(waiting, gpu_type):
            room.take(waiting, gpu_type)
            decisions[job_id] = Place(job_id=job_id, gpu_type=gpu_type)
    return list(decisions.values())


RULE = Rule(
    name="gavel",
    sentence="a linear program gives each job its share of time on each type; pairs start by their share",
    make=gavel,
    parameters=(
        Parameter(
            name="objective",
            sentence="max_min (fairness), throughput or energy",
            default=DEFAULT_OBJECTIVE,
            read=str,
            metavar="NAME",
        ),
        Parameter(
            name="horizon",
            sentence="waiting jobs that the program holds at most",
            unit="jobs",
            default=DEFAULT_HORIZON,
            read=whole,
            option=False,
        ),
    ),
    place=130,
)
