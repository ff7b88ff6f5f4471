# ruff: noqa: E501 - the programs are written as people write them
"""Programs that fail, ask for values or lean on the machine: what a dry run makes of them, and says."""

import pytest

from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import Completeness, DryRun

HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"
FORWARD = "\ndef get_inputs():\n    return [torch.randn(8, 64)]\ndef get_init_inputs():\n    return []\n"


def run(runner: DryRunner, text: str) -> DryRun:
    return runner.run_program(DryProgram(files={"job.py": text.encode()}, entrypoint="job.py", content_hash="1"))


def calls(of: DryRun) -> dict[str, float]:
    counts: dict[str, float] = {}
    for op in of.operations:
        counts[op.op] = counts.get(op.op, 0) + op.count
    return counts


@pytest.mark.parametrize(
    ("text", "completeness", "words"),
    [
        ("import einops_that_is_not_there\n", Completeness.FAILED, "ModuleNotFoundError"),
        ("def broken(:\n    pass\n", Completeness.FAILED, "SyntaxError"),
        ("class Model(nn.Module):\n    def forward(self, x:\n        return x\n" + FORWARD, Completeness.FAILED, "SyntaxError"),
        ("import einops_that_is_not_there\nclass Model(nn.Module):\n    pass\n" + FORWARD, Completeness.FAILED, "ModuleNotFoundError"),
        ("class Model(nn.Module):\n    def forward(self, x):\n        return x @ x\n" + FORWARD, Completeness.FAILED, "RuntimeError"),
        ("open('no_such_config.yaml')\n", Completeness.FAILED, "no_such_config.yaml"),
        ("m = nn.Linear(4, 4).cuda()\nexec(open('gone.py').read())\n", Completeness.PARTIAL, "gone.py"),
        ("x = torch.randn(4, 4, device='cuda')\ny = x[x > 0] @ torch.ones(16, device='cuda')\n", Completeness.PARTIAL, "nonzero"),
        ("x = torch.randn(4, 4)\nfor i in range(1000):\n    x = x @ x\n    if x.sum() > 0.5 and i:\n        break\n", Completeness.GUESSED, "line"),
        ("raise SystemExit(3)\n", Completeness.FAILED, "exit status 3"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_said(runner: DryRunner, text: str, completeness: str, words: str) -> None:
    found = run(runner, HEAD + text)
    assert found.completeness == completeness
    assert words in found.reason


def test_a_check_for_nan_is_answered_no(runner: DryRunner) -> None:
    text = (
        "x = torch.randn(4, 4, device='cuda')\nif torch.isnan(x).any() or torch.isinf(x.sum()):\n    raise ValueError\n"
    )
    assert run(runner, HEAD + text).completeness == Completeness.WHOLE


def test_a_value_that_steers_a_forward_pass_is_a_guess_and_in_a_training_loop_is_none(runner: DryRunner) -> None:
    asks = "class Model(nn.Module):\n    def forward(self, x):\n        return x * 2 if x.sum().item() > 0 else x\n"
    found = run(runner, HEAD + asks + FORWARD)
    assert found.completeness == Completeness.GUESSED
    assert "value of a tensor" in found.reason
    loop = "x = torch.randn(4, device='cuda')\nfor i in range(9):\n    x = x + 1\n    print(x.sum().item())\n"
    assert run(runner, HEAD + loop).completeness == Completeness.WHOLE


def test_numbers_that_a_program_writes_down_are_known(runner: DryRunner) -> None:
    text = """
lengths = torch.tensor([5, 3, 2])
x = torch.zeros(int(lengths.max()), lengths.sum().item(), device="cuda")
mask = torch.arange(5)[None, :] < lengths[:, None]
assert mask.sum().item() == 10 and mask.nonzero().shape == (10, 2)
assert torch.repeat_interleave(lengths).tolist() == [0] * 5 + [1] * 3 + [2] * 2
lengths[0] = 4
assert lengths.tolist() == [4, 3, 2] and x.shape == (5, 10)
lengths += torch.randint(0, 9, (3,))
x = x.cos()
torch.zeros(3, device="cuda").masked_select(lengths.cuda() > 2)
"""
    found = run(runner, HEAD + text)
    assert found.completeness == Completeness.GUESSED
    assert "nonzero" in found.reason or "masked_select" in found.reason
    assert [op.shapes for op in found.operations if op.op == "aten.cos"] == ["[[5, 10]]"]


def test_a_slice_at_an_unknown_place_is_as_long_as_it_says(runner: DryRunner) -> None:
    text = "d = torch.randint(9, (500,))\nx = torch.stack([d[i : i + 64] for i in torch.randint(400, (8,))]).cuda().float().cos()\n"
    found = run(runner, HEAD + text)
    assert [op.shapes for op in found.operations if op.op == "aten.cos"] == ["[[8, 64]]"]


def test_inference_mode_counts_as_no_grad_does(runner: DryRunner) -> None:
    text = "net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(288, 5)).cuda()\nwith torch.{}():\n    net(torch.randn(2, 3, 8, 8, device='cuda'))\n"
    plain, fast = (run(runner, HEAD + text.format(mode)) for mode in ("no_grad", "inference_mode"))
    assert calls(plain) == calls(fast)
    assert {"aten.convolution", "aten.addmm"} <= set(calls(fast))


def test_cells_are_two_products_and_one_kernel(runner: DryRunner) -> None:
    text = "cell, h = nn.{}Cell(16, 32).cuda(), {}\nfor t in range(20):\n    h = cell(torch.zeros(4, 16, device='cuda'), h)\n{}.sum().backward()\n"
    state = "torch.zeros(4, 32, device='cuda')"
    for name, start, end in (("LSTM", f"({state}, {state})", "h[0]"), ("GRU", state, "h")):
        found = run(runner, HEAD + text.format(name, start, end))
        counts, fused = calls(found), f"aten._thnn_fused_{name.lower()}_cell"
        assert (found.completeness, counts[fused], counts[f"{fused}_backward"]) == (Completeness.WHOLE, 20, 20)
        # forward 2 a step; gradients of both weights and of the state, which the first step does not need
        assert counts["aten.mm"] == pytest.approx(20 * 2 + 20 * 2 + 19)


def test_a_wrapped_module_keeps_its_names(runner: DryRunner) -> None:
    text = """
model = nn.DataParallel(nn.Linear(4, 4).cuda())
assert isinstance(model, nn.DataParallel) and not isinstance(nn.Linear(2, 2), nn.DataParallel)
assert list(model.module.state_dict()) == ["weight", "bias"] and len(list(model.parameters())) == 2
model(torch.zeros(2, 4, device="cuda"))
"""
    assert run(runner, HEAD + text).completeness == Completeness.WHOLE


def test_transforms_and_factorisations_are_counted(runner: DryRunner) -> None:
    text = "x = torch.zeros(3, 64, 64, device='cuda')\ntorch.fft.fft(x.to(torch.complex64))\ntorch.linalg.cholesky(x)\ntorch.linalg.solve(x, x)\n"
    flops = {op.op: op.flops for op in run(runner, HEAD + text).operations}
    assert flops["aten._fft_c2c"] == 5 * 3 * 64 * 64 * 6
    assert flops["aten.linalg_cholesky_ex"] == pytest.approx(3 * 64**3 / 3)
    assert flops["aten._linalg_solve_ex"] == pytest.approx(3 * (2 / 3 + 2) * 64**3)


@pytest.mark.parametrize("written", ["bernoulli_(0.5)", "random_(0, 2)"])
def test_what_a_random_operator_wrote_is_not_taken_for_known(runner: DryRunner, written: str) -> None:
    text = "x = torch.randn(64, 8, device='cuda')\nm = torch.zeros(64, dtype=torch.bool)." + written
    found = run(runner, HEAD + text + "\ny = x[m.cuda()] @ torch.randn(8, 8, device='cuda')\n")
    assert found.completeness == Completeness.GUESSED  # how many rows are picked is not known
    assert sum(op.count * op.flops for op in found.operations if op.kind == "gemm") > 0


def test_what_is_written_in_place_is_known_by_its_views_too(runner: DryRunner) -> None:
    text = "n = torch.zeros(4, dtype=torch.long)\nview = n[:2]\nn.add_(3)\nx = torch.randn(int(view.sum()), 5, device='cuda')\n"
    found = run(runner, HEAD + text + "y = x @ torch.randn(5, 5, device='cuda')\n")
    assert found.completeness == Completeness.WHOLE, found.reason
    assert sum(op.flops for op in found.operations if op.kind == "gemm") == 2 * 6 * 5 * 5


MADE = "import torch\na, b = torch.randn(4, 5), torch.randn(5, 6)\n"


@pytest.mark.parametrize("division", ["right[k] / total[k]", "sum(right) // total[k]", "len(good) / len(good)"])
def test_counts_that_values_would_have_raised_are_not_zero(runner: DryRunner, division: str) -> None:
    """Labels are not known, so that one class gets all of them: the others would have had some, too."""
    text = """
right, total, good = [0.0] * 10, [0.0] * 10, []
for label in (a @ b).argmax(1):
    right[label] += 1.0
    total[label] += 1.0
    if label.item() == 7:
        good.append(label.item())
for k in range(10):
    print(DIVISION)
"""
    assert run(runner, MADE + text.replace("DIVISION", division)).completeness == Completeness.WHOLE


def test_a_division_by_zero_of_the_program_itself_ends_it(runner: DryRunner) -> None:
    assert "ZeroDivisionError" in run(runner, MADE + "a @ b\nprint(1 / len([]))").reason


def test_what_was_saved_is_found_again_under_other_names(runner: DryRunner) -> None:
    text = """
import io, os, shutil
net = torch.nn.Linear(5, 7)
torch.save({"net": net.state_dict(), "epoch": 3}, "tmp.pt")
os.replace("tmp.pt", "last.pt")
shutil.copy("last.pt", "best.pt")
assert os.path.getsize("best.pt") > 0 and not os.path.exists("tmp.pt")
state = torch.load("best.pt")
assert state["epoch"] == 3 and state["net"]["weight"].shape == (7, 5)
kept = io.BytesIO()
torch.save(net.state_dict(), kept)
kept.seek(0)
with open("best.pt", "rb") as file:
    assert torch.load(kept)["bias"].shape == torch.load(file)["net"]["bias"].shape
a @ b
"""
    assert run(runner, MADE + text).completeness == Completeness.WHOLE


def test_a_generator_is_on_the_device_that_it_was_asked_for(runner: DryRunner) -> None:
    text = """
generator = torch.Generator(device="cuda").manual_seed(1)
assert generator.device.type == "cuda" and torch.Generator().device.type == "cpu"
assert isinstance(generator, torch.Generator) and isinstance(torch.default_generator, torch.Generator)
noise = torch.randn(5, 6, generator=generator, device=generator.device)
a.cuda() @ noise
"""
    assert run(runner, MADE + text).completeness == Completeness.WHOLE


def test_a_loop_that_was_run_one_by_one_and_cut_short_is_not_taken_to_its_end() -> None:
    text = HEAD + (
        "net = nn.Linear(8, 8).cuda()\nopt = torch.optim.SGD(net.parameters(), lr=0.1)\nlayers = nn.ModuleList()\n"
        "for step in range(100_000):\n    layers.append(nn.Linear(2, 2))\n    sum(range(300_000))\n"
        "    if step % 10 == 5:\n        opt.zero_grad(); net(torch.randn(8, 8, device='cuda')).sum().backward(); opt.step()\n"
    )
    with DryRunner(budget_s=1, unsafe=True) as brief:
        cut = run(brief, text)
    assert cut.completeness == Completeness.PARTIAL
    assert "its items differ, and" in cut.unbounded
    assert "taken to their ends" not in cut.reason
