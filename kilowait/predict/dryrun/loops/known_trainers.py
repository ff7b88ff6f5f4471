"""Packages whose training loops are known: what they ask in a loop follows the counters that are known, too."""

from __future__ import annotations

TRAINERS = (
    *("transformers", "accelerate", "lightning", "pytorch_lightning", "ignite", "trl", "fastai", "mmengine"),
    *("detectron2", "ultralytics", "composer", "skorch"),
)


def of_known_trainer(line: str) -> bool:
    """Whether a loop at this line ("transformers/trainer.py line 7") is one of theirs."""
    return line.partition("/")[0] in TRAINERS
