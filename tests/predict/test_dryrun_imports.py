"""A program of several files does in its dry run what the same program in one file does."""

import pytest

from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import Completeness
from kilowait.predict.dryrun.sandbox import sandbox_available

REASON = sandbox_available()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))
STEPS, EPOCHS = 50_000, 3
NETWORK = """\
from torch import nn

class Net(nn.Module):
    def __init__(self, layers=3):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(32, 32) for _ in range(layers)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).relu()
        return x
"""
ENGINE = f"""\
import torch

def train_one_epoch(model, optimizer):
    seen = 0
    for step in range({STEPS}):
        loss = model(torch.randn(16, 32)).square().mean()
        loss.backward()
        if step % 4 == 3:
            optimizer.step()
            optimizer.zero_grad()
        seen += 16
    return seen
"""
TRAIN = f"""\
model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
total = 0
for epoch in range({EPOCHS}):
    total += train_one_epoch(model, optimizer)
assert total == 16 * {EPOCHS} * {STEPS}, total
"""
ONE = {"train.py": "import torch\n" + NETWORK + ENGINE + TRAIN}
SEVERAL = {
    "train.py": "import torch\nfrom lab.engine import train_one_epoch\nfrom lab.models import Net\n" + TRAIN,
    "lab/__init__.py": "",
    "lab/engine.py": "from .models import Net\n" + ENGINE,
    "lab/models/__init__.py": "from .net import Net\n",
    "lab/models/net.py": NETWORK,
}


@pytest.fixture(scope="module")
def runner():
    with DryRunner(budget_s=120, target="cpu") as runner:
        yield runner


def dry(runner, files):
    packed = {path: text.encode() for path, text in files.items()}
    return runner.run_program(DryProgram(files=packed, entrypoint="train.py", content_hash="1"))


def test_loops_of_imported_modules_are_shortened_too(runner):
    one, several = dry(runner, ONE), dry(runner, SEVERAL)
    assert several.completeness == Completeness.WHOLE, several.reason
    assert several.steps == one.steps == EPOCHS * STEPS // 4

    def work(run):
        return sorted((op.op, op.count, op.flops, op.shapes, op.attributes) for op in run.operations)

    assert work(several) == work(one)
    # three layers: forward, gradients of weights, gradients of inputs but for the first layer's
    products = sum(op.count * op.flops for op in several.operations if op.kind == "gemm")
    assert products == pytest.approx((3 + 3 + 2) * EPOCHS * STEPS * 2 * 16 * 32 * 32, rel=0.01)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"train.py": "import engine\n", "engine.py": "for x in (1, 2:\n"}, "SyntaxError"),
        ({"train.py": "import engine\n", "engine.py": "import nowhere_to_be_found\n"}, "nowhere_to_be_found"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named(runner, files, reason):
    run = dry(runner, files)
    assert run.completeness == Completeness.FAILED
    assert reason in run.reason
