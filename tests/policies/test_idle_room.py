"""With predictions that are wrong no planner lets a job wait beside room that nobody will use.

The check is independent of the planners: after every decision, whoever still waits beside room that he alone may use
must have another type that is worth the wait, by ends that are expected here by the rule as its sentence.
"""

import math
import random

import pytest

from kilowait.core.jobs import Job, Prediction
from kilowait.policies import POLICIES
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission

pytestmark = pytest.mark.slow

PLANNERS = ("easy", "conservative", "patient", "anticipatory", "milp")
BY_ENERGY = ("patient", "anticipatory", "milp")
WAIT_S_PER_KWH, CONGESTION = 1500.0, 0.3
HUNG_S = 30 * 86_400
WORLDS = dict.fromkeys(PLANNERS, 200) | {"milp": 60}  # which is slow


def world(seed):
    """Up to two types and a dozen jobs whose run times are off by a log-normal factor; some hang for 30 days."""
    rng = random.Random(seed)
    sd = rng.uniform(0.3, 2.3)
    nodes = {t: [rng.randint(1, 4) for _ in range(rng.randint(1, 2))] for t in ("A", "B")[: rng.randint(1, 2)]}
    submissions = []
    for serial in range(rng.randint(4, 14)):
        share = rng.random() < 0.15
        job = Job(
            job_id=f"{serial:02}",
            submit_s=float(rng.randint(0, 300)),
            gpus=1 if share else rng.randint(1, 3),
            gpu_milli=rng.choice((200, 400, 600)) if share else 1000,
            one_node=rng.random() < 0.3,
        )
        hangs = rng.random() < 0.15
        seen, truth = {}, {}
        for gpu_type in rng.sample(sorted(nodes), rng.randint(1, len(nodes))):
            runtime_s, factor = rng.lognormvariate(4, 1), math.exp(rng.gauss(0, sd))
            interval = {} if seed % 2 else {"runtime_low_s": runtime_s / 3, "runtime_high_s": runtime_s * 3}
            seen[gpu_type] = Prediction(runtime_s=runtime_s, energy_kwh=rng.uniform(0, 0.2), **interval)
            truth[gpu_type] = Prediction(runtime_s=HUNG_S if hangs else runtime_s * factor, energy_kwh=0.1)
        submissions.append(Submission(job=job, truth=truth, seen=seen))
    return nodes, submissions


def expected_end_s(placed_s, seen, now_s):
    """As predicted; once passed the median of what is left, and beyond the interval, or without one, twice as long."""
    estimates = [seen.runtime_s]
    if seen.runtime_high_s is not None:
        sigma = math.log(seen.runtime_high_s / seen.runtime_s) / 1.6448536269514722
        estimates += [seen.runtime_s * math.exp(sigma * z) for z in (0.6744898, 1.1503494, 1.5341205)]
        estimates.append(seen.runtime_high_s)
    while placed_s + estimates[-1] <= now_s:
        estimates.append(2 * estimates[-1])
    return placed_s + next(e for e in estimates if placed_s + e > now_s)


def check(name, cluster, placed_now, room_after):
    """Nobody waits on a type that fits now, that he alone could use, unless another type is worth the wait."""
    waiting = [w for w in cluster.queue() if w.job.job_id not in placed_now]
    for w in waiting:
        for gpu_type in w.gpus:
            if not room_after(w, gpu_type) or any(gpu_type in v.gpus for v in waiting if v is not w):
                continue
            better = [t for t in w.gpus if t != gpu_type and worth(name, cluster, w, t, gpu_type, placed_now)]
            assert better, f"{name}: {w.job.job_id} waits at {cluster.now_s} beside free {gpu_type}"


def worth(name, cluster, w, other, free, placed_now):
    """Whether the wait for another type can pay: for the soonest end that its expected ends allow by number."""
    now_s, milli = cluster.now_s, w.job.milli_on(other)
    ends = [
        (expected_end_s(a.placed_s, a.predictions[other], now_s), a.gpus * a.job.gpu_milli)
        for a in cluster.active.values()
        if a.gpu_type == other
    ]
    ends += [
        (now_s + v.predictions[other].runtime_s, v.job.milli_on(other))
        for v in (cluster.waiting[j] for j, t in placed_now.items() if t == other)
    ]
    assert all(end_s > now_s for end_s, _ in ends)
    have, start_s = 1000 * cluster.total[other] - sum(m for _, m in ends), now_s
    for end_s, freed in sorted(ends):
        if have >= milli:
            break
        have, start_s = have + freed, end_s
    there, here = w.predictions[other], w.predictions[free]
    if name not in BY_ENERGY:
        return start_s + there.runtime_s <= now_s + here.runtime_s
    crowd = len(cluster.waiting) if name != "milp" else 1

    def price_s(gpu_type, prediction):
        occupied = CONGESTION * crowd * w.job.amount_on(gpu_type) * prediction.runtime_s / cluster.total[gpu_type]
        return occupied + WAIT_S_PER_KWH * prediction.energy_kwh

    if name == "anticipatory":  # it prices no crowd where it plans what is to come: any saving can be worth a wait
        return start_s - now_s <= WAIT_S_PER_KWH * 0.2 + here.runtime_s * CONGESTION * crowd
    return start_s - now_s + price_s(other, there) <= price_s(free, here)


@pytest.mark.parametrize("name", PLANNERS)
def test_nobody_waits_beside_room_that_nobody_will_use(name):
    checked = 0
    for seed in range(WORLDS[name]):
        nodes, submissions = world(seed)
        policy = POLICIES[name]()
        if name == "anticipatory":
            policy = POLICIES[name](scenarios=4, effort=50)

        def spy(cluster, policy=policy):
            nonlocal checked
            decisions = policy(cluster)
            room = cluster.room()
            for d in decisions:
                room.take(cluster.waiting[d.job_id], d.gpu_type, d.where)
            check(name, cluster, {d.job_id: d.gpu_type for d in decisions}, room.fits)
            checked += 1
            return decisions

        run = simulate(submissions, {t: sum(n) for t, n in nodes.items()}, spy, nodes=nodes)
        assert len(run.placements) + len(run.refused) == len(submissions)
    assert checked > 15 * WORLDS[name]


@pytest.mark.parametrize("name", PLANNERS)
def test_a_job_that_hangs_is_no_free_gpu_to_come(name):
    """`hung` has the A100 for 30 days, predicted to take 10 s; the A6000 is free from 60 s on, for 200 s a job.

    The A100 would be twice as fast, but is expected at 80 s, then at 160, 320, 640 s: of the three jobs that wait, one
    starts on the A6000 at 60, one at 260 and one at 460 s, whoever holds for the A100 meanwhile.
    """

    def on_both(job_id, submit_s, fast, slow, predicted=None):
        truth, seen = (
            {t: Prediction(runtime_s=s, energy_kwh=kwh) for t, (s, kwh) in zip(("A100", "A6000"), pair, strict=True)}
            for pair in ((fast, slow), predicted or (fast, slow))
        )
        return Submission(job=Job(job_id=job_id, submit_s=submit_s), truth=truth, seen=seen)

    jobs = [on_both("hung", 0, (HUNG_S, 100), (HUNG_S, 100), ((10, 0.01), (200, 0.01)))]
    jobs.append(on_both("blocker", 0, (120, 0.01), (60, 0.01)))
    jobs += [on_both(job_id, s, (100, 0.01), (200, 0.02)) for job_id, s in (("y", 10), ("z1", 11), ("z2", 12))]
    run = simulate(jobs, {"A100": 1, "A6000": 1}, POLICIES[name]())
    assert sorted((p.start_s, p.gpu_type) for p in run.placements if p.job_id[0] in "yz") == [
        (60, "A6000"),
        (260, "A6000"),
        (460, "A6000"),
    ]
    assert sum(p.wait_s for p in run.placements) == 747
    assert max(p.wait_s for p in run.placements) <= 450
