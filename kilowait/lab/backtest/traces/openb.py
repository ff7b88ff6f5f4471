"""Alibaba cluster-trace-gpu-v2023 (openb): pods with fractions of GPUs and constraints on GPU types.

Pods: `name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time`,
times in seconds. `gpu_milli` < 1000 is a share of one GPU; `gpu_spec` lists allowed types between `|`. A pod ran from
`scheduled_time` to `deletion_time`. One whose phase is Running was still running when the trace was taken, so its
length is unknown (censored); Pending pods never started. Failed pods ran and are used like succeeded ones. A pod runs
on one node, so all its GPUs are of one.

Nodes (optional): `sn,cpu_milli,memory_mib,gpu,model`. With them a pod that asks for more GPUs than any node of its
types has is impossible. Source: alibaba/clusterdata, cluster-trace-gpu-v2023.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from kilowait.files.rows import Row, needs, read_csv
from kilowait.lab.backtest.traces.trace import Aside, Reason, TraceJob, TraceReading, aside, unusable

PODS = (
    "name", "num_gpu", "gpu_milli", "gpu_spec", "qos", "pod_phase", "creation_time", "deletion_time", "scheduled_time",
)  # fmt: skip
NODES = ("sn", "gpu", "model")
WHOLE_MILLI = 1000.0


def read(path: Path, side_table: Path | None) -> TraceReading:
    """Read pods, and nodes from `side_table` where given; the virtual cluster is the quality of service."""
    pods = read_csv(path, needs(path, PODS))
    if side_table is None:
        return TraceReading(rows=map(partial(_job, largest=None), pods))
    counts = _gpus_a_node(side_table)
    whole = Counter({model: sum(gpus) for model, gpus in counts.items()})
    note = f"{side_table.name}: {sum(map(len, counts.values()))} nodes with {whole.total()} GPUs ("
    note += ", ".join(f"{model}={gpus}" for model, gpus in whole.most_common()) + ")"
    largest = {model: max(gpus) for model, gpus in counts.items()}
    return TraceReading(rows=map(partial(_job, largest=largest), pods), notes=(note,))


def _gpus_a_node(path: Path) -> Mapping[str, list[int]]:
    """GPUs of each node by model; nodes without a GPU are left out."""
    counts: defaultdict[str, list[int]] = defaultdict(list)
    for row in read_csv(path, needs(path, NODES)):
        if row.number("gpu") > 0:
            counts[row.text("model")].append(row.whole("gpu"))
    return dict(counts)


def _job(row: Row, *, largest: Mapping[str, int] | None) -> TraceJob | Aside:
    gpus = row.finite("num_gpu") * row.finite("gpu_milli") / WHOLE_MILLI
    allowed = row.parts("gpu_spec")
    problem = _phase(row) or _impossible(row, allowed, largest)
    if problem is not None:
        return problem
    duration_s = row.finite("deletion_time") - row.finite("scheduled_time")
    return unusable(row, gpus=("num_gpu", gpus), duration=("deletion_time", duration_s)) or TraceJob(
        job_id=row.text("name"),
        submit_s=row.finite("creation_time"),
        gpus=gpus,
        duration_s=duration_s,
        vc=row.optional("qos"),
        allowed=allowed,
        one_node=row.finite("num_gpu") > 1,
    )


def _phase(row: Row) -> Aside | None:
    """Pods without a GPU, and pods that have no length."""
    if row.finite("num_gpu") == 0 or row.finite("gpu_milli") == 0:
        return aside(row, Reason.NO_GPU, "num_gpu")
    if row.text("pod_phase") == "Running":
        return aside(row, Reason.CENSORED, "pod_phase")
    if row.text("pod_phase") == "Pending" or row.empty("scheduled_time"):
        return aside(row, Reason.NEVER_STARTED, "pod_phase")
    return aside(row, Reason.NO_DURATION, "deletion_time") if row.empty("deletion_time") else None


def _impossible(row: Row, allowed: frozenset[str] | None, largest: Mapping[str, int] | None) -> Aside | None:
    """Shares above one GPU, shares of several, a start before the creation, more GPUs than a node has."""
    count, milli = row.finite("num_gpu"), row.finite("gpu_milli")
    if milli > WHOLE_MILLI or (milli < WHOLE_MILLI and count > 1):
        return aside(row, Reason.IMPOSSIBLE, "gpu_milli")
    if row.finite("scheduled_time") < row.finite("creation_time"):
        return aside(row, Reason.IMPOSSIBLE, "scheduled_time")
    if largest is None:
        return None
    most = max((gpus for model, gpus in largest.items() if allowed is None or model in allowed), default=0)
    return aside(row, Reason.IMPOSSIBLE, "num_gpu") if count > most else None
