"""How the compiled kernels can follow a policy: the form of its rule in a word, with its weights.

A factory names the form of the function that it returns. A function that wraps a policy has no form of its own.
"""

from typing import Literal

from msgspec import Struct

from kilowait.policies.decisions import Policy

FormName = Literal["simple", "greedy", "value", "value_relative", "sjf", "easy"]


class CompiledForm(Struct, frozen=True, kw_only=True, gc=False):
    """What it means stands with its factory. `alpha` and `gamma` are greedy's, `kappa` is value's in either form.

    `kernel` is the module of `kilowait.simulate.compiled` that runs it, which has a function of the same name.
    """

    name: FormName
    kernel: str
    alpha: float = 0.0
    gamma: float = 0.0
    kappa: float = 0.0


def with_form(policy: Policy, form: CompiledForm) -> Policy:
    """The policy itself, which now says by which form it decides."""
    vars(policy)["compiled_form"] = form
    return policy


def with_cost(policy: Policy, cost: int) -> Policy:
    """The policy itself, which now says that a decision takes it so many times as long as `patient`."""
    vars(policy)["cost"] = cost
    return policy


def cost_of(policy: Policy) -> int:
    """How many times as long as `patient` a decision takes, at least 1."""
    return int(getattr(policy, "cost", 1))


def form_of(policy: Policy) -> CompiledForm | None:
    """The form of a policy, None where it names none, and for a wrapper that took the name of what it wraps."""
    form = getattr(policy, "compiled_form", None)
    return form if isinstance(form, CompiledForm) and not hasattr(policy, "__wrapped__") else None
