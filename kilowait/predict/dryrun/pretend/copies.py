"""Deep copies of tensors whose values are known beside them: the values are real tensors, and are copied as such."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

_OWN, _CONSTANT = "_kilowait", "constant"
"""What is kept here beside a tensor, and what PyTorch itself keeps beside one without data."""


def pretend_copies() -> None:
    """Let `copy.deepcopy` take what is remembered of a tensor with it."""
    real: Any = Tensor.__deepcopy__

    def deepcopy(self: Any, memo: Any) -> Any:
        names = [name for name in vars(self) if name.startswith(_OWN) or name == _CONSTANT]
        remembered = {name: vars(self).pop(name) for name in names}
        if isinstance(self, FakeTensor):  # its mode is everybody's; what it holds is given back once
            memo[id(self.fake_mode)] = self.fake_mode
        try:
            if _CONSTANT in remembered:
                self.constant = None
            plain = isinstance(self, FakeTensor) and not (self.requires_grad or getattr(self, "_is_param", False))
            copy = self.clone() if plain else real(self, memo)
        finally:
            vars(self).update(remembered)
        if copy is not self:
            kept = {name: _copied(value) for name, value in remembered.items() if name != _CONSTANT}
            vars(copy).update(kept)
        memo[id(self)] = copy
        return copy

    Tensor.__deepcopy__ = deepcopy  # type: ignore[method-assign]


def _copied(value: Any) -> Any:
    with torch._C._DisableTorchDispatch():  # type: ignore[no-untyped-call, unused-ignore]
        return value.clone() if isinstance(value, Tensor) else value
