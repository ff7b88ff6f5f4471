"""The commands of `kilowait reserve`."""

import argparse
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kilowait.cli.of_service.past_time import moment
from kilowait.cli.of_service.speaking import add_command, add_group
from kilowait.client.service_text import at, table
from kilowait.core.errors import InputError

if TYPE_CHECKING:
    from kilowait.client.client import Client


def add_reserve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare them."""
    text = "nodes that are kept for users and projects at a time: others' jobs that would not be over stay off them"
    actions = add_group(commands, "reserve", text)
    set_text = "reserve nodes, in the place of an earlier reservation of this name (operators)"
    add = add_command(actions, "set", set_text, _set, lambda answer: f"{answer['set']} is set\n")
    node_text = "the beginning of its name, as kilowait cluster shows it; may be repeated"
    add.add_argument("--node", action="append", default=[], metavar="NODE", required=True, help=node_text)
    add.add_argument("--user", action="append", default=[], metavar="USER", help="whom it is for; may be repeated")
    project_text = "whose members it is for, by the name of its quota; may be repeated"
    add.add_argument("--project", action="append", default=[], metavar="NAME", help=project_text)
    from_text = "as 2026-12-01T18:00:00+00:00 (default: now)"
    add.add_argument("--from", type=moment, dest="begins_s", metavar="TIME", help=from_text)
    add.add_argument("--until", type=moment, dest="ends_s", metavar="TIME", required=True, help="likewise")
    add.add_argument("--reason", default="", metavar="TEXT", help="for whoever looks at the cluster")
    remove_text = "end a reservation, or call it off (operators)"
    remove = add_command(actions, "remove", remove_text, _remove, lambda answer: f"{answer['removed']} is gone\n")
    for one in (add, remove):
        one.add_argument("name", metavar="NAME", help="of the reservation")
    add_command(actions, "list", "those that have not ended", lambda _, c: c.reservations(), _listed)


def _set(args: argparse.Namespace, client: "Client") -> Any:
    if not (args.user or args.project):
        raise InputError(f"reservation {args.name}: for whom? give --user or --project, or use kilowait maintain")
    begins_s = time.time() if args.begins_s is None else args.begins_s
    asked = {"nodes": args.node, "begins_s": begins_s, "ends_s": args.ends_s, "reason": args.reason}
    client.reserve(args.name, {**asked, "users": args.user, "projects": args.project})
    return {"set": args.name}


def _remove(args: argparse.Namespace, client: "Client") -> Any:
    client.end_reservation(args.name)
    return {"removed": args.name}


def _listed(answer: Sequence[Any]) -> str:
    rows = [
        [
            one["name"],
            at(one["begins_s"]),
            at(one["ends_s"]),
            ",".join([*one["users"], *(f"project {name}" for name in one["projects"])]),
            ",".join(node[:12] for node in one["nodes"]),
            one["reason"],
        ]
        for one in answer
    ]
    return table(["name", "from", "until", "for", "nodes", "reason"], rows) if rows else "no reservations\n"
