"""Policies: functions from a cluster to decisions. They see predictions only and change nothing.

One decision round follows every instant, after all its completions and then all its arrivals are taken in; a round
may place several jobs, in the order of the list.

One module a policy, with its factory and its `RULE`: that is all there is to adding one. What loads slowly (numba,
scipy) is imported inside the factory, since every command reads the registry.
"""

from kilowait.policies.decisions import Decision, Place, Policy, Preempt, SetLimit
from kilowait.policies.parameters import Parameter
from kilowait.policies.registry import Registry, own_rules
from kilowait.policies.rule import Criterion, Rule

POLICIES = Registry(own_rules())
"""Rule by name; calling one with its parameters makes the policy."""

DEFAULT_POLICY = "aged(patient,7d)"
"""What a simulation and a service run that are told nothing else.

It saves more than value at about its waiting in all worlds that were tried in which jobs wait, with wrong predictions
too, and lets no job starve. A price that steers itself (`steered(aged(patient,7d))`) saves more where predictions are
right, and waits longer where they are wrong (modelled, benchmarks/steering.py and benchmarks/beside_the_paper.py).
"""

__all__ = [
    "DEFAULT_POLICY",
    "POLICIES",
    "Criterion",
    "Decision",
    "Parameter",
    "Place",
    "Policy",
    "Preempt",
    "Registry",
    "Rule",
    "SetLimit",
]
