"""What each task of an array is called with: a table of parameters, a column an argument, and places to fill in."""

import csv
import io
import re
from collections.abc import Mapping, Sequence

from kilowait.core.errors import InputError
from kilowait.core.submission_limits import MAX_ARGUMENTS_BYTES, MAX_ENTRIES, MAX_TASKS

NAME = r"^[A-Za-z_][A-Za-z0-9_.-]{0,99}$"
PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]*)\}")
NUMBER = "task"
"""`{task}` stands for the number of the task."""


def read_rows(text: str, named: str) -> list[dict[str, str]]:
    """The rows of a CSV table by column; raises InputError, naming the line."""
    lines = csv.reader(io.StringIO(text, newline=""))
    head = next(lines, [])
    check_columns(head, named)
    rows = list[dict[str, str]]()
    for cells in lines:
        if not cells:
            continue
        if len(cells) != len(head):
            raise InputError(
                f"{named}, line {lines.line_num}: {len(cells)} cells under {len(head)} columns; correct it"
            )
        rows.append(dict(zip(head, cells, strict=True)))
        if len(rows) > MAX_TASKS:
            raise InputError(f"{named}: more than {MAX_TASKS:,} rows; submit it in parts")
    if not rows:
        raise InputError(f"{named}: no rows under its heading; give one for each task")
    return rows


def check_columns(names: Sequence[str], named: str) -> None:
    """Raises InputError for names of columns that cannot be told apart or are no names of arguments."""
    wrong = next((name for name in names if not re.fullmatch(NAME, name) or name == NUMBER), None)
    if not names or wrong is not None or len(set(names)) < len(names) or len(names) > MAX_ENTRIES:
        what = f"column {wrong[:60]!r}" if wrong is not None else f"{len(names)} columns"
        raise InputError(
            f"{named}: {what}: the first line names each column once, as arguments are called (lr, batch-size), "
            f"at most {MAX_ENTRIES}, none of them {NUMBER}"
        )


def called_with(arguments: Sequence[str], values: Mapping[str, str], task: int) -> tuple[str, ...]:
    """The arguments of a task: `{name}` filled in; a column that is named nowhere is appended as `--name value`."""
    said = "\0".join(arguments)
    more = [word for name, value in values.items() if f"{{{name}}}" not in said for word in (f"--{name}", value)]
    return (*(filled(argument, values, task) for argument in arguments), *more)


def filled(text: str, values: Mapping[str, str], task: int) -> str:
    """A text with `{task}` and the `{name}` of each column filled in; other brackets stay. Raises InputError, before it
    is made, for one that is longer than all arguments may be: few letters can ask for any length."""
    if "{" not in text:
        return text
    known = {**values, NUMBER: str(task)}
    longer = sum(len(known[found[1]]) - len(found[0]) for found in PLACE.finditer(text) if found[1] in known)
    if (size := len(text) + longer) > MAX_ARGUMENTS_BYTES:
        raise InputError(
            f"{text[:60]!r} has {size:,} characters for task {task}, filled in; the limit is {MAX_ARGUMENTS_BYTES:,}; "
            "put data into a file"
        )
    return PLACE.sub(lambda found: known.get(found[1], found[0]), text)
