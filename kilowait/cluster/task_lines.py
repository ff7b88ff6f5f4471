"""Jobs that may not run yet: tasks of arrays that run only so many at once, and jobs that are to run after others.

Policies see only those whose turn it is, so no policy can run more of an array than it may; a task that is over makes
room for the next of its array, in their order. A job keeps its place in the queue, by when it was submitted.
Called by `kilowait.cluster.advance` alone.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType

from kilowait.cluster.dependents import Dependents
from kilowait.cluster.standing import Waiting
from kilowait.core.jobs import ArrayTask

NOBODY: Mapping[str, list[str]] = MappingProxyType({})


@dataclass(slots=True, kw_only=True)
class TaskLines:
    """By job id, the array of each task whose turn it is; by array, those that stand behind, the first first.

    `_turns` and `_arrays` say the same the other way round, so that no step takes longer where there are many arrays:
    by array, how many tasks have their turn; by job id, the array of each task that stands behind.
    """

    in_turn: dict[str, str] = field(default_factory=dict)
    behind: dict[str, dict[str, Waiting]] = field(default_factory=dict)
    dependents: Dependents = field(default_factory=Dependents)
    _turns: Counter[str] = field(default_factory=Counter)
    _arrays: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, in_turn: dict[str, str], behind: Iterable[Waiting], pending: Mapping[str, list[str]] = NOBODY
    ) -> "TaskLines":
        """The lines that had these, `pending` by job the parents that are not over."""
        lines = cls(in_turn=in_turn, _turns=Counter(in_turn.values()))
        for waiting in behind:
            if (parents := pending.get(waiting.job.job_id)) is not None:
                lines.dependents.stand(waiting, parents)
                continue
            assert waiting.job.array is not None
            lines._stand(waiting.job.array.array_id, waiting)
        return lines

    def __iter__(self) -> Iterator[Waiting]:
        """The jobs that may not run yet."""
        tasks = (waiting for line in self.behind.values() for waiting in line.values())
        return chain(tasks, self.dependents)

    def __len__(self) -> int:
        return len(self._arrays) + len(self.dependents.aside)

    def get(self, job_id: str) -> Waiting | None:
        """A job that may not run yet, None for another."""
        array_id = self._arrays.get(job_id)
        return self.dependents.aside.get(job_id) if array_id is None else self.behind[array_id][job_id]

    def enter(self, waiting: Waiting, task: ArrayTask) -> bool:
        """Whether it is the turn of a new task; else it stands behind from now on."""
        array_id, job_id = task.array_id, waiting.job.job_id
        if task.at_once is None:
            return True
        if array_id in self.behind or self._turns[array_id] >= task.at_once:
            self._stand(array_id, waiting)
            return False
        self._have_turn(array_id, job_id)
        return True

    def renew(self, waiting: Waiting) -> None:
        """A job that may not run yet is predicted otherwise."""
        if waiting.job.job_id in self.dependents.aside:
            self.dependents.aside[waiting.job.job_id] = waiting
            return
        assert waiting.job.array is not None
        self.behind[waiting.job.array.array_id][waiting.job.job_id] = waiting

    def withdraw(self, job_id: str) -> bool:
        """Take a job out that may not run yet; False for another."""
        if self.dependents.withdraw(job_id):
            return True
        if (waiting := self.get(job_id)) is None or waiting.job.array is None:
            return False
        self._take(waiting.job.array.array_id, job_id)
        return True

    def over(self, job_id: str) -> Waiting | None:
        """A job is over: the task whose turn it is now, None where nobody stands behind."""
        if (array_id := self.in_turn.pop(job_id, None)) is None:
            return None
        self._turns[array_id] -= 1
        if array_id not in self.behind:
            if not self._turns[array_id]:
                del self._turns[array_id]
            return None
        next_id = next(iter(self.behind[array_id]))
        self._have_turn(array_id, next_id)
        return self._take(array_id, next_id)

    def copy(self) -> "TaskLines":
        """The same lines, which change without these."""
        return TaskLines(
            in_turn=dict(self.in_turn),
            behind={name: dict(line) for name, line in self.behind.items()},
            dependents=self.dependents.copy(),
            _turns=Counter(self._turns),
            _arrays=dict(self._arrays),
        )

    def _have_turn(self, array_id: str, job_id: str) -> None:
        self.in_turn[job_id] = array_id
        self._turns[array_id] += 1

    def _stand(self, array_id: str, waiting: Waiting) -> None:
        self.behind.setdefault(array_id, {})[waiting.job.job_id] = waiting
        self._arrays[waiting.job.job_id] = array_id

    def _take(self, array_id: str, job_id: str) -> Waiting:
        line = self.behind[array_id]
        waiting = line.pop(job_id)
        del self._arrays[job_id]
        if not line:
            del self.behind[array_id]
        return waiting
