"""Policies: functions from a cluster to decisions. They see predictions only and change nothing.

One decision round follows every instant, after all its completions and then all its arrivals are taken in; a round
may place several jobs, in the order of the list.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from kilowait.policies.decisions import Decision, Place, Policy
from kilowait.policies.greedy import greedy
from kilowait.policies.simple import simple
from kilowait.policies.value import value

POLICIES: Mapping[str, Callable[..., Policy]] = MappingProxyType({"simple": simple, "greedy": greedy, "value": value})
"""Factory by name; its keyword arguments are the policy's parameters."""

__all__ = ["POLICIES", "Decision", "Place", "Policy", "greedy", "simple", "value"]
