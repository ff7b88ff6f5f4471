"""`kilowait shell`: GPUs for as long as one types, on a terminal of one's own."""

import argparse
import os
import re
import sys
import time
from typing import TYPE_CHECKING, Any

from kilowait.cli import awaiting
from kilowait.cli.by_the_hour.within_text import duration
from kilowait.cli.job_options import names, pair
from kilowait.cli.of_service.attached_terminal import AttachedTerminal, End
from kilowait.cli.of_service.speaking import add_command, client_of
from kilowait.client import service_text
from kilowait.client.looking import pauses
from kilowait.core.control_characters import LINES, escaped
from kilowait.core.errors import InputError
from kilowait.core.jobs import OVER

if TYPE_CHECKING:
    from kilowait.client.client import Client

TEXT = "a shell on a node, with GPUs of its own: it waits for its place, and its GPUs are free again once it ends"
TERM = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,60}")
KEYS = """\
Ctrl-D or exit ends it, and so do --for and --idle-timeout. ~. at the beginning of a line leaves it, as does a
connection that is lost: it goes on until it is idle for so long, and kilowait shell --attach JOB comes back. Exits as
its COMMAND does.
"""
EXAMPLE = """\
examples:
  $ kilowait shell --gpus 1
  $ kilowait shell --gpus 2 --gpu-types A100 --for 2h --idle-timeout 30m
  $ kilowait shell --software vision -- python -i
  $ kilowait shell --attach job-00000012
"""


def add_shell(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare it."""
    parser = add_command(commands, "shell", TEXT, _run, service_text.job)
    parser.description = f"{TEXT}. What stands behind -- runs in the place of bash. {KEYS}"
    parser.epilog = EXAMPLE
    add = parser.add_argument
    add("--gpus", type=int, default=1, metavar="N", help="all on one node (default: 1)")
    kinds = "types it may use (default: any)"
    add("--gpu-types", "--gpu-type", type=names, metavar="TYPE,...", dest="gpu_types", help=kinds)
    add("--gpu-milli", type=int, metavar="N", help="thousandths of one GPU, 1 to 1000")
    add("--memory-gb", type=float, metavar="GB", help="memory that it needs on each GPU")
    add(
        "--for",
        type=duration,
        dest="length_s",
        metavar="TIME",
        help="planned for so long, and ended then (default: 1h)",
    )
    idle = "ended once nothing was typed, or shown to somebody, for so long (default: 30m)"
    add("--idle-timeout", type=duration, dest="idle_s", metavar="TIME", help=idle)
    add("--priority", type=int, metavar="N", help="the larger the more urgent, for the policy fair")
    add("--software", metavar="NAME", help="the environment of the operator's that it runs in")
    add("--image", metavar="IMAGE", help="a container's image that it runs in, of those that the operator allows")
    add("--env", type=pair, action="append", default=[], metavar="NAME=TEXT", help="a variable it sees; repeatable")
    add("--secret", action="append", metavar="NAME", help="a secret of yours that it sees as a variable; repeatable")
    add("--name", metavar="NAME", help="what it is called in lists")
    add("--label", type=pair, action="append", default=[], metavar="NAME=TEXT", help="may be repeated")
    add("--attach", metavar="JOB", help="come back to a shell of yours; asks for none")


def _run(args: argparse.Namespace, client: "Client") -> Any:
    job_id = args.attach or client.open_shell(_asked(args))["job_id"]
    try:
        job = _awaited(client, job_id)
    except KeyboardInterrupt:
        return _given_up(args, client, job_id)
    if job["state"] == "running":
        end = AttachedTerminal(client, client_of(args), job_id, recent=bool(args.attach)).until_end()
        if end is not End.OVER:
            _say(f"\nkilowait: {job_id} goes on until it is idle; come back with: kilowait shell --attach {job_id}\n")
            args.exit_code = 0 if end is End.LEFT else 1
            return None
    job = _over(client, job_id)
    _say(service_text.ended(job))
    args.exit_code = awaiting.exit_code(job)
    return job if args.json else None


def _asked(args: argparse.Namespace) -> dict[str, Any]:
    term = os.environ.get("TERM", "") if sys.stdin.isatty() else "dumb"
    asked = {
        "gpus": args.gpus,
        "gpu_types": args.gpu_types,
        "gpu_milli": args.gpu_milli,
        "memory_bytes": None if args.memory_gb is None else round(args.memory_gb * 1e9),
        "length_s": args.length_s,
        "idle_s": args.idle_s,
        "priority": args.priority,
        "software": args.software,
        "image": args.image,
        "environment": dict(args.env),
        "secrets": args.secret,
        "name": args.name,
        "labels": dict(args.label),
        "command": args.arguments,
        "term": term if TERM.fullmatch(term) else "xterm",
    }
    return {name: value for name, value in asked.items() if value is not None}


def _awaited(client: "Client", job_id: str) -> Any:
    """The job once it waits no more; says meanwhile when it is expected to start."""
    terminal, said = sys.stderr.isatty(), ""
    for pause_s in pauses():
        job = client.job(job_id)
        if job.get("kind") != "shell":
            raise InputError(f"{job_id} is no shell and has no terminal; read what it writes with: kilowait logs -f")
        starts = job["state"] == "running" and job["attempts"][-1]["started_s"] is not None
        line = service_text.standing(job).rstrip("\n") + ("; Ctrl-C gives it up" if not starts else "")
        if line != said and job["state"] not in OVER:
            _say(f"\r\x1b[K{line}" if terminal and not starts else f"\r\x1b[K{line}\n" if terminal else f"{line}\n")
            said = line
        if starts or job["state"] in OVER:
            return job
        time.sleep(pause_s)
    raise AssertionError("pauses never end")


def _given_up(args: argparse.Namespace, client: "Client", job_id: str) -> None:
    """As with Slurm's salloc, who waits no more wants no GPUs."""
    if not args.attach:
        client.cancel(job_id)
    _say(f"\nkilowait: {job_id} {'goes on' if args.attach else 'is cancelled'}\n")
    args.exit_code = awaiting.EXIT_INTERRUPTED


def _over(client: "Client", job_id: str) -> Any:
    for pause_s in pauses():
        if (job := client.job(job_id))["state"] in OVER:
            return job
        time.sleep(pause_s)
    raise AssertionError("pauses never end")


def _say(text: str) -> None:
    sys.stderr.write(text if text.startswith("\r\x1b[K") else escaped(text, LINES))
    sys.stderr.flush()
