"""Every policy by name: the modules of this package, what other packages bring, and any `MODULE:RULE`.

A module of `kilowait.policies` that has a `RULE` is a policy. A package brings one by an entry point of the group
`kilowait.policies`, and a site's own file needs no package at all: `my_policy:RULE` names it wherever a policy is
named. What stands behind an entry point or a MODULE:RULE is a `Rule`, or a plain factory function.
"""

import inspect
import os
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from kilowait.core.errors import InputError
from kilowait.policies.parameters import Parameter, user_weights, weight, whole
from kilowait.policies.rule import Rule
from kilowait.policies.wrappers.wrapper import wrapped

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

PACKAGE = "kilowait.policies"
GROUP = "kilowait.policies"
"""The entry points by which packages bring policies."""


class Registry(Mapping[str, Rule]):
    """Rules by name. Iterating gives those of kilowait and of installed packages, by their place, then by name.

    A name of the form MODULE:RULE is looked up too; it is imported from the path or the current folder. So is one with
    wrappers around a policy, `shared(aged(patient,4h))` (`kilowait.policies.wrappers`).
    """

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._own = rules
        self._named: dict[str, Rule] = {}

    def __getitem__(self, name: str) -> Rule:
        """The rule of this name; raises InputError for a MODULE:RULE or an entry point that cannot be used."""
        if name in self._own:
            return self._own[name]
        if name in self._brought:
            return self._load_brought(name)
        if "(" not in name and ":" not in name:
            raise KeyError(name)
        if name not in self._named:
            self._named[name] = wrapped(name, self) if "(" in name else load_rule(name)
        return self._named[name]

    def __iter__(self) -> Iterator[str]:
        rules = [*self._own.values(), *(self._load_brought(name) for name in self._brought)]
        return iter(rule.name for rule in sorted(rules, key=lambda rule: (rule.place, rule.name)))

    def __len__(self) -> int:
        return len(self._own) + len(self._brought)

    @cached_property
    def _brought(self) -> "Mapping[str, EntryPoint]":
        """Entry points by name; raises InputError for one that has the name of a policy of kilowait."""
        from importlib.metadata import entry_points

        points = {point.name: point for point in entry_points(group=GROUP)}
        for name in points.keys() & self._own.keys():
            raise InputError(f"{_origin(points[name])} has the name of a policy of kilowait; rename it")
        return points

    def _load_brought(self, name: str) -> Rule:
        if name not in self._named:
            point = self._brought[name]
            try:
                loaded = point.load()
            except Exception as error:
                raise InputError(
                    f"{_origin(point)} cannot be loaded: {type(error).__name__}: {error}; mend or uninstall the package"
                ) from error
            self._named[name] = as_rule(loaded, name, _origin(point))
        return self._named[name]


def own_rules() -> dict[str, Rule]:
    """The rules of the modules of `kilowait.policies`, by their place, then by name."""
    path = import_module(PACKAGE).__path__
    modules = [import_module(f"{PACKAGE}.{info.name}") for info in pkgutil.iter_modules(path)]
    rules = [module.RULE for module in modules if isinstance(getattr(module, "RULE", None), Rule)]
    return {rule.name: rule for rule in sorted(rules, key=lambda rule: (rule.place, rule.name))}


def load_rule(name: str) -> Rule:
    """The rule that MODULE:RULE names; raises InputError naming the module, with the remedy."""
    module_name, _, attribute = name.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        module = _beside(module_name, error)
    except Exception as error:
        raise _broken(module_name, error) from error
    if not hasattr(module, attribute):
        names = ", ".join(n for n, value in vars(module).items() if isinstance(value, Rule)) or "no rule"
        raise InputError(f"policy {name!r}: {module.__file__} has no {attribute!r}; it has {names}")
    return as_rule(getattr(module, attribute), name, f"policy {name!r}")


def _beside(module_name: str, error: ModuleNotFoundError) -> Any:
    """A module in the current folder, which a console script has not on its path."""
    folder = os.getcwd()
    if error.name == module_name.partition(".")[0] and folder not in sys.path:
        sys.path.append(folder)  # behind all others, and it stays: the module may import its neighbours later
        try:
            return import_module(module_name)
        except ModuleNotFoundError as again:
            error = again
        except Exception as broken:
            raise _broken(module_name, broken) from broken
    if error.name == module_name.partition(".")[0]:
        raise InputError(
            f"no module {module_name!r} on the path or in {folder}; run from its folder, or name that in PYTHONPATH"
        ) from error
    raise _broken(module_name, error) from error


def _broken(module_name: str, error: Exception) -> InputError:
    return InputError(f"module {module_name!r} cannot be imported: {type(error).__name__}: {error}; mend it first")


def as_rule(found: object, name: str, origin: str) -> Rule:
    """A rule itself, or a plain factory as one; raises InputError, naming `origin`, for what is neither."""
    if isinstance(found, Rule):
        return found
    if not callable(found) or isinstance(found, type):
        raise InputError(
            f"{origin}: must be a kilowait.policies.Rule or a function that returns a policy, got {found!r}"
        )
    sentence = (inspect.getdoc(found) or f"the policy of {name}").partition("\n")[0].rstrip(".")
    return Rule(name=name, sentence=sentence, make=found, parameters=_parameters(found, origin))


def _parameters(factory: Any, origin: str) -> tuple[Parameter, ...]:
    """What a plain factory takes: its keywords, read as their defaults are."""
    parameters = []
    for name, parameter in inspect.signature(factory).parameters.items():
        if parameter.kind not in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            raise InputError(f"{origin}: the parameter {name!r} must be one that is given by name")
        default = None if parameter.default is parameter.empty else parameter.default
        parameters.append(Parameter(name=name, sentence="of this policy", default=default, read=_reader(default)))
    return tuple(parameters)


def _reader(default: object) -> Any:
    match default:
        case bool() | str():
            return str
        case int():
            return whole
        case Mapping():
            return user_weights
        case _:
            return weight


def _origin(point: "EntryPoint") -> str:
    package = f" of {point.dist.name}" if point.dist else ""
    return f"the policy {point.name!r}{package} (entry point {point.value})"
