"""`kilowait advise --slurm`: when the jobs of Slurm's queue are expected to start, what a new one would get.

With `--apply` it also lowers the time limits of jobs that wait, with `--shortest-first` it changes their order.
"""

import argparse
import getpass
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kilowait.advise.ledger import ledger_folder
from kilowait.advise.limit_quantile import MARGIN_S, MINUTE_S, RISK
from kilowait.advise.slurm.changes.applied_changes import Changes, apply_changes, of_one_run
from kilowait.advise.slurm.changes.exchanged_places import exchanged_places
from kilowait.advise.slurm.changes.lowered_limits import lowered_limits
from kilowait.advise.slurm.partitions import ask_partitions
from kilowait.advise.slurm.queue_cluster import QueueCluster, queue_cluster
from kilowait.advise.slurm.queue_outlook import NewJob, expected_waits, limit_risks, new_job_waits
from kilowait.advise.slurm.rest.rest_queue import rest_jobs, rest_partitions
from kilowait.advise.slurm.rest.rest_server import rest_server
from kilowait.advise.slurm.slurm_queue import ask_queue
from kilowait.advise.slurm.slurm_time import seconds_of
from kilowait.cli.of_slurm.queue_report import described, queue_report, queue_text
from kilowait.core.control_characters import escaped_all
from kilowait.core.errors import InputError

EXAMPLE = """\
examples:
  kilowait advise --slurm
  kilowait advise --slurm --mine --json
  kilowait advise --slurm --gpus 4 --time 2:00:00
  kilowait advise --slurm --mine --apply
  kilowait advise --slurm --rest unix:/run/slurmrestd.socket
  kilowait advise --kueue --metrics /var/lib/node_exporter/kilowait.prom

Without --apply it reads the queue and changes nothing. With it, limits of waiting jobs are lowered, never raised, to
what their comments predict, at most 100 in a run; with --shortest-first jobs of one user that ask for the same exchange
their places by nice values, too, the shortest first, for which Slurm wants an operator. Each change stands in
applied.jsonl in ~/.local/state/kilowait. Slurm lets users change their own jobs, its operators everybody's.

Slurm plans with time limits, so its own start is the latest that it expects;
here jobs end as predicted where their comment has a prediction (`kilowait sbatch`), others after about half of their
limit, which is assumed. GPUs alone are counted: no cores, memory, QOS or reservations. All starts are modelled.
For a job script: kilowait sbatch --why job.sh

With --kueue the quotas of GPUs and the workloads are those of Kueue, and predictions those that `kilowait admit` wrote.
"""
ALONE = {
    "slurm": ("mine", "gpus", "nodes", "time", "apply", "shortest_first", "risk", "margin", "rest"),
    "kueue": ("metrics", "annotate"),
}
"""Options that mean something to one of the two."""


def add_arguments(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Declare the options."""
    parser.epilog = EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--slurm", action="store_true", help="ask the Slurm whose commands are on this machine")
    asked.add_argument("--kueue", action="store_true", help="ask the Kueue of the cluster that kubectl speaks to")
    add("--mine", action="store_true", help="list your own jobs alone")
    add("--gpus", type=int, metavar="N", help="what a new job of so many GPUs would get, on each type and partition")
    add("--nodes", type=int, default=1, metavar="N", help="nodes of the new job (default: %(default)s)")
    add("--time", metavar="LIMIT", help="its time limit as sbatch takes it (default: 60, an hour)", default="60")
    text = "ask slurmrestd in place of Slurm's commands: unix:PATH or http://HOST:PORT, with SLURM_JWT where it is set"
    add("--rest", metavar="ADDRESS", help=text)
    add("--apply", action="store_true", help="lower the time limits of waiting jobs that were predicted")
    text = "with --apply: also exchange the places of one user's jobs that ask for the same, the shortest first"
    add("--shortest-first", action="store_true", help=text)
    text = "with --apply: how likely a limit may end a job (default: %(default)s)"
    add("--risk", type=float, default=RISK, metavar="SHARE", help=text)
    text = "with --apply: minutes for what is not predicted (default: %(default)g)"
    add("--margin", type=float, default=MARGIN_S / MINUTE_S, metavar="MIN", help=text)
    text = "with --kueue: write when workloads are expected to be admitted there, as metrics of Prometheus"
    add("--metrics", type=Path, metavar="FILE", help=text)
    add("--annotate", action="store_true", help="with --kueue: and as an annotation of each workload")
    add("--json", action="store_true", help="print one JSON object instead of tables")
    parser.set_defaults(default_of=parser.get_default)


def run(args: argparse.Namespace) -> int:
    """Ask Slurm and print; raises ServiceError where it does not answer, InputError for a job that is none."""
    _refuse(args, "slurm" if args.kueue else "kueue")
    if args.kueue:
        from kilowait.cli.kueue.kueue import advise_kueue

        return advise_kueue(args)
    new = _new_job(args)
    found = _queue(args)
    waits, risks = expected_waits(found), limit_risks(found)
    user = getpass.getuser() if args.mine else None
    shown = {job_id: wait for job_id, wait in waits.items() if user in (None, found.jobs[job_id].user)}
    risks = [risk for risk in risks if user in (None, risk.job.user)]
    fresh = new_job_waits(found, NewJob(**new, allowed=frozenset(found.pools))) if new else None
    report = queue_report(found, shown, risks, fresh)
    if args.apply:
        report |= _applied(found, user, args)
    sys.stdout.write(json.dumps(report, indent=1) + "\n" if args.json else queue_text(escaped_all(report)))
    return 0


def _refuse(args: argparse.Namespace, other: str) -> None:
    """Raises InputError for an option that means nothing here, rather than to leave it undone without a word."""
    given = [name for name in ALONE[other] if getattr(args, name) != args.default_of(name)]
    if given:
        words = ", ".join("--" + name.replace("_", "-") for name in given)
        raise InputError(f"{words}: only with --{other}; leave it out")
    if args.shortest_first and not args.apply:
        raise InputError("--shortest-first: only with --apply, which makes the changes")
    if args.rest and args.apply:
        raise InputError("--apply: changes are made by scontrol; leave --rest out, where Slurm's commands are")


def _queue(args: argparse.Namespace) -> QueueCluster:
    if args.rest is None:
        return queue_cluster(ask_partitions().values(), ask_queue())
    ask = rest_server(args.rest, os.environ)
    return queue_cluster(rest_partitions(ask).values(), rest_jobs(ask, time.time()))


def _applied(found: QueueCluster, user: str | None, args: argparse.Namespace) -> dict[str, Any]:
    """Lower what is too long, and exchange places; what Slurm refuses stands beside it."""
    if not (math.isfinite(args.margin) and args.margin >= 0):
        raise InputError(f"--margin must be minutes >= 0, got {args.margin}")
    lowered = of_one_run(lowered_limits(found, user, args.risk, args.margin * MINUTE_S))
    refused = _made(lowered)
    report = {
        "lowered": [
            {**described(change.job), "lowered_s": change.limit_s, "refused": refused.get(change.job.job_id)}
            for change in lowered
        ]
    }
    if args.shortest_first:
        places = of_one_run(exchanged_places(found, user))
        left = _made(places)
        report["exchanged"] = [
            {
                **described(one.job),
                "nice": one.nice,
                "predicted_s": one.predicted_s,
                "refused": left.get(one.job.job_id),
            }
            for one in places
        ]
    return report


def _made(changes: Changes) -> dict[str, str]:
    log = ledger_folder(os.environ).parent / "applied.jsonl"
    try:
        return apply_changes(changes, log, time.time())
    except OSError as error:
        raise InputError(f"{log}: {error.strerror}; --apply writes each change there") from error


def _new_job(args: argparse.Namespace) -> dict[str, Any] | None:
    if args.gpus is None:
        return None
    if args.gpus < 1 or args.nodes < 1:
        raise InputError(f"--gpus and --nodes must be >= 1, got {args.gpus} and {args.nodes}")
    limit_s = seconds_of(args.time)
    if limit_s is None:
        raise InputError(f"--time {args.time!r}: no time; write minutes, hours:minutes:seconds or days-hours")
    return {"gpus": args.gpus, "nodes": args.nodes, "limit_s": limit_s}
