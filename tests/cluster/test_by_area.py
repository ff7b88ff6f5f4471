"""The arrays of the waiting jobs are what a look at the queue gives, whatever has come and gone."""

import random

import numpy as np
import pytest

from kilowait.cluster.advance import advance
from kilowait.cluster.events import GpusJoined, JobCancelled, JobPlaced, JobPredicted, JobSubmitted
from kilowait.cluster.state import Cluster
from kilowait.cluster.views.by_area import NEVER, ByArea
from kilowait.core.jobs import Job, Prediction


def predictions(rng):
    types = rng.sample(["A", "B"], rng.randint(1, 2))
    return {t: Prediction(runtime_s=rng.randint(1, 5), energy_kwh=rng.randint(0, 3)) for t in types}


def smallest(cluster):
    """Ids by the least GPU-seconds, then by place in the queue."""
    area = {
        w.job.job_id: min(w.gpus[t] * w.predictions[t].runtime_s * w.job.gpu_milli / 1000 for t in w.gpus)
        for w in cluster.queue()
    }
    return sorted(area, key=lambda job_id: (area[job_id], cluster.waiting[job_id].place))


@pytest.mark.parametrize("seed", range(4))
def test_order_rows_and_what_fits_follow_every_event(seed):
    rng, cluster = random.Random(seed), Cluster(order=("A", "B"))
    for gpu_type, gpus in (("A", 3), ("B", 4)):
        advance(cluster, GpusJoined(time_s=0, node="n", gpu_type=gpu_type, gpus=gpus))
    table = cluster.by_area()
    for serial in range(150):
        _something_happens(rng, cluster, serial)
        table = cluster.by_area()
        jobs, room = table.first(1000), cluster.room()
        assert [w.job.job_id for w in jobs] == smallest(cluster)
        assert [table.job(row) for row in table.rows(3).tolist()] == jobs[:3]
        for waiting, row in zip(jobs, table.rows_of(jobs).tolist(), strict=True):
            by_type = dict(zip(cluster.total, table.milli[row].tolist(), strict=True))
            assert {t: m for t, m in by_type.items() if m != NEVER} == {
                t: 1000 * gpus for t, gpus in waiting.gpus.items()
            }
        assert table.fits_any(room) == any(room.fitting(w) for w in jobs)
        assert table.fitting_first(room, 5) == sorted(jobs, key=lambda w: not room.fitting(w))[:5]
    assert np.count_nonzero((table.milli != NEVER).any(axis=1)) == len(cluster.waiting)
    anew = ByArea(tuple(cluster.total), cluster.queue())
    assert anew.first(1000) == table.first(1000)
    for name in ("milli", "runtime_s", "energy_kwh"):
        per_job = [getattr(one, name)[one.rows(1000)] for one in (anew, table)]
        known = table.milli[table.rows(1000)] != NEVER
        assert np.array_equal(per_job[0][known], per_job[1][known])


def _something_happens(rng, cluster, serial):
    now_s, waiting = cluster.now_s + rng.randint(0, 1), list(cluster.waiting)
    kind = rng.random()
    if not waiting or kind < 0.6:
        job = Job(job_id=f"{serial:03}", submit_s=now_s, gpus=rng.randint(1, 3))
        advance(cluster, JobSubmitted(time_s=now_s, job=job, predictions=predictions(rng)))
    elif kind < 0.75:
        advance(cluster, JobCancelled(time_s=now_s, job_id=rng.choice(waiting)))
    elif kind < 0.85:
        job_id = rng.choice(waiting)
        known = cluster.waiting[job_id].whole
        better = {t: Prediction(runtime_s=rng.randint(1, 5), energy_kwh=1) for t in known}
        advance(cluster, JobPredicted(time_s=now_s, job_id=job_id, predictions=better))
    elif kind < 0.88:
        advance(cluster, GpusJoined(time_s=now_s, node=f"n{serial}", gpu_type="B", gpus=1))
    else:
        fitting = [(w, t) for w in cluster.waiting.values() for t in cluster.room().fitting(w)]
        if fitting:
            w, t = rng.choice(fitting)
            where = cluster.locate(w, t)
            advance(
                cluster,
                JobPlaced(time_s=now_s, job_id=w.job.job_id, attempt=1, gpu_type=t, gpus=w.gpus[t], where=where),
            )
