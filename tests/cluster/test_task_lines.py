"""Lines of tasks against the plainest that can be said of them, through any order of what happens."""

import random
from types import SimpleNamespace
from typing import cast

import pytest

from kilowait.cluster.standing import Waiting
from kilowait.cluster.task_lines import TaskLines
from kilowait.core.jobs import ArrayTask


def task_of(number, array_id, at_once):
    task = ArrayTask(array_id=array_id, task=number, at_once=at_once)
    return cast("Waiting", SimpleNamespace(job=SimpleNamespace(job_id=f"job-{number:04d}", array=task)))


class NeverGoneThrough(dict):
    """Nobody asks for all that is in it: there may be a hundred thousand, and each task would."""

    def values(self):
        raise AssertionError("all tasks whose turn it is are gone through")

    __iter__ = items = values


def test_a_new_task_costs_the_same_however_many_there_are():
    lines = TaskLines(in_turn=NeverGoneThrough(), behind=NeverGoneThrough())
    for number in range(6):
        one = task_of(number, "array", 4)
        assert lines.enter(one, one.job.array) is (number < 4)
    assert lines.get("job-0005") is not None
    assert lines.get("job-0001") is None


@pytest.mark.parametrize("seed", range(3))
def test_at_any_time_the_first_of_each_array_have_their_turn_and_no_more(seed):
    chance, lines, in_turn, behind = random.Random(seed), TaskLines(), {}, []
    limits = {f"array-{n}": n + 1 for n in range(3)}
    for number in range(300):
        step = chance.random()
        if step < 0.5:
            array_id = chance.choice(list(limits))
            one = task_of(number, array_id, limits[array_id])
            has_turn = list(in_turn.values()).count(array_id) < limits[array_id]
            assert lines.enter(one, one.job.array) is has_turn
            if has_turn:
                in_turn[one.job.job_id] = array_id
            else:
                behind.append((array_id, one.job.job_id))
        elif step < 0.8 and in_turn:
            array_id = in_turn.pop(job_id := chance.choice(list(in_turn)))
            follows = next((one for one in behind if one[0] == array_id), None)
            found = lines.over(job_id)
            assert (found and found.job.job_id) == (follows and follows[1])
            if follows:
                behind.remove(follows)
                in_turn[follows[1]] = array_id
        elif behind:
            behind.remove(gone := chance.choice(behind))
            assert lines.withdraw(gone[1])
            assert not lines.withdraw(gone[1])
        assert lines.in_turn == in_turn
        assert sorted(one.job.job_id for one in lines) == sorted(job_id for _, job_id in behind)
        assert len(lines) == len(behind)
        assert lines.copy() == lines == TaskLines.of(dict(lines.in_turn), list(lines))
    assert in_turn
    assert behind
