"""What a job costs on each type, where prices are known: for reports, and as a line that ranks the types."""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilowait.cli.gpu_prices import GpuPrices, read_gpu_prices

if TYPE_CHECKING:
    from kilowait.core.jobs import Prediction
    from kilowait.simulate.run import Placement


def add_price_option(parser: argparse.ArgumentParser) -> None:
    """Declare `--gpu-prices FILE`."""
    text = "what a GPU of each type costs an hour: CSV with gpu_type,price_per_hour[,currency], or TOML (default: the "
    parser.add_argument("--gpu-prices", type=Path, metavar="FILE", help=f"{text}price_per_hour of --gpu-file)")


def prices_of(args: argparse.Namespace) -> GpuPrices:
    """The prices that were given; none but those of the GPU types' file where no table was."""
    return read_gpu_prices(args.gpu_prices) if args.gpu_prices else GpuPrices(by_type={})


def cost_of(prediction: "Prediction", gpu_type: str, gpus: int, prices: GpuPrices) -> dict[str, Any]:
    """What `amounts_of` says, under "cost"; {} where there is no price."""
    amounts = amounts_of(prediction, gpu_type, gpus, prices)
    return {"cost": amounts} if amounts else {}


def amounts_of(prediction: "Prediction", gpu_type: str, gpus: int, prices: GpuPrices) -> dict[str, Any]:
    """The cost of a predicted job with the ends of its interval; {} where there is no price."""
    price = prices.of(gpu_type)
    if price is None:
        return {}
    ends = {"low": prediction.runtime_low_s, "high": prediction.runtime_high_s}
    return {
        "amount": price.cost(gpus, prediction.runtime_s),
        **{end: None if seconds is None else price.cost(gpus, seconds) for end, seconds in ends.items()},
        "currency": price.currency,
        "price_per_hour": price.per_hour,
    }


def cost_lines(devices: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The types from the cheapest to the dearest; nothing where no type has a price."""
    costs = {name: numbers["cost"] for name, numbers in devices.items() if "cost" in numbers}
    if not costs:
        return []
    ranked = sorted(costs.items(), key=lambda item: float(item[1]["amount"]))
    shown = ", ".join(f"{name} {_amount(cost)}" for name, cost in ranked)
    without = [name for name in devices if name not in costs]
    missing = f"; no price for {', '.join(without)}" if without else ""
    return [f"  cost in {ranked[0][1]['currency']}, cheapest first: {shown}{missing}"]


def total_cost(placements: "Iterable[Placement]", prices: GpuPrices) -> dict[str, Any]:
    """What all attempts of a simulation cost together; {} unless every type that was used has a price."""
    total, currency = 0.0, ""
    for placement in placements:
        price = prices.of(placement.gpu_type)
        if price is None:
            return {}
        total += price.cost(1, placement.gpu_s)
        currency = price.currency
    return {"cost": total, "currency": currency} if currency else {}


def _amount(cost: Mapping[str, Any]) -> str:
    interval = "" if cost["low"] is None else f" ({cost['low']:.3g} to {cost['high']:.3g})"
    return f"{cost['amount']:.3g}{interval}"
