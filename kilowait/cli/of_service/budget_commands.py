"""The commands of `kilowait power-budget`."""

import argparse
from typing import TYPE_CHECKING, Any

from kilowait.cli.of_service.speaking import add_command, add_group
from kilowait.client.cluster_text import cluster
from kilowait.core.errors import InputError

if TYPE_CHECKING:
    from kilowait.client.client import Client


def add_power_budget(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare them."""
    text = "watts that all boards and hosts of the cluster may draw together: jobs get power limits, wait or give way"
    actions = add_group(commands, "power-budget", text)
    set_text = "hold the cluster to a power budget, in the place of an earlier one (operators)"
    add = add_command(actions, "set", set_text, _set, cluster)
    step = "watts, or HH:MM=WATTS from a time of the day on (UTC); may be repeated"
    add.add_argument("steps", nargs="+", metavar="WATTS", help=step)
    remove_text = "let there be none any more; power limits are lifted (operators)"
    add_command(actions, "remove", remove_text, lambda _, client: client.remove_power_budget(), cluster)


def _set(args: argparse.Namespace, client: "Client") -> Any:
    return client.set_power_budget([_step(text) for text in args.steps])


def _step(text: str) -> dict[str, Any]:
    at, equals, watts = text.rpartition("=")
    try:
        return {"at": at if equals else "00:00", "watts": float(watts)}
    except ValueError:
        raise InputError(f"power budget {text!r}: must be watts, or HH:MM=WATTS, as in 00:00=8000 07:00=5000") from None
