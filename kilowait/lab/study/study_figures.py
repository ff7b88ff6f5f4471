"""The study's charts; every one has its provenance beside it on the page."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from kilowait.lab.backtest.comparison import BASELINE
from kilowait.report.bars import COLOURS
from kilowait.report.figures import INK, SETTINGS, WIDTH, svg
from kilowait.report.interval import Interval

_LINES = ("-", "--", ":", "-.")
_MARKS = ("o", "s", "^", "D", "v", "P")

_OFF = 1.0
"""A policy that doubles Simple's total at every x is named in a corner of the panel."""
_FAR_OFF = 5.0

Heat = tuple[Sequence[str], Sequence[str], Mapping[tuple[str, str], float]]
"""Names of rows and of columns, and changes (1 is 100%) by both; a cell that was not run is missing."""
Curves = Mapping[str, Sequence[tuple[float, Interval]]]
"""By policy: x and the change against Simple (1 is 100%) with its interval."""


def heat_figure(panels: Mapping[str, Heat]) -> str:
    """Changes as coloured tables side by side: blue is less than Simple, red is more; colours end at 100%."""
    rows, columns, _ = next(iter(panels.values()))
    height = 1.2 + 0.42 * len(rows)
    with rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH * 1.5, height), layout="constrained")
        for axes, (heading, (rows, columns, cells)) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
        ):
            values = np.array([[cells.get((row, column), np.nan) for column in columns] for row in rows])
            scale = TwoSlopeNorm(0.0, vmin=-1.0, vmax=1.0)
            axes.imshow(np.clip(values, -1, 1), cmap="RdBu_r", norm=scale, aspect="auto")
            axes.set_xticks(range(len(columns)), [name.replace(" ", "\n", 1) for name in columns], fontsize=8)
            axes.set_yticks(range(len(rows)), rows, fontsize=8)
            axes.set_title(heading, fontsize=9)
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
            _write(axes, values)
        return svg(figure)


def _write(axes: Axes, values: Any) -> None:
    if np.isnan(values).all():
        axes.text(0.5, 0.5, "undefined: no job waits under Simple", transform=axes.transAxes, ha="center")
    for (i, k), change in np.ndenumerate(values):
        if not np.isnan(change):
            shade = "#ffffff" if abs(change) > 0.65 else "#111111"
            axes.text(k, i, f"{change:+.1%}" if abs(change) < 1 else f"{change:+,.0%}", ha="center", va="center",
                      color=shade, fontsize=8)  # fmt: skip


def curves_figure(grid: Mapping[str, Mapping[str, Curves]], x_label: str, *, log_x: bool = False) -> str:
    """A row of panels a heading, a panel a metric, a line a policy with its 95% band (cut where it is wide)."""
    columns = list(next(iter(grid.values())))
    with rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH * 1.5, 0.6 + 2.5 * len(grid)), layout="constrained")
        drawn = figure.subplots(len(grid), len(columns), squeeze=False, sharex=True)
        for axes_row, (heading, panels) in zip(drawn, grid.items(), strict=True):
            for axes, (metric, curves) in zip(axes_row, panels.items(), strict=True):
                _curves(axes, curves, log_x=log_x)
                axes.set_title(f"{heading}: {metric}" if heading else metric, fontsize=9)
                axes.set_ylabel("change against Simple, %")
        for axes in drawn[-1]:
            axes.set_xlabel(x_label)
        _legend(figure, drawn[0][0])
        return svg(figure)


def _curves(axes: Axes, curves: Curves, *, log_x: bool) -> None:
    """Lines with bands; a policy that is beyond `_OFF` everywhere, or anywhere beyond `_FAR_OFF`, is named instead.

    Drawn, it would flatten the others.
    """
    reach = {name: [change.estimate for _, change in points] for name, points in curves.items()}
    off = {name for name, changes in reach.items() if min(changes) > _OFF or max(changes) > _FAR_OFF}
    styles = line_styles(curves)
    for name, points in curves.items():
        xs = [x for x, _ in points]
        mean, low, high = ([100 * getattr(change, end) for _, change in points] for end in ("estimate", "low", "high"))
        shown = slice(0, 0) if name in off else slice(None)  # an empty line still stands in the legend
        axes.fill_between(xs[shown], low[shown], high[shown], color=styles[name]["color"], alpha=0.2, lw=0)
        axes.plot(xs[shown], mean[shown], label=name, **styles[name])
    axes.axhline(0, color=INK, linewidth=0.6)
    if off:
        notes = [f"{name} {_range(reach[name])}" for name in curves if name in off]
        axes.text(0.98, 0.97, f"off the chart: {', '.join(notes)}", transform=axes.transAxes, ha="right", va="top",
                  fontsize=8)  # fmt: skip
    _limit(axes, [change for name, points in curves.items() if name not in off for _, change in points], bool(off))
    if log_x:
        axes.set_xscale("log", base=2)
    every = sorted({x for points in curves.values() for x, _ in points})
    axes.set_xticks(every, [f"{x:g}" for x in every])
    axes.minorticks_off()


def _limit(axes: Axes, changes: Sequence[Interval], noted: bool) -> None:
    """Show every line, and of a band at most half as much again: one wide band would flatten everything else."""
    means = [0.0, *(100 * change.estimate for change in changes)]
    bottom, top = min(means), max(means)
    room = max(top - bottom, 1.0)
    lowest = max(min([bottom, *(100 * change.low for change in changes)]), bottom - 0.5 * room)
    highest = min(max([top, *(100 * change.high for change in changes)]), top + 0.5 * room)
    axes.set_ylim(lowest - 0.06 * room, highest + (0.2 if noted else 0.06) * room)


def _range(changes: Sequence[float]) -> str:
    low, high = min(changes), max(changes)
    return f"{low:+,.0%}" if low == high else f"{low:+,.0%} to {high:+,.0%}"


def rates_figure(
    latency: Mapping[str, Sequence[tuple[float, float, float]]], throughput: Mapping[str, Sequence[tuple[float, float]]]
) -> str:
    """Left: ms a decision (p50 and, dashed, p99) by jobs a second; right: jobs a CPU second, and where it is enough."""
    with rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH * 1.5, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        styles = line_styles(latency)
        for name, points in latency.items():
            rates = [rate for rate, _, _ in points]
            left.plot(rates, [1e3 * p50 for _, p50, _ in points], label=name, **(styles[name] | {"linestyle": "-"}))
            left.plot(rates, [1e3 * p99 for _, _, p99 in points], **(styles[name] | {"linestyle": "--"}))
            right.plot(*zip(*throughput[name], strict=True), label=name, **styles[name])
        rates = sorted({rate for points in throughput.values() for rate, _ in points})
        right.plot(rates, rates, color=INK, linewidth=0.8, linestyle=":")
        middle = rates[len(rates) // 2]
        right.annotate("keeps up above this line", (middle, middle), xytext=(8, -6), textcoords="offset points",
                       fontsize=8, va="top")  # fmt: skip
        left.set(xscale="log", yscale="log", xlabel="arrivals, jobs a second", ylabel="a decision, ms of process time")
        left.set_title("decision latency: p50 (solid) and p99 (dashed)", fontsize=9)
        right.set(xscale="log", yscale="log", xlabel="arrivals, jobs a second", ylabel="jobs a second of process time")
        right.set_title("jobs that one core schedules", fontsize=9)
        _legend(figure, right)
        return svg(figure)


def types_figure(changes: Mapping[str, Mapping[str, Curves]], decisions: Mapping[str, Curves]) -> str:
    """By number of types: waiting and energy against Simple, and ms of process time a job, a row a table of classes."""
    with rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH * 1.5, 0.6 + 2.6 * len(changes)), layout="constrained")
        drawn = figure.subplots(len(changes), 3, squeeze=False, sharex=True)
        for axes_row, (heading, panels) in zip(drawn, changes.items(), strict=True):
            for axes, (metric, curves) in zip(axes_row[:2], panels.items(), strict=True):
                _curves(axes, curves, log_x=True)
                axes.set_title(f"{heading}: {metric}", fontsize=9)
                axes.set_ylabel("change against Simple, %")
            styles = line_styles(decisions[heading])
            for name, points in decisions[heading].items():
                ms = [1e3 * seconds.estimate for _, seconds in points]
                axes_row[2].plot([x for x, _ in points], ms, label=name, **styles[name])
            axes_row[2].set(yscale="log", ylabel="decisions, ms a job")
            axes_row[2].set_title(f"{heading}: time to decide", fontsize=9)
        for axes in drawn[-1]:
            axes.set_xlabel("GPU types")
        _legend(figure, drawn[0][2])
        return svg(figure)


def line_styles(policies: Iterable[str]) -> dict[str, dict[str, Any]]:
    """How each policy is drawn: Simple in ink; colours first, then lines, so that more than six stay apart."""
    others = [name for name in policies if name != BASELINE]
    common: dict[str, Any] = {"markersize": 3.5, "linewidth": 1.2}
    styles = {
        name: {
            "color": COLOURS[k % len(COLOURS)],
            "linestyle": _LINES[k // len(COLOURS) % len(_LINES)],
            "marker": _MARKS[k % len(_MARKS)],
        }
        for k, name in enumerate(others)
    }
    return {name: style | common for name, style in {BASELINE: {"color": INK, "marker": "x"}, **styles}.items()}


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(6, len(labels)), fontsize=8)
