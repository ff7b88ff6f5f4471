"""Curves of power limits as arrays, and which jobs there are watts for. Suffixes as in `limited_starts`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from kilowait.cluster.state import Cluster
from kilowait.core.errors import JobRefused
from kilowait.core.hardware import GPU_TYPES
from kilowait.core.jobs import LEAST_LIMIT_W, Job, Prediction
from kilowait.core.units import JOULES_PER_KWH
from kilowait.policies.limiting.limit_choices import MARGIN, top_limit_w
from kilowait.simulate.compiled.covered import MOST_WEIGHT, NotCovered
from kilowait.simulate.compiled.job_table import Table, check_range
from kilowait.simulate.compiled.limited_starts import Curves, Limits
from kilowait.simulate.compiled.track import F64, Bools
from kilowait.simulate.within_power.power_budget import PowerBudget
from kilowait.simulate.within_power.power_rules import PowerRules


def read_limits(table: Table, power: PowerRules, total: Mapping[str, int]) -> tuple[Table, Limits]:
    """The curves of all jobs, and the table without pairs for which a budget never has room; raises NotCovered."""
    price = power.limits if power.budget is None else power.budget.price
    assert price is not None  # one of the two is there
    if max(price.s_per_kwh, price.congestion) > MOST_WEIGHT:
        raise NotCovered(f"a price of power limits is above {MOST_WEIGHT:g}: {price}")
    exact = table.seen_s_NT is table.true_s_NT
    seen = _curves(table, [s.seen for s in table.submissions], table.seen_s_NT, table.seen_kwh_NT)
    truth = [s.truth for s in table.submissions]
    true = seen if exact else _curves(table, truth, table.true_s_NT, table.true_kwh_NT)
    top_P, idle_w_T, table = np.empty(0), np.zeros(len(table.types)), replace(table)
    watt_price_N, jobs = np.empty(0), len(table.submissions)
    if power.budget is not None:
        idle_w_T = np.array([power.budget.idle_w[t] for t in table.types])
        top_P = _tops(table, seen)
        feasible_NT = _feasible(table, power.budget, seen, top_P)
        table = replace(table, asked_NT=np.where(feasible_NT, table.asked_NT, 0))
        watt_price_N = _watt_prices(table, power.budget, feasible_NT)
    return table, Limits(
        seen=seen,
        true=true,
        weights=np.array([price.s_per_kwh, price.congestion], float),
        priced=power.limits is not None,
        budget=power.budget is not None,
        watts=0.0 if power.budget is None else float(power.budget.watts),
        idle_w_T=idle_w_T,
        top_P=top_P,
        watt_price_N=watt_price_N,
        admitted_N=admitted(table),
        seen_s_NT=table.seen_s_NT.copy(),
        seen_kwh_NT=table.seen_kwh_NT.copy(),
        crowd_N=np.zeros(jobs, np.int64),
        chosen_w=np.empty(jobs),
        energy_kwh=np.empty(jobs),
        promised_w=np.empty(jobs),
        committed_w=np.array([0.0 if power.budget is None else power.budget.committed_w]),
        waiting=np.zeros(1, np.int64),
    )


def why_refused(job: Job, seen: Mapping[str, Prediction], cluster: Cluster, budget: PowerBudget | None) -> str:
    """Why a job can never run: there is no power for it, or what the cluster says."""
    try:
        powered = seen if budget is None else budget.options(job, seen)
    except JobRefused as refusal:
        return str(refusal)
    return f"job {job.job_id}: can never run here: {cluster.refusal(job, powered)}"


def _curves(table: Table, by_job: Sequence[Mapping[str, Prediction]], seconds: F64, kwh: F64) -> Curves:
    """The curves of all pairs; raises NotCovered for limits that do not fall, and for strange numbers."""
    told = [predictions.get(gpu_type) for predictions in by_job for gpu_type in table.types]
    if any(one is not None and one.limit_w is not None for one in told):
        raise NotCovered("a prediction is of a limit itself")
    curves = [() if one is None else one.limits for one in told]
    first_P = np.concatenate([[0], np.cumsum([len(curve) for curve in curves])]).astype(np.int64)
    known = list(chain.from_iterable(curves))
    limit_w = np.array([one.limit_w for one in known], float)
    falls = np.diff(limit_w) < 0
    ends = first_P[1:-1]
    falls[ends[(ends > 0) & (ends < len(limit_w))] - 1] = True
    if not falls.all():
        raise NotCovered("the limits of a prediction do not fall")
    runtime_s = np.array([one.runtime_s for one in known], float)
    energy_kwh = np.array([one.energy_kwh for one in known], float)
    check_range("watts of a limit", limit_w, zero=False)
    check_range("seconds", runtime_s, zero=False)
    check_range("kWh", energy_kwh, zero=True)
    return Curves(first_P, limit_w, runtime_s, energy_kwh, seconds.copy(), kwh.copy())


def _tops(table: Table, seen: Curves) -> F64:
    """The highest limit that a job may get on each type under a budget, as `top_limit_w`; 0 where none is predicted.

    Where a limit is a step more by a rounding, and for urgent jobs, that one is asked.
    """
    shape = len(table.submissions), len(table.types)
    gpus_P = _gpus(table).ravel()
    told_P = np.array([gpu_type in s.seen for s in table.submissions for gpu_type in table.types], bool)
    full_s_P, full_kwh_P = seen.whole_s_NT.ravel().copy(), seen.whole_kwh_NT.ravel().copy()
    has_P = seen.first_P[1:] > seen.first_P[:-1]
    full_s_P[has_P] = seen.runtime_s[seen.first_P[:-1][has_P]]
    full_kwh_P[has_P] = seen.energy_kwh[seen.first_P[:-1][has_P]]
    steps_P = MARGIN * (full_kwh_P * JOULES_PER_KWH / full_s_P / gpus_P) / 5
    peak_P = np.broadcast_to([GPU_TYPES[t].peak_w for t in table.types], shape).ravel()
    top_P = np.where(told_P, np.minimum(peak_P, np.maximum(LEAST_LIMIT_W, 5 * np.ceil(steps_P))), 0.0)
    close_P = np.abs(steps_P - np.rint(steps_P)) < 1e-5
    is_urgent_P = np.repeat(np.array([one.job.priority > 0 for one in table.submissions], bool), shape[1])
    for pair in np.flatnonzero(told_P & (close_P | is_urgent_P | (table.asked_NT.ravel() == 0))).tolist():
        one, gpu_type = table.submissions[pair // shape[1]], table.types[pair % shape[1]]
        top_P[pair] = top_limit_w(one.seen[gpu_type], one.job, gpu_type)
    return top_P


def _gpus(table: Table) -> F64:
    """Boards that each job takes on each type, can it run there or not (N, T)."""
    jobs, types = [one.job for one in table.submissions], table.types
    if not any(job.gpus_by_type for job in jobs):
        return np.repeat(np.array([job.gpus for job in jobs], float)[:, None], len(types), axis=1)
    return np.array([[job.gpus_on(t) for t in types] for job in jobs], float)


def _feasible(table: Table, budget: PowerBudget, seen: Curves, top_P: F64) -> Bools:
    """Where a job has enough watts when nothing else runs, (N, T)."""
    has_P = seen.first_P[1:] > seen.first_P[:-1]
    least_P = top_P.copy()
    least_P[has_P] = np.minimum(top_P[has_P], seen.limit_w[seen.first_P[1:][has_P] - 1])
    gpus_NT = _gpus(table)
    idle_w_T = np.array([budget.idle_w[t] for t in table.types])
    more_NT = gpus_NT * (least_P.reshape(gpus_NT.shape) - idle_w_T)
    found: Bools = (more_NT <= budget.room_w) & (top_P.reshape(gpus_NT.shape) > 0)
    return found


def _watt_prices(table: Table, budget: PowerBudget, feasible_NT: Bools) -> F64:
    """A watt's price once each job has arrived (N,)."""
    assert budget.worth is not None  # the budget has been told of the inventory
    prices, admitted_N = list[float](), admitted(table)
    for one, waits, feasible in zip(table.submissions, admitted_N.tolist(), feasible_NT.tolist(), strict=True):
        if waits:
            powered = [gpu_type for gpu_type, fits in zip(table.types, feasible, strict=True) if fits]
            budget.accepted(one.job, {t: one.seen[t] for t in powered})
        prices.append(budget.worth.price)
    return np.array(prices)


def admitted(table: Table) -> Bools:
    """Which jobs can run at all (N,)."""
    return np.asarray(table.asked_NT.any(axis=1))
