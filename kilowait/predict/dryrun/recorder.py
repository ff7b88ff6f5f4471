"""Watch a program's operations on tensors that hold no data.

`tracing(recorder)` puts PyTorch under FakeTensorMode: shapes, types and devices are exact and nothing is computed. The
recorder sees every operator after autograd, so backward passes and optimizers count too. Where a program asks for the
value of a tensor, `recorder.scalar` is the answer.

Not covered: who runs the program, and in which sandbox; loops (the recorder's tallies are for them).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import isclose
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, UnsupportedOperatorException
from torch.utils._python_dispatch import TorchDispatchMode

from kilowait.predict.dryrun.child.operator_facts import DEVICE, facts_of
from kilowait.predict.dryrun.child.quick_tensors import LIFT, lifted
from kilowait.predict.dryrun.child.speed_settings import precision_of, tries_algorithms
from kilowait.predict.dryrun.child.values_said import mark_chance, mark_doubt, same_said, value_said
from kilowait.predict.dryrun.distributed.exchanges import EXCHANGES, exchange
from kilowait.predict.dryrun.formulas import flops_of
from kilowait.predict.dryrun.loops.loop_ends import LoopEnds
from kilowait.predict.dryrun.loops.unknown import SOME
from kilowait.predict.dryrun.memory import OperatorMemory
from kilowait.predict.dryrun.operators import kernels_of, kind_of
from kilowait.predict.dryrun.record import Kind, Operation
from kilowait.predict.dryrun.sizes import sized
from kilowait.predict.dryrun.standins.packages.custom_operators import guessed_result
from kilowait.predict.dryrun.standins.packages.unmodelled_calls import UnmodelledCalls
from kilowait.predict.dryrun.tally import Key, Tallies
from kilowait.predict.dryrun.tensor_memory.storages import StorageWatch
from kilowait.predict.dryrun.tensors import (
    CUDA,
    META,
    attributes_of,
    bytes_of,
    crosses,
    device_of,
    dtype_of,
    layout_of,
    tensors_in,
    told,
    unfolds,
)
from kilowait.predict.dryrun.values import keep, remember

MOST_LINES, LONGEST_LINE = 50, 300
"""Of what is said to the user: lines, and characters of each."""


@dataclass
class _Cost:
    """What one call costs, and what it is called in the record."""

    flops: float
    read: float
    written: float
    kernels: int
    kind: str
    attributes: str


@dataclass
class Recorder:
    """Adds up what a program does.

    Whoever shortens a loop opens a tally an item and settles it under its weight. `scalar` is what the value of any
    tensor is said to be. `guesses` are the reasons why the record is not whole. `bodies` are the program's
    own operators by name, `unmodelled` those whose time is missing. `tensors` follows their memory. While `muted` is
    above zero nothing is counted; `stopping` is set when the program is being ended from outside, and `decisions`
    counts how often it asked whether a tensor holds true.
    `assumed` are the sizes that the user gave; `assumptions`, `missing` and `unset` are for the user to read.

    `unknown_answers` counts the values that were asked for and are not known, `built` parameters that were made.
    `read` are the parameters that were computed with. `ends` is what tells how long the program goes on.
    `world` is of how many ranks it is one, 0 until it makes a process group. `labels` says by rows of a data set whose
    labels are a tensor how many classes they have.
    """

    target: str = "cuda"
    scalar: float = SOME
    parameters: float = 0.0
    guesses: dict[str, None] = field(default_factory=dict)
    bodies: dict[str, Any] = field(default_factory=dict)
    muted: int = 0
    stopping: bool = False
    decisions: int = 0
    unknown_answers: int = 0
    built: int = 0
    ends: LoopEnds = field(default_factory=LoopEnds)
    assumed: Mapping[str, str] = field(default_factory=dict)
    assumptions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, None] = field(default_factory=dict)
    unmodelled: UnmodelledCalls = field(default_factory=UnmodelledCalls)
    unset: dict[str, None] = field(default_factory=dict)
    world: int = 0
    labels: dict[int, int] = field(default_factory=dict)
    tallies: Tallies = field(default_factory=Tallies)
    flops: dict[Key, float] = field(default_factory=dict)
    read: set[int] = field(default_factory=set)
    _costs: dict[Key, _Cost] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tensors = StorageWatch(self.target)

    @property
    def steps(self) -> float:
        """Optimizer steps of the loops that have ended; sums of weights that are a whole number are that number."""
        steps = self.tallies.root.steps
        return float(round(steps)) if isclose(steps, round(steps), rel_tol=1e-9) else steps

    def operations(self) -> tuple[Operation, ...]:
        """Everything settled so far, equal calls together, in the order of their first call."""
        counts = self.tallies.root.counts
        return tuple(_operation(key, cost, counts[key]) for key, cost in self._costs.items() if counts.get(key))

    def see(self, op: str, inputs: list[Tensor], outputs: list[Tensor], attributes: Any, flops: Any) -> None:
        """Count one call of an operator that moves data; `flops` is a function, asked for the first of equal calls."""
        shapes, device = tuple(tuple(t.shape) for t in inputs), device_of(inputs, outputs)
        dtype, backward = dtype_of(inputs, outputs), torch._C._current_autograd_node() is not None
        settings = (precision_of(op, dtype), tries_algorithms(op)) if device == "cuda" else ("", False)
        key = (op, dtype, device, shapes, _without_floats(attributes), layout_of(inputs), backward, *settings)
        if key not in self._costs:
            self._costs[key] = _Cost(
                flops=flops(),
                read=bytes_of(inputs),
                written=bytes_of(outputs),
                kernels=kernels_of(op, len(inputs)),
                kind=Kind.TRANSFER if kind_of(op) == Kind.COPY and crosses(inputs, outputs) else kind_of(op),
                attributes=json.dumps(attributes, default=str),
            )
            self.flops[key] = self._costs[key].flops
        self.tallies.count(key)
        leaves = {id(t) for t in inputs if getattr(t, "_is_param", False)}
        if leaves:
            self.tallies.open.leaves |= leaves
            if torch.is_grad_enabled():
                self.read |= leaves

    def guess(self, reason: str) -> None:
        """Something that the record rests on is not known."""
        self.guesses[reason] = None

    def assume(self, line: str, how: str = "catalogue") -> None:
        """One line for the user: something that the record rests on; `how` it is known is one of `record.HOW`."""
        if len(self.assumptions) < MOST_LINES:
            self.assumptions.setdefault(line[:LONGEST_LINE], how)

    def decide(self) -> None:
        """The program asks for a value that is not known, to do one thing or another."""
        self.decisions += 1

    def lack(self, line: str) -> None:
        """One line for the user: something whose time is not in the record."""
        _add(self.missing, line)

    def unset_variable(self, name: str) -> None:
        """The program read an environment variable that is not there."""
        _add(self.unset, name)


def _add(lines: dict[str, None], line: str) -> None:
    """Note a line once; lists that people read have an end."""
    if len(lines) < MOST_LINES:
        lines[line[:LONGEST_LINE]] = None


def _operation(key: Key, cost: _Cost, count: float) -> Operation:
    return Operation(
        op=key[0],
        dtype=key[1],
        device=key[2],
        shapes=json.dumps(key[3]),
        layout=key[5],
        backward=key[6],
        precision=key[7],
        tuned=key[8],
        attributes=cost.attributes,
        kind=cost.kind,
        count=count,
        flops=cost.flops,
        bytes_read=cost.read,
        bytes_written=cost.written,
        kernels=cost.kernels,
    )


def _without_floats(value: Any) -> Any:
    """Attributes as a key: learning rates and the like differ with every step and cost the same."""
    if type(value) is float:
        return "float"
    return tuple(_without_floats(v) for v in value) if isinstance(value, list) else str(value)


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hands every operator to the recorder, on top of the fake mode which makes the results."""

    def __init__(self, recorder: Recorder, mode: FakeTensorMode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recorder, self.mode = recorder, mode
        self.memory = OperatorMemory()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """PyTorch would wrap every call to keep its compiler out, which never looks here; the wrapper costs more."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is DEVICE and type(args[0]) is FakeTensor:  # two in three calls are these
            return told(args[0].fake_device)
        if any(map(unfolds, types)):
            return NotImplemented
        if func is DEVICE:
            return told(func(*args))
        if func is LIFT and (made := lifted(self.mode, args[0])) is not None:
            keep(made, args[0])
            self.recorder.tensors.follow([] if self.recorder.muted else [made])
            return made
        operator = facts_of(func)
        if operator.composite:  # only in inference mode: elsewhere its parts come here
            with self:
                return func.decompose(*args, **(kwargs or {}))
        if (body := self.recorder.bodies.get(operator.name)) is not None:  # an operator of the program's own
            with self:
                return body(*args, **(kwargs or {}))
        kwargs = dict(kwargs or {})
        if kwargs.get("device") == META:
            kwargs["device"] = CUDA
        if func.namespace in EXCHANGES:
            return exchange(self.recorder, func, args, kwargs)
        op = operator.op
        if op == "aten._local_scalar_dense":
            return value_said(self.recorder, args[0])
        if op in ("aten.equal", "aten.allclose"):
            return same_said(self.recorder, func, args, kwargs)
        inputs = tensors_in((args, kwargs))
        result = sized(func, args, kwargs, self.recorder.guess)
        if result is NotImplemented:
            result = self._called(func, args, kwargs)
        remember(func, inputs, args, kwargs, result)
        mark_doubt(op, inputs, args, result)
        mark_chance(op, inputs, args, result)
        if self.recorder.muted == 0:
            outputs = tensors_in(result)
            if operator.counted:
                flops = partial(_flops, func, args, kwargs, result)
                self.recorder.see(op, inputs, outputs, attributes_of(args, kwargs), flops)
            self.recorder.tensors.called(op, inputs, outputs)
        return result

    def _called(self, func: Any, args: Any, kwargs: Any) -> Any:
        try:
            return self.memory.call(func, args, kwargs)
        except UnsupportedOperatorException:
            return guessed_result(self.recorder, func, args, kwargs)


@contextmanager
def tracing(recorder: Recorder) -> Iterator[FakeTensorMode]:
    """Run what is inside on tensors without data, and record it."""
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    fake.cache_enabled = False  # memory.py remembers what it would, for less
    with fake, _Watch(recorder, fake):
        yield fake


def _flops(func: Any, args: Any, kwargs: Any, result: Any) -> float:
    return flops_of(func, args, kwargs, result, max((t.numel() for t in tensors_in((args, kwargs, result))), default=0))
