"""Loaders of installed packages by number, as those of PyTorch are seen: batch j without the batches before it."""

from __future__ import annotations

import sys
from typing import Any

from torch.utils.data import IterableDataset

from kilowait.predict.dryrun.loops.index import Question
from kilowait.predict.dryrun.loops.loader import ADAPTED, batches
from kilowait.predict.dryrun.loops.loop_views import View


def know_loaders() -> None:
    """Tell the loops how such loaders are seen."""
    ADAPTED["accelerate.data_loader.DataLoaderShard"] = _of_accelerate


def _of_accelerate(loader: Any) -> View | None:
    """A loader of `Accelerator.prepare`: it moves batches to the device and says which one is the last."""
    if isinstance(loader.dataset, IterableDataset) or getattr(loader, "skip_batches", False):
        return None
    length, item_at, _ = batches(loader)

    def at(j: int, _loop: Any) -> Any:
        if loader.gradient_state.active_dataloader is not loader or j == 0:
            loader.begin()
        loader.end_of_dataloader = j == length - 1
        batch = item_at(j)
        return batch if loader.device is None else sys.modules["accelerate.utils"].send_to_device(batch, loader.device)

    return View(length=length, at=at, questions=(Question(slope=1, start=0, value=length - 1),), samples=True)
