"""Clones: the same operations with nothing of the source, what is refused, and that no record can smuggle text in."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kilowait.cli.main import main
from kilowait.core.errors import InputError
from kilowait.predict.clone.likeness import likeness
from kilowait.predict.clone.program_text import clone_text
from kilowait.predict.clone.recorded_call import recorded_call
from kilowait.predict.clone.typed_call import typed_call
from kilowait.predict.dryrun.record import Kind, Operation
from kilowait.predict.dryrun.sandbox import sandbox_available
from tests.support.operation_world import copy_run, product, whole_run

REASON = sandbox_available()
needs_sandbox = pytest.mark.skipif(REASON is not None, reason=str(REASON))

SECRET = """
import torch
from torch import nn

class SecretNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(50, 16)
        self.head = nn.Linear(16, 7)
    def forward(self, x):
        return self.head(self.words(x).mean(1) * 0.731)

network = SecretNetwork()
optimizer = torch.optim.AdamW(network.parameters(), lr=0.0317)
for step in range(30):
    x, y = torch.randint(3, 49, (8, 12)), torch.randint(0, 7, (8,))
    loss = nn.functional.cross_entropy(network(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


def operation(op: str, shapes: str, attributes: str, read: float = 0.0, written: float = 0.0) -> Operation:
    return replace(
        product(4), op=op, kind=Kind.OTHER, shapes=shapes, attributes=attributes, bytes_read=read, bytes_written=written
    )


@needs_sandbox
def test_a_clone_does_the_same_and_says_nothing_of_its_source(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source, out = tmp_path / "secret.py", tmp_path / "clone.py"
    source.write_text(SECRET)
    assert main(["clone", str(source), "--device", "cpu", "--out", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["operators"], report["calls"]) == (pytest.approx(0), report["cloned_calls"])
    assert report["flops_ratio"] == report["bytes_ratio"] == pytest.approx(1)
    text = out.read_text()
    assert "for _ in range(30):" in text
    assert not [word for word in ("ecret", "0.0317", "0.731", "49", "network", "AdamW", "words") if word in text]
    subprocess.run([sys.executable, str(out)], check=True)


@pytest.mark.parametrize(
    ("op", "shapes", "attributes", "message"),
    [
        ("aten.from_file", "[]", '["/etc/passwd"]', "no operator of PyTorch that can be repeated"),
        ("mine.scan", "[[4]]", '["T"]', "no operator of PyTorch that can be repeated"),
        ("aten.relu(x); import os #", "[[4]]", '["T"]', "no operator of PyTorch that can be repeated"),
        ("aten.upsample_nearest2d", "[[4]]", '["T", "__import__"]', "cannot be cloned"),
        ("aten.gelu", "[[4]]", '["T", ["approximate", "\\"+evil"]]', "an argument is"),
        ("aten.relu", "[[4], [4]]", '["T"]', "does not say where its tensors go"),
        ("aten.relu", "[]", '["T"]', "lacks the shape of a tensor"),
        ("aten.mul", "[[4]]", '["T", NaN]', "an argument is 'nan'"),
        ("aten.mm", "[[4, 5], [4, 5]]", '["T", "T"]', "does not run on tensors of the recorded shapes"),
    ],
)
def test_a_record_that_is_no_call_is_refused(op: str, shapes: str, attributes: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        typed_call(recorded_call(operation(op, shapes, attributes)))


def test_what_is_not_whole_is_refused() -> None:
    run = whole_run("p", product(4))
    for changed, message in (
        (replace(run, completeness="partial", reason="it was cut"), "partial .it was cut.: a clone needs a whole one"),
        (replace(run, unbounded="no end"), "nothing tells how long the program runs .no end."),
        (replace(run, operations=()), "1 to 20,000 different operations, this program 0"),
    ):
        with pytest.raises(InputError, match=message):
            clone_text(changed)


@pytest.mark.parametrize(
    ("op", "shapes", "attributes", "read", "written", "types"),
    [
        ("aten.nll_loss_forward", [[64, 10], [64]], ["T", "T", None, 1, -100], 3072, 8, ["float32", "int64"]),
        ("aten.where", [[6], [6], [6]], ["T", "T", "T"], 54, 24, ["bool", "float32", "float32"]),
        ("aten.addcmul_", [[6], [6], [6]], ["T", "T", "T", ["value", 0.1]], 48, 24, ["float32"] * 3),
    ],
)
def test_types_follow_from_the_bytes(op, shapes, attributes, read, written, types) -> None:
    recorded = operation(op, json.dumps(shapes), json.dumps(attributes), read, written)
    slots = typed_call(recorded_call(recorded)).slots
    assert [slot.dtype for slot in slots] == types
    assert len(set(slots)) == {"aten.nll_loss_forward": 2, "aten.where": 3, "aten.addcmul_": 2}[op]


def test_loops_are_as_long_as_those_of_the_program() -> None:
    often, twice, once = (replace(product(side), count=count) for side, count in ((8, 40.0), (4, 80.0), (16, 1.0)))
    text = clone_text(replace(whole_run("p", once, often, twice), steps=40.0))
    body = [line.strip() for line in text.partition("torch.no_grad():\n")[2].splitlines()]
    assert [line for line in body if line.startswith("for")] == ["for _ in range(40):", "for _ in range(2):"]


def test_likeness_by_hand() -> None:
    run = whole_run("p", *copy_run("a", 100).operations, product(4))
    other = whole_run("q", *copy_run("a", 100).operations, replace(product(4), count=3.0))
    found = likeness(run, other)
    assert (found.operators, found.alike) == (pytest.approx(0.25), True)  # halves against a quarter, of few calls
    assert found.flops_ratio == pytest.approx((100 + 3 * 128) / (100 + 128))
    assert likeness(run, run).flops == 0
