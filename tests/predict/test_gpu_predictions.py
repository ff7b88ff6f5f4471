"""GPU types beside the bundle's: the device model that comes with kilowait, dry runs that work out and that do not."""

import json
import math
from contextlib import nullcontext
from dataclasses import replace

import pytest

from benchmarks.prediction import break_even_s
from kilowait.cli.main import main
from kilowait.core import hardware
from kilowait.core.errors import InputError
from kilowait.core.hardware import CATALOGUE
from kilowait.predict import one_shot
from kilowait.predict.dry_runs import DryRunOutcome, DryRuns, memory_lack, scaled
from kilowait.predict.dryrun.record import Completeness, DryRun, Exchange
from kilowait.predict.dryrun.sandbox import sandbox_available
from kilowait.predict.gpu_types import GpuPredictor
from kilowait.predict.operations import SEEN, UNSEEN
from kilowait.predict.predictor import GpuSide, Predictor
from kilowait.predict.probe.bundle import Bundle, save
from kilowait.program.source import source_from_bytes
from tests.support.line_counter import LineCounter, metric
from tests.support.operation_world import copy, product, whole_run

REASON = sandbox_available()
needs_sandbox = pytest.mark.skipif(REASON is not None, reason=str(REASON))
MEASURED, NEVER = "A100", "H200"
LICENCE = "facts alone; MIT, Apache-2.0 and one without, as data/steps/README.md says of each source"
TRAINING = """\
import argparse
import torch

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=2)
epochs = parser.parse_args().epochs
device = "cuda" if torch.cuda.is_available() else "cpu"
model = torch.nn.Sequential(torch.nn.Linear(512, 2048), torch.nn.ReLU(), torch.nn.Linear(2048, 10)).to(device)
optimizer = torch.optim.AdamW(model.parameters())
for epoch in range(epochs):
    for step in range(100):
        x, y = torch.randn(256, 512, device=device), torch.zeros(256, dtype=torch.long, device=device)
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""
FORWARD = """\
import torch

class Model(torch.nn.Module):
    def forward(self, x):
        return x @ x

def get_inputs():
    return [torch.randn(1024, 1024)]

def get_init_inputs():
    return []
"""
HOSTILE = "import os\nopen('/etc/shadow').read()\n"
ON_CPU = "import torch\ntorch.randn(64, 64) @ torch.randn(64, 64)\n"
ENOUGH_S = "120"


@pytest.fixture(scope="module")
def shipped():
    return GpuPredictor.load_default()


@pytest.fixture(scope="module")
def runs():
    """One worker for the whole file: a second of loading PyTorch each otherwise."""
    with DryRuns(float(ENOUGH_S)) as shared:
        yield shared


@pytest.fixture
def bundle():
    return Bundle(metrics={"runtime_s": metric(0.5, "measured"), "energy_j": metric(36.0, "estimated")})


@pytest.fixture
def predict(bundle, tmp_path, monkeypatch, capsys):
    """The command on a script's text; returns its exit code and its report (or text)."""
    save(bundle, tmp_path / "bundle")
    monkeypatch.setattr(one_shot, "_embedder", lambda bundle, threads: LineCounter())

    def run(text, *words, arguments=(), table=False):
        path = tmp_path / "train.py"
        path.write_text(text)
        given = ["predict", str(path), "--bundle", str(tmp_path / "bundle"), "--dry-run-budget-s", ENOUGH_S, *words]
        code = main([*given, *([] if table else ["--json"]), "--", *arguments])
        out = capsys.readouterr()
        if table or code == 2:
            return code, out.out + out.err
        report = json.loads(out.out)
        return code, {**report["predictions"][0], "report": report}

    return run


@pytest.fixture
def shared(runs, monkeypatch):
    """The command's dry runs are made by the file's worker."""
    monkeypatch.setattr(one_shot, "DryRuns", lambda budget_s, **_: nullcontext(runs if budget_s else DryRuns(0.0)))


@needs_sandbox
def test_a_training_script_gets_gpu_types_beside_the_bundles(predict):
    code, entry = predict(TRAINING)
    assert code == 0
    assert list(entry["devices"]) == ["cpu-1", "cpu-2", "A100", "A6000"]
    assert entry["dry_run"]["outcome"] == "whole"
    assert entry["dry_run"]["steps"] == 200
    assert entry["dry_run"]["parameters"] == 512 * 2048 + 2048 + 2048 * 10 + 10
    # forward and both backward products of the larger layer, two FLOPs each, less the input's gradient
    assert entry["dry_run"]["flops"] > 200 * 2 * 2 * 256 * 512 * 2048
    for name in ("A100", "A6000"):
        numbers = entry["devices"][name]
        assert 0 < numbers["runtime_low_s"] < numbers["runtime_s"] < numbers["runtime_high_s"]
        idle_j = hardware.idle_power_w(name) * numbers["runtime_s"]
        assert idle_j < numbers["energy_j"] < CATALOGUE[name].peak_w * numbers["runtime_s"]
        assert numbers["provenance"] == SEEN
    assert entry["devices"]["cpu-1"]["runtime_low_s"] is None
    assert entry["devices"]["cpu-1"]["provenance"].startswith("modelled (probe")
    assert entry["report"]["device_model"]["licence"] == LICENCE


@needs_sandbox
def test_watts_are_those_of_each_gpu_that_a_program_wants(predict):
    code, entry = predict("import torch\nassert torch.cuda.device_count() > 1, 'two GPUs'\n" + TRAINING)
    assert (code, entry["request"]["gpus"]) == (0, 1)
    numbers = entry["devices"]["A100"]
    assert numbers["power_w"] * numbers["runtime_s"] * 2 == pytest.approx(numbers["energy_j"])


@needs_sandbox
def test_more_epochs_take_longer_on_every_type_nearly_in_proportion(predict, shared):
    _, two = predict(TRAINING, "--device", "all", arguments=["--epochs", "20"])
    _, twenty = predict(TRAINING, "--device", "all", arguments=["--epochs", "200"])
    assert set(CATALOGUE) <= set(two["devices"])
    for name in CATALOGUE:
        ratio = twenty["devices"][name]["runtime_s"] / two["devices"][name]["runtime_s"]
        assert 8 < ratio < 10.5, name
    assert two["devices"][NEVER]["provenance"] == UNSEEN


@needs_sandbox
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HOSTILE, "failed: FileNotFoundError"),
        ("import torch\ndef f(:\n", "failed: SyntaxError"),
        (ON_CPU, "nothing in it runs on a GPU"),
    ],
)
def test_without_a_dry_run_the_bundle_still_answers(predict, shared, text, said):
    code, out = predict(text, table=True)
    assert code == 0
    assert f"dry run: {said}" in out.replace("whole: ", "")
    assert "predictions for GPU types need" in out
    assert "cpu-2" in out
    assert "A100" not in out
    assert predict(text, "--device", "A100", table=True)[0] == 1


def test_a_budget_of_zero_switches_the_dry_run_off(predict):
    code, entry = predict(TRAINING, "--dry-run-budget-s", "0")
    assert code == 0
    assert list(entry["devices"]) == ["cpu-1", "cpu-2"]
    assert entry["dry_run"]["outcome"] == "off"
    assert "budget" in entry["dry_run"]["reason"]


def test_a_machine_without_a_sandbox_says_so(predict, monkeypatch):
    def refuse(self):
        raise InputError("no sandbox of Linux namespaces here")

    monkeypatch.setattr("kilowait.predict.dryrun.dry_runner.DryRunner.__enter__", refuse)
    code, entry = predict(TRAINING)
    assert (code, list(entry["devices"])) == (0, ["cpu-1", "cpu-2"])
    assert entry["dry_run"]["summary"] == "off: no sandbox of Linux namespaces here"


@needs_sandbox
def test_a_forward_program_says_that_its_times_are_of_one_pass(predict, shared):
    code, out = predict(FORWARD, table=True)
    assert code == 0
    assert "dry run: whole, one forward pass, 2.15 GFLOP" in out  # 2 * 1024^3


@needs_sandbox
def test_a_type_is_known_by_any_name_and_several_gpus_are_named_modelled(predict, shared):
    _, one = predict(TRAINING, "--device", "rtx a6000", "--device", "cpu-2")
    _, four = predict(TRAINING, "--device", "A6000", "--gpus", "4")
    assert list(one["devices"]) == ["cpu-2", "A6000"]
    assert four["request"]["gpus"] == 4
    assert four["devices"]["A6000"]["provenance"].endswith("4 GPUs by a model of data parallelism")
    # 4 bytes of each of 1.07 million gradients cross a PCIe link in every step: it cannot be 4 times as fast
    assert four["devices"]["A6000"]["runtime_s"] > one["devices"]["A6000"]["runtime_s"] / 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--device", "A600"],
            "A600: the probes know cpu-1, cpu-2, and unknown GPU type 'A600'; did you mean",
        ),
        (["--gpus", "0"], "--gpus must be >= 1, got 0"),
        (["--dry-run-budget-s", "-1"], "--dry-run-budget-s must be >= 0"),
        (["--dry-run-budget-s", "nan"], "--dry-run-budget-s must be >= 0"),
    ],
)
def test_mistakes_say_what_to_do(predict, words, message):
    code, out = predict(TRAINING, *words)
    assert code == 2
    assert message in out


def test_the_shipped_model_knows_every_type_of_the_catalogue(shipped):
    assert {"A100", "A6000", "H100", "T4"} <= shipped.measured
    assert shipped.training["licence"] == LICENCE
    assert not [family for family in shipped.training["families"] if "level3" in family]
    found = shipped.predict(whole_run("new", product(4096), copy(10**8)), list(CATALOGUE))
    assert set(found) == set(CATALOGUE)
    best_s = min(  # nothing beats its own sheet: 2 * 4096^3 FLOP, 0.8 GB
        found[name].runtime_s / max(2 * 4096**3 / gpu.fp32_flops, 8e8 / gpu.bandwidth)
        for name, gpu in CATALOGUE.items()
    )
    assert best_s > 0.5


def test_memory_that_is_too_small_is_marked(shipped):
    big = DryRun(**{**_fields(whole_run("big", product(64))), "peak_memory_bytes": 52e9})
    partial = DryRun(**{**_fields(big), "completeness": Completeness.PARTIAL})
    assert memory_lack(big, "A100") == "needs 52 GB, has 40 GB"
    assert memory_lack(partial, "A100") == "needs at least 52 GB, has 40 GB"
    assert memory_lack(big, "A100-80GB") == ""


@needs_sandbox
def test_the_table_marks_memory(predict, shared):
    hungry = "import torch\nx = torch.empty(13 * 10**9, device='cuda')\nx.add_(1)\n"
    _, out = predict(hungry, table=True)
    rows = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert rows["A100"].endswith("needs 52 GB, has 40 GB")
    assert rows["A6000"].endswith("needs 52 GB, has 48 GB")


def test_a_partial_dry_run_widens_the_interval(shipped):
    whole = whole_run("one", product(4096))
    partial = DryRun(**{**_fields(whole), "completeness": Completeness.PARTIAL, "reason": "the budget was spent"})
    a, b = (shipped.predict(found, [MEASURED])[MEASURED] for found in (whole, partial))
    assert b.runtime_s == a.runtime_s
    assert b.runtime_low_s == pytest.approx(a.runtime_low_s / 2)
    assert b.runtime_high_s == pytest.approx(a.runtime_high_s * 2)


def test_a_partial_dry_run_counts_once_it_has_seen_an_optimizer_step():
    """Before it, what was seen is the preparation: the whole was 12 to 127,000 times as long."""
    seen = _fields(whole_run("one", product(64)))
    fields = {**seen, "completeness": Completeness.PARTIAL, "reason": "the budget is spent"}
    before, after = (DryRunOutcome(run=DryRun(**{**fields, "steps": steps})) for steps in (0.0, 27.0))
    assert before.usable is None
    assert "no optimizer step was seen; predictions for GPU types need one" in before.summary
    assert after.usable is after.run
    assert after.summary.startswith("partial: the budget is spent, 27 optimizer steps, ")


def test_a_new_type_is_less_sure_than_a_measured_one(shipped):
    found = shipped.predict(whole_run("one", product(4096)), [MEASURED, NEVER])
    width = {name: math.log(p.runtime_high_s / p.runtime_low_s) for name, p in found.items()}
    assert width[NEVER] > width[MEASURED]
    assert found[MEASURED].probe_version == shipped.version


@needs_sandbox
def test_a_source_that_is_asked_for_again_is_remembered(bundle, runs):
    embedder = LineCounter()
    source = source_from_bytes("train.py", TRAINING.encode())
    predictor = Predictor(bundle, embedder, GpuSide(runs))
    assert set(predictor.predict(source)) == {"cpu-1", "cpu-2"}
    first = predictor.forecast(source, ["A100"])
    again = predictor.forecast(source, ["A100", "H100"], gpus=2)
    assert len(embedder.asked) == 1
    assert again.dry_run.run is first.dry_run.run
    assert set(again.predictions) == {"cpu-1", "cpu-2", "A100", "H100"}
    assert predictor.forecast(source, ["A100", "H100"], gpus=2) is again


@pytest.mark.parametrize(("value", "text"), [(4.1e15, "4.1 P"), (3.2e9, "3.2 G"), (999.0, "999 "), (0.0, "0 ")])
def test_numbers_carry_the_prefix_of_their_unit(value, text):
    assert scaled(value) == text


def _fields(found: DryRun) -> dict:
    return {name: getattr(found, name) for name in vars(found)}


def test_a_prediction_pays_for_itself_from_some_length_on():
    assert break_even_s(175.0, job_w=250.0, saving=0.035) == pytest.approx(20.0)
    with pytest.raises(InputError, match="saving"):
        break_even_s(175.0, job_w=250.0, saving=0.0)


def test_one_rank_of_several_takes_its_own_time_and_the_energy_of_all():
    model = GpuPredictor.load_default()
    alone = whole_run("1", product(4096), copy(10**8))
    rank = replace(alone, world=4)
    talking = replace(rank, exchanges=(Exchange(op="all_reduce", dtype="float32", bytes=4e9, count=1e5, ranks=4),))
    one = model.predict(alone, ["A100"])["A100"]
    quiet, waiting = (model.predict(run, ["A100"], 4)["A100"] for run in (rank, talking))
    assert quiet.runtime_s == pytest.approx(one.runtime_s)
    assert quiet.energy_kwh == pytest.approx(4 * one.energy_kwh)
    # a ring of four sends 2 * 3/4 of the bytes over each link; less than all of it hides behind the work
    assert 0 < waiting.runtime_s - one.runtime_s <= 1e5 * (1.5 * 4e9 / 200e9 + 6 * 2e-5)
    assert waiting.energy_kwh > quiet.energy_kwh
