"""`kilowait learn --sacct`: finished Slurm jobs beside their predictions, and a correction learnt from them."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kilowait.advise.joined_jobs import Joining, joined
from kilowait.advise.ledger import ledger_folder, slurm_history
from kilowait.advise.limit_quantile import MARGIN_S, RISK
from kilowait.advise.slurm.accounting import AccountedJob, ask_accounting, read_accounting
from kilowait.advise.slurm.completion_log import HEAD, read_completions
from kilowait.advise.slurm.usual_limits import LEAST_DAYS, usual_limits, write_limits
from kilowait.core.control_characters import escaped_all
from kilowait.core.errors import InputError

LIVE = "live"
EXAMPLE = """\
examples:
  kilowait learn --sacct live --since now-30days
  sacct --parsable2 --duplicates --starttime=2026-11-01 --format=JobID,Cluster,User,State,ExitCode,Submit,End,\\
      ElapsedRaw,AllocTRES,ConsumedEnergyRaw,Comment > jobs.txt
  kilowait learn --sacct jobs.txt --zone Europe/Berlin
  kilowait learn --sacct jobs.txt --only-compare --json
  kilowait learn --sacct live --all-users --only-compare --limits /etc/slurm/kilowait_limits

Jobs are joined by the comment that `kilowait sbatch` gave them (AccountingStoreFlags=job_comment in slurm.conf). Only
jobs that completed count, each task of an array by itself, the last run of one that was requeued. What was predicted is
in the comment; the program's embedding, from which a correction is learnt, is in the folder of advice of whoever
submitted it (KILOWAIT_ADVICE), and a job without it is compared only. Run times are sacct's, measured. Its energy is
that of whole nodes unless it comes from acct_gather_energy/gpu and the job had the node alone: --metered says so.
"""


def add_arguments(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Declare the options."""
    parser.epilog = EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    text = "what sacct --parsable2 wrote, a file of jobcomp/filetxt (for --limits), or `live`: ask sacct now"
    add("--sacct", required=True, metavar="FILE|live", help=text)
    add("--since", default="now-7days", metavar="TIME", help="live: jobs since then, as sacct takes it (%(default)s)")
    add("--all-users", action="store_true", help="live: everybody's jobs")
    add("--zone", metavar="NAME", help="time zone of the file's times, as Europe/Berlin (default: this machine's)")
    add("--database", metavar="URL", help="the history that is learnt from (default: slurm.db beside the advice)")
    add("--metered", action="store_true", help="sacct's energy is that of the jobs' GPUs")
    text = "write there the limits that jobs of one user and name would have needed, for job_submit.lua"
    add("--limits", type=Path, metavar="FILE", help=text)
    text = "with --limits: the share of jobs that may take longer (default: %(default)s)"
    add("--risk", type=float, default=RISK, metavar="SHARE", help=text)
    text = "with --limits: the days on which jobs of a name must have ended (default: %(default)s)"
    add("--least-days", type=int, default=LEAST_DAYS, metavar="N", help=text)
    add("--only-compare", action="store_true", help="compare and write nothing")
    add("--json", action="store_true", help="print one JSON object instead of a table")


def run(args: argparse.Namespace) -> int:
    """Join, compare, learn and print; raises InputError, ServiceError and StoreError."""
    ledger = ledger_folder(os.environ)
    accounted = _accounted(args)
    joining = joined(accounted, ledger)
    report = _report(joining)
    if args.limits is not None:
        report["limits"] = _limits(accounted, args)
    if not args.only_compare and joining.jobs:
        report |= _learnt(joining, args.database or str(slurm_history(os.environ)), args.metered)
    sys.stdout.write(json.dumps(report, indent=1) + "\n" if args.json else _text(escaped_all(report)))
    return 0


def _accounted(args: argparse.Namespace) -> list[AccountedJob]:
    if args.sacct == LIVE:
        return ask_accounting(args.since, args.all_users)
    try:
        zone = ZoneInfo(args.zone) if args.zone else None
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InputError(f"--zone {args.zone}: no time zone; name one as Europe/Berlin or UTC") from error
    try:
        text = Path(args.sacct).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"--sacct {args.sacct}: cannot be read: {error.strerror}") from error
    if text.startswith(HEAD):
        return read_completions(text, zone)
    try:
        return read_accounting(text, zone)
    except InputError as error:
        raise InputError(f"--sacct {args.sacct}: {error}") from error


def _limits(jobs: Sequence[AccountedJob], args: argparse.Namespace) -> int:
    """How many were written."""
    path: Path = args.limits
    if not 0 < args.risk < 1:
        raise InputError(
            f"--risk must be between 0 and 1, got {args.risk}; give the share of jobs that may be ended, as 0.05"
        )
    if args.least_days < 1:
        raise InputError(f"--least-days must be >= 1, got {args.least_days}")
    limits = usual_limits(jobs, args.risk, MARGIN_S, args.least_days)
    try:
        write_limits(limits, path)
    except OSError as error:
        raise InputError(f"--limits {path}: cannot be written: {error.strerror}") from error
    return len(limits)


def _learnt(joining: Joining, database: str, metered: bool) -> dict[str, Any]:
    """Take the jobs into the history, and learn a correction from all that it has."""
    from kilowait.advise.joined_history import learnt
    from kilowait.history.store import Store
    from kilowait.live.learning.refit import refit

    if "://" not in database:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    store = Store(database)
    try:
        new = learnt(store, joining.jobs, time.time(), metered=metered)
        teaching = [job for job in joining.jobs if job.teaches]
        found = refit(store, now_s=time.time(), who="kilowait learn") if teaching else None
    finally:
        store.close()
    correction = {"outcome": str(found.outcome), "reason": found.reason, "version": found.version} if found else None
    return {"database": database, "new": new, "teaching": len(teaching), "correction": correction}


def _report(joining: Joining) -> dict[str, Any]:
    return {
        "joined": len(joining.jobs),
        "by_type": joining.summary,
        "left_out": dict(sorted(joining.left_out.items(), key=lambda row: -row[1])),
        "provenance": "run times measured by Slurm, predictions modelled",
    }


def _text(report: dict[str, Any]) -> str:
    lines = [f"{report['joined']} jobs joined to their predictions"]
    for name, row in report["by_type"].items():
        inside = "" if row["inside"] is None else f", {row['inside']:.0%} inside of the 90% interval"
        factor = f"took {row['median_factor']:.3g} times what was predicted (median)"
        lines.append(f"  {name}: {row['jobs']} jobs {factor}, error {row['median_error']:.0%}{inside}")
    lines += [f"  left out: {count} ({why})" for why, count in report["left_out"].items()]
    if "limits" in report:
        lines.append(f"  {report['limits']} limits by user and job name, measured run times and five minutes")
    if correction := report.get("correction"):
        lines.append(f"  {report['new']} new in {report['database']}; correction: {correction['outcome']}")
        lines.append(f"  {correction['reason']}")
    elif "new" in report:
        lines.append("  none of them teaches: their advice is not in KILOWAIT_ADVICE here")
    return "\n".join(lines) + "\n"
