"""Small programs that tell a board: what they are, and how long one step of each takes on the GPU of this machine."""

import json
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from kilowait.core.errors import KilowaitError

PROGRAM = '''\
import json, statistics, sys, time
import torch
from torch.nn import functional

def made(kind, size):
    """One step of a kind, to be called, and the tensors that it reads: making them is no part of it."""
    def empty(*shape, dtype=torch.float32):
        return torch.empty(*shape, dtype=dtype, device="cuda")
    model = None
    if kind == "launches":
        x = empty(64)
        def step():
            for _ in range(size):
                x.add_(1)
    elif kind == "layers":
        layers = [torch.nn.Linear(256, 256, device="meta") for _ in range(8)]
        model, x = torch.nn.Sequential(*layers).to_empty(device="cuda"), empty(size, 256)
        def step():
            model.zero_grad()
            model(x).sum().backward()
    elif kind == "convolution":
        model = torch.nn.Conv2d(64, 64, 3, padding=1, device="meta").to_empty(device="cuda")
        x = empty(size, 64, 56, 56)
        def step():
            with torch.no_grad():
                model(x)
    elif kind in ("product", "half"):
        x = empty(size, size, dtype=torch.float16 if kind == "half" else torch.float32)
        def step():
            x @ x
    elif kind == "copy":
        x = empty(size)
        def step():
            x.clone()
    else:
        x = empty(size, 1024)
        def step():
            functional.softmax(x, -1) if kind == "softmax" else functional.layer_norm(x, (1024,))
    return step, [x, *([] if model is None else model.parameters())]

def seconds(step, tensors, least=20, most_s=0.5):
    """The median of steps that are waited for one by one, after three that are not counted."""
    with torch.no_grad():
        for tensor in tensors:
            tensor.normal_(0, 0.01)
    found, end = [], time.perf_counter() + most_s
    while len(found) < least + 3 or time.perf_counter() < end:
        torch.cuda.synchronize()
        begin = time.perf_counter()
        step()
        torch.cuda.synchronize()
        found.append(time.perf_counter() - begin)
    return statistics.median(found[3:])

if sys.argv[1] == "--time":
    times = [seconds(*made(kind, size)) for kind, size in json.loads(sys.argv[2])]
    print(json.dumps({"board": torch.cuda.get_device_name(), "seconds": times}))
else:
    made(sys.argv[1], int(sys.argv[2]))[0]()
'''


class BoardStep(NamedTuple):
    """A kind of work and its size, the two arguments of `PROGRAM`."""

    kind: str
    size: int


SIZES = {
    "launches": (20, 50, 100, 200),
    "layers": (8, 32, 128),
    "product": (512, 1024, 2048, 4096),
    "half": (1024, 2048, 4096, 8192),
    "convolution": (8, 32, 128),
    "copy": (1 << 20, 1 << 24, 1 << 27),
    "softmax": (1 << 10, 1 << 14, 1 << 17),
    "norm": (1 << 10, 1 << 14, 1 << 17),
}
STEPS = tuple(BoardStep(kind, size) for kind, sizes in SIZES.items() for size in sizes)
LIMIT_S = 600.0


def measured_steps(interpreter: Sequence[str], steps: Sequence[BoardStep]) -> tuple[str, list[float]]:
    """The driver's name of the board, and seconds of each step, by an interpreter (a command) that has PyTorch.

    Raises KilowaitError where they cannot be run, with the last line of what was said.
    """
    command = [*interpreter, "-c", PROGRAM, "--time", json.dumps(steps)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise KilowaitError(f"{interpreter[0]} did not measure the board: no answer within {LIMIT_S:g} s") from None
    except OSError as error:
        raise KilowaitError(f"{interpreter[0]} did not measure the board: {error}") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise KilowaitError(f"{interpreter[0]} could not measure the board: {said}")
    found = json.loads(done.stdout.splitlines()[-1])
    return found["board"], found["seconds"]
