"""`kilowait archive`: jobs that ended long ago as Parquet, and a smaller history. The service may go on meanwhile."""

import argparse
import sys
import time
from pathlib import Path

from kilowait.cli.by_the_hour.within_text import duration

TEXT = "write jobs that ended long ago down as Parquet, and forget their programs' texts and logs"
EXAMPLE = """\
example, every night:
  $ kilowait archive --database sqlite:///out/serve/kilowait.db --older-than 2160h /archive/kilowait

Three tables are written for some thousands of jobs each: jobs-*.parquet (what they asked for, their programs),
attempts-*.parquet (what was predicted and measured, the columns of `kilowait history`) and logs-*.parquet. Jobs stay in
lists, with times, states and measurements; their texts and logs are in the archive alone from then on.
"""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare it; nothing is imported that costs time."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(
        "archive", help=TEXT, description=TEXT, epilog=EXAMPLE, formatter_class=formatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="where the tables are written")
    add("--database", required=True, metavar="URL", help="the history: sqlite:///PATH, or a URL of PostgreSQL")
    add("--older-than", type=duration, required=True, metavar="TIME", help="since they ended, as in 2160h")
    add("--only-copy", action="store_true", help="forget nothing")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from kilowait.history.retention.old_jobs import archive
    from kilowait.history.store import Store

    store = Store(args.database)
    try:
        done = archive(store, args.folder, time.time() - args.older_than, only_copy=args.only_copy)
    finally:
        store.close()
    forgotten = "nothing is forgotten" if args.only_copy else "texts and logs are there alone now"
    sys.stdout.write(f"{done.jobs:,} jobs, {done.attempts:,} attempts in {len(done.files)} files; {forgotten}\n")
    return 0
