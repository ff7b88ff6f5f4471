"""The commands of `kilowait token`."""

import argparse
import time
from typing import TYPE_CHECKING, Any

from kilowait.cli.of_service.speaking import add_command, add_group
from kilowait.client import service_text

if TYPE_CHECKING:
    from kilowait.client.client import Client


def add_token(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare them."""
    text = "make, list and revoke tokens (operators)"
    actions = add_group(commands, "token", text)
    make = add_command(
        actions, "create", "make a token; it is shown once", _make_token, lambda answer: f"{answer['token']}\n"
    )
    make.add_argument("--owner", required=True, help="whose jobs are submitted with it")
    make.add_argument("--role", required=True, choices=("read", "submit", "operate"))
    make.add_argument("--expires", type=_span, metavar="SPAN", help="how long it holds: 12h, 30d (default: for ever)")
    scope_help = "what it is for, of what the role allows: predict, jobs, notices, secrets, service; repeatable"
    make.add_argument("--scope", action="append", default=[], metavar="SCOPE", help=scope_help)
    database_help = "make it in this history directly, without a service: for the first token"
    make.add_argument("--database", metavar="URL", help=database_help)
    add_command(actions, "list", "list tokens, without secrets", lambda _, c: c.tokens(), service_text.tokens)
    revoke = add_command(actions, "revoke", "refuse a token from now on", _revoke_token, lambda _: "revoked\n")
    revoke.add_argument("token_id", metavar="ID", help="as listed")
    revoke.add_argument("--force", action="store_true", help="even the last operator's")


def _make_token(args: argparse.Namespace, client: "Client") -> Any:
    if args.database is None:
        limits = {"expires_in_s": args.expires, "scopes": args.scope}
        given = {name: value for name, value in limits.items() if value}
        return {"token": client.make_token(args.owner, args.role, **given)}
    from kilowait.history.store import Store
    from kilowait.history.tokens import Role, create

    store = Store(args.database)
    try:
        now_s, role = time.time(), Role.named(args.role)
        expires_s = None if args.expires is None else now_s + args.expires
        return {"token": create(store, args.owner, role, now_s, expires_s=expires_s, scopes=args.scope)}
    finally:
        store.close()


def _revoke_token(args: argparse.Namespace, client: "Client") -> Any:
    client.revoke_token(args.token_id, force=args.force)
    return {"revoked": args.token_id}


def _span(text: str) -> float:
    unit = {"m": 60.0, "h": 3600.0, "d": 86400.0}.get(text[-1:])
    if not unit or not text[:-1].isdecimal() or not int(text[:-1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no span of time; give one as in 12h or 30d")
    return int(text[:-1]) * unit
