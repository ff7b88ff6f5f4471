"""Job arrays on hand-written timelines: taken in whole and once, so many at once, cancelled, predicted later."""

import msgspec
import pytest

from kilowait.core.errors import InputError, JobRefused
from kilowait.core.submission import Ending
from kilowait.core.tasks.array_request import ArrayRequest, TaskAsked
from kilowait.history.job_arrays import array_rows
from kilowait.history.job_filter import JobFilter
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from serve.desk import questions
from tests.support.live_world import request, seen

WELL = Ending(exit_code=0)


@pytest.fixture
def live(tmp_path):
    controller = Controller(Store(f"sqlite:///{tmp_path}/kilowait.db"), simple(), order=("A",))
    controller.node_joined("n1", "A", 4, 0.0)
    return controller


def again(live):
    return Controller(Store(live.store.name), live.policy, order=("A",))


def array(tasks, at_once=None, key=None, **fields):
    by_type = fields.pop("predictions", seen(A=(10, 1)))
    return ArrayRequest(
        request=request(key, text="print('one text')", predictions=by_type, **fields),
        tasks=tuple(
            TaskAsked(task=n, arguments=("--seed", str(n)), environment={}, predictions=by_type, content_hash="work")
            for n in tasks
        ),
        at_once=at_once,
    )


def running(live):
    return sorted(live.cluster.active)


def finish(live, job_id, now_s):
    attempt = live.running(job_id)
    live.attempt_finished(job_id, attempt.attempt, attempt.token, WELL, now_s)


def test_at_most_so_many_tasks_run_at_once_and_the_next_follows_the_one_that_is_over(live):
    array_id, jobs = live.submit_array(array(range(5), at_once=2), 1.0)
    alone = live.submit(request(predictions=seen(A=(10, 1))), 2.0)
    live.decide(3.0)
    assert running(live) == sorted([*jobs[:2], alone])  # four GPUs, of which one stays free
    assert live.decide(4.0) == []
    finish(live, jobs[1], 5.0)
    for controller in live, again(live):
        assert list(controller.cluster.waiting) == [jobs[2]]
        assert [one.job.job_id for one in controller.cluster.lines] == [jobs[3], jobs[4]]
    live = again(live)
    live.decide(6.0)
    assert running(live) == sorted([jobs[0], jobs[2], alone])
    (row,) = array_rows(live.store)
    assert (row["array_id"], row["tasks"], row["at_once"]) == (array_id, "0-4", 2)
    assert row["states"] == {"finished": 1, "running": 2, "waiting": 2}


def test_the_texts_are_kept_once_and_each_task_has_its_own_arguments_and_number(live):
    array_id, jobs = live.submit_array(array([3, 7]), 1.0)
    assert "one text" not in str(live.store.job(jobs[0]))
    program = live.store.program(jobs[1])
    assert dict(program.files) == {"main.py": "print('one text')"}
    assert program.arguments == ("--seed", "7")
    assert program.environment == {"KILOWAIT_TASK": "7", "KILOWAIT_ARRAY": array_id}


def test_the_same_key_is_the_same_array_and_another_request_by_it_is_refused(live):
    first = live.submit_array(array(range(3), key="sweep"), 1.0)
    assert live.submit_array(array(range(3), key="sweep", predictions=seen(A=(99, 9))), 2.0) == first
    assert again(live).submit_array(array(range(3), key="sweep"), 3.0) == first
    with pytest.raises(InputError, match=f"used for array {first[0]}"):
        live.submit_array(array(range(4), key="sweep"), 4.0)
    assert len(live.store.jobs()) == 3


def test_an_array_is_taken_in_whole_or_not_at_all(live):
    asked = array(range(3))
    last = msgspec.structs.replace(asked.tasks[2], predictions=seen(Z=(1, 1)))
    with pytest.raises(JobRefused, match="task 2 can never run here"):
        live.submit_array(msgspec.structs.replace(asked, tasks=(*asked.tasks[:2], last)), 1.0)
    for wrong, reason in (
        (array(range(1001)), "limit is 1,000"),
        (array([1, 1]), "numbers of their own"),
        (array([1], at_once=0), "at once"),
        (array([]), "limit"),
    ):
        with pytest.raises(InputError, match=reason):
            live.submit_array(wrong, 1.0)
    assert live.store.jobs() == []
    assert live.submit(request(), 2.0) == "job-00000002"  # behind the node's event: no number was lost


def test_tasks_are_cancelled_in_one_go_wherever_they_stand(live):
    array_id, jobs = live.submit_array(array(range(6), at_once=2), 1.0)
    live.decide(2.0)
    outcomes = live.cancel_all([jobs[1], jobs[5], "job-99999999"], 3.0)
    assert outcomes[jobs[1]].job_id == jobs[1]  # it runs, and is asked to end
    assert outcomes[jobs[5]] is None
    assert "unknown" in str(outcomes["job-99999999"])
    attempt = live.running(jobs[1])
    live.attempt_finished(jobs[1], 1, attempt.token, Ending(exit_code=-15, reason="ended"), 4.0)
    assert list(live.cluster.waiting) == [jobs[2]]
    of_array = [row["job_id"] for row in live.store.jobs(JobFilter(array=array_id, states=("waiting",)))]
    assert of_array == [jobs[2], jobs[3], jobs[4]]
    assert live.cancel_all(of_array, 5.0) == dict.fromkeys(of_array)
    for controller in live, again(live):
        assert not controller.cluster.waiting
        assert len(controller.cluster.lines) == 0
    assert [
        row["job_id"] for row in live.store.jobs(JobFilter(array=array_id, tasks=(range(1, 2), range(4, 9, 3))))
    ] == [jobs[1], jobs[4]]
    assert live.store.jobs(JobFilter(alone=True)) == []


def test_numbers_of_tasks_without_an_array_mean_no_other_jobs(live):
    (_, first), (_, second) = live.submit_array(array(range(3)), 1.0), live.submit_array(array([2, 9]), 1.0)
    live.submit(request(predictions=seen(A=(10, 1))), 2.0)
    assert questions.job_ids(live.store, JobFilter(tasks=(range(2, 6),))) == [first[2], second[0]]


@pytest.mark.parametrize("page", [1, 3, 4, 8, 9])
def test_the_ids_of_all_that_is_meant_are_read_page_by_page_without_any_program(live, monkeypatch, page):
    monkeypatch.setattr(questions, "IDS_PAGE", page)
    assert questions.job_ids(live.store, JobFilter()) == []
    _, jobs = live.submit_array(array(range(8)), 1.0)
    monkeypatch.setattr(live.store, "jobs", None)  # rows with programs
    assert questions.job_ids(live.store, JobFilter()) == list(jobs)
    assert questions.job_ids(live.store, JobFilter(job_ids=(jobs[5], jobs[2], "job-0"))) == [jobs[2], jobs[5]]


def test_a_task_that_stands_behind_is_predicted_later_and_waits_by_it(live):
    _, jobs = live.submit_array(array(range(2), at_once=1), 1.0)
    live.predicted(jobs[1], seen(A=(77, 7)), None, 2.0)
    live.decide(3.0)
    finish(live, jobs[0], 4.0)
    for controller in live, again(live):
        assert controller.cluster.waiting[jobs[1]].predictions["A"].runtime_s == 77


def test_a_task_whose_turn_comes_when_its_boards_have_left_waits_for_others(live):
    live.node_joined("n2", "B", 1, 0.5)
    _, jobs = live.submit_array(array(range(2), at_once=1), 1.0)
    live.decide(2.0)
    live.node_drained("n1", 3.0)
    finish(live, jobs[0], 4.0)
    assert list(live.cluster.stranded) == [jobs[1]]
    live.node_undrained("n1", 5.0)
    assert list(live.cluster.waiting) == [jobs[1]]
