"""Multilayer perceptrons trained several at a time: same shape, different rows, targets and seeds.

Ten folds of the paper's recipe are ten small networks whose arithmetic hides behind the overhead of a step. Here
every weight has a leading axis G (one network each), a step is one batched product, and a network that meets its
stopping rule leaves the stack with the weights it has. Each network draws from its own generator, so its
result depends on its seed alone and not on the company it was trained in.

Not covered: validation splits, learning-rate schedules, sparse inputs.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from kilowait.core.errors import InputError

CPU_STACK = 4
"""Networks a stack on a CPU: beyond about four of the paper's, their weights fall out of the cache."""
GPU_STACK = 64
"""Networks a stack on a GPU."""
MOMENTUM = 0.1
"""Of the running batch-norm statistics; PyTorch's default, as the paper names no other."""
EPSILON = 1e-5
"""Added to a variance before its root; PyTorch's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MLPConfig:
    """Shape and training of a network: linear, batch norm, ReLU, dropout for each hidden width, then linear.

    Training minimises the mean squared error plus `l1` times the sum of the absolute linear weights with AdamW.
    It stops after `max_epochs`, or when for `patience` epochs running the epoch's objective has not fallen by
    more than `min_fall` below the best so far; the last weights are kept.
    """

    hidden: tuple[int, ...] = (1024, 30)
    batch_norm: bool = True
    dropout: float = 0.0
    batch_size: int = 8
    max_epochs: int = 2000
    learning_rate: float = 1e-4
    weight_decay: float = 0.001
    l1: float = 1e-5
    patience: int = 30
    min_fall: float = 0.001

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_epochs", "patience"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be >= 1, got {getattr(self, name)!r}")
        if any(width < 1 for width in self.hidden):
            raise InputError(f"hidden widths must be >= 1, got {self.hidden!r}")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout must be in [0, 1), got {self.dropout!r}")
        for name in ("learning_rate", "weight_decay", "l1", "min_fall"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise InputError(f"{name} must be finite and >= 0, got {getattr(self, name)!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One network to train: inputs (N, d), targets (N,) and the seed of its weights, order and dropout."""

    x: Tensor
    y: Tensor
    seed: int


Weights = dict[str, Tensor]
"""Weights of G networks: w0 (G, in, out), b0 (G, out), and per hidden layer with batch norm its
scale g0, shift h0, running mean m0 and variance v0 (G, width)."""


def train(config: MLPConfig, tasks: Sequence[Task], device: str = "cpu") -> list[Weights]:
    """Train one network a task; returns the weights of each, with G = 1, on the CPU.

    Raises InputError when a task has fewer than two rows: batch norm needs two to have a variance.
    """
    results: dict[int, Weights] = {}
    with _one_thread():
        for members in _stacks(tasks, CPU_STACK if device == "cpu" else GPU_STACK):
            stack = _Stack(config, [tasks[i] for i in members], device)
            results |= {members[slot]: weights for slot, weights in stack.run()}
    return [results[i] for i in range(len(tasks))]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Products this small gain nothing from a second thread, and wait for it whenever another process has its core.

    Measured on 1, 2 and 4 of the paper's networks on two cores with other work on them: one thread was 4.4, 1.1 and
    4.6 times as fast as two.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _stacks(tasks: Sequence[Task], most: int) -> Iterator[list[int]]:
    """Indexes of tasks of equal shape, at most `most` together."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, task in enumerate(tasks):
        if task.x.shape[0] < 2:
            raise InputError(f"a probe needs at least 2 rows to train on, got {task.x.shape[0]}")
        by_shape.setdefault(tuple(task.x.shape), []).append(index)
    for members in by_shape.values():
        for start in range(0, len(members), most):
            yield members[start : start + most]


def initial_weights(config: MLPConfig, inputs: int, seed: int) -> Weights:
    """PyTorch's default start of a linear layer, U(-1/sqrt(in), 1/sqrt(in)), for one network (G = 1)."""
    generator = torch.Generator().manual_seed(seed)
    weights: Weights = {}
    widths = [inputs, *config.hidden, 1]
    for layer, (a, b) in enumerate(pairwise(widths)):
        bound = 1 / math.sqrt(a)
        weights[f"w{layer}"] = (torch.rand(1, a, b, generator=generator) * 2 - 1) * bound
        weights[f"b{layer}"] = (torch.rand(1, b, generator=generator) * 2 - 1) * bound
        if config.batch_norm and layer < len(config.hidden):
            for name, fill in (("g", 1.0), ("h", 0.0), ("m", 0.0), ("v", 1.0)):
                weights[f"{name}{layer}"] = torch.full((1, b), fill)
    return weights


def forward(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """What G trained networks answer: x (G, N, d) -> (G, N)."""
    depth = sum(name.startswith("w") for name in weights)
    for layer in range(depth):
        x = torch.baddbmm(weights[f"b{layer}"].unsqueeze(1), x, weights[f"w{layer}"])
        if layer == depth - 1:
            break
        if f"g{layer}" in weights:
            mean, var, scale, shift = (weights[f"{name}{layer}"].unsqueeze(1) for name in "mvgh")
            x = (x - mean) * torch.rsqrt(var + EPSILON) * scale + shift
        x = x.relu()
    return x.squeeze(2)


class _StackedLinear(torch.autograd.Function):
    """x (G, B, in) @ w (G, in, out) + b, whose backward adds w's gradient into w.grad where it lies.

    Autograd would allocate megabytes for it at every step, and fresh memory costs more than the product itself.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        """The product; keeps what backward needs."""
        ctx.save_for_backward(x, w)
        return torch.baddbmm(b.unsqueeze(1), x, w)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, None, Tensor]:
        """Gradients of x and b; w's goes straight into w.grad."""
        (grad,) = grads
        x, w = ctx.saved_tensors
        w.grad.baddbmm_(x.mT, grad)
        return (grad @ w.mT if ctx.needs_input_grad[0] else None), None, grad.sum(1)


class _Stack:
    """G networks in training; `run` yields each as it stops."""

    def __init__(self, config: MLPConfig, tasks: Sequence[Task], device: str) -> None:
        self.config = config
        self.slots = list(range(len(tasks)))
        self.x = torch.stack([task.x for task in tasks]).to(device)
        self.y = torch.stack([task.y for task in tasks]).to(device)
        starts = [initial_weights(config, self.x.shape[2], task.seed) for task in tasks]
        self.weights = {name: torch.cat([s[name] for s in starts]).to(device) for name in starts[0]}
        # not the seed of the weights: the order of the rows would repeat the weights' draws
        self.orders = [torch.Generator().manual_seed(task.seed + 1_000_003) for task in tasks]
        self.best = torch.full((len(tasks),), math.inf)
        self.stale = torch.zeros(len(tasks), dtype=torch.int64)
        self._optimise({})

    @property
    def trained(self) -> dict[str, Tensor]:
        """The tensors AdamW moves: everything but the running statistics."""
        return {name: t for name, t in self.weights.items() if name[0] not in "mv"}

    def _optimise(self, state: dict[str, dict[str, Tensor]]) -> None:
        """A fresh optimiser over the current tensors that carries on from `state` (name -> moments)."""
        for tensor in self.trained.values():
            tensor.requires_grad_()
            tensor.grad = torch.zeros_like(tensor)
        self.optimiser = torch.optim.AdamW(
            list(self.trained.values()),
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
            fused=True,
        )
        for name, moments in state.items():
            self.optimiser.state[self.weights[name]] = moments

    def run(self) -> Iterator[tuple[int, Weights]]:
        """Train until every network has stopped; yields (slot, weights) as they do."""
        for _ in range(self.config.max_epochs):
            objective = self._epoch()
            fell = objective < self.best - self.config.min_fall
            self.best = torch.where(fell, objective, self.best)
            self.stale = torch.where(fell, 0, self.stale + 1)
            stopped = self.stale >= self.config.patience
            if stopped.any():
                yield from self._weights_of(stopped)
                self._keep(~stopped)
            if not self.slots:
                return
        yield from self._weights_of(torch.ones(len(self.slots), dtype=torch.bool))

    def _epoch(self) -> Tensor:
        """One pass over the rows in each network's own order; returns the mean objective of each (G,)."""
        rows = self.x.shape[1]
        order = torch.stack([torch.randperm(rows, generator=g) for g in self.orders]).to(self.x.device)
        lane = torch.arange(len(self.slots), device=self.x.device).unsqueeze(1)
        total, row_count = torch.zeros(len(self.slots), device=self.x.device), 0
        for start in range(0, rows, self.config.batch_size):
            batch = order[:, start : start + self.config.batch_size]
            if batch.shape[1] == 1 and rows > 1:
                continue  # a lone row has no variance for batch norm; another epoch's order takes it in
            total += self._step(self.x[lane, batch], self.y[lane, batch]) * batch.shape[1]
            row_count += batch.shape[1]
        penalty = sum(self.weights[n].detach().abs().sum((1, 2)) for n in self.weights if n[0] == "w")
        return (total / row_count + self.config.l1 * penalty).cpu()

    def _step(self, x: Tensor, y: Tensor) -> Tensor:
        """One AdamW step on a batch x (G, B, d), y (G, B); returns each network's squared error (G,)."""
        for name, tensor in self.trained.items():
            assert tensor.grad is not None
            if name[0] == "w":  # the gradient of the L1 term is the starting point of the sum
                tensor.grad.copy_(tensor.detach()).sign_().mul_(self.config.l1)
            else:
                tensor.grad.zero_()
        errors = (self._forward(x) - y).square().mean(1)
        errors.sum().backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return errors.detach()

    def _forward(self, x: Tensor) -> Tensor:
        """The training pass: batch statistics, dropout. x (G, B, d) -> (G, B)."""
        for layer in range(len(self.config.hidden)):
            x = _StackedLinear.apply(x, self.weights[f"w{layer}"], self.weights[f"b{layer}"])  # type: ignore[no-untyped-call]
            x = self._normalise(x, layer).relu() if self.config.batch_norm else x.relu()
            x = self._drop(x)
        last = len(self.config.hidden)
        output: Tensor = _StackedLinear.apply(x, self.weights[f"w{last}"], self.weights[f"b{last}"])  # type: ignore[no-untyped-call]
        return output.squeeze(2)

    def _normalise(self, x: Tensor, layer: int) -> Tensor:
        """Batch norm of each network's units over its own batch: the G x width units are one wide layer."""
        count, rows, width = x.shape
        mean, var, scale, shift = (self.weights[f"{name}{layer}"].view(-1) for name in "mvgh")
        flat = x.transpose(0, 1).reshape(rows, count * width)
        flat = functional.batch_norm(flat, mean, var, scale, shift, True, MOMENTUM, EPSILON)
        return flat.view(rows, count, width).transpose(0, 1)

    def _drop(self, x: Tensor) -> Tensor:
        """Dropout with each network's own generator, so that a seed means one result."""
        if self.config.dropout == 0:
            return x
        keep = torch.stack([torch.rand(x.shape[1:], generator=g) for g in self.orders]) >= self.config.dropout
        return x * keep.to(x.device) / (1 - self.config.dropout)

    def _weights_of(self, mask: Tensor) -> Iterator[tuple[int, Weights]]:
        for row in mask.nonzero().flatten().tolist():
            weights = {n: t.detach()[row : row + 1].cpu().clone() for n, t in self.weights.items()}
            yield self.slots[row], weights

    def _keep(self, mask: Tensor) -> None:
        """Drop the networks that stopped, with their rows, generators and optimiser moments."""
        self.slots = [slot for slot, keep in zip(self.slots, mask, strict=True) if keep]
        if not self.slots:
            return
        self.orders = [order for order, keep in zip(self.orders, mask, strict=True) if keep]
        self.best, self.stale = self.best[mask], self.stale[mask]
        mask = mask.to(self.x.device)
        self.x, self.y = self.x[mask], self.y[mask]
        state = {name: self.optimiser.state[t] for name, t in self.trained.items()}
        self.weights = {name: t.detach()[mask].clone() for name, t in self.weights.items()}
        self._optimise(
            {n: {k: v if k == "step" else v[mask] for k, v in moments.items()} for n, moments in state.items()}
        )
