"""While the grid is dirty only what its workflow waits for runs, around any policy.

Source: PCAPS in Lechowicz et al., "Carbon- and Precedence-Aware Scheduling for Data Processing Clusters", SIGCOMM 2025
(arXiv:2502.09717). There a scheduler that draws stages by learnt probabilities says how important a stage is, against
the most important one. Any other policy has no such numbers: here it is how near a job is to the critical path of its
workflow. Its limit of parallel tasks of a stage is not here.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import chain
from math import expm1

from kilowait.cluster.restricted import with_jobs
from kilowait.cluster.standing import Waiting
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
    """By waiting job, the seconds of the longest chain of jobs that it begins, each on its fastest type, as a share of
    the longest that is left of its workflow, where what runs counts too: at 1 the workflow waits for it, below that it
    has time. That of a job of no workflow is a share of the longest of all."""
    chains_s, workflows = _chains_s(cluster), _workflows(cluster)
    most_s, longest_s = max(chains_s.values()), defaultdict[str, float](float)
    for job_id, chain_s in chains_s.items():
        if (workflow := workflows.get(job_id)) is not None:
            longest_s[workflow] = max(longest_s[workflow], chain_s)
    found = dict[str, float]()
    for job_id in cluster.waiting:
        whole_s = longest_s[workflows[job_id]] if job_id in workflows else most_s
        found[job_id] = chains_s[job_id] / whole_s if whole_s else 1.0
    return found


def _chains_s(cluster: Cluster) -> dict[str, float]:
    """By job that waits or runs, the seconds until the longest chain of jobs that it begins would be over."""
    dependents, found = cluster.lines.dependents, dict[str, float]()
    stack = [*cluster.waiting, *cluster.active]
    while stack:
        job_id = stack[-1]
        children = dependents.children(job_id)
        if missing := [child for child in children if child not in found]:
            stack += missing
            continue
        stack.pop()
        found[job_id] = _own_s(cluster, job_id) + max((found[child] for child in children), default=0.0)
    return {job_id: found[job_id] for job_id in (*cluster.waiting, *cluster.active)}


def _own_s(cluster: Cluster, job_id: str) -> float:
    """What a job takes itself: what is left of one that runs, else its time on its fastest type."""
    if (active := cluster.active.get(job_id)) is not None:
        return max(0.0, active.predicted_end_s - cluster.now_s)
    waiting = cluster.waiting.get(job_id) or cluster.lines.dependents.aside[job_id]
    return min((told.runtime_s for told in waiting.predictions.values()), default=0.0)


def _workflows(cluster: Cluster) -> dict[str, str]:
    """By job of a workflow, one job that stands for it: `after`, to parents that are over too, joins its jobs."""
    above = dict[str, str]()

    def first(job_id: str) -> str:
        while (upper := above.setdefault(job_id, job_id)) != job_id:
            above[job_id] = above[upper]  # the way is shorter next time
            job_id = upper
        return job_id

    ahead = (one.job for one in chain(cluster.waiting.values(), cluster.lines.dependents))
    for job in chain(ahead, (active.job for active in cluster.active.values())):
        for parent in job.after:
            above[first(parent)] = first(job.job_id)
    return {job_id: first(job_id) for job_id in list(above)}


def important(policy: Policy, gamma: float = 0.5, ranked: Ranked = by_chain) -> Policy:
    """`policy`, which sees a job only while the present hour is clean enough for how important it is.

    With L and U the least and the most carbon a kWh in the coming two days and b = `gamma` L + (1 - `gamma`) U, a job
    of importance r (`ranked`, from 0 to 1) is seen while the present hour emits at most
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
        hours = coming_hours(signal, cluster.now_s)
        spread, shown, hidden = gamma * (hours.most - hours.least), list[Waiting](), dict[str, float]()
        if hours.now <= hours.most - spread:  # below b nobody is hidden
            return policy(cluster)
        ranks = ranked(cluster)
        first = max(cluster.waiting, key=lambda job_id: ranks[job_id])
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
            gpu_type, until_s = fastest(cluster.waiting[job_id], cluster.waiting[job_id].gpus), hours.first_s(level)
            held.hold(cluster, job_id, gpu_type or "", until_s)
        ask_again(cluster, signal)
        return policy(with_jobs(cluster, shown))

    return important


WRAPPER = Wrapper(
    name="important",
    sentence="while the grid is dirty only those jobs run that their workflows wait for, by GAMMA (0.5)",
    wrap=important,
    read=weight,
    arguments="GAMMA",
    needs=frozenset({"signals"}),
)
