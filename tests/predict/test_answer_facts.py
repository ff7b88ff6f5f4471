"""What a prediction says first, and what it says where there is no time: steps, rates, limits, remedies."""

import json
from pathlib import Path
from typing import Any

import pytest

from kilowait.cli import main

STEPS = """
import time, torch
data = torch.utils.data.TensorDataset(torch.randn(6400, 64))
net = torch.nn.Linear(64, 64).cuda()
opt = torch.optim.SGD(net.parameters(), lr=0.1)
def step(x):
    opt.zero_grad()
    net(x.cuda()).square().mean().backward()
    opt.step()
"""


def _gpu_report(path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    path.write_text(STEPS + text)
    main.main(["predict", str(path), "--json", "--device", "H100"])
    entry: dict[str, Any] = json.loads(capsys.readouterr().out)["predictions"][0]
    return entry


def test_the_answer_leads_with_what_a_person_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "job.py"
    text = "for e in range(90):\n    for (x,) in torch.utils.data.DataLoader(data, batch_size=64):\n        step(x)\n"
    entry = _gpu_report(path, text, capsys)
    numbers = entry["devices"]["H100"]
    assert numbers["step_s"] == pytest.approx(numbers["runtime_s"] / 9000)
    assert numbers["samples_per_s"] == pytest.approx(90 * 6400 / numbers["runtime_s"])
    main.main(["predict", str(path), "--device", "H100"])
    lines = capsys.readouterr().out.splitlines()
    facts = next(i for i, line in enumerate(lines) if "9,000 steps" in line)
    assert "4.16 k parameters, 9,000 steps, 64 samples a step, peak memory" in lines[facts]
    assert facts < next(i for i, line in enumerate(lines) if "runtime_s" in line)


def test_what_is_assumed_is_a_line_of_the_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "import numpy\ntokens = numpy.memmap('tokens.bin', dtype=numpy.uint16, mode='r')\n"
    text += "for i in range(len(tokens) // 6_000_000):\n    step(torch.randn(32, 64))\n"
    path = tmp_path / "job.py"
    path.write_text(STEPS + text)
    main.main(["predict", str(path), "--device", "H100", "--assume", "tokens.bin=600MB"])
    lines = capsys.readouterr().out.splitlines()
    assert any("50 steps" in line for line in lines)
    assert [line for line in lines if line.startswith("  assumed: ") and "tokens.bin" in line and "600" in line]


def test_a_limit_by_the_clock_is_the_predicted_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "job.py"
    text = "start = time.time()\nwhile time.time() - start < 1800:\n    step(torch.randn(32, 64))\n"
    numbers = _gpu_report(path, text, capsys)["devices"]["H100"]
    assert numbers["runtime_s"] == 1800
    assert numbers["energy_j"] > 1800 * 10  # no board draws less than 10 W
    short = "start = time.time()\nfor i in range(50):\n    step(torch.randn(32, 64))\n"
    short += "    if time.time() - start > 1800:\n        break\n"
    assert 0 < _gpu_report(path, short, capsys)["devices"]["H100"]["runtime_s"] < 1


def test_what_nothing_bounds_has_no_time_and_says_what_stopped_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = _gpu_report(tmp_path / "job.py", "step(torch.randn(32, 64))\nimport package_not_there\n", capsys)
    assert entry["devices"] == {}
    assert "job.py line 11" in entry["dry_run"]["summary"]
    assert "--python" in entry["dry_run"]["summary"]
