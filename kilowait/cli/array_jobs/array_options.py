"""What makes a submission a job array: `--array 0-99%8` and `--sweep params.csv`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilowait.core.errors import InputError
from kilowait.core.tasks.sweep import read_rows
from kilowait.core.tasks.task_numbers import FORMS, task_numbers

if TYPE_CHECKING:
    from kilowait.client.client import Client


def add_array(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--array",
        type=_numbers,
        metavar="NUMBERS",
        help="submit a task for each number; " + FORMS.replace("%", "%%") + "; {task} in arguments, and KILOWAIT_TASK, "
        "are the number",
    )
    parser.add_argument(
        "--sweep",
        type=Path,
        metavar="CSV",
        help="submit a task for each row of a table; {COLUMN} in arguments is what stands under it, a column that is "
        "named nowhere is appended as --COLUMN VALUE",
    )
    parser.add_argument("--at-once", type=int, metavar="N", help="tasks of an array that may run at a time")


def is_array(args: argparse.Namespace) -> bool:
    """Whether an array is asked for; raises InputError for what an array cannot have."""
    if args.array is None and args.sweep is None:
        if args.at_once is not None:
            raise InputError("--at-once: is of a job array; give --array or --sweep")
        return False
    if args.others or args.follow:
        what = "--follow" if args.follow else f"{args.others[0]}"
        raise InputError(f"{what}: an array is of one program, and has no log of its own; leave it out, or use wait")
    return True


def submit_array(args: argparse.Namespace, client: "Client", job: dict[str, Any]) -> Any:
    """Submit the array."""
    rows = None if args.sweep is None else read_rows(_text(args.sweep), str(args.sweep))
    given = {"tasks": args.array, "rows": rows, "at_once": args.at_once}
    return client.submit_array({**job, **{name: value for name, value in given.items() if value is not None}}, args.key)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--sweep {path}: cannot be read ({error}); give a table as CSV, in UTF-8") from error


def _numbers(text: str) -> str:
    try:
        task_numbers(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text
