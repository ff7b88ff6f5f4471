"""Recurrent layers are one operator of known work in a dry run for a GPU. Runs in a child: pretending has no way back."""

import subprocess
import sys

PROGRAM = """
import torch
from kilowait.predict.dryrun.pretend import pretend_gpu
pretend_gpu()
from kilowait.predict.dryrun.trace import Recorder, tracing
recorder = Recorder()
with tracing(recorder), torch.no_grad():
    layer = torch.nn.{layer}.to("cuda")
    out, end = layer(torch.randn(64, 10, 128, device="cuda"))
    print(tuple(out.shape), tuple((end[0] if isinstance(end, tuple) else end).shape))
for o in recorder.operations():
    if o.kind == "recurrent":
        print(o.op, o.count, o.flops, o.attributes)
"""


def said(layer: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM.format(layer=layer)], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_two_layers_of_lstm() -> None:
    # 640 rows; 4 * 256 gates: 128 and 256 inputs in the first layer, 256 and 256 in the second
    flops = 2 * 640 * 1024 * (128 + 256 + 256 + 256)
    assert said("LSTM(128, 256, num_layers=2)") == [
        "(64, 10, 256) (2, 10, 256)",
        f'kilowait.recurrence 1.0 {float(flops)} ["T", "T", "T*8", 256, 64, 2]',
    ]


def test_a_gru_in_both_directions_batch_first() -> None:
    # 640 rows; two directions of 3 * 32 gates from 128 and 32 inputs; 10 steps of 64 samples
    flops = 2 * 640 * 2 * 96 * (128 + 32)
    assert said("GRU(128, 32, bidirectional=True, batch_first=True)") == [
        "(64, 10, 64) (2, 64, 32)",
        f'kilowait.recurrence 1.0 {float(flops)} ["T", "T", "T*8", 64, 10, 2]',
    ]
