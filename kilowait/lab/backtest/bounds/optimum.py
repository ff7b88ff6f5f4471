"""The least waiting and energy that a schedule of a small sample can have when all is known beforehand.

Waiting plus priced energy, in seconds, is minimised by the time-indexed program over slots: a job starts at a point of
a grid, or somewhere in the open interval between two. A start in an interval is charged the interval's beginning and
counts as holding its GPUs from the interval's end to the beginning's end of run, so the program bounds every schedule
from below; its choice, put into the order of its starts, is repaired to a schedule. The grid is refined at the starts
and ends of both until they meet: dynamic discretisation discovery (Boland, Hewitt, Marshall and Savelsbergh, Operations
Research 65(5), 2017).

Slots are left out where a better schedule than the best known cannot need them: where the reduced cost (see
`simulate.bounds`) already exceeds what is left to gain, and where nothing can start because no job ends there: in
some optimal schedule every job starts when it is submitted or when another one of its type ends.

Meant for samples of up to about 40 jobs. Not covered: idle boards' energy, preemption,
shares of a GPU and jobs of one node.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kilowait.cluster.state import Cluster
from kilowait.core.errors import InputError, KilowaitError
from kilowait.core.units import WHOLE
from kilowait.lab.backtest.bounds.lower_bounds import Relaxation, relax, told
from kilowait.lab.backtest.bounds.slots import columns
from kilowait.lab.backtest.scenario.paper_scenario import Sample
from kilowait.policies import Decision, Place, Policy
from kilowait.policies.patient import patient
from kilowait.policies.planning.time_indexed import Column, SearchLimits, select
from kilowait.policies.simple import simple
from kilowait.policies.sjf import sjf
from kilowait.policies.value import DEFAULT_KAPPA, value
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Placement, Run
from kilowait.simulate.scores import score

CLOSE = 1e-4
"""A schedule within this share of the bound counts as optimal."""
NODES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """The best schedule found, replayed by the simulator, its cost, and what every schedule costs at least.

    Both in seconds: total waiting plus kWh times their price. `rounds` counts the integer programs solved.
    """

    run: Run
    cost_s: float
    bound_s: float
    rounds: int

    @property
    def gap(self) -> float:
        """How far the schedule may be from the optimum, as a share of its own cost."""
        return (self.cost_s - self.bound_s) / self.cost_s if self.cost_s else 0.0


def optimum(sample: Sample, *, wait_s_per_kwh: float, time_limit_s: float = 60.0) -> Optimum:
    """The schedule of the least waiting plus `wait_s_per_kwh` times energy, to the gap reached in `time_limit_s`.

    Jobs that can never run are refused as by the simulator. The limit is on the wall clock, so a gap above `CLOSE` may
    differ from run to run; what is reported holds in each, up to the solver's tolerance (1e-6 of a start). Raises
    InputError for jobs that take a share of a GPU or ask for one node.
    """
    _check_counts_suffice(sample)
    deadline_s = time.monotonic() + time_limit_s
    known = _Search.begin(told(sample), wait_s_per_kwh)
    rounds = 0
    while known.cost_s - known.bound_s > CLOSE * known.cost_s and (left_s := deadline_s - time.monotonic()) > 0:
        rounds += 1
        known.refine(left_s)
    return Optimum(run=known.best, cost_s=known.cost_s, bound_s=min(known.bound_s, known.cost_s), rounds=rounds)


def _check_counts_suffice(sample: Sample) -> None:
    """Raises InputError where it matters which boards are free: the program counts whole GPUs."""
    special = next((s.job for s in sample.submissions if s.job.gpu_milli < WHOLE or s.job.one_node), None)
    if special is not None:
        raise InputError(f"job {special.job_id}: the optimum is only known without shares of a GPU and one_node")


def cost_s(run: Run, wait_s_per_kwh: float) -> float:
    """What is minimised, of any run: seconds of waiting and of priced energy."""
    scores = score(run)
    return scores.total_wait_s + wait_s_per_kwh * scores.energy_kwh


def replay(sample: Sample, plan: Mapping[str, tuple[str, float]]) -> Run:
    """A plan (type and start by job id) run by the simulator; raises KilowaitError where it cannot be kept."""

    def planned(cluster: Cluster) -> list[Decision]:
        due = (w.job.job_id for w in cluster.queue() if plan[w.job.job_id][1] <= cluster.now_s)
        return [Place(job_id=job_id, gpu_type=plan[job_id][0]) for job_id in due]

    run = simulate(sample.submissions, sample.inventory, planned)
    late = [p.job_id for p in run.placements if (p.gpu_type, p.start_s) != plan[p.job_id]]
    if late:
        raise KilowaitError(f"the plan cannot be kept for the jobs {', '.join(late)}")
    return run


def repair(sample: Sample, chosen: Sequence[Column]) -> dict[str, tuple[str, float]]:
    """The plan that starts jobs on their chosen types, in the order of their chosen starts, each as early as fits."""
    submissions = {s.job.job_id: s for s in sample.submissions}
    held: dict[str, list[tuple[float, float, int]]] = {gpu_type: [] for gpu_type in sample.inventory}
    plan = {}
    for c in sorted(chosen, key=lambda c: (c.start_s, c.held_from_s, c.job_id)):
        job, runtime_s = submissions[c.job_id].job, submissions[c.job_id].truth[c.gpu_type].runtime_s
        gpus = job.gpus_on(c.gpu_type)
        room = sample.inventory[c.gpu_type] - gpus
        start_s = _earliest_s(held[c.gpu_type], room, job.submit_s, runtime_s)
        held[c.gpu_type].append((start_s, start_s + runtime_s, gpus))
        plan[c.job_id] = (c.gpu_type, start_s)
    return plan


def _earliest_s(held: Sequence[tuple[float, float, int]], room: int, release_s: float, runtime_s: float) -> float:
    """The first of submission and ends from which on at most `room` GPUs are held for `runtime_s`."""

    def fits(start_s: float) -> bool:
        moments = [start_s, *(begin_s for begin_s, _, _ in held if start_s < begin_s < start_s + runtime_s)]
        return all(sum(gpus for b, e, gpus in held if b <= moment < e) <= room for moment in moments)

    starts = sorted({release_s, *(end_s for _, end_s, _ in held if end_s > release_s)})
    return next(filter(fits, starts))  # at the last end every GPU is free


@dataclass(slots=True, kw_only=True)
class _Search:
    """The best schedule and bound so far, and the grid of each type that the next program is over."""

    sample: Sample
    price_s: float
    relaxation: Relaxation
    best: Run
    cost_s: float
    bound_s: float
    points: dict[str, set[float]]

    @classmethod
    def begin(cls, sample: Sample, wait_s_per_kwh: float) -> "_Search":
        """The best of some policies, the bound without integers, and submissions as the grid."""
        relaxation = relax(sample, wait_s_per_kwh)
        runs = [simulate(sample.submissions, sample.inventory, policy) for policy in _starters(wait_s_per_kwh)]
        best = min(runs, key=lambda run: cost_s(run, wait_s_per_kwh))
        releases = set(relaxation.pairs.release_s.tolist())
        search = cls(
            sample=sample,
            price_s=wait_s_per_kwh,
            relaxation=relaxation,
            best=best,
            cost_s=cost_s(best, wait_s_per_kwh),
            bound_s=relaxation.bound_s,
            points={name: set(releases) for name in relaxation.pairs.types},
        )
        search._add_points(best.placements)
        return search

    def refine(self, time_limit_s: float) -> None:
        """Solve the program on the present grid, take in what it proves and finds, and refine the grid there."""
        offered = columns(self.relaxation, self.points, self.cost_s - self.relaxation.bound_s)
        limits = SearchLimits(nodes=NODES, time_s=time_limit_s)
        found = select(offered, lambda gpu_type, _: self.sample.inventory[gpu_type], limits)
        self.bound_s = max(self.bound_s, min(found.bound_s, self.cost_s))
        if found.columns is not None:
            self._take_in(found.columns)

    def _take_in(self, chosen: Sequence[Column]) -> None:
        repaired = replay(self.sample, repair(self.sample, chosen))
        if cost_s(repaired, self.price_s) < self.cost_s:
            self.best, self.cost_s = repaired, cost_s(repaired, self.price_s)
        self._add_points(repaired.placements)
        for c in chosen:
            self.points[c.gpu_type].add(c.held_until_s)
            if c.start_s < c.held_from_s < math.inf:  # halving where the program gains by vagueness
                self.points[c.gpu_type].add((c.start_s + c.held_from_s) / 2)

    def _add_points(self, placements: Sequence[Placement]) -> None:
        for p in placements:
            self.points[p.gpu_type].update((p.start_s, p.end_s))


def _starters(wait_s_per_kwh: float) -> list[Policy]:
    greener = patient(wait_s_per_kwh=wait_s_per_kwh)
    return [simple(), sjf(), value(kappa=0.0), value(kappa=DEFAULT_KAPPA), greener, patient(wait_s_per_kwh=0.0)]
