"""A profile's steps rebuilt from their dependencies, beside what was recorded; and where their time goes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kilowait.predict.profiled.kineto import KinetoTrace
from kilowait.predict.profiled.simulated_step import PlayedSteps, play
from kilowait.predict.profiled.step_graph import NONE, StepGraph, first_calls, graph_of, with_waits_of

KINDS = ("compute", "communication", "copy")
SHARES = (*KINDS, "launch", "idle")


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuiltSteps:
    """Microseconds of each step as recorded and as rebuilt, and the shares of the whole by what they went to.

    A step counts from its first call to that of the next one; the last only where it is alone.
    """

    recorded_us: tuple[float, ...]
    rebuilt_us: tuple[float, ...]
    shares: Mapping[str, float]

    @property
    def errors(self) -> list[float]:
        """Rebuilt over recorded, less one, of each step."""
        return [b / a - 1 for a, b in zip(self.recorded_us, self.rebuilt_us, strict=True)]


def rebuilt(trace: KinetoTrace) -> RebuiltSteps:
    """All steps of a profile, one after the other."""
    graph = graph_of(trace, 0, len(trace.steps))
    played = play(graph)
    return RebuiltSteps(
        recorded_us=recorded_us(trace), rebuilt_us=durations(graph, played), shares=shares(graph, played)
    )


def rebuilt_from_one(trace: KinetoTrace, step: int) -> list[float]:
    """Errors of the other steps that have the same tasks as this one, with the dependencies that it alone shows.

    What waits for what between streams, and the latencies, are inferred from that step; durations are each step's own.
    """
    graph, same = with_waits_of(graph_of(trace, 0, len(trace.steps)), graph_of(trace, step))
    pairs = list(zip(recorded_us(trace), durations(graph, play(graph)), strict=True))
    return [b / a - 1 for n, (a, b) in enumerate(pairs) if n != step and n in same]


def durations(graph: StepGraph, played: PlayedSteps) -> tuple[float, ...]:
    """Microseconds of each step that is followed by another, or of the only one."""
    if len(played.begins) == 1:
        main = graph.calls[graph.begins[0]].thread
        ends = [end for call, (_, end) in zip(graph.calls, played.calls, strict=True) if call.thread == main]
        return (max(ends) - played.begins[0],)
    return tuple(b - a for a, b in pairwise(played.begins))


def recorded_us(trace: KinetoTrace) -> tuple[float, ...]:
    """As `durations`, as it was recorded."""
    calls = [call for call in trace.calls if trace.steps[0][0] <= call.start_us < trace.steps[-1][1]]
    begins = [calls[n] for n in first_calls(trace, calls, 0, len(trace.steps))]
    if len(begins) == 1:
        return (max(call.end_us for call in calls if call.thread == begins[0].thread) - begins[0].start_us,)
    return tuple(b.start_us - a.start_us for a, b in pairwise(begins))


def shares(graph: StepGraph, played: PlayedSteps) -> dict[str, float]:
    """Where the time of the device went, in shares: each moment counts once, for the first of `SHARES` that it fits.

    "launch" is a device that is idle while a call that gives it work is under way, "idle" one that has none: the host
    prepares something else.
    """
    spans = {kind: [s for t, s in zip(graph.tasks, played.tasks, strict=True) if t.kind == kind] for kind in KINDS}
    launching = [
        (start, max(end, start + graph.launch_us))
        for call, (start, end) in zip(graph.calls, played.calls, strict=True)
        if call.task != NONE and call.awaits == NONE
    ]
    begin, end, passed, counted = played.begins[0], played.end_us, list[tuple[float, float]](), dict[str, float]()
    for kind, own in (*spans.items(), ("launch", launching)):
        before = _length(passed)
        passed = _union([*passed, *((max(begin, a), min(end, b)) for a, b in own if a < end and b > begin)])
        counted[kind] = (_length(passed) - before) / (end - begin)
    return {**counted, "idle": max(0.0, 1.0 - sum(counted.values()))}


def _union(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def _length(spans: Sequence[tuple[float, float]]) -> float:
    return sum(end - start for start, end in spans)
