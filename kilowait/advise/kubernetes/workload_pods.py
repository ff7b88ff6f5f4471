"""The pods of a workload: where their templates stand in it, how many there are, and which one starts the program."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GPU = "nvidia.com/gpu"
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PodGroup:
    """`count` pods of one template, which stands at `path` in the object; raises nothing for what is not there."""

    path: tuple[str | int, ...]
    template: Json
    count: int = 1

    @property
    def container(self) -> Json:
        """The first container that asks for a GPU, else the first."""
        containers = mappings(at(self.template, "spec", "containers"))
        return next((one for one in containers if _gpus(one)), next(iter(containers), {}))

    @property
    def gpus(self) -> int:
        """GPUs of all its pods."""
        return self.count * sum(_gpus(one) for one in mappings(at(self.template, "spec", "containers")))


def pod_groups(workload: Json) -> list[PodGroup]:
    """Those of a Job, RayJob, PyTorchJob or JobSet, the one that starts the program first; [] for any other kind."""
    found = _KINDS.get(str(workload.get("kind")))
    return [] if found is None else [group for group in found(workload) if isinstance(group.template, Mapping)]


def _job(workload: Json, path: tuple[str | int, ...] = (), times: int = 1) -> Iterator[PodGroup]:
    """Pods of an indexed Job work together; others are each a job of its own."""
    spec = at(workload, "spec")
    together = at(spec, "completionMode") == "Indexed"
    count = _whole(at(spec, "parallelism"), 1) if together else 1
    yield PodGroup(path=(*path, "spec", "template"), template=at(spec, "template"), count=count * times)


def _ray_job(workload: Json) -> Iterator[PodGroup]:
    where = ("spec", "rayClusterSpec", "headGroupSpec")
    yield PodGroup(path=(*where, "template"), template=at(workload, *where, "template"))
    where = ("spec", "rayClusterSpec", "workerGroupSpecs")
    for number, group in enumerate(mappings(at(workload, *where))):
        count = _whole(at(group, "replicas"), 1)
        yield PodGroup(path=(*where, number, "template"), template=at(group, "template"), count=count)


def _pytorch_job(workload: Json) -> Iterator[PodGroup]:
    specs = at(workload, "spec", "pytorchReplicaSpecs")
    for role in ("Master", "Worker"):
        if role in specs:
            path = ("spec", "pytorchReplicaSpecs", role, "template")
            count = _whole(at(specs, role, "replicas"), 1)
            yield PodGroup(path=path, template=at(specs, role, "template"), count=count)


def _job_set(workload: Json) -> Iterator[PodGroup]:
    for number, job in enumerate(mappings(at(workload, "spec", "replicatedJobs"))):
        path: tuple[str | int, ...] = ("spec", "replicatedJobs", number, "template")
        yield from _job(at(job, "template"), path, _whole(at(job, "replicas"), 1))


_PODS = {
    ("batch", "Job"): _job,
    ("ray.io", "RayJob"): _ray_job,
    ("kubeflow.org", "PyTorchJob"): _pytorch_job,
    ("jobset.x-k8s.io", "JobSet"): _job_set,
}
_KINDS = {kind: pods for (_, kind), pods in _PODS.items()}
PREDICTED = frozenset(_PODS)
"""Groups and kinds that `kilowait admit` predicts; the role in integrations/kueue lets these alone be read."""


def at(value: Any, *keys: str) -> Any:
    """What stands below some keys; {} where anything on the way is missing or of another shape."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return {} if value is None else value


def mappings(value: Any) -> Sequence[Json]:
    """The objects of a list; [] for what is no list."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _whole(value: Any, default: int) -> int:
    return value if isinstance(value, int) and value > 0 else default


def _gpus(container: Json) -> int:
    resources = at(container, "resources")
    said = at(resources, "limits").get(GPU) or at(resources, "requests").get(GPU) or 0
    return int(said) if str(said).isdecimal() else 0
