"""Jobs that are to run after others: they stand aside, unseen by policies, until those are over.

A job goes on when each of its parents has ended well, or, where it says `after_any`, ended in any way. One whose parent
ended badly never goes on: whoever drives the cluster gives it up. Changed by the cluster alone.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from kilowait.cluster.standing import Waiting


@dataclass(slots=True, kw_only=True)
class Dependents:
    """By job id, the jobs that stand aside, and the parents that are not over; by parent, its children in order."""

    aside: dict[str, Waiting] = field(default_factory=dict)
    parents: dict[str, list[str]] = field(default_factory=dict)
    _children: dict[str, dict[str, None]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self.aside.values())

    def children(self, job_id: str) -> Collection[str]:
        """Those that stand aside until this job is over, in order."""
        return self._children.get(job_id, {}).keys()

    def stand(self, waiting: Waiting, parents: list[str]) -> None:
        """A job stands aside until these are over; one that is named twice counts once."""
        job_id = waiting.job.job_id
        self.aside[job_id], self.parents[job_id] = waiting, list(dict.fromkeys(parents))
        for parent in parents:
            self._children.setdefault(parent, {})[job_id] = None

    def over(self, job_id: str, *, well: bool) -> list[Waiting]:
        """A job is over: those that waited for it alone, and may go on."""
        free = list[Waiting]()
        for child in list(self.children(job_id)):
            if not (well or self.aside[child].job.after_any):
                continue
            self._part(job_id, child)
            self.parents[child].remove(job_id)
            if not self.parents[child]:
                del self.parents[child]
                free.append(self.aside.pop(child))
        return free

    def in_vain(self, job_id: str) -> list[tuple[str, str]]:
        """After a job was over, or was refused: those that wait for it in vain, and those that do so for these, down to
        the last; each with the first job that it waits for so, and behind that one."""
        found = dict.fromkeys(self.children(job_id), job_id)
        behind = list(found)
        for parent in behind:
            for child in self.children(parent):
                if child not in found and not self.aside[child].job.after_any:
                    found[child] = parent
                    behind.append(child)
        return list(found.items())

    def withdraw(self, job_id: str) -> bool:
        """Take a job out that stands aside; False where it does not."""
        if self.aside.pop(job_id, None) is None:
            return False
        for parent in self.parents.pop(job_id):
            self._part(parent, job_id)
        return True

    def copy(self) -> "Dependents":
        """The same, which change without these."""
        return Dependents(
            aside=dict(self.aside),
            parents={child: list(parents) for child, parents in self.parents.items()},
            _children={parent: dict(children) for parent, children in self._children.items()},
        )

    def _part(self, parent: str, child: str) -> None:
        children = self._children[parent]
        del children[child]
        if not children:
            del self._children[parent]
