"""A workload with what is predicted of it: annotations, a preferred node affinity, Kueue's limit where asked for."""

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kilowait.advise.advice import Advice
from kilowait.advise.kubernetes.workload_pods import PodGroup
from kilowait.advise.limit_quantile import MARGIN_S, RISK, time_limit
from kilowait.core.hardware import GPU_TYPES

ADVICE, FLAVORS, BASIS = "kilowait/advice", "kilowait/flavors", "kilowait/basis"
KUEUE_QUEUE, KUEUE_LIMIT = "kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/max-exec-time-seconds"
PRODUCT = "nvidia.com/gpu.product"
"""The node label of NVIDIA's GPU feature discovery."""
MOST_WEIGHT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """How nodes are told apart, and what is preferred: `time` or `energy`; with `limit` Kueue's limit is set.

    `values` are the values of the node label `label` by type; a type without has those that its driver's names make.
    """

    gpu_types: tuple[str, ...]
    label: str = PRODUCT
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    prefer: str = "time"
    limit: bool = False
    risk: float = RISK
    margin_s: float = MARGIN_S

    def values_of(self, gpu_type: str) -> tuple[str, ...]:
        """The label's values on nodes of a type."""
        board = GPU_TYPES.get(gpu_type)
        names = board.nvml if board is not None else ()
        return self.values.get(gpu_type) or tuple(name.replace(" ", "-") for name in names)


def advised_workload(workload: Mapping[str, Any], groups: Iterable[PodGroup], advice: Advice, placing: Placing) -> Any:
    """The object with everything that is new; what its author set stays as it is."""
    after = copy.deepcopy(dict(workload))
    fitting = advice.that_fit(advice.by_type)
    _annotate(after, advice)
    if placing.limit:
        _limit(after, advice, fitting, placing)
    terms = _terms(advice, fitting, placing)
    for group in groups:
        if group.gpus and terms:
            _prefer(_below(after, group.path), terms, placing.label)
    return after


def _annotate(after: dict[str, Any], advice: Advice) -> None:
    annotations = _filled(_filled(after, "metadata"), "annotations")
    flavors = {
        name: {
            "seconds": round(on.prediction.runtime_s, 1),
            "kwh": float(f"{on.prediction.energy_kwh:.4g}"),
            "seconds_low": on.prediction.runtime_low_s,
            "seconds_high": on.prediction.runtime_high_s,
            "memory_bytes": on.memory_bytes,
            "memory": on.fitting or "not known",
        }
        for name, on in advice.by_type.items()
    }
    hows = "; ".join(dict.fromkeys(on.provenance for on in advice.by_type.values()))
    annotations[ADVICE] = advice.advice_id
    annotations[FLAVORS] = json.dumps(flavors)
    annotations[BASIS] = "; ".join([f"{advice.gpus} GPU(s)", hows, *advice.assumptions])[:2000]


def _limit(after: dict[str, Any], advice: Advice, fitting: Iterable[str], placing: Placing) -> None:
    """Only where Kueue has it, its author set none, and every type that may be given has an interval."""
    labels = after["metadata"].get("labels") or {}
    found = time_limit([advice.by_type[name].prediction for name in fitting], placing.risk, placing.margin_s, None)
    if found is not None and KUEUE_QUEUE in labels and KUEUE_LIMIT not in labels:
        after["metadata"]["labels"] = {**labels, KUEUE_LIMIT: f"{found.seconds:.0f}"}


def _terms(advice: Advice, fitting: Iterable[str], placing: Placing) -> list[dict[str, Any]]:
    """A preference for each type that fits, in proportion to the best."""
    costs = {name: advice.by_type[name].takes(placing.prefer) for name in fitting if placing.values_of(name)}
    best = min(costs.values(), default=0.0)
    return [
        {
            "weight": max(1, round(MOST_WEIGHT * best / cost)) if cost else MOST_WEIGHT,
            "preference": {"matchExpressions": [_expression(placing, name)]},
        }
        for name, cost in sorted(costs.items(), key=lambda item: item[1])
    ]


def _expression(placing: Placing, gpu_type: str) -> dict[str, Any]:
    return {"key": placing.label, "operator": "In", "values": list(placing.values_of(gpu_type))}


def _prefer(template: dict[str, Any], terms: list[dict[str, Any]], label: str) -> None:
    """Add the preferences, unless the author chose nodes by this label."""
    spec = _filled(template, "spec")
    if label in json.dumps([spec.get("nodeSelector"), spec.get("affinity")]):
        return
    affinity = _filled(_filled(spec, "affinity"), "nodeAffinity")
    key = "preferredDuringSchedulingIgnoredDuringExecution"
    affinity[key] = [*(affinity.get(key) or []), *terms]


def _filled(parent: dict[str, Any], key: str) -> dict[str, Any]:
    """The object below a key, made where there is none."""
    if not isinstance(parent.get(key), dict):
        parent[key] = {}
    found: dict[str, Any] = parent[key]
    return found


def _below(value: Any, path: Iterable[str | int]) -> Any:
    for key in path:
        value = value[key]
    return value
