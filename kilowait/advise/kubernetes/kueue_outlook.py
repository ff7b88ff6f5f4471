"""When Kueue is expected to admit what waits: its queues run on in kilowait's own state machine.

Each ClusterQueue by itself, in its own order: with StrictFIFO who fits nowhere holds up everybody behind, with
BestEffortFIFO whoever fits goes. Run times are drawn around the predictions in annotations, log-normal, and none is
longer than Kueue's limit; where there is a limit and no prediction about half of it is assumed, and a workload with
neither is taken never to end: who has to wait for it has no expected time. All numbers are modelled.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np

from kilowait.advise.advice import ExpectedWait
from kilowait.advise.kubernetes.kueue_queue import KueueQueue, KueueWorkload
from kilowait.cluster.advance import advance
from kilowait.cluster.events import GpusJoined, JobPlaced, JobSubmitted
from kilowait.cluster.state import Cluster
from kilowait.core.errors import IllegalEvent, JobRefused
from kilowait.core.jobs import Job, Prediction
from kilowait.core.log_normal import TO_END
from kilowait.core.units import DAY_S
from kilowait.policies import Decision, Place, Policy
from kilowait.policies.simple import simple
from kilowait.simulate.ahead import Supposed, run_ahead
from kilowait.simulate.outlook import PRIOR_SD, quantile

DRAWS = 40
ENDLESS_S = 365 * DAY_S
START_S = 2 * ENDLESS_S
"""The present on the cluster's clock: what runs began before."""
UNKNOWN_SHARE, UNKNOWN_SD = 0.5, 1.0


def expected_admissions(
    queues: Sequence[KueueQueue], workloads: Sequence[KueueWorkload], now_s: float, seed: int = 0
) -> dict[str, ExpectedWait | None]:
    """By key of each workload that waits: seconds from now; None where no time can be expected."""
    found: dict[str, ExpectedWait | None] = {}
    for queue in queues:
        own = [workload for workload in workloads if workload.queue == queue.name]
        found |= _of_queue(queue, own, now_s, np.random.default_rng(seed))
    return found


def _of_queue(
    queue: KueueQueue, own: Sequence[KueueWorkload], now_s: float, rng: np.random.Generator
) -> dict[str, ExpectedWait | None]:
    cluster, by_key = _cluster(queue, own, now_s), {workload.key: workload for workload in own}
    policy = simple() if queue.strict else _whoever_fits()
    runs = [run_ahead(cluster.copy(), policy, START_S, _supposed(queue, by_key, rng)) for _ in range(DRAWS)]
    starts = {
        key: [run[key].start_s - START_S if key in run else math.inf for run in runs]
        for key in (workload.key for workload in own if workload.admitted_s is None)
    }
    return {key: _wait(waits) for key, waits in starts.items()}


def _wait(waits: Sequence[float]) -> ExpectedWait | None:
    """Nothing where in one of ten draws it waits for what does not end."""
    if sum(wait > ENDLESS_S / 2 for wait in waits) > 0.1 * len(waits):
        return None
    low, middle, high = np.quantile(waits, [0.05, 0.5, 0.95], method="lower").tolist()
    return ExpectedWait(wait_s=middle, low_s=low, high_s=high)


def _cluster(queue: KueueQueue, own: Sequence[KueueWorkload], now_s: float) -> Cluster:
    """The state machine brought to where the queue is; more GPUs where more than its own are held."""
    cluster = Cluster(order=tuple(queue.flavors))
    running = [one for one in own if one.admitted_s is not None and one.flavor in queue.flavors]
    for flavor, quota in queue.flavors.items():
        held = sum(one.gpus for one in running if one.flavor == flavor)
        advance(cluster, GpusJoined(time_s=0.0, node=flavor, gpu_type=flavor, gpus=max(quota, held)))
    for one in sorted(running, key=lambda one: one.admitted_s or 0.0):
        begin_s = START_S - min(max(0.0, now_s - (one.admitted_s or 0.0)), ENDLESS_S)
        _submit(cluster, queue, one, begin_s, 0, frozenset((one.flavor,)))
        advance(
            cluster, JobPlaced(time_s=begin_s, job_id=one.key, attempt=1, gpu_type=one.flavor, gpus=one.gpus, where=())
        )
    cluster.now_s = START_S
    waiting = [one for one in own if one.admitted_s is None]
    for rank, one in enumerate(sorted(waiting, key=lambda one: (-one.priority, one.created_s))):
        with suppress(JobRefused, IllegalEvent):  # larger than the quota: it has no expected time
            _submit(cluster, queue, one, START_S, rank, frozenset(queue.flavors))
    return cluster


def _submit(
    cluster: Cluster, queue: KueueQueue, one: KueueWorkload, time_s: float, rank: int, allowed: frozenset[str]
) -> None:
    times = {flavor: _expected(queue, one, flavor)[0] for flavor in allowed}
    predictions = {flavor: Prediction(runtime_s=seconds, energy_kwh=0.0) for flavor, seconds in times.items()}
    job = Job(job_id=one.key, submit_s=float(rank), gpus=one.gpus, allowed=allowed)
    advance(cluster, JobSubmitted(time_s=time_s, job=job, predictions=predictions))


def _expected(queue: KueueQueue, one: KueueWorkload, flavor: str) -> tuple[float, float]:
    """(seconds, deviation of their logarithm) on a flavor."""
    found = one.times.get(queue.types[flavor])
    if found is not None:
        expected_s, _, high_s = found
        sd = PRIOR_SD if high_s is None or high_s <= expected_s else math.log(high_s / expected_s) / TO_END
        return min(expected_s, one.limit_s), sd
    return (UNKNOWN_SHARE * one.limit_s, UNKNOWN_SD) if math.isfinite(one.limit_s) else (ENDLESS_S, 0.01)


def _supposed(queue: KueueQueue, by_key: Mapping[str, KueueWorkload], rng: np.random.Generator) -> Supposed:
    def supposed(job_id: str, expected_s: float, run_s: float) -> float:
        one = by_key[job_id]
        flavors = [one.flavor] if one.flavor else list(queue.flavors)
        sd = max((_expected(queue, one, flavor)[1] for flavor in flavors), default=PRIOR_SD)
        return max(run_s, min(one.limit_s, quantile(rng.uniform(), expected_s, run_s, sd)))

    return supposed


def _whoever_fits() -> Policy:
    """In order, on the first flavor with room; who fits nowhere holds nobody up."""

    def whoever_fits(cluster: Cluster) -> list[Decision]:
        room = cluster.room()
        taken = [(waiting, room.take_first(waiting)) for waiting in cluster.queue()]
        return [Place(job_id=waiting.job.job_id, gpu_type=flavor) for waiting, flavor in taken if flavor is not None]

    return whoever_fits
