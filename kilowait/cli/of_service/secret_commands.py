"""The commands of `kilowait secret`."""

import argparse
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilowait.cli.of_service.speaking import add_command, add_group
from kilowait.client.service_text import at, table

if TYPE_CHECKING:
    from kilowait.client.client import Client


def add_secret(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare them."""
    text = "keep secrets with the service, which gives them to your jobs by name (submit --secret NAME)"
    actions = add_group(commands, "secret", text)
    set_text = "keep what stands on standard input, or is typed, in the place of an earlier value"
    keep = add_command(actions, "set", set_text, _set, lambda answer: f"{answer['set']} is kept\n")
    remove = add_command(actions, "remove", "forget a secret", _remove, lambda answer: f"{answer['removed']} is gone\n")
    for one in (keep, remove):
        one.add_argument("name", metavar="NAME", help="the variable that jobs see")
    add_command(actions, "list", "list the names of yours", lambda _, c: c.secrets(), _listed)
    key_text = "make the key by which a service encrypts secrets, for the service's secrets_key_file (operators)"
    key = actions.add_parser("new-key", help=key_text, description=key_text, allow_abbrev=False)
    key.add_argument("file", type=Path, metavar="FILE", help="a new file, outside the history's folder and its backups")
    key.set_defaults(run=_new_key)


def _set(args: argparse.Namespace, client: "Client") -> Any:
    client.set_secret(args.name, _value(args.name))
    return {"set": args.name}


def _value(name: str) -> str:
    """Never from the command line, which others on this host can read; one line end behind it is none of it."""
    if sys.stdin.isatty():
        return getpass.getpass(f"value of {name}: ")
    return sys.stdin.read().removesuffix("\n").removesuffix("\r")


def _remove(args: argparse.Namespace, client: "Client") -> Any:
    client.remove_secret(args.name)
    return {"removed": args.name}


def _listed(answer: Sequence[Any]) -> str:
    rows = [[one["name"], at(one["set_s"])] for one in answer]
    return table(["name", "set"], rows) if rows else "no secrets\n"


def _new_key(args: argparse.Namespace) -> int:
    from kilowait.history.secrecy.key_file import VARIABLE, new_key

    new_key(args.file)
    sys.stdout.write(f"{args.file} is made; start the service with {VARIABLE}={args.file.absolute()}\n")
    return 0
