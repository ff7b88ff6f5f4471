"""`DistributedDataParallel` over pretended peers: the module, and its gradients exchanged in buckets as they are ready.

PyTorch's own reads the memory of its buckets, and tensors in a dry run have none. A bucket holds 25 MB of gradients
unless the program says otherwise; what is left when the backward pass ends is the last one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from kilowait.predict.dryrun.distributed.exchanges import note
from kilowait.predict.dryrun.recorder import Recorder

BUCKET_BYTES = 25 * 2**20


def data_parallel(recorder: Recorder) -> Any:
    """The class that takes the place of PyTorch's."""

    class DistributedDataParallel(nn.Module):
        """A module whose gradients are summed over all ranks."""

        def __init__(
            self,
            module: nn.Module,
            device_ids: Any = None,
            *_: Any,
            process_group: Any = None,
            bucket_cap_mb: Any = None,
            **__: Any,
        ) -> None:
            super().__init__()
            learnt = [parameter for parameter in module.parameters() if parameter.requires_grad]
            if not learnt:
                raise RuntimeError(
                    "DistributedDataParallel is not needed when a module doesn't have any parameter that requires a "
                    "gradient."
                )
            self.module, self.process_group = module, process_group
            self.device = learnt[0].device
            self._moves = bool(device_ids)
            self.require_backward_grad_sync = self.require_forward_param_sync = True
            self.static_graph = self.find_unused_parameters = False
            vars(self)["reducer"] = self.logger = None
            self._pending_bytes, self._queued = 0.0, False
            self._bucket_bytes = (bucket_cap_mb or 25) * 2.0**20
            for parameter in learnt:
                learnable: Any = parameter
                learnable.register_post_accumulate_grad_hook(self._ready)

        def forward(self, *inputs: Any, **kwargs: Any) -> Any:
            """What the module gives, of inputs that come to its device; small buffers follow rank 0."""
            if self._moves:
                inputs, kwargs = _moved(inputs, self.device), _moved(kwargs, self.device)
            return self.module(*inputs, **kwargs)

        def _ready(self, parameter: Tensor) -> None:
            if not self.require_backward_grad_sync or parameter.grad is None:
                return
            if not self._queued:
                self._queued = True
                torch.autograd.Variable._execution_engine.queue_callback(self._end)
            self._pending_bytes += parameter.grad.numel() * parameter.grad.element_size()
            if self._pending_bytes >= self._bucket_bytes:
                self._flush(parameter.grad.dtype)

        def _end(self) -> None:
            self._queued = False
            self._flush(torch.float32)

        def _flush(self, dtype: torch.dtype) -> None:
            ranks = torch.distributed.get_world_size(self.process_group)
            if self._pending_bytes:
                note(recorder, "all_reduce", str(dtype).partition(".")[2], self._pending_bytes, ranks)
            self._pending_bytes = 0.0

        @contextmanager
        def no_sync(self) -> Iterator[None]:
            """Gradients stay where they are inside: they are accumulated."""
            before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
            try:
                yield
            finally:
                self.require_backward_grad_sync = before

        @contextmanager
        def join(self, *_: Any, **__: Any) -> Iterator[None]:
            """Ranks here have equally many batches."""
            yield

        def register_comm_hook(self, *_: Any, **__: Any) -> None:
            """A hook changes how gradients are exchanged; their bytes are noted as they are."""

        def _set_static_graph(self) -> None:
            self.static_graph = True

        def _set_ddp_sink_clone(self, _value: bool) -> None: ...

        def prepare_for_forward(self) -> None: ...

        def prepare_for_backward(self, _output: Any) -> None: ...

    return DistributedDataParallel


def _moved(value: Any, device: torch.device) -> Any:
    """The tensors in what a module is given, on its device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if type(value) in (tuple, list):
        return type(value)(_moved(part, device) for part in value)
    return {name: _moved(part, device) for name, part in value.items()} if type(value) is dict else value
