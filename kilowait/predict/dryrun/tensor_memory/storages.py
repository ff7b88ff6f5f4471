"""Follow the memory of a program's tensors on its device, and what it holds when it holds most.

A storage is given back when no tensor shares it. Parameters are told when they are first computed with, gradients by
being made in a backward pass in the size of a parameter, and states by being made in an optimizer's step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from kilowait.predict.dryrun.child.older_torch import STORAGES_LAST, when_gone
from kilowait.predict.dryrun.record import Footprint
from kilowait.predict.dryrun.tensor_memory.caching_allocator import CachingAllocator, MemoryBlock
from kilowait.predict.dryrun.tensor_memory.workspaces import workspace_bytes

_PARAMETERS, _GRADIENTS, _OPTIMIZER, _ACTIVATIONS = range(4)


_unheld = [0]


@contextmanager
def not_held() -> Iterator[None]:
    """Tensors that are made inside are not there on a GPU: a kernel reads its argument in one type as in another."""
    _unheld[0] += 1
    try:
        yield
    finally:
        _unheld[0] -= 1


class _Held:
    """A storage that lives: its bytes, how its end is known, its block in each allocator, and what it holds."""

    __slots__ = ("blocks", "end", "holds", "size")

    def __init__(self, size: int, holds: int) -> None:
        self.size, self.holds = size, holds
        self.blocks: list[MemoryBlock] = []
        self.end: Any = None


class StorageWatch:
    """Adds up storages on `target`; `stepping` is above zero while an optimizer makes a step.

    `live_bytes` are those of the tensors now and `peak_bytes` the most they were, nothing rounded. `footprint` is what
    was there when segments of the allocator held most: of one that no kernel asks for a workspace, and of one that
    gives every kernel its own.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.stepping = 0
        self.live_bytes = 0.0
        self.peak_bytes = 0.0
        self._most_held = 0.0
        self._most_working = 0.0
        self._at_most: tuple[float, ...] = (0.0,) * 5
        self._allocators = [CachingAllocator()] if target == "cuda" else []
        self._storages: dict[int, _Held] = {}
        self._bytes = [0.0] * 4
        self._parameter_sizes: set[int] = set()

    @property
    def footprint(self) -> Footprint:
        """What was held when most was."""
        parameters, gradients, optimizer, activations, workspace = self._at_most
        cached = max((allocator.cached for allocator in self._allocators), default=0)
        return Footprint(
            parameters=parameters,
            gradients=gradients,
            optimizer=optimizer,
            activations=activations,
            workspace=workspace,
            held=self._most_held,
            held_with_workspace=self._most_working,
            cached=float(cached or self._most_held),
        )

    def called(self, op: str, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        """An operator was called: its results are there, and for a while its workspace."""
        for tensor in inputs:
            if getattr(tensor, "_is_param", False):
                self._learnt(tensor)
        self.follow(outputs)
        if self._allocators and (size := workspace_bytes(op, inputs, outputs)) and self._here(outputs):
            self._work(size)

    def _work(self, size: int) -> None:
        """An operator takes a workspace for a moment; the first one makes the allocator that knows of them."""
        if len(self._allocators) == 1:
            allocator = CachingAllocator()
            for held in self._storages.values():
                held.blocks += [allocator.allocate(held.size)] if held.blocks else []
            self._allocators.append(allocator)
        block = self._allocators[1].allocate(size)
        self._look(float(size))
        self._allocators[1].give_back(block)

    def follow(self, tensors: Iterable[Tensor]) -> None:
        """New tensors, if they are on the target."""
        for tensor in tensors:
            if tensor.device.type != self.target or tensor.layout != torch.strided or _unheld[0]:
                continue
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key in self._storages:
                continue
            self._add(key, storage, storage.nbytes())

    def _add(self, key: int, storage: Any, size: int) -> None:
        held = self._storages[key] = _Held(size, self._told(size))
        if size:
            held.blocks = [allocator.allocate(size) for allocator in self._allocators]
        held.end = when_gone(storage, partial(self._free, key))
        self.live_bytes += size
        self._bytes[held.holds] += size
        if self.live_bytes > self.peak_bytes:
            self._sweep()
            self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        self._look(0.0)

    def _told(self, size: int) -> int:
        """What a new storage of so many bytes holds."""
        if self.stepping:
            return _OPTIMIZER
        in_backward = torch._C._current_autograd_node() is not None
        return _GRADIENTS if in_backward and size in self._parameter_sizes else _ACTIVATIONS

    def _learnt(self, parameter: Tensor) -> None:
        held = self._storages.get(parameter.untyped_storage()._cdata)
        if held is not None and held.holds != _PARAMETERS:
            self._bytes[held.holds] -= held.size
            self._bytes[_PARAMETERS] += held.size
            held.holds = _PARAMETERS
            self._parameter_sizes.add(held.size)

    def _look(self, workspace: float) -> None:
        held = self._allocators[0].held if self._allocators else self.live_bytes
        working = self._allocators[-1].held if self._allocators else held
        self._most_held = max(self._most_held, held)
        if working > self._most_working:
            self._most_working = working
            self._at_most = (*self._bytes, workspace)

    def _free(self, key: int, _gone: Any = None) -> None:
        held = self._storages.pop(key, None)
        if held is None:
            return
        self.live_bytes -= held.size
        self._bytes[held.holds] -= held.size
        for allocator, block in zip(self._allocators, held.blocks):
            allocator.give_back(block)

    def _sweep(self) -> None:
        """Give back what is gone, where PyTorch does not say so by itself."""
        if not STORAGES_LAST:
            for key in [key for key, held in self._storages.items() if held.end.expired()]:
                self._free(key)

    def _here(self, tensors: list[Tensor]) -> bool:
        return any(tensor.device.type == self.target for tensor in tensors)
