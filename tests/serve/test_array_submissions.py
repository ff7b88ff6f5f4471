"""Which calls of an array are predicted, and what the others wait by: a desk whose predictor only counts epochs."""

import asyncio
from dataclasses import replace
from unittest.mock import Mock

import pytest

from kilowait.core.errors import InputError
from kilowait.core.tasks.array_request import ArrayRequest, TaskAsked, checked_array
from kilowait.history.bases import Base
from kilowait.predict.standin import is_unread, unread
from kilowait.program.job_source import JobSource
from serve.desk.array_desk.array_submissions import PREDICTED, submit_array
from serve.wire.array_schemas import ArrayBody
from tests.support.live_world import request, seen


class CountingDesk:
    """Predicts 10 s an epoch (`--epochs N`, else one); what the scheduler is asked is kept."""

    def __init__(self):
        self.predicted, self.asked, self.late, self.key_file = [], [], False, ""
        self.corrections, self.scheduler, self.readings = Mock(), Mock(), Mock()
        self.scheduler.submit_array.remote = self._submit
        self.readings.of = self._source

    async def request(self, asked, owner, key):
        words = asked.arguments
        self.seen = asked.environment
        self.predicted.append(tuple(words))
        epochs = int(words[words.index("--epochs") + 1]) if "--epochs" in words else 1
        by_type = unread(["A100"]) if self.late else seen(A100=(10 * epochs, epochs))
        by_type |= (
            seen(**{"cpu-1": (1 + len(self.predicted), 1)}) if not self.late else {}
        )  # which is not in the cluster
        gpus = int(words[words.index("--gpus") + 1]) if "--gpus" in words else 1
        one = request(key, predictions=by_type, gpus=gpus, content_hash=" ".join(words))
        return one, Mock(), ["a note"], Mock(spec=Base)

    async def mirror(self):
        return Mock(cluster=Mock(total={"A100": 8}))

    async def _source(self, program, *_):
        return JobSource(files={"main.py": b"pass"}, entrypoint="main.py"), Mock(), ()

    async def _submit(self, whole):
        self.asked.append(whole)
        return "array-00000001", [f"job-{n}" for n in range(len(whole.tasks))]


def submit(desk, **asked):
    return asyncio.run(submit_array(desk, ArrayBody(source="pass", **asked), "ada", "key"))


def seconds(desk):
    return [task.predictions["A100"].runtime_s for task in desk.asked[-1].tasks]


def test_tasks_that_differ_by_their_number_alone_are_predicted_once():
    desk = CountingDesk()
    answer = submit(desk, tasks="0-99%4")
    assert (len(desk.predicted), answer.predicted, desk.asked[0].at_once) == (1, 100, 4)
    assert set(seconds(desk)) == {10}
    assert desk.seen == {"KILOWAIT_TASK": "0", "KILOWAIT_ARRAY": "array-00000000"}  # a dry run may ask for them


def test_where_the_arguments_do_not_change_the_work_one_prediction_stands_for_all():
    desk = CountingDesk()
    answer = submit(desk, rows=[{"seed": str(n), "lr": str(n % 3)} for n in range(100)])
    assert len(desk.predicted) <= PREDICTED
    assert {words[3] for words in desk.predicted} == {"0", "1", "2"}  # every value of a column of few
    assert set(seconds(desk)) == {10}
    assert len({task.content_hash for task in desk.asked[0].tasks}) == 1  # what one teaches holds for all
    assert f"{len(desk.predicted)} calls that differ take alike: one prediction for 100 tasks" in answer.warnings


def test_where_they_do_each_row_has_its_own_prediction_or_a_guess_that_it_follows():
    desk = CountingDesk()
    submit(desk, rows=[{"epochs": str(n)} for n in range(1, 6)])
    assert seconds(desk) == [10, 20, 30, 40, 50]
    answer = submit(desk, rows=[{"epochs": str(n)} for n in range(1, 31)])
    tasks = desk.asked[-1].tasks
    guessed = [task for task in tasks if is_unread(task.predictions)]
    assert 0 < len(tasks) - len(guessed) == answer.predicted <= PREDICTED
    assert {task.predictions["A100"].runtime_s for task in guessed} == {10}
    assert len({task.content_hash for task in tasks}) == 30
    assert f"the other {len(guessed)} wait by a guess" in answer.warnings[-1]


def test_what_could_not_be_predicted_in_time_is_no_reason_to_think_it_alike_or_not():
    desk = CountingDesk()
    desk.late = True
    submit(desk, rows=[{"epochs": "1"}, {"epochs": "9"}])
    assert all(is_unread(task.predictions) for task in desk.asked[0].tasks)


def test_tasks_that_ask_for_different_numbers_of_gpus_are_refused():
    with pytest.raises(InputError, match="different numbers of GPUs"):
        submit(CountingDesk(), rows=[{"gpus": "1"}, {"gpus": "2"}])


def test_places_in_the_environment_are_filled_in_and_nothing_else_of_the_job_is_lost():
    desk = CountingDesk()
    submit(
        desk, tasks="3-4", environment={"SEED": "{task}", "X": "{y}"}, arguments=["a{task}"], name="n", max_attempts=2
    )
    assert [(task.task, task.arguments, dict(task.environment)) for task in desk.asked[0].tasks] == [
        (3, ("a3",), {"SEED": "3", "X": "{y}"}),
        (4, ("a4",), {"SEED": "4", "X": "{y}"}),
    ]
    assert replace(desk.asked[0].request.job, content_hash="") == desk.asked[0].request.job


@pytest.mark.parametrize(
    ("asked", "wrong"),
    [
        ({"arguments": ["{a}" * 1000], "rows": [{"a": "x" * 4000}]}, "has 4,000,000 characters for task 0"),
        ({"environment": {"X": "{a}" * 1000}, "rows": [{"a": "x" * 4000}]}, "has 4,000,000 characters for task 0"),
        ({"arguments": ["{a}" * 1000] * 64, "rows": [{"a": "", "b": str(n)} for n in range(100)]}, "are too long"),
        ({"arguments": ["{a}" * 32] * 64, "rows": [{"a": "x" * 4000} for n in range(9)]}, "are too long"),
        ({"environment": {"X": "{a}" * 9}, "rows": [{"a": "x" * 4000}]}, "'X' has 36,000 bytes, the limit is 32,768"),
        ({"environment": {"X": "{a}"}, "rows": [{"a": "x\0"}]}, "neither part a NUL byte"),
    ],
)
def test_what_places_would_blow_up_and_no_program_could_be_given_is_refused_at_once(asked, wrong):
    desk = CountingDesk()
    with pytest.raises(InputError, match=wrong):
        submit(desk, **asked)
    assert not desk.predicted


def test_an_array_may_have_as_many_variables_as_a_job():
    desk = CountingDesk()
    submit(desk, tasks="0-1", environment={f"V{n}": "x" for n in range(64)})
    checked_array(desk.asked[0])


def test_an_array_without_a_launcher_is_told_by_its_key_as_the_release_before_launchers_told_it():
    asked = ArrayRequest(
        request=request("a", text="of the array"),
        tasks=(TaskAsked(task=0, arguments=("0",), environment={}, predictions=seen(A=(1, 1)), content_hash="w"),),
    )
    assert checked_array(asked) == "3d34429cd1c018b1fee40573f4f808f342a02dc298e2ac1af4bffd00a6799b91"
