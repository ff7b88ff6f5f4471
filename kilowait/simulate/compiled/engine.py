"""A run by the compiled kernels, from submissions to placements."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from kilowait.cluster.advance import advance
from kilowait.cluster.events import NodesReserved, SignalReported
from kilowait.cluster.state import Cluster
from kilowait.cluster.views.scale import Scale
from kilowait.core.errors import InputError, KilowaitError
from kilowait.policies import Policy
from kilowait.policies.compiled_form import CompiledForm
from kilowait.simulate.compiled.by_key import Weighed, by_key
from kilowait.simulate.compiled.covered import covered_form
from kilowait.simulate.compiled.easy_backfill import easy_backfill, forest
from kilowait.simulate.compiled.expected_ends import no_ends
from kilowait.simulate.compiled.first_come import first_come
from kilowait.simulate.compiled.job_table import Table, high_seconds, read
from kilowait.simulate.compiled.limited_by_key import limited_by_key
from kilowait.simulate.compiled.limited_first_come import limited_first_come
from kilowait.simulate.compiled.limited_jobs import read_limits, why_refused
from kilowait.simulate.compiled.limited_starts import NO_LIMIT, Limits
from kilowait.simulate.compiled.tape import Tape
from kilowait.simulate.compiled.track import F64, LOGGED, STARTED, Tracks, WorldArrays, first_pairs, tracks
from kilowait.simulate.compiled.worth import LIMITED, has_loaded
from kilowait.simulate.given import check_inventory, checked, joined
from kilowait.simulate.run import Placement, Run, Submission
from kilowait.simulate.within_power.power_rules import UNLIMITED, PowerRules


def run(
    submissions: Sequence[Submission],
    inventory: Mapping[str, int],
    policy: Policy,
    nodes: Mapping[str, Sequence[int]],
    power: PowerRules = UNLIMITED,
    reports: Iterator[SignalReported | NodesReserved] | None = None,
) -> Run:
    """As `kilowait.simulate.loop.simulate`, and raises the same; raises NotCovered for what must be run there.

    Until it has run, nothing is taken from `reports`.
    """
    form = covered_form(policy, nodes, limited=bool(power), signals=reports is not None)
    check_inventory(inventory)
    exact = _plainly_exact(submissions)
    if not exact:
        checked(submissions, inventory)
    cluster, events = Cluster(), list(joined(inventory, nodes))
    for event in events:
        advance(cluster, event)
    table = read(submissions, cluster, exact=exact)
    if power.budget is not None:
        power.budget.joined(inventory)
    table, limits = read_limits(table, power, cluster.total) if power else (table, None)
    refused = _refused(table, cluster, power)
    world = _world(table, cluster)
    so_far = tracks(world)
    if limits is None:
        _KERNELS[form.name](form, table, world, so_far)
        has_loaded(form.kernel)
    else:
        world = world._replace(true_s_NT=table.true_s_NT.copy())
        _run_limited(form, world, so_far, limits)
        has_loaded(LIMITED + form.kernel)
    if so_far.at[STARTED] != len(submissions) - len(refused):
        raise KilowaitError(
            f"{so_far.at[STARTED]} of {len(submissions) - len(refused)} jobs have started; this is a bug"
        )
    placements = _placements(table, world, so_far, limits)
    tape = Tape(
        joined=events,
        submissions=tuple(table.submissions),  # the list is the caller's
        placements=placements,
        refused=frozenset(refused),
        log=so_far.log[: so_far.at[LOGGED]],
        reports=() if reports is None else tuple(_told(reports, cluster, submissions, placements)),
        power=power,
        crowd_N=() if limits is None else limits.crowd_N.tolist(),
    )
    if power.budget is not None and limits is not None:
        power.budget.committed_w = float(limits.committed_w[0])
    return Run(
        policy=getattr(policy, "__name__", type(policy).__name__),
        inventory=dict(inventory),
        placements=placements,
        refused=refused,
        log=tape,
    )


def _run_limited(form: CompiledForm, world: WorldArrays, so_far: Tracks, limits: Limits) -> None:
    """By the kernel of a rule under power limits."""
    if form.name == "simple":
        limited_first_come(world, so_far, limits)
    else:
        limited_by_key(world, so_far, first_pairs(world), limits, float(form.kappa), form.name == "sjf")


def _told(
    reports: Iterator[SignalReported | NodesReserved],
    cluster: Cluster,
    submissions: Sequence[Submission],
    placements: Sequence[Placement],
) -> Iterator[SignalReported]:
    """What is told of signals until nothing runs or waits any more; raises IllegalEvent for reports out of order."""
    last_s = max([0.0, *(p.end_s for p in placements)])
    if len(placements) < len(submissions):  # the refused ones come as well
        last_s = max([last_s, *(one.job.submit_s for one in submissions)])
    for report in reports:
        if isinstance(report, NodesReserved):
            raise InputError("the compiled engine does not cover this: windows; use engine 'python'")
        if not report.time_s <= last_s:
            return
        advance(cluster, report)
        yield report


def _plainly_exact(submissions: Sequence[Submission]) -> bool:
    """Whether ids are unique and what is seen of each job is its truth, so that nobody needs to look closer."""
    return len({s.job.job_id for s in submissions if s.seen is s.truth}) == len(submissions)


def _refused(table: Table, cluster: Cluster, power: PowerRules) -> dict[str, str]:
    """Why jobs can never run, by job id, in queue order."""
    reasons = {}
    for position in np.flatnonzero(~table.asked_NT.any(axis=1)).tolist():
        one = table.submissions[position]
        reasons[one.job.job_id] = why_refused(one.job, one.seen, cluster, power.budget)
    return reasons


def _world(table: Table, cluster: Cluster) -> WorldArrays:
    sizes_S = np.unique(np.append(table.asked_NT, 0))
    return WorldArrays(
        submit_s_N=table.submit_s_N,
        size_NT=np.searchsorted(sizes_S, table.asked_NT).astype(np.int32),
        sizes_S=sizes_S,
        true_s_NT=table.true_s_NT,
        total_T=np.array(list(cluster.total.values()), np.int64),
    )


def _simple(form: CompiledForm, table: Table, world: WorldArrays, so_far: Tracks) -> None:
    first_come(world, so_far)


def _greedy(form: CompiledForm, table: Table, world: WorldArrays, so_far: Tracks) -> None:
    """A job's choice stands from the start: it is left with that type alone."""
    cost_NT = form.alpha * table.seen_s_NT + form.gamma * table.seen_kwh_NT
    cost_NT[table.asked_NT == 0] = np.inf
    chosen_NT = np.argmin(cost_NT, axis=1)[:, None] == np.arange(len(world.total_T))
    first_come(world._replace(size_NT=np.where(chosen_NT, world.size_NT, np.int32(0))), so_far)


def _value(form: CompiledForm, table: Table, world: WorldArrays, so_far: Tracks) -> None:
    work_NT = np.where(table.asked_NT, table.asked_NT, 1) * table.seen_s_NT
    key_NT = -(1 / work_NT - form.kappa * table.seen_kwh_NT)
    by_key(world, so_far, first_pairs(world), key_NT.T.ravel(), _unweighed(), table.seen_s_NT, False)


def _value_relative(form: CompiledForm, table: Table, world: WorldArrays, so_far: Tracks) -> None:
    work_NT = np.where(table.asked_NT, table.asked_NT, 1) * table.seen_s_NT
    weighed = _weighed(float(form.kappa), table, work_NT)
    by_key(world, so_far, first_pairs(world), np.empty(work_NT.size), weighed, table.seen_s_NT, False)


def _sjf(form: CompiledForm, table: Table, world: WorldArrays, so_far: Tracks) -> None:
    shortest_N = np.where(table.asked_NT, table.seen_s_NT, np.inf).min(axis=1)
    key_P = np.tile(shortest_N, table.asked_NT.shape[1])
    by_key(world, so_far, first_pairs(world), key_P, _unweighed(), table.seen_s_NT, True)


def _easy(form: CompiledForm, table: Table, world: WorldArrays, so_far: Tracks) -> None:
    easy_backfill(world, so_far, forest(world), no_ends(world, high_seconds(table)), table.seen_s_NT)


_KERNELS = {
    "simple": _simple,
    "greedy": _greedy,
    "value": _value,
    "value_relative": _value_relative,
    "sjf": _sjf,
    "easy": _easy,
}


def _unweighed() -> Weighed:
    """No scale: the keys are known."""
    empty_E, empty_NT = np.empty(0), np.empty((0, 0))
    return Weighed(empty_NT, empty_NT, 0.0, np.empty(0, np.int64), empty_E, empty_E)


def _weighed(weight: float, table: Table, work_NT: F64) -> Weighed:
    """The epochs of the cluster's scale, which the submissions alone move."""
    scale, epochs = Scale(), list[tuple[int, float, float]]()
    for job, (submission, counts) in enumerate(zip(table.submissions, table.asked_NT.tolist(), strict=True)):
        old_scale, gpus = scale.in_force, {t: n for t, n in zip(table.types, counts, strict=True) if n}
        if gpus:
            scale.add(submission.seen, gpus)
        if scale.in_force is not old_scale:
            epochs.append((job, scale.gpu_s, scale.energy_kwh))
    since, gpu_s, energy_kwh = zip(*epochs, strict=True) if epochs else ((), (), ())
    since_E = np.array(since, np.int64)
    return Weighed(work_NT, table.seen_kwh_NT, weight, since_E, np.array(gpu_s, float), np.array(energy_kwh, float))


def _placements(table: Table, world: WorldArrays, so_far: Tracks, limits: Limits | None) -> tuple[Placement, ...]:
    """Every start, in the order decided."""
    started = int(so_far.at[STARTED])
    job, kind = so_far.job[:started], so_far.kind[:started]
    job_ids, types = table.job_ids, table.types
    if limits is None:
        kwh, limits_w = table.true_kwh_NT[job, kind].tolist(), [None] * started
    else:
        kwh = limits.energy_kwh[:started].tolist()
        limits_w = [None if watts == NO_LIMIT else watts for watts in limits.chosen_w[:started].tolist()]
    return tuple(
        [
            Placement(
                job_id=job_ids[j],
                attempt=1,
                gpu_type=types[k],
                gpus=gpus,
                submit_s=submit_s,
                start_s=start_s,
                end_s=end_s,
                runtime_s=runtime_s,
                energy_kwh=energy_kwh,
                limit_w=limit_w,
            )
            for j, k, gpus, submit_s, start_s, end_s, runtime_s, energy_kwh, limit_w in zip(
                job.tolist(),
                kind.tolist(),
                table.asked_NT[job, kind].tolist(),
                table.submit_s_N[job].tolist(),
                so_far.start_s[:started].tolist(),
                so_far.end_s[:started].tolist(),
                world.true_s_NT[job, kind].tolist(),
                kwh,
                limits_w,
                strict=True,
            )
        ]
    )
