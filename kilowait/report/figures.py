"""The report's charts, drawn by matplotlib without a display, as SVG text.

Figures of the report have their provenance beside them there; a figure that is a file of its own carries it. Colours
hold on light and dark paper: ink is a placeholder that the SVG's own style sheet sets by the reader's colour scheme.
"""

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kilowait.core.arrays import FloatArray
from kilowait.core.units import DAY_S
from kilowait.report.bars import COLOURS

INK = "#010203"
_STYLE = (
    "<style>:root{{--ink:#222}}@media (prefers-color-scheme: dark){{:root{{--ink:#ddd}}}}"
    "text{{font-family:system-ui,sans-serif}}</style>"
)
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "kilowait",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
}
WIDTH = 6.4
_POINTS = 1500


def arrival_figure(by_hour: Sequence[float], by_day: Sequence[int]) -> str:
    """Arrivals (the paper's Figure 4): mean jobs in each hour of the day over all samples, and one sample by day."""
    with rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
        top, bottom = figure.subplots(2, 1)
        top.bar(range(24), by_hour, color=COLOURS[0], width=0.85)
        top.set(xlabel="hour of the day", ylabel="jobs, mean a sample", xticks=range(0, 24, 3))
        bottom.bar(range(1, len(by_day) + 1), by_day, color=COLOURS[1], width=0.85)
        bottom.set(xlabel="day of sample 0", ylabel="jobs")
        return svg(figure)


def comparison_figure(panels: Mapping[str, Mapping[str, tuple[float, float, float]]]) -> str:
    """Policies side by side (the paper's Figure 7): for each panel, mean and interval (low, high) by policy."""
    with rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, 1.1 + 1.5 * len(panels)), layout="constrained")
        for axes, (heading, bars) in zip(
            figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels.items(), strict=True
        ):
            means, lows, highs = (np.array(column) for column in zip(*bars.values(), strict=True))
            places = range(len(bars))
            axes.barh(places, means, color=[COLOURS[k % len(COLOURS)] for k in places], height=0.7)
            axes.errorbar(means, places, xerr=[means - lows, highs - means], fmt="none", ecolor=INK, capsize=2)
            axes.set_yticks(places, list(bars))
            axes.invert_yaxis()
            axes.set_xlabel(heading)
        return svg(figure)


def path_figure(paths: Mapping[str, Mapping[str, Any]], inventory: Mapping[str, int]) -> str:
    """One sample under every policy: jobs queued, then busy GPUs of each type, over days."""
    with rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, 1.7 * (1 + len(inventory))), layout="constrained")
        rows: Sequence[Axes] = figure.subplots(1 + len(inventory), 1, sharex=True)
        for k, (label, path) in enumerate(paths.items()):
            days = np.array(path["time_s"]) / DAY_S
            line: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "linewidth": 1.0, "alpha": 0.85}
            rows[0].step(days, path["queued"], where="post", label=label, **line)
            for axes, gpu_type in zip(rows[1:], inventory, strict=True):
                axes.step(days, path["busy"][gpu_type], where="post", **line)
        rows[0].set_ylabel("jobs waiting")
        rows[0].legend(loc="upper right", fontsize=8)
        for axes, (gpu_type, count) in zip(rows[1:], inventory.items(), strict=True):
            axes.axhline(count, color=INK, linewidth=0.6, linestyle=":")
            axes.set_ylabel(f"{gpu_type} busy\nof {count}")
        rows[-1].set_xlabel("days")
        return svg(figure)


def scatter_figure(points: Mapping[str, tuple[FloatArray, FloatArray]], unit: str) -> str:
    """Measured (x) against predicted (y) by device type on logarithmic axes, with the line where they agree.

    Beyond 1,500 points a series is thinned evenly, so that the report stays small.
    """
    with rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
        axes = figure.subplots()
        for k, (label, (measured, predicted)) in enumerate(points.items()):
            step = -(-len(measured) // _POINTS) or 1
            axes.scatter(measured[::step], predicted[::step], s=9, alpha=0.5, lw=0, color=COLOURS[k], label=label)
        axes.set(xscale="log", yscale="log", xlabel=f"measured, {unit}", ylabel=f"predicted out of fold, {unit}")
        values = np.concatenate([np.concatenate(pair) for pair in points.values()])
        limits = [values.min(), values.max()]
        axes.plot(limits, limits, color=INK, linewidth=0.7, linestyle="--")
        axes.legend(loc="upper left", fontsize=8)
        return svg(figure)


def agreement_figure(panels: Mapping[str, FloatArray], unit: str) -> str:
    """Measured (x) against predicted (y) with its interval, a panel a device type, all on the same logarithmic axes.

    A panel's array (n, 4) holds measured, predicted and the interval's ends, NaN where there is none.
    """
    columns, count = 3, len(panels)
    with rc_context(SETTINGS):
        rows = -(-count // columns)
        figure = Figure(figsize=(WIDTH, 0.4 + 2.1 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        values = np.concatenate([panel[:, :2] for panel in panels.values()])
        limits = [values.min(), values.max()]
        for axes, (label, panel) in zip(grid, panels.items(), strict=False):
            measured, predicted, low, high = panel.T
            error_bars = [predicted - low, high - predicted]
            axes.errorbar(measured, predicted, yerr=error_bars, fmt="none", ecolor=COLOURS[5], alpha=0.4, lw=0.7)
            axes.scatter(measured, predicted, s=7, alpha=0.7, lw=0, color=COLOURS[0])
            axes.plot(limits, limits, color=INK, linewidth=0.7, linestyle="--")
            axes.set(xscale="log", yscale="log", title=label)
        for axes in grid[count:]:
            axes.set_visible(False)
        figure.supxlabel(f"measured, {unit}", fontsize=9)
        figure.supylabel(f"predicted, with 90% interval, {unit}", fontsize=9)
        return svg(figure)


Point = tuple[float, float]
Panel = tuple[Sequence[Point], Sequence[Point], Mapping[str, Point]]
"""Hours of waiting and kWh: of every trial, of the front by rising waiting, and of picked points by name."""


def front_figure(panels: Mapping[str, Panel], note: str) -> str:
    """Waiting (x) against energy (y) of Value's kappas, a panel a heading, with the Pareto front and what was picked.

    Between two points of the front the line is a step: nothing tried lies below and left of it. `note` stands on the
    drawing.
    """
    with rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, 0.5 + 3.2 * len(panels)), layout="constrained")
        for axes, (heading, (trials, front, picks)) in zip(
            figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels.items(), strict=True
        ):
            axes.scatter(*zip(*trials, strict=True), s=12, lw=0, color=INK, alpha=0.4, label="all that were tried")
            axes.step(*zip(*front, strict=True), where="post", marker="o", ms=4, color=COLOURS[0], label="front")
            for k, (name, (wait, energy)) in enumerate(picks.items()):
                size = 90 + 60 * k  # rings around each other where two rules pick the same point
                axes.scatter(wait, energy, s=size, facecolors="none", edgecolors=COLOURS[1 + k % 5], label=name)
            axes.set(title=heading, xlabel="total waiting, hours a sample", ylabel="jobs' energy, kWh a sample")
            axes.legend(loc="best", fontsize=8)
        figure.supxlabel(note, fontsize=8)
        return svg(figure)


def curve_figure(lines: Mapping[str, FloatArray], note: str) -> str:
    """Median error (y) by number of training programs (x) on logarithmic axes, a line a method; `note` stands below.

    A line's array (n, 4) holds programs, median error, and the ends of its interval, both errors as shares.
    """
    with rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
        axes = figure.subplots()
        for k, (label, (x, y, low, high)) in enumerate((name, points.T) for name, points in lines.items()):
            style: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "marker": "os^Dvx"[k % 6], "ms": 4, "lw": 1.3}
            style |= {"ls": "--"} if k > 4 else {}  # the last may lie on another
            axes.errorbar(x, 100 * y, yerr=100 * np.abs([y - low, high - y]), elinewidth=0.7, label=label, **style)
        axes.set(xscale="log", yscale="log", xlabel="programs to learn from", ylabel="median error of run times, %")
        ticks = sorted({float(x) for points in lines.values() for x in points[:, 0]})
        axes.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks], minor=False)
        axes.set_xticks([], minor=True)
        y_ticks = [tick for tick in (2, 5, 10, 20, 50, 100, 200, 500) if axes.get_ylim()[0] < tick < axes.get_ylim()[1]]
        axes.set_yticks(y_ticks, [f"{tick}" for tick in y_ticks])
        axes.set_yticks([], minor=True)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.22), ncols=2, fontsize=8)
        figure.supxlabel("\n".join(textwrap.wrap(note, 110)), fontsize=7)
        return svg(figure)


Method = tuple[FloatArray, FloatArray, str]
"""Measured values, predictions, and a line that sums them up."""


def methods_figure(panels: Mapping[str, Method], unit: str, note: str) -> str:
    """Measured (x) against predicted (y), a panel a method (the paper's Figure 3), on shared logarithmic axes."""
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    with rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH + 0.8, 0.4 + 2.5 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        x, y = (np.concatenate([panel[side] for panel in panels.values()]) for side in (0, 1))
        limits = [x.min() * 0.8, x.max() * 1.25]
        heights = [min(y.min() * 0.8, limits[0]), max(y.max() * 1.25, limits[1])]
        for k, axes in enumerate(grid.flat):
            axes.set(xscale="log", yscale="log", xlim=limits, ylim=heights)
            axes.plot(limits, limits, color=INK, linewidth=0.7, linestyle="--")
            axes.set_visible(k < len(panels))
        for k, (axes, (heading, (measured, predicted, line))) in enumerate(
            zip(grid.flat, panels.items(), strict=False)
        ):
            axes.scatter(measured, predicted, s=9, alpha=0.6, lw=0, color=COLOURS[k % len(COLOURS)])
            axes.set_title(f"{heading}\n{line}", fontsize=8)
        figure.supxlabel(f"measured, {unit}\n{note}", fontsize=8)
        figure.supylabel(f"predicted, {unit}", fontsize=8)
        return svg(figure)


def heat_figure(groups: Mapping[str, Sequence[str]], distances: FloatArray, note: str) -> str:
    """Pairwise distances (N, N) of embeddings in named groups (the paper's Figure 6), dark where two are close.

    `groups` holds the labels of each group's rows; their order is that of the matrix. Within every pair of groups a
    dark diagonal says that a program is recognised.
    """
    sizes = [len(labels) for labels in groups.values()]
    edges = np.cumsum([0, *sizes])
    with rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH + 0.6, WIDTH + 0.2), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(distances, cmap="viridis", vmin=0, interpolation="nearest")
        for edge in edges[1:-1]:
            axes.axhline(edge - 0.5, color="white", linewidth=1.5)
            axes.axvline(edge - 0.5, color="white", linewidth=1.5)
        middles = (edges[:-1] + edges[1:] - 1) / 2
        axes.set_xticks(middles, list(groups))
        axes.set_yticks(range(edges[-1]), [label for labels in groups.values() for label in labels], fontsize=5.5)
        axes.tick_params(length=0)
        figure.colorbar(image, ax=axes, shrink=0.7, label="distance")
        figure.supxlabel(note, fontsize=8)
        return svg(figure)


def svg(figure: Figure) -> str:
    """The figure as an SVG document whose ink follows the reader's colour scheme."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Type", "Format")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "var(--ink)")
    end_of_tag = text.index(">") + 1
    return text[:end_of_tag] + _STYLE.format() + text[end_of_tag:]
