"""The stand-in for PyTorch's compiler: what it spares, and that whoever asks for more has the real one."""

import subprocess
import sys

import pytest

STEP = """
import sys
import torch
from kilowait.predict.dryrun.child.no_compiler import leave_compiler_out
leave_compiler_out()
with torch._subclasses.FakeTensorMode():
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.tensor([[1.0, 2.0, 3.0]])).sum().backward()
    optimizer.step()
assert "torch._dynamo.eval_frame" not in sys.modules
torch._dynamo.config.suppress_errors = True
"""
REAL = """
assert "torch._dynamo.eval_frame" in sys.modules
assert torch._dynamo is sys.modules["torch._dynamo"]
assert torch.compile(lambda x: 2 * x, backend="eager")(torch.ones(2)).tolist() == [2, 2]
"""


@pytest.mark.parametrize(
    "asked",
    [
        "torch._dynamo.reset()",
        "from torch._dynamo import optimize",
        "import torch._dynamo.utils as utils; assert utils is torch._dynamo.utils; assert utils.__spec__.origin",
    ],
)
def test_whoever_asks_for_more_than_a_flag_has_the_real_compiler(asked: str) -> None:
    subprocess.run([sys.executable, "-c", STEP + asked + REAL], check=True)
