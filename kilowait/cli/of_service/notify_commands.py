"""The commands of `kilowait notify`."""

import argparse
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilowait.cli.of_service.speaking import add_command, add_group
from kilowait.client.service_text import table
from kilowait.core.errors import InputError

if TYPE_CHECKING:
    from kilowait.client.client import Client

EVENTS = ("start", "end", "failure", "overrun", "deadline")


def add_notify(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare them."""
    text = "be told when your jobs start, end, fail, overrun or may miss a deadline: by webhook, Slack or mail"
    actions = add_group(commands, "notify", text)
    add = add_command(actions, "add", "be told from now on", _add, _added)
    where = add.add_mutually_exclusive_group(required=True)
    read = "its secret is no secret on a command line: @FILE reads it from a file, - from standard input"
    where.add_argument("--webhook", metavar="URL", help=f"a POST of JSON, signed; {read}")
    where.add_argument("--slack", metavar="URL", help="a POST of JSON as Slack's incoming webhooks take it; likewise")
    where.add_argument("--mail", metavar="ADDRESS", help="a mail, where the operator allows it")
    on = f"of what: {', '.join(EVENTS)} (default: end,failure,overrun)"
    add.add_argument("--on", type=_events, metavar="EVENT,...", help=on)
    add.add_argument("--name", default="", metavar="NAME", help="of jobs of this name; NAME* for all that begin so")
    add_command(actions, "list", "list them, and how telling went", lambda _, c: c.notices(), _listed)
    for name, text, run in (
        ("test", "be told something now", lambda a, c: c.try_notice(a.notice_id)),
        ("remove", "be told nothing more", _remove),
    ):
        add_command(actions, name, text, run, lambda _: "done\n").add_argument(
            "notice_id", metavar="ID", help="as listed"
        )


def _add(args: argparse.Namespace, client: "Client") -> Any:
    kind = "webhook" if args.webhook else "slack" if args.slack else "mail"
    asked = {"kind": kind, "target": args.mail or _url(args.webhook or args.slack), "name": args.name}
    return client.notify(asked | ({"events": args.on} if args.on else {}))


def _url(given: str) -> str:
    """What was given, or what stands in the file or on the standard input that it names; raises InputError."""
    try:
        if given == "-":
            return getpass.getpass("URL: ") if sys.stdin.isatty() else sys.stdin.readline().strip()
        return Path(given[1:]).read_text(encoding="utf-8").strip() if given.startswith("@") else given
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{given}: the URL cannot be read: {error}; name a readable file behind the @") from error


def _added(answer: Any) -> str:
    key = answer["signing_key"]
    signed = f"  its webhooks are signed with this key, which is shown once: {key}\n" if key else ""
    return f"{answer['notice_id']}  added; try it with: kilowait notify test {answer['notice_id']}\n{signed}"


def _remove(args: argparse.Namespace, client: "Client") -> Any:
    client.stop_notices(args.notice_id)
    return {"removed": args.notice_id}


def _listed(answer: Sequence[Any]) -> str:
    rows = [
        [
            one["notice_id"],
            one["owner"],
            one["kind"],
            one["target"],
            ",".join(one["events"]),
            one["name"],
            str(one["told"]),
            str(one["due"]),
            str(one["given_up"]),
            one["problem"] or "",
        ]
        for one in answer
    ]
    head = ["id", "owner", "kind", "to", "on", "of", "told", "due", "given up", "problem"]
    return table(head, rows) if rows else "no subscriptions\n"


def _events(text: str) -> list[str]:
    events = [part.strip() for part in text.split(",") if part.strip()]
    if strange := [event for event in events if event not in EVENTS]:
        raise argparse.ArgumentTypeError(f"{strange[0]!r} is none of {', '.join(EVENTS)}")
    return events
