"""What a report says of a trace: where its rows went, what became of its jobs, which numbers were measured."""

from collections.abc import Mapping
from typing import Any

from kilowait.core.jobs import Provenance
from kilowait.report.table import TableView

MEASURED, MODELLED = Provenance.MEASURED.value, Provenance.MODELLED.value


def trace_tables(digest: Mapping[str, Any]) -> list[TableView]:
    """The tables of a `simulate.digest.trace_digest`."""
    return [_rows(digest), _jobs(digest), _provenance(digest)]


def trace_sentences(digest: Mapping[str, Any]) -> list[str]:
    """How windows, load and modelled numbers came about."""
    load, windows, seed = digest["load"], digest["windows"], digest["seed"]
    low, middle, high = (f"{value:.2f}" for value in windows["load_min_median_max"])
    few = "" if windows["count"] >= 20 else " With fewer than 20 samples the intervals are too narrow."
    return [
        f"A sample is a window of {windows['jobs']:,} consecutive jobs that starts on an empty cluster: "
        f"{windows['count']} windows, {windows['left_over']:,} jobs left over after the last. A window forgets the "
        "jobs that still ran when it began, so less waits than in the whole trace at this load. Neighbouring windows "
        f"are not independent.{few}",
        "Load: GPUs times seconds (averaged over the types a job can run on, weighted by their GPUs), over all "
        "GPUs times the time between the first and the last submission. The trace offers "
        f"{load['recorded']:.3f} here; all times of submission were multiplied by {load['arrival_factor']:.4g} to make "
        f"it {load['asked']:g}. Single windows offer {low} to {high}, median {middle}.",
        f"Modelled seconds and kWh come from the classes {digest['classes']}, drawn for each job from seed {seed} and "
        "its id; a job whose GPU type the trace does not tell counts as having run on an A100. A job of less than "
        "one GPU takes that share of a board, in thousandths, and is charged that share of a board's watts; jobs on "
        "one board do not slow each other down here. A fraction beyond one GPU takes a whole one. "
        "trace_jobs.parquet says for every job and type how each number was had.",
    ]


def _rows(digest: Mapping[str, Any]) -> TableView:
    report = digest["report"]
    lines = [("rows read", report["rows_read"], "")]
    lines += [(f"set aside: {why}", n, report["examples"].get(why, "")) for why, n in report["set_aside"].items()]
    lines += [("used", report["used"], ""), ("of these sorted into place", report["unsorted"], "")]
    return TableView(
        title=f"Rows of {report['source']} ({report['format']})",
        headings=("rows", "number", "first of them"),
        rows=tuple((name, f"{count:,}", example) for name, count, example in lines),
        provenance=MEASURED,
        notes=tuple(report["notes"]),
    )


def _jobs(digest: Mapping[str, Any]) -> TableView:
    plan = digest["planned"]
    lacking = "; ".join(f"{name}: {count:,}" for name, count in plan["lacking"].items())
    counts = (
        ("jobs of the trace", plan["jobs_in"]),
        ("set aside: may use no type of the cluster", plan["no_allowed_type"]),
        ("set aside: more GPUs than any such type or node has", plan["too_large"]),
        ("planned", plan["planned"]),
        ("of these packed on a share of one GPU", plan["shares"]),
        ("of these with GPUs rounded up to whole ones", plan["rounded_up"]),
        ("of these allowed fewer types than they asked for", plan["narrowed"]),
    )
    nodes = digest["nodes"]
    inventory = ", ".join(
        f"{name}={gpus}" + (f" on {len(nodes[name])} nodes" if name in nodes else "")
        for name, gpus in digest["inventory"].items()
    )
    return TableView(
        title=f"Jobs on {inventory}",
        headings=("jobs", "number"),
        rows=tuple((name, f"{count:,}") for name, count in counts),
        provenance=MEASURED,
        notes=(f"Types that jobs ask for and this cluster lacks, by jobs: {lacking}.",) if lacking else (),
    )


def _provenance(digest: Mapping[str, Any]) -> TableView:
    plan = digest["planned"]
    classes = ", ".join(f"{name} {count:,}" for name, count in plan["classes"].items())
    return TableView(
        title="Jobs by how their numbers were had on each type",
        headings=("type", f"seconds\n{MEASURED}", f"seconds\n{MODELLED}", f"kWh\n{MEASURED}", f"kWh\n{MODELLED}"),
        rows=tuple(
            (t, *(f"{plan[what][t][how]:,}" for what in ("seconds", "energy") for how in (MEASURED, MODELLED)))
            for t in digest["inventory"]
        ),
        provenance=f"{MEASURED} and {MODELLED}",
        notes=(
            f"Jobs by the class drawn for what is modelled: {classes}.",
            "Arrivals and GPUs are the trace's. Waiting and everything else a policy decides is modelled.",
        ),
    )
