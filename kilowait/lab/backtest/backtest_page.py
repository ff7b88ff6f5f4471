"""The report: report.html, one file that needs nothing else, and report.json with the same numbers.

Every section is optional and says how its numbers were had. Not covered: history over several reports.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kilowait.core.errors import InputError
from kilowait.core.jobs import Provenance
from kilowait.core.units import HOUR_S
from kilowait.files import columns, parquet
from kilowait.lab.backtest.comparison import PAPER, Comparison, compare, explain, split_worlds, versions
from kilowait.lab.backtest.sample_timelines import timeline_section
from kilowait.lab.backtest.scenario.noise import chosen_model
from kilowait.lab.backtest.tables import changes_table, shares_table, totals_table
from kilowait.lab.backtest.traces.trace_tables import trace_sentences, trace_tables
from kilowait.report.figures import arrival_figure, comparison_figure, path_figure, scatter_figure
from kilowait.report.page import Section, figure, write_page
from kilowait.report.table import TableView, html, records_table

BOOTSTRAP_SEED = 0
OUTCOMES = "scores.parquet"
WORLD = "world.json"
"""What `pipelines.backtest` leaves in its folder: `columns.BACKTEST`, and arrivals and a sample path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportInputs:
    """What a report is made from; what is None is left out.

    `backtest` is the folder that `pipelines.backtest` wrote, `compared` what `comparisons` says of it where that is at
    hand (None: it is made from the folder), `residuals` a table of `columns.RESIDUALS` (of
    `residual_model`, when it holds several), `accuracy` the accuracy.json of `pipelines.train`, `labels` the
    summary.json of `pipelines.label`, `facts` lines for the head (when, where, how long).
    """

    title: str = "kilowait report"
    backtest: Path | None = None
    compared: Sequence[Comparison] | None = None
    residuals: Path | None = None
    residual_model: str | None = None
    accuracy: Path | None = None
    labels: Path | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


def write_report(out_dir: Path, inputs: ReportInputs) -> Path:
    """Write `out_dir`/report.html and report.json from whatever is given; returns the path of the page.

    Raises InputError naming an input that is missing or damaged.
    """
    sections = [
        *(() if inputs.backtest is None else _backtest_sections(inputs.backtest, inputs.compared)),
        *(() if inputs.residuals is None else [_scatter(inputs.residuals, inputs.residual_model)]),
        *(() if inputs.accuracy is None else [_accuracy(inputs.accuracy)]),
        *(() if inputs.labels is None else [_labels(inputs.labels)]),
    ]
    return write_page(out_dir, "report", title=inputs.title, facts=inputs.facts, sections=sections)


def comparisons(outcomes: pa.Table, *, trace: str | None = None) -> list[Comparison]:
    """Summaries of all worlds in a table of `columns.BACKTEST`; the bootstrap is seeded, so they repeat.

    `trace` names the trace they were made of, None for the paper's scenario.
    """
    return [compare(world, np.random.default_rng(BOOTSTRAP_SEED), trace=trace) for world in split_worlds(outcomes)]


def _backtest_sections(folder: Path, compared: Sequence[Comparison] | None) -> list[Section]:
    world = _read_json(folder / WORLD)
    trace = world["trace"]["name"] if "trace" in world else None
    found = compared or comparisons(parquet.read_table(folder / OUTCOMES, columns.BACKTEST), trace=trace)
    modelled = Provenance.MODELLED
    path = world["path"]
    return [
        _trace(world["trace"], world["settings"]) if trace else _arrivals(world),
        Section(
            key="comparison",
            heading="Policies compared",
            body="".join(_versions(together) for together in versions(found)),
            data=[
                *(asdict(c) | {"why": explain(c), "provenance": modelled} for c in found),
                *(() if trace else ({"paper": asdict(PAPER)},)),
            ],
        ),
        Section(
            key="path",
            heading="One sample over time",
            body=figure(
                path_figure(path["policies"], path["inventory"]),
                f"Sample {path['sample']} of {path['classes']} ({path['predictions']}) under each policy.",
                modelled,
            ),
            data=path | {"provenance": modelled},
        ),
        *timeline_section(folder),
    ]


def _arrivals(world: Mapping[str, Any]) -> Section:
    arrivals, modelled = world["arrivals"], Provenance.MODELLED
    return Section(
        key="arrivals",
        heading="When jobs arrive",
        body=figure(
            arrival_figure(arrivals["by_hour"], arrivals["by_day"]),
            "Arrivals drawn by thinning (compare the paper's Figure 4): the day's rhythm, and bursts.",
            modelled,
        ),
        data=arrivals | {"provenance": modelled, "settings": world["settings"]},
    )


def _trace(digest: Mapping[str, Any], settings: Mapping[str, Any]) -> Section:
    body = "".join(html(table) for table in trace_tables(digest))
    body += "<ul>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in trace_sentences(digest)) + "</ul>"
    how = f"{Provenance.MEASURED} and {Provenance.MODELLED}"
    data = {**digest, "provenance": how, "settings": settings}
    return Section(key="trace", heading="The trace", body=body, data=data)


def _versions(found: Sequence[Comparison]) -> str:
    """One world: every kind of predictions by itself, then all beside each other."""
    return "".join(map(_comparison, found)) + html(shares_table(found))


def _comparison(comparison: Comparison) -> str:
    panels = {
        heading: {
            p.policy: (p.means[column].estimate / unit, p.means[column].low / unit, p.means[column].high / unit)
            for p in comparison.policies
        }
        for heading, column, unit in (
            ("total waiting, hours a sample", "total_wait_s", HOUR_S),
            ("the jobs' own energy, kWh a sample", "energy_kwh", 1.0),
            ("the cluster's energy with idle GPUs, kWh a sample", "cluster_energy_kwh", 1.0),
        )
    }
    beside = " (compare the paper's Figure 7)" if comparison.trace is None else ""
    caption = f"Means and 95% intervals, {comparison.world}{beside}."
    heading = "Where and why this differs from the paper" if comparison.trace is None else "What this says"
    named = comparison.world if comparison.trace else f"Classes {comparison.classes}"
    why = "".join(f"<li>{escape(sentence)}</li>" for sentence in explain(comparison))
    return (
        f"<h3>{escape(named)}, predictions {escape(comparison.predictions)}</h3>"
        f"{figure(comparison_figure(panels), caption, Provenance.MODELLED)}"
        f"{html(totals_table(comparison))}{html(changes_table(comparison))}"
        + (f"<h4>{heading}</h4><ul>{why}</ul>" if why else "")
    )


def _scatter(path: Path, model: str | None) -> Section:
    table = parquet.read_table(path, columns.RESIDUALS)
    rows = table.to_pylist()
    chosen = chosen_model(rows, model)
    points = {}
    for device in sorted({row["device_type"] for row in rows}):
        pairs = [
            (row["measured"], row["predicted"])
            for row in rows
            if (row["model"], row["device_type"], row["metric"]) == (chosen, device, "runtime_s")
            and min(row["measured"], row["predicted"]) > 0
        ]
        if pairs:
            points[device] = (np.array(pairs)[:, 0], np.array(pairs)[:, 1])
    if not points:
        raise InputError(f"{path}: no positive run times of model {chosen}")
    data = [
        {"device_type": device, "model": chosen, "scripts": len(m), "median_ape": float(np.median(np.abs(p / m - 1)))}
        for device, (m, p) in points.items()
    ]
    how = f"{Provenance.MEASURED} against {Provenance.MODELLED}"
    caption = f"Run times of scripts that the model ({chosen}) did not see in training; the dashed line is equality."
    drawn = figure(scatter_figure(points, "seconds"), caption, how)
    body = drawn + html(records_table("Out-of-fold error of run time", data, how))
    return Section(
        key="predicted", heading="Predicted against measured", body=body, data={"provenance": how, "rows": data}
    )


def _accuracy(path: Path) -> Section:
    found = _read_json(path)
    rows = found["rows"] if isinstance(found, dict) and "rows" in found else found
    if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
        raise InputError(f"{path}: expected a JSON list of rows")
    how = f"{Provenance.MODELLED}, against {Provenance.MEASURED} run times"
    whole = [r for r in rows if r.get("device_type", "all") == r.get("family", "all") == "all"]
    by_device = [r for r in rows if r.get("device_type", "all") != "all" and r.get("family", "all") == "all"]
    tables = [
        ("Accuracy of the probes and their baselines", _without(whole, "device_type", "family")),
        ("Accuracy by device type", _without(by_device, "family")),
    ]
    body = "".join(html(records_table(title, kept, how)) for title, kept in tables if kept)
    return Section(key="accuracy", heading="Accuracy", body=body, data={"provenance": how, "rows": rows})


def _without(rows: Sequence[dict[str, Any]], *columns: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in columns} for row in rows]


def _labels(path: Path) -> Section:
    found = _read_json(path)
    if not isinstance(found, dict) or not all(isinstance(figures, dict) for figures in found.values()):
        raise InputError(f"{path}: expected the summary.json of kilowait lab label")
    rows: list[dict[str, Any]] = [{"device_type": device, **figures} for device, figures in found.items()]
    note = "Run times are measured; on a CPU energy is estimated (power times time) and supports no claim."
    table: TableView = records_table("Labels", rows, Provenance.MEASURED, (note,))
    data = {"provenance": Provenance.MEASURED, "note": note, "rows": rows}
    return Section(key="labels", heading="Labels", body=html(table), data=data)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable JSON file: {error}") from error
