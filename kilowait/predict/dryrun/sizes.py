"""Operators whose results are as large as values say: exact where the values are known, else a guess that is said.

Of a mask or of numbers nothing is known of, half are taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kilowait.predict.dryrun.values import keep, numbers_of, values_of

Guess = Callable[[str], None]
_MASKS = (torch.bool, torch.uint8)


def sized(func: Any, args: Any, kwargs: Any, guess: Guess) -> Any:
    """The result of such an operator, NotImplemented for any other or where nothing needs to be assumed."""
    maker = _MAKERS.get(func._schema.name.removeprefix("aten::"))
    if maker is None:
        return NotImplemented
    arguments = dict(zip((a.name for a in func._schema.arguments), args)) | kwargs
    return maker(func, arguments, guess)


def _half(tensor: Tensor, name: str, guess: Guess) -> int:
    guess(f"{name}: how many numbers it finds depends on values; half of {tensor.numel()} were assumed")
    return max(1, tensor.numel() // 2)


def _nonzero(func: Any, arguments: dict[str, Any], guess: Guess) -> Any:
    mask: Tensor = arguments["self"]
    values = values_of(mask)
    if values is None:
        return mask.new_empty((_half(mask, "nonzero", guess), mask.dim()), dtype=torch.long)
    with torch._C._DisableTorchDispatch():
        positions = values.nonzero()
    result = mask.new_empty(positions.shape, dtype=torch.long)
    keep(result, positions)
    return result


def _masked_select(func: Any, arguments: dict[str, Any], guess: Guess) -> Any:
    data, mask = torch.broadcast_tensors(arguments["self"], arguments["mask"])  # type: ignore[no-untyped-call]
    return data.new_empty((len(_nonzero(func, {"self": mask}, guess)),))


def _index(func: Any, arguments: dict[str, Any], guess: Guess) -> Any:
    """Masks among the indices become the numbers of what they let through."""
    indices: list[Tensor | None] = []
    if not any(index is not None and index.dtype in _MASKS for index in arguments["indices"]):
        return NotImplemented
    for index in arguments["indices"]:
        if index is not None and index.dtype in _MASKS:
            indices += _nonzero(func, {"self": index}, guess).unbind(1)
        else:
            indices.append(index)
    return torch.ops.aten.index.Tensor(arguments["self"], indices)


def _repeat_interleave(func: Any, arguments: dict[str, Any], guess: Guess) -> Any:
    repeats, size = arguments["repeats"], arguments.get("output_size")
    counts = numbers_of(repeats)
    if size is None:
        size = 2 * repeats.numel() if counts is None else int(counts.sum())
        if counts is None:
            guess("repeat_interleave: how often it repeats depends on values; twice was assumed")
    result = repeats.new_empty((size,), dtype=torch.long)
    if counts is not None and size == counts.sum():
        with torch._C._DisableTorchDispatch():
            keep(result, torch.from_numpy(np.repeat(np.arange(len(counts)), counts)))
    return result


def _bincount(func: Any, arguments: dict[str, Any], guess: Guess) -> Any:
    size, numbers = int(arguments.get("minlength") or 0), numbers_of(arguments["self"])
    if numbers is not None and numbers.size:
        size = max(size, int(numbers.max()) + 1)
    elif not size:
        size = _half(arguments["self"], "bincount", guess)
    return arguments["self"].new_empty((size,), dtype=torch.long)


def _unique(func: Any, arguments: dict[str, Any], guess: Guess) -> Any:
    """Values, the place of each number among them, how often each is there; of rows where a dimension is given."""
    data: Tensor = arguments["self"]
    dim = arguments.get("dim")
    if (values := values_of(data)) is not None:
        return _found_unique(func, {**arguments, "self": values}, data)
    if dim is None:
        values, places = data.new_empty((_half(data, "unique", guess),)), data.new_empty(data.shape, dtype=torch.long)
    else:
        count = _half(data.select(dim, 0).new_empty((data.shape[dim],)), "unique", guess)
        shape = [count if i == dim % data.dim() else side for i, side in enumerate(data.shape)]
        values, places = data.new_empty(shape), data.new_empty((data.shape[dim],), dtype=torch.long)
    counts = data.new_empty((values.shape[dim or 0],), dtype=torch.long)
    return (values, places, counts)[: len(func._schema.returns)]


def _found_unique(func: Any, arguments: dict[str, Any], data: Tensor) -> Any:
    """The same where the values are known."""
    with torch._C._DisableTorchDispatch():
        found = func(**arguments)
    results = tuple(data.new_empty(part.shape, dtype=part.dtype) for part in found)
    keep(results, found)
    return results


def _ctc(func: Any, arguments: dict[str, Any], guess: Guess) -> Any:
    """Losses of N samples and the table (N, T, 2 S + 1) over steps and labels."""
    steps, samples = arguments["log_probs"].shape[:2]
    lengths = arguments["target_lengths"]
    known_lengths = lengths if isinstance(lengths, (list, tuple)) else numbers_of(lengths)
    longest = (
        max(map(int, known_lengths), default=0)
        if known_lengths is not None
        else math.prod(arguments["targets"].shape[1:2]) or 1
    )
    new_empty = arguments["log_probs"].new_empty
    return new_empty((samples,)), new_empty((samples, steps, 2 * longest + 1))


_MAKERS: dict[str, Callable[[Any, dict[str, Any], Guess], Any]] = {
    "nonzero": _nonzero,
    "masked_select": _masked_select,
    "index": _index,
    "repeat_interleave": _repeat_interleave,
    "bincount": _bincount,
    "_unique": _unique,
    "_unique2": _unique,
    "unique_dim": _unique,
    "unique_consecutive": _unique,
    "_ctc_loss": _ctc,
}
