"""A module's tensors on the GPU without the work of bringing them there: that belongs to no step."""

import torch


def on_gpu(module, dtype=None, memory_format=torch.preserve_format):
    """The same module with empty tensors on the GPU; those that are shared stay shared."""
    made = {}

    def placed(tensor):
        if id(tensor) not in made:
            kind = dtype if dtype is not None and tensor.dtype.is_floating_point else tensor.dtype
            empty = torch.empty(tensor.shape, dtype=kind, device="cuda")
            if memory_format is not torch.preserve_format and tensor.dim() == 4:
                empty = torch.empty_like(empty, memory_format=memory_format)
            made[id(tensor)] = (
                torch.nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, torch.nn.Parameter) else empty
            )
        return made[id(tensor)]

    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    tensors[name] = placed(tensor)
    return module
