"""The compiled plans of the waiting jobs, once they pay: what `patient` and `conservative` do in Python, in arrays.

Both give the same decisions, so it is a matter of time alone which of them decides. Loading numba and the kernels takes
a second, compiling them once a machine several; until Python has spent about as long on plans, it plans.
"""

from collections.abc import Callable, Iterator, Sequence
from random import Random

import numpy as np

from kilowait.cluster.standing import Active, Waiting
from kilowait.cluster.state import Cluster
from kilowait.core.arrays import FloatArray, IntArray
from kilowait.policies.planning.profile import Reservation, ends_by_type
from kilowait.policies.planning.starting import Ready

LOADING_OPTIONS = 200_000
"""Options (a job on a type) on whose pricing Python spends about the time that loading takes: a second or two."""

_priced_options = 0


def pays(options: int) -> bool:
    """Whether a plan that prices about so many options should be compiled; counts it where it should not."""
    global _priced_options
    if _priced_options < LOADING_OPTIONS:
        _priced_options += options
        return False
    return True


def cheapest_reservations(
    cluster: Cluster,
    end_s: Callable[[Active], float] | None,
    rows: IntArray,
    crowd: float,
    wait_s_per_kwh: float,
    moves: IntArray,
    ready: Ready,
) -> Iterator[Reservation]:
    """What the cheapest plan of the jobs of these rows of `Cluster.by_area` reserves: for now, or for one of `ready`.

    As `kilowait.policies.patient.cheapest_plan`; `crowd` is the congestion times the jobs that wait, and `moves` (M, 2)
    are places in the order.
    """
    from kilowait.policies.planning.plan_kernels import PlanArrays
    from kilowait.policies.planning.queue_kernels import RunningArrays, TakenArrays, cheapest_plan

    table, types, now_s, n = cluster.by_area(), tuple(cluster.total), float(cluster.now_s), len(rows)
    milli, runtime_s = table.milli[rows], table.runtime_s[rows]
    ready_s = _ready_s([table.job(row) for row in rows.tolist()], types, ready) if ready else np.zeros(milli.shape)
    order, plan = np.arange(n), PlanArrays(np.empty(n), np.empty(n, np.int64))
    cheapest_plan(
        now_s,
        RunningArrays(*_running(cluster, end_s)),
        TakenArrays(milli, runtime_s, table.energy_kwh[rows], ready_s),
        np.array(list(cluster.total.values())),
        crowd,
        wait_s_per_kwh,
        moves,
        order,
        plan,
    )
    chosen = order[(plan.start_s[order] <= now_s) | bool(ready)]
    return _reservations([table.job(row) for row in rows[chosen].tolist()], types, chosen, plan)


def random_moves(jobs: int, moves: int, rng: Random) -> IntArray:
    """So many pairs of places among so many jobs (M, 2): where to, and from where."""
    return np.array([int(rng.random() * jobs) for _ in range(2 * moves)], np.int64).reshape(-1, 2)


def reservations_in_order(cluster: Cluster, pairs: Sequence[tuple[str, str]], jobs: int) -> Iterator[Reservation]:
    """What the first so many jobs of the queue are reserved that begins now, as `kilowait.policies.conservative` has
    it; `pairs` are the jobs and types that fit now."""
    from kilowait.policies.planning.plan_kernels import PlanArrays
    from kilowait.policies.planning.queue_kernels import RunningArrays, TakenArrays, reserve_in_order

    table, types, now_s = cluster.by_area(), tuple(cluster.total), float(cluster.now_s)
    queue = [waiting for _, waiting in zip(range(jobs), cluster.queue(), strict=False)]
    rows, place = table.rows_of(queue), {waiting.job.job_id: n for n, waiting in enumerate(queue)}
    column = {gpu_type: k for k, gpu_type in enumerate(types)}
    hopeful = [(place[job_id], column[gpu_type]) for job_id, gpu_type in pairs if job_id in place]
    milli, plan = table.milli[rows], PlanArrays(np.full(len(rows), np.inf), np.empty(len(rows), np.int64))
    reserve_in_order(
        now_s,
        RunningArrays(*_running(cluster, None)),
        TakenArrays(milli, table.runtime_s[rows], table.energy_kwh[rows], np.zeros((1, 1))),
        np.array(list(cluster.total.values())),
        np.array(hopeful, np.int64).reshape(-1, 2),
        plan,
    )
    chosen = np.nonzero(plan.start_s <= now_s)[0]
    return _reservations([queue[n] for n in chosen.tolist()], types, chosen, plan)


def _reservations(
    jobs: Sequence[Waiting], types: Sequence[str], chosen: IntArray, plan: tuple[FloatArray, IntArray]
) -> Iterator[Reservation]:
    """The plan of the `chosen` jobs, but not of those that start nowhere."""
    starts_s, kinds = plan[0][chosen].tolist(), plan[1][chosen].tolist()
    for waiting, start_s, kind in zip(jobs, starts_s, kinds, strict=True):
        if kind >= 0:
            gpu_type = types[kind]
            yield Reservation(
                job_id=waiting.job.job_id,
                gpu_type=gpu_type,
                milli=waiting.job.milli_on(gpu_type),
                start_s=start_s,
                end_s=start_s + waiting.predictions[gpu_type].runtime_s,
            )


def _ready_s(jobs: Sequence[Waiting], types: Sequence[str], ready: Ready) -> FloatArray:
    return np.array([[ready.get((waiting.job.job_id, gpu_type), 0.0) for gpu_type in types] for waiting in jobs])


def _running(
    cluster: Cluster, end_s: Callable[[Active], float] | None
) -> tuple[IntArray, FloatArray, IntArray, IntArray]:
    """What is free and comes back, as `queue_kernels.RunningArrays`."""
    ends = cluster.predicted_ends()  # by any rule: whoever plans decides again when an estimate has passed
    if end_s is not None:
        ends = ends_by_type(cluster, end_s)
    room = cluster.room()
    entries = np.array([entry for gpu_type in cluster.total for entry in ends[gpu_type]], np.float64).reshape(-1, 2)
    first = np.cumsum([0, *(len(ends[gpu_type]) for gpu_type in cluster.total)])
    free = np.array([room.milli(gpu_type) for gpu_type in cluster.total], np.int64)
    return free, entries[:, 0].copy(), entries[:, 1].astype(np.int64), first
