"""While the grid is dirty only what others wait for longest runs, around any policy.

Source: PCAPS in Lechowicz et al., "Carbon- and Precedence-Aware Scheduling for Data Processing Clusters", SIGCOMM 2025
(arXiv:2502.09717). There a scheduler that draws stages by learnt probabilities says how important a stage is, against
the most important one. Any other policy has no such numbers: here it is the time that a job and the longest chain of
jobs after it take. Its limit of parallel tasks of a stage is not here.
"""

from collections.abc import Callable, Mapping
from math import expm1

from kilowait.cluster.restricted import with_jobs
from kilowait.cluster.standing import Postponed, Waiting
from kilowait.cluster.state import Cluster
from kilowait.core.errors import InputError
from kilowait.policies.choices import fastest
from kilowait.policies.decisions import Decision, Policy
from kilowait.policies.parameters import weight
from kilowait.policies.planning.coming_hours import HeldNotes, ask_again, coming_hours
from kilowait.policies.wrappers.wrapper import Wrapper

Ranked = Callable[[Cluster], Mapping[str, float]]
"""How important waiting jobs are, from 0 to 1."""


def by_chain(cluster: Cluster) -> dict[str, float]:
    """By waiting job, the seconds that it and the longest chain of jobs after it take, each on its fastest type, as a
    share of the longest."""
    dependents, found = cluster.lines.dependents, dict[str, float]()
    stack = list(cluster.waiting)
    while stack:
        job_id = stack[-1]
        children = dependents.children(job_id)
        if missing := [child for child in children if child not in found]:
            stack += missing
            continue
        stack.pop()
        waiting = cluster.waiting.get(job_id) or dependents.aside[job_id]
        own_s = min((told.runtime_s for told in waiting.predictions.values()), default=0.0)
        found[job_id] = own_s + max((found[child] for child in children), default=0.0)
    longest_s = max(found[job_id] for job_id in cluster.waiting)
    return {job_id: found[job_id] / longest_s if longest_s else 1.0 for job_id in cluster.waiting}


def important(policy: Policy, gamma: float = 0.5, ranked: Ranked = by_chain) -> Policy:
    """`policy`, which sees a job only while the present hour is clean enough for how important it is.

    With L and U the least and the most carbon a kWh in the coming two days and b = `gamma` L + (1 - `gamma`) U, a job
    of importance r (`ranked`, the largest of all that wait is 1) is seen while the present hour emits at most
    b + (U - b) (e^(`gamma` r) - 1) / (e^`gamma` - 1): always at r = 1, and below b at r = 0. Where nothing runs the
    most important is seen whatever the hour. With `gamma` 0, without a signal of carbon, or where that does not vary,
    it is `policy` itself. Raises InputError for a `gamma` that is not from 0 to 1.
    """
    if not 0 <= gamma <= 1:
        raise InputError(f"important: gamma must be from 0 to 1, got {gamma!r}")
    held = HeldNotes()

    def important(cluster: Cluster) -> list[Decision]:
        held.forget(cluster)
        signal = cluster.signals.get("carbon")
        if signal is None or not gamma or not cluster.waiting:
            return policy(cluster)
        hours, ranks = coming_hours(signal, cluster.now_s), ranked(cluster)
        first = max(cluster.waiting, key=lambda job_id: ranks[job_id])
        spread, shown, hidden = gamma * (hours.most - hours.least), list[Waiting](), dict[str, float]()
        for waiting in cluster.queue():
            job_id = waiting.job.job_id
            level = hours.most - spread * (1 - expm1(gamma * ranks[job_id]) / expm1(gamma))  # U itself at r = 1
            if level >= hours.now or (not cluster.active and job_id == first):
                shown.append(waiting)
            else:
                hidden[job_id] = level
        if not hidden:
            return policy(cluster)
        for job_id, level in hidden.items():
            gpu_type = fastest(cluster.waiting[job_id], cluster.waiting[job_id].gpus)
            until_s = hours.first_s(level)
            cluster.kept[job_id] = Postponed(until_s=until_s, gpu_type=gpu_type or "", since_s=cluster.now_s)
        held.update(hidden)
        ask_again(cluster, signal)
        return policy(with_jobs(cluster, shown)) if shown else []

    return important


WRAPPER = Wrapper(
    name="important",
    sentence="while the grid is dirty only those jobs run that the longest chains of jobs wait for, by GAMMA (0.5)",
    wrap=important,
    read=weight,
    arguments="GAMMA",
    needs=frozenset({"signals"}),
)
