"""Power limits in `kilowait simulate`: curves for the jobs of a list, by what they draw on each type, and the price."""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kilowait.core.jobs import Job, Prediction

if TYPE_CHECKING:
    from kilowait.simulate.run import Submission

DEFAULT_S_PER_KWH = 1500.0


def add_limit_options(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    limit_help = "choose power limits too; a kWh is worth so many seconds of a job's (default without a number: 1500)"
    add = parser.add_argument
    add("--power-limits", type=float, nargs="?", const=DEFAULT_S_PER_KWH, metavar="S_PER_KWH", help=limit_help)
    add("--power-budget", type=float, metavar="WATTS", help="of all boards together, idle ones too; never passed")


def jobs_of(args: argparse.Namespace) -> "list[Submission]":
    """The list of jobs, with curves of power limits where these were asked for; raises InputError for a bad file."""
    from kilowait.simulate.jobs_csv import read_submissions

    totals = {name: sum(counts) for name, counts in args.gpus.items()}
    submissions = read_submissions(args.jobs, totals, args.predictions)
    if args.power_limits is None and args.power_budget is None:
        return submissions
    return [
        replace(one, truth=_with_curves(one.truth, one.job), seen=_with_curves(one.seen, one.job))
        for one in submissions
    ]


def limits_of(args: argparse.Namespace) -> dict[str, Any]:
    """The price of limits and the budget as keywords of `simulate`; raises InputError for a price below 0."""
    from kilowait.policies.limiting.limit_price import LimitPrice
    from kilowait.simulate.within_power.power_budget import PowerBudget

    price = LimitPrice(s_per_kwh=DEFAULT_S_PER_KWH if args.power_limits is None else args.power_limits)
    found: dict[str, Any] = {} if args.power_limits is None else {"limits": price}
    return (
        found if args.power_budget is None else {**found, "budget": PowerBudget(watts=args.power_budget, price=price)}
    )


def _with_curves(predictions: Mapping[str, Prediction], job: Job) -> dict[str, Prediction]:
    from kilowait.predict.power.known_watts import of_catalogue
    from kilowait.predict.power.power_model import PowerModel

    model = PowerModel.load_default()
    return {
        gpu_type: of_catalogue(prediction, gpu_type, job.amount_on(gpu_type), model)
        for gpu_type, prediction in predictions.items()
    }
