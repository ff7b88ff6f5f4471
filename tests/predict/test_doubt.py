"""Intervals of the probes: by hand on tiny sets, wider for a new kind of program, and kept with the bundle."""

import json
import math

import numpy as np
import pytest
import torch

from kilowait.cli.main import main
from kilowait.core.errors import ModelError
from kilowait.predict import one_shot
from kilowait.predict.predictor import Predictor
from kilowait.predict.probe.bundle import Bundle, load, save
from kilowait.predict.probe.doubt import KNOWN, NEW, Doubt
from kilowait.program.source import source_from_bytes
from tests.support.line_counter import LENGTH, LineCounter, metric

SCRIPTS = 40


@pytest.fixture(scope="module")
def doubt():
    """Two families of programs of about e and e^4 lines; known kinds are within 10%, new ones within a factor of 4."""
    rng = np.random.default_rng(3)
    x = torch.zeros(SCRIPTS, LENGTH)
    x[:, 0] = torch.tensor([1.0, 4.0]).repeat(SCRIPTS // 2) + torch.from_numpy(0.1 * rng.normal(size=SCRIPTS))
    program = np.arange(SCRIPTS)
    near, far = np.linspace(-0.1, 0.1, SCRIPTS), np.linspace(-math.log(4), math.log(4), SCRIPTS)
    residuals = {"runtime_s": {KNOWN: (near, program), NEW: (far, program)}}
    return Doubt.fit(residuals, x, ["short", "long"] * (SCRIPTS // 2), [f"p{i}" for i in program])


@pytest.fixture
def bundle(doubt):
    return Bundle(metrics={"runtime_s": metric(0.5, "measured"), "energy_j": metric(36.0, "estimated")}, doubt=doubt)


def forecast(bundle, lines):
    return Predictor(bundle, LineCounter()).forecast(source_from_bytes("x.py", b"a\n" * lines))


def test_the_ends_are_quantiles_of_the_residuals(bundle):
    known = forecast(bundle, 3).predictions["cpu-1"]  # e lines
    # of 40 programs the ends leave out two on each side: the 39th of 41 ranks, and its mirror
    end = np.linspace(-0.1, 0.1, SCRIPTS)[38]
    assert known.runtime_s == pytest.approx(1.5)
    assert known.runtime_high_s == pytest.approx(1.5 * math.exp(end))
    assert known.runtime_low_s == pytest.approx(1.5 * math.exp(-end))


def test_a_new_kind_gets_wider_intervals_and_says_so(bundle):
    known, new = forecast(bundle, 3), forecast(bundle, 1000)
    assert known.distance < 1 < new.distance
    far = new.predictions["cpu-2"]
    assert far.runtime_high_s / far.runtime_low_s == pytest.approx(4 ** (2 * np.linspace(-1, 1, SCRIPTS)[38]))


def test_a_metric_whose_labels_are_estimates_gets_none(bundle):
    one = forecast(bundle, 3).predictions["cpu-1"]
    assert (one.energy_low_kwh, one.energy_high_kwh) == (None, None)


def test_it_is_kept_with_the_bundle(bundle, tmp_path):
    version = save(bundle, tmp_path / "b")
    again = load(tmp_path / "b")
    assert again.version == version == bundle.version
    assert version != Bundle(metrics=bundle.metrics).version
    for lines in (3, 1000):
        assert forecast(again, lines).predictions["cpu-1"].runtime_high_s == pytest.approx(
            forecast(bundle, lines).predictions["cpu-1"].runtime_high_s
        )


def test_what_was_edited_is_refused(bundle, tmp_path):
    save(bundle, tmp_path / "b")
    manifest = json.loads((tmp_path / "b" / "bundle.json").read_text())
    manifest["doubt"]["quantiles"]["runtime_s"][KNOWN]["high"] = 0.0
    (tmp_path / "b" / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="do not belong to probe version"):
        load(tmp_path / "b")


def test_the_command_tells_of_a_new_kind(bundle, tmp_path, monkeypatch, capsys):
    save(bundle, tmp_path / "b")
    monkeypatch.setattr(one_shot, "_embedder", lambda bundle, threads: LineCounter())
    outs = []
    for lines in (3, 1000):
        (tmp_path / "job.py").write_text("import torch\n" * lines)
        words = ["predict", str(tmp_path / "job.py"), "--bundle", str(tmp_path / "b"), "--device", "cpu-1"]
        assert main(words) == 0
        outs.append(capsys.readouterr().out)
    assert "90% interval" in outs[0]
    assert "unlike the programs that the probes learnt from" not in outs[0]
    assert "unlike the programs that the probes learnt from" in outs[1]


def test_the_packaged_bundle_has_intervals():
    from kilowait.predict.probe.bundle import load_default

    found = load_default().doubt
    assert found is not None
    known, new = (found.quantiles["runtime_s"][kind] for kind in (KNOWN, NEW))
    assert known.low < 0 < known.high
    assert new.high - new.low > known.high - known.low
