"""One program on several GPUs, by data parallelism; modelled, nobody measured it here.

Each of n GPUs takes an n-th of the work of a step and all of its gradients are summed by a ring all-reduce (Patarasuk
and Yuan 2009): 2 (n - 1) / n times their bytes cross every link. Part of that hides behind the backward pass. A batch
divided by n keeps kernels less busy, so the work itself scales a little worse than 1 / n.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from kilowait.core.errors import InputError

OVERLAP = 0.7
"""Share of the all-reduce that runs while gradients are still computed, where there is enough to compute."""
FILL = 0.97
"""What is left of the efficiency of kernels each time the batch of a GPU is halved."""
LATENCY_S = 2e-5
"""Of one of the 2 (n - 1) rounds of a ring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What joins the GPUs: bytes/s in each direction between neighbours of the ring."""

    bandwidth: float
    latency_s: float = LATENCY_S


NVLINK = Link(bandwidth=200e9)
"""NVLink 3 of an A100: 600 GB/s over both directions, two thirds of one reached by all-reduces."""
PCIE = Link(bandwidth=20e9)
"""PCIe 4.0 x16: 32 GB/s, of which 20 are reached between neighbours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleGpuRun:
    """A program on one GPU: run time, optimizer steps, bytes of gradients that a step exchanges."""

    runtime_s: float
    steps: float
    gradient_bytes: float


def parallel_runtime_s(one: SingleGpuRun, gpus: int, link: Link) -> float:
    """Seconds on `gpus` GPUs; raises InputError for a number of GPUs below 1.

    Programs without optimizer steps divide their work and exchange nothing.
    """
    if gpus < 1:
        raise InputError(f"gpus must be >= 1, got {gpus}")
    if gpus == 1:
        return one.runtime_s
    work = one.runtime_s / gpus * FILL ** -(gpus.bit_length() - 1)
    exchange = one.steps * ring_s(one.gradient_bytes, gpus, link) if one.steps else 0.0
    return work + max(exchange * (1 - OVERLAP), exchange - work)


def ring_s(message_bytes: float, gpus: int, link: Link) -> float:
    """Seconds of one ring all-reduce."""
    if gpus == 1:
        return 0.0
    return 2 * (gpus - 1) / gpus * message_bytes / link.bandwidth + 2 * (gpus - 1) * link.latency_s


def parallel_energy_j(one: SingleGpuRun, power_w: float, idle_w: float, gpus: int, link: Link) -> float:
    """Joules of all GPUs together: the work's dynamic energy stays, and every board idles for as long as it takes."""
    dynamic_j = (power_w - idle_w) * one.runtime_s / FILL ** (gpus.bit_length() - 1)
    return dynamic_j + idle_w * gpus * parallel_runtime_s(one, gpus, link)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Equal collectives of one rank: bytes of a message, how often, among how many ranks."""

    op: str
    bytes: float
    count: float
    ranks: int


_ROUNDS = {"all_reduce": 2, "barrier": 2, "send": 0, "receive": 0}
"""How often a ring goes round in a collective; once where nothing else is said."""


def message_s(message: Message, link: Link) -> float:
    """Seconds of one collective on a ring; point to point, its bytes cross one link."""
    rounds = _ROUNDS.get(message.op, 1)
    if rounds == 0:
        return message.bytes / link.bandwidth + link.latency_s
    steps = rounds * (message.ranks - 1)
    return steps / message.ranks * message.bytes / link.bandwidth + steps * link.latency_s


def waiting_s(messages: Sequence[Message], work_s: float, link: Link) -> float:
    """Seconds that a rank waits for its exchanges beyond those that hide behind `work_s` seconds of its work."""
    exchange_s = sum(message.count * message_s(message, link) for message in messages)
    return max(exchange_s * (1 - OVERLAP), exchange_s - work_s)
