"""Tables as data, and how a terminal and a web page show them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from kilowait.report.interval import Interval

if TYPE_CHECKING:
    from rich.table import Table as RichTable

NOTHING = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableView:
    """A table ready to show: cells are text, the first column names the row; of `prose` the others are sentences."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    provenance: str
    notes: tuple[str, ...] = ()
    prose: bool = False


def terminal(view: TableView) -> "RichTable":
    """The table for a terminal; a page needs no Rich."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        title=f"{view.title} ({view.provenance})",
        caption="\n".join(view.notes),
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for k, heading in enumerate(view.headings):
        table.add_column(heading, justify="left" if k == 0 else "right", overflow="fold")
    for row in view.rows:
        table.add_row(*row)
    return table


def html(view: TableView) -> str:
    """The table as HTML; it scrolls sideways on a narrow screen."""
    head = "".join(f'<th scope="col">{_lines(h)}</th>' for h in view.headings)
    body = "".join(_html_row(row) for row in view.rows)
    notes = "".join(f"<p>{escape(note)}</p>" for note in view.notes)
    caption = f"<caption>{escape(view.title)} {badge(view.provenance)}</caption>"
    prose = ' class="prose"' if view.prose else ""
    parts = f"{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table{prose}>{parts}</table></div>{notes}'


def badge(provenance: str) -> str:
    """A mark that says how numbers were had."""
    return f'<span class="badge">{escape(provenance)}</span>'


def _html_row(row: Sequence[str]) -> str:
    first, *rest = row
    return f'<tr><th scope="row">{_lines(first)}</th>{"".join(f"<td>{_lines(cell)}</td>" for cell in rest)}</tr>'


def _lines(cell: str) -> str:
    return "<br>".join(escape(line) for line in cell.split("\n"))


def span(interval: Interval, unit: float = 1.0, digits: int = 0) -> str:
    """`estimate`, and below it `[low, high]`, in `unit`s."""
    if math.isnan(interval.estimate):
        return NOTHING
    estimate, low, high = (f"{v / unit:,.{digits}f}" for v in (interval.estimate, interval.low, interval.high))
    return f"{estimate}\n[{low}, {high}]"


def change(interval: Interval) -> str:
    """A relative change in per cent, and below it its interval."""
    if math.isnan(interval.estimate):
        return NOTHING
    return f"{interval.estimate:+.1%}\n[{interval.low:+.1%}, {interval.high:+.1%}]"


def share(interval: Interval) -> str:
    """A share in per cent, and below it its interval."""
    if math.isnan(interval.estimate):
        return NOTHING
    return f"{interval.estimate:.1%}\n[{interval.low:.1%}, {interval.high:.1%}]"


def percent(value: float | None) -> str:
    """A relative change in per cent, a dash for none."""
    return NOTHING if value is None or math.isnan(value) else f"{value:+.1%}"


def records_table(
    title: str, rows: Sequence[dict[str, Any]], provenance: str, notes: tuple[str, ...] = ()
) -> TableView:
    """Any list of records as a table, with a column for every key in order of first appearance."""
    headings = tuple(dict.fromkeys(key for row in rows for key in row))
    return TableView(
        title=title,
        headings=headings,
        rows=tuple(tuple(_cell(row.get(key)) for key in headings) for row in rows),
        provenance=provenance,
        notes=notes,
    )


def _cell(value: object) -> str:
    match value:
        case None:
            return NOTHING
        case bool() | str() | int():
            return str(value)
        case float():
            return NOTHING if math.isnan(value) else f"{value:.3g}"
        case _:
            return str(value)
