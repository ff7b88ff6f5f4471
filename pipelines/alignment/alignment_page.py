"""The report of pipelines.alignment: its tables, its two figures, and what the terminal shows."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kilowait.core.arrays import FloatArray
from kilowait.core.jobs import Provenance
from kilowait.report.figures import heat_figure, methods_figure
from kilowait.report.page import Section, figure, write_page
from kilowait.report.table import NOTHING, TableView, html

SHOWN = 10
"""Programs in the heat map, each of another family."""
_NOTE = (
    "Measured run times are the originals', whose work the twins do (both print the same result). Predictions are "
    "modelled, out of fold. By work: no script with the twin's hyperparameters trained the probe; by family: none of "
    "its family. In brackets 95% bootstrap intervals over twins."
)


def variants_table(lines: Sequence[Mapping[str, Any]]) -> TableView:
    """A row a form of the twins."""
    headings = (
        "what the probe reads", "labels", "median APE\nby work", "median APE\nby family", "R2 of log\nby work",
        "taken for\nunknown", "distance,\nmedian", "seconds a\nsource", "valid",
    )  # fmt: skip
    rows = tuple(
        (
            line["variant"],
            f"{line['by work']['n']:.0f}",
            _share(line["by work"]),
            _share(line["by family"]),
            _number(line["by work"]["r2_log"], 2),
            f"{line['unknown']:.0%}",
            f"{line['distance']:.1f}",
            _number(line["latency_s"], 3),
            NOTHING if line["tried"] is None else f"{line['valid']} of {line['tried']}",
        )
        for line in lines
    )
    notes = (
        _NOTE,
        "Unknown: further from the known programs than 95% of held-out known ones. Seconds are measured.",
        *(f"{line['variant']}: {line['how']}." for line in lines if line["how"] != "as written"),
    )
    return TableView(title="Run time of twins", headings=headings, rows=rows, provenance=_PROVENANCE, notes=notes)


_PROVENANCE = f"{Provenance.MODELLED} against {Provenance.MEASURED}"


def methods_table(lines: Sequence[Mapping[str, Any]]) -> TableView:
    """A row a method, on the originals and on the twins as they are."""
    rows = tuple(
        (
            line["method"],
            _share(line["originals"]),
            _share(line),
            _number(line["originals"]["r2_log"], 2),
            _number(line["r2_log"], 2),
            _number(line["spearman"], 2),
        )
        for line in lines
    )
    return TableView(
        title="Methods on originals and on their twins, by work",
        headings=(
            "method",
            "median APE\noriginals",
            "median APE\ntwins",
            "R2 of log\noriginals",
            "R2 of log\ntwins",
            "Spearman\ntwins",
        ),
        rows=rows,
        provenance=_PROVENANCE,
    )


def terminal_text(lines: Sequence[Mapping[str, Any]], methods: Sequence[Mapping[str, Any]]) -> str:
    """Both tables as plain text, and why rewrites were dropped."""
    reasons = [f"  dropped: {reason[:160]}" for line in lines for reason in line["reasons"]]
    return "\n".join([_plain(variants_table(lines)), "", *reasons[:12], "", _plain(methods_table(methods))])


def write_report(
    out: Path,
    lines: Sequence[Mapping[str, Any]],
    methods: Sequence[Mapping[str, Any]],
    predicted: Mapping[str, FloatArray],
    truth: FloatArray,
    heat_svg: str,
) -> Path:
    """alignment.html, alignment.json, heat.svg and agreement.svg in the folder `out`."""
    errors = {line["method"]: line for line in methods}
    panels = {
        name: (truth.ravel(), values.ravel(), f"median error {errors[name]['median_ape']:.0%}")
        for name, values in predicted.items()
    }
    agreement = methods_figure(panels, "s", "of the original; dots are twins on a device type; dashed: equal")
    out.mkdir(parents=True, exist_ok=True)
    (out / "heat.svg").write_text(heat_svg, encoding="utf-8")
    (out / "agreement.svg").write_text(agreement, encoding="utf-8")
    heading = "Predicted against measured run time on twins"
    far = f"Distances between embeddings of {SHOWN} programs in each form"
    sections = [
        Section(key="variants", heading="Forms of the twins", body=html(variants_table(lines)), data=list(lines)),
        Section(key="methods", heading="Methods", body=html(methods_table(methods)), data=list(methods)),
        Section(key="agreement", heading=heading, body=figure(agreement, heading, _PROVENANCE), data=None),
        Section(key="heat", heading=far, body=figure(heat_svg, far, Provenance.MODELLED), data=None),
    ]
    return write_page(out, "alignment", title="Twins, normaliser and alignment", facts={}, sections=sections)


def heat(
    texts: Mapping[str, Sequence[str]], families: Sequence[str], vectors: Callable[[Sequence[str]], torch.Tensor]
) -> str:
    """The heat map: cosine distances of mean embeddings, less the mean over all that is shown.

    `texts` are the forms of the same T programs, whose `families` choose the first program of each.
    """
    indices = [families.index(name) for name in dict.fromkeys(families)][:SHOWN]
    x = torch.cat([vectors([form[i] for i in indices]) for form in texts.values()])
    x = torch.nn.functional.normalize(x - x.mean(0), dim=1)
    labels = [families[i].replace("_", " ") for i in indices]
    distances = (1 - x @ x.T).clamp(min=0).double().numpy()
    note = "1 - cosine of mean embeddings, centred; dark diagonals in a block: programs are recognised"
    return heat_figure(dict.fromkeys(texts, labels), np.asarray(distances), note)


def _share(line: Mapping[str, Any]) -> str:
    return f"{line['median_ape']:.1%}\n[{line['low']:.0%}, {line['high']:.0%}]"


def _number(value: float | None, digits: int) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}"


def _plain(view: TableView) -> str:
    cells = [[cell.replace("\n", " ") for cell in row] for row in (view.headings, *view.rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    body = [
        "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True)))
        for r in cells
    ]
    return "\n".join([f"{view.title} ({view.provenance})", *body])
