"""A command that asks the live service something, and shows what it answers."""

import argparse
import io
import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kilowait.core.control_characters import LINES, escaped, escaped_all

if TYPE_CHECKING:
    from kilowait.client.client import Client

EXAMPLE = """\
examples:
  $ export KILOWAIT_URL=http://127.0.0.1:8000 KILOWAIT_TOKEN=kw_...
  $ kilowait submit train.py --gpus 2 --gpu-types A100,A6000 --label team=vision -- --epochs 3
  $ kilowait submit sweep/*.py --gpus 1 --label sweep=lr
  $ kilowait submit train.py --sweep params.csv --at-once 8 -- --epochs 3
  $ kilowait submit project/ --entrypoint train.py --deadline 2026-12-01T18:00:00+00:00
  $ kilowait ps --state waiting
  $ kilowait why job-00000012
  $ kilowait logs -f job-00000012
"""
Run = Callable[[argparse.Namespace, "Client"], Any]


def add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    text: str,
    run: Run,
    show: Callable[[Any], str],
) -> argparse.ArgumentParser:
    """Declare a command: `run` asks the service, `show` makes a text of what it answers."""
    parser = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print the service's JSON instead of a table")
    parser.add_argument("--url", help="the service (default: KILOWAIT_URL, else http://127.0.0.1:8000)")
    parser.add_argument("--token", help="the token (default: KILOWAIT_TOKEN, which others on this host cannot read)")
    parser.set_defaults(run=lambda args: speak(args, run, show))
    return parser


def add_group(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str
) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
    """Declare a command that has actions, to which these are added."""
    parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    return parser.add_subparsers(title="actions", metavar="ACTION", required=True)


def speak(args: argparse.Namespace, run: Run, show: Callable[[Any], str]) -> int:
    """Run a command; its exit code."""
    answer = run(args, client_of(args))
    if answer is not None:
        sys.stdout.write(json.dumps(answer, indent=1) + "\n" if args.json else shown(answer, show))
    entries = answer if isinstance(answer, list) else [answer]
    refused = any(isinstance(entry, dict) and entry.get("refused") for entry in entries)
    return 2 if refused else getattr(args, "exit_code", 0)


def client_of(args: argparse.Namespace) -> "Client":
    """A client of the service that --url and --token say, else KILOWAIT_URL and KILOWAIT_TOKEN."""
    from kilowait.client.client import DEFAULT_URL, Client

    url = args.url or os.environ.get("KILOWAIT_URL") or DEFAULT_URL
    return Client(url, args.token or os.environ.get("KILOWAIT_TOKEN"))


def written(data: bytes, args: argparse.Namespace) -> Any:
    """Write an export to --out, and say so."""
    args.out.write_bytes(data)
    return {"bytes": len(data), "file": str(args.out)} if args.json else f"{len(data):,} bytes written to {args.out}\n"


def shown(answer: Any, show: Callable[[Any], str]) -> str:
    """An answer as text. Its fields are of others; a log or an export is a text of its own, raw but on a terminal."""
    if not isinstance(answer, str):
        return show(escaped_all(answer))
    return (
        escaped(io.IncrementalNewlineDecoder(None, translate=True).decode(answer), LINES) if on_terminal() else answer
    )


def on_terminal() -> bool:
    """Whether people read what is written."""
    return sys.stdout.isatty()
