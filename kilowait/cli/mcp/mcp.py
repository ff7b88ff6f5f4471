"""`kilowait mcp`: a server for agents over standard input and output (Model Context Protocol)."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from kilowait.core.errors import InputError

EXAMPLE = """\
examples:
  kilowait mcp                                   # as an agent's client starts it
  claude mcp add kilowait -- kilowait mcp --root ~/projects/vision
  KILOWAIT_URL=http://gpus.example:8000 KILOWAIT_TOKEN=kw_... kilowait mcp --allow-submit

Tools: predict, fits (both read a file of --root and execute it dry here, or ask the service that KILOWAIT_URL names),
what_if, why, cluster, history (of the service). They change nothing. With --allow-submit there is submit, too, which
asks the person at the client before each job; a client that cannot ask gets no job submitted.
"""


def add_arguments(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Declare the options."""
    parser.epilog = EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add(
        "--root", type=Path, default=Path(), metavar="DIR", help="the folder whose programs may be read (default: here)"
    )
    add("--allow-submit", action="store_true", help="offer submit, each job confirmed by the person at the client")
    add("--url", help="the service (default: KILOWAIT_URL, else http://127.0.0.1:8000)")
    add("--token", help="the token (default: KILOWAIT_TOKEN, which others on this host cannot read)")


def run(args: argparse.Namespace) -> int:
    """Answer until the client closes; raises InputError for a folder that is none."""
    from kilowait.advise.agents.agent_server import agent_server
    from kilowait.advise.agents.agent_tools import AgentTools
    from kilowait.client.client import DEFAULT_URL

    if not args.root.is_dir():
        raise InputError(f"--root {args.root}: no such folder")
    if args.url:
        os.environ["KILOWAIT_URL"] = args.url
    if args.token:
        os.environ["KILOWAIT_TOKEN"] = args.token
    url, token = os.environ.get("KILOWAIT_URL") or DEFAULT_URL, os.environ.get("KILOWAIT_TOKEN")
    agent_server(AgentTools(root=args.root, url=url, token=token), may_submit=args.allow_submit).run("stdio")
    return 0
