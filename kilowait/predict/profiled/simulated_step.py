"""How long a step takes that is run again and again: its graph, played one round after the other."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from kilowait.predict.profiled.step_graph import NONE, StepGraph, TaskNode

ROUNDS = 5
"""Played until one step's end no longer depends on how the first began."""

Spans = tuple[list[float], list[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedSteps:
    """Microseconds: `(start, end)` of the calls and tasks of a graph, and where each of its steps begins."""

    calls: list[tuple[float, float]]
    tasks: list[tuple[float, float]]
    begins: tuple[float, ...]

    @property
    def end_us(self) -> float:
        """When the last call of the thread that begins returns, or any other before that."""
        return max(end for _, end in self.calls)


def play(graph: StepGraph) -> PlayedSteps:
    """The steps of a graph one after the other, with what the device had to do still before them."""
    tasks, calls = _round(graph, 0.0, {}, dict(graph.backlog_us))
    return PlayedSteps(calls=calls, tasks=tasks, begins=tuple(calls[n][0] for n in graph.begins))


def again_us(graph: StepGraph, rounds: int = ROUNDS) -> float:
    """Microseconds of a step of a graph that is run again and again, once its beginning no longer matters."""
    threads: dict[int, float] = {}
    streams: dict[int, float] = {}
    main, begins = graph.calls[graph.begins[0]].thread, list[float]()
    for _ in range(rounds):
        begins.append(threads.get(main, 0.0))
        _round(graph, begins[-1], threads, streams)
    return (threads[main] - begins[-1]) / len(graph.begins)


def _round(
    graph: StepGraph, begin: float, threads: dict[int, float], streams: dict[int, float]
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    tasks = [(0.0, 0.0)] * len(graph.tasks)
    calls = [(0.0, 0.0)] * len(graph.calls)
    full: dict[int, Spans] = {}
    for number, call in enumerate(graph.calls):
        start = (begin if call.after == NONE else calls[call.after][1]) + call.host_us
        start = max(start, threads.get(call.thread, 0.0))
        end = start + call.own_us
        for of in range(call.task, call.task + call.tasks) if call.tasks else ():
            task = graph.tasks[of]
            at = max(start + graph.launch_us, streams.get(task.stream, 0.0) + graph.next_us)
            at = max([at, *(tasks[other][1] + graph.next_us for other in task.awaits)])
            at = _room(at, full, task) if task.kind == "compute" else at
            tasks[of] = at, at + task.us
            if task.fills:
                starts, ends = full.setdefault(task.stream, ([], []))
                starts.append(at)
                ends.append(at + task.us)
            streams[task.stream] = at + task.us
            if task.queued != NONE:
                end = max(end, tasks[task.queued][0])
        if call.awaits != NONE:
            end = max(end, tasks[call.awaits][1] + graph.return_us)
        calls[number] = start, end
        threads[call.thread] = end
    return tasks, calls


def _room(at: float, full: Mapping[int, Spans], task: TaskNode) -> float:
    """When a kernel gets room: not while one of another stream fills the device, nor another right behind that."""
    for stream, (starts, ends) in full.items():
        if stream == task.stream:
            continue
        place = max(0, bisect_right(starts, at) - 1)
        while place < len(starts) and starts[place] <= at:
            at = max(at, ends[place])
            place += 1
    return at
