"""`kilowait check`: bounds as an exit code."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from kilowait.cli import check
from kilowait.cli.main import main
from tests.support.advised import advised, on_type

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
A100 = on_type(3600, 1800, 7200, energy_kwh=2.0, memory_bytes=30e9, memory_high_bytes=45e9)
A6000 = on_type(9000, 3600, 18000, energy_kwh=1.0, memory_bytes=30e9, memory_high_bytes=45e9)


@pytest.fixture
def program(tmp_path, monkeypatch):
    (tmp_path / "train.py").write_text("print('trained')\n")
    monkeypatch.chdir(tmp_path)
    asked = []

    def answered(question, _):
        asked.append(question)
        return advised({"A100": A100, "A6000": A6000})

    monkeypatch.setattr(check, "advice_of", answered)
    return asked


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--max-kwh", "5", "--max-memory", "40GB"], 0),
        (["--max-kwh", "1.5"], 0),  # the A6000 takes 1 kWh
        (["--max-kwh", "1.5", "--every-type"], 1),
        (["--max-kwh", "0.5"], 1),
        (["--max-kwh", "1.5", "--max-hours", "2"], 1),  # one type is frugal, the other quick
        (["--max-memory", "27GiB"], 1),
        (["--max-memory", "28GiB"], 0),
        (["--max-memory", "40GB", "--strict"], 1),
        (["--max-hours", "2", "--strict"], 0),
        (["--max-kwh", "5", "--strict"], 3),  # its interval is not known
        (["--max-cost", "5"], 3),
        (["--max-cost", "5", "--allow-unknown"], 0),
        (["--max-cost", "5", "--max-kwh", "0.5", "--allow-unknown"], 1),  # beyond, whatever it costs
        (["--max-cost", "5", "--max-kwh", "1.5", "--every-type"], 1),
        (["--max-cost", "5", "--max-kwh", "1.5"], 3),  # the A6000 may be within
        ([], 2),
        (["--max-kwh", "0"], 2),
    ],
)
def test_the_exit_code_says_whether_the_bounds_hold(program, options, code, capsys):
    assert main(["check", "train.py", *options]) == code


@pytest.mark.parametrize(("bound", "code"), [("1.9", 1), ("2.1", 0), ("2.4", 0)])
def test_a_job_costs_what_the_prices_say(program, monkeypatch, tmp_path, bound, code, capsys):
    """An hour of an A100 at 2 USD; two and a half of an A6000 at 1 USD."""
    (tmp_path / "prices.csv").write_text("gpu_type,price_per_hour\nA100,2\nA6000,1\n")

    def priced(question, _):
        types = {"A100": A100, "A6000": A6000}
        return advised({name: replace(on, cost=question.cost(on.prediction, name, 1)) for name, on in types.items()})

    monkeypatch.setattr(check, "advice_of", priced)
    assert main(["check", "train.py", "--gpu-prices", "prices.csv", "--max-cost", bound]) == code
    assert ("cost 2 is above" in capsys.readouterr().out) == (code == 1)


def test_what_is_beyond_is_told(program, capsys):
    assert main(["check", "train.py", "--max-kwh", "0.5", "--max-memory", "20GB", "--", "--lr", "1"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "train.py: A100: energy 2 kWh is above 0.5; memory 30 GB is above 20",
        "train.py: A6000: energy 1 kWh is above 0.5; memory 30 GB is above 20",
    ]
    assert program[0].reading.source.arguments == ("--lr", "1")
    assert main(["check", "train.py", "--max-kwh", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["exit_code"] == 0


@pytest.mark.parametrize("size", ["", "GB", "40XB", "4.0.0GB", "-1GB"])
def test_a_size_that_is_none_is_refused(program, size, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["check", "train.py", f"--max-memory={size}"])
    assert "is no size; write 40GB or 38GiB" in capsys.readouterr().err


def test_nothing_predicted_is_an_exit_code_of_its_own(program, monkeypatch, capsys):
    monkeypatch.setattr(
        check,
        "advice_of",
        lambda *_: advised({"A100": A100}, dry_run="failed: no").__class__(
            program="train.py", content_hash="a" * 64, gpus=1, gpu_types=None, by_type={}, dry_run="failed: no module"
        ),
    )
    assert main(["check", "train.py", "--max-kwh", "5"]) == 3
    assert capsys.readouterr().out == "train.py: not predicted: failed: no module\n"


def test_the_commands_of_the_examples_are_ones_that_it_takes(program, capsys):
    actions = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text())["jobs"]["check"]["steps"][-1]["run"]
    (hook,) = yaml.safe_load((EXAMPLES / "pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    for command in (actions, hook["entry"]):
        words = command.split()
        assert words[0] == "kilowait"
        assert main(words[1:]) == 0


@pytest.mark.parametrize(
    ("options", "types"),
    [
        (["--max-hours", "9"], ["a100", "a6000"]),
        (["--max-hours", "9", "--prefer", "energy"], ["a6000", "a100"]),
        (["--max-kwh", "1.5"], ["a6000"]),
        (["--max-kwh", "0.5"], None),
    ],
)
def test_a_claim_lists_the_types_within_the_bounds_the_best_first(program, options, types):
    main(["check", "train.py", *options, "--resource-claim", "claim.yaml"])
    if types is None:
        assert not Path("claim.yaml").exists()
        return
    claim = yaml.safe_load(Path("claim.yaml").read_text())
    assert (claim["apiVersion"], claim["kind"]) == ("resource.k8s.io/v1", "ResourceClaimTemplate")
    (request,) = claim["spec"]["spec"]["devices"]["requests"]
    assert [choice["name"] for choice in request["firstAvailable"]] == types
    first = request["firstAvailable"][0]
    assert (first["deviceClassName"], first["allocationMode"]) == ("gpu.nvidia.com", "ExactCount")
    assert first["count"] == advised().gpus
    (selector,) = first["selectors"]
    assert "device.attributes['gpu.nvidia.com'].productName in ['NVIDIA" in selector["cel"]["expression"]
