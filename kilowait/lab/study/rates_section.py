"""The rates of the study as a section: does the scheduler keep up, and does it cost less than it saves?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from kilowait.core.jobs import Provenance
from kilowait.core.units import JOULES_PER_KWH
from kilowait.lab.backtest.comparison import BASELINE
from kilowait.lab.study.effects import Group, select
from kilowait.lab.study.factorial import ORACLE
from kilowait.lab.study.rates import MEAN_JOB_S, OFFERED_LOAD, PERIOD_S, SWING, keeps_up
from kilowait.lab.study.study_figures import rates_figure
from kilowait.report.page import Section, figure
from kilowait.report.table import NOTHING, TableView, html

Row = Mapping[str, Any]


def rates_section(rows: Sequence[Row], found: Sequence[Group], *, scheduler_w: float, budget_s: float) -> Section:
    """Latency and throughput by rate, and overhead against benefit at `scheduler_w` watts of a busy core."""
    by_policy: dict[str, list[Row]] = {}
    for row in rows:
        by_policy.setdefault(row["policy"], []).append(row)
    svg = rates_figure(
        {name: [(r["rate"], r["p50_s"], r["p99_s"]) for r in found] for name, found in by_policy.items()},
        {name: [(r["rate"], r["sustained"]) for r in found] for name, found in by_policy.items()},
    )
    caption = "Process time of one core; jobs and cluster are modelled. A policy that falls behind goes no further."
    text = (
        f"Jobs of {MEAN_JOB_S:g} s on average, exact predictions, on as many A100 and A6000 as give an offered load "
        f"of {OFFERED_LOAD:g} (counts only). The rate swings by {SWING:.0%} about its mean every {PERIOD_S:g} s, so "
        f"that a queue forms. A run is stopped after {budget_s:g} s of process time."
    )
    costs = overheads(rows, found, scheduler_w)
    body = (
        f"<p>{escape(text)}</p>{figure(svg, caption, Provenance.MEASURED)}{html(_rates_table(rows))}"
        f"{html(_overhead_table(costs, scheduler_w))}"
    )
    data = {
        "rates": [{**row, "keeps_up": keeps_up(row), "provenance": Provenance.MEASURED} for row in rows],
        "overhead": [_plain(cost) for cost in costs],
        "scheduler_w": scheduler_w,
    }
    return Section(key="rates", heading="1 to 1,000 jobs a second", body=body, data=data)


def _rates_table(rows: Sequence[Row]) -> TableView:
    return TableView(
        title="Decisions under load",
        headings=("policy", "jobs a\nsecond", "GPUs", "jobs\nplaced", "longest\nqueue", "decision\np50, ms",
                  "decision\np99, ms", "jobs a CPU\nsecond", "keeps up"),
        rows=tuple(
            (
                row["policy"],
                f"{row['rate']:g}",
                f"{row['gpus']:,}",
                f"{row['placed']:,}" + ("" if row["finished"] else f"\nof {row['jobs']:,}"),
                f"{row['longest_queue']:,}",
                f"{1e3 * row['p50_s']:.3f}",
                f"{1e3 * row['p99_s']:.2f}",
                f"{row['sustained']:,.0f}",
                ("yes" if keeps_up(row) else "no") + ("" if row["finished"] else " (stopped)"),
            )
            for row in rows
        ),
        provenance=f"times {Provenance.MEASURED}, jobs {Provenance.MODELLED}",
        notes=(
            "A decision is one call of the policy. Jobs a CPU second count events and queue keeping too, over the "
            "later half of the jobs placed, when the cluster is full. A policy keeps up when that is at least the "
            "rate; higher rates of one that does not are left out.",
        ),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """What scheduling a job costs, and what it saves against Simple; negative savings cost energy.

    `where` is a rate of short jobs or a world of the study, `scheduler_s` process time a job (measured), `cost_j`
    that times watts (estimated), `saved_j` the jobs' own energy (modelled), None where a run did not finish.
    """

    policy: str
    where: str
    scheduler_s: float
    cost_j: float
    saved_j: float | None


def overheads(rows: Sequence[Row], found: Sequence[Group], scheduler_w: float) -> list[Overhead]:
    """Of every policy at the highest rate it finished, and in every world with exact predictions."""
    last = {row["policy"]: row for row in sorted(rows, key=lambda row: (row["finished"], row["rate"]))}
    simple = {row["rate"]: row for row in rows if row["policy"] == BASELINE}
    short = [_at_rate(row, simple.get(row["rate"]), scheduler_w) for name, row in last.items() if name != BASELINE]
    exact = [g for g in select(found, "information") if g.place.information == ORACLE and g.place.policy != BASELINE]
    return [*short, *(_in_world(group, scheduler_w) for group in exact)]


def _at_rate(row: Row, simple: Row | None, scheduler_w: float) -> Overhead:
    both = simple is not None and row["finished"] and simple["finished"]
    scheduler_s = row["scheduler_s"] / max(1, row["placed"])
    return Overhead(
        policy=row["policy"],
        where=f"{row['rate']:g} short jobs a second",
        scheduler_s=scheduler_s,
        cost_j=scheduler_s * scheduler_w,
        saved_j=(simple["energy_kwh"] - row["energy_kwh"]) / row["jobs"] * JOULES_PER_KWH if simple and both else None,
    )


def _in_world(group: Group, scheduler_w: float) -> Overhead:
    """Here only the policy's own seconds are known, not those of events and queue."""
    seconds = group.a_job("policy_s")
    jobs = float(group.columns["jobs"].sum())
    saved_kwh = float(group.baseline["energy_kwh"].sum() - group.columns["energy_kwh"].sum())
    return Overhead(
        policy=group.place.policy,
        where=group.place.world,
        scheduler_s=seconds,
        cost_j=seconds * scheduler_w,
        saved_j=saved_kwh / jobs * JOULES_PER_KWH,
    )


def _overhead_table(costs: Sequence[Overhead], scheduler_w: float) -> TableView:
    return TableView(
        title="Overhead against benefit, a job",
        headings=("policy", "where", "scheduler,\nms a job", "its energy,\nJ a job", "jobs' energy saved,\nkJ a job",
                  "saved over\nspent"),
        rows=tuple(
            (
                cost.policy,
                cost.where,
                f"{1e3 * cost.scheduler_s:.3f}",
                f"{cost.cost_j:.2g}",
                NOTHING if cost.saved_j is None else f"{cost.saved_j / 1e3:,.1f}",
                NOTHING if cost.saved_j is None or cost.saved_j <= 0 else f"{cost.saved_j / cost.cost_j:.0e}",
            )
            for cost in costs
        ),
        provenance=f"seconds {Provenance.MEASURED}, J {Provenance.ESTIMATED}, savings {Provenance.MODELLED}",
        notes=(
            f"Scheduler energy is process time times {scheduler_w:g} W, an assumed draw of one busy core. Savings are "
            "the jobs' own energy against Simple with exact predictions; of short jobs at the highest rate that a "
            "policy finished; a dash where it finished none, or saves nothing. In the worlds only the policy's own "
            "seconds count.",
        ),
    )  # fmt: skip


def _plain(cost: Overhead) -> dict[str, Any]:
    return {
        "policy": cost.policy,
        "where": cost.where,
        "scheduler_s": {"value": cost.scheduler_s, "provenance": Provenance.MEASURED},
        "cost_j": {"value": cost.cost_j, "provenance": Provenance.ESTIMATED},
        "saved_j": {"value": cost.saved_j, "provenance": Provenance.MODELLED},
    }
