"""Packed sequences on tensors without data: the rows that are left once the padding is gone.

Only for a child that does nothing but a dry run: there is no way back.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kilowait.predict.dryrun.recorder import Recorder
from kilowait.predict.dryrun.values import keep, numbers_of


def pretend_packing(recorder: Recorder) -> None:
    """Replace what `pack_padded_sequence` and `pad_packed_sequence` call."""

    def pack(data: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
        samples, longest = data.shape[:2] if batch_first else (data.shape[1], data.shape[0])
        known_lengths = numbers_of(lengths)
        if known_lengths is None:
            recorder.guess("pack_padded_sequence: lengths depend on values; sequences without padding were assumed")
        used_lengths = known_lengths.tolist() if known_lengths is not None else [longest] * samples
        sizes = [sum(length > step for length in used_lengths) for step in range(max(used_lengths))]
        return (data.transpose(0, 1) if batch_first else data).flatten(0, 1)[: sum(sizes)].clone(), _known(sizes)

    setattr(torch._VF, "_pack_padded_sequence", pack)  # noqa: B010 - the checker has other names for its arguments
    setattr(torch._VF, "_pad_packed_sequence", _pad)  # noqa: B010


def _pad(data: Tensor, sizes: Tensor, batch_first: bool, value: float, total: int) -> tuple[Tensor, Tensor]:
    known_steps = numbers_of(sizes)
    steps: list[int] = known_steps.tolist() if known_steps is not None else [1] * len(sizes)
    samples, longest = steps[0], max(total, len(steps))
    flat = torch.nn.functional.pad(data, (*(0, 0) * (data.dim() - 1), 0, samples * longest - len(data)), value=value)
    padded = flat.view(longest, samples, *data.shape[1:])
    lengths = _known([sum(size > sample for size in steps) for sample in range(samples)])
    return (padded.transpose(0, 1) if batch_first else padded), lengths


def _known(numbers: list[int]) -> Any:
    """A tensor on the host whose values are known."""
    tensor = torch.empty((len(numbers),), dtype=torch.long)
    with torch._C._DisableTorchDispatch():
        values = torch.tensor(numbers, dtype=torch.long)
    keep(tensor, values)
    return tensor
