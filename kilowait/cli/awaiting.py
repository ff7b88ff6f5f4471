"""Commands that stay with a job until it is over: `submit --follow`, `wait` and `logs -f`, and what they exit with."""

import argparse
import io
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kilowait.cli.array_jobs.task_names import is_whole_array, jobs_named
from kilowait.client import array_text, service_text
from kilowait.client.looking import pauses
from kilowait.core.control_characters import LINES, escaped
from kilowait.core.errors import InputError
from kilowait.core.jobs import OVER

if TYPE_CHECKING:
    from kilowait.client.client import Client

Json = Any
EXIT_UNFINISHED, EXIT_TIMEOUT, EXIT_INTERRUPTED = 1, 124, 130
EXIT_HELP = (
    "exits with 0 when it has finished, with its program's exit code when it failed, with 1 when it was cancelled or "
    f"has no exit code, with {EXIT_TIMEOUT} after --timeout-s; Ctrl-C leaves it running and exits with "
    f"{EXIT_INTERRUPTED}"
)


def exit_code(job: Json) -> int:
    """What `wait` exits with for a job that is over."""
    if job["state"] == "finished":
        return 0
    code = job["attempts"][-1]["exit_code"] if job["attempts"] and job["state"] == "failed" else None
    return code % 256 or EXIT_UNFINISHED if code else EXIT_UNFINISHED


def wait(client: "Client", job_ids: Sequence[str], *, timeout_s: float | None = None, quiet: bool = False) -> int:
    """Wait until all these jobs are over; the largest of their exit codes. Says what becomes of each."""
    names = [
        name for job_id in job_ids for name in ([job_id] if is_whole_array(job_id) else jobs_named(client, [job_id]))
    ]
    left, code, silent = dict.fromkeys(names), 0, pauses()
    ends_s = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        for job_id in list(left):
            if (outcome := _outcome(client, job_id)) is not None:
                del left[job_id]
                code = max(code, outcome[0])
                _say("" if quiet else outcome[1])
        if not left:
            return code
        if ends_s is not None and time.monotonic() >= ends_s:
            _say(f"kilowait: {', '.join(left)}: not over after {timeout_s:,.0f} s\n")
            return EXIT_TIMEOUT
        pause_s = next(silent)
        time.sleep(pause_s if ends_s is None else max(0.0, min(pause_s, ends_s - time.monotonic())))


def _outcome(client: "Client", name: str) -> tuple[int, str] | None:
    """The exit code of a job, or the largest of an array's tasks, and how it ended; None before it is over."""
    if not is_whole_array(name):
        job = client.job(name)
        return (exit_code(job), service_text.ended(job)) if job["state"] in OVER else None
    array = client.array(name)
    if set(array["states"]) - OVER:
        return None
    code = max(map(exit_code, client.jobs(array=name, state="failed")), default=0)
    return max(code, EXIT_UNFINISHED if "cancelled" in array["states"] else 0), array_text.ended(array)


def follow(client: "Client", job_id: str, *, rank: int = 0) -> int:
    """Write a job's log as it grows, beside it (on standard error) when it starts and how it ends; its exit code."""
    try:
        _say(service_text.standing(client.job(job_id)))
        write_log(client, job_id, rank=rank)
        return wait(client, [job_id])
    except KeyboardInterrupt:
        _say(f"\nkilowait: {job_id} goes on; follow it again with: kilowait logs -f {job_id}\n")
        return EXIT_INTERRUPTED


def write_log(client: "Client", job_id: str, *, rank: int = 0) -> None:
    """Write a job's log as it grows, until the job is over: its own text, but nothing that steers a terminal."""
    newlines, terminal = io.IncrementalNewlineDecoder(None, translate=True), sys.stdout.isatty()
    for piece in client.follow(job_id, rank=rank):
        text = piece.decode()
        sys.stdout.write(escaped(newlines.decode(text), LINES) if terminal else text)
        sys.stdout.flush()


def run_wait(args: argparse.Namespace, client: "Client") -> Json:
    """The command `wait`."""
    try:
        code = wait(client, args.job_ids, timeout_s=args.timeout_s, quiet=args.json)
    except KeyboardInterrupt:
        _say(f"\nkilowait: {', '.join(args.job_ids)} go on\n")
        code = EXIT_INTERRUPTED
    args.exit_code = code
    return [client.job(job_id) for job_id in jobs_named(client, args.job_ids)] if args.json else None


def run_follow(args: argparse.Namespace, client: "Client", job_id: str) -> None:
    """`submit --follow`; the exit code is the job's."""
    if args.json:
        raise InputError("--json and --follow do not go together: a log that grows is no JSON object")
    args.exit_code = follow(client, job_id)


def _say(text: str) -> None:
    sys.stderr.write(escaped(text, LINES))
    sys.stderr.flush()
