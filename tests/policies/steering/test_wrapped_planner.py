"""What stands around a planner whose price steers itself does what it would around one at a fixed price."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilowait.cluster.advance import advance
from kilowait.cluster.events import (
    AttemptFailed,
    AttemptFinished,
    JobCancelled,
    JobPredicted,
    JobPreempted,
    MaintenanceSet,
)
from kilowait.cluster.standing import Postponed
from kilowait.core.jobs import Prediction
from kilowait.core.maintenance import Maintenance
from kilowait.policies.decisions import Preempt
from kilowait.policies.patient import patient
from kilowait.policies.planning.coming_hours import WAKE
from kilowait.policies.sjf import sjf
from kilowait.policies.steering.price_search import PriceSearch
from kilowait.policies.steering.shadow import ShadowRun
from kilowait.policies.steering.steered import steered, steered_around
from kilowait.policies.wrappers.aged import aged
from kilowait.policies.wrappers.defragmenting import defragmenting
from kilowait.policies.wrappers.outside_windows import outside_windows
from kilowait.policies.wrappers.shared import shared
from kilowait.simulate.loop import simulate
from tests.support.examples import examples
from tests.support.random_worlds import worlds
from tests.support.short_jobs import placed, short_jobs

WRAPS = {
    "shared": shared,
    "aged": lambda policy: aged(policy, 3.0),
    "defragmenting": lambda policy: defragmenting(policy, 0.0),
    "outside_windows": outside_windows,
    "all": lambda policy: shared(aged(defragmenting(outside_windows(policy), 0.0), 3.0)),
}


def maintained(policy, begins_s, ends_s):
    """The policy, asked when the last node of A is back; its maintenance is ordered at the first decision."""
    asked = []

    def decide(cluster):
        if not asked:
            node = [name for name, gpu_type in cluster.nodes if gpu_type == "A"][-1]
            order = Maintenance(node=node, begins_s=cluster.now_s + begins_s, ends_s=cluster.now_s + ends_s)
            advance(cluster, MaintenanceSet(time_s=cluster.now_s, maintenance=order))
            cluster.kept[WAKE] = Postponed(until_s=order.ends_s, gpu_type="")
        asked.append(cluster.now_s)
        return policy(cluster)

    return decide


@pytest.mark.parametrize("name", WRAPS)
@settings(max_examples=examples(25), deadline=None)
@given(worlds(), st.integers(0, 4), st.integers(1, 4), st.data())
def test_where_the_price_cannot_move_all_is_placed_as_at_that_price(name, world, begins_s, lasts_s, data):
    inventory, jobs = world
    nodes = {gpu_type: [1] * (total % 2) + [2] * (total // 2) for gpu_type, total in inventory.items()}
    jobs = [replace(s, job=replace(s.job, checkpoint_s=data.draw(st.sampled_from((None, 0.5))))) for s in jobs]

    def planner(price_s):
        return patient(wait_s_per_kwh=2.0)

    def run(policy):
        return simulate(jobs, inventory, maintained(policy, begins_s, begins_s + lasts_s), nodes=nodes)

    steering = run(steered_around(steered(planner, prices_s=(1000.0,)), WRAPS[name], limits=True))
    assert steering.placements == run(WRAPS[name](planner(1000.0))).placements


def test_a_wrapper_is_asked_though_nobody_waits(one_board):
    """As one is that stops jobs in dear hours."""
    short_jobs(one_board, "a", checkpoint_s=1.0)
    placed(one_board, "a")

    def stopping(policy):
        return lambda cluster: [*(Preempt(job_id=job_id) for job_id in cluster.active), *policy(cluster)]

    assert steered_around(patient(max_extra_wait=0.0), stopping)(one_board) == [Preempt(job_id="a")]


def search_on(cluster):
    search = PriceSearch.of(cluster, sjf(), lambda price_s: patient(wait_s_per_kwh=price_s), (1000.0,))
    search.look(cluster)
    return search


def test_how_wrong_predictions_are_is_said_by_jobs_that_have_ended_alone(one_board):
    """Half of "a" runs before it gives way; the attempt after that is lost; the third takes 120 s instead of 60."""
    short_jobs(one_board, "a", checkpoint_s=10.0)
    placed(one_board, "a")
    search = search_on(one_board)
    advance(one_board, JobPreempted(time_s=50.0, job_id="a", attempt=1, remaining=0.5))
    placed(one_board, "a", attempt=2)
    search.look(one_board)
    assert search.baseline.longer == 1.0
    advance(one_board, AttemptFailed(time_s=60.0, job_id="a", attempt=2, reason="lost"))
    search.look(one_board)
    placed(one_board, "a", attempt=3)
    search.look(one_board)
    assert search.baseline.longer == 1.0
    advance(one_board, AttemptFinished(time_s=180.0, job_id="a", attempt=3))
    search.look(one_board)
    assert search.baseline.longer == 2.0


def test_shadows_know_who_was_withdrawn_and_who_was_predicted_anew(one_board):
    """Of jobs of 100 s "a" runs; at 10 s "b" is withdrawn, and "c" will take 400 s, so that "d" goes first."""
    short_jobs(one_board, "a", "b", "c", "d")
    search = search_on(one_board)
    search.decided(sjf()(one_board))
    placed(one_board, "a")
    search.look(one_board)
    assert [shadow.to_come_s() for shadow in search.shadows()] == [600.0, 600.0]
    advance(one_board, JobCancelled(time_s=10.0, job_id="b"))
    longer = {"A": Prediction(runtime_s=400.0, energy_kwh=0.0)}
    advance(one_board, JobPredicted(time_s=10.0, job_id="c", predictions=longer))
    search.look(one_board)
    assert [shadow.to_come_s() for shadow in search.shadows()] == [90.0 + 190.0, 90.0 + 190.0]
    assert (search.jobs, search.baseline.waited_s) == (4, 30.0)


def test_a_job_that_is_withdrawn_leaves_its_boards_in_a_shadow_where_it_runs(one_board):
    short_jobs(one_board, "a", "b")
    shadow = ShadowRun.beside(one_board, sjf())
    shadow.run_until(0.0, list(one_board.queue()))
    shadow.run_until(10.0, gone=["a"])
    assert (list(shadow.cluster.active), shadow.to_come_s()) == (["b"], 0.0)
    shadow.run_until(200.0)
    assert (shadow.cluster.over, shadow.waited_s) == ({"a", "b"}, 10.0)
