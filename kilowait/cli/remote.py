"""The commands of `kilowait` that speak to the live service: submit, ps, show, why, what-if, cancel, logs, ...

Each prints a table, or the service's JSON with --json. The service is where KILOWAIT_URL says, the token what
KILOWAIT_TOKEN says, unless --url and --token do.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilowait.cli import awaiting, fetch
from kilowait.cli.array_jobs.array_options import add_array, is_array, submit_array
from kilowait.cli.array_jobs.task_names import PREFIX, is_whole_array, job_named, jobs_named, meant
from kilowait.cli.job_options import add_job, asked, pair
from kilowait.cli.of_service.audit_command import add_audit
from kilowait.cli.of_service.budget_commands import add_power_budget
from kilowait.cli.of_service.model_commands import add_model
from kilowait.cli.of_service.notify_commands import add_notify
from kilowait.cli.of_service.past_time import moment, past_time
from kilowait.cli.of_service.quota_commands import add_quota
from kilowait.cli.of_service.reserve_commands import add_reserve
from kilowait.cli.of_service.secret_commands import add_secret
from kilowait.cli.of_service.shell_command import add_shell
from kilowait.cli.of_service.speaking import add_command, shown, written
from kilowait.cli.of_service.token_commands import add_token
from kilowait.client import array_text, cluster_text, service_text
from kilowait.core.errors import InputError

if TYPE_CHECKING:
    from kilowait.client.client import Client


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare every command; nothing is imported that costs time."""
    text = "submit a program, or several at once, to the live service"
    submit = add_command(commands, "submit", text, _submit, _submitted)
    add_job(submit)
    add_array(submit)
    submit.add_argument("others", nargs="*", metavar="FILE", help="more programs, submitted alike in one request")
    submit.add_argument("--key", help="asking again with the same key is the same job (default: a new one)")
    submit.add_argument(
        "-f", "--follow", action="store_true", help=f"write its log until it is over; {awaiting.EXIT_HELP}"
    )
    add_shell(commands)
    if_parser = add_command(
        commands, "what-if", "what a program would get now, on each type", _what_if, service_text.what_if
    )
    add_job(if_parser)
    ps = add_command(commands, "ps", "list your jobs (operators: everybody's)", _ps, array_text.jobs)
    ps.add_argument("--state", choices=("waiting", "running", "finished", "failed", "cancelled"))
    ps.add_argument("--array", metavar="ARRAY", help="the tasks of this job array")
    ps.add_argument("--tasks", action="store_true", help="a line a task, where arrays have one")
    _add_filters(ps)
    for name, text, run, show in (
        ("show", "a job: what was predicted, what was measured", _show, _showed),
        ("why", "why a job waits, or got its GPU type", lambda a, c: c.why(job_named(c, a.job_id)), service_text.why),
    ):
        add_command(commands, name, text, run, show).add_argument("job_id", metavar="JOB", help="or a task, as ARRAY:3")
    text = "withdraw jobs, or ask their programs to end: those of these ids, or all that the options mean"
    cancel = add_command(commands, "cancel", text, _cancel, service_text.cancelled)
    cancel.add_argument(
        "job_ids", nargs="*", metavar="JOB", help="or an array, or tasks of it, as ARRAY:3 or ARRAY:0-9"
    )
    cancel.add_argument("--state", choices=("waiting", "running"), help="only those that wait, or run")
    _add_filters(cancel)
    cancel.add_argument("--all", action="store_true", dest="every", help="all of yours (operators: everybody's)")
    text = "wait until jobs are over"
    waits = add_command(commands, "wait", text, awaiting.run_wait, lambda jobs: "".join(map(service_text.ended, jobs)))
    waits.description = f"{text}; {awaiting.EXIT_HELP}; of several, the largest"
    waits.add_argument("job_ids", nargs="+", metavar="JOB", help="or an array, or a task, as ARRAY:3")
    waits.add_argument("--timeout-s", type=float, metavar="S", help="give up waiting after so many seconds")
    logs = add_command(commands, "logs", "what a job wrote", _logs, str)
    logs.add_argument("job_id", metavar="JOB", help="or a task, as ARRAY:3")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the job is over")
    logs.add_argument(
        "--rank", type=int, default=0, metavar="N", help="of which node, for a job on several (default: 0)"
    )
    fetch_text = "bring the files that a job kept (submit --output) here"
    fetch.add_options(add_command(commands, "fetch", fetch_text, fetch.fetch, fetch.shown))
    add_command(commands, "cluster", "the GPUs by type and the nodes", lambda _, c: c.cluster(), cluster_text.cluster)
    health_text = "whether the service can do its work, and how it keeps jobs apart"
    add_command(commands, "health", health_text, lambda _, c: c.health(), service_text.health)
    for name, text, run in (
        ("drain", "give a node no more jobs, until undrain (operators)", lambda a, c: c.drain(a.node)),
        ("undrain", "give a node that drains jobs again (operators)", lambda a, c: c.undrain(a.node)),
    ):
        node = add_command(commands, name, text, run, cluster_text.cluster)
        node.add_argument("node", metavar="NODE", help="the beginning of its name, as kilowait cluster shows it")
    text = "plan the maintenance of a node: what would not be over is not started on it; undrain ends it (operators)"
    maintain = add_command(commands, "maintain", text, _maintain, cluster_text.cluster)
    maintain.add_argument("node", metavar="NODE", help="the beginning of its name, as kilowait cluster shows it")
    maintain.add_argument(
        "--from", type=moment, dest="begins_s", metavar="TIME", help="as 2026-12-01T18:00:00+00:00 (default: now)"
    )
    maintain.add_argument("--until", type=moment, dest="ends_s", metavar="TIME", required=True, help="likewise")
    maintain.add_argument("--reason", default="", metavar="TEXT", help="for whoever looks at the cluster")
    history = add_command(
        commands, "history", "export every attempt that has ended", _history, lambda answer: str(answer)
    )
    history.add_argument("--format", choices=("csv", "parquet"), default="csv", help="default: csv")
    history.add_argument("--out", type=Path, metavar="FILE", help="write here (default: standard output, csv only)")
    add_token(commands)
    add_model(commands)
    add_audit(commands)
    add_notify(commands)
    add_secret(commands)
    add_quota(commands)
    add_reserve(commands)
    add_power_budget(commands)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", metavar="NAME", help="those of this name; NAME* for all that begin so")
    parser.add_argument(
        "--label", type=pair, action="append", default=[], metavar="NAME=TEXT", help="with this label; may be repeated"
    )
    parser.add_argument("--owner", help="for operators: whose jobs")
    since = "submitted then or later; see --until"
    parser.add_argument("--since", type=past_time, dest="since_s", metavar="TIME", help=since)
    ago = "submitted before: 90m, 12h, 7d ago, or as 2026-12-01T18:00:00+00:00"
    parser.add_argument("--until", type=past_time, dest="until_s", metavar="TIME", help=ago)


def _submit(args: argparse.Namespace, client: "Client") -> Any:
    if is_array(args):
        return submit_array(args, client, asked(args))
    if not args.others:
        answer = client.submit(asked(args), args.key)
        if not args.follow:
            return answer
        sys.stderr.write(shown(answer, service_text.submitted))
        return awaiting.run_follow(args, client, answer["job_id"])
    if args.follow:
        raise InputError("--follow: one program at a time; submit several without it, and use kilowait wait")
    programs = [args.program, *args.others]
    answers = client.submit_batch([asked(args, program) for program in programs], args.key)
    return [{"program": program, **answer} for program, answer in zip(programs, answers, strict=True)]


def _submitted(answer: Any) -> str:
    if isinstance(answer, list):
        return service_text.batch(answer)
    return array_text.submitted(answer) if "array_id" in answer else service_text.submitted(answer)


def _show(args: argparse.Namespace, client: "Client") -> Any:
    name = args.job_id
    return client.array(name) if is_whole_array(name) else client.job(job_named(client, name))


def _showed(answer: Any) -> str:
    return array_text.array(answer) if "array_id" in answer else service_text.job(answer)


def _what_if(args: argparse.Namespace, client: "Client") -> Any:
    return client.what_if(asked(args))


def _ps(args: argparse.Namespace, client: "Client") -> Any:
    names = ("state", "owner", "name", "since_s", "until_s")
    filters = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    filters["label"] = ["=".join(label) for label in args.label]
    if args.array is not None:
        return list(client.jobs(**filters, **meant(args.array)))
    if args.tasks or args.json:
        return list(client.jobs(**filters))
    return [*client.arrays(**filters), *client.jobs(**filters, alone=True)]


def _cancel(args: argparse.Namespace, client: "Client") -> Any:
    filters = {"state": args.state, "name": args.name, "labels": dict(args.label), "owner": args.owner}
    filters |= {"since_s": args.since_s, "until_s": args.until_s, "every": args.every}
    by_filter = {name: value for name, value in filters.items() if value}
    if bool(by_filter) == bool(args.job_ids):
        raise InputError(
            "say which: job ids, or --state, --name, --label, --owner, --since, --until; --all for every job of yours"
        )
    if len(args.job_ids) == 1:
        (name,) = args.job_ids
        return client.cancel_jobs(**meant(name)) if name.startswith(PREFIX) else client.cancel(name)
    return client.cancel_jobs(**by_filter or {"job_ids": jobs_named(client, args.job_ids)})


def _maintain(args: argparse.Namespace, client: "Client") -> Any:
    begins_s = time.time() if args.begins_s is None else args.begins_s
    return client.maintain(args.node, begins_s, args.ends_s, args.reason)


def _logs(args: argparse.Namespace, client: "Client") -> Any:
    args.job_id = job_named(client, args.job_id)
    if not args.follow:
        pieces, offset = [client.log(args.job_id, rank=args.rank)], 0
        while pieces[-1]["next"] > max(offset, pieces[-1]["offset"]):
            offset = pieces[-1]["next"]
            pieces.append(client.log(args.job_id, offset=offset, rank=args.rank))
        text = "".join(piece["text"] for piece in pieces)
        missing = sum(piece.get("missing", 0) for piece in pieces)
        if args.json:
            return {**pieces[-1], "offset": pieces[0]["offset"], "text": text, "missing": missing}
        if missing:
            sys.stderr.write(f"kilowait: {missing:,} bytes of it are no longer kept; it may begin within a line\n")
        return text
    if args.json:
        raise InputError("--json and --follow do not go together: a log that grows is no JSON object")
    return awaiting.write_log(client, args.job_id, rank=args.rank)


def _history(args: argparse.Namespace, client: "Client") -> Any:
    if args.out is None and args.format == "parquet":
        raise InputError("--format parquet: give --out FILE; Parquet is not for a terminal")
    data = client.history(args.format)
    if args.out is None:
        return {"csv": data.decode()} if args.json else data.decode()
    return written(data, args)
