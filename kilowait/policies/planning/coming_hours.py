"""What the coming two days of a signal are like, and when a policy wants to be asked again."""

from math import inf
from typing import NamedTuple

from kilowait.cluster.standing import Postponed
from kilowait.cluster.state import Cluster
from kilowait.core.over_time.signals import Signal
from kilowait.core.units import DAY_S

AHEAD_S = 2 * DAY_S

WAKE = ""
"""The name, no job's, under which a policy notes in `Cluster.kept` when it wants to be asked again."""


class ComingHours(NamedTuple):
    """What is now, the least and the most until `AHEAD_S` from now, and from when on it takes which values."""

    now: float
    least: float
    most: float
    steps: tuple[tuple[float, float], ...]

    def first_s(self, at_most: float) -> float:
        """When it is no more than that; the last step that is known where it never is."""
        return next((time_s for time_s, value in self.steps if value <= at_most), self.steps[-1][0])


def coming_hours(signal: Signal, now_s: float) -> ComingHours:
    """The coming hours of a signal, as far as it is known."""
    until_s = now_s + AHEAD_S if signal.period_s else min(now_s + AHEAD_S, signal.ends_s)
    steps = tuple((time_s, signal.at(time_s)) for time_s in signal.steps(now_s, until_s))
    values = [value for _, value in steps]
    return ComingHours(now=values[0], least=min(values), most=max(values), steps=steps)


class HeldNotes:
    """Of whom a wrapper noted in `Cluster.kept` that they are held: it notes anew, each time, who still is.

    Notes of jobs that it is not shown are left alone. They are those of a wrapper around it, which holds these jobs
    now, or its own of a moment ago, where it is asked about some users' jobs after the others'.
    """

    def __init__(self) -> None:
        self._held: set[str] | None = None

    def forget(self, cluster: Cluster) -> None:
        """Begin anew with the jobs that wait here; what is noted when the wrapper is asked first is of another, before
        a restart."""
        held = cluster.kept.keys() - {WAKE} if self._held is None else self._held & cluster.waiting.keys()
        for job_id in held:
            cluster.kept.pop(job_id, None)
        self._held = (self._held or set()) & cluster.kept.keys()

    def hold(self, cluster: Cluster, job_id: str, gpu_type: str, until_s: float) -> None:
        """This one is held now."""
        cluster.kept[job_id] = Postponed(until_s=until_s, gpu_type=gpu_type, since_s=cluster.now_s)
        self._held = {*(self._held or ()), job_id}


def ask_again(cluster: Cluster, signal: Signal) -> None:
    """Have the policy asked when the signal takes another value, or sooner, where another wrapper has said so."""
    ask_at(cluster, next(iter(signal.changes(cluster.now_s, cluster.now_s + AHEAD_S)), inf))


def ask_at(cluster: Cluster, next_s: float) -> None:
    """Have the policy asked at a time, or sooner, where another wrapper has said so."""
    now_s, before = cluster.now_s, cluster.kept.get(WAKE)
    if before is not None and before.until_s > now_s:
        next_s = min(next_s, before.until_s)
    cluster.kept[WAKE] = Postponed(until_s=next_s, gpu_type="", since_s=now_s)
