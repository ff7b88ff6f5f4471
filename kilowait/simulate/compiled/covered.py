"""Which simulations the compiled kernels cover."""

from collections.abc import Mapping, Sequence

from kilowait.policies import Policy
from kilowait.policies.compiled_form import CompiledForm, form_of

MOST_WEIGHT = 1e100
"""As for seconds and kWh: products of such weights neither overflow nor become NaN."""


class NotCovered(Exception):  # noqa: N818 - it is an answer: the other engine runs this
    """The kernels do not cover this simulation, with the reason."""


UNDER_LIMITS = frozenset({"simple", "value", "sjf"})
"""The forms whose kernels know of power limits."""


def covered_form(
    policy: Policy, nodes: Mapping[str, Sequence[int]], *, limited: bool = False, signals: bool = False
) -> CompiledForm:
    """The form that the kernels are to follow; raises NotCovered. The jobs are looked at as they are read."""
    form = form_of(policy)
    if form is None:
        name = getattr(policy, "__name__", type(policy).__name__)
        raise NotCovered(f"policy {name} names no rule that is compiled")
    if limited and form.name not in UNDER_LIMITS:
        raise NotCovered(f"power limits under {form.name}")
    if signals and form.name == "easy":  # it looks at the clock
        raise NotCovered("signals under easy")
    if max(form.alpha, form.gamma, form.kappa) > MOST_WEIGHT:
        raise NotCovered(f"a weight of {form.name} is above {MOST_WEIGHT:g}: {form}")
    for gpu_type, counts in nodes.items():
        if len(counts) != 1:
            raise NotCovered(f"{gpu_type} has {len(counts)} nodes, so boards must be told apart")
    return form
