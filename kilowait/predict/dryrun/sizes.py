"""Operators whose results are as large as values say: exact where the values are known, else a guess that is said.

Of a mask or of numbers nothing is known of, half are taken.
"""

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
    named = dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | kwargs
    return maker(func, named, guess)


def _half(what: Tensor, name: str, guess: Guess) -> int:
    guess(f"{name}: how many numbers it finds depends on values; half of {what.numel()} were assumed")
    return max(1, what.numel() // 2)


def _nonzero(func: Any, named: dict[str, Any], guess: Guess) -> Any:
    mask: Tensor = named["self"]
    known = values_of(mask)
    if known is None:
        return mask.new_empty((_half(mask, "nonzero", guess), mask.dim()), dtype=torch.long)
    with torch._C._DisableTorchDispatch():
        found = known.nonzero()
    made = mask.new_empty(found.shape, dtype=torch.long)
    keep(made, found)
    return made


def _masked_select(func: Any, named: dict[str, Any], guess: Guess) -> Any:
    data, mask = torch.broadcast_tensors(named["self"], named["mask"])  # type: ignore[no-untyped-call]
    return data.new_empty((len(_nonzero(func, {"self": mask}, guess)),))


def _index(func: Any, named: dict[str, Any], guess: Guess) -> Any:
    """Masks among the indices become the numbers of what they let through."""
    indices: list[Tensor | None] = []
    if not any(index is not None and index.dtype in _MASKS for index in named["indices"]):
        return NotImplemented
    for index in named["indices"]:
        if index is not None and index.dtype in _MASKS:
            indices += _nonzero(func, {"self": index}, guess).unbind(1)
        else:
            indices.append(index)
    return torch.ops.aten.index.Tensor(named["self"], indices)


def _repeat_interleave(func: Any, named: dict[str, Any], guess: Guess) -> Any:
    repeats, size = named["repeats"], named.get("output_size")
    known = numbers_of(repeats)
    if size is None:
        size = 2 * repeats.numel() if known is None else int(known.sum())
        if known is None:
            guess("repeat_interleave: how often it repeats depends on values; twice was assumed")
    made = repeats.new_empty((size,), dtype=torch.long)
    if known is not None and size == known.sum():
        with torch._C._DisableTorchDispatch():
            keep(made, torch.from_numpy(np.repeat(np.arange(len(known)), known)))
    return made


def _bincount(func: Any, named: dict[str, Any], guess: Guess) -> Any:
    least, known = int(named.get("minlength") or 0), numbers_of(named["self"])
    if known is not None and known.size:
        least = max(least, int(known.max()) + 1)
    elif not least:
        least = _half(named["self"], "bincount", guess)
    return named["self"].new_empty((least,), dtype=torch.long)


def _unique(func: Any, named: dict[str, Any], guess: Guess) -> Any:
    """Values, the place of each number among them, how often each is there; of rows where a dimension is given."""
    data: Tensor = named["self"]
    dim = named.get("dim")
    if dim is None:
        values, places = data.new_empty((_half(data, "unique", guess),)), data.new_empty(data.shape, dtype=torch.long)
    else:
        count = _half(data.select(dim, 0).new_empty((data.shape[dim],)), "unique", guess)
        shape = [count if i == dim % data.dim() else side for i, side in enumerate(data.shape)]
        values, places = data.new_empty(shape), data.new_empty((data.shape[dim],), dtype=torch.long)
    counts = data.new_empty((values.shape[dim or 0],), dtype=torch.long)
    return (values, places, counts)[: len(func._schema.returns)]


def _ctc(func: Any, named: dict[str, Any], guess: Guess) -> Any:
    """Losses of N samples and the table (N, T, 2 S + 1) over steps and labels."""
    steps, samples = named["log_probs"].shape[:2]
    lengths = named["target_lengths"]
    known = lengths if isinstance(lengths, list | tuple) else numbers_of(lengths)
    most = max(map(int, known), default=0) if known is not None else math.prod(named["targets"].shape[1:2]) or 1
    made = named["log_probs"].new_empty
    return made((samples,)), made((samples, steps, 2 * most + 1))


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
