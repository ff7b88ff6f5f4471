"""Why a job waits for watts, in a sentence."""

from math import inf

from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.policies.limiting.promised_watts import (
    CLOSE_W,
    at_rest_w,
    budget_w,
    fixed_w,
    least_budget_w,
    least_more_w,
    promised_w,
)


def power_in_the_way(cluster: Cluster, waiting: Waiting, now_s: float) -> str | None:
    """That the power budget keeps a job from starting now, in a sentence; None where it does not."""
    present_w = budget_w(cluster, now_s)
    if present_w == inf:
        return None
    least = {t: least_more_w(waiting.job, told, t) for t, told in waiting.predictions.items() if t in waiting.gpus}
    if not least:
        return None
    gpu_type = min(least, key=least.__getitem__)
    left_w = present_w - promised_w(cluster)
    below = "" if waiting.job.checkpoint_s is not None else _below(cluster, least[gpu_type], now_s)
    if least[gpu_type] <= left_w and not below:
        return None
    needs = f"it needs at least {least[gpu_type]:,.0f} W more on {gpu_type}"
    if least[gpu_type] > present_w - at_rest_w(cluster):
        return f"the power budget of {present_w:,.0f} W is too low for it: {needs}; an operator can raise it"
    if least[gpu_type] > left_w:
        return f"the power budget of {present_w:,.0f} W is in the way: {needs}, and {max(0, left_w):,.0f} W are left"
    return below


def _below(cluster: Cluster, watts: float, now_s: float) -> str:
    if fixed_w(cluster) + watts <= (coming_w := least_budget_w(cluster, now_s)) + CLOSE_W:
        return ""
    return (
        f"the power budget will be {coming_w:,.0f} W, too low for it beside the jobs that cannot give way; one that "
        "goes on from checkpoints could start now"
    )
