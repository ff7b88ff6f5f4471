"""The options that a submission to Ray is given, and why."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kilowait.advise.advice import Advice
from kilowait.advise.ray_jobs.ray_pools import LABEL, RESOURCE, RayPool

GPUS, SELECTOR, RESOURCES = "--entrypoint-num-gpus", "--entrypoint-label-selector", "--entrypoint-resources"
METADATA = "--metadata-json"
_USES_RAY = re.compile(rb"^\s*(?:import ray\b|from ray\b)", re.MULTILINE)
SLIVER = 0.001
"""Of an accelerator's resource: it asks for a node that has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayOptions:
    """Words for `ray job submit`, and a line each that says why one was added or left out."""

    words: tuple[str, ...]
    reasons: tuple[str, ...]


def uses_ray(files: Mapping[str, bytes]) -> bool:
    """Whether a program asks Ray for its GPUs itself, so that its entrypoint needs none."""
    return any(_USES_RAY.search(data) for data in files.values())


def ray_options(
    advice: Advice, pools: Mapping[str, RayPool], given: Sequence[str], *, prefer: str | None, own_workers: bool
) -> RayOptions:
    """GPUs and the types that fit, or the best of them by `prefer`; what stands in `given` stays as it is."""
    words: list[str] = []
    reasons: list[str] = []
    if not _has(given, METADATA):
        words += [METADATA, json.dumps({"kilowait/advice": advice.advice_id})]
    if own_workers:
        return RayOptions(
            words=tuple(words), reasons=("it asks Ray for its workers itself: no GPUs for its entrypoint",)
        )
    fitting = [name for name in advice.that_fit(pools) if pools[name].most_gpus >= advice.gpus]
    if not fitting:
        why = f"no node has {advice.gpus} GPU(s) of a type on which it fits; there are {', '.join(pools) or 'none'}"
        return RayOptions(words=tuple(words), reasons=(f"{why}: it is not placed",))
    if not _has(given, GPUS):
        words += [GPUS, str(advice.gpus)]
        reasons.append(f"{advice.gpus} GPU(s): {', '.join(advice.evidence) or 'nothing says more'}")
    if any(_has(given, option) for option in (SELECTOR, RESOURCES)):
        return RayOptions(words=tuple(words), reasons=(*reasons, "you chose its nodes yourself"))
    chosen = _chosen(advice, pools, fitting, prefer)
    words += _placed(pools, chosen)
    left_out = [name for name in pools if name not in chosen]
    reasons.append(f"on {', '.join(chosen)}" + (f", not on {', '.join(left_out)}" if left_out else ""))
    return RayOptions(words=tuple(words), reasons=tuple(reasons))


def _chosen(advice: Advice, pools: Mapping[str, RayPool], fitting: list[str], prefer: str | None) -> list[str]:
    """The best type; all that fit where nobody prefers one and a selector can name them."""
    if prefer is None and all(pools[name].labelled for name in fitting):
        return fitting
    return [min(fitting, key=lambda name: advice.by_type[name].takes(prefer or "time"))]


def _placed(pools: Mapping[str, RayPool], chosen: Sequence[str]) -> list[str]:
    names = [pools[name].ray_name for name in chosen]
    if all(pools[name].labelled for name in chosen):
        value = names[0] if len(names) == 1 else f"in({','.join(names)})"
        return [SELECTOR, json.dumps({LABEL: value})]
    return [RESOURCES, json.dumps({f"{RESOURCE}{names[0]}": SLIVER})]


def _has(words: Sequence[str], option: str) -> bool:
    return any(word == option or word.startswith(f"{option}=") for word in words)
