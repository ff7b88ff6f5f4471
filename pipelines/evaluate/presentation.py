"""What pipelines.evaluate shows and writes: tables beside the baselines, one JSON, one CSV, a page with figures."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from kilowait.core.jobs import INTERVAL_COVERAGE, Provenance
from kilowait.files.atomic import replacing
from kilowait.files.columns import HELD_OUT
from kilowait.files.parquet import table, write_table
from kilowait.lab.evaluate.dataset import Dataset
from kilowait.lab.evaluate.held_out import HeldOut
from kilowait.predict.probe.bundle import unit_of
from kilowait.report.figures import agreement_figure
from kilowait.report.page import Section, figure, write_page
from kilowait.report.table import NOTHING, TableView, html, terminal

from .error_summary import KEYS, Scores, against, details, scorable

PROVENANCE = f"predictions {Provenance.MODELLED}, labels {Provenance.MEASURED}"
_WIDTH = 150
HEADINGS = {
    "n": "n",
    "r2_log": "R2 log",
    "mdape": "median APE",
    "mape": "MAPE",
    "spearman": "Spearman",
    "coverage90": "coverage",
    "width90": "width",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An evaluation: held-out predictions by recipe (the first is the one reported), under one split."""

    study: Dataset
    metric: str
    split: str
    found: Mapping[str, HeldOut]
    pair: tuple[str, str]
    seed: int

    def details(self) -> dict[str, Scores]:
        """Every number, by recipe."""
        return {
            name: details(self.study, self.metric, held_out, self.pair, self.seed)
            for name, held_out in self.found.items()
        }


def as_text(report: Report) -> str:
    """The tables for a terminal."""
    out = io.StringIO()
    console = Console(file=out, width=_WIDTH)
    for view in _views(report, report.details()):
        console.print(terminal(view))
    return out.getvalue()


def write(report: Report, out: Path) -> Path:
    """Write evaluation.json, .csv and .html and predictions.parquet; returns the page's path."""
    scores = report.details()
    section = Section(
        key="recipes",
        heading="Recipes",
        body="".join(html(view) for view in _views(report, scores)),
        data=scores,
    )
    facts = {"split": report.split, "metric": report.metric, "seed": str(report.seed), "numbers": PROVENANCE}
    facts |= {"programs": str(len(report.study.scripts)), "device types": ", ".join(report.study.device_types)}
    sections = [section, _agreement(report), _against(report)]
    page = write_page(out, "evaluation", title="How good predictions are", facts=facts, sections=sections)
    _write_csv(out / "evaluation.csv", scores)
    rows = [row for name, held_out in report.found.items() for row in _rows(report, name, held_out)]
    write_table(table(rows, HELD_OUT), out / "predictions.parquet")
    return page


def _views(report: Report, scores: Mapping[str, Scores]) -> Iterator[TableView]:
    first, first_scores = next(iter(scores.items()))
    note = "coverage: share inside the 90% interval; width: mean log10(upper / lower). APE of measured values."
    for title, over_1ms in (("all programs", False), ("programs measured over 1 ms", True)):
        yield _view(
            f"{report.metric}, {report.split}, {title}",
            {n: _cell(s["overall"], over_1ms) for n, s in scores.items()},
            note,
        )
    if len(scores) > 1:
        yield _against_view(report)
    yield _view(f"{first} by device type", first_scores["devices"])
    yield _view(f"{first} by device type, over 1 ms", {n: _cell(s, True) for n, s in first_scores["devices"].items()})
    yield _view(f"{first} by family", first_scores["families"])
    yield _coverage_view(first, first_scores)
    if first_scores["choice"] and (first_scores["choice"]["all"] or first_scores["choice"]["over_1ms"]):
        yield _choice_view(report.pair, scores)


def _against(report: Report) -> Section:
    data = against(report.study, report.metric, report.found, report.seed)
    return Section(key="against", heading="Against the first recipe", body=html(_against_view(report)), data=data)


def _against_view(report: Report) -> TableView:
    """Every recipe beside the first, on the labels that both predict."""
    rows = tuple(
        (name, str(c["n"]), f"{c['error']:.3f}", f"{c['more']:+.3f}", f"[{c['low']:+.3f}, {c['high']:+.3f}]")
        for name, c in against(report.study, report.metric, report.found, report.seed).items()
    )
    first = next(iter(report.found))
    return TableView(
        title=f"Mean |log(predicted / measured)| of {report.metric}",
        headings=("", "n", "error", f"more than {first}", "95%"),
        rows=rows,
        provenance=PROVENANCE,
        notes=("In brackets the paired bootstrap over programs: below 0 throughout, a recipe is better.",),
    )


def _cell(scores: Scores, over_1ms: bool) -> Scores:
    return scores["over_1ms"] if over_1ms else scores


def _view(title: str, rows: Mapping[str, Scores], *notes: str) -> TableView:
    body = tuple((name, *(_format(key, scores[key]) for key in HEADINGS)) for name, scores in rows.items())
    return TableView(title=title, headings=("", *HEADINGS.values()), rows=body, provenance=PROVENANCE, notes=notes)


def _format(key: str, value: float | None) -> str:
    if value is None:
        return NOTHING
    if key == "n":
        return str(value)
    return f"{value:.1%}" if key in ("mdape", "mape", "coverage90") else f"{value:.3f}"


def _coverage_view(recipe: str, scores: Scores) -> TableView:
    rows = tuple(
        (
            name,
            str(c["n"]),
            f"{c['share']:.1%}",
            f"[{c['share_low']:.1%}, {c['share_high']:.1%}]",
            f"[{c['program_low']:.1%}, {c['program_high']:.1%}]",
            f"{c['missed_below']:.1%}",
            f"{c['missed_above']:.1%}",
            "yes" if c["share_low"] <= INTERVAL_COVERAGE <= c["share_high"] else "no",
        )
        for name, c in scores["coverage"].items()
        if c
    )
    return TableView(
        title=f"Coverage of the 90% intervals of {recipe}",
        headings=("", "n", "inside", "exact 95%", "by program 95%", "missed below", "missed above", "90% in exact"),
        rows=rows,
        provenance=PROVENANCE,
        notes=(
            "Exact 95%: Clopper and Pearson's, which takes labels for independent; those of one program on several "
            "types are not: by program is a bootstrap of programs. "
            f"{scores['borrowed']} intervals borrowed from all categories.",
        ),
    )


def _choice_view(pair: Sequence[str], scores: Mapping[str, Scores]) -> TableView:
    def line(name: str, c: Mapping[str, Any]) -> tuple[str, ...]:
        cells = []
        for key in ("balanced", "right", "time_lost", "ratio_lost"):
            low, high = c[f"{key}_interval"]
            cells.append(f"{c[key]:.1%} [{low:.1%}, {high:.1%}]")
        return name, str(c["n"]), *cells

    rows = []
    for slice_name, title in (("all", ""), ("over_1ms", ", over 1 ms")):
        picks = {name: s["choice"][slice_name] for name, s in scores.items() if s["choice"] and s["choice"][slice_name]}
        rows += [line(f"{name}{title}", c["picks"]) for name, c in picks.items()]
        rows += [line(f"majority{title}", c["majority"]) for c in list(picks.values())[:1]]
    return TableView(
        title=f"Which of {pair[0]} and {pair[1]} is faster",
        headings=("", "n", "balanced accuracy", "right", "time lost", "mean ratio lost"),
        rows=tuple(rows),
        provenance=PROVENANCE,
        notes=("In brackets 95% bootstrap intervals over programs. Time lost: by the wrong picks, of the best total.",),
    )


def _agreement(report: Report) -> Section:
    """Predicted against measured for the first recipe, a panel a device type."""
    name, held_out = next(iter(report.found.items()))
    study, mask = report.study, scorable(report.study, report.metric, held_out)
    panels = {}
    for i, device in enumerate(study.device_types):
        rows = mask & (study.device == i)
        if rows.any():
            columns = (study.metrics[report.metric], np.maximum(held_out.predicted, 1e-9), held_out.low, held_out.high)
            panels[device] = np.stack([column[rows] for column in columns], axis=1)
    drawing = agreement_figure(panels, unit_of(report.metric))
    caption = f"{name}: predicted against measured {report.metric}, {report.split}, with 90% intervals"
    return Section(
        key="agreement", heading="Predicted against measured", body=figure(drawing, caption, PROVENANCE), data={}
    )


def _write_csv(path: Path, scores_by_recipe: Mapping[str, Scores]) -> None:
    """A row a recipe and slice."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["recipe", "slice", "name", "programs", *KEYS])
        for recipe, scores in scores_by_recipe.items():
            slices = {("overall", "overall"): scores["overall"]}
            slices |= {("device", name): cell for name, cell in scores["devices"].items()}
            slices |= {("family", name): cell for name, cell in scores["families"].items()}
            for (kind, name), cell in slices.items():
                writer.writerow([recipe, kind, name, "all", *(cell[key] for key in KEYS)])
                if "over_1ms" in cell:
                    writer.writerow([recipe, kind, name, "over_1ms", *(cell["over_1ms"][key] for key in KEYS)])


def _rows(report: Report, recipe: str, held_out: HeldOut) -> Iterator[dict[str, Any]]:
    """Rows of columns.HELD_OUT."""
    study = report.study
    for row in np.flatnonzero(scorable(study, report.metric, held_out)):
        ends = {"low": float(held_out.low[row]), "high": float(held_out.high[row])}
        yield {
            "content_hash": study.scripts[study.script[row]],
            "family": study.families[study.script[row]],
            "device_type": study.device_types[study.device[row]],
            "metric": report.metric,
            "measured": float(study.metrics[report.metric][row]),
            "predicted": float(held_out.predicted[row]),
            "model": recipe,
            "wide": bool(held_out.wide[row]),
            **{name: value for name, value in ends.items() if np.isfinite(value)},
        }
