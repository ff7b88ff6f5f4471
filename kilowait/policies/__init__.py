"""Policies: functions from a cluster to decisions. They see predictions only and change nothing.

One decision round follows every instant, after all its completions and then all its arrivals are taken in; a round
may place several jobs, in the order of the list.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from kilowait.policies.anticipatory import anticipatory
from kilowait.policies.conservative import conservative
from kilowait.policies.decisions import Decision, Place, Policy, Preempt
from kilowait.policies.easy import easy
from kilowait.policies.fair import fair
from kilowait.policies.gavel import gavel
from kilowait.policies.greedy import greedy
from kilowait.policies.milp import milp
from kilowait.policies.patient import patient
from kilowait.policies.simple import simple
from kilowait.policies.sjf import sjf
from kilowait.policies.srpt import srpt
from kilowait.policies.value import value
from kilowait.policies.value_aging import value_aging
from kilowait.policies.value_cvar import value_cvar

_FACTORIES = (
    simple,
    greedy,
    value,
    sjf,
    easy,
    conservative,
    value_aging,
    fair,
    patient,
    anticipatory,
    milp,
    value_cvar,
    gavel,
    srpt,
)

POLICIES: Mapping[str, Callable[..., Policy]] = MappingProxyType({factory.__name__: factory for factory in _FACTORIES})
"""Factory by name; its keyword arguments are the policy's parameters."""

__all__ = [
    "POLICIES",
    "Decision",
    "Place",
    "Policy",
    "Preempt",
    "anticipatory",
    "conservative",
    "easy",
    "fair",
    "gavel",
    "greedy",
    "milp",
    "patient",
    "simple",
    "sjf",
    "srpt",
    "value",
    "value_aging",
    "value_cvar",
]
