"""An advice as a notebook shows it: a table with a row a GPU type, and a picture of the run times."""

import base64
from dataclasses import dataclass
from html import escape

from kilowait.advise.advice import Advice
from kilowait.advise.advice_text import advice_cells, advice_table, duration
from kilowait.report.bars import span_bars

_SHOWN = 6
_CELL = "text-align:right;padding:.2em .7em"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAdvice:
    """What a cell evaluates to: `advice` for whoever goes on with it, a table for whoever reads."""

    advice: Advice

    def __repr__(self) -> str:
        return advice_table(self.advice)

    def _repr_html_(self) -> str:
        return advice_html(self.advice)


def advice_html(advice: Advice) -> str:
    """The table, the picture where anything is predicted, and what the numbers rest on; all of it escaped."""
    names, *rows = advice_cells(advice)
    head = "".join(f'<th style="{_CELL}">{escape(name)}</th>' for name in names)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{escape(cell)}</td>' for cell in row) + "</tr>" for row in rows
    )
    title = f"<b>{escape(advice.program)}</b>: {advice.gpus} GPU(s), {escape(advice.dry_run)}"
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else "<p>not predicted</p>"
    return f"<div>{title}{table}{_picture(advice)}{_notes(advice)}</div>"


def _picture(advice: Advice) -> str:
    """Run times with their intervals, as an image: its style touches nothing else in the notebook."""
    if not advice.by_type:
        return ""
    ends = {name: on.prediction for name, on in advice.by_type.items()}
    spans = {name: (it.runtime_s, it.runtime_low_s, it.runtime_high_s) for name, it in ends.items()}
    said = {name: f"{duration(it.runtime_s)}, {it.energy_kwh:.3g} kWh" for name, it in ends.items()}
    data = base64.b64encode(span_bars(spans, said).encode()).decode()
    alt = "run time with its 90% interval by GPU type, on a logarithmic scale"
    return f'<img alt="{alt}" title="{alt}" src="data:image/svg+xml;base64,{data}">'


def _notes(advice: Advice) -> str:
    hows = dict.fromkeys(on.provenance for on in advice.by_type.values())
    lines = [*hows, *(f"assumed: {line}" for line in advice.assumptions[:_SHOWN])]
    if (more := len(advice.assumptions) - _SHOWN) > 0:
        lines.append(f"and {more} more assumptions, in .advice.assumptions")
    return "".join(f'<div style="font-size:.85em">{escape(line)}</div>' for line in lines if line)
