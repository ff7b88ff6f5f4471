"""The quotas that a cluster has been told of, around whatever policy decides: they hold without being named."""

from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.core.quotas import Quota
from kilowait.policies.compiled_form import cost_of, with_cost
from kilowait.policies.decisions import Decision, Policy
from kilowait.policies.wrappers.limited import Counted, Limit, LimitAccount, amounts, within


def under_quotas(policy: Policy) -> Policy:
    """`policy`, under which no project and no user has more at a time, or in 30 days, than its quota.

    As under `limited`: a job that would pass a quota is not seen, and one that passes it by itself may run while
    nothing else counts there. How many jobs may wait is looked at when they are submitted.
    """

    def decide(cluster: Cluster) -> list[Decision]:
        if not cluster.quotas:
            return policy(cluster)
        cluster.count_submissions()
        return within(policy, cluster, [account for _, account in accounts_of(cluster)])

    return with_cost(decide, cost_of(policy))


def accounts_of(cluster: Cluster) -> list[tuple[Quota, LimitAccount]]:
    """What counts against each quota of GPUs, kWh or cost now."""
    limits = [(quota, limit) for quota in cluster.quotas.values() for limit in _limits(quota)]
    had = {counted: amounts(counted, cluster) for counted in {limit.counted for _, limit in limits}}
    return [(quota, LimitAccount.of(limit, had[limit.counted], quota.accounts())) for quota, limit in limits]


def quota_in_the_way(cluster: Cluster, waiting: Waiting) -> str | None:
    """Which quota keeps a job from starting now, in a sentence; None where none does."""
    for quota, account in accounts_of(cluster):
        if not account.admits(waiting):
            owner, limit = account.owner(waiting.job.user) or "", account.limit
            unit = {"gpus": "GPUs", "kwh": "kWh of 30 days"}.get(limit.counted, "in 30 days that GPUs may cost")
            return (
                f"the quota of {quota.whose} is in the way: {account.had[owner]:.4g} of {limit.amount:g} {unit} are had"
            )
    return None


def _limits(quota: Quota) -> list[Limit]:
    of_group = bool(quota.members)
    counted: tuple[tuple[Counted, float | None], ...] = ("gpus", quota.gpus), ("kwh", quota.kwh), ("cost", quota.cost)
    return [Limit(counted=unit, amount=amount, of_group=of_group) for unit, amount in counted if amount is not None]
