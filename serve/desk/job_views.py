"""Jobs and the cluster for the wire: rows of the store and the mirror of the log, put into words and numbers."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from kilowait.cluster.standing import Active, Waiting
from kilowait.cluster.state import Cluster
from kilowait.core.hardware import GPU_TYPES, idle_power_w
from kilowait.core.jobs import Provenance, time_provenance
from kilowait.core.submission import DEADLINE, Program
from kilowait.core.units import JOULES_PER_KWH
from kilowait.files.columns import HISTORY
from kilowait.files.parquet import table
from kilowait.history.job_filter import NAME
from kilowait.history.spent.attempt_amounts import AMOUNT_COLUMNS
from kilowait.history.tokens import Identity, Role
from kilowait.live.mirror import Mirror
from kilowait.policies import POLICIES
from kilowait.predict.standin import is_unread
from kilowait.simulate import outlook

from ..scheduler.settings import SchedulerSettings
from ..wire import cluster_schemas, schemas
from ..wire.checkpoint_schemas import checkpoint_view
from .answers import expectations, versions
from .drawing.budget_view import budget_view

Row = Mapping[str, Any]
OPERATORS_PROBLEM = "the scheduler has a problem; kilowait cluster says which to an operator"


def job_view(
    row: Row,
    expected: outlook.Expected | None,
    progress: schemas.ProgressView | None,
    kept: schemas.PostponedView | None = None,
) -> schemas.JobView:
    """A row of `questions.jobs`."""
    job = row["submitted"].job
    program = msgspec.json.decode(row["program"], type=Program)
    labels = msgspec.json.decode(row["labels"], type=dict[str, str])
    predictions = row["submitted"].predictions
    return schemas.JobView(
        job_id=row["job_id"],
        owner=row["owner"],
        state=row["state"],
        reason=None if row["state"] == "finished" else row["reason"],  # earlier releases left that of a first attempt
        submitted_s=row["submitted_s"],
        ended_s=row["ended_s"],
        cancel_asked_s=row["cancel_s"],
        gpus=job.gpus,
        gpu_milli=job.gpu_milli,
        gpu_types=None if job.allowed is None else sorted(job.allowed),
        priority=job.priority,
        deadline=labels.get(DEADLINE),
        name=labels.get(NAME, ""),
        labels={name: text for name, text in labels.items() if name not in (DEADLINE, NAME)},
        entrypoint=program.entrypoint,
        arguments=list(program.arguments),
        content_hash=job.content_hash,
        probe_version=versions(predictions),
        by_type=expectations(predictions),
        attempts=[_attempt(attempt) for attempt in row["attempts"]],
        expected=expected_view(expected, labels.get(DEADLINE)),
        progress=progress,
        prediction=prediction_said(row),
        dry_run=row["submitted"].dry_run,
        array=None if job.array is None else job.array.array_id,
        task=None if job.array is None else job.array.task,
        secrets=list(program.secrets),
        slack_s=job.slack_s,
        after=list(job.after),
        after_any=job.after_any,
        kept=kept,
        kind="job" if program.idle_s is None else "shell",
        checkpoint=checkpoint_view(job, program),
    )


def name_in(labels: str) -> str:
    """What a job is called, of its labels as they are stored; "" where it has no name."""
    return msgspec.json.decode(labels, type=dict[str, str]).get(NAME, "")


def prediction_said(row: Row) -> str | None:
    """Which prediction held when, None where it was no guess to begin with."""
    _, original, later, used = row["predictions"]
    if not is_unread(original.predictions):
        return None
    if used is not None:
        return f"a guess until {_at(used.time_s)}, its prediction from then on"
    if not later:
        follows = row["ended_s"] is None
        return "a guess; its prediction follows" if follows else "a guess; it was over before its prediction was there"
    if (problem := later[-1].problem) is not None:
        return f"a guess, and stays one: {problem}"
    return f"a guess; its prediction came at {_at(later[-1].time_s)}, after it had been placed, and was not used"


def _at(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _attempt(row: Row) -> schemas.AttemptView:
    measured = row["runtime_s"] is not None
    nodes = [place["node"] for place in msgspec.json.decode(row["places"])]
    runtime, energy = None, None
    if measured:
        runtime = schemas.Figure(value=row["runtime_s"], provenance=row["runtime_provenance"])
        energy = schemas.Figure(value=row["energy_j"] / JOULES_PER_KWH, provenance=row["energy_provenance"])
    names = ("attempt", "gpu_type", "gpus", "placed_s", "started_s", "ended_s", "exit_code", "reason", "meter")
    return schemas.AttemptView(
        **{name: row[name] for name in (*names, "peak_memory_bytes")},
        nodes=list(dict.fromkeys(nodes)),
        runtime_s=runtime,
        energy_kwh=energy,
        **{
            AMOUNT_COLUMNS[name][0]: schemas.Figure(value=one.value, provenance=one.provenance)
            for name, one in row.get("amounts", {}).items()
        },
    )


def expected_view(expected: outlook.Expected | None, deadline: str | None = None) -> schemas.ExpectedView | None:
    """An expectation for the wire, and whether it keeps a deadline."""
    if expected is None:
        return None
    late = None if deadline is None else expected.end_s > datetime.fromisoformat(deadline).timestamp()
    return schemas.ExpectedView(
        gpu_type=expected.gpu_type,
        gpus=expected.gpus,
        start_s=expected.start_s,
        start_low_s=expected.start_low_s,
        start_high_s=expected.start_high_s,
        end_s=expected.end_s,
        energy_kwh=expected.energy_kwh,
        late=late,
    )


def progress_view(
    active: Active, started_s: float | None, now_s: float, power_w: schemas.Figure | None = None
) -> schemas.ProgressView | None:
    """How far a running job is, None before its program starts."""
    if started_s is None:
        return None
    predicted_s, run_s = active.predicted.runtime_s, max(0.0, now_s - started_s)
    return schemas.ProgressView(
        run_s=run_s,
        predicted_s=predicted_s,
        share=run_s / predicted_s,
        run_provenance=Provenance.MEASURED,
        predicted_provenance=time_provenance(active.predicted),
        power_w=power_w,
        steps=steps_view(active),
        power_limit_w=active.limit_w,
    )


def steps_view(active: Active) -> schemas.StepsView | None:
    """What a running job says of its steps, and what is expected by that; None before it says anything."""
    if (seen := active.progress) is None:
        return None
    by_now = seen.prediction
    return schemas.StepsView(
        done=seen.done,
        total=seen.total,
        seen_s=seen.time_s,
        end_s=active.placed_s + by_now.runtime_s,
        end_low_s=None if by_now.runtime_low_s is None else active.placed_s + by_now.runtime_low_s,
        end_high_s=None if by_now.runtime_high_s is None else active.placed_s + by_now.runtime_high_s,
        runtime_s=by_now.runtime_s,
        energy_kwh=by_now.energy_kwh,
        ratio=by_now.runtime_s / active.predicted.runtime_s,
    )


def watts_view(nodes: Sequence[tuple[float, Provenance]]) -> schemas.Figure:
    """The watts of all nodes of a job together; pretended if any is."""
    provenance = Provenance.PRETENDED if any(kind is Provenance.PRETENDED for _, kind in nodes) else Provenance.MEASURED
    return schemas.Figure(value=sum(watts for watts, _ in nodes), provenance=provenance)


def anchored_said(waiting: Waiting | Active) -> str | None:
    """How the times of a job differ from what was predicted, since another of its program was seen to run."""
    if waiting.remaining != 1.0 or getattr(waiting, "progress", None) is not None:
        return None
    ratios = {t: waiting.predictions[t].runtime_s / whole.runtime_s for t, whole in waiting.whole.items()}
    said = ", ".join(f"{t} {ratio:.2f}" for t, ratio in ratios.items() if ratio != 1.0)
    return (
        f"its times are those predicted, times what a job of the same program was seen to take: {said}"
        if said
        else None
    )


def cluster_view(
    mirror: Mirror, settings: SchedulerSettings, status: Mapping[str, Any], now_s: float, who: Identity
) -> cluster_schemas.ClusterView:
    """The cluster as it is now. What is wrong may say where the history is, which is for operators."""
    cluster = mirror.cluster
    gpus_held: dict[str, int] = {}
    for (_, gpu_type), gpus in cluster.held.items():
        gpus_held[gpu_type] = gpus_held.get(gpu_type, 0) + gpus
    jobs = _jobs_by_node(cluster)
    options = {name: value for name, value in settings.policy_options.items() if isinstance(value, int | float | str)}
    return cluster_schemas.ClusterView(
        now_s=now_s,
        policy=settings.policy,
        policy_options=options,
        rule=POLICIES[settings.policy].sentence,
        types=[_type_view(mirror, gpu_type, gpus_held.get(gpu_type, 0)) for gpu_type in cluster.total],
        nodes=[_node_view(node, cluster, jobs) for node in status["nodes"]],
        waiting=len(cluster.waiting) + len(cluster.lines),
        running=len(cluster.active),
        stranded=len(cluster.stranded),
        problem=status["problem"] if status["problem"] is None or who.role >= Role.OPERATE else OPERATORS_PROBLEM,
        power_budget=budget_view(cluster, now_s),
    )


def _type_view(mirror: Mirror, gpu_type: str, gpus_held: int) -> cluster_schemas.GpuTypeView:
    cluster, watts = mirror.cluster, idle_power_w(gpu_type)
    hardware = GPU_TYPES.get(gpu_type)
    return cluster_schemas.GpuTypeView(
        gpu_type=gpu_type,
        total=cluster.total[gpu_type],
        free=cluster.free[gpu_type],
        held=gpus_held,
        jobs_running=sum(active.gpu_type == gpu_type for active in cluster.active.values()),
        idle_w=None
        if watts is None or hardware is None
        else schemas.Figure(value=watts, provenance=hardware.idle_provenance),
    )


def _jobs_by_node(cluster: Cluster) -> Mapping[str, int]:
    """How many jobs hold boards of each node."""
    only = {gpu_type: {node} for node, gpu_type in cluster.nodes}  # where no two nodes of a type were told apart
    nodes = ({held.node for held in a.where} or only.get(a.gpu_type, set()) for a in cluster.active.values())
    return Counter(node for of_job in nodes for node in of_job)


def _node_view(node: Any, cluster: Cluster, jobs: Mapping[str, int]) -> cluster_schemas.Node:
    """A node as Ray shows it; it drains where Ray says so, or an operator did."""
    known, planned = (node.node, node.gpu_type) in cluster.nodes, cluster.maintenance.get(node.node)
    return cluster_schemas.Node(
        node=node.node,
        address=node.address,
        gpu_type=node.gpu_type,
        gpus=node.gpus,
        draining=node.draining or node.node in cluster.draining,
        problem=node.problem,
        free=cluster.free_on(node.node, node.gpu_type) if known else 0,
        jobs_running=jobs.get(node.node, 0),
        maintenance=planned
        and cluster_schemas.MaintenanceAsked(begins_s=planned.begins_s, ends_s=planned.ends_s, reason=planned.reason),
    )


def lines_of(rows: Sequence[Row]) -> bytes:
    """Rows of the history as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, HISTORY.names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def parquet_of(rows: Sequence[Row]) -> bytes:
    """Rows of the history as Parquet."""
    records = [{name: row.get(name) for name in HISTORY.names} for row in rows]
    sink = pa.BufferOutputStream()
    pq.write_table(table(records, HISTORY), sink, compression="zstd")
    return bytes(sink.getvalue())
