"""Jobs that can go on from a checkpoint run in the cheapest hours until they must be done, and stand still between."""

from dataclasses import dataclass
from math import inf, nextafter

from kilowait.cluster.overrun import estimated_end_s
from kilowait.cluster.standing import Active, Postponed, Waiting
from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Job, Prediction
from kilowait.core.over_time.deadlines import latest_start_s
from kilowait.core.over_time.signals import Signal
from kilowait.core.units import DAY_S, HOUR_S
from kilowait.policies.decisions import Preempt
from kilowait.policies.planning.cheapest_hours import Hours, saves_enough
from kilowait.policies.planning.cheapest_parts import NextPart, next_part
from kilowait.policies.planning.coming_hours import WAKE
from kilowait.policies.planning.profile import Profile

MOST_LOST = 0.05
"""A job is not stopped before it has run so long that going on took at most this share of it: a quantum, so that no job
is busy with going on alone (Li et al., "LibPreemptible", HPCA 2024, adapts one to load)."""

FIRST_PART_S = HOUR_S
"""Boards must be free for so long where a job is to go on: how long its part is, is not known until then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stops:
    """One decision about jobs with a checkpoint: a kWh costs `cost` over time, and a job has `slack_s` where it does
    not say itself. The chance to miss a deadline may grow by `added_misses`."""

    cluster: Cluster
    cost: Signal
    usd_per_h_waiting: float
    slack_s: float
    added_misses: float

    def start(self, profile: Profile, waiting: Waiting, gpu_type: str) -> tuple[float, str]:
        """When and on which type a waiting job is to run, or to go on, that could run now on one; now on that where no
        better hours have room. On another type it ends no later than it may on this one, and must save against both."""
        now_s, end_s = self.cluster.now_s, self.end_s(waiting, gpu_type)
        at_once = self._next(waiting.job, waiting.predictions[gpu_type], now_s, end_s)
        found = self._with_room(profile, waiting, gpu_type, at_once, end_s)
        best, least = (found.start_s, gpu_type), min(found.cost, at_once.cost)
        for other in waiting.gpus:
            told, milli = waiting.predictions[other], waiting.job.milli_on(other)
            free_s = profile.earliest_s(other, milli, min(told.runtime_s, FIRST_PART_S))
            if other == gpu_type or free_s + told.runtime_s > end_s:
                continue
            found = self._with_room(profile, waiting, other, self._next(waiting.job, told, free_s, end_s), end_s)
            now_there = Hours.of(self.cost, now_s, now_s + told.runtime_s, 0.0).now(told)
            if found.start_s > now_s and saves_enough(found.cost, least) and saves_enough(found.cost, now_there):
                best, least = (found.start_s, other), found.cost
        return best

    def _with_room(self, profile: Profile, waiting: Waiting, gpu_type: str, wanted: NextPart, end_s: float) -> NextPart:
        """The same from when there is room; now where that is too late to be done by `end_s`."""
        runtime_s, milli = waiting.predictions[gpu_type].runtime_s, waiting.job.milli_on(gpu_type)
        start_s = profile.earliest_s(gpu_type, milli, min(runtime_s, FIRST_PART_S), wanted.start_s)
        return NextPart(start_s if start_s + runtime_s <= end_s else self.cluster.now_s, wanted.cost)

    def end_s(self, waiting: Waiting, gpu_type: str) -> float:
        """By when a waiting job is to be done on a type."""
        told, whole_s = waiting.predictions[gpu_type], waiting.whole[gpu_type].runtime_s
        return self._end_s(waiting.job, waiting.waits_since_s, whole_s, told, told.runtime_s)

    def decisions(self, profile: Profile, known_since_s: float) -> list[Preempt]:
        """Who stops now, looked at whenever the cost takes another value or is known anew; `profile` gets the boards
        that they take when they go on."""
        cluster, now_s = self.cluster, self.cluster.now_s
        running = [active for active in cluster.active.values() if active.job.checkpoint_s is not None]
        wake = cluster.kept.get(WAKE)
        looked_s = -inf if wake is None else wake.since_s
        anew = looked_s < known_since_s or bool(self.cost.changes(looked_s, now_s))
        found = [Preempt(job_id=one.job.job_id) for one in running if anew and self._stops(profile, one)]
        if running or any(waiting.job.checkpoint_s is not None for waiting in cluster.waiting.values()):
            next_s = next(iter(self.cost.changes(now_s, now_s + DAY_S)), inf)
            until_s = nextafter(now_s, inf) if found else next_s  # at once: others may have the boards
            cluster.kept[WAKE] = Postponed(until_s=until_s, gpu_type="", since_s=now_s)
        return found

    def _stops(self, profile: Profile, active: Active) -> bool:
        job, gpu_type, now_s = active.job, active.gpu_type, self.cluster.now_s
        told, restart_s = active.predictions[gpu_type], job.checkpoint_s or 0.0
        left_s = estimated_end_s(active, now_s) - now_s
        if left_s <= restart_s or now_s - active.placed_s < restart_s / MOST_LOST:
            return False
        end_s = self._end_s(job, active.waits_since_s, active.whole[gpu_type].runtime_s, told, left_s)
        start_s = self._next(job, told, now_s, end_s, left_s).start_s
        if start_s == now_s:
            return False
        milli, again_s = job.milli_on(gpu_type), left_s + restart_s
        profile.take(gpu_type, -milli, now_s, now_s + left_s)
        start_s = profile.earliest_s(gpu_type, milli, min(again_s, FIRST_PART_S), start_s)
        stops = start_s + again_s <= end_s
        profile.take(gpu_type, milli, start_s if stops else now_s, start_s + again_s if stops else now_s + left_s)
        return stops

    def _next(self, job: Job, told: Prediction, from_s: float, end_s: float, left_s: float | None = None) -> NextPart:
        """The next part of a job that waits, and may run from a time on; of one that runs and has so much left."""
        work_s = told.runtime_s if left_s is None else left_s
        hours = Hours.of(self.cost, from_s, max(end_s, from_s + work_s), self.usd_per_h_waiting)
        power_kw = told.energy_kwh / told.runtime_s * HOUR_S
        return next_part(hours, power_kw, work_s, job.checkpoint_s or 0.0, end_s, runs=left_s is not None)

    def _end_s(self, job: Job, since_s: float, whole_s: float, told: Prediction, left_s: float) -> float:
        """By when a job is to be done that may wait since then, and has so much left to do."""
        own = job.slack_s
        end_s = since_s + (self.slack_s if own is None else own) + whole_s
        if job.deadline_s is None:
            return end_s
        return min(end_s, latest_start_s(told, job.deadline_s, since_s, self.added_misses) + left_s)
