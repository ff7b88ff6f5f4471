"""A neural network of layers, after Justus et al. (2018): seconds of one layer from its sizes and the board's sheet.

A step is the sum of its layers. The network learns from sums as from single operators, on logarithms of seconds.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from kilowait.core.arrays import FloatArray, Mask
from kilowait.lab.steps.step_works import LAYERS, StepWorks

WIDTH, EPOCHS, RATE, DECAY = 48, 120, 0.015, 1e-4
MOST_LABELS = 1_500
"""Of those to learn from, drawn by a seed: it bounds the time of a fit."""
UNIT_S = 1e-4
"""What a layer takes before anything is learned."""


def layer_network(steps: StepWorks, train: Mask, tested: Mask) -> FloatArray:
    """Seconds (M,) of the labels asked for, by a network fitted to the others; the same for the same labels."""
    generator = torch.Generator().manual_seed(0)
    train = _drawn(train)
    asked, known = _Sums.of(steps, tested), _Sums.of(steps, train)
    center, spread = known.layers.mean(0), known.layers.std(0) + 1e-6
    network = _network(known.layers.shape[1], generator)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    target = torch.as_tensor(np.log(steps.seconds[train]), dtype=torch.float32)
    for _ in range(EPOCHS):
        optimizer.zero_grad()
        error = known.log_seconds(network((known.layers - center) / spread)) - target
        torch.autograd.backward(nn.functional.smooth_l1_loss(error, torch.zeros_like(error), beta=0.3))
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return np.exp(asked.log_seconds(network((asked.layers - center) / spread)).numpy().astype(np.float64))


def _drawn(train: Mask) -> Mask:
    rows = np.random.default_rng(0).permutation(np.flatnonzero(train))[:MOST_LABELS]
    return np.isin(np.arange(len(train)), rows)


def _network(inputs: int, generator: torch.Generator) -> nn.Module:
    network = nn.Sequential(
        nn.Linear(inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1)
    )
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, nn.Linear):
                bound = layer.in_features**-0.5
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.zero_()
    return network


@dataclass(frozen=True, slots=True)
class _Sums:
    """Distinct layers on types (L, features), and which of them each label calls how often."""

    layers: Tensor
    layer: Tensor
    label: Tensor
    count: Tensor
    labels: int

    @classmethod
    def of(cls, steps: StepWorks, rows: Mask) -> "_Sums":
        """The layers of some labels; views take no time."""
        load, program, type_ = steps.load, steps.program[rows], steps.type[rows]
        entries = [np.flatnonzero((load.program == p) & (steps.launched[load.work] > 0)) for p in range(load.programs)]
        label = np.concatenate([np.full(len(entries[p]), i) for i, p in enumerate(program)])
        entry = np.concatenate([entries[p] for p in program])
        pairs = np.stack([load.work[entry], type_[label]], axis=1)
        distinct, layer = np.unique(pairs, axis=0, return_inverse=True)
        return cls(
            layers=torch.as_tensor(_features(steps, distinct[:, 0], distinct[:, 1]), dtype=torch.float32),
            layer=torch.as_tensor(layer.ravel()),
            label=torch.as_tensor(label),
            count=torch.as_tensor(load.count[entry], dtype=torch.float32),
            labels=len(program),
        )

    def log_seconds(self, told: Tensor) -> Tensor:
        """log seconds of labels (M,) from the network's answers for layers (L, 1)."""
        seconds = UNIT_S * torch.exp(told[:, 0].clamp(-12, 12))[self.layer] * self.count
        return torch.zeros(self.labels).index_add(0, self.label, seconds).clamp(min=1e-9).log()


def _features(steps: StepWorks, work: FloatArray, type_: FloatArray) -> FloatArray:
    columns, works = steps.load.columns, steps.load.columns.works
    sheets = np.log([[s.fp32_flops, s.half_flops, s.bandwidth, s.multiprocessors, s.cache_bytes] for s in steps.sheets])
    parts = [
        np.eye(len(LAYERS))[steps.layer],
        np.array([one.shape for one in works]),
        np.log(np.stack([columns.flops, columns.bytes_moved, columns.kernels + 1], axis=1)),
        np.stack([steps.half, steps.backward], axis=1),
    ]
    rates = np.log(steps.rates)[work, type_][:, None]
    return np.concatenate([*(part[work] for part in parts), sheets[type_], rates], axis=1)
