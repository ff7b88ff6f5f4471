"""What is free while a policy decides: it takes room for the jobs it places, and the cluster will do the same.

A policy that places only what fits here, and in this order, places nothing that the cluster then refuses.
"""

from collections.abc import Mapping

from msgspec import Struct

from kilowait.cluster.boards import Boards
from kilowait.cluster.standing import Active, Waiting
from kilowait.core.jobs import Held
from kilowait.core.units import WHOLE


class Room(Struct, gc=False):
    """Free GPUs of a cluster, to be used up: changes here change no cluster.

    `free` counts whole free boards by type. `boards` tells which, and is left alone; it is empty where that makes no
    difference: nobody who waits or runs has a share, and nobody asks for one node where a type has several. `own` are
    the boards of a type as they are here, once that differs. Of the types that are `shut` nothing is to be had.
    """

    free: dict[str, int]
    boards: Mapping[str, Boards]
    own: dict[str, Boards] | None = None
    shut: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Whether anything at all is free."""
        return any(self.free.values()) or any(self._at(t).shares(1) for t in self.boards)

    def fits(self, waiting: Waiting, gpu_type: str) -> bool:
        """Whether a job could start now on a type that it may use."""
        gpus = waiting.gpus[gpu_type]
        if self.boards:
            return self.holds(gpu_type, gpus, waiting.job.gpu_milli, waiting.job.one_node)
        return gpus <= self.free[gpu_type]

    def take_first(self, waiting: Waiting) -> str | None:
        """Use up the room of a job on the most powerful type where it fits, and name that; None when there is none."""
        free, boards = self.free, self.boards
        for gpu_type, gpus in waiting.gpus.items():
            if boards:
                if self.fits(waiting, gpu_type):
                    self.take(waiting, gpu_type)
                    return gpu_type
            elif gpus <= free[gpu_type]:
                free[gpu_type] -= gpus
                return gpu_type
        return None

    def fitting(self, waiting: Waiting) -> list[str]:
        """The types on which a job could start now, most powerful first."""
        if self.boards:
            return [t for t in waiting.gpus if self.fits(waiting, t)]
        free = self.free
        return [t for t, gpus in waiting.gpus.items() if gpus <= free[t]]

    def take(self, waiting: Waiting, gpu_type: str, where: tuple[Held, ...] = ()) -> None:
        """Use up the room of a job that fits; `where` says which boards, () leaves that to `Boards.choose`."""
        if where:
            self.free[gpu_type] -= self._mine(gpu_type).take(where, waiting.job.gpu_milli)
        elif self.boards:
            self.claim(gpu_type, waiting.gpus[gpu_type], waiting.job.gpu_milli, waiting.job.one_node)
        else:
            self.free[gpu_type] -= waiting.gpus[gpu_type]

    def holds(self, gpu_type: str, gpus: int, milli: int = WHOLE, one_node: bool = False) -> bool:
        """As `fits`, for so many GPUs, or `milli` thousandths of one."""
        if not self.boards or (milli == WHOLE and not one_node):
            return gpus <= self.free[gpu_type]
        if milli < WHOLE:
            return self.free[gpu_type] > 0 or self._at(gpu_type).shares(milli)
        return gpus <= self._at(gpu_type).most

    def keep(self, gpu_type: str, where: tuple[Held, ...]) -> None:
        """Use up whole boards that are free for somebody who is not looked at now."""
        self.free[gpu_type] -= self._mine(gpu_type).take(where, WHOLE)

    def claim(self, gpu_type: str, gpus: int, milli: int, one_node: bool) -> None:
        """As `take`, for so many GPUs, or `milli` thousandths of one."""
        if self.boards:
            boards = self._mine(gpu_type)
            gpus = boards.take(boards.choose(gpus, milli, one_node), milli)
        self.free[gpu_type] -= gpus

    def give_back(self, active: Active) -> None:
        """A running job is about to give its GPUs back, to whom they are kept for on a type that is shut."""
        if active.gpu_type in self.shut:
            return
        gpus = active.gpus
        if self.boards:
            gpus = self._mine(active.gpu_type).give_back(active.where, active.job.gpu_milli)
        self.free[active.gpu_type] += gpus

    def copy(self) -> "Room":
        """The same room, whose changes leave this one as it is."""
        own = self.own and {gpu_type: boards.copy() for gpu_type, boards in self.own.items()}
        return Room(dict(self.free), self.boards, own, self.shut)

    def hold(self, gpu_type: str) -> None:
        """Keep all that is free of a type, or comes back, for somebody else: nothing fits there any more."""
        self.free[gpu_type], self.shut = 0, self.shut | {gpu_type}
        if self.boards:
            self.own = {**(self.own or {}), gpu_type: Boards()}

    def milli(self, gpu_type: str) -> int:
        """Thousandths of GPUs that are free, however scattered; a job need not fit though it asks for fewer."""
        return WHOLE * self.free[gpu_type] + (self._at(gpu_type).left_over if self.boards else 0)

    def boards_of(self, gpu_type: str) -> Boards:
        """The free boards of a type, where they are told apart; change nothing."""
        return self._at(gpu_type)

    def chosen(self, waiting: Waiting, gpu_type: str) -> tuple[Held, ...]:
        """The boards that a job gets where that is left to `Boards.choose`, () where it does not fit."""
        return self._at(gpu_type).choose(waiting.gpus[gpu_type], waiting.job.gpu_milli, waiting.job.one_node)

    def _at(self, gpu_type: str) -> Boards:
        return (self.own and self.own.get(gpu_type)) or self.boards[gpu_type]

    def _mine(self, gpu_type: str) -> Boards:
        if self.own is None:
            self.own = {}
        if gpu_type not in self.own:
            self.own[gpu_type] = self.boards[gpu_type].copy()
        return self.own[gpu_type]
