"""A report of usage as a page that needs nothing else."""

from collections.abc import Mapping
from dataclasses import replace
from html import escape
from typing import Any

from kilowait.report.bars import stacked_bars
from kilowait.report.consumption.usage_tables import number, statement_table, tables
from kilowait.report.page import Section, figure, page_html
from kilowait.report.table import TableView, html

_MOST = 12
"""Bars of a drawing."""


def usage_page(report: Mapping[str, Any]) -> str:
    """HTML; with a statement where the report has one."""
    total = report["total"]
    facts = {
        "GPU-hours": number(total["gpu_hours"]),
        "energy": ", ".join(f"{number(kwh)} kWh {kind}" for kind, kwh in total["energy_kwh"].items() if kwh) or "none",
        "jobs": f"{total['jobs']}, in {total['attempts']} attempts",
    }
    basis = "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in report["basis"]) + "</ul>"
    sections = [
        Section(key="energy", heading="Energy", body=_drawings(report), data=None),
        *(
            Section(key=f"table-{k}", heading=view.title, body=_below(view), data=None)
            for k, view in enumerate(tables(report))
        ),
        Section(key="basis", heading="What the numbers rest on", body=basis, data=None),
    ]
    if statement := report.get("statement"):
        body = html(statement_table(statement))
        sections.insert(0, Section(key="statement", heading="Training-energy statement", body=body, data=None))
    return page_html(report["heading"], facts, sections)


def _below(view: TableView) -> str:
    """A table whose title its section's heading has said."""
    return html(replace(view, title=""))


def _drawings(report: Mapping[str, Any]) -> str:
    """kWh by owner, where there are several, and by GPU type."""
    drawn = ""
    for name, title in (("owner", "owner"), ("gpu_type", "GPU type")):
        rows = {key: row["energy_kwh"] for key, row in [*report["by"][name].items()][:_MOST]}
        if len(rows) > 1 or (rows and name == "gpu_type"):
            drawn += figure(stacked_bars(rows, "kWh"), f"kWh of GPU boards by {title}", "as the colours say")
    return drawn or "<p>No attempt ended in this time.</p>"
