"""What a page of a list costs the service when the history is long: the first one, one in the middle and the last.

    python -m benchmarks.long_lists --jobs 200000

A history of made-up jobs is written (`benchmarks.long_log`), and pages are asked for as the HTTP routes ask for them:
of all jobs from the newest and from the oldest, of one owner's, of those that are finished, of one owner's that wait,
of a label, of a time, and of ended attempts. A page is of 100 jobs with their attempts and predictions. Milliseconds
are medians, on the clock; nothing is cached but by the database.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.json_record import keep
from benchmarks.long_log import LongLog
from benchmarks.stopwatch import timed_ms
from kilowait.history.job_filter import JobFilter
from kilowait.history.store import Store
from serve.desk import questions

PAGE = 100
EVENTS_A_JOB = 3.2
"""Of a made-up log, about."""


def page_ms(ask: Callable[[], Any], times: int) -> float:
    """Milliseconds of a question, the median."""
    return median(timed_ms(ask) for _ in range(times))


def lists(store: Store, times: int) -> list[dict[str, Any]]:
    """A row for each list: milliseconds of its pages."""
    ids = questions.job_ids(store, JobFilter())
    row = store.job(ids[len(ids) // 2]) or {}
    owner, middle_s = str(row["owner"]), float(row["submitted_s"])
    chosen = {
        "all": JobFilter(),
        "of an owner": JobFilter(owner=owner),
        "finished": JobFilter(states=("finished",)),
        "an owner's that wait": JobFilter(owner=owner, states=("waiting",)),
        "of a label that none has": JobFilter(labels={"team": "none"}),
        "since the middle": JobFilter(since_s=middle_s),
        "until the middle": JobFilter(until_s=middle_s),
    }
    rows = []
    for name, which in chosen.items():
        for newest in (True, False):
            found = questions.job_ids(store, which)
            found = found[::-1] if newest else found
            after = {"first": "", "middle": at(found, 0.5), "last": at(found, 1.0)}
            ms = {
                page: page_ms(lambda w=which, a=begin, n=newest: questions.jobs(store, w, a, PAGE, n), times)
                for page, begin in after.items()
            }
            rows.append({"list": f"{name}, {'newest' if newest else 'oldest'} first", "jobs": len(found), **ms})
    begins = {"first": ("", 0), "middle": (at(ids, 0.5), 0), "last": (at(ids, 1.0), 0)}
    ms = {p: page_ms(lambda a=a: questions.ended(store, None, a, None, PAGE), times) for p, a in begins.items()}
    return [*rows, {"list": "ended attempts", "jobs": len(ids), **ms}]


def at(ids: Sequence[str], share: float) -> str:
    """The id behind which a page begins, a page before the end at the latest."""
    place = min(int(share * len(ids)), len(ids) - PAGE - 1)
    return ids[place] if place >= 0 else ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.long_lists",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--jobs", type=int, default=200_000, help="(default: %(default)s)")
    p.add_argument("--times", type=int, default=9, help="that each page is asked for (default: %(default)s)")
    p.add_argument("--postgres", metavar="URL", help="of an empty database")
    p.add_argument("--json", type=Path, help="also write all numbers here")
    options = p.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="kilowait-lists-") as folder:
        store = Store(options.postgres or f"sqlite:///{folder}/kilowait.db")
        LongLog(store, types=4, nodes=64, waiting=2_000).write(int(options.jobs * EVENTS_A_JOB))
        rows = lists(store, options.times)
        store.close()
    for row in rows:
        pages = "  ".join(f"{page} {row[page]:8.1f} ms" for page in ("first", "middle", "last"))
        print(f"{row['list']:40} {row['jobs']:8,} jobs  {pages}")
    keep(rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
