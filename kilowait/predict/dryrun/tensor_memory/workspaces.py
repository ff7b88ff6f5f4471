"""What an operator takes on a GPU while it runs, beside its arguments and results, told by its name and tensors.

Each rule says what the kernels do; where several can be chosen from, it is the one for the usual case. cuBLAS has a
workspace too, which stays: see `kilowait.predict.memory_needs`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

_IMAGE, _VOLUME = 4, 5


def workspace_bytes(op: str, inputs: list[Tensor], outputs: list[Tensor]) -> int:
    """Bytes that one call needs for as long as it runs."""
    rule = _RULES.get(op)
    return 0 if rule is None else rule(inputs, outputs)


def _convolution(inputs: list[Tensor], outputs: list[Tensor]) -> int:
    """cuDNN's kernels for tensor cores want channels last: it lays images, filters and results out anew."""
    tensors = [*inputs[:2], *outputs[:1]]
    if not _on_tensor_cores(inputs[0], inputs[1]):
        return 0
    return _laid_out_anew(tensors)


def _convolution_backward(inputs: list[Tensor], _outputs: list[Tensor]) -> int:
    """As forward; the gradients of the images and of the filters are made one after the other."""
    if len(inputs) < 3 or not _on_tensor_cores(inputs[1], inputs[2]):
        return 0
    return _laid_out_anew(inputs[:3])


def _on_tensor_cores(images: Tensor, filters: Tensor) -> bool:
    depthwise = filters.dim() > 1 and filters.shape[1] == 1 and images.shape[1] > 1
    return images.dim() in (_IMAGE, _VOLUME) and not depthwise


def _laid_out_anew(tensors: list[Tensor]) -> int:
    """All where all lie channels first; where one lies channels last, the images that do not."""
    last = [_channels_last(tensor) for tensor in tensors]
    if not any(last):
        return sum(map(_bytes, tensors))
    return sum(_bytes(tensor) for tensor, so in zip(tensors, last) if not so and tensor.is_contiguous())


def _channels_last(tensor: Tensor) -> bool:
    return tensor.dim() in (_IMAGE, _VOLUME) and tensor.stride(1) == 1 and tensor.shape[1] > 1


def _sorting(inputs: list[Tensor], outputs: list[Tensor]) -> int:
    """Radix sort has a second buffer for keys and values."""
    return sum(map(_bytes, outputs)) if inputs else 0


def _sorted_indices(inputs: list[Tensor], _outputs: list[Tensor]) -> int:
    """Where rows of one index are added up, indices are sorted first with their places: two of each, 8 bytes."""
    indices = [tensor.numel() for tensor in inputs if not tensor.dtype.is_floating_point]
    return 4 * 8 * max(indices, default=0)


def _attention_backward(inputs: list[Tensor], _outputs: list[Tensor]) -> int:
    """Gradients of the queries are added up in float32."""
    return 4 * inputs[1].numel() if len(inputs) > 1 else 0


def _bytes(tensor: Tensor) -> int:
    return math.prod(tensor.shape) * tensor.element_size()


_RULES: dict[str, Callable[[list[Tensor], list[Tensor]], int]] = {
    "aten.convolution": _convolution,
    "aten._convolution": _convolution,
    "aten.convolution_backward": _convolution_backward,
    "aten.sort": _sorting,
    "aten.argsort": _sorting,
    "aten.topk": _sorting,
    "aten.embedding_dense_backward": _sorted_indices,
    "aten.index_put": _sorted_indices,
    "aten.index_put_": _sorted_indices,
    "aten._scaled_dot_product_flash_attention_backward": _attention_backward,
    "aten._scaled_dot_product_efficient_attention_backward": _attention_backward,
    "aten._scaled_dot_product_cudnn_attention_backward": _attention_backward,
}
