"""Where free boards of one GPU type are: whole ones by node, and what is left on boards that jobs share.

Whole boards of a node are alike, so they are counted; only a shared board has a number. The choice is best fit
throughout, ties to the node that joined first, so the same boards and the same job always lead to the same place.
Shares are in thousandths of a board, as in openb's `gpu_milli`.

Not covered: the memory of jobs that share a board, links between boards, and moving shares together.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from itertools import count

from kilowait.core.jobs import Held
from kilowait.core.units import WHOLE


class Boards:
    """The free boards of one GPU type. Changed by a cluster, and in copies by a policy that thinks ahead."""

    __slots__ = ("_by_left", "_closed", "_free", "_left", "_nodes", "_numbers", "_with")

    def __init__(self) -> None:
        self._nodes: list[str] = []
        self._numbers: dict[str, int] = {}
        self._free: list[int] = []  # whole free boards, by number of the node
        self._with: list[list[int]] = []  # numbers of the nodes that have so many whole free boards, ascending
        self._left: dict[tuple[int, int], int] = {}  # thousandths left of a shared board, by node and board
        self._by_left: list[tuple[int, int, int]] = []  # the same as (thousandths, node, board), ascending
        self._closed: set[str] = set()  # nodes whose boards are not given out again

    def join(self, node: str, gpus: int) -> None:
        """A node that is not here yet brings so many free boards."""
        number = self._numbers[node] = len(self._nodes)
        self._nodes.append(node)
        self._free.append(gpus)
        self._with += [[] for _ in range(gpus + 1 - len(self._with))]
        self._with[gpus].append(number)

    def knows(self, node: str) -> bool:
        """Whether a node has boards here."""
        return node in self._numbers

    def free_on(self, node: str) -> int:
        """The whole free boards of a node."""
        return self._free[self._numbers[node]]

    def pieces_of(self, node: str) -> list[tuple[Held, int]]:
        """What is free on a node, as boards and the thousandths of each that are left; [] for one that is closed."""
        if node in self._closed or node not in self._numbers:
            return []
        number = self._numbers[node]
        whole = [(Held(node=node, gpus=self._free[number]), WHOLE)] if self._free[number] else []
        left = [(board, milli) for (of, board), milli in self._left.items() if of == number and milli]
        return whole + [(Held(node=node, board=board), milli) for board, milli in left]

    def is_closed(self, node: str) -> bool:
        """Whether nothing of a node is given out again."""
        return node in self._closed or node not in self._numbers

    def withhold(self, node: str, gpus: int) -> None:
        """So many whole free boards of a node are not to be had, or again where negative."""
        self._less(self._numbers[node], gpus)

    def close(self, node: str) -> int:
        """Nothing of a node is given out any more; returns how many whole boards were free until now."""
        number, gpus = self._numbers[node], self.free_on(node)
        self._closed.add(node)
        self._less(number, gpus)
        self._left = {board: milli for board, milli in self._left.items() if board[0] != number}
        self._by_left = [shared for shared in self._by_left if shared[1] != number]
        return gpus

    def reopen(self, node: str, gpus: int) -> None:
        """All the boards of a closed node are there again, whole and free: let those who use some take them."""
        self._closed.remove(node)
        self._less(self._numbers[node], -gpus)

    def leave(self, node: str) -> None:
        """Forget a closed node that nobody uses any more, if it is known here; it may join again."""
        if node in self._closed:
            self._closed.remove(node)
            self._with[0].remove(self._numbers.pop(node))

    def copy(self) -> "Boards":
        """The same boards, whose changes leave these as they are."""
        boards = Boards()
        boards._nodes, boards._numbers = self._nodes[:], dict(self._numbers)
        boards._free, boards._with = self._free[:], [numbers[:] for numbers in self._with]
        boards._left, boards._by_left = dict(self._left), self._by_left[:]
        boards._closed = set(self._closed)
        return boards

    def meet(self, other: "Boards") -> "Boards":
        """What is free both here and there: the same nodes at another time."""
        common, opened = self.copy(), dict[int, int]()
        for node, (here, there) in enumerate(zip(self._free, other._free, strict=True)):
            if there < here:
                common._less(node, here - there)
                opened[node] = here - there
        for (node, board), left in self._left.items():
            there = other._left.get((node, board), WHOLE if other._free[node] else 0)
            if there < left:
                common._leave(node, board, there)
        for (node, board), left in sorted(other._left.items()):
            if opened.get(node) and (node, board) not in self._left:  # whole here, shared there
                opened[node] -= 1
                common._leave(node, board, left)
        return common

    def choose_beside(self, gpus: int, one_node: bool, other: "Boards") -> tuple[Held, ...]:
        """As `choose` of whole boards, but of those that are not free in `other` too as far as they suffice."""
        fresh = self.copy()
        for node, free in enumerate(other._free):
            fresh._less(node, min(free, self._free[node]))
        if where := fresh.choose(gpus, WHOLE, one_node):
            return where
        if one_node or gpus > sum(self._free):
            return self.choose(gpus, WHOLE, one_node)
        rest, taken = self.copy(), dict[str, int]()
        for node, free in enumerate(fresh._free):
            rest._less(node, free)
            taken[self._nodes[node]] = free
        for held in rest.choose(gpus - sum(fresh._free), WHOLE, False):
            taken[held.node] += held.gpus
        return tuple(Held(node=node, gpus=count) for node, count in taken.items() if count)

    @property
    def most(self) -> int:
        """The whole free boards of the node that has the most."""
        return next((gpus for gpus in range(len(self._with) - 1, 0, -1) if self._with[gpus]), 0)

    @property
    def left_over(self) -> int:
        """Thousandths that are left on all shared boards together."""
        return sum(self._left.values())

    def shares(self, milli: int) -> bool:
        """Whether a shared board has so many thousandths left."""
        return bool(self._by_left) and self._by_left[-1][0] >= milli

    def choose(self, gpus: int, milli: int, one_node: bool) -> tuple[Held, ...]:
        """Where a job goes, () where it does not fit.

        A share goes to the shared board with the least left that suffices, else it opens a whole one. Whole boards
        come from the node with the fewest free ones that suffices. If none suffices, and the job may be spread, the
        nodes with the most are emptied first, so that it is on few nodes.
        """
        if milli < WHOLE:
            return self._share(milli)
        for numbers in self._with[gpus:]:
            if numbers:
                return (Held(node=self._nodes[numbers[0]], gpus=gpus),)
        return () if one_node or gpus > sum(self._free) else tuple(self._spread(gpus))

    def allows(self, where: tuple[Held, ...], gpus: int, milli: int, one_node: bool) -> bool:
        """Whether a job of so many boards, or of a share, may start exactly there now."""
        first = where[0]
        if milli == WHOLE and first.gpus == gpus:  # as nearly always
            is_one_node = len(where) == 1 and first.board is None and first.node in self._numbers
            return is_one_node and self._free[self._numbers[first.node]] >= gpus
        places = {(held.node, held.board) for held in where}
        if len(places) < len(where) or not all(held.node in self._numbers and held.gpus >= 1 for held in where):
            return False
        if sum(held.gpus for held in where) != gpus or (one_node and len(where) > 1):
            return False
        if milli < WHOLE:
            return self._allows_share(where[0], milli)
        return all(held.board is None and held.gpus <= self._free[self._numbers[held.node]] for held in where)

    def take(self, where: Iterable[Held], milli: int) -> int:
        """Let a job have what it was given; returns how many boards are no longer whole and free."""
        taken = 0
        for held in where:
            node = self._numbers[held.node]
            if held.board is None:
                taken += self._less(node, held.gpus)
                continue
            if (node, held.board) not in self._left:
                taken += self._less(node, 1)
                self._leave(node, held.board, WHOLE)
            self._leave(node, held.board, self._left[node, held.board] - milli)
        return taken

    def give_back(self, where: Iterable[Held], milli: int) -> int:
        """Take back what a job had; returns how many boards are whole and free again, none of a closed node."""
        freed = 0
        for held in where:
            if held.node in self._closed:
                continue
            node = self._numbers[held.node]
            if held.board is None:
                freed -= self._less(node, -held.gpus)
                continue
            self._leave(node, held.board, self._left[node, held.board] + milli)
            if self._left[node, held.board] == WHOLE:
                self._by_left.remove((WHOLE, node, held.board))
                del self._left[node, held.board]
                freed -= self._less(node, -1)
        return freed

    def _share(self, milli: int) -> tuple[Held, ...]:
        position = bisect_left(self._by_left, (milli,))
        if position < len(self._by_left):
            _, node, board = self._by_left[position]
            return (Held(node=self._nodes[node], board=board),)
        node = next((numbers[0] for numbers in self._with[1:] if numbers), -1)
        if node < 0:
            return ()
        board = next(number for number in count() if (node, number) not in self._left)
        return (Held(node=self._nodes[node], board=board),)

    def _allows_share(self, held: Held, milli: int) -> bool:
        node = self._numbers[held.node]
        if held.board is None or held.board < 0:
            return False
        return self._left.get((node, held.board), WHOLE if self._free[node] else 0) >= milli

    def _spread(self, gpus: int) -> Iterable[Held]:
        """Nodes with the most free boards first; the last is the one that fits the rest best."""
        order = sorted(range(len(self._nodes)), key=lambda node: (-self._free[node], node))
        for serial, node in enumerate(order):
            candidates = [candidate for candidate in order[serial:] if self._free[candidate] >= gpus]
            if candidates:
                best = min(candidates, key=lambda candidate: (self._free[candidate], candidate))
                yield Held(node=self._nodes[best], gpus=gpus)
                return
            yield Held(node=self._nodes[node], gpus=self._free[node])
            gpus -= self._free[node]

    def _less(self, node: int, gpus: int) -> int:
        """So many whole boards of a node are free no longer, or again where negative."""
        before = self._free[node]
        after = self._free[node] = before - gpus
        self._with[before].remove(node)
        nodes = self._with[after]
        if nodes:
            insort(nodes, node)
        else:
            nodes.append(node)
        return gpus

    def _leave(self, node: int, board: int, milli: int) -> None:
        """Let so many thousandths be left of a shared board."""
        previous = self._left.get((node, board))
        if previous is not None:
            del self._by_left[bisect_left(self._by_left, (previous, node, board))]
        self._left[node, board] = milli
        insort(self._by_left, (milli, node, board))
