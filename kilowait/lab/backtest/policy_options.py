"""Command-line options that choose policies and their parameters, for the backtest."""

import argparse
import inspect
from pathlib import Path

from kilowait.core.errors import InputError
from kilowait.lab.backtest.backtest import PolicySpec
from kilowait.lab.backtest.kappa_file import read_kappa
from kilowait.policies import POLICIES
from kilowait.policies.gavel import DEFAULT_OBJECTIVE
from kilowait.policies.greedy import DEFAULT_ALPHA, DEFAULT_GAMMA
from kilowait.policies.patient import DEFAULT_WAIT_S_PER_KWH
from kilowait.policies.srpt import DEFAULT_HYSTERESIS
from kilowait.policies.value import DEFAULT_KAPPA
from kilowait.policies.value_aging import DEFAULT_LIMIT_S
from kilowait.policies.value_cvar import DEFAULT_RISK

OPTIONS = ("alpha", "gamma", "limit_s", "wait_s_per_kwh", "error_sd", "risk", "objective", "hysteresis")
"""What a policy takes from the command line as it stands; kappa may come from a file."""


def add_policy_options(p: argparse.ArgumentParser) -> None:
    """Add the names of policies and every parameter that one of them has."""
    p.add_argument(
        "--policies",
        default="simple,greedy,value",
        metavar="NAMES",
        help=f"of {', '.join(POLICIES)}; the scenario names no users, so fair sees one (default: %(default)s)",
    )
    kappa = p.add_mutually_exclusive_group()
    kappa.add_argument(
        "--kappa",
        default=str(DEFAULT_KAPPA),
        metavar="K|FILE",
        help="for Value (with aging, with CVaR), per kWh: a number, or the kappa.json of kilowait lab tune-kappa, one "
        "Value a criterion (default: %(default)s)",
    )
    kappa.add_argument(
        "--kappa-relative",
        type=float,
        metavar="X",
        help="for Value (with aging, with CVaR), instead of --kappa: a plain number against the scale of the jobs, "
        "such as 1",
    )
    p.add_argument("--alpha", type=float, default=DEFAULT_ALPHA, help="for Greedy, a second (default: %(default)s)")
    p.add_argument("--gamma", type=float, default=DEFAULT_GAMMA, help="for Greedy, per kWh (default: %(default)s)")
    p.add_argument(
        "--limit-s",
        type=float,
        default=DEFAULT_LIMIT_S,
        help="for Value with aging, seconds of waiting after which a job goes first (default: %(default)s)",
    )
    p.add_argument(
        "--wait-s-per-kwh",
        type=float,
        default=DEFAULT_WAIT_S_PER_KWH,
        metavar="S",
        help="for patient, anticipatory and milp, seconds of a job's waiting that a kWh is worth "
        "(default: %(default)s)",
    )
    p.add_argument(
        "--error-sd",
        type=float,
        default=0.0,
        metavar="SD",
        help="for patient and anticipatory, how wrong run times are predicted: the standard deviation of "
        "log(predicted / measured) (default: 0, exact)",
    )
    p.add_argument(
        "--risk",
        type=float,
        default=DEFAULT_RISK,
        metavar="R",
        help="for value_cvar, 0 rates by means and towards 1 by the worst cases; only predictions with intervals, "
        "as noisy ones, make it differ from Value (default: %(default)s)",
    )
    p.add_argument(
        "--objective",
        default=DEFAULT_OBJECTIVE,
        metavar="NAME",
        help="for gavel: max_min (fairness), throughput or energy (default: %(default)s)",
    )
    p.add_argument(
        "--hysteresis",
        type=float,
        default=DEFAULT_HYSTERESIS,
        metavar="H",
        help="for srpt, how many times as long a job must be to give way (default: %(default)s)",
    )


def specs(args: argparse.Namespace, classes: str) -> list[PolicySpec]:
    """The policies to compare on this table of classes; Simple is always among them, as the baseline."""
    names = ["simple", *(part.strip() for part in args.policies.split(",") if part.strip())]
    for name in names:
        if name not in POLICIES:
            raise InputError(f"--policies: unknown policy {name!r}; choose from {', '.join(POLICIES)}")
    chosen = [spec for name in dict.fromkeys(names) for spec in variants(name, args, classes)]
    for spec in chosen:
        spec.build()
    return chosen


def variants(name: str, args: argparse.Namespace, classes: str) -> list[PolicySpec]:
    """One policy with the options that it has, once for each kappa if that is one of them."""
    wanted = inspect.signature(POLICIES[name]).parameters
    given = {option: getattr(args, option) for option in OPTIONS if option in wanted}
    if "kappa" not in wanted:
        return [PolicySpec(label=name, policy=name, parameters=given)]
    if args.kappa_relative is not None:
        relative = {"kappa_relative": args.kappa_relative, **given}
        return [PolicySpec(label=f"{name} (relative {args.kappa_relative:g})", policy=name, parameters=relative)]
    return [
        PolicySpec(label=f"{name}{suffix}", policy=name, parameters={"kappa": kappa, **given})
        for suffix, kappa in kappas(args.kappa, classes).items()
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
