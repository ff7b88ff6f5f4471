"""Every rank holds what this one does: what collectives of Python's objects and of known numbers give then.

A sum over ranks of a number that is known is known; so is what is broadcast or gathered. A program that counts its
samples over all ranks goes on with the right number.
"""

from __future__ import annotations

import pickle
import sys
from typing import Any

import torch
from torch import Tensor

from kilowait.predict.dryrun.distributed.exchanges import note
from kilowait.predict.dryrun.recorder import Recorder
from kilowait.predict.dryrun.values import keep, values_of


def pretend_alike(recorder: Recorder) -> None:
    """Replace the collectives whose results can be told."""
    _objects(recorder)
    _numbers()


def everywhere(real: Any, name: str, replacement: Any) -> None:
    """Put the replacement wherever PyTorch itself has the function by its name."""
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith("torch.distributed") and vars(module).get(name) is real:
            setattr(module, name, replacement)


def _numbers() -> None:
    dist: Any = torch.distributed
    real_reduce, real_broadcast = dist.all_reduce, dist.broadcast

    def all_reduce(tensor: Any, op: Any = dist.ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Any:
        known = values_of(tensor) if isinstance(tensor, Tensor) else None
        work = real_reduce(tensor, op, group, async_op)
        if known is not None:
            _keep(tensor, known, dist.get_world_size(group) if op == dist.ReduceOp.SUM else 1)
        return work

    def broadcast(tensor: Any, *args: Any, **kwargs: Any) -> Any:
        known = values_of(tensor) if isinstance(tensor, Tensor) else None
        work = real_broadcast(tensor, *args, **kwargs)
        if known is not None:
            _keep(tensor, known, 1)
        return work

    everywhere(real_reduce, "all_reduce", all_reduce)
    everywhere(real_broadcast, "broadcast", broadcast)


def _keep(tensor: Tensor, known: Tensor, times: int) -> None:
    with torch._C._DisableTorchDispatch():  # type: ignore[no-untyped-call, unused-ignore]
        keep(tensor, known * times)


def _objects(recorder: Recorder) -> None:
    """Collectives of Python's objects: every rank holds what this one does."""

    def ranks_of(group: Any) -> int:
        return torch.distributed.get_world_size(group)

    def noted(name: str, value: Any, group: Any) -> None:
        try:
            size = len(pickle.dumps(value))
        except Exception:  # what cannot be sent is the program's to find out when it runs
            size = 0
        note(recorder, name, "object", float(size), ranks_of(group))

    def all_gather_object(object_list: list[Any], obj: Any, group: Any = None, **_: Any) -> None:
        noted("all_gather", obj, group)
        object_list[:] = [obj] * len(object_list)

    def gather_object(obj: Any, object_gather_list: Any = None, dst: Any = 0, group: Any = None, **_: Any) -> None:
        noted("gather", obj, group)
        if object_gather_list is not None:
            object_gather_list[:] = [obj] * len(object_gather_list)

    def broadcast_object_list(object_list: list[Any], src: Any = 0, group: Any = None, *_: Any, **__: Any) -> None:
        noted("broadcast", object_list, group)

    def scatter_object_list(output: list[Any], objects: Any = None, src: Any = 0, group: Any = None, **_: Any) -> None:
        noted("scatter", objects, group)
        output[0] = objects[0] if objects else None

    for function in (all_gather_object, gather_object, broadcast_object_list, scatter_object_list):
        real = getattr(torch.distributed, function.__name__, None)
        if real is not None:
            everywhere(real, function.__name__, function)
