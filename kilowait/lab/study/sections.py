"""The parts of the study as sections of a page: figures, tables, what they say, and the numbers."""

from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from typing import Any

from kilowait.core.jobs import Provenance
from kilowait.core.units import HOUR_S
from kilowait.lab.backtest.comparison import BASELINE
from kilowait.lab.study.effects import Group, Split, select, split, worlds
from kilowait.lab.study.information import InjectedError
from kilowait.lab.study.study_figures import Curves, curves_figure, heat_figure, types_figure
from kilowait.report.interval import Interval
from kilowait.report.page import Section, figure
from kilowait.report.table import NOTHING, TableView, change, html, span

METRICS = {"waiting": "total_wait_s", "jobs' energy": "energy_kwh"}
ENOUGH = 20
"""Below so many samples a bootstrap interval is too narrow, and the tables say so."""
_MODELLED = Provenance.MODELLED
_PAIRED = "Paired on the same samples; in brackets 95% bootstrap intervals over samples. Below 0 is better."


def information_section(found: Sequence[Group]) -> Section:
    """Predictor against policy: change of waiting and energy by what is known and who decides."""
    groups = select(found, "information")
    body = "".join(_information(world, select(groups, "information", world)) for world in worlds(groups))
    return Section(
        key="information", heading="Predictor and policy", body=body, data=[_numbers(group) for group in groups]
    )


def _information(world: str, groups: Sequence[Group]) -> str:
    others = [g for g in groups if g.place.policy != BASELINE]
    policies = list(dict.fromkeys(g.place.policy for g in others))
    kinds = list(dict.fromkeys(g.place.information for g in others))
    panels = {
        f"{metric} against Simple": (
            policies,
            kinds,
            {(g.place.policy, g.place.information): g.change(column).estimate for g in others},
        )
        for metric, column in METRICS.items()
    }
    samples, jobs = groups[0].samples, groups[0].columns["jobs"].mean()
    caption = f"{world}: {samples} sample(s) of {jobs:.0f} jobs on average; colours end at 100%."
    tables = "".join(html(_by_kind(world, metric, column, others, kinds)) for metric, column in METRICS.items())
    splits = [s for column in METRICS.values() for s in split(groups, column)]
    said = "".join(f"<li>{escape(_sentence(s))}</li>" for s in splits)
    body = f"<h3>{escape(world)}</h3><ul>{said}</ul>{figure(heat_figure(panels), caption, _MODELLED)}{tables}"
    return body + (html(_split_table(world, splits)) if splits else "")


def _sentence(found: Split) -> str:
    """A decomposition in words."""
    names = {column: metric for metric, column in METRICS.items()}
    what, who = names[found.metric], found.best.place
    among = "with an oracle too" if found.among == "all" else "of what can be had without an oracle"
    return (
        f"Least {what} {among} ({_MODELLED}): {who.policy} with {who.information}, "
        f"{found.best.change(found.metric).estimate:+.1%} against Simple. The policy without any prediction: "
        f"{found.alone.change(found.metric).estimate:+.1%}; prediction adds {found.added.estimate:+.1%}."
    )


def _by_kind(world: str, metric: str, column: str, groups: Sequence[Group], kinds: Sequence[str]) -> TableView:
    cells = {(g.place.policy, g.place.information): _shown(g.change(column), g) for g in groups}
    least = groups[0].baseline["greenest_kwh"].sum() / groups[0].baseline["energy_kwh"].sum() - 1
    note = (
        f" With every job on its greenest type and GPUs without limit: {least:+.1%}." if column == "energy_kwh" else ""
    )
    return TableView(
        title=f"Change of {metric} against Simple, {world}",
        headings=("policy", *kinds),
        rows=tuple(
            (policy, *(cells.get((policy, kind), NOTHING) for kind in kinds))
            for policy in dict.fromkeys(g.place.policy for g in groups)
        ),
        provenance=_MODELLED,
        notes=(_PAIRED + note + _few(groups[0]),),
    )


def _shown(interval: Interval, group: Group) -> str:
    """A change with its interval; of one sample there is none."""
    return change(interval) if group.samples > 1 else change(interval).split("\n")[0]


def _few(group: Group) -> str:
    return f" {group.samples} samples: such intervals are too narrow." if group.samples < ENOUGH else ""


def _split_table(world: str, splits: Sequence[Split]) -> TableView:
    names = {column: metric for metric, column in METRICS.items()}
    return TableView(
        title=f"What of the best gain is policy, and what prediction, {world}",
        headings=(
            "metric",
            "best among",
            "policy",
            "information",
            "change",
            "policy alone\n(no prediction)",
            "prediction\nadds",
        ),
        rows=tuple(
            (
                names[s.metric],
                s.among,
                s.best.place.policy,
                s.best.place.information,
                _shown(s.best.change(s.metric), s.best),
                _shown(s.alone.change(s.metric), s.best),
                _shown(s.added, s.best),
            )
            for s in splits
        ),
        provenance=_MODELLED,
        notes=(
            "All three in per cent of Simple's total; the last column is the difference of the two before it, paired. "
            "The best cell is picked among those that wait no longer than Simple, on the samples it is shown on, "
            "so it is slightly flattered. No prediction still means the mean seconds and kWh of a job on each type, of "
            "validation samples.",
        ),
    )


def error_section(found: Sequence[Group]) -> Section:
    """Robustness to injected errors of growing size."""
    groups = select(found, "error")
    levels = sorted({g.place.x for g in groups if g.place.x is not None})
    note = ", ".join(f"{x:.0%}: {InjectedError(level=x, shared=False).median_ape:.0%}" for x in levels)
    text = (
        "Predictions are the truth times exp(sigma z), z standard normal. The level is the median symmetric accuracy "
        "(Morley et al. 2018), exp(median |ln(seen / true)|) - 1: at 100% half of the predictions are off by more "
        "than a factor of 2. A log-normal error centred on the truth never reaches a median absolute percentage error "
        f"of 100%; the levels' median APE is {note}. Errors are drawn for every job and type independently, or once "
        "a job, which leaves the ratio between its types right. kWh take the factor of the seconds."
    )
    body = f"<p>{escape(text)}</p>" + _curve_figures(groups, "level of the error, %", 100.0)
    return Section(key="error", heading="Robust to errors?", body=body, data=[_numbers(group) for group in groups])


def bias_section(found: Sequence[Group]) -> Section:
    """Robustness to predictions that are all too low or too high, on all types or one."""
    groups = select(found, "bias")
    text = "Predicted seconds and kWh are the truth times one factor, on every type or on one type only."
    body = f"<p>{escape(text)}</p>" + _curve_figures(groups, "predicted over true", 1.0, log_x=True)
    return Section(key="bias", heading="Robust to bias?", body=body, data=[_numbers(group) for group in groups])


def _curve_figures(groups: Sequence[Group], x_label: str, unit: float, *, log_x: bool = False) -> str:
    drawn = []
    for world in worlds(groups):
        here = [g for g in groups if g.place.world == world]
        kinds = dict.fromkeys(g.place.information for g in here)
        grid = {
            kind: {
                metric: _curves([g for g in here if g.place.information == kind], column, unit)
                for metric, column in METRICS.items()
            }
            for kind in kinds
        }
        caption = (
            f"{world}: {here[0].samples} samples; bands are 95% bootstrap intervals, paired with Simple.{_few(here[0])}"
        )
        svg = curves_figure(grid, x_label, log_x=log_x)
        drawn.append(f"<h3>{escape(world)}</h3>{figure(svg, caption, _MODELLED)}")
    return "".join(drawn)


def _curves(groups: Sequence[Group], column: str, unit: float = 1.0) -> Curves:
    curves: dict[str, list[tuple[float, Interval]]] = {}
    for group in groups:
        if group.place.policy != BASELINE and group.place.x is not None:
            curves.setdefault(group.place.policy, []).append((group.place.x * unit, group.change(column)))
    return {policy: sorted(points, key=lambda point: point[0]) for policy, points in curves.items()}


def types_section(found: Sequence[Group]) -> Section:
    """2 to 40 GPU types: gains and the time to decide."""
    groups = select(found, "types")
    changes, decisions = {}, {}
    for world in worlds(groups):
        here = [g for g in groups if g.place.world == world]
        changes[world] = {metric: _curves(here, column) for metric, column in METRICS.items()}
        decisions[world] = _decisions(here)
    text = (
        "Exact predictions. The same total compute and load for every number of types: A100 and A6000, then the "
        "catalogue's other boards, and beyond 23 synthetic variants. Seconds on other types follow a power law of "
        "published figures. Sample k has the same jobs whatever the number of types. Time to decide is measured "
        "process time inside the policy, over the jobs of all samples."
    )
    jobs = groups[0].columns["jobs"].mean()
    caption = f"{groups[0].samples} samples of about {jobs:.0f} jobs; 95% bootstrap bands.{_few(groups[0])}"
    how = f"changes {_MODELLED}, time to decide {Provenance.MEASURED}"
    body = f"<p>{escape(text)}</p>{figure(types_figure(changes, decisions), caption, how)}"
    return Section(key="types", heading="2 to 40 GPU types", body=body, data=[_numbers(group) for group in groups])


def _decisions(groups: Sequence[Group]) -> Curves:
    curves: dict[str, list[tuple[float, Interval]]] = {}
    for group in groups:
        if group.place.x is not None:
            seconds = group.a_job("policy_s")
            point = (group.place.x, Interval(estimate=seconds, low=seconds, high=seconds))
            curves.setdefault(group.place.policy, []).append(point)
    return curves


def fairness_section(found: Sequence[Group]) -> Section:
    """Who waits: Jain's index, bounded slowdown and the worst wait by policy and information."""
    groups = select(found, "information")
    body = "".join(html(_fairness(world, [g for g in groups if g.place.world == world])) for world in worlds(groups))
    return Section(key="fairness", heading="Fairness", body=body, data=[_fairness_numbers(g) for g in groups])


def _fairness(world: str, groups: Sequence[Group]) -> TableView:
    users = groups[0].columns["users"].min() > 0
    over = "users' mean slowdowns" if users else "jobs' slowdowns (no users are named)"
    return TableView(
        title=f"Fairness, {world}",
        headings=("policy", "information", "Jain index", "p99 bounded\nslowdown", "worst wait,\nmean of samples, h",
                  "worst wait\nof all, h"),
        rows=tuple(
            (
                g.place.policy,
                "any" if g.place.policy == BASELINE else g.place.information,
                span(g.mean("jain"), digits=3),
                span(g.mean("p99_bounded_slowdown"), digits=1),
                span(g.mean("max_wait_s"), HOUR_S, digits=1),
                f"{g.columns['max_wait_s'].max() / HOUR_S:,.1f}",
            )
            for g in groups
        ),
        provenance=_MODELLED,
        notes=(
            f"Jain's index over {over}: 1 is the same for all. Slowdown is (wait + run) over the job's seconds on its "
            "fastest type; bounded slowdown counts jobs under 10 s as 10 s (Feitelson 2001). Means over samples, in "
            "brackets 95% bootstrap intervals." + _few(groups[0]),
        ),
    )  # fmt: skip


def _fairness_numbers(group: Group) -> dict[str, Any]:
    return asdict(group.place) | {
        "jain": asdict(group.mean("jain")),
        "users": int(group.columns["users"].min()),
        "p99_bounded_slowdown": asdict(group.mean("p99_bounded_slowdown")),
        "worst_wait_s": asdict(group.mean("max_wait_s")),
        "provenance": _MODELLED,
    }


def _numbers(group: Group) -> dict[str, Any]:
    shown = asdict(group.place) | {"samples": group.samples, "jobs": float(group.columns["jobs"].mean())}
    shown |= {"total_wait_s": asdict(group.mean("total_wait_s")), "energy_kwh": asdict(group.mean("energy_kwh"))}
    shown |= {"change": {name: asdict(group.change(column)) for name, column in METRICS.items()}}
    shown |= {"provenance": _MODELLED, "decision_s_a_job": group.a_job("policy_s")}
    return shown | {"decision_provenance": Provenance.MEASURED}
