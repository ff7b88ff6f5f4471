"""Throughput of a backlog under a power budget: more GPUs under the old budget, and less budget for the same GPUs.

    python -m benchmarks.power_budget
    python -m benchmarks.power_budget --classes paper-like --samples 40 --json out/power_budget.json

A backlog of jobs, all there at once, first come first served. The old cluster is 16 A100 and 32 A6000 without a budget;
its nameplate is 400 and 300 W a board. Throughput is the work of the jobs (GPU-seconds without a limit, the mean of the
types) by the instant at which the last one starts, over that time. Policies see watts that are off by --error (standard
deviation of the logarithm); a job that draws more than its limit is slowed, and that is counted. In the rows "a third
urgent" every third job has a priority, under the budget that live clusters keep (`under_power_budget`): limits of the
others are lowered for them. By how much limits made the runs of both kinds longer
stands beside, in the mean over jobs. Modelled, with paired 95% intervals over samples.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np
from tqdm import tqdm

from benchmarks.json_record import keep
from kilowait.cluster.advance import advance
from kilowait.cluster.events import SignalReported
from kilowait.cluster.state import Cluster
from kilowait.core.hardware import GPU_TYPES
from kilowait.core.jobs import Prediction
from kilowait.core.over_time.signals import Signal
from kilowait.core.units import JOULES_PER_KWH
from kilowait.lab.backtest.backtest import World
from kilowait.lab.backtest.scenario.limit_curves import with_measured_limits
from kilowait.lab.backtest.statistics import change_interval
from kilowait.policies import POLICIES
from kilowait.policies.limiting.limit_choices import held
from kilowait.policies.limiting.promised_watts import BUDGET, promised_w
from kilowait.policies.wrappers.under_power_budget import under_power_budget
from kilowait.predict.power.power_model import PowerModel
from kilowait.report.interval import Interval
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Run, Submission
from kilowait.simulate.within_power.power_budget import PowerBudget

OLD = {"A100": 16, "A6000": 32}
MORE = {"A100": 21, "A6000": 42}
CASES: tuple[tuple[str, Mapping[str, int], float], ...] = (
    ("+30% GPUs, old budget", MORE, 1.0),
    ("same GPUs, 70%", OLD, 0.7),
    ("same GPUs, 60%", OLD, 0.6),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Throughput over the old cluster's without a budget, and the highest draw over the budget at any instant."""

    case: str
    throughput_change: Interval
    highest_part: float
    limited: float
    urgent_slower: Interval | None = None
    others_slower: Interval | None = None


def backlog(world: World, index: int, model: PowerModel, error: float) -> list[Submission]:
    """Jobs of one sample, all there at once, seen with watts that are off."""
    sample, rng = world.sample(index), np.random.default_rng((world.seed, index, 5))
    known = with_measured_limits(sample.submissions, model, rng, "others")
    found = []
    for submission in known:
        factor = float(np.exp(rng.normal(0, error)))
        seen = {name: prediction.scaled(1.0, factor) for name, prediction in submission.seen.items()}
        found.append(replace(submission, job=replace(submission.job, submit_s=0.0), seen=seen))
    return found


def throughput(run: Run, submissions: Sequence[Submission]) -> float:
    """Work a second until the last job starts."""
    end_s = max(placement.start_s for placement in run.placements)
    work = {
        one.job.job_id: fmean(p.runtime_s * one.job.amount_on(t) for t, p in one.truth.items()) for one in submissions
    }
    done = (work[p.job_id] * min(1.0, (end_s - p.start_s) / p.runtime_s) for p in run.placements if p.start_s < end_s)
    return sum(done) / end_s


def highest_w(run: Run, inventory: Mapping[str, int]) -> float:
    """The highest draw of all boards at any instant, idle ones included."""
    idle_w = {name: GPU_TYPES[name].assumed_idle_w for name in inventory}
    changes = list[tuple[float, float]]()
    for p in run.placements:
        watts = p.energy_kwh * JOULES_PER_KWH / p.runtime_s - p.gpus * idle_w[p.gpu_type]
        changes += [(p.start_s, watts), (p.end_s, -watts)]
    draws = np.cumsum([watts for _, watts in sorted(changes)])
    return float(draws.max()) + sum(idle_w[name] * count for name, count in inventory.items())


def promised(run: Run) -> float:
    """The most watts that limits allowed all boards at any instant, idle ones included."""
    cluster, most = Cluster(), 0.0
    for event in run.log:
        advance(cluster, event)
        most = max(most, promised_w(cluster))
    return most


def with_priorities(jobs: Sequence[Submission]) -> list[Submission]:
    """Every third job is urgent."""
    return [replace(one, job=replace(one.job, priority=int(k % 3 == 0))) for k, one in enumerate(jobs)]


def slower(run: Run, jobs: Sequence[Submission], priority: int) -> float:
    """By which share limits made the runs of the jobs of a priority longer than their boards' own, in the mean."""
    truth = {one.job.job_id: one.truth for one in jobs if one.job.priority == priority}
    placed = [p for p in run.placements if p.job_id in truth]
    return fmean(p.runtime_s / own_limit(truth[p.job_id], p.gpu_type, p.gpus).runtime_s - 1 for p in placed)


def own_limit(truth: Mapping[str, Prediction], gpu_type: str, gpus: int) -> Prediction:
    """What a job takes where its boards have their own limits, though some classes draw more than a board may."""
    return held(truth[gpu_type], GPU_TYPES[gpu_type].peak_w, gpus)


def urgent_row(case: str, runs: Sequence[tuple[Run, list[Submission]]], base: Sequence[float], watts: float) -> Row:
    """What a budget does to urgent jobs and to the others."""
    rng, zeros = np.random.default_rng(0), [1.0] * len(runs)
    both = {p: [1 + slower(run, jobs, p) for run, jobs in runs] for p in (0, 1)}
    seen = [(p, {one.job.job_id: one.truth for one in jobs}) for run, jobs in runs for p in run.placements]
    return Row(
        case=f"{case}, a third urgent",
        throughput_change=change_interval([throughput(run, jobs) for run, jobs in runs], base, rng),
        highest_part=max(promised(run) for run, _ in runs) / watts,
        limited=fmean(p.runtime_s > truth[p.job_id][p.gpu_type].runtime_s * 1.01 for p, truth in seen),
        urgent_slower=change_interval(both[1], zeros, rng),
        others_slower=change_interval(both[0], zeros, rng),
    )


def under_live_budget(jobs: list[Submission], inventory: Mapping[str, int], watts: float) -> Run:
    """As a live cluster keeps a budget."""
    signal = Signal(name=BUDGET, times_s=(0.0,), values=(watts,), ends_s=1e12)
    policy = under_power_budget(POLICIES["simple"]())
    return simulate(jobs, inventory, policy, reports=[SignalReported(time_s=0.0, signal=signal)])


def rows(args: argparse.Namespace) -> list[Row]:
    """Every case."""
    world, model = World(classes=args.classes, seed=args.seed), PowerModel.load_default()
    nameplate_w = sum(GPU_TYPES[name].peak_w * count for name, count in OLD.items())
    urgent = {case: list[tuple[Run, list[Submission]]]() for case, _, _ in CASES}
    base, found = list[float](), {case: list[tuple[float, float, float]]() for case, _, _ in CASES}
    for index in tqdm(range(args.samples), file=sys.stderr, disable=None):
        jobs = backlog(world, index, model, args.error)
        truth, plain = {one.job.job_id: one.truth for one in jobs}, [replace(one, seen=one.truth) for one in jobs]
        base.append(throughput(simulate(plain, OLD, POLICIES["simple"](), engine="python"), plain))
        for case, inventory, part in CASES:
            budget = PowerBudget(watts=part * nameplate_w)
            run = simulate(jobs, inventory, POLICIES["simple"](), budget=budget)
            limited = np.mean([p.runtime_s > truth[p.job_id][p.gpu_type].runtime_s * 1.01 for p in run.placements])
            first = with_priorities(jobs)
            urgent[case].append((under_live_budget(first, inventory, budget.watts), first))
            found[case].append((throughput(run, jobs), highest_w(run, inventory) / budget.watts, float(limited)))
    return [
        Row(
            case=case,
            throughput_change=change_interval([t for t, _, _ in of], base, np.random.default_rng(args.seed)),
            highest_part=max(part for _, part, _ in of),
            limited=fmean(limited for _, _, limited in of),
        )
        for case, of in found.items()
    ] + [urgent_row(case, urgent[case], base, part * nameplate_w) for case, _, part in CASES]


def _slower(row: Row) -> str:
    if row.urgent_slower is None or row.others_slower is None:
        return ""
    return "".join(
        f"  {of.estimate:+.2%} [{of.low:+.2%}, {of.high:+.2%}]" for of in (row.urgent_slower, row.others_slower)
    )


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", default="calibrated")
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--error", type=float, default=0.1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = rows(args)
    print(f"{'case':<36} {'throughput':>28}  highest draw of the budget  slowed  urgent, others: longer by")
    for row in found:
        of = row.throughput_change
        shown = f"{1 + of.estimate:.3f} [{1 + of.low:.3f}, {1 + of.high:.3f}]"
        print(f"{row.case:<36} {shown:>28}  {row.highest_part:>26.1%}  {row.limited:>6.0%}{_slower(row)}")
    keep({"samples": args.samples, "classes": args.classes, "rows": [asdict(row) for row in found]}, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
