"""Command-line options that choose policies and their parameters, for the backtest."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kilowait.core.errors import InputError
from kilowait.lab.backtest.backtest import PolicySpec
from kilowait.lab.backtest.kappa_file import read_kappa
from kilowait.policies import POLICIES
from kilowait.policies.parameters import weight
from kilowait.policies.value import KAPPA
from kilowait.policies.wrappers.wrapper import split_names
from kilowait.simulate.policy_arguments import add_parameters, given, named_rules


def add_policy_options(p: argparse.ArgumentParser, words: Sequence[str] = ()) -> None:
    """Add the names of policies and the options that they have; `words` may name policies of a site, with their own.

    Users' weights are left out: a scenario and a trace name no users.
    """
    p.add_argument(
        "--policies",
        default="simple,greedy,value",
        metavar="NAMES",
        help=f"of {', '.join(POLICIES)}, or MODULE:RULE of your own; the scenario names no users, so fair sees one "
        "(default: %(default)s)",
    )
    rules = [rule for rule in named_rules(words, "--policies").values() if "users" not in rule.needs]
    kappa = replace(KAPPA, sentence=KAPPA.sentence + ", or the kappa.json of tuning.kappa", metavar="K|FILE", read=str)
    # the policy itself refuses a weight that is out of range, and names its parameter
    weights = {o.name: replace(o, read=float) for rule in rules for o in rule.options if o.read is weight}
    add_parameters(p, rules, apart={**weights, KAPPA.name: kappa})


def specs(args: argparse.Namespace, classes: str) -> list[PolicySpec]:
    """The policies to compare on this table of classes; Simple is always among them, as the baseline."""
    names = ["simple", *filter(None, split_names(args.policies))]
    for name in names:
        if name not in POLICIES:
            raise InputError(f"--policies: unknown policy {name!r}; choose from {', '.join(POLICIES)}")
    chosen = [spec for name in dict.fromkeys(names) for spec in variants(name, args, classes)]
    for spec in chosen:
        spec.build()
    return chosen


def variants(name: str, args: argparse.Namespace, classes: str) -> list[PolicySpec]:
    """One policy with the options that it has, once for each kappa if that is one of them."""
    rule = POLICIES[name]
    parameters = {} if "users" in rule.needs else rule.settled(given(args, rule))
    if "kappa_relative" in parameters:
        label = f"{name} (relative {parameters['kappa_relative']:g})"
        return [PolicySpec(label=label, policy=name, parameters=parameters)]
    if "kappa" not in parameters:
        return [PolicySpec(label=name, policy=name, parameters=parameters)]
    return [
        PolicySpec(label=f"{name}{suffix}", policy=name, parameters={**parameters, "kappa": kappa})
        for suffix, kappa in kappas(str(parameters["kappa"]), classes).items()
    ]


def kappas(text: str, classes: str) -> dict[str, float]:
    """Kappa by what it adds to a policy's label; raises InputError for a file that lacks the table of classes."""
    try:
        return {"": float(text)}
    except ValueError:
        tuned = read_kappa(Path(text))
    if classes not in tuned:
        raise InputError(f"--kappa {text}: no kappa for the classes {classes!r}; it has {', '.join(tuned)}")
    return {f" ({criterion})": kappa for criterion, kappa in tuned[classes].items()}
