"""What a job may be asked for on the command line, alike for `submit` and `what-if`."""

import argparse
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from kilowait.cli.by_the_hour.within_text import duration
from kilowait.core.checkpoints.checkpointing import StopSignal
from kilowait.core.errors import InputError
from kilowait.measure.step_lines import PATTERN_VARIABLE, compiled

MOST_S = 1e9
"""Later deadlines are no dates."""
BEHIND = "what stands behind -- is what the program is called with"


def add_job(parser: argparse.ArgumentParser) -> None:
    """Declare the program and everything about it."""
    add = parser.add_argument
    add(
        "program",
        metavar="FILE|FOLDER",
        help=f"a Python file, a script for bash, or a folder with --entrypoint; {BEHIND}",
    )
    add("--entrypoint", metavar="FILE", help="the file of the folder that is run")
    add("--gpus", type=int, metavar="N", help="GPUs it takes (default: what the source says, else 1)")
    add(
        "--gpu-types",
        type=names,
        metavar="TYPE,...",
        help="types it may use (default: what the source says, else any)",
    )
    add("--gpu-milli", type=int, metavar="N", help="thousandths of one GPU, 1 to 1000")
    add("--one-node", action="store_true", help="all its GPUs on one node")
    add("--memory-gb", type=float, metavar="GB", help="memory that it needs on each GPU")
    add("--priority", type=int, metavar="N", help="the larger the more urgent, for the policy fair")
    done = parser.add_mutually_exclusive_group().add_argument
    late = "no job is kept for better hours past its latest start; ends no job"
    done("--deadline", metavar="TIME", help=f"when to be done, as 2026-12-01T18:00:00+00:00: {late}")
    done("--within", type=duration, metavar="TIME", help="the same as a time from now on (8h)")
    kept = "it may be kept so long for hours of less carbon, or at a better price (24h), where the site has signals"
    add("--flexible", type=duration, metavar="TIME", help=kept)
    after = "jobs, or arrays, after which it runs, once they ended well; repeatable"
    add("--after", type=names, action="extend", metavar="JOB,...", help=after)
    add("--after-any", action="store_true", help="with --after: once they ended, well or badly")
    add("--name", metavar="NAME", help="what it is called in lists (default: its entrypoint)")
    add("--label", type=pair, action="append", default=[], metavar="NAME=TEXT", help="may be repeated")
    add("--env", type=pair, action="append", default=[], metavar="NAME=TEXT", help="a variable it sees; repeatable")
    given = "a secret of yours that it sees as a variable (kilowait secret set NAME); repeatable"
    add("--secret", action="append", metavar="NAME", help=given)
    says = "how a line of it says how far it is, where that is not seen: 'done {step} of {total}', * for what changes"
    add("--progress-pattern", type=_template, metavar="TEXT", help=says)
    add("--software", metavar="NAME", help="the environment of the operator's that it runs in")
    add("--image", metavar="IMAGE", help="a container's image that it runs in, of those that the operator allows")
    needs = "packages to build its environment of: requirements.txt, or pyproject.toml or uv.lock beside it"
    add("--requirements", metavar="FILE", help=f"{needs}, where the operator allows it")
    starts = "what starts it on each node, the first two with a process for each GPU (default: python; bash for .sh)"
    add("--launcher", choices=["torchrun", "accelerate", "bash", "python"], help=starts)
    add("--force", action="store_true", help="submit it though its memory fits no type that it may use")
    kept = "a file, folder or pattern (*.pt) of its folder that is kept when it ends; repeatable; see kilowait fetch"
    add("--output", action="append", metavar="PATH", help=kept)
    gives = "it may be preempted, and takes so long to go on from its checkpoint (30s); keep that with --output"
    add("--preemptible", type=duration, metavar="TIME", help=gives)
    add("--checkpoint-signal", choices=get_args(StopSignal), help="tells it to write one, and to end (default: TERM)")
    grace = "how long it may take to do so before it is killed (default: 60s)"
    add("--checkpoint-grace", type=duration, metavar="TIME", help=grace)
    again = "an argument more in every attempt but the first, as in --resume-argument=--resume; repeatable"
    add("--resume-argument", action="append", metavar="TEXT", help=again)
    add("--timeout-s", type=float, metavar="S", help="end it after so many seconds")
    add("--max-attempts", type=int, metavar="N", help="attempts in all when its node is lost (default: 3)")


def asked(args: argparse.Namespace, program: str | None = None) -> dict[str, Any]:
    """A job as the service takes it; `program` in place of the one that was named first."""
    from kilowait.client.asked_job import requirements_of
    from kilowait.client.client import job_of

    return job_of(
        program or args.program,
        args.entrypoint,
        arguments=args.arguments or None,
        gpus=args.gpus,
        gpu_types=args.gpu_types,
        gpu_milli=args.gpu_milli,
        one_node=args.one_node or None,
        memory_bytes=None if args.memory_gb is None else round(args.memory_gb * 1e9),
        priority=args.priority,
        deadline=args.deadline if args.within is None else _from_now(args.within),
        slack_s=args.flexible,
        after=args.after,
        after_any=args.after_any or None,
        name=args.name,
        labels=dict(args.label) or None,
        environment=dict(args.env) | ({PATTERN_VARIABLE: args.progress_pattern} if args.progress_pattern else {})
        or None,
        timeout_s=args.timeout_s,
        outputs=args.output,
        force=args.force or None,
        software=args.software,
        image=args.image,
        requirements=None if args.requirements is None else requirements_of(args.requirements),
        launcher=args.launcher,
        secrets=args.secret,
        max_attempts=args.max_attempts,
        checkpoint=_checkpoint(args),
    )


def _checkpoint(args: argparse.Namespace) -> dict[str, Any] | None:
    """How it is preempted; raises InputError where that is said of a job that is not."""
    given = {"signal": args.checkpoint_signal, "grace_s": args.checkpoint_grace, "arguments": args.resume_argument}
    given = {name: value for name, value in given.items() if value is not None}
    if args.preemptible is not None:
        return {"restart_s": args.preemptible, **given}
    if given:
        raise InputError("--checkpoint-signal, --checkpoint-grace and --resume-argument need --preemptible TIME")
    return None


def _from_now(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=min(seconds, MOST_S))).isoformat(timespec="seconds")


def _template(text: str) -> str:
    """A line with {step} in it, as it is."""
    try:
        compiled(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def names(text: str) -> list[str]:
    """Parts between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def pair(text: str) -> tuple[str, str]:
    """NAME=TEXT."""
    name, equals, value = text.partition("=")
    if not (equals and name):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=TEXT")
    return name, value
