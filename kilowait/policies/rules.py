"""What a policy decides by, in a word and its weights, so that a driver can follow the same rule by other means.

And what it costs, so that a driver asks it less often.

A factory names the rule of the function that it returns. A function that wraps a policy has no rule of its own.
"""

from typing import Literal

from msgspec import Struct

from kilowait.policies.decisions import Policy

RuleName = Literal["simple", "greedy", "value", "value_relative", "sjf", "easy"]


class Rule(Struct, frozen=True, kw_only=True, gc=False):
    """What it means stands with its factory. `alpha` and `gamma` are greedy's, `kappa` is value's in either form."""

    name: RuleName
    alpha: float = 0.0
    gamma: float = 0.0
    kappa: float = 0.0


def ruled(policy: Policy, rule: Rule) -> Policy:
    """The policy itself, which now says that it decides by this rule."""
    vars(policy)["rule"] = rule
    return policy


def costly(policy: Policy, cost: int) -> Policy:
    """The policy itself, which now says that a decision takes it so many times as long as `patient`."""
    vars(policy)["cost"] = cost
    return policy


def cost_of(policy: Policy) -> int:
    """How many times as long as `patient` a decision takes, at least 1."""
    return int(getattr(policy, "cost", 1))


def rule_of(policy: Policy) -> Rule | None:
    """The rule of a policy, None where it names none, and for a wrapper that took the name of what it wraps."""
    rule = getattr(policy, "rule", None)
    return rule if isinstance(rule, Rule) and not hasattr(policy, "__wrapped__") else None
