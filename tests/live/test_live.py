"""The live controller on hand-written timelines: what is accepted stays, what is stale is refused."""

import math

import pytest

from kilowait.cluster.advance import replay
from kilowait.cluster.events import JobFailed
from kilowait.core.errors import IllegalEvent, InputError, JobRefused, StaleAttempt, StoreError, Superseded
from kilowait.core.jobs import Held, Measurement, Provenance
from kilowait.core.submission import Ending, Program, Retry
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies import Place
from kilowait.policies.easy import easy
from kilowait.policies.simple import simple
from kilowait.policies.srpt import srpt
from tests.support.live_world import request, seen

WELL = Ending(exit_code=0)


def crashed(code=1, reason="exit code 1"):
    return Ending(exit_code=code, reason=reason)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/kilowait.db"


@pytest.fixture
def live(url):
    """Two A on n1, two B on n2."""
    controller = Controller(Store(url), simple(), order=("A", "B"))
    controller.node_joined("n1", "A", 2, 0.0)
    controller.node_joined("n2", "B", 2, 0.0)
    return controller


def again(live):
    """What a new process finds after the old one was killed."""
    return Controller(Store(live.store.name), live.policy, order=("A", "B"))


def state(live, job_id):
    return live.store.job(job_id)["state"]


def where(attempts):
    return [(a.job_id, a.attempt, a.gpu_type, [(held.node, held.gpus) for held in a.where]) for a in attempts]


def finish(live, attempt, ending, now_s):
    live.attempt_finished(attempt.job_id, attempt.attempt, attempt.token, ending, now_s)


def test_a_job_is_accepted_placed_started_and_finished(live):
    first, second = live.submit(request(gpus=2), 1.0), live.submit(request(), 2.0)
    a, b = live.decide(3.0)
    assert where([a, b]) == [(first, 1, "A", [("n1", 2)]), (second, 1, "B", [("n2", 1)])]
    assert a.token < b.token
    live.attempt_started(first, 1, a.token, 4.0)
    measured = Measurement(
        job_id=first,
        attempt=1,
        gpu_type="A",
        runtime_s=5.0,
        energy_j=700.0,
        runtime_provenance=Provenance.MEASURED,
        energy_provenance=Provenance.PRETENDED,
    )
    finish(live, a, Ending(exit_code=0, measurement=measured, meter="none", gpu_ids=("GPU-1",)), 9.0)
    (row,) = live.store.attempts(first)
    assert (row["started_s"], row["ended_s"], row["exit_code"], row["reason"]) == (4.0, 9.0, 0, None)
    assert (row["runtime_s"], row["energy_j"], row["energy_provenance"]) == (5.0, 700.0, "pretended")
    assert (state(live, first), state(live, second), live.cluster.free) == ("finished", "running", {"A": 2, "B": 1})


def test_the_same_key_of_the_same_owner_is_the_same_job(live):
    job_id = live.submit(request("k"), 1.0)
    assert live.submit(request("k"), 2.0) == job_id
    assert again(live).submit(request("k"), 3.0) == job_id
    with pytest.raises(InputError, match=rf"key 'k': used for job {job_id}, which asked for something else"):
        again(live).submit(request("k", text="other"), 4.0)
    other = again(live)
    assert other.submit(request("k", user="bob"), 5.0) != job_id
    assert len(other.store.jobs()) == 2


def test_a_refused_job_does_not_take_its_neighbours_with_it(live):
    one, refused, twin = live.submit_all([request("x"), request(gpus=9), request("x")], 1.0)
    assert isinstance(refused, JobRefused)
    assert one == twin
    assert [row["job_id"] for row in again(live).store.jobs()] == [one]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"checkpoint_s": 1.0}, "how its program is asked to write a checkpoint"),
        ({"retry": Retry(max_attempts=0)}, "max_attempts must be >= 1, got 0"),
        ({"user": "a\nb"}, "owner: must be printable"),
        ({"text": "\ud800"}, "cannot be kept"),
        ({"program": Program(files={"a.py": ""}, entrypoint="b.py")}, "'b.py' is none of the files a.py"),
        ({"program": Program(files={"../a": ""}, entrypoint="../a")}, "inside the job's own folder"),
        ({"program": Program(files={"a": ""}, entrypoint="a", timeout_s=0)}, "timeout_s must be > 0"),
        ({"program": Program(files={"a": ""}, entrypoint="a", arguments=("\0",))}, "NUL"),
    ],
)
def test_what_cannot_be_kept_or_run_is_refused_at_the_door(live, wrong, reason):
    with pytest.raises(InputError, match=reason):
        live.submit(request(**wrong), 1.0)
    assert live.store.jobs() == []


def test_a_stale_token_is_refused_and_changes_nothing(live):
    job_id = live.submit(request(retry=Retry(exit_codes=(1,))), 1.0)
    (first,) = live.decide(2.0)
    finish(live, first, crashed(), 3.0)
    (second,) = live.decide(4.0)
    assert (second.attempt, second.token > first.token) == (2, True)
    before = live.cluster.snapshot()
    for stale in (first, second):
        with pytest.raises(StaleAttempt, match=f"job {job_id}: attempt .* refused; attempt 2 with token"):
            live.attempt_finished(job_id, stale.attempt, first.token, WELL, 5.0)
    with pytest.raises(StaleAttempt):
        live.attempt_started(job_id, 1, first.token, 5.0)
    assert live.cluster.snapshot() == before
    finish(live, second, WELL, 6.0)
    with pytest.raises(StaleAttempt, match="no attempt of it runs"):
        finish(live, second, WELL, 7.0)


@pytest.mark.parametrize(
    ("retry", "endings", "attempts"),
    [
        (Retry(max_attempts=3), [crashed()], 1),  # a program that crashes is not tried again unless asked
        (Retry(max_attempts=3, exit_codes=(1,)), [crashed(), crashed(), crashed()], 3),
        (Retry(max_attempts=3, exit_codes=(1,)), [crashed(), crashed(2)], 2),
        (Retry(max_attempts=2), [Ending(reason="gone", lost=True)] * 2, 2),
        (Retry(max_attempts=2, on_loss=False), [Ending(reason="gone", lost=True)], 1),
    ],
)
def test_a_job_is_tried_again_as_often_as_its_policy_allows(live, retry, endings, attempts):
    job_id = live.submit(request(retry=retry), 1.0)
    for ending in endings:
        assert state(live, job_id) == "waiting"
        (attempt,) = live.decide(2.0)
        finish(live, attempt, ending, 2.0)
    assert state(live, job_id) == "failed"
    assert live.decide(3.0) == []
    assert len(live.store.attempts(job_id)) == attempts
    last = [event for _, event in live.store.events()][-1]
    assert last == JobFailed(time_s=2.0, job_id=job_id, reason=endings[-1].reason)


def test_a_job_that_is_tried_again_gives_a_reason_only_while_it_is_one(live):
    """The attempt that was lost keeps its own."""
    job_id = live.submit(request(), 0.0)
    (first,) = live.decide(1.0)
    finish(live, first, Ending(reason="its node was lost", lost=True), 2.0)
    reasons = [live.store.job(job_id)["reason"]]
    (second,) = live.decide(3.0)
    reasons.append(live.store.job(job_id)["reason"])
    finish(live, second, WELL, 4.0)
    assert [*reasons, live.store.job(job_id)["reason"]] == ["its node was lost", None, None]
    assert [row["reason"] for row in live.store.attempts(job_id)] == ["its node was lost", None]


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_when_its_attempt_ends(live):
    runs, waits = live.submit(request(gpus_by_type={"A": 2, "B": 2}), 1.0), live.submit(request(gpus=2), 1.0)
    live.submit(request(gpus=2), 1.0)
    live.decide(1.0)
    third = live.submit(request(), 1.0)
    assert live.cancel(third, 2.0) is None
    attempt = live.cancel(runs, 2.0)
    assert (attempt.job_id, attempt.cancelling, state(live, runs)) == (runs, True, "running")
    after = again(live)
    assert [a.job_id for a in after.all_running() if a.cancelling] == [runs]
    finish(after, attempt, Ending(exit_code=-15, reason="killed by SIGTERM"), 3.0)
    assert (state(after, runs), state(after, third)) == ("cancelled", "cancelled")
    assert after.cancel(runs, 4.0) is None
    with pytest.raises(InputError, match="job ghost: unknown"):
        after.cancel("ghost", 4.0)
    finish(after, after.running(waits), WELL, 5.0)
    with pytest.raises(InputError, match="it is finished; it cannot be cancelled"):
        after.cancel(waits, 6.0)


def test_a_job_that_ended_well_before_it_could_be_stopped_is_finished(live):
    job_id = live.submit(request(), 1.0)
    (attempt,) = live.decide(1.0)
    live.cancel(job_id, 2.0)
    finish(live, attempt, WELL, 3.0)
    assert state(live, job_id) == "finished"


def test_a_lost_node_ends_its_attempts_and_a_job_that_fits_nowhere_waits_for_another(live):
    job_id = live.submit(request(predictions=seen(B=(5, 1)), gpus=2), 1.0)
    live.decide(1.0)
    assert where(live.node_lost("n2", "node n2 died", 2.0)) == [(job_id, 1, "B", [("n2", 2)])]
    assert live.store.attempts(job_id)[0]["reason"] == "node n2 died"
    after = again(live)
    assert (after.decide(3.0), [*after.cluster.stranded], after.cluster.total) == ([], [job_id], {"A": 2, "B": 0})
    after.node_joined("n3", "B", 2, 4.0)
    assert where(after.decide(5.0)) == [(job_id, 2, "B", [("n3", 2)])]


def test_others_hold_no_more_than_is_free(live):
    live.submit(request(), 1.0)
    live.decide(1.0)
    live.gpus_held("n1", "A", 2, 2.0)
    assert live.cluster.free == {"A": 0, "B": 2}
    live.gpus_held("n1", "A", 0, 3.0)
    assert live.cluster.free == {"A": 1, "B": 2}


def test_time_never_goes_back(live):
    job_id = live.submit(request(), 100.0)
    assert live.submit(request(), 50.0) > job_id
    *before, last_s = [event.time_s for _, event in live.store.events()]
    assert before == [0.0, 0.0, 100.0]
    assert 100.0 < last_s < 100.001


def test_a_new_controller_stands_where_the_old_one_was_and_the_old_one_is_refused(live):
    for _ in range(5):
        live.submit(request(), 1.0)
    placed = live.decide(2.0)
    live.attempt_started(placed[0].job_id, 1, placed[0].token, 2.0)
    after = again(live)
    assert after.cluster.snapshot() == live.cluster.snapshot()
    assert after.all_running() == live.all_running()
    assert [a.started for a in after.all_running()] == [True, False, False, False]
    for word in (lambda: live.submit(request(), 3.0), lambda: finish(live, placed[0], WELL, 3.0)):
        with pytest.raises(Superseded, match="another scheduler has taken over"):
            word()
    finish(after, placed[0], WELL, 3.0)
    assert len(after.decide(4.0)) == 1


def test_a_write_that_fails_leaves_nothing_behind(live, monkeypatch):
    job_id = live.submit(request(), 1.0)
    before = live.cluster.snapshot()

    def full(*_):
        raise StoreError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr("kilowait.history.writing.Writing.append", full)
        for word in (lambda: live.submit(request("lost"), 2.0), lambda: live.decide(2.0)):
            with pytest.raises(StoreError, match="full"):
                word()
    assert [a.job_id for a in live.decide(1.0)] == [job_id]
    assert live.submit(request("lost"), 3.0) == "job-00000005"  # as if the first had never been asked
    assert replay((e for _, e in live.store.events()), ("A", "B")).snapshot() == live.cluster.snapshot() != before


def test_a_policy_that_preempts_or_places_nonsense_is_named_and_nothing_is_kept(live):
    live.submit(request(), 1.0)
    live.policy = lambda cluster: [*srpt()(cluster)] * 2  # the second placement of the same job
    with pytest.raises(IllegalEvent, match="where it does not wait for room"):
        live.decide(2.0)
    live.policy = simple()
    assert len(live.decide(2.0)) == 1


def test_it_says_when_to_decide_again_though_nothing_happens(url):
    """`hung` was to end at 12: `head` waits for both boards, and `small`, of 2 s, may pass once hung is due at 22."""
    live = Controller(Store(url), easy(), order=("A", "B"))
    live.node_joined("n1", "A", 2, 0.0)
    only_a = {"allowed": frozenset("A")}
    live.submit(request(predictions=seen(A=(10, 1)), **only_a), 1.0)
    live.decide(2.0)
    assert live.cluster.next_renewal_s() == math.inf  # nobody waits
    live.submit(request(predictions=seen(A=(1, 1)), gpus=2, **only_a), 10.0)
    small = live.submit(request(predictions=seen(A=(2, 1)), **only_a), 11.0)
    assert live.decide(11.0) == []
    assert live.cluster.next_renewal_s() == 12.0
    assert where(live.decide(12.0)) == [(small, 1, "A", [("n1", 1)])]
    assert live.cluster.next_renewal_s() == 14.0  # small itself, and hung at 22
    assert live.decide(14.0) == []
    assert live.cluster.next_renewal_s() == 16.0


def test_a_place_that_the_policy_names_is_the_place(url):
    def second_node(cluster):
        return [Place(job_id=w.job.job_id, gpu_type="A", where=(Held(node="n2"),)) for w in cluster.queue()]

    live = Controller(Store(url), second_node, order=("A", "B"))
    live.node_joined("n1", "A", 1, 0.0)
    live.node_joined("n2", "A", 1, 0.0)
    first = live.submit(request(), 1.0)
    assert where(live.decide(2.0)) == [(first, 1, "A", [("n2", 1)])]
    live.submit(request(), 3.0)
    with pytest.raises(IllegalEvent, match="cannot have"):
        live.decide(4.0)
