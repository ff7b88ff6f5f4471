"""Parameters of which every rank keeps a part: how many numbers they have on all ranks together."""

from __future__ import annotations

from functools import wraps
from typing import Any


def numbers_of(parameter: Any) -> int:
    """How many numbers a parameter has, those on other ranks included."""
    return int(getattr(parameter, "whole_numbers", 0)) or int(parameter.numel())


def watch_flat_parameters(module: Any) -> None:
    """Change PyTorch's module of flat parameters once it is imported: what is cut into parts is told its whole size."""
    handle = module.FlatParamHandle
    real = handle._init_flat_param_and_metadata

    @wraps(real)
    def init(self: Any, params: Any, *args: Any, **kwargs: Any) -> Any:
        sizes = [numbers_of(parameter) for parameter in params]
        made = real(self, params, *args, **kwargs)
        for parameter, size in zip(params, sizes):
            parameter.whole_numbers = size
        self.flat_param.whole_numbers = sum(sizes)
        return made

    handle._init_flat_param_and_metadata = init
