"""`kilowait advise --slurm`: when the jobs of Slurm's queue are expected to start, what a new one would get.

With `--apply` it also lowers the time limits of jobs that wait.
"""

import argparse
import getpass
import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kilowait.advise.advice import ExpectedWait
from kilowait.advise.advice_text import duration
from kilowait.advise.ledger import ledger_folder
from kilowait.advise.limit_quantile import MARGIN_S, MINUTE_S, RISK
from kilowait.advise.slurm.lowered_limits import MOST, apply_limits, lowered_limits
from kilowait.advise.slurm.partitions import ask_partitions
from kilowait.advise.slurm.queue_cluster import QueueCluster, queue_cluster
from kilowait.advise.slurm.queue_outlook import LimitRisk, NewJob, expected_waits, limit_risks, new_job_waits
from kilowait.advise.slurm.slurm_queue import SlurmJob, ask_queue
from kilowait.advise.slurm.slurm_time import local_time, seconds_of, written_time
from kilowait.client.service_text import table
from kilowait.core.control_characters import escaped_all
from kilowait.core.errors import InputError

EXAMPLE = """\
examples:
  kilowait advise --slurm
  kilowait advise --slurm --mine --json
  kilowait advise --slurm --gpus 4 --time 2:00:00
  kilowait advise --slurm --mine --apply
  kilowait advise --kueue --metrics /var/lib/node_exporter/kilowait.prom

Without --apply it reads the queue and changes nothing. With it, limits of waiting jobs are lowered, never raised, to
what their comments predict, at most 100 in a run; each change stands in applied.jsonl in ~/.local/state/kilowait. Slurm
lets users change their own jobs, its operators everybody's.

Slurm plans with time limits, so its own start is the latest that it expects;
here jobs end as predicted where their comment has a prediction (`kilowait sbatch`), others after about half of their
limit, which is assumed. GPUs alone are counted: no cores, memory, QOS or reservations. All starts are modelled.
For a job script: kilowait sbatch --why job.sh

With --kueue the quotas of GPUs and the workloads are those of Kueue, and predictions those that `kilowait admit` wrote.
"""
BASIS = (
    "modelled: the queue is run on with run times drawn around predictions in comments; without one about half of the "
    "limit is assumed; nobody else submits"
)


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
    add("--apply", action="store_true", help="lower the time limits of waiting jobs that were predicted")
    text = "with --apply: how likely a limit may end a job (default: %(default)s)"
    add("--risk", type=float, default=RISK, metavar="SHARE", help=text)
    text = "with --apply: minutes for what is not predicted (default: %(default)g)"
    add("--margin", type=float, default=MARGIN_S / MINUTE_S, metavar="MIN", help=text)
    text = "with --kueue: write when workloads are expected to be admitted there, as metrics of Prometheus"
    add("--metrics", type=Path, metavar="FILE", help=text)
    add("--annotate", action="store_true", help="with --kueue: and as an annotation of each workload")
    add("--json", action="store_true", help="print one JSON object instead of tables")


def run(args: argparse.Namespace) -> int:
    """Ask Slurm and print; raises ServiceError where it does not answer, InputError for a job that is none."""
    if args.kueue:
        from kilowait.cli.kueue.kueue import advise_kueue

        return advise_kueue(args)
    new = _new_job(args)
    found = queue_cluster(ask_partitions().values(), ask_queue())
    waits, risks = expected_waits(found), limit_risks(found)
    user = getpass.getuser() if args.mine else None
    shown = {job_id: wait for job_id, wait in waits.items() if user in (None, found.jobs[job_id].user)}
    risks = [risk for risk in risks if user in (None, risk.job.user)]
    fresh = new_job_waits(found, NewJob(**new, allowed=frozenset(found.pools))) if new else None
    report = _report(found, shown, risks, fresh)
    if args.apply:
        report["lowered"] = _lowered(found, user, args)
    sys.stdout.write(json.dumps(report, indent=1) + "\n" if args.json else _text(escaped_all(report)))
    return 0


def _lowered(found: QueueCluster, user: str | None, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Lower what is too long; what Slurm refuses stands beside it."""
    if not (math.isfinite(args.margin) and args.margin >= 0):
        raise InputError(f"--margin must be minutes >= 0, got {args.margin}")
    changes = lowered_limits(found, user, args.risk, args.margin * MINUTE_S)
    log = ledger_folder(os.environ).parent / "applied.jsonl"
    try:
        refused = apply_limits(changes, log, time.time())
    except OSError as error:
        raise InputError(f"{log}: {error.strerror}; --apply writes each change there") from error
    return [
        {**_described(change.job), "lowered_s": change.limit_s, "refused": refused.get(change.job.job_id)}
        for change in changes[:MOST]
    ]


def _new_job(args: argparse.Namespace) -> dict[str, Any] | None:
    if args.gpus is None:
        return None
    if args.gpus < 1 or args.nodes < 1:
        raise InputError(f"--gpus and --nodes must be >= 1, got {args.gpus} and {args.nodes}")
    limit_s = seconds_of(args.time)
    if limit_s is None:
        raise InputError(f"--time {args.time!r}: no time; write minutes, hours:minutes:seconds or days-hours")
    return {"gpus": args.gpus, "nodes": args.nodes, "limit_s": limit_s}


def _report(
    found: QueueCluster,
    waits: Mapping[str, ExpectedWait],
    risks: Sequence[LimitRisk],
    fresh: Mapping[str, ExpectedWait] | None,
) -> dict[str, Any]:
    """Everything there is to show, as JSON would have it."""
    cluster = found.cluster
    return {
        "pools": {
            name: {"gpus": cluster.total[name], "free": cluster.free[name], "partitions": sorted(pool.partitions)}
            for name, pool in found.pools.items()
        },
        "waiting": [{**_described(found.jobs[job_id]), **_seconds(wait)} for job_id, wait in waits.items()],
        "limits": [
            {**_described(risk.job), "predicted_s": risk.predicted_s, "probability": risk.probability} for risk in risks
        ],
        **({} if fresh is None else {"new_job": {pool: _seconds(wait) for pool, wait in fresh.items()}}),
        "left_out": dict(found.left_out),
        "provenance": BASIS,
    }


def _described(job: SlurmJob) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "user": job.user,
        "partitions": list(job.partitions),
        "gpus": job.gpus,
        "gpu_type": job.gpu_word,
        "limit_s": job.limit_s if math.isfinite(job.limit_s) else None,
        "used_s": job.used_s,
        "slurm_start": job.slurm_start,
    }


def _seconds(wait: ExpectedWait) -> dict[str, Any]:
    return {"wait_s": wait.wait_s, "wait_low_s": wait.low_s, "wait_high_s": wait.high_s}


def _text(report: Mapping[str, Any]) -> str:
    lines = [
        f"{name}: {pool['free']} of {pool['gpus']} GPUs free, in {', '.join(pool['partitions'])}"
        for name, pool in report["pools"].items()
    ]
    lines += _waiting_lines(report["waiting"])
    for risk in report["limits"]:
        limit = written_time(risk["limit_s"])
        lines.append(
            f"job {risk['job_id']} of {risk['user']} may be ended by its limit of {limit}: {risk['probability']:.0%} "
            f"likely, predicted {duration(risk['predicted_s'])}"
        )
    for one in report.get("lowered", ()):
        before = "none" if one["limit_s"] is None else written_time(one["limit_s"])
        outcome = f"refused: {one['refused']}" if one["refused"] else "lowered"
        lines.append(f"job {one['job_id']}: limit {before} to {written_time(one['lowered_s'])}: {outcome}")
    if report.get("lowered") == []:
        lines.append("no limit to lower")
    for pool, wait in report.get("new_job", {}).items():
        lines.append(f"a new job on {pool} starts in {_interval(wait)}")
    if report["left_out"]:
        lines.append(f"not looked at: {', '.join(f'{job} ({why})' for job, why in [*report['left_out'].items()][:5])}")
        if (more := len(report["left_out"]) - 5) > 0:
            lines.append(f"and {more} more, in --json")
    return "\n".join([*lines, report["provenance"]]) + "\n"


def _waiting_lines(waiting: Sequence[Mapping[str, Any]]) -> list[str]:
    head = ["job", "user", "GPUs", "limit", "starts in (90% interval)", "Slurm's own plan"]
    rows = [
        [
            job["job_id"],
            job["user"],
            f"{job['gpus']} {job['gpu_type']}".strip(),
            "none" if job["limit_s"] is None else written_time(job["limit_s"]),
            _interval(job),
            local_time(job["slurm_start"]) if job["slurm_start"] else "-",
        ]
        for job in waiting
    ]
    if not rows:
        return ["no job waits for its turn"]
    return [line.removeprefix("  ") for line in table(head, rows).splitlines()]


def _interval(wait: Mapping[str, Any]) -> str:
    middle = duration(wait["wait_s"])
    if wait["wait_low_s"] is None or wait["wait_high_s"] is None:
        return middle
    return f"{middle} ({duration(wait['wait_low_s'])} to {duration(wait['wait_high_s'])})"
