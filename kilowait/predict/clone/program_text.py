"""The text of a program that makes the calls of a dry run, in loops as long as those that it was in."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kilowait.core.errors import InputError
from kilowait.predict.clone.recorded_call import recorded_call
from kilowait.predict.clone.typed_call import TensorSlot, TypedCall, typed_call
from kilowait.predict.dryrun.record import DryRun
from kilowait.predict.evaluations import COUNTED

HEAD = '''"""Written by kilowait clone: the operations of another program with their shapes, in loops as long as its.

No name, number or line of its source is in here; data are made up. Nothing is learned or printed.
"""

from array import array

import torch
{optimizer}
aten = torch.ops.aten
{device}torch.set_flush_denormal(True)
KINDS = {{1: "B", 2: "H", 4: "I", 8: "Q"}}
ONES = {{torch.float32: 0x3F000000, torch.float64: 0x3FE0000000000000, torch.float16: 0x3800, torch.bfloat16: 0x3F00}}


def made(shape, dtype, place="cpu", below=1, form=torch.contiguous_format):
    """A tensor of halves, or of integers below `below`."""
    count = 1
    for size in shape:
        count *= size
    if dtype.is_complex:
        part = made(shape, torch.float32 if dtype.itemsize == 8 else torch.float64)
        return torch.complex(part, part).to(place)
    unit = [ONES[dtype]] if dtype.is_floating_point else [i * 7919 % below for i in range(min(4096, max(count, 1)))]
    raw = (array(KINDS[dtype.itemsize], unit) * (max(count, 1) // len(unit) + 1))[: max(count, 1)]
    return torch.frombuffer(raw, dtype=dtype)[:count].reshape(shape).to(place, memory_format=form)


'''
OPTIMIZER = "import torch._dynamo  # noqa: F401 - as PyTorch does where an optimizer is made\n"
DEVICE = "device = 'cuda' if torch.cuda.is_available() else 'cpu'\n"
_FORMS = {4: "torch.channels_last", 5: "torch.channels_last_3d"}
MOST_CALLS = 20_000
"""Different calls that a text may have."""


@dataclass
class _Tensors:
    """The tensors of a program, each made once."""

    names: dict[TensorSlot, str] = field(default_factory=dict)

    def named(self, slots: Sequence[TensorSlot]) -> list[str]:
        """Their names in the text."""
        return [self.names.setdefault(slot, f"t{len(self.names)}") for slot in slots]

    def lines(self) -> Iterator[str]:
        """How they are made."""
        for slot, name in self.names.items():
            place = ", device" if slot.on_device else ""
            below = f", below={slot.below}" if slot.below > 1 and slot.dtype.startswith("int") else ""
            form = f", form={_FORMS[len(slot.shape)]}" if slot.layout and slot.stored == slot.shape else ""
            expanded = f".expand({slot.shape!r})" if slot.stored != slot.shape else ""
            yield f"{name} = made({slot.stored!r}, torch.{slot.dtype}{place}{below}{form}){expanded}"


def clone_text(run: DryRun) -> str:
    """The program; raises InputError for a dry run that is not whole, and for an operation that cannot be repeated."""
    _check(run)
    calls = [(round(op.count), typed_call(recorded_call(op))) for op in run.operations if op.count >= 0.5]
    tensors = _Tensors()
    body = [line for loop in _loops(calls, round(run.steps)) for line in _loop_lines(loop, tensors)]
    device = DEVICE if any(op.device == "cuda" for op in run.operations) else ""
    lines = [*tensors.lines(), "with torch.no_grad():", *(f"    {line}" for line in body)]
    optimizer = OPTIMIZER if run.steps else ""
    return HEAD.format(device=device, optimizer=optimizer) + "\n".join(lines) + "\n"


def _check(run: DryRun) -> None:
    if run.completeness not in COUNTED:
        raise InputError(f"the dry run is {run.completeness} ({run.reason[:200]}): a clone needs a whole one")
    if run.unbounded:
        raise InputError(
            f"nothing tells how long the program runs ({run.unbounded[:200]}): bound its loop and clone again"
        )
    if run.exchanges:
        raise InputError(
            "the program exchanges data with other processes, which a clone cannot; clone one process of it"
        )
    if not run.operations or len(run.operations) > MOST_CALLS:
        raise InputError(f"a clone has 1 to {MOST_CALLS:,} different operations, this program {len(run.operations):,}")


Loop = tuple[int, list[tuple[int, TypedCall]]]
ALIKE = 3
"""So many operations with one count make that count the length of a loop."""
MOST_IN_ONE = 64
"""Equal calls in one trip of a loop."""


def _loops(calls: Sequence[tuple[int, TypedCall]], steps: int) -> list[Loop]:
    """Trips, and the calls of each with how often they are made in one; a loop stands where its first call does."""
    frequent = {count for count, n in Counter(count for count, _ in calls).items() if n >= ALIKE} | {steps}
    loops: dict[int, Loop] = {}
    for count, call in calls:
        fitting = [n for n in frequent if n > 1 and count % n == 0 and count // n <= MOST_IN_ONE]
        trips = steps if steps in fitting else max(fitting, default=count)
        loops.setdefault(trips, (trips, []))[1].append((count // trips, call))
    return list(loops.values())


def _loop_lines(loop: Loop, tensors: _Tensors) -> Iterator[str]:
    trips, parts = loop
    if trips > 1:
        yield f"for _ in range({trips}):"
    indent = "    " if trips > 1 else ""
    for times, typed in parts:
        line = typed.call.text.format(*tensors.named(typed.slots))
        if times > 1:
            yield f"{indent}for _ in range({times}):"
        yield f"{indent}{'    ' if times > 1 else ''}{line}"
