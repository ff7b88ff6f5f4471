"""Shortest remaining time: who gives way to whom, what it promises, and that no work is lost or done twice."""

from collections import defaultdict
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilowait.cluster.advance import replay
from kilowait.core.errors import InputError
from kilowait.policies.sjf import sjf
from kilowait.policies.srpt import srpt
from kilowait.simulate.loop import simulate
from tests.support import timelines
from tests.support.examples import examples
from tests.support.timelines import attempts

job = partial(timelines.job, checkpoint_s=0.0)


class TestShortestRemaining:
    def test_a_long_job_gives_way_and_goes_on(self):
        jobs = [job("long", A=(10, 1), checkpoint_s=1), job("short", 2, A=(2, 1))]
        assert attempts(srpt(), {"A": 1}, *jobs) == [
            ("long", 1, "A", 0, 2), ("short", 1, "A", 2, 4), ("long", 2, "A", 4, 13)
        ]  # fmt: skip

    def test_hysteresis_counts_the_restart(self):
        """8 s left against 2 * (3 + 1) = 8: it stays; a little less to do, and it gives way."""
        assert (
            attempts(srpt(), {"A": 1}, job("long", A=(10, 1), checkpoint_s=1), job("short", 2, A=(2.9, 1)))[1][0]
            == "short"
        )
        stays = [job("long", A=(10, 1), checkpoint_s=1), job("short", 2, A=(3, 1))]
        assert attempts(srpt(hysteresis=2.01), {"A": 1}, *stays)[0] == ("long", 1, "A", 0, 10)

    def test_a_job_without_checkpoints_stays(self):
        jobs = [job("long", A=(10, 1), checkpoint_s=None), job("short", 2, A=(1, 1))]
        assert attempts(srpt(), {"A": 1}, *jobs) == attempts(sjf(), {"A": 1}, *jobs)

    def test_several_give_way_to_a_wide_job_longest_first_and_no_more_than_it_takes(self):
        jobs = [job(f"l{s}", A=(s, 1)) for s in (20, 30, 40)]
        got = attempts(srpt(), {"A": 3}, *jobs, job("wide", 5, gpus=2, A=(2, 1)))
        assert [(j, start, end) for j, n, _, start, end in got if n == 1] == [
            ("l20", 0, 20), ("l30", 0, 5), ("l40", 0, 5), ("wide", 5, 7)
        ]  # fmt: skip

    def test_nobody_gives_way_where_that_makes_too_little_room(self):
        jobs = [job("long", A=(90, 1)), job("brief", A=(3, 1)), job("wide", 1, gpus=2, A=(1, 1))]
        assert [row[3] for row in attempts(srpt(), {"A": 2}, *jobs) if row[0] == "wide"] == [3]  # brief ends

    def test_a_displaced_job_moves_where_the_other_cannot_run(self):
        jobs = [job("long", A=(10, 1), B=(30, 1)), job("only-a", 5, A=(1, 1))]
        got = attempts(srpt(), {"A": 1, "B": 1}, *jobs)
        assert got == [("long", 1, "A", 0, 5), ("only-a", 1, "A", 5, 6), ("long", 2, "B", 5, 20)]

    def test_an_overrun_job_counts_as_long_as_its_renewed_estimate_says(self):
        """Predicted 5 s, at 20 s it is expected to end at 40 s: 20 s are more than twice 1 s, and not more than 12."""
        liar = job("liar", A=(50, 1), seen={"A": (5, 1)})
        assert attempts(srpt(), {"A": 1}, liar, job("short", 20, A=(1, 1)))[0] == ("liar", 1, "A", 0, 20)
        assert attempts(srpt(), {"A": 1}, liar, job("long", 20, A=(12, 1)))[0][4] > 20

    def test_an_attempt_works_for_its_quantum_before_it_gives_way(self):
        jobs = [job("long", A=(10, 1), checkpoint_s=1), job("short", 2, A=(2, 1))]
        assert attempts(srpt(quantum_s=3.0), {"A": 1}, *jobs) == [
            ("long", 1, "A", 0, 3), ("short", 1, "A", 3, 5), ("long", 2, "A", 5, 13)
        ]  # fmt: skip

    def test_a_quantum_begins_once_a_job_goes_on_from_its_checkpoint(self):
        """It goes on at 4 with 8 of 10 s to do, restarts until 9, and gives way again at 11."""
        jobs = [job("long", A=(10, 1), checkpoint_s=5), *(job(f"s{s}", s, A=(0.5, 1)) for s in (2, 2.5, 3, 3.5, 5))]
        got = attempts(srpt(hysteresis=1.0, quantum_s=2.0), {"A": 1}, *jobs)
        assert [row for row in got if row[0] == "long"][:2] == [("long", 1, "A", 0, 2), ("long", 2, "A", 4, 11)]
        assert got[-2:] == [("s5", 1, "A", 11, 11.5), ("long", 3, "A", 11.5, 22.5)]

    @pytest.mark.parametrize("bad", [-1.0, float("inf"), float("nan")])
    def test_a_quantum_that_is_no_time_is_refused(self, bad):
        with pytest.raises(InputError, match="quantum_s must be finite and >= 0"):
            srpt(quantum_s=bad)

    @pytest.mark.parametrize("bad", [0.9, float("inf"), float("nan")])
    def test_a_hysteresis_below_one_is_refused(self, bad):
        with pytest.raises(InputError, match=f"hysteresis must be finite and >= 1, got {bad}"):
            srpt(hysteresis=bad)


def least_waiting(work):
    """Second by second on one machine: whoever has the least left runs. Schrage's rule as its sentence."""
    left, now, ends = dict(work), 0, {}
    while left:
        here = [key for key in left if key[0] <= now]
        if here:
            chosen = min(here, key=lambda key: left[key])
            left[chosen] -= 1
            if left[chosen] == 0:
                ends[chosen] = now + 1
                del left[chosen]
        now += 1
    return sum(end - key[0] for key, end in ends.items())


@settings(max_examples=examples(150))
@given(st.lists(st.tuples(st.integers(0, 15), st.integers(1, 8)), min_size=1, max_size=9))
def test_on_one_machine_for_nothing_it_has_the_least_flow_time(spec):
    run = simulate([job(str(k), s, A=(t, 1)) for k, (s, t) in enumerate(spec)], {"A": 1}, srpt(hysteresis=1))
    ends = {p.job_id: p.end_s for p in run.placements}
    flow_s = sum(end_s - spec[int(k)][0] for k, end_s in ends.items())
    assert flow_s == pytest.approx(least_waiting({(s, k): t for k, (s, t) in enumerate(spec)}))


@st.composite
def worlds(draw):
    inventory = {"A": draw(st.integers(1, 3)), "B": draw(st.integers(1, 3))}
    submissions = []
    for serial in range(draw(st.integers(1, 12))):
        numbers = st.tuples(st.integers(1, 40), st.integers(0, 4))
        truth, seen = ({t: draw(numbers) for t in "AB"} for _ in range(2))
        cost = draw(st.sampled_from((None, 0, 1, 3)))
        gpus, submit_s = draw(st.integers(1, 3)), draw(st.integers(0, 20))
        submissions.append(job(str(serial), submit_s, gpus=gpus, checkpoint_s=cost, seen=seen, **truth))
    return inventory, submissions


@settings(max_examples=examples(150))
@given(worlds(), st.sampled_from((1.0, 2.0)))
def test_all_work_is_done_once_and_every_restart_is_paid(world, hysteresis):
    inventory, submissions = world
    run = simulate(submissions, inventory, srpt(hysteresis=hysteresis))
    by_id = {s.job.job_id: s for s in submissions}
    rows = defaultdict(list)
    for p in run.placements:
        rows[p.job_id].append(p)
    assert rows.keys() == by_id.keys() - run.refused.keys()
    for job_id, parts in rows.items():
        truth, cost = by_id[job_id].truth, by_id[job_id].job.checkpoint_s
        shares, left = [p.runtime_s / truth[p.gpu_type].runtime_s for p in parts], 1.0
        for p, share in zip(parts, shares, strict=True):
            restart = cost / truth[p.gpu_type].runtime_s if left < 1 else 0.0
            left -= max(0.0, share - restart)
        assert left == pytest.approx(0, abs=1e-9)
        assert [p.attempt for p in parts] == list(range(1, len(parts) + 1))
        assert len(parts) == 1 or cost is not None
        assert all(a.end_s <= b.start_s for a, b in pairwise(parts))
        energy = sum(share * truth[p.gpu_type].energy_kwh for p, share in zip(parts, shares, strict=True))
        assert sum(p.energy_kwh for p in parts) == pytest.approx(energy)
        held = sum(p.runtime_s for p in parts)
        assert parts[-1].wait_s == pytest.approx(parts[-1].end_s - parts[-1].submit_s - held)
    for moment in {p.start_s for p in run.placements}:
        for t, total in inventory.items():
            assert sum(p.gpus for p in run.placements if p.gpu_type == t and p.start_s <= moment < p.end_s) <= total


@settings(max_examples=examples(60))
@given(worlds())
def test_a_log_with_preemptions_replays_to_the_same_state(world):
    inventory, submissions = world
    clusters, policy = [], srpt(hysteresis=1)

    def spy(cluster):
        clusters.append(cluster)
        return policy(cluster)

    run = simulate(submissions, inventory, spy)
    assert replay(run.events).snapshot() == clusters[-1].snapshot()
