"""A wrapper as one record, and names such as `shared(aged(patient,4h))`."""

import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from types import FunctionType
from typing import Any

from kilowait.core.errors import InputError
from kilowait.policies.decisions import Policy
from kilowait.policies.parameters import Parameter
from kilowait.policies.rule import Need, Rule
from kilowait.policies.steering.steered import congestion_at, steered, steered_around

PRICE = "wait_s_per_kwh"
"""The parameter that `max_extra_wait` steers."""

CONGESTION = "congestion"
"""The parameter that counts for less where that is low."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapper:
    """A wrapper of policies: `wrap(policy, *arguments)`, whose arguments are read from text by `read`.

    `arguments` says in a word what may be given, empty for nothing, `sentence` what it adds to a policy. `parameters`
    are keywords of `wrap` that are given as a policy's are, and to the policy too where that has one of the same name.
    """

    name: str
    sentence: str
    wrap: Callable[..., Policy]
    read: Callable[[str], Any]
    arguments: str
    parameters: tuple[Parameter, ...] = ()
    needs: frozenset[Need] = frozenset()
    steers: bool = False
    """Whether its price steers itself: `wrap` then takes a `Rule`, and the share by which jobs may wait longer."""

    inside: frozenset[str] = frozenset()
    """Wrappers that it stands within, not around: it starts jobs by itself, which they would not be asked about."""

    limits: bool = False
    """Whether waits that it causes are meant: then the policy that waiting is held against is limited too."""

    def shown(self, policy: str) -> str:
        """How it is written around a policy."""
        return f"{self.name}({policy},{self.arguments})" if self.arguments else f"{self.name}({policy})"

    def around(self, rule: Rule, name: str, texts: list[str]) -> Rule:
        """The rule that has this wrapper around another; raises InputError for arguments that cannot be read.

        A price steers itself around all wrappers: the shadows too run what is within, and see the whole queue. Of
        what stands around the planner there is one for the real jobs, whatever the price.
        """
        if self.steers and PRICE not in rule.takes:
            raise InputError(f"policy {name!r}: {rule.name} has no price to steer; write {self.shown('patient')}")
        if wrong := next((one for one in sorted(self.inside) if f"{one}(" in rule.name), None):
            raise InputError(
                f"policy {name!r}: {self.name} stands within {wrong}; write {wrong}({self.shown('POLICY')})"
            )
        given, own = [self.read(text) for text in texts], {parameter.name for parameter in self.parameters}
        try:
            inspect.signature(self.wrap).bind(rule, *given)
        except TypeError:
            remedy = f"write {self.shown(rule.name)}"
            raise InputError(f"policy {name!r}: too many or too few words in brackets; {remedy}") from None

        def wrapped_in(inner: Callable[..., Policy], parameters: Mapping[str, Any]) -> Policy:
            policy = inner(**{key: value for key, value in parameters.items() if key in rule.takes})
            options = {key: value for key, value in parameters.items() if key in own}
            return steered_around(policy, lambda p: self.wrap(p, *given, **options), limits=self.limits)

        def steering(max_extra_wait: float, **parameters: Any) -> Policy:
            return wrapped_in(partial(steering_of, rule, max_extra_wait), parameters)

        def make(*, max_extra_wait: float | None = None, **parameters: Any) -> Policy:
            if self.steers:
                return self.wrap(rule, *given, **parameters)
            return wrapped_in(rule, parameters) if max_extra_wait is None else steering(max_extra_wait, **parameters)

        sentence, steered_names = f"{rule.sentence}; {self.sentence}", (PRICE, "max_extra_wait") if self.steers else ()
        inherited = tuple(parameter for parameter in rule.parameters if parameter.name not in steered_names)
        return Rule(
            name=name,
            sentence=sentence,
            make=lambda **parameters: _named(make(**parameters), name),
            steering=None if self.steers else steering,
            parameters=(*inherited, *(p for p in self.parameters if p.name not in rule.takes)),
            needs=rule.needs | self.needs,
            criterion=rule.criterion,
            cost=rule.cost,
        )


def steering_of(rule: Rule, max_extra_wait: float = 0.0, **given: Any) -> Policy:
    """The policy whose price steers itself, around its wrappers where it has some."""
    if rule.steering is not None:
        return rule.steering(max_extra_wait, **given)
    return steered(lambda price_s: rule(**_at(rule, price_s, given)), max_extra_wait)


def _at(rule: Rule, price_s: float, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a policy at a price."""
    priced = {**given, PRICE: price_s}
    if CONGESTION in rule.takes:
        usual = {parameter.name: parameter.default for parameter in rule.parameters}
        priced[CONGESTION] = congestion_at(price_s, {**usual, **given}[CONGESTION])
    return priced


def _named(policy: Policy, name: str) -> Policy:
    """The policy itself, which results call by its whole name."""
    if isinstance(policy, FunctionType):
        policy.__name__ = name
    return policy


@cache
def wrappers() -> Mapping[str, Wrapper]:
    """The wrappers of the modules of this package, by name."""
    package = __name__.rpartition(".")[0]
    modules = [
        import_module(f"{package}.{info.name}") for info in pkgutil.iter_modules(import_module(package).__path__)
    ]
    found = [module.WRAPPER for module in modules if isinstance(getattr(module, "WRAPPER", None), Wrapper)]
    return {wrapper.name: wrapper for wrapper in found}


def wrapped(name: str, rules: Mapping[str, Rule]) -> Rule:
    """The rule that a name such as `aged(patient,4h)` stands for; raises InputError, with the remedy."""
    word, _, rest = name.partition("(")
    wrapper = wrappers().get(word.strip())
    if wrapper is None:
        raise InputError(f"policy {name!r}: {word.strip()!r} wraps no policy; {', '.join(wrappers())} do")
    if not rest.endswith(")"):
        raise InputError(f"policy {name!r}: a bracket is not closed; write {wrapper.shown('POLICY')}")
    inner, *texts = split_names(rest[:-1])
    if inner not in rules:
        raise InputError(f"policy {name!r}: unknown policy {inner!r}; choose from {', '.join(rules)}")
    return wrapper.around(rules[inner], name, texts)


def split_names(text: str) -> list[str]:
    """Names between commas, those within brackets left together; raises InputError for brackets that do not match."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            break
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth:
        raise InputError(f"{text!r}: brackets do not match; write for example shared(aged(patient,4h))")
    return [part.strip() for part in parts]


def flexible_name(policy: str, slack: str) -> str:
    """The name of the policy that keeps jobs for better hours around another, but within a quota of GPUs, which holds
    for what is started then too."""
    if "flexible(" in policy:
        return policy
    word, _, rest = policy.partition("(")
    if word == "provisioned" and rest.endswith(")"):
        inner, *share = split_names(rest[:-1])
        return f"provisioned({','.join((flexible_name(inner, slack), *share))})"
    return f"flexible({policy},{slack})"
