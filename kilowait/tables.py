"""Tables as data, and how a terminal and a web page show them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable

from kilowait.jobs import Provenance
from kilowait.simulate.comparison import PAPER, Comparison, PaperClaims, PolicySummary
from kilowait.simulate.statistics import Interval

HOUR_S = 3_600.0
NOTHING = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableView:
    """A table ready to show: cells are text, the first column names the row."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    provenance: str
    notes: tuple[str, ...] = ()


def terminal(view: TableView) -> RichTable:
    """The table for a terminal."""
    table = RichTable(
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
    return (
        f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{notes}'
    )


def badge(provenance: str) -> str:
    """A mark that says how numbers were had."""
    return f'<span class="badge">{escape(provenance)}</span>'


def _html_row(row: Sequence[str]) -> str:
    first, *rest = row
    return f'<tr><th scope="row">{_lines(first)}</th>{"".join(f"<td>{_lines(cell)}</td>" for cell in rest)}</tr>'


def _lines(cell: str) -> str:
    return "<br>".join(escape(line) for line in cell.split("\n"))


_PAPER_NOTE = f"The paper's cells are not at hand: its rows hold only the watts that its tables imply. {PAPER.source}."


def totals_table(comparison: Comparison) -> TableView:
    """Means a sample by policy: what the paper's Table 1 is about, with the idle boards' energy beside the jobs'."""
    headings = (
        "policy", "waiting\nh", "delayed\njobs", "p99 wait\nh", "running\nh", "jobs' energy\nkWh",
        "cluster energy\nwith idle, kWh", "makespan\ndays", "W a running\njob", "W a busy\nGPU",
    )  # fmt: skip
    paper = _paper_totals(PAPER) if comparison.trace is None else ()
    return TableView(
        title=f"Totals a sample, {comparison.world}",
        headings=headings,
        rows=(*(_totals_row(p) for p in comparison.policies), *paper),
        provenance=Provenance.MODELLED,
        notes=(
            f"Means over {comparison.samples} samples of {comparison.jobs:.0f} jobs on {comparison.gpus:.0f} GPUs on "
            f"average, predictions: {comparison.predictions}; in brackets 95% bootstrap intervals over samples.",
            *((_PAPER_NOTE,) if paper else ()),
        ),
    )


def _totals_row(policy: PolicySummary) -> tuple[str, ...]:
    means = policy.means
    return (
        name(policy),
        span(means["total_wait_s"], HOUR_S),
        span(means["delayed_tasks"], digits=1),
        span(means["p99_wait_s"], HOUR_S, digits=1),
        span(means["running_s"], HOUR_S),
        span(means["energy_kwh"]),
        span(means["cluster_energy_kwh"]),
        f"{means['makespan_s'].estimate / (24 * HOUR_S):.1f}",
        f"{policy.watts_a_job:.0f}",
        f"{policy.watts_a_gpu:.0f}",
    )


def _paper_totals(paper: PaperClaims) -> tuple[tuple[str, ...], ...]:
    unknown = (NOTHING,) * 7
    return (
        ("paper: Simple\n(implied)", *unknown, f"{paper.simple_w:.0f}", NOTHING),
        ("paper: Value\n(implied)", *unknown, f"{paper.value_w:.0f}", NOTHING),
    )


def changes_table(comparison: Comparison) -> TableView:
    """Changes of totals against Simple: what the paper's Table 2 is about, its claims in the last row."""
    headings = ("policy", "waiting", "delayed jobs", "running", "jobs' energy", "cluster energy\nwith idle", "makespan")
    columns = ("total_wait_s", "delayed_tasks", "running_s", "energy_kwh", "cluster_energy_kwh", "makespan_s")
    rows = tuple(
        (name(p), *(change(p.changes[column]) for column in columns)) for p in comparison.policies if p.changes
    )
    waiting, energy = comparison.wait_bound_change, comparison.greenest_change
    bounds = ("bound on each alone", _percent(waiting), NOTHING, NOTHING, _percent(energy), NOTHING, NOTHING)
    least = () if energy is None else (bounds,)
    claims = (
        "paper: Value (claimed)", f"{PAPER.wait_change:+.0%}", NOTHING, NOTHING, f"{PAPER.energy_change:+.0%}",
        NOTHING, NOTHING,
    )  # fmt: skip
    return TableView(
        title=f"Change against Simple, {comparison.world}",
        headings=headings,
        rows=(*rows, *least, *((claims,) if comparison.trace is None else ())),
        provenance=Provenance.MODELLED,
        notes=(
            "Paired on the same samples; in brackets 95% bootstrap intervals. Below 0 is better. No schedule is below "
            "the bounds; the one on waiting is a relaxation, so the least possible lies above it.",
        ),
    )


def shares_table(found: Sequence[Comparison]) -> TableView:
    """How much of the way from Simple to the bounds each policy covers, with all predictions beside each other.

    `found` holds one world under one or several kinds of predictions; with several, the changes stand here too.
    """
    wanted = (("total_wait_s", "waiting"), ("energy_kwh", "jobs' energy"))
    columns = [
        (f"{of}\n{metric}\n{comparison.predictions}", column, of, comparison)
        for of in (("change of", "way to bound,") if len(found) > 1 else ("way to bound,",))
        for column, metric in wanted
        for comparison in found
    ]
    names = [p.policy for p in found[0].policies if p.changes]
    return TableView(
        title=f"From Simple (0%) to the bound (100%), {found[0].world}",
        headings=("policy", *(heading for heading, *_ in columns)),
        rows=tuple((one, *(_shared(c.policy(one), column, of) for _, column, of, c in columns)) for one in names),
        provenance=Provenance.MODELLED,
        notes=(
            "Share of the distance of totals from Simple to the bound, paired on the same samples; in brackets 95% "
            "bootstrap intervals. Below 0% is worse than Simple. Each bound holds alone; no schedule need reach both.",
        ),
    )


def _shared(policy: PolicySummary | None, column: str, of: str) -> str:
    if policy is None:
        return NOTHING
    return change(policy.changes[column]) if of == "change of" else share(policy.shares[column])


def name(policy: PolicySummary) -> str:
    """A policy's label, with its kappa."""
    return policy.policy if policy.kappa is None else f"{policy.policy}\nkappa {policy.kappa:.3g}"


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


def _percent(value: float | None) -> str:
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
