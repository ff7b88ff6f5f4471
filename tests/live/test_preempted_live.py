"""Running jobs that give their boards back at a checkpoint, on hand-written timelines of the live controller."""

import pytest

from kilowait.cluster.advance import replay
from kilowait.core.checkpoints.checkpointing import Checkpointing
from kilowait.core.errors import IllegalEvent, InputError
from kilowait.core.jobs import Measurement, Provenance
from kilowait.core.quotas import Quota
from kilowait.core.submission import Ending, Program, Retry
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.live.learning.observed import count
from kilowait.policies import POLICIES, Preempt
from kilowait.policies.sjf import sjf
from kilowait.policies.srpt import srpt
from tests.support.hourly_signals import hourly
from tests.support.live_world import request, seen

AT_A_CHECKPOINT = Ending(exit_code=0, reason="preempted", preempted=True, checkpointed=True)
WITHOUT_ONE = Ending(exit_code=-9, reason="preempted", preempted=True)
GOES_ON = Program(files={"m.py": "pass"}, entrypoint="m.py", checkpointing=Checkpointing())


@pytest.fixture
def live(tmp_path):
    """One A; what needs less than half as long displaces what runs there."""
    controller = Controller(Store(f"{tmp_path}/kilowait.db"), srpt(), order=("A",))
    controller.node_joined("n1", "A", 1, 0.0)
    return controller


def submit(live, key, seconds, now_s, program=GOES_ON, checkpoint_s=10.0, **fields):
    asked = request(key, predictions=seen(A=(seconds, 1.0)), program=program, checkpoint_s=checkpoint_s, **fields)
    return live.submit(asked, now_s)


def decide(live, now_s):
    """Beside the loop, as the service does: (jobs that start, jobs that are to give way)."""
    started = live.carry_out(live.deciding.begin(live.at(now_s))())
    return [one.job_id for one in started], live.deciding.leaving.take_new()


def finish(live, job_id, ending, now_s):
    attempt = live.running(job_id)
    live.attempt_finished(job_id, attempt.attempt, attempt.token, ending, now_s)


def test_a_long_job_gives_way_to_a_short_one_and_goes_on_as_a_new_attempt(live):
    long = submit(live, "long", 1000.0, 0.0)
    assert decide(live, 0.0) == ([long], [])
    short = submit(live, "short", 100.0, 400.0)
    assert decide(live, 400.0) == ([], [long])
    assert decide(live, 410.0) == ([], [])  # it has been asked already, and still runs
    finish(live, long, AT_A_CHECKPOINT, 500.0)
    assert live.cluster.waiting[long].remaining == pytest.approx(0.5)  # 500 of 1,000 s are done
    assert decide(live, 500.0) == ([short], [])
    finish(live, short, Ending(exit_code=0), 600.0)
    assert decide(live, 600.0) == ([long], [])
    again = live.running(long)
    assert (again.attempt, live.cluster.active[long].predicted_end_s) == (2, pytest.approx(600 + 10 + 500))
    finish(live, long, Ending(exit_code=0), 1100.0)
    assert [row["state"] for row in map(live.store.job, (long, short))] == ["finished", "finished"]
    assert [row["reason"] for row in live.store.attempts(long)] == ["preempted", None]
    assert replay((event for _, event in live.store.events()), ("A",)).snapshot() == live.cluster.snapshot()


def test_one_that_was_killed_over_its_checkpoint_has_all_of_its_work_left(live):
    long = submit(live, "long", 1000.0, 0.0)
    decide(live, 0.0)
    submit(live, "short", 100.0, 400.0)
    decide(live, 400.0)
    finish(live, long, WITHOUT_ONE, 500.0)
    assert live.cluster.waiting[long].remaining == 1.0


def test_boards_that_are_on_their_way_out_are_given_to_nobody_else_and_nobody_else_is_asked(live):
    live.node_joined("n2", "A", 1, 0.0)
    first, second = submit(live, "a", 1000.0, 0.0), submit(live, "b", 900.0, 0.0)
    decide(live, 0.0)
    urgent = submit(live, "short", 10.0, 100.0)
    assert decide(live, 100.0) == ([], [first])
    other = submit(live, "longer", 800.0, 101.0)
    assert decide(live, 101.0) == ([], [])  # `second` runs on although it is the longest now
    finish(live, first, AT_A_CHECKPOINT, 105.0)
    assert decide(live, 105.0) == ([urgent], [])
    assert set(live.cluster.active) == {second, urgent}
    assert set(live.cluster.waiting) == {first, other}


def test_a_job_that_ends_by_itself_meanwhile_has_ended_well(live):
    long = submit(live, "long", 1000.0, 0.0)
    decide(live, 0.0)
    short = submit(live, "short", 100.0, 400.0)
    decide(live, 400.0)
    finish(live, long, Ending(exit_code=0), 401.0)
    assert live.store.job(long)["state"] == "finished"
    assert decide(live, 402.0) == ([short], [])


def test_a_cancelled_job_does_not_come_back_from_its_preemption(live):
    long = submit(live, "long", 1000.0, 0.0)
    decide(live, 0.0)
    submit(live, "short", 100.0, 400.0)
    decide(live, 400.0)
    live.cancel(long, 401.0)
    finish(live, long, AT_A_CHECKPOINT, 402.0)
    assert live.store.job(long)["state"] == "cancelled"


def test_preemptions_do_not_use_up_the_attempts_after_failures(live):
    long = submit(live, "long", 1000.0, 0.0, retry=Retry(max_attempts=2, exit_codes=(3,)))
    decide(live, 0.0)
    finish(live, long, AT_A_CHECKPOINT, 100.0)
    decide(live, 100.0)
    finish(live, long, Ending(exit_code=3, reason="exit code 3"), 200.0)
    assert live.store.job(long)["state"] == "waiting"
    decide(live, 200.0)
    finish(live, long, Ending(exit_code=3, reason="exit code 3"), 300.0)
    assert live.store.job(long)["state"] == "failed"


def test_whoever_takes_over_takes_the_end_of_a_preemption_in_and_decides_anew(live):
    long = submit(live, "long", 1000.0, 0.0)
    decide(live, 0.0)
    short = submit(live, "short", 100.0, 400.0)
    decide(live, 400.0)
    live = Controller(live.store, srpt(), order=("A",))
    assert decide(live, 450.0) == ([], [long])
    finish(live, long, AT_A_CHECKPOINT, 500.0)
    assert decide(live, 500.0) == ([short], [])


def test_the_rest_of_a_preempted_job_teaches_nothing_about_whole_ones(live):
    def measured(ending, seconds):
        taken = {"runtime_s": seconds, "energy_j": 5.0, "gpu_type": "A", "job_id": "", "attempt": 0}
        how = Provenance.MEASURED
        measurement = Measurement(runtime_provenance=how, energy_provenance=how, **taken)
        return Ending(
            exit_code=0,
            reason=ending.reason,
            preempted=ending.preempted,
            checkpointed=ending.checkpointed,
            measurement=measurement,
        )

    long = submit(live, "long", 1000.0, 0.0)
    decide(live, 0.0)
    finish(live, long, measured(AT_A_CHECKPOINT, 400.0), 400.0)
    decide(live, 400.0)
    finish(live, long, measured(Ending(exit_code=0), 600.0), 1000.0)
    assert count(live.store) == 0
    whole = submit(live, "whole", 100.0, 1000.0)
    decide(live, 1000.0)
    finish(live, whole, measured(Ending(exit_code=0), 100.0), 1100.0)
    assert count(live.store) == 1


def test_a_policy_that_preempts_a_job_without_checkpoints_is_refused(live):
    plain = live.submit(request(predictions=seen(A=(1000.0, 1.0))), 0.0)
    live.decide(0.0)
    live.policy = lambda cluster: [Preempt(job_id=plain)]
    with pytest.raises(IllegalEvent, match=f"job {plain}: the policy preempts it, but it cannot go on"):
        live.decide(1.0)


@pytest.mark.parametrize(
    ("checkpointing", "checkpoint_s", "words"),
    [
        (None, 5.0, "give both or none"),
        (Checkpointing(), None, "give both or none"),
        (Checkpointing(signal="KILL"), 5.0, "checkpoint signal 'KILL': choose one of TERM, INT"),
        (Checkpointing(grace_s=0.0), 5.0, "grace_s must be > 0"),
        (Checkpointing(arguments=("a\0",)), 5.0, "NUL"),
    ],
)
def test_half_of_how_a_job_goes_on_is_refused(live, checkpointing, checkpoint_s, words):
    program = Program(files={"m.py": "pass"}, entrypoint="m.py", checkpointing=checkpointing)
    with pytest.raises(InputError, match=words):
        submit(live, "x", 10.0, 0.0, program=program, checkpoint_s=checkpoint_s)


@pytest.mark.parametrize("orders", [(), (Quota(name="ada", gpus=4),)])
def test_a_job_stands_still_in_dear_hours_though_nobody_waits_and_goes_on_in_better_ones(tmp_path, orders):
    hour = 3600.0
    live = Controller(Store(f"{tmp_path}/kilowait.db"), POLICIES["flexible(simple,0s)"](), order=("A",))
    live.node_joined("n1", "A", 1, 0.0)
    hours = hourly(100.0, 500.0, 500.0, 100.0, 100.0, 100.0, *[500.0] * 18)
    live.signal_reported(hours, 0.0)
    for order in orders:
        live.ordered(order, 0.0)
    one = submit(live, "one", 3 * hour, 0.0, checkpoint_s=60.0, slack_s=12 * hour)
    assert decide(live, 0.0) == ([one], [])
    assert live.deciding.next_renewal_s() == hour
    assert decide(live, hour) == ([], [one])
    assert decide(live, hour + 1) == ([], [])
    finish(live, one, AT_A_CHECKPOINT, hour + 10)
    assert decide(live, hour + 11) == ([], [])
    assert live.cluster.kept[one].until_s == 3 * hour
    assert decide(live, 3 * hour) == ([one], [])
    assert live.cluster.active[one].predicted_end_s == pytest.approx(5 * hour + 50)  # 60 s to go on, 10 more were done


def test_a_job_moves_so_that_the_first_that_waits_fits_and_its_boards_are_kept_for_it_meanwhile(tmp_path):
    """Two nodes of four boards; two jobs of two boards run on each its own, when one comes that wants a whole node."""
    live = Controller(Store(f"{tmp_path}/kilowait.db"), POLICIES["defragmenting(simple,0s)"](), order=("A",))
    for node in ("n1", "n2"):
        live.node_joined(node, "A", 4, 0.0)
    filler, stays, moves = (
        submit(live, name, 1000.0, 0.0, gpus=gpus, one_node=True) for name, gpus in (("f", 2), ("s", 2), ("m", 2))
    )
    assert decide(live, 0.0)[0] == [filler, stays, moves]
    finish(live, filler, Ending(exit_code=0), 10.0)
    wide = submit(live, "wide", 50.0, 20.0, gpus=4, one_node=True)
    ((leaves,)) = decide(live, 20.0)[1]
    small = submit(live, "small", 5.0, 21.0)
    assert decide(live, 21.0) == ([], [])  # all eight boards are in the plan
    finish(live, leaves, AT_A_CHECKPOINT, 30.0)
    assert set(decide(live, 30.0)[0]) == {wide, leaves}
    assert list(live.cluster.waiting) == [small]


def test_a_policy_knows_the_cluster_again_after_a_preemption(tmp_path):
    """What a price that steers itself has learned is of one cluster, the very object that it is shown."""
    seen_clusters = []

    def decide_and_stop(cluster):
        seen_clusters.append((cluster, sorted(cluster.active), sorted(cluster.waiting)))
        return [Preempt(job_id=long)] if cluster.active else sjf()(cluster)

    controller = Controller(Store(f"{tmp_path}/kilowait.db"), decide_and_stop, order=("A",))
    controller.node_joined("n1", "A", 1, 0.0)
    long = submit(controller, "long", 1000.0, 0.0)
    assert decide(controller, 0.0) == ([long], [])
    assert decide(controller, 1.0) == ([], [long])
    decide(controller, 2.0)
    assert [(active, waiting) for _, active, waiting in seen_clusters] == [([], [long]), ([long], []), ([], [long])]
    assert len({id(cluster) for cluster, _, _ in seen_clusters}) == 1
