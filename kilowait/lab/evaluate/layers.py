"""Baselines of the literature that predict layer by layer and add up, on the operations of a dry run.

Both papers measure every layer by itself; here only whole programs are measured, so the layers' models are fitted
through their sum. A program without a usable dry run gets the geometric mean of its device type, marked wide.

Cai, Juan, Stamoulis and Marculescu 2017, "NeuralPower: Predict and deploy energy-efficient convolutional neural
networks", section 4: a sparse polynomial of a layer's sizes for each kind of layer, with total FLOPs and memory
accesses as further terms, one model a platform.

Justus, Brennan, Bonner and McGough 2018, "Predicting the computational cost of deep learning models": a perceptron
of a layer's features and the hardware's, one for all.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LassoCV
from torch import Tensor, nn

from kilowait.core.arrays import FloatArray, IntArray, Mask
from kilowait.core.errors import InputError
from kilowait.lab.evaluate.cross_validation import Inputs, ModelAnswer, Recipe
from kilowait.lab.evaluate.dataset import Dataset
from kilowait.predict.dryrun.record import Kind, Operation

KINDS = tuple(Kind)
PENALTIES = 12
"""Of the lasso, from which inner folds choose."""
INNER_FOLDS = 5
HIDDEN = (64, 32)
STEPS = 300
RATE = 5e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The L operations of all scripts: script (L,), kind (L,) into `KINDS`, count (L,), and sizes.

    `sizes` (L, 5): numbers in the largest two tensors an operation takes, bytes it writes, FLOPs, bytes it reads and
    writes. `read` (S,) says which scripts have any.
    """

    script: IntArray
    kind: IntArray
    count: FloatArray
    sizes: FloatArray
    read: Mask


def layers_of(inputs: Inputs) -> Layers:
    """The operations of a study's scripts; raises InputError where no script has a dry run."""
    runs = [inputs.dry_runs.get(script) for script in inputs.study.scripts]
    pairs = [(i, op) for i, run in enumerate(runs) if run is not None and run.usable for op in run.operations]
    if not pairs:
        raise InputError("layer-wise recipes need dry runs, and no script has one: use kilowait lab evaluate")
    script = np.array([i for i, _ in pairs], dtype=np.int64)
    return Layers(
        script=script,
        kind=np.array([KINDS.index(Kind(op.kind)) for _, op in pairs], dtype=np.int64),
        count=np.array([op.count for _, op in pairs], dtype=np.float64),
        sizes=np.array([_sizes(op) for _, op in pairs], dtype=np.float64),
        read=np.isin(np.arange(len(runs)), script),
    )


def _sizes(op: Operation) -> list[float]:
    numbers = sorted((math.prod(shape) for shape in json.loads(op.shapes)), reverse=True)
    largest, next_largest = [*numbers, 0, 0][:2]
    return [largest, next_largest, op.bytes_written, op.flops, op.bytes_read + op.bytes_written]


def polynomial_terms(layers: Layers, scripts: int) -> FloatArray:
    """NeuralPower's terms, summed over each script's layers of a kind (S, kinds * 12).

    For each kind: 1, the three sizes, their six products of degree 2, FLOPs, memory accesses.
    """
    a, b, c, flops, accesses = layers.sizes.T
    terms = np.stack([np.ones_like(a), a, b, c, a * a, a * b, a * c, b * b, b * c, c * c, flops, accesses], axis=1)
    table = np.zeros((scripts, len(KINDS), terms.shape[1]))
    np.add.at(table, (layers.script, layers.kind), terms * layers.count[:, None])
    return table.reshape(scripts, -1)


def polynomial_recipe(inputs: Inputs, metric: str, train: Sequence[Mask]) -> list[ModelAnswer]:
    """NeuralPower: a lasso with weights >= 0 (no layer takes negative time) on relative errors, one a device type."""
    study, layers = inputs.study, layers_of(inputs)
    terms = polynomial_terms(layers, len(study.scripts))
    return [_polynomial(study, layers, terms, metric, mask) for mask in train]


def _polynomial(study: Dataset, layers: Layers, terms: FloatArray, metric: str, mask: Mask) -> ModelAnswer:
    predicted = np.empty(len(study.script))
    for device in range(len(study.device_types)):
        on_type = study.device == device
        rows = np.flatnonzero(mask & on_type & layers.read[study.script])
        y = study.metrics[metric][rows]
        weights = _lasso(terms[study.script[rows]] / y[:, None], np.array(study.groups)[study.script[rows]])
        guess = np.maximum(terms[study.script[on_type]] @ weights, y.min())
        predicted[on_type] = np.where(layers.read[study.script[on_type]], guess, np.exp(np.log(y).mean()))
    return ModelAnswer(predicted=predicted, wide=~layers.read[study.script])


def _lasso(x: FloatArray, groups: NDArray[np.str_]) -> FloatArray:
    """Weights w >= 0 such that x @ w is near 1: relative errors of y, whose rows were divided by y."""
    scale = np.sqrt((x**2).mean(0))
    nonzero = scale > 0
    fold = np.unique(groups, return_inverse=True)[1] % INNER_FOLDS
    inner = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]
    model = LassoCV(alphas=PENALTIES, cv=inner, positive=True, fit_intercept=False, max_iter=20_000, tol=1e-3)
    model.fit(x[:, nonzero] / scale[nonzero], np.ones(len(x)))
    weights = np.zeros(x.shape[1])
    weights[nonzero] = model.coef_ / scale[nonzero]
    return weights


def perceptron_recipe(seed: int) -> Recipe:
    """Justus et al.: seconds of a layer from its features and the device's, summed; squared error of the log total."""

    def answer(inputs: Inputs, metric: str, train: Sequence[Mask]) -> list[ModelAnswer]:
        layers = layers_of(inputs)
        return [_perceptron(inputs, layers, metric, mask, seed) for mask in train]

    return answer


def _perceptron(inputs: Inputs, layers: Layers, metric: str, mask: Mask, seed: int) -> ModelAnswer:
    study = inputs.study
    x = torch.cat(
        [
            torch.from_numpy(np.log1p(layers.sizes)).float(),
            nn.functional.one_hot(torch.from_numpy(layers.kind), len(KINDS)).float(),
        ],
        dim=1,
    )
    devices = device_features(inputs)
    rows = np.flatnonzero(mask & layers.read[study.script])
    log_y = torch.from_numpy(np.log(study.metrics[metric][rows])).float()
    totals = _fit_totals(x, devices, layers, study, rows, log_y, seed)
    mean = np.array([np.log(study.metrics[metric][rows]).mean()])
    log = np.where(layers.read[study.script], totals[study.script, study.device], mean)
    return ModelAnswer(predicted=np.exp(log), wide=~layers.read[study.script])


def device_features(inputs: Inputs) -> Tensor:
    """What is published of each device type, as logarithms (D, 4); indicators (D, D) where a type has no data sheet."""
    types = [inputs.devices.get(name) for name in inputs.study.device_types]
    sheets = [t for t in types if t is not None]
    if len(sheets) < len(types):
        return torch.eye(len(types))
    sheet = [[t.fp32_flops, t.tensor_flops, t.bandwidth, t.memory_bytes] for t in sheets]
    return torch.tensor(sheet, dtype=torch.float64).log().float()


def _fit_totals(
    x: Tensor, devices: Tensor, layers: Layers, study: Dataset, rows: IntArray, log_y: Tensor, seed: int
) -> FloatArray:
    """Train on the labels `rows` and return the log of every script's total on every type (S, D)."""
    torch.manual_seed(seed)
    script, log_count = torch.from_numpy(layers.script), torch.from_numpy(np.log(layers.count)).float()
    train_layers = torch.from_numpy(np.isin(layers.script, study.script[rows]))
    train_types = torch.from_numpy(np.unique(study.device[rows]))
    x = (x - x[train_layers].mean(0)) / x[train_layers].std(0).clamp(min=1e-6)
    devices = (devices - devices[train_types].mean(0)) / devices[train_types].std(0, correction=0).clamp(min=1e-6)
    sizes = [x.shape[1] + devices.shape[1], *HIDDEN, 1]
    parts = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.Tanh())][:-1]
    network = nn.Sequential(*parts)
    offset = log_y.mean() - log_count.logsumexp(0) + math.log(len(study.scripts))

    def totals(layer_mask: Tensor, types: Tensor) -> Tensor:
        """Log-sum-exp over a script's layers: (S, D)."""
        layer_script = script[layer_mask]
        pairs = torch.cat(
            [
                x[layer_mask][:, None].expand(-1, len(types), -1),
                devices[types][None].expand(len(layer_script), -1, -1),
            ],
            dim=2,
        )
        log = network(pairs)[..., 0] + offset + log_count[layer_mask][:, None]
        top = log.detach().max()
        total = torch.zeros(len(study.scripts), len(types)).index_add(0, layer_script, (log - top).exp())
        result: Tensor = total.clamp(min=1e-30).log() + top
        return result

    row_script = torch.from_numpy(study.script[rows])
    row_type = torch.searchsorted(train_types, torch.from_numpy(study.device[rows]))
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = (totals(train_layers, train_types)[row_script, row_type] - log_y).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        log_totals: FloatArray = totals(torch.ones_like(train_layers), torch.arange(len(devices))).double().numpy()
    return log_totals
