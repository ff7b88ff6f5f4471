"""Kueue's queues as the API server tells them: quotas of GPUs by flavor, and the workloads that hold or await them.

Not covered: cohorts (what a queue may borrow), preemption, fair sharing, topologies, admission checks, partial
admission, and resources other than GPUs.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kilowait.advise.job_comment import is_run_time
from kilowait.advise.kubernetes.advised_workload import FLAVORS, PRODUCT
from kilowait.advise.kubernetes.workload_pods import GPU, PodGroup, at, mappings
from kilowait.advise.slurm.gpu_words import catalogue_type
from kilowait.advise.slurm.slurm_commands import Run, output_of
from kilowait.core.errors import ServiceError

GROUP = "kueue.x-k8s.io"
KINDS = ("workloads", "localqueues", "clusterqueues", "resourceflavors")
Json = Mapping[str, Any]
Times = tuple[float, float | None, float | None]
"""(expected, low, high) in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KueueWorkload:
    """One that holds its quota since `admitted_s` (None: it waits for it); times by GPU type as it was predicted."""

    namespace: str
    name: str
    owner: str
    queue: str
    gpus: int
    priority: int
    created_s: float
    admitted_s: float | None
    flavor: str
    limit_s: float
    times: Mapping[str, Times]

    @property
    def key(self) -> str:
        """Its name in the cluster."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KueueQueue:
    """A ClusterQueue: GPUs by flavor in the order in which they are tried, and whether who does not fit holds up."""

    name: str
    strict: bool
    flavors: Mapping[str, int]
    types: Mapping[str, str]
    in_cohort: bool


def kubectl(words: Sequence[str]) -> str:
    """What it prints; raises ServiceError."""
    where, doubt = "where kubectl speaks to the cluster", "does it reach the cluster? kubectl cluster-info"
    return output_of(["kubectl", *words], where=where, doubt=doubt)


def ask_kueue(run: Run = kubectl) -> tuple[list[KueueQueue], list[KueueWorkload]]:
    """What there is, by kubectl; raises ServiceError where it does not answer."""
    objects = _items(run, ",".join(f"{kind}.{GROUP}" for kind in KINDS))
    owners = [owner for item in objects if item.get("kind") == "Workload" and (owner := owner_of(item))]
    jobs = [job for kind in sorted(set(map(_kind_asked, owners))) for job in _items(run, kind)]
    return read_kueue([*objects, *jobs])


def read_kueue(objects: Iterable[Json]) -> tuple[list[KueueQueue], list[KueueWorkload]]:
    """Queues with GPUs and unfinished workloads with GPUs, of Kueue's objects and the jobs that own workloads."""
    by_kind: dict[str, list[Json]] = {}
    for one in objects:
        by_kind.setdefault(str(one.get("kind")), []).append(one)
    words = {_name(one): type_of_flavor(one) for one in by_kind.get("ResourceFlavor", [])}
    queues = [_queue(one, words) for one in by_kind.get("ClusterQueue", [])]
    local = {_key(one): str(at(one, "spec").get("clusterQueue")) for one in by_kind.get("LocalQueue", [])}
    annotated = {at(one, "metadata").get("uid"): one for found in by_kind.values() for one in found}
    workloads = [_workload(one, local, annotated) for one in by_kind.get("Workload", []) if not _is(one, "Finished")]
    return [queue for queue in queues if queue.flavors], [one for one in workloads if one.gpus and one.queue]


def _items(run: Run, kinds: str) -> list[Json]:
    text = run(["get", kinds, "--all-namespaces", "--output=json"])
    try:
        return list(mappings(json.loads(text).get("items")))
    except (ValueError, AttributeError) as error:
        raise ServiceError(f"kubectl get {kinds}: what it printed is no list of objects") from error


def _kind_asked(owner: Json) -> str:
    """`job.v1.batch`, as kubectl takes a kind with its group; `pod.v1.` of the group without a name."""
    group, _, version = str(owner.get("apiVersion", "")).rpartition("/")
    return f"{str(owner.get('kind', '')).lower()}.{version}.{group}"


def _queue(one: Json, words: Mapping[str, str]) -> KueueQueue:
    spec = at(one, "spec")
    quotas: dict[str, int] = {}
    for group in mappings(spec.get("resourceGroups")):
        for flavor in mappings(group.get("flavors")):
            for resource in mappings(flavor.get("resources")):
                if resource.get("name") == GPU and (gpus := _count(resource.get("nominalQuota"))):
                    quotas[_name_of(flavor)] = gpus
    return KueueQueue(
        name=_name(one),
        strict=spec.get("queueingStrategy") == "StrictFIFO",
        flavors=quotas,
        types={name: words.get(name, "") for name in quotas},
        in_cohort=bool(spec.get("cohortName") or spec.get("cohort")),
    )


def _workload(one: Json, local: Mapping[str, str], annotated: Mapping[Any, Json]) -> KueueWorkload:
    spec, metadata, admission = at(one, "spec"), at(one, "metadata"), at(one, "status", "admission")
    owner, holds = owner_of(one), holds_quota(one)
    limit_s = spec.get("maximumExecutionTimeSeconds")
    queue = local.get(f"{metadata.get('namespace')}/{spec.get('queueName')}", "")
    return KueueWorkload(
        namespace=str(metadata.get("namespace", "default")),
        name=_name(one),
        owner=f"{owner.get('kind', '')} {owner.get('name', '')}".strip(),
        queue=str(admission.get("clusterQueue") or "") if holds else queue if spec.get("active", True) else "",
        gpus=sum(_pods(part).gpus for part in mappings(spec.get("podSets"))),
        priority=int(spec.get("priority") or 0),
        created_s=_moment(metadata.get("creationTimestamp")),
        admitted_s=_since(one, "QuotaReserved") if holds else None,
        flavor=flavor_given(one),
        limit_s=float(limit_s) if limit_s else math.inf,
        times=_times(one, annotated.get(owner.get("uid"), {})),
    )


def _times(*places: Json) -> dict[str, Times]:
    """What `kilowait admit` wrote into the workload or its owner."""
    for place in places:
        if rows := predicted_rows(place):
            return {
                name: (float(row["seconds"]), _seconds(row.get("seconds_low")), _seconds(row.get("seconds_high")))
                for name, row in rows.items()
            }
    return {}


def predicted_rows(place: Json) -> dict[str, Json]:
    """By GPU type what `kilowait admit` wrote into an object; what has another form is left out."""
    try:
        found = json.loads(at(place, "metadata", "annotations", FLAVORS) or "{}")
    except (ValueError, TypeError, RecursionError):
        return {}
    rows = found.items() if isinstance(found, dict) else ()
    return {name: row for name, row in rows if isinstance(row, dict) and _seconds(row.get("seconds")) is not None}


def _seconds(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and is_run_time(value) else None


def _pods(pod_set: Json) -> PodGroup:
    return PodGroup(path=(), template=at(pod_set, "template"), count=int(pod_set.get("count", 1)))


def type_of_flavor(flavor: Json) -> str:
    """The GPU type of the nodes that it means, "" where no label says so; then its name may."""
    word = str(at(flavor, "spec", "nodeLabels").get(PRODUCT) or _name(flavor))
    return catalogue_type(word) or ""


def holds_quota(workload: Json) -> bool:
    """Whether Kueue has reserved what it asks for."""
    return _is(workload, "QuotaReserved")


def flavor_given(workload: Json) -> str:
    """The flavor whose GPUs are reserved for it, "" where there is none."""
    assigned = mappings(at(workload, "status", "admission").get("podSetAssignments"))
    flavors = [at(one, "flavors").get(GPU) for one in assigned]
    return next((str(flavor) for flavor in flavors if flavor), "")


def owner_of(workload: Json) -> Json:
    """How it refers to the object that owns it; {} where there is none."""
    return next(iter(mappings(at(workload, "metadata").get("ownerReferences"))), {})


def _is(one: Json, kind: str) -> bool:
    return any(
        condition.get("type") == kind and condition.get("status") == "True"
        for condition in mappings(at(one, "status").get("conditions"))
    )


def _since(one: Json, kind: str) -> float:
    conditions = mappings(at(one, "status").get("conditions"))
    return next(_moment(each.get("lastTransitionTime")) for each in conditions if each.get("type") == kind)


def _moment(text: Any) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return 0.0


def _count(quantity: Any) -> int:
    text = str(quantity or "0")
    return int(text) if text.isdigit() else 0


def _name(one: Json) -> str:
    return _name_of(at(one, "metadata"))


def _name_of(one: Json) -> str:
    return str(one.get("name", ""))


def _key(one: Json) -> str:
    return f"{at(one, 'metadata').get('namespace')}/{_name(one)}"
