"""The power budget of a cluster for people: what holds, what is promised, and what cannot be kept."""

from math import inf

from kilowait.cluster.state import Cluster
from kilowait.core.errors import InputError
from kilowait.policies.limiting.promised_watts import BUDGET, CLOSE_W, at_rest_w, budget_w, least_budget_w, promised_w

from ...wire.cluster_schemas import PowerBudgetView


def budget_view(cluster: Cluster, now_s: float) -> PowerBudgetView | None:
    """None where there never was a budget."""
    if BUDGET not in cluster.signals:
        return None
    watts, least_w = budget_w(cluster, now_s), least_budget_w(cluster, now_s)
    try:
        promised, at_rest = promised_w(cluster), at_rest_w(cluster)
    except InputError as error:
        return PowerBudgetView(
            watts=_known(watts), least_w=_known(least_w), promised_w=0, at_rest_w=0, problem=f"{error}"
        )
    return PowerBudgetView(
        watts=_known(watts),
        least_w=_known(least_w),
        promised_w=promised,
        at_rest_w=at_rest,
        problem=_problem(cluster, watts, promised, at_rest),
    )


def _known(watts: float) -> float | None:
    return None if watts == inf else watts


def _problem(cluster: Cluster, watts: float, promised: float, at_rest: float) -> str | None:
    if promised <= watts + CLOSE_W:
        return None
    if at_rest > watts:
        return (
            f"the power budget of {watts:,.0f} W is below the {at_rest:,.0f} W that boards draw at rest; raise it, or "
            "switch nodes off"
        )
    stay = [job_id for job_id, one in cluster.active.items() if one.job.checkpoint_s is None]
    if not stay:
        return f"the power budget of {watts:,.0f} W is passed until jobs have given way, by {promised - watts:,.0f} W"
    return (
        f"the power budget of {watts:,.0f} W is passed by {promised - watts:,.0f} W: jobs that cannot give way run, "
        f"such as {stay[0]}; cancel some, or raise it"
    )
