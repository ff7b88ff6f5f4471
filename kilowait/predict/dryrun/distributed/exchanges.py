"""What one rank exchanges with the others: every collective, with its bytes and how many ranks take part.

The bytes are those of the message: of the tensor that is reduced or broadcast, of all that is gathered, of all that is
scattered. How much of it crosses a link is for whoever turns bytes into seconds. A group of one exchanges nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from kilowait.predict.dryrun.tally import Key

if TYPE_CHECKING:
    from kilowait.predict.dryrun.recorder import Recorder

EXCHANGES = frozenset({"c10d", "_c10d_functional", "_c10d_functional_autograd", "c10d_functional"})
"""Namespaces of the operators by which ranks exchange."""

_MARK = "exchange"
_NAMES = {
    "allreduce_": "all_reduce",
    "allreduce_coalesced_": "all_reduce",
    "all_reduce": "all_reduce",
    "all_reduce_coalesced": "all_reduce",
    "allgather_": "all_gather",
    "_allgather_base_": "all_gather",
    "allgather_coalesced_": "all_gather",
    "allgather_into_tensor_coalesced_": "all_gather",
    "all_gather_into_tensor": "all_gather",
    "all_gather_into_tensor_out": "all_gather",
    "all_gather_into_tensor_coalesced": "all_gather",
    "reduce_scatter_": "reduce_scatter",
    "_reduce_scatter_base_": "reduce_scatter",
    "reduce_scatter_tensor_coalesced_": "reduce_scatter",
    "reduce_scatter_tensor": "reduce_scatter",
    "reduce_scatter_tensor_coalesced": "reduce_scatter",
    "reduce_": "reduce",
    "broadcast_": "broadcast",
    "broadcast": "broadcast",
    "gather_": "gather",
    "scatter_": "scatter",
    "alltoall_": "all_to_all",
    "alltoall_base_": "all_to_all",
    "all_to_all_single": "all_to_all",
    "send": "send",
    "recv_": "receive",
    "recv_any_source_": "receive",
    "barrier": "barrier",
}
_ONE_SIDED = ("all_gather", "reduce_scatter", "gather", "scatter")
"""What is gathered or scattered is larger on one side: that is the message."""


def note(recorder: Recorder, op: str, dtype: str, size_bytes: float, ranks: int) -> None:
    """Count one exchange of `size_bytes` among `ranks`."""
    if ranks < 2 or recorder.muted:
        return
    key = (_MARK, op, dtype, float(size_bytes), ranks)
    recorder.flops.setdefault(key, 0.0)  # a loop weighs its items by what their calls compute
    recorder.tallies.count(key)


def noted(recorder: Recorder) -> list[tuple[str, str, float, float, int]]:
    """(name, type, bytes, how often, ranks) of all exchanges so far, equal ones together."""
    counts: dict[Key, float] = recorder.tallies.root.counts
    return [(key[1], key[2], key[3], count, key[4]) for key, count in counts.items() if key[0] == _MARK and count]


def exchange(recorder: Recorder, func: Any, args: Any, kwargs: Any) -> Any:
    """Call a collective of the pretended group, and note it."""
    name = _NAMES.get(func._schema.name.partition("::")[2], "")
    ranks = _ranks(func, args, kwargs)
    result = func(*args, **kwargs)
    if name:
        parts = (args, result) if name in _ONE_SIDED else args
        tensors = _message(name, [part for part in tree_leaves(parts) if isinstance(part, Tensor)])
        dtype = str(tensors[0].dtype).partition(".")[2] if tensors else ""
        note(recorder, name, dtype, 0.0 if name == "barrier" else sum(map(_size, tensors)), ranks)
    return result


def _message(name: str, tensors: list[Tensor]) -> list[Tensor]:
    """The tensors whose bytes are the message: of inputs and outputs, one side of what is gathered or scattered."""
    distinct = list({id(tensor): tensor for tensor in tensors}.values())
    total = sum(map(_size, distinct))
    if name in _ONE_SIDED and distinct:
        whole = [tensor for tensor in distinct if _size(tensor) * 2 > total]
        return whole or distinct[:-1] or distinct
    return distinct[:1] if name in ("all_to_all", "broadcast") else distinct


def _size(tensor: Tensor) -> float:
    return float(tensor.numel() * tensor.element_size())


def _ranks(func: Any, args: Any, kwargs: Any) -> int:
    """How many take part."""
    named = dict(zip((argument.name for argument in func._schema.arguments), args))
    named.update(kwargs)
    if isinstance(named.get("group_size"), int):
        return int(named["group_size"])
    group = named.get("process_group")
    if group is not None and hasattr(torch.distributed.ProcessGroup, "unbox"):
        return int(torch.distributed.ProcessGroup.unbox(group).size())
    name = named.get("group_name")
    if isinstance(name, str):
        c10d: Any = torch.distributed.distributed_c10d
        return int(c10d._resolve_process_group(name).size())
    return torch.distributed.get_world_size()
