"""Nobody gives way for a job that a wrapper then does not let start: on boards of one type, by hand."""

import pytest

from kilowait.cluster.advance import advance, replay
from kilowait.cluster.events import GpusJoined, JobPlaced, JobSubmitted, SignalReported
from kilowait.core.jobs import Job
from kilowait.policies import POLICIES
from kilowait.policies.decisions import Place, Preempt
from kilowait.policies.wrappers.aged import aged
from kilowait.policies.wrappers.limited import limited
from kilowait.policies.wrappers.provisioned import provisioned
from tests.support.hourly_signals import hourly
from tests.support.live_world import seen

STOPS = [Preempt(job_id="p"), Preempt(job_id="q"), Preempt(job_id="r")]


def running(boards=3, **waiting):
    """Jobs p, q and r of "eve" on a board each; name=(user, boards) waits."""
    joined = GpusJoined(time_s=0.0, node="n", gpu_type="A", gpus=boards)
    cluster = replay([joined, SignalReported(time_s=0.0, signal=hourly(400.0, 100.0))], ("A",))
    for name, (user, gpus) in {**dict.fromkeys("pqr", ("eve", 1)), **waiting}.items():
        made = Job(job_id=name, submit_s=0.0, user=user, gpus=gpus, checkpoint_s=1.0)
        advance(cluster, JobSubmitted(time_s=0.0, job=made, predictions=seen(A=(100, 1))))
    for name in "pqr":
        advance(cluster, JobPlaced(time_s=0.0, job_id=name, attempt=1, gpu_type="A", gpus=1, where=()))
    return cluster


def place(job_id):
    return Place(job_id=job_id, gpu_type="A")


def test_who_would_give_way_for_a_job_above_its_limit_runs_on():
    cluster, first = running(x=("ada", 1), y=("ada", 1)), [STOPS[0], place("x")]
    assert limited(lambda _: [*first, STOPS[1], place("y")], 1)(cluster) == first
    assert limited(lambda _: [*STOPS[:2], place("x"), place("y")], 1)(cluster) == [*STOPS[:2], place("x")]


def test_who_gives_way_for_two_does_so_for_the_other():
    cluster = running(x=("ada", 1), y=("ada", 1), z=("bob", 1))
    both = [*STOPS[1:], place("y"), place("z")]
    found = limited(lambda _: [STOPS[0], place("x"), *both], 1)(cluster)
    assert found == [STOPS[0], place("x"), *STOPS[1:], place("z")]


def test_who_stops_for_nobody_stops_though_a_start_is_held_for_a_cleaner_hour():
    """Of the boards one may be busy in the dirtiest hour, and "r" runs there: "x" is held, and nobody stops for it; but
    where a board is free "p" stops for the hour's sake, as under `flexible`."""
    decisions = [*STOPS[:2], place("x")]
    assert provisioned(lambda _: decisions, 0.3)(running(x=("ada", 1))) == []
    assert provisioned(lambda _: decisions, 0.25)(running(boards=4, x=("ada", 1))) == STOPS[:2]


@pytest.mark.parametrize("one_node", [False, True])
def test_nobody_gives_way_to_a_later_job_on_the_type_that_is_held_for_one_that_has_aged(one_node):
    """ "wide" has waited for all three boards of A; "short" would displace "p" by itself."""
    cluster = running(wide=("ada", 3))
    for node, gpu_type in (("m", "A"), ("b", "B")):
        advance(cluster, GpusJoined(time_s=20.0, node=node, gpu_type=gpu_type, gpus=1))
    short = Job(job_id="short", submit_s=20.0, gpus=2, one_node=one_node)
    advance(cluster, JobSubmitted(time_s=20.0, job=short, predictions=seen(A=(1, 1))))
    assert any(isinstance(one, Preempt) for one in POLICIES["srpt"]()(cluster))
    assert aged(POLICIES["srpt"](), 10.0)(cluster) == []


def test_jobs_stop_for_a_cleaner_hour_though_nobody_else_may_be_looked_at():
    """All who wait are above the limit, or the only type is held for "x"."""
    cluster = running(x=("eve", 1))

    def stopping(shown):
        return [*STOPS[:1], *(place(job_id) for job_id in shown.waiting)]

    assert limited(stopping, 3)(cluster) == STOPS[:1]
    assert aged(lambda _: STOPS[:1], 0.0)(cluster) == STOPS[:1]
