"""One step as a graph: what waits for what, and how long each takes by itself.

Dependencies are inferred from one step, and times come from them alone: no recorded start is kept, but for how long
the device was busy at the very beginning with what had been launched before. A call follows the
one before it on its thread after the host's own work between the two, unless the thread was waiting meanwhile for
another one (a backward pass has a thread of its own), then it follows that. A task follows its call, what runs before
it on its stream, and a task of another stream where the device waited for that. A call that waits for the device ends
with the task that it waits for; one that puts a task behind `QUEUE` others waits for room.
"""

import statistics
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf

from kilowait.core.errors import InputError
from kilowait.predict.profiled.kineto import DeviceTask, HostCall, KinetoTrace

QUEUE = 1024
"""Launches that a stream takes before the next one has to wait."""
IDLE_US = 50.0
"""A thread that does nothing for longer may have waited for another."""
SLACK_US = 15.0
"""A task that starts so soon after another's end, and could have started earlier, waited for it."""
RETURN_US = 10.0
"""What a call that waits takes at most by itself."""
NONE = -1
_LETS_WAIT = ("cudaStreamWaitEvent", "hipStreamWaitEvent")


@dataclass(slots=True, kw_only=True)
class CallNode:
    """`after` is the call it follows, by `host_us` of host work; `own_us` is what it takes by itself.

    `task` is the first of the tasks that it starts, `tasks` how many; `awaits` the task that it waits for.
    """

    thread: int
    name: str
    after: int
    host_us: float
    own_us: float
    task: int = NONE
    tasks: int = 0
    awaits: int = NONE


@dataclass(slots=True, kw_only=True)
class TaskNode:
    """`before` is the task ahead on its stream, `queued` that 1,024 launches ahead, `awaits` tasks of other streams."""

    stream: int
    name: str
    kind: str
    us: float
    fills: bool = False
    before: int = NONE
    awaits: tuple[int, ...] = ()
    queued: int = NONE


@dataclass(slots=True, kw_only=True)
class StepGraph:
    """`calls` in the order in which they were made, of all threads; `tasks` in the order in which they were started.

    `launch_us` lies between a call and its task on an idle device, `next_us` between two tasks of a stream, and
    `return_us` between the end of a task and that of a call that waits for it: one number each of the whole step.
    `begins` are the calls with which its steps begin, and `backlog_us` what each stream had to do still before them.
    """

    calls: list[CallNode]
    tasks: list[TaskNode]
    launch_us: float
    next_us: float
    return_us: float
    begins: tuple[int, ...] = (0,)
    backlog_us: Mapping[int, float] = field(default_factory=dict)


def graph_of(trace: KinetoTrace, first: int, steps: int = 1) -> StepGraph:
    """The graph of `steps` steps from number `first` on."""
    start_us, end_us = trace.steps[first][0], trace.steps[first + steps - 1][1]
    calls = [call for call in trace.calls if start_us <= call.start_us < end_us]
    by_number: dict[int, list[DeviceTask]] = {}
    for task in trace.tasks:
        by_number.setdefault(task.correlation, []).append(task)
    started = [(n, task) for n, call in enumerate(calls) if call.name for task in by_number.get(call.correlation, ())]
    nodes = _call_nodes(calls, start_us)
    tasks = _task_nodes([task for _, task in started])
    for number, (call, _) in enumerate(started):
        if nodes[call].task == NONE:
            nodes[call].task = number
        nodes[call].tasks += 1
    graph = StepGraph(
        calls=nodes,
        tasks=tasks,
        launch_us=5.0,
        next_us=1.0,
        return_us=5.0,
        begins=tuple(first_calls(trace, calls, first, steps)),
        backlog_us=_backlog(trace, calls, start_us),
    )
    _measure(graph, calls, [task for _, task in started], [call for call, _ in started])
    return graph


def first_calls(trace: KinetoTrace, calls: Sequence[HostCall], first: int, steps: int) -> list[int]:
    """The first of `calls` of the main thread in each step; raises InputError for a step without one.

    The main thread is the one that makes the first call of the first step of all.
    """
    main = next((call.thread for call in trace.calls if call.start_us >= trace.steps[0][0]), NONE)
    own, found = [n for n, call in enumerate(calls) if call.thread == main], list[int]()
    for start_us, _ in trace.steps[first : first + steps]:
        place = bisect_left(own, start_us, key=lambda n: calls[n].start_us)
        if place == len(own) or own[place] in found[-1:]:
            raise InputError(
                "a step has no call of its main thread; profile whole steps, with profiler.step() after each"
            )
        found.append(own[place])
    return found


def _backlog(trace: KinetoTrace, calls: Sequence[HostCall], start_us: float) -> dict[int, float]:
    """For how long each stream is still busy with what was launched before: the state at the beginning."""
    own, backlog = {call.correlation for call in calls if call.name}, dict[int, float]()
    before = {call.correlation for call in trace.calls if call.name and call.start_us >= start_us} - own
    for task in trace.tasks:
        if task.end_us > start_us and task.correlation not in own and task.correlation not in before:
            backlog[task.stream] = max(backlog.get(task.stream, 0.0), task.end_us - start_us)
    return backlog


def with_waits_of(graph: StepGraph, one: StepGraph) -> tuple[StepGraph, tuple[int, ...]]:
    """The graph with the waits and latencies that were inferred from `one` step, in each step of the same tasks.

    Returns it with the numbers of those steps; in others the waits stay as they were inferred from themselves.
    """
    same, tasks = list[int](), list(graph.tasks)
    kinds = [(task.stream, task.name) for task in one.tasks]
    for step, (begin, end) in enumerate(pairwise([*graph.begins, len(graph.calls)])):
        own = [number for call in graph.calls[begin:end] for number in range(call.task, call.task + call.tasks)]
        if [(tasks[number].stream, tasks[number].name) for number in own] != kinds:
            continue
        same.append(step)
        for number, like in zip(own, one.tasks, strict=True):
            tasks[number] = replace(tasks[number], awaits=tuple(own[other] for other in like.awaits))
    launch_us, next_us, return_us = one.launch_us, one.next_us, one.return_us
    return replace(graph, tasks=tasks, launch_us=launch_us, next_us=next_us, return_us=return_us), tuple(same)


def _call_nodes(calls: Sequence[HostCall], start_us: float) -> list[CallNode]:
    nodes, last = list[CallNode](), dict[int, int]()
    usual = _usual(calls)
    for number, call in enumerate(calls):
        after = last.get(call.thread, NONE)
        since = calls[after].end_us if after != NONE else start_us
        if call.start_us - since > IDLE_US or after == NONE:
            others = [n for t, n in last.items() if t != call.thread and since < calls[n].end_us <= call.start_us]
            after = max(others, key=lambda n: calls[n].end_us, default=after)
        since = calls[after].end_us if after != NONE else start_us
        own = call.end_us - call.start_us
        own = min(usual[call.name], RETURN_US) if call.waits else own
        nodes.append(
            CallNode(
                thread=call.thread, name=call.name, after=after, host_us=max(0.0, call.start_us - since), own_us=own
            )
        )
        last[call.thread] = number
    return nodes


def _usual(calls: Sequence[HostCall]) -> dict[str, float]:
    """The least that a call of each name takes: what it takes by itself."""
    least: dict[str, float] = {}
    for call in calls:
        least[call.name] = min(least.get(call.name, inf), call.end_us - call.start_us)
    return least


def _task_nodes(tasks: Sequence[DeviceTask]) -> list[TaskNode]:
    nodes, of_stream = list[TaskNode](), dict[int, list[int]]()
    launched, last = dict[int, list[int]](), dict[int, int]()
    for number, task in enumerate(tasks):
        line, launches = of_stream.setdefault(task.stream, []), launched.setdefault(task.stream, [])
        nodes.append(
            TaskNode(
                stream=task.stream,
                name=task.name,
                kind=task.kind,
                us=task.end_us - task.start_us,
                fills=task.fills,
                before=line[-1] if line else NONE,
                queued=launches[-QUEUE] if len(launches) >= QUEUE else NONE,
            )
        )
        line.append(number)
        if last.get(task.stream) != task.correlation:  # a CUDA graph is one launch of many
            launches.append(number)
        last[task.stream] = task.correlation
    return nodes


def _measure(graph: StepGraph, calls: Sequence[HostCall], tasks: Sequence[DeviceTask], by: Sequence[int]) -> None:
    """The three latencies, the tasks of other streams that were waited for, and what calls wait for."""
    idle, queued = list[float](), list[float]()
    for node, task, call in zip(graph.tasks, tasks, by, strict=True):
        before = tasks[node.before].end_us if node.before != NONE else 0.0
        since = task.start_us - calls[call].start_us
        if before < calls[call].start_us and 0 <= since < 200:
            idle.append(since)
        elif before > calls[call].end_us and 0 <= task.start_us - before < 20:
            queued.append(task.start_us - before)
    graph.launch_us = statistics.median(idle) if idle else graph.launch_us
    graph.next_us = statistics.median(queued) if queued else graph.next_us
    for number, place in enumerate(by):
        ahead = graph.tasks[number].queued
        if ahead != NONE and tasks[ahead].start_us > calls[place].start_us:  # it had to wait for room
            graph.calls[place].own_us = min(graph.calls[place].own_us, RETURN_US)
    _find_forks(graph, calls, tasks, by)
    _find_streams_awaited(graph, calls, tasks, by)
    _find_tasks_awaited(graph, calls, tasks)


def _find_streams_awaited(
    graph: StepGraph, calls: Sequence[HostCall], tasks: Sequence[DeviceTask], by: Sequence[int]
) -> None:
    ended = sorted(range(len(tasks)), key=lambda n: tasks[n].end_us)
    at = 0
    for number in sorted(range(len(tasks)), key=lambda n: tasks[n].start_us):
        node, task = graph.tasks[number], tasks[number]
        before = tasks[node.before].end_us + graph.next_us if node.before != NONE else 0.0
        ready = max(calls[by[number]].start_us + graph.launch_us, before)
        while at < len(ended) and tasks[ended[at]].end_us <= task.start_us:
            at += 1
        if task.start_us - ready <= 5.0:
            continue
        near = [n for n in ended[max(0, at - 8) : at] if tasks[n].stream != task.stream and n < number]
        near = [n for n in near if task.start_us - tasks[n].end_us < SLACK_US and tasks[n].end_us > ready]
        node.awaits += tuple(near[-1:])


def _find_forks(graph: StepGraph, calls: Sequence[HostCall], tasks: Sequence[DeviceTask], by: Sequence[int]) -> None:
    """Where a thread goes over to another stream and lets it wait, that waits for what it launched before.

    Not where the one began before the other had ended: then it waited for something earlier.
    """
    numbers: dict[int, list[int]] = {}
    for number, at in enumerate(by):
        numbers.setdefault(at, []).append(number)
    behind, asked = dict[int, int](), set[int]()
    for place, call in enumerate(calls):
        if call.name in _LETS_WAIT:
            asked.add(call.thread)
        for number in numbers.get(place, ()):
            last = behind.get(call.thread, NONE)
            other = last != NONE and tasks[last].stream != tasks[number].stream
            if call.thread in asked and other and tasks[last].end_us <= tasks[number].start_us:
                graph.tasks[number].awaits += (last,)
            behind[call.thread] = number
            asked.discard(call.thread)


def _find_tasks_awaited(graph: StepGraph, calls: Sequence[HostCall], tasks: Sequence[DeviceTask]) -> None:
    """A call that waits: for its own copy, for the last task of the stream its thread used, or for all."""
    last, stream_last, returns = dict[int, int](), dict[int, int](), list[float]()
    for node, call in zip(graph.calls, calls, strict=True):
        if node.task != NONE:
            last[call.thread] = node.task + node.tasks - 1
            stream_last[tasks[last[call.thread]].stream] = last[call.thread]
            if tasks[node.task].blocking:
                node.awaits, node.own_us = node.task, min(node.own_us, RETURN_US)
        elif call.name == "cudaDeviceSynchronize":
            node.awaits = max(stream_last.values(), key=lambda n: tasks[n].end_us, default=NONE)
        elif call.waits and call.thread in last:
            node.awaits = stream_last[tasks[last[call.thread]].stream]
        if node.awaits != NONE and tasks[node.awaits].end_us > call.start_us:
            returns.append(call.end_us - tasks[node.awaits].end_us)
    known = [us for us in returns if 0 <= us < 200]
    graph.return_us = statistics.median(known) if known else graph.return_us
