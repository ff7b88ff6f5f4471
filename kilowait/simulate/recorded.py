"""What a live scheduler did, as a world for the simulator: does the same policy place the same jobs at the same times?

The log says what was submitted with which predictions, how long attempts took, and what was known of signals when. What
a run would have taken on other types is not in it: as predicted there, times what it took over what was predicted.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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
    SignalReported,
)
from kilowait.core.errors import InputError
from kilowait.core.jobs import Job, Prediction
from kilowait.policies import Policy
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Run, Submission


@dataclass(slots=True, kw_only=True)
class Stint:
    """An attempt as it went; `end_s` is None while it runs."""

    gpu_type: str
    start_s: float
    end_s: float | None = None


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
                found.stints[event.job_id].append(Stint(gpu_type=event.gpu_type, start_s=event.time_s))
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
    placed: dict[str, list[Stint]] = defaultdict(list)
    for one in run.placements:
        placed[one.job_id].append(Stint(gpu_type=one.gpu_type, start_s=one.start_s, end_s=one.end_s))
    return [
        f"job {job_id}, attempt {number}: {_said(lived)} live, {_said(simulated)} simulated"
        for job_id in of.submitted
        for number, (lived, simulated) in enumerate(zip_longest(of.stints[job_id], placed[job_id]), 1)
        if not _alike(lived, simulated, within_s)
    ]


def _alike(lived: Stint | None, simulated: Stint | None, within_s: float) -> bool:
    if lived is None or simulated is None or lived.gpu_type != simulated.gpu_type:
        return False
    return abs(lived.start_s - simulated.start_s) <= within_s


def _said(one: Stint | None) -> str:
    return "not placed" if one is None else f"on {one.gpu_type} at {one.start_s:.1f} s"


def _truth(event: JobSubmitted, stints: Sequence[Stint]) -> Mapping[str, Prediction]:
    """What the whole job takes on each type; as predicted where it is not over."""
    if not stints or stints[-1].end_s is None:
        return event.predictions
    predicted_s = [event.predictions[one.gpu_type].runtime_s for one in stints]
    ratio = sum(_worked_s(event.job, stints, number) / whole_s for number, whole_s in enumerate(predicted_s))
    return {gpu_type: told.times(ratio) for gpu_type, told in event.predictions.items()}


def _worked_s(job: Job, stints: Sequence[Stint], number: int) -> float:
    """How long an attempt worked; one that goes on from a checkpoint does not while it restarts."""
    one = stints[number]
    assert one.end_s is not None
    return max(0.0, one.end_s - one.start_s - (job.checkpoint_s or 0.0 if number else 0.0))
