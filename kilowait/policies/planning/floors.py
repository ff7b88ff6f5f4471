"""Which boards are free when: what a reservation takes where boards are told apart, by node and board.

Counting is not enough for a share of a board or for GPUs of one node: enough may be free, and scattered. So a plan
keeps the boards of a type over time: those that are free now, those that come back with the running jobs, and those
that are reserved. A job is reserved just the boards that it will take, from when they are there until it ends, and
whatever leaves these boards alone for that long may pass. Maintenance of a node, and a reservation for nobody who
waits, are kept free as if a job had them.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from itertools import count
from math import inf
from typing import NamedTuple

from kilowait.cluster.boards import Boards
from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.cluster.views.room import Room
from kilowait.cluster.views.windows import closed_to_all
from kilowait.core.jobs import Held
from kilowait.core.units import WHOLE

Where = tuple[Held, ...]
"""The boards of a job, () for none."""


class Shape(NamedTuple):
    """What a job asks of one type: boards, thousandths of each, and whether all must be of one node."""

    gpus: int
    milli: int
    one_node: bool


class _Change(NamedTuple):
    """Boards that are taken or come back at a time; at one time, what comes back does so first."""

    time_s: float
    taken: bool
    serial: int
    where: Where
    milli: int


class Floor:
    """The boards of one type from now on; reservations and starts change it, and no cluster."""

    def __init__(self, now_s: float, free: Boards, ends: Iterable[tuple[float, Where, int]]) -> None:
        self._now_s, self._free, self._serial = now_s, free.copy(), count()
        self._changes = [_Change(end_s, False, next(self._serial), where, milli) for end_s, where, milli in ends]
        self._dips: list[tuple[float, Boards]] = []  # what is free when a reservation begins: it only rises between

    def where_now(self, shape: Shape, end_s: float) -> Where:
        """Boards that are free now and until `end_s` beside all reservations: best fit, () for none."""
        return _choose(shape, self._free, self._dips_between(self._now_s, end_s))

    def soonest(self, shape: Shape, runtime_s: float, from_s: float) -> tuple[float, Where]:
        """The first time from `from_s` on at which such boards are free for `runtime_s`, and which; inf for never.

        Later than now they are boards that are not free now, as far as these suffice: others can use the rest till then
        and beyond.
        """
        time_s, free, changes, position = self._now_s, self._free.copy(), self._changes, 0
        while True:
            while position < len(changes) and changes[position].time_s <= time_s:
                _apply(changes[position], free)
                position += 1
            start_s = max(time_s, from_s)
            ends_before = position < len(changes) and changes[position].time_s <= start_s
            if not ends_before and free.choose(*shape):
                spare = self._free if start_s > self._now_s else None
                where = _choose(shape, free, self._dips_between(start_s, start_s + runtime_s), spare)
                if where:
                    return start_s, where
            if position == len(changes):
                return inf, ()
            time_s = changes[position].time_s

    def reserve(self, where: Where, milli: int, start_s: float, end_s: float) -> None:
        """Take boards that are free then out, from `start_s`, which may be now, to `end_s`."""
        for _, dip in self._dips_within(start_s, end_s):
            dip.take(where, milli)
        if start_s <= self._now_s:
            self._free.take(where, milli)
        else:
            position = bisect_left(self._dips, start_s, key=_time)
            if position == len(self._dips) or self._dips[position][0] != start_s:
                dip = self._free.copy()
                for change in self._changes:
                    if change.time_s <= start_s:
                        _apply(change, dip)
                dip.take(where, milli)
                self._dips.insert(position, (start_s, dip))
            insort(self._changes, _Change(start_s, True, next(self._serial), where, milli))
        insort(self._changes, _Change(end_s, False, next(self._serial), where, milli))

    def withhold(self, node: str, spans: Iterable[tuple[float, float]]) -> None:
        """Keep what is free of a node, and what comes back there, from everybody in these times, which are in order."""
        if self._free.is_closed(node):
            return
        pieces = [(self._now_s, held, milli) for held, milli in self._free.pieces_of(node)]
        pieces += [(c.time_s, held, c.milli) for c in self._changes for held in c.where if held.node == node]
        for begins_s, ends_s in spans:
            for from_s, held, milli in pieces:
                if from_s < ends_s:
                    self.reserve((held,), milli, max(begins_s, from_s), ends_s)

    def _dips_between(self, start_s: float, end_s: float) -> list[Boards]:
        """What is free at the low points after `start_s` and before `end_s`."""
        return [dip for time_s, dip in self._dips if start_s < time_s < end_s]

    def _dips_within(self, start_s: float, end_s: float) -> list[tuple[float, Boards]]:
        return [dip for dip in self._dips if start_s <= dip[0] < end_s]


class Floors:
    """The floors of a cluster by type, made when they are first asked for; `room` is what is free at that time."""

    def __init__(self, cluster: Cluster, room: Room) -> None:
        self._cluster, self._room, self._by_type = cluster, room, dict[str, Floor]()
        self._closed = closed_to_all(cluster)

    def at(self, gpu_type: str) -> Floor:
        """The floor of a type."""
        if gpu_type not in self._by_type:
            active = self._cluster.active
            running = ((end_s, active[job_id]) for end_s, job_id in self._cluster.ends().jobs_by_type[gpu_type])
            ends = [(end_s, one.where, one.job.gpu_milli) for end_s, one in running]
            floor = Floor(self._cluster.now_s, self._room.boards_of(gpu_type), ends)
            for node, spans in self._closed.items():
                floor.withhold(node, spans)
            self._by_type[gpu_type] = floor
        return self._by_type[gpu_type]

    def start(self, waiting: Waiting, gpu_type: str, where: Where) -> None:
        """Start a job now, on a floor and in the room."""
        end_s = self._cluster.now_s + waiting.predictions[gpu_type].runtime_s
        self.at(gpu_type).reserve(where, waiting.job.gpu_milli, self._cluster.now_s, end_s)
        self._room.take(waiting, gpu_type, where)

    def where_now(self, waiting: Waiting, gpu_type: str) -> Where:
        """Boards on which a job could run from now on to its end beside all reservations, () for none."""
        end_s = self._cluster.now_s + waiting.predictions[gpu_type].runtime_s
        return self.at(gpu_type).where_now(shape_of(waiting, gpu_type), end_s)

    def soonest(self, waiting: Waiting, gpu_type: str, from_s: float) -> tuple[float, Where]:
        """As `Floor.soonest`, for a job."""
        runtime_s = waiting.predictions[gpu_type].runtime_s
        return self.at(gpu_type).soonest(shape_of(waiting, gpu_type), runtime_s, from_s)

    def reserve(self, waiting: Waiting, gpu_type: str, where: Where, start_s: float) -> None:
        """As `Floor.reserve`, for a job; nothing where it never starts."""
        if where:
            end_s = start_s + waiting.predictions[gpu_type].runtime_s
            self.at(gpu_type).reserve(where, waiting.job.gpu_milli, start_s, end_s)


def shape_of(waiting: Waiting, gpu_type: str) -> Shape:
    """What a job asks of a type."""
    return Shape(waiting.gpus[gpu_type], waiting.job.gpu_milli, waiting.job.one_node)


def _choose(shape: Shape, free: Boards, dips: Sequence[Boards], spare: Boards | None = None) -> Where:
    """Boards that are free in all of these, () for none; whole ones not of `spare` as far as they suffice."""
    common = free
    for dip in dips:
        common = common.meet(dip)
        if not common.choose(*shape):
            return ()
    if spare is not None and shape.milli == WHOLE:
        return common.choose_beside(shape.gpus, shape.one_node, spare)
    where = common.choose(*shape)
    if not where or shape.milli == WHOLE or not dips:
        return where
    node, board = where[0].node, where[0].board
    for number in (board, *range(1 + WHOLE)):  # a number that nobody else has there gets a board of its own
        held = (Held(node=node, board=number),)
        if all(boards.allows(held, *shape) for boards in (free, *dips)):
            return held
    return ()


def _apply(change: _Change, boards: Boards) -> None:
    if change.taken:
        boards.take(change.where, change.milli)
    else:
        boards.give_back(change.where, change.milli)


def _time(dip: tuple[float, Boards]) -> float:
    return dip[0]
