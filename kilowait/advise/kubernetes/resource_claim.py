"""A claim for GPUs as Kubernetes' dynamic resource allocation takes it: the types that do, the best first.

`firstAvailable` is a prioritized list: the scheduler gives the first for which there are devices. Names are those of
NVIDIA's DRA driver.
"""

import re
from collections.abc import Sequence
from typing import Any

from kilowait.advise.advice import Advice
from kilowait.core.errors import InputError
from kilowait.core.hardware import GPU_TYPES

DRIVER = "gpu.nvidia.com"
"""The device class and the domain of its attributes."""
MOST = 8
"""Choices that a request may have."""
REQUEST = "gpus"


def resource_claim(advice: Advice, gpu_types: Sequence[str], name: str) -> dict[str, Any]:
    """A ResourceClaimTemplate of these types, in their order, for as many GPUs as the advice is for.

    Raises InputError where none of them has a name that its driver gives it.
    """
    named = [gpu_type for gpu_type in gpu_types if gpu_type in GPU_TYPES and GPU_TYPES[gpu_type].nvml]
    if not named:
        raise InputError(
            f"no claim: the driver's names of {', '.join(gpu_types) or 'no type'} are not known (--gpu-file)"
        )
    choices = [_choice(gpu_type, advice.gpus) for gpu_type in named[:MOST]]
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": name, "annotations": {"kilowait/advice": advice.advice_id}},
        "spec": {"spec": {"devices": {"requests": [{"name": REQUEST, "firstAvailable": choices}]}}},
    }


def claim_name(program: str) -> str:
    """`train.py` as a name that Kubernetes takes."""
    word = re.sub(r"[^a-z0-9]+", "-", program.lower().removesuffix(".py")).strip("-")
    return f"{word[:50].strip('-') or 'program'}-gpus"


def _choice(gpu_type: str, gpus: int) -> dict[str, Any]:
    attribute = f"device.attributes['{DRIVER}'].productName"
    names = ", ".join(f"'{name}'" for name in GPU_TYPES[gpu_type].nvml)
    return {
        "name": re.sub(r"[^a-z0-9]+", "-", gpu_type.lower()).strip("-"),
        "deviceClassName": DRIVER,
        "allocationMode": "ExactCount",
        "count": gpus,
        "selectors": [{"cel": {"expression": f"{attribute} in [{names}]"}}],
    }
