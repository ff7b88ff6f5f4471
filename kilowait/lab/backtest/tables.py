"""Tables of a backtest: totals and changes by policy, beside what the paper claims."""

from collections.abc import Sequence

from kilowait.core.jobs import Provenance
from kilowait.core.units import HOUR_S
from kilowait.lab.backtest.comparison import PAPER, Comparison, PaperClaims, PolicySummary
from kilowait.report.table import NOTHING, TableView, change, percent, share, span

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
    bounds = ("bound on each alone", percent(waiting), NOTHING, NOTHING, percent(energy), NOTHING, NOTHING)
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
