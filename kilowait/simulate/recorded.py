"""What a live scheduler did, as a world for the simulator: does the same policy place the same jobs at the same times?

The log says what was submitted with which predictions, how long attempts took, and what was known of signals when. What
a run would have taken on other types is not in it: as predicted there, times what it took over what was predicted.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from kilowait.cluster.events import (
    AttemptFinished,
    Event,
    GpusJoined,
    JobPlaced,
    JobPostponed,
    JobPreempted,
    JobSubmitted,
    LimitSet,
    SignalReported,
)
from kilowait.core.errors import InputError
from kilowait.core.jobs import Prediction
from kilowait.policies import Policy
from kilowait.policies.limiting.limit_choices import held
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Run, Submission


@dataclass(slots=True, kw_only=True)
class Stint:
    """An attempt as it went; `end_s` is None while it runs. `limits` are its power limits in watts a board, each from
    a time on."""

    gpu_type: str
    start_s: float
    end_s: float | None = None
    limits: list[tuple[float, float | None]] = field(default_factory=list)

    def under_each_limit(self, from_s: float) -> Iterator[tuple[float, float | None]]:
        """How long it had each of its limits, from a time on."""
        assert self.end_s is not None
        times_s = [*(time_s for time_s, _ in self.limits[1:]), self.end_s]
        for (begins_s, limit_w), ends_s in zip(self.limits or [(self.start_s, None)], times_s, strict=True):
            yield max(0.0, ends_s - max(begins_s, from_s)), limit_w


@dataclass(slots=True, kw_only=True)
class Recorded:
    """A live run: its jobs with their attempts, its nodes, and what was known of signals."""

    submitted: dict[str, JobSubmitted] = field(default_factory=dict)
    stints: dict[str, list[Stint]] = field(default_factory=lambda: defaultdict(list))
    nodes: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    reports: list[SignalReported] = field(default_factory=list)

    def simulated(self, policy: Policy) -> Run:
        """The same jobs on the same nodes under a policy, in the simulator; raises as `simulate`."""
        jobs = [
            Submission(job=event.job, truth=_truth(event, self.stints[job_id]), seen=event.predictions)
            for job_id, event in self.submitted.items()
        ]
        inventory = {gpu_type: sum(counts) for gpu_type, counts in self.nodes.items()}
        return simulate(jobs, inventory, policy, nodes=self.nodes, reports=self.reports)


def recorded(events: Iterable[Event]) -> Recorded:
    """The run that a log is of; raises InputError for what no simulation knows, such as a node that was lost."""
    found = Recorded()
    for event in events:
        match event:
            case GpusJoined():
                found.nodes[event.gpu_type].append(event.gpus)
            case SignalReported():
                found.reports.append(event)
            case JobSubmitted():
                found.submitted[event.job.job_id] = event
            case JobPlaced():
                stint = Stint(gpu_type=event.gpu_type, start_s=event.time_s, limits=[(event.time_s, event.limit_w)])
                found.stints[event.job_id].append(stint)
            case LimitSet():
                found.stints[event.job_id][-1].limits.append((event.time_s, event.limit_w))
            case AttemptFinished() | JobPreempted():
                found.stints[event.job_id][-1].end_s = event.time_s
            case JobPostponed():  # what the policy said, and will say again
                continue
            case _:
                raise InputError(
                    f"the log has a {type(event).__name__} at {event.time_s:.0f} s, which no simulation knows; "
                    "take a log of before that"
                )
    return found


def differences(of: Recorded, run: Run, within_s: float = 1.0) -> list[str]:
    """Where a simulation placed other attempts, on other types, or at times that are further apart than `within_s`."""
    placed = recorded(event for event in run.log if isinstance(event, JobPlaced | LimitSet)).stints
    return [
        f"job {job_id}, attempt {number}: {_said(lived)} live, {_said(simulated)} simulated"
        for job_id in of.submitted
        for number, (lived, simulated) in enumerate(zip_longest(of.stints[job_id], placed[job_id]), 1)
        if not _alike(lived, simulated, within_s)
    ]


def _alike(lived: Stint | None, simulated: Stint | None, within_s: float) -> bool:
    if lived is None or simulated is None or lived.gpu_type != simulated.gpu_type:
        return False
    if [limit_w for _, limit_w in lived.limits] != [limit_w for _, limit_w in simulated.limits]:
        return False
    times_s = zip(lived.limits, simulated.limits, strict=True)
    return all(abs(one_s - other_s) <= within_s for (one_s, _), (other_s, _) in times_s)


def _said(one: Stint | None) -> str:
    if one is None:
        return "not placed"
    limits = ", ".join("none" if limit_w is None else f"{limit_w:g} W" for _, limit_w in one.limits)
    return f"on {one.gpu_type} at {one.start_s:.1f} s" + ("" if limits == "none" else f" with limits {limits}")


def _truth(event: JobSubmitted, stints: Sequence[Stint]) -> Mapping[str, Prediction]:
    """What the whole job takes on each type; as predicted where it is not over."""
    if not stints or stints[-1].end_s is None:
        return event.predictions
    ratio = sum(_worked(event, stints, number) for number in range(len(stints)))
    return {gpu_type: told.times(ratio) for gpu_type, told in event.predictions.items()}


def _worked(event: JobSubmitted, stints: Sequence[Stint], number: int) -> float:
    """What an attempt did, as a share of the job as predicted; one that goes on from a checkpoint does none while it
    restarts."""
    one = stints[number]
    told, gpus = event.predictions[one.gpu_type], event.job.gpus_on(one.gpu_type)
    begins_s = one.start_s + (event.job.checkpoint_s or 0.0 if number else 0.0)
    return sum(
        seconds / (told if limit_w is None else held(told, limit_w, gpus)).runtime_s
        for seconds, limit_w in one.under_each_limit(begins_s)
    )
