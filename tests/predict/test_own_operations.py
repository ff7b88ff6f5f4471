"""A bundle with its own device model: run times from operations, other metrics at the rate that the probes expect."""

import json
import math
from concurrent.futures import Future

import numpy as np
import pytest

from benchmarks.budget_errors import Held, errors_of
from benchmarks.prediction import overhead
from kilowait.cli.main import main
from kilowait.core.errors import ModelError
from kilowait.predict import one_shot
from kilowait.predict.device_model import model_files
from kilowait.predict.device_model.calibration import Calibration, Quantiles
from kilowait.predict.device_model.learned_weights import MeasuredTimes
from kilowait.predict.device_model.model import DeviceModel
from kilowait.predict.device_model.specifications import Specification, is_cpu
from kilowait.predict.dry_runs import DryRunOutcome, DryRuns
from kilowait.predict.dryrun.record import Completeness, DryRun
from kilowait.predict.dryrun.sandbox import sandbox_available
from kilowait.predict.operations import IN_BUNDLE, OperationsModel, labelled, of_bundle
from kilowait.predict.predictor import OWN, GpuSide, OwnSide, Predictor
from kilowait.predict.probe.bundle import Bundle, save
from kilowait.predict.timed import timed
from kilowait.program.source import source_from_bytes
from pipelines.cards import probe_card
from tests.support.line_counter import LineCounter, metric
from tests.support.operation_world import copy, product
from tests.support.study_world import study_of_runs

REASON = sandbox_available()
needs_sandbox = pytest.mark.skipif(REASON is not None, reason=str(REASON))
SCRIPT = """\
import torch
x = torch.randn(512, 512)
for step in range({steps}):
    y = x @ x
"""
BROKEN = "import torch\nx = torch.randn(\n"
CALIBRATION = Calibration(
    measured=Quantiles(low=-2.0, high=2.0, programs=9), new=Quantiles(low=-3.0, high=3.0, programs=9)
)


def on_cpu(name, *operations, completeness=Completeness.WHOLE, steps=0.0):
    there = tuple(type(op)(**{f: getattr(op, f) for f in vars(op)} | {"device": "cpu"}) for op in operations)
    return DryRun(content_hash=name, target="cpu", completeness=completeness, operations=there, steps=steps)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A bundle whose probes say half a second and 36 J a line, and whose device model knows cpu-1 alone."""
    where = tmp_path_factory.mktemp("own") / "bundle"
    save(Bundle(metrics={n: metric(v, "measured") for n, v in PROBES.items()}), where)
    runs = [on_cpu(f"p{i}", product(256 + 128 * i), copy(10**6, i + 1)) for i in range(4)]
    seconds = np.array([0.1 * 2**i for i in range(4)])
    measured = MeasuredTimes(np.arange(4), np.zeros(4, dtype=np.int64), np.log(seconds))
    model = DeviceModel.fit(runs, [Specification.named("cpu-1")], measured)
    training = {"labels": {"cpu-1": 4}, "source": "nowhere", "licence": "none", "programs": 4}
    model_files.save(model, where / IN_BUNDLE, {**training, "calibration": CALIBRATION.to_dict()})
    return where


PROBES = {"runtime_s": 0.5, "energy_j": 36.0, "carbon_g": 0.25}


@pytest.fixture
def model(folder):
    return OperationsModel.load(folder / IN_BUNDLE)


@pytest.fixture
def bundle():
    return Bundle(metrics={n: metric(v, "measured") for n, v in PROBES.items()})


def test_times_are_the_models_and_other_metrics_keep_their_rate(bundle, model):
    run = on_cpu("new", product(512), copy(10**6, 3))
    probes = Predictor(bundle, LineCounter()).predict(source_from_bytes("x.py", b"a\nb\n"))
    found = timed(model, run, probes)
    assert set(found) == {"cpu-1"}  # cpu-2 has no labels in it: the probe's answer stands
    (log_s,) = model.model.predict([run], [Specification.named("cpu-1")]).log_s[0]
    (sigma,) = model.model.predict([run], [Specification.named("cpu-1")]).sigma[0]
    one, seconds = found["cpu-1"], math.exp(log_s)
    assert one.runtime_s == pytest.approx(seconds)
    assert one.runtime_low_s == pytest.approx(seconds * math.exp(-2 * sigma))
    assert one.runtime_high_s == pytest.approx(seconds * math.exp(2 * sigma))
    assert one.energy_kwh == pytest.approx(72 * seconds / 3.6e6)  # the probes expect 36 J in half a second
    assert one.other == {"carbon_g": pytest.approx(0.5 * seconds)}
    assert one.probe_version == f"{bundle.version}+{model.version}"


@pytest.mark.parametrize(("side", "stands"), [(512, "probe"), (16384, "model")])
def test_a_dry_run_that_ended_early_is_a_lower_bound(bundle, model, side, stands):
    part = on_cpu("new", product(side), completeness=Completeness.PARTIAL, steps=5.0)
    probes = Predictor(bundle, LineCounter()).predict(source_from_bytes("x.py", b"a\n" * 4))  # two seconds
    (least,) = model.run_times(part, [Specification.named("cpu-1")])
    found = timed(model, part, probes)["cpu-1"]
    assert found.runtime_s == pytest.approx(2.0 if stands == "probe" else least.runtime_s)
    assert found.runtime_s == pytest.approx(max(2.0, least.runtime_s))
    assert found.energy_kwh == pytest.approx(72 * found.runtime_s / 3.6e6)
    assert found.runtime_low_s < found.runtime_s < found.runtime_high_s


@needs_sandbox
def test_more_steps_take_longer_and_a_broken_script_falls_back_to_the_probe(bundle, folder):
    with DryRuns(20.0, "cpu") as runs:
        predictor = Predictor(bundle, LineCounter(), own=OwnSide(runs, folder / IN_BUNDLE))
        few, many = (
            predictor.forecast(source_from_bytes("x.py", SCRIPT.format(steps=n).encode())) for n in (10, 10_000)
        )
        broken = predictor.forecast(source_from_bytes("x.py", BROKEN.encode()))
    assert few.own_dry_run.whole
    assert many.predictions["cpu-1"].runtime_s > 50 * few.predictions["cpu-1"].runtime_s
    assert many.predictions["cpu-2"] == few.predictions["cpu-2"]  # the probe counts lines
    assert many.provenance["cpu-1"] == OWN
    assert many.provenance["cpu-2"] != OWN
    assert broken.own_dry_run.usable is None
    assert broken.predictions["cpu-1"].runtime_s == pytest.approx(1.0)  # two lines
    assert broken.provenance["cpu-1"] == broken.provenance["cpu-2"]


@needs_sandbox
def test_the_command_uses_it_for_the_bundles_types_alone(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(one_shot, "_embedder", lambda bundle, threads: LineCounter())
    (tmp_path / "train.py").write_text(SCRIPT.format(steps=100))

    def ask(device):
        words = ["predict", str(tmp_path / "train.py"), "--bundle", str(folder), "--dry-run-budget-s", "120"]
        assert main([*words, "--device", device, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    one = ask("cpu-1")
    assert one["predictions"][0]["own_dry_run"]["outcome"] == "whole"
    assert one["predictions"][0]["dry_run"]["outcome"] == "off"  # no GPU type was asked for
    assert one["own_device_model"]["programs"] == 4
    assert "own_device_model" not in ask("cpu-2")


def test_a_program_is_run_dry_once_for_both_sides(bundle, folder):
    class Counted:
        made = 0

        def submit(self, source, access):
            self.made += 1
            coming = Future()
            coming.set_result(DryRunOutcome(off="counted"))
            return coming

    runs = Counted()
    predictor = Predictor(bundle, LineCounter(), GpuSide(runs), OwnSide(runs, folder / IN_BUNDLE))
    predictor.forecast(source_from_bytes("x.py", b"a\n"), ["A100"])
    assert runs.made == 1


def test_the_error_at_a_budget_is_that_of_whoever_answers(bundle, model):
    sources = [source_from_bytes(f"{lines}.py", b"a\n" * lines) for lines in (3, 4)]
    run = on_cpu(sources[1].content_hash, product(512))
    (by_model,) = model.run_times(run, [Specification.named("cpu-1")])
    seconds = np.array([[1.0], [by_model.runtime_s / 1.1]])  # the probe says 1.5 and 2 seconds
    predictor = Predictor(bundle, LineCounter())
    vectors = {source.content_hash: predictor.forecast(source).vector for source in sources}
    study = study_of_runs([on_cpu(source.content_hash) for source in sources], ("cpu-1",), seconds)
    held = Held(study=study, sources=sources, predictor=predictor, vectors=vectors, model=model)
    off, made = DryRunOutcome(off="not made"), DryRunOutcome(run=run)
    neither, second = errors_of(held, [off, off]), errors_of(held, [off, made])
    assert neither.median_ape == pytest.approx((0.5 + (2.0 / seconds[1, 0] - 1)) / 2)
    assert second.median_ape == pytest.approx((0.5 + 0.1) / 2)
    assert (neither.by_dry_run, second.by_dry_run) == (0, 1)
    assert second.outcomes == {"off": 1, "whole": 1}


def test_the_model_card_tells_what_a_prediction_costs(bundle):
    row = {"passes": 9, "p50_s": 0.5, "p95_s": 0.75, "cached_p50_ms": 0.04, "estimated_j": 32.6, "break_even_s": 3.7}
    found = {"machine": "a processor", "cores": 2, "threads": 2, "tokens": 1590, "watts": 65.0}
    found |= {"job_watts": 250.0, "saving": 0.035, "rows": [{"budget_s": 0.0, **row}, {"budget_s": 4.0, **row}]}
    card = probe_card(bundle, bundle.version, overhead(found))
    assert "Time that a prediction takes: measured on one a processor (2 cores" in card
    for fact in ("budget 4 s: 500 ms (95th percentile 750)", "33 J a prediction (estimated", "run 4 s or longer"):
        assert fact in card


def test_a_bundle_without_one_has_none(tmp_path):
    assert of_bundle(tmp_path) is None
    with pytest.raises(ModelError, match="not a device model"):
        labelled(tmp_path)


def test_the_packaged_bundle_has_one_for_its_types():
    folder = of_bundle(None)
    assert folder is not None
    assert labelled(folder) == ("cpu-1", "cpu-2")
    assert OperationsModel.load(folder).measured == {"cpu-1", "cpu-2"}


@pytest.mark.parametrize(("name", "is_one"), [("cpu-1", True), ("cpu-0", False), ("cpu-", False), ("A100", False)])
def test_names_of_cpu_types(name, is_one):
    assert is_cpu(name) is is_one
