"""A simulation asked for once, from a file or from records: what `kilowait simulate` prints, as a record."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kilowait.core.errors import InputError
from kilowait.core.over_time.price_list import PriceList
from kilowait.core.over_time.signals import Signal
from kilowait.files.windows_csv import read_windows
from kilowait.policies import DEFAULT_POLICY, POLICIES, Policy, Rule
from kilowait.policies.limiting.limit_price import LimitPrice
from kilowait.policies.steering.steered import steered_around
from kilowait.policies.wrappers.outside_windows import outside_windows
from kilowait.simulate.foreseen_signals import PERFECT, Foresight, reports
from kilowait.simulate.given import window_events
from kilowait.simulate.inventory import parse_nodes
from kilowait.simulate.jobs_csv import read_submissions
from kilowait.simulate.kept_deadlines import DeadlineCount, deadline_count
from kilowait.simulate.loop import simulate as run_loop
from kilowait.simulate.priced import Bill, bill, priced_parameters, usual_usd_per_kwh
from kilowait.simulate.run import Placement, Run, Submission
from kilowait.simulate.scores import Scores, score
from kilowait.simulate.signal_totals import SignalTotal, signal_totals
from kilowait.simulate.sleeping import ClusterEnergy, SleepRule
from kilowait.simulate.within_power.power_budget import PowerBudget


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What came of a list of jobs under a policy; all of it is modelled.

    `parameters` are the policy's that were given or are its defaults, `gpus` the GPUs by type, `run` has every event.
    """

    scores: Scores
    parameters: Mapping[str, Any]
    gpus: Mapping[str, int]
    run: Run
    totals: Mapping[str, SignalTotal] = field(default_factory=dict)
    """By signal of a kWh, what the cluster's energy comes to."""

    deadlines: DeadlineCount | None = None
    """What became of the jobs' deadlines, None where none has one."""

    bill: Bill | None = None
    """What all of it costs, where prices were given."""

    @property
    def placements(self) -> tuple[Placement, ...]:
        """Every start in the order decided: job, type, seconds, kWh."""
        return self.run.placements

    @property
    def energy(self) -> ClusterEnergy | None:
        """Where the cluster's energy went, None where its nodes were not watched."""
        if self.run.sleeping is None:
            return None
        return self.run.sleeping.energy(self.scores.energy_kwh, self.scores.makespan_s)

    @property
    def refused(self) -> Mapping[str, str]:
        """Jobs that can never fit, and why."""
        return self.run.refused


def simulate(
    jobs: str | PathLike[str] | Iterable[Submission],
    gpus: str | Mapping[str, int | Sequence[int]],
    policy: str | Rule | Policy = DEFAULT_POLICY,
    *,
    predictions: str | PathLike[str] | None = None,
    sleep: SleepRule | None = None,
    limits: LimitPrice | None = None,
    budget: PowerBudget | None = None,
    signals: Mapping[str, Signal] = MappingProxyType({}),
    foresight: Foresight = PERFECT,
    prices: PriceList | None = None,
    windows: str | PathLike[str] | None = None,
    **parameters: Any,
) -> Simulation:
    """Run a list of jobs through a policy on a cluster of mixed GPUs, and score it.

    `jobs` is a CSV file as `kilowait simulate --help` describes it, or `Submission`s. `gpus` are GPUs by type, most
    powerful first, as text (`"A100=16,A6000=4x8"`) or by type: a number on one node, or a list of the GPUs of each.
    `policy` is a name of `kilowait.POLICIES`, `MODULE:RULE`, a `Rule`, or a policy made already, and `parameters` are
    its own, such as `kappa=1e-5`. `predictions` is a CSV file of what the policy sees instead of the truth. `sleep`
    says when idle nodes sleep and what hosts draw: then `energy` says where the cluster's energy went. `limits` is the
    price by which power limits are chosen for submissions whose predictions have them; `budget` are watts that all
    boards together never pass. `signals` are carbon, water and price of a kWh on the clock of the jobs: `totals` is
    what they come to, and a policy that looks at them knows of them by `foresight`. By `prices` a policy weighs energy
    unless it is told otherwise, with the signals on average; then there is a `bill`. `windows` is a CSV file that says
    when nodes are maintained or kept for users (`kilowait.files.windows_csv`): jobs of others stay off them.

    Times are in seconds, energy in kWh. Raises InputError for a file, a policy or a parameter that is wrong, and
    KilowaitError for a policy that leaves jobs waiting for ever.
    """
    nodes = parse_nodes(gpus) if isinstance(gpus, str) else {name: _nodes(name, count) for name, count in gpus.items()}
    totals = {name: sum(counts) for name, counts in nodes.items()}
    submissions = list(_submissions(jobs, totals, predictions))
    rule = _rule(policy)
    if prices is not None and isinstance(rule, Rule):
        parameters = priced_parameters(rule, parameters, prices, usual_usd_per_kwh(prices, signals), submissions)
        if "prices" in rule.takes:
            parameters = {**parameters, "prices": prices}
    made_policy, values = _policy(rule, parameters)
    known = () if windows is None else window_events(read_windows(windows), nodes)
    if windows is not None:
        made_policy = steered_around(made_policy, outside_windows, limits=True)
    looks = not isinstance(rule, Rule) or "signals" in rule.needs
    run = run_loop(
        submissions,
        totals,
        made_policy,
        nodes=nodes,
        sleep=sleep,
        limits=limits,
        budget=budget,
        reports=heapq.merge(reports(signals.values(), foresight) if looks else (), known, key=attrgetter("time_s")),
    )
    scores, amounts = score(run), signal_totals(run, signals.values())
    deadlines = deadline_count(run, submissions)
    return Simulation(
        scores=scores,
        parameters={name: value for name, value in values.items() if name != "prices"},
        gpus=totals,
        run=run,
        totals=amounts,
        deadlines=deadlines,
        bill=None if prices is None else bill(run, scores, prices, amounts, deadlines.missed if deadlines else 0),
    )


def _nodes(gpu_type: str, count: int | Sequence[int]) -> tuple[int, ...]:
    nodes = (count,) if isinstance(count, int) else tuple(count)
    if not nodes or min(nodes) < 1:
        raise InputError(f"gpus: {gpu_type}: must be GPUs >= 1, or such a number for each node, got {count!r}")
    return nodes


def _submissions(
    jobs: str | PathLike[str] | Iterable[Submission],
    gpus: Mapping[str, int],
    predictions: str | PathLike[str] | None,
) -> Iterable[Submission]:
    if isinstance(jobs, str | PathLike):
        return read_submissions(Path(jobs), gpus, None if predictions is None else Path(predictions))
    if predictions is not None:
        raise InputError("predictions is for jobs in a file; submissions have what the policy sees in `seen`")
    return jobs


def _rule(policy: str | Rule | Policy) -> Rule | Policy:
    """What a name stands for; anything else is what it is."""
    if not isinstance(policy, str):
        return policy
    if policy not in POLICIES:
        raise InputError(f"unknown policy {policy!r}; choose from {', '.join(POLICIES)}, or give MODULE:RULE")
    return POLICIES[policy]


def _policy(policy: Rule | Policy, parameters: Mapping[str, Any]) -> tuple[Policy, dict[str, Any]]:
    """The policy made, and the parameters that it was made with."""
    if not isinstance(policy, Rule):
        if parameters:
            raise InputError(f"{', '.join(parameters)}: a policy that is made already takes no parameters")
        return policy, {}
    unknown = [name for name in parameters if name not in policy.takes]
    if unknown:
        raise InputError(f"{policy.name} has no parameter {unknown[0]!r}; it has {', '.join(policy.takes) or 'none'}")
    values = {**policy.settled(parameters), **{name: value for name, value in parameters.items() if value is not None}}
    return policy(**values), values
