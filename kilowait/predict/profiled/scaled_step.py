"""A recorded step on another GPU type, at another clock, with a larger batch, on more GPUs.

Each task is scaled by the roofline: products and convolutions by the peak of their number type, everything else by the
memory's bandwidth, never below what the shortest kernels take. Work of the host stays as it was recorded: it is a
property of the host. Not proven across types: no public pair of one program was found to score it on.
"""

import re
from dataclasses import dataclass, replace

from kilowait.core.hardware import GPU_TYPES, canonical, is_known
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.profiled.step_graph import StepGraph, TaskNode

LEAST_US = 3.0
_PRODUCTS = re.compile(r"gemm|conv|cutlass|cudnn|wgrad|dgrad|winograd|fmha|flash|attention|_mma|implicit", re.I)
_HALF = re.compile(r"h884|h1688|h16816|s884|s16816|half|fp16|f16|bf16|hmma", re.I)
_TF32 = re.compile(r"tf32|s1688|tensorop_s", re.I)
_BATCHED = re.compile(r"sendrecv|all_?to_?all", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """What is other than as recorded: `target` in place of `source`, factors of the clock and the batch, and GPUs.

    `world` is how many GPUs the recorded step ran on, `gpus` how many it would run on, 0 for as many.
    """

    source: Specification | None = None
    target: Specification | None = None
    clock: float = 1.0
    batch: float = 1.0
    world: int = 1
    gpus: int = 0


def scaled(graph: StepGraph, change: Elsewhere) -> StepGraph:
    """The graph with the times that its tasks would take."""
    return replace(graph, tasks=[replace(task, us=_time_us(task, change)) for task in graph.tasks])


def _time_us(task: TaskNode, change: Elsewhere) -> float:
    if task.kind == "communication":
        batch = change.batch if _BATCHED.search(task.name) else 1.0
        return task.us * batch * _ring(change.gpus or change.world) / _ring(change.world)
    product = bool(_PRODUCTS.search(task.name)) and task.kind == "compute"
    ratio = change.batch / (change.clock if product else 1.0)
    if change.source is not None and change.target is not None and not re.search(r"Host|HtoD|DtoH", task.name):
        ratio *= _speed(task.name, change.source, product) / _speed(task.name, change.target, product)
    return max(min(task.us, LEAST_US), task.us * ratio)


def _ring(gpus: int) -> float:
    """What each GPU of a ring sends, in sizes of the message; one GPU alone counts as two, or nothing could grow."""
    return 2 * (max(2, gpus) - 1) / max(2, gpus)


def _speed(name: str, on: Specification, product: bool) -> float:
    if not product:
        return on.bandwidth
    return on.half_flops if _HALF.search(name) else on.tf32_flops if _TF32.search(name) else on.fp32_flops


def type_of(device: str) -> str | None:
    """The catalogue's name of a board as the driver names it, None where it is not known."""
    words = device.removeprefix("NVIDIA ").removeprefix("Tesla ").removeprefix("GeForce ")
    names = (device, words, words.replace("RTX ", "RTX-"), words.partition("-")[0], words.replace(" ", ""))
    found = next((name for name in names if name and is_known(name)), None)
    return None if found is None else canonical(found)


def specification(name: str) -> Specification:
    """The sheet of a GPU type; raises InputError for one that the catalogue has not got."""
    return Specification.of(GPU_TYPES[canonical(name)])
