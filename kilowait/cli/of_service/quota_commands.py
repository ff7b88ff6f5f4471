"""The commands of `kilowait quota`."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kilowait.cli.of_service.speaking import add_command, add_group
from kilowait.client.service_text import table
from kilowait.core.errors import InputError

if TYPE_CHECKING:
    from kilowait.client.client import Client

LIMITS = ("gpus", "jobs", "kwh", "cost")


def add_quota(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare them."""
    text = "what a project, or each user, may have: GPUs at a time, waiting jobs, kWh and cost of 30 days"
    actions = add_group(commands, "quota", text)
    set_text = "set a quota, in the place of an earlier one of this name (operators)"
    add = add_command(actions, "set", set_text, _set, lambda answer: f"{answer['set']} is set\n")
    add.add_argument("--member", action="append", default=[], metavar="USER", help="of the project; may be repeated")
    add.add_argument("--each-user", action="store_true", help="it is no project's, but every user's alone")
    add.add_argument("--gpus", type=int, metavar="N", help="held at a time")
    add.add_argument("--jobs", type=int, metavar="N", help="that wait; more are refused")
    admin_text = "of the project: sees and cancels its members' jobs, and removes members; may be repeated"
    add.add_argument("--admin", action="append", default=[], metavar="USER", help=admin_text)
    add.add_argument("--cost", type=float, metavar="AMOUNT", help="of GPUs in 30 days, by the site's prices")
    add.add_argument("--kwh", type=float, metavar="KWH", help="of 30 days, as predicted")
    remove_text = "let it be a quota no more (operators)"
    remove = add_command(actions, "remove", remove_text, _remove, lambda answer: f"{answer['removed']} is gone\n")
    for one in (add, remove):
        one.add_argument("name", metavar="NAME", help="of the project, or of the rule for each user")
    leave_text = "let somebody be a member of a project no more (operators, and its administrators)"
    leave = add_command(actions, "remove-member", leave_text, _leave, lambda answer: f"{answer['removed']} is gone\n")
    leave.add_argument("name", metavar="NAME", help="of the project")
    leave.add_argument("member", metavar="USER", help="who leaves it")
    list_text = "list those that concern you (operators: all), with what is had of them"
    add_command(actions, "list", list_text, lambda _, c: c.quotas(), _listed)


def _set(args: argparse.Namespace, client: "Client") -> Any:
    limits = {name: getattr(args, name) for name in LIMITS if getattr(args, name) is not None}
    if not limits:
        raise InputError(f"quota {args.name}: it limits nothing; give --gpus, --jobs, --kwh or --cost")
    if bool(args.member) == args.each_user:
        raise InputError(f"quota {args.name}: whose is it? give --member USER for a project, or --each-user")
    admins = {"admins": args.admin} if args.admin else {}  # which an earlier service does not know
    client.set_quota(args.name, {"members": args.member, **admins, **limits})
    return {"set": args.name}


def _remove(args: argparse.Namespace, client: "Client") -> Any:
    client.remove_quota(args.name)
    return {"removed": args.name}


def _leave(args: argparse.Namespace, client: "Client") -> Any:
    client.remove_member(args.name, args.member)
    return {"removed": args.member}


def _listed(answer: Sequence[Any]) -> str:
    rows = [
        [one["name"], ",".join(one["members"]) or "each user", *(_had(one, name) for name in LIMITS)] for one in answer
    ]
    heads = ["name", "of", "GPUs", "waiting jobs", "kWh of 30 days", "cost of 30 days"]
    return table(heads, rows) if rows else "no quotas\n"


def _had(quota: Any, name: str) -> str:
    limit = "" if quota.get(name) is None else f" of {quota[name]:g}"
    return f"{quota['had'].get(name, 0.0):.4g}{limit}"
