"""The command `kilowait audit`."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilowait.cli.of_service.past_time import past_time
from kilowait.cli.of_service.speaking import add_command, written
from kilowait.client.service_text import at, table

if TYPE_CHECKING:
    from kilowait.client.client import Client


def add_audit(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare it."""
    audit = add_command(commands, "audit", "who changed what (operators)", _audit, _shown)
    audit.add_argument("--owner", help="what this user did")
    audit.add_argument("--since", type=past_time, dest="since_s", metavar="TIME", help="then or later: 12h, 7d ago")
    audit.add_argument("--until", type=past_time, dest="until_s", metavar="TIME", help="before")
    audit.add_argument("--out", type=Path, metavar="CSV", help="write all of it here, as CSV")


def _audit(args: argparse.Namespace, client: "Client") -> Any:
    chosen = {name: value for name in ("owner", "since_s", "until_s") if (value := getattr(args, name)) is not None}
    if args.out is None:
        return list(client.audit(**chosen))
    return written(client.audit_csv(**chosen), args)


def _shown(answer: Sequence[Any]) -> str:
    names = ("owner", "role", "token_id", "address", "action", "target", "status")
    rows = [[at(one["time_s"]), *(str(one[name]) for name in names)] for one in answer]
    return table(["when", *names], rows) if rows else "nothing\n"
