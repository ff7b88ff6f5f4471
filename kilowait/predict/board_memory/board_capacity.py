"""What a GPU type's memory leaves to a program, and what CUDA takes of it for itself.

Boards are sold by 2^30 bytes, and the driver keeps a part: 23.7 of 24 GiB are left on an RTX 3090, 9.8 of 10 on an
RTX 3080, 79.2 of 80 on an H100, as PyTorch's messages of lacking memory say. GDDR boards of data centres come with
error correction on, which takes a sixteenth more: 22.2 of 24 GiB are left on an A10G, 44.5 of 48 on an A40.
"""

from kilowait.core.gpu_type import GpuType
from kilowait.core.hardware import GPU_TYPES

GIB = 2**30
_LEFT, _LEFT_WITH_ECC, _LEFT_OF_SLICE = 0.985, 0.925, 0.95
_ECC_BY_DEFAULT = ("A10", "A10G", "A16", "A40", "L4", "L20", "L40", "L40S", "T4")
"""GDDR boards of data centres since Turing; workstations' are delivered with error correction off."""
CONTEXT_BYTES = 0.45 * GIB
"""Kernels and state of CUDA, cuDNN and cuBLAS where kernels are loaded as they are used: 0.27 GiB before any network on
an A100 (PyTorch's change to lazy loading, 1.13), 0.4 as its developers say, and more kernels with a network."""
LEAST_CONTEXT_BYTES = 0.25 * GIB
EAGER_CONTEXT_BYTES = 1.05 * GIB
"""Before CUDA 11.7 and PyTorch 1.13 all kernels are loaded at once: more than 1,000 MB."""
CUBLAS_BYTES, HOPPER_CUBLAS_BYTES = 8.125 * 2**20, 32 * 2**20
"""Workspace that PyTorch takes for cuBLAS with the first product, and keeps."""


def usable_bytes(gpu_type: str) -> float:
    """Bytes that CUDA says a board of this type has."""
    board = GPU_TYPES[gpu_type]
    return board.memory_bytes / 10**9 * GIB * _left(board)


def context_bytes(gpu_type: str, eager: bool = False) -> float:
    """Bytes that are taken before the first tensor; `eager` where all kernels are loaded at once."""
    capability = GPU_TYPES[gpu_type].capability
    hopper = capability is not None and capability >= 9
    return (EAGER_CONTEXT_BYTES if eager else CONTEXT_BYTES) + (HOPPER_CUBLAS_BYTES if hopper else CUBLAS_BYTES)


def _left(board: GpuType) -> float:
    if board.slice_of is not None:
        return _LEFT_OF_SLICE
    return _LEFT_WITH_ECC if board.name in _ECC_BY_DEFAULT else _LEFT
