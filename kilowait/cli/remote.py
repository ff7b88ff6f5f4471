"""The commands of `kilowait` that speak to the live service: submit, ps, show, why, what-if, cancel, logs, ...

Each prints a table, or the service's JSON with --json. The service is where KILOWAIT_URL says, the token what
KILOWAIT_TOKEN says, unless --url and --token do.
"""

import argparse
import codecs
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilowait.client import model_text, service_text
from kilowait.core.control_characters import LINES, escaped, escaped_all
from kilowait.core.errors import InputError

if TYPE_CHECKING:
    from kilowait.client.client import Client

BEHIND = "what stands behind -- is what the program is called with"
EXAMPLE = """\
examples:
  $ export KILOWAIT_URL=http://127.0.0.1:8000 KILOWAIT_TOKEN=kw_...
  $ kilowait submit train.py --gpus 2 --gpu-types A100,A6000 --label team=vision -- --epochs 3
  $ kilowait submit sweep/*.py --gpus 1 --label sweep=lr
  $ kilowait submit project/ --entrypoint train.py --deadline 2026-12-01T18:00:00+00:00
  $ kilowait ps --state waiting
  $ kilowait why job-00000012
  $ kilowait logs -f job-00000012
"""
Run = Callable[[argparse.Namespace, "Client"], Any]


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare every command; nothing is imported that costs time."""
    text = "submit a program, or several at once, to the live service"
    submit = _add(commands, "submit", text, _submit, _submitted)
    _add_job(submit)
    submit.add_argument("others", nargs="*", metavar="FILE", help="more programs, submitted alike in one request")
    submit.add_argument("--key", help="asking again with the same key is the same job (default: a new one)")
    if_parser = _add(commands, "what-if", "what a program would get now, on each type", _what_if, service_text.what_if)
    _add_job(if_parser)
    ps = _add(commands, "ps", "list your jobs (operators: everybody's)", _ps, service_text.jobs)
    ps.add_argument("--state", choices=("waiting", "running", "finished", "failed", "cancelled"))
    ps.add_argument("--owner", help="for operators: whose jobs")
    for name, text, run, show in (
        ("show", "a job: what was predicted, what was measured", lambda a, c: c.job(a.job_id), service_text.job),
        ("why", "why a job waits, or got its GPU type", lambda a, c: c.why(a.job_id), service_text.why),
        (
            "cancel",
            "withdraw a job, or ask its program to end",
            lambda a, c: c.cancel(a.job_id),
            service_text.cancelled,
        ),
    ):
        _add(commands, name, text, run, show).add_argument("job_id", metavar="JOB")
    logs = _add(commands, "logs", "what a job wrote", _logs, str)
    logs.add_argument("job_id", metavar="JOB")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the job is over")
    logs.add_argument(
        "--rank", type=int, default=0, metavar="N", help="of which node, for a job on several (default: 0)"
    )
    _add(commands, "cluster", "the GPUs by type and the nodes", lambda _, c: c.cluster(), service_text.cluster)
    health_text = "whether the service can do its work, and how it keeps jobs apart"
    _add(commands, "health", health_text, lambda _, c: c.health(), service_text.health)
    for name, text, run in (
        ("drain", "give a node no more jobs, until undrain (operators)", lambda a, c: c.drain(a.node)),
        ("undrain", "give a node that drains jobs again (operators)", lambda a, c: c.undrain(a.node)),
    ):
        node = _add(commands, name, text, run, service_text.cluster)
        node.add_argument("node", metavar="NODE", help="the beginning of its name, as kilowait cluster shows it")
    history = _add(commands, "history", "export every attempt that has ended", _history, lambda answer: str(answer))
    history.add_argument("--format", choices=("csv", "parquet"), default="csv", help="default: csv")
    history.add_argument("--out", type=Path, metavar="FILE", help="write here (default: standard output, csv only)")
    _add_token(commands)
    _add_model(commands)


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    text: str,
    run: Run,
    show: Callable[[Any], str],
) -> argparse.ArgumentParser:
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
    parser.set_defaults(run=lambda args: _speak(args, run, show))
    return parser


def _add_job(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("program", metavar="FILE|FOLDER", help=f"a Python file, or a folder with --entrypoint; {BEHIND}")
    add("--entrypoint", metavar="FILE", help="the file of the folder that is run")
    add("--gpus", type=int, metavar="N", help="GPUs it takes (default: what the source says, else 1)")
    add(
        "--gpu-types",
        type=_names,
        metavar="TYPE,...",
        help="types it may use (default: what the source says, else any)",
    )
    add("--gpu-milli", type=int, metavar="N", help="thousandths of one GPU, 1 to 1000")
    add("--one-node", action="store_true", help="all its GPUs on one node")
    add("--memory-gb", type=float, metavar="GB", help="memory that it needs on each GPU")
    add("--priority", type=int, metavar="N", help="the larger the more urgent, for the policy fair")
    add("--deadline", metavar="TIME", help="as 2026-12-01T18:00:00+00:00; shown, not enforced")
    add("--label", type=_pair, action="append", default=[], metavar="NAME=TEXT", help="may be repeated")
    add("--env", type=_pair, action="append", default=[], metavar="NAME=TEXT", help="a variable it sees; repeatable")
    add("--software", metavar="NAME", help="the environment of the operator's that it runs in")
    add("--force", action="store_true", help="submit it though its memory fits no type that it may use")
    add("--timeout-s", type=float, metavar="S", help="end it after so many seconds")
    add("--max-attempts", type=int, metavar="N", help="attempts in all when its node is lost (default: 3)")


def _add_token(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "make, list and revoke tokens (operators)"
    token_parser = commands.add_parser("token", help=text, description=text, allow_abbrev=False)
    actions = token_parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    make = _add(actions, "create", "make a token; it is shown once", _make_token, lambda answer: f"{answer['token']}\n")
    make.add_argument("--owner", required=True, help="whose jobs are submitted with it")
    make.add_argument("--role", required=True, choices=("read", "submit", "operate"))
    database_help = "make it in this history directly, without a service: for the first token"
    make.add_argument("--database", metavar="URL", help=database_help)
    _add(actions, "list", "list tokens, without secrets", lambda _, c: c.tokens(), service_text.tokens)
    revoke = _add(actions, "revoke", "refuse a token from now on", _revoke_token, lambda _: "revoked\n")
    revoke.add_argument("token_id", metavar="ID", help="as listed")
    revoke.add_argument("--force", action="store_true", help="even the last operator's")


def _add_model(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "list, show, promote and roll back what was learnt from finished jobs"
    model_parser = commands.add_parser("model", help=text, description=text, allow_abbrev=False)
    actions = model_parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add(actions, "list", "every model and which is in force", lambda _, c: c.models(), model_text.models)
    show = _add(actions, "show", "a model and its comparison", lambda a, c: c.model(a.version), model_text.model)
    promote = _add(
        actions,
        "promote",
        "put a model in force, whatever its comparison said (operators)",
        lambda a, c: c.promote(a.version, a.reason),
        model_text.change,
    )
    text = "take the model in force off; the one before it is in force again (operators)"
    rollback = _add(actions, "rollback", text, lambda a, c: c.rollback(a.reason), model_text.change)
    for parser in (show, promote):
        parser.add_argument("version", metavar="VERSION", help="as listed")
    for parser in (promote, rollback):
        parser.add_argument("--reason", required=True, metavar="TEXT", help="kept beside the change")


def _speak(args: argparse.Namespace, run: Run, show: Callable[[Any], str]) -> int:
    from kilowait.client.client import DEFAULT_URL, Client

    url = args.url or os.environ.get("KILOWAIT_URL") or DEFAULT_URL
    answer = run(args, Client(url, args.token or os.environ.get("KILOWAIT_TOKEN")))
    if answer is not None:
        sys.stdout.write(json.dumps(answer, indent=1) + "\n" if args.json else _shown(answer, show))
    refused = isinstance(answer, list) and any("refused" in entry and entry["refused"] for entry in answer)
    return 2 if refused else 0


def _shown(answer: Any, show: Callable[[Any], str]) -> str:
    """An answer as text. Its fields are of others; a log or an export is a text of its own, raw but on a terminal."""
    if not isinstance(answer, str):
        return show(escaped_all(answer))
    return (
        escaped(io.IncrementalNewlineDecoder(None, translate=True).decode(answer), LINES) if _on_terminal() else answer
    )


def _on_terminal() -> bool:
    return sys.stdout.isatty()


def _asked(args: argparse.Namespace, program: str | None = None) -> dict[str, Any]:
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
        deadline=args.deadline,
        labels=dict(args.label) or None,
        environment=dict(args.env) or None,
        timeout_s=args.timeout_s,
        force=args.force or None,
        software=args.software,
        max_attempts=args.max_attempts,
    )


def _submit(args: argparse.Namespace, client: "Client") -> Any:
    if not args.others:
        return client.submit(_asked(args), args.key)
    programs = [args.program, *args.others]
    answers = client.submit_batch([_asked(args, program) for program in programs], args.key)
    return [{"program": program, **answer} for program, answer in zip(programs, answers, strict=True)]


def _submitted(answer: Any) -> str:
    return service_text.batch(answer) if isinstance(answer, list) else service_text.submitted(answer)


def _what_if(args: argparse.Namespace, client: "Client") -> Any:
    return client.what_if(_asked(args))


def _ps(args: argparse.Namespace, client: "Client") -> Any:
    filters = {name: getattr(args, name) for name in ("state", "owner") if getattr(args, name)}
    return list(client.jobs(**filters))


def _logs(args: argparse.Namespace, client: "Client") -> Any:
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
    decoder: Any = codecs.getincrementaldecoder("utf-8")("replace")  # a piece may end in the middle of a character
    if terminal := _on_terminal():
        decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
    for chunk in client.follow(args.job_id, rank=args.rank):
        text = decoder.decode(chunk)
        sys.stdout.write(escaped(text, LINES) if terminal else text)
        sys.stdout.flush()
    sys.stdout.write(decoder.decode(b"", final=True))
    return None


def _history(args: argparse.Namespace, client: "Client") -> Any:
    if args.out is None and args.format == "parquet":
        raise InputError("--format parquet: give --out FILE; Parquet is not for a terminal")
    data = client.history(args.format)
    if args.out is None:
        return {"csv": data.decode()} if args.json else data.decode()
    args.out.write_bytes(data)
    return {"bytes": len(data), "file": str(args.out)} if args.json else f"{len(data):,} bytes written to {args.out}\n"


def _make_token(args: argparse.Namespace, client: "Client") -> Any:
    if args.database is None:
        return {"token": client.make_token(args.owner, args.role)}
    import time

    from kilowait.history.store import Store
    from kilowait.history.tokens import Role, create

    store = Store(args.database)
    try:
        return {"token": create(store, args.owner, Role.named(args.role), time.time())}
    finally:
        store.close()


def _revoke_token(args: argparse.Namespace, client: "Client") -> Any:
    client.revoke_token(args.token_id, force=args.force)
    return {"revoked": args.token_id}


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (equals and name):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=TEXT")
    return name, value
