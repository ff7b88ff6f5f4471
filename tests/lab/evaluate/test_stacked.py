"""Tables of features, the learners on them, and what corrects a base recipe."""

import numpy as np
import pytest

from kilowait.core.errors import InputError
from kilowait.lab.evaluate import tabular
from kilowait.lab.evaluate.cross_validation import Inputs, ModelAnswer
from kilowait.lab.evaluate.dataset import Dataset
from kilowait.lab.evaluate.run_features import PAIR, RUN, SHEET, pair_features, run_features, sheet_features
from kilowait.lab.evaluate.stacked import FeatureTables, stacked_recipe
from kilowait.lab.evaluate.static_features import STATIC, static_features
from kilowait.lab.evaluate.tabular import LEARNERS
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.dryrun.record import Kind
from pipelines.evaluate.recipes import parse_recipes
from tests.support.operation_world import dry_run_of, operation

SOURCE = """
import torchvision
from transformers import AutoModel
batch_size, hidden = 64, 256
class Net:
    def forward(self, x):
        return torch.relu(self.conv1(self.conv2(x)))
for epoch in range(10):
    for step in range(100):
        loss.backward()
"""


def named(text):
    return dict(zip(STATIC, static_features(text), strict=True))


def test_static_features_are_counts_that_one_can_make_by_hand():
    found = named(SOURCE)
    assert (found["loops"], found["loop depth"], found["classes"], found["functions"]) == (2, 2, 1, 1)
    assert (found["calls: conv"], found["calls: activation"], found["calls: backward"]) == (2, 1, 1)
    assert found["import torchvision"] == found["import transformers"] == 1
    assert found["import numpy"] == 0
    assert found["deepest ranges"] == pytest.approx(np.log(11) + np.log(101))
    assert found["batch: largest"] == pytest.approx(np.log(65))
    assert found["width: sum of logs"] == pytest.approx(np.log(257))
    assert found["largest"] == pytest.approx(np.log(257))


def test_comments_do_not_matter_and_broken_code_is_an_empty_source():
    assert np.array_equal(static_features(SOURCE), static_features(SOURCE.replace("backward()", "backward()  # 4096")))
    assert np.array_equal(static_features("def ("), static_features("("))
    assert np.isfinite(static_features("x = 1e999\ny = 10 ** 400\n")).all()


def test_run_features_add_up_and_a_faster_sheet_is_faster():
    gemm, move = operation(Kind.GEMM, 3e9, 1e6, count=2.0), operation(Kind.COPY, 0.0, 1e6, count=1.0)
    run = dry_run_of("a", [gemm, move])
    found = dict(zip(RUN, run_features(run), strict=True))
    assert found["flops"] == pytest.approx(np.log1p(6e9))
    assert found["share of FLOPs: gemm"] == 1
    assert found["share of bytes: copy"] == pytest.approx(1 / 3)
    sheets = [Specification.named("T4"), Specification.named("H100")]
    slow, fast = pair_features(run, sheets)
    assert slow.shape == (len(PAIR),)
    assert slow[PAIR.index("device roofline")] > fast[PAIR.index("device roofline")]
    assert sheet_features(sheets[0]).shape == (len(SHEET),)
    assert not run_features(None).any()
    assert not pair_features(None, sheets).any()


@pytest.fixture(scope="module")
def inputs():
    """40 programs of one product each on two types; the time is the FLOPs', doubled where the source has a loop."""
    rng = np.random.default_rng(0)
    scripts = tuple(f"s{i:02}" for i in range(40))
    flops = np.exp(rng.uniform(18, 24, 40))
    texts = ["for i in range(3):\n    x()\n" if i % 2 else "x()\n" for i in range(40)]
    script, device = np.repeat(np.arange(40), 2), np.tile(np.arange(2), 40)
    seconds = 1e-12 * flops[script] * (1 + device) * np.where(script % 2, 2.0, 1.0)
    study = Dataset(
        digest="",
        scripts=scripts,
        families=("f",) * 40,
        groups=scripts,
        device_types=("A100", "T4"),
        script=script,
        device=device,
        metrics={"runtime_s": seconds * np.exp(0.02 * rng.normal(size=80))},
        measured={"runtime_s": np.ones(80, dtype=np.bool_)},
        provenance={},
        spread=np.zeros(80),
        flagged=np.zeros(80, dtype=np.bool_),
    )
    runs = {s: dry_run_of(s, [operation(Kind.GEMM, f, 1e5)]) for s, f in zip(scripts, flops, strict=True)}
    return Inputs(study=study, embeddings={}, texts=texts, dry_runs=runs)


class Base:
    """Knows the FLOPs and not the loop; says which rows it was trained on, and is right about those."""

    def __init__(self, inputs):
        study = inputs.study
        self.seconds = study.metrics["runtime_s"] / np.where(study.script % 2, 2.0, 1.0)
        self.truth = study.metrics["runtime_s"]
        self.masks = []

    def __call__(self, inputs, metric, train):
        self.masks += list(train)
        return [
            ModelAnswer(predicted=np.where(mask, self.truth, self.seconds), sigma=np.full(80, 0.3)) for mask in train
        ]


def test_a_correction_learns_from_answers_to_rows_that_the_base_has_not_seen(inputs):
    """The base is exact on its own training rows: only out-of-fold answers show what it lacks."""
    base, mask = Base(inputs), inputs.study.script < 30
    recipe = stacked_recipe(["static"], (), "boosted", 0, base)
    (found,) = recipe(inputs, "runtime_s", [mask])
    assert all((each <= mask).all() for each in base.masks)
    left_out = [mask & ~each for each in base.masks]
    assert np.array_equal(np.sum(left_out, axis=0), mask)  # each row once
    error = np.abs(np.log(found.predicted / inputs.study.metrics["runtime_s"]))[~mask]
    assert error.mean() < 0.2 < np.abs(np.log(base.seconds / base.truth))[~mask].mean()
    assert (found.sigma == 0.3).all()
    trained = len(base.masks)
    recipe(inputs, "runtime_s", [mask])
    assert len(base.masks) == trained


def test_labels_outside_the_mask_do_not_matter(inputs):
    mask = inputs.study.script < 30
    first = stacked_recipe(["run", "static"], (), "ridge", 0)(inputs, "runtime_s", [mask])[0].predicted
    kept = inputs.study.metrics["runtime_s"].copy()
    inputs.study.metrics["runtime_s"][~mask] *= 100
    again = stacked_recipe(["run", "static"], (), "ridge", 0)(inputs, "runtime_s", [mask])[0].predicted
    inputs.study.metrics["runtime_s"][:] = kept
    assert np.array_equal(first, again)


@pytest.mark.parametrize("learner", sorted({*LEARNERS} - {"network"}))
def test_learners_learn_a_line_and_answer_noise_with_little(learner):
    rng = np.random.default_rng(1)
    x, fold = rng.normal(size=(150, 2)), np.arange(150) % 6
    line = tabular.fit(learner, x[:120], 2 * x[:120, 0], fold[:120], 0, shrink=True)
    assert line.share >= 0.75
    error = np.abs(line.predict(x[120:]) - 2 * x[120:, 0]).mean()
    assert error < 0.6 * np.abs(2 * x[120:, 0]).mean()
    noise = tabular.fit(learner, x[:120], rng.normal(size=120), fold[:120], 0, shrink=True)
    assert noise.predict(x[120:]).std() < 0.5


def test_a_network_learns_a_line():
    x = np.random.default_rng(1).normal(size=(60, 2))
    network = tabular.Network(seed=0).fit(x, 2 * x[:, 0])
    assert np.abs(network.predict(x) - 2 * x[:, 0]).mean() < 0.5 * np.abs(2 * x[:, 0]).mean()


def test_tables_have_the_sets_that_were_asked_for(inputs):
    tables, mask = FeatureTables(inputs, ()), np.ones(80, dtype=np.bool_)
    own = len(SHEET) + 2
    assert tables.x(["static"], mask).shape == (80, own + len(STATIC))
    assert tables.x(["run"], mask).shape == (80, own + len(RUN) + len(PAIR))


def test_recipes_name_their_learner_and_their_sets():
    one, two = parse_recipes("forest@run+static,combined+forest", features=None, seed=0, device="cpu")
    assert (one.name, one.features, one.slow) == ("forest@run+static", (), True)
    assert two.features
    assert not two.slow
    with pytest.raises(InputError, match="sets of features other than embedding, run, static"):
        parse_recipes("forest@runs", features=None, seed=0, device="cpu")
