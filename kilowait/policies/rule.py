"""A policy as one record: what it is called, what it does in a sentence, what it takes and needs, who makes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Job, Prediction
from kilowait.policies.compiled_form import with_cost
from kilowait.policies.decisions import Policy
from kilowait.policies.parameters import Parameter

Need = Literal["users", "intervals", "checkpoints", "signals"]
"""What a policy looks at beyond every job's GPUs, run times and energies; without it the policy falls back."""

LAST = 1000
"""The place of a policy that names none: behind those of kilowait, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """The number by which a policy rates a job on a type: its name, and whether the larger one goes first."""

    name: str
    larger_first: bool
    of: Callable[[Job, str, Prediction], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A policy of the registry; calling it with parameters makes the policy.

    `make` is the factory: keyword arguments in, a `Policy` out, InputError for a parameter that is wrong. `steering`
    is that of a policy with wrappers whose price steers itself: `max_extra_wait` and the same parameters in, without
    the price. `sentence` says the rule in plain
    words, `detail` adds a formula or the field's name. `criterion` tells from the parameters and a cluster by which
    number jobs are rated, None where it is not one number a job and type. `kernel` is the compiled kernel that can run
    it (`kilowait.simulate.compiled`), `cost` how many times as long as `patient` a decision
    takes, `place` where it stands in lists, from plain rules to elaborate ones.
    """

    name: str
    sentence: str
    make: Callable[..., Policy]
    steering: Callable[..., Policy] | None = None
    detail: str = ""
    parameters: tuple[Parameter, ...] = ()
    needs: frozenset[Need] = frozenset()
    criterion: Callable[[Mapping[str, Any], Cluster], Criterion] | None = None
    kernel: str | None = None
    cost: int = 1
    place: int = LAST

    def __call__(self, **parameters: Any) -> Policy:
        """The policy with these parameters; raises InputError for one that is out of range."""
        policy = self.make(**parameters)
        return policy if self.cost == 1 else with_cost(policy, self.cost)

    @property
    def takes(self) -> tuple[str, ...]:
        """The names of all its parameters."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def options(self) -> tuple[Parameter, ...]:
        """The parameters that commands have options for."""
        return tuple(parameter for parameter in self.parameters if parameter.option)

    def settled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options by name: what was given, else the default; None counts as not given.

        What an alternative that was given stands for is left out, and so is an alternative that was not.
        """
        given_names = {option.name for option in self.options if given.get(option.name) is not None}
        replaced_names = {option.instead_of for option in self.options if option.name in given_names}
        return {
            option.name: given[option.name] if option.name in given_names else option.default
            for option in self.options
            if option.name in given_names or not (option.instead_of or option.name in replaced_names)
        }
