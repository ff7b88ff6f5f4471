"""Tensors that are spread over ranks (DTensor) in a dry run: each rank's part is recorded, and nothing else.

PyTorch works out the shape of a spread result by running the operator once on tensors of the whole shape; that is no
work of the job. Autograd is told of a meta device for a pretended GPU, Python of the GPU itself.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from kilowait.predict.dryrun.recorder import Recorder

_SHAPES = ("_propagate_tensor_meta_non_cached", "_propagate_tensor_meta_cached", "_propagate_tensor_meta")


def spread_tensors(recorder: Recorder, module: Any) -> None:
    """Change `torch.distributed.tensor` once it is imported."""
    kind = module.DTensor
    kind.device = property(lambda self: self._local_tensor.device)
    propagator: Any = type(kind._op_dispatcher.sharding_propagator)
    for name in _SHAPES:
        if name in vars(propagator):
            setattr(propagator, name, _unseen(recorder, vars(propagator)[name]))


def _unseen(recorder: Recorder, function: Any) -> Any:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        recorder.muted += 1
        try:
            return function(*args, **kwargs)
        finally:
            recorder.muted -= 1

    return call
