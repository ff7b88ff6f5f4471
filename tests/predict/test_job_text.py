"""The one text that a predictor reads: files in order under their paths, arguments where they take effect."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.predict.embed.embedding import Embedder
from kilowait.predict.embed.language_model import load_language_model
from kilowait.predict.predictor import Predictor
from kilowait.predict.probe import bundle as bundles
from kilowait.program.job_source import JobSource
from kilowait.program.resources import read_request
from kilowait.program.text import as_source, render, texts

SCRIPT = """\
import argparse
parser = argparse.ArgumentParser(description="é")
parser.add_argument("--epochs", type=int, default=3); parser.add_argument("--amp", action="store_true")
parser.add_argument("--lr", type=float,
                    default=1e-3)
parser.add_argument("--width", type=int, required=True)
args = parser.parse_args()
for epoch in range(args.epochs):
    step(args.lr)
"""


def job(text=SCRIPT, *arguments, **files):
    more = {name.replace("_", "."): content.encode() for name, content in files.items()}
    return JobSource(files={"main.py": text.encode(), **more}, entrypoint="main.py", arguments=arguments)


@given(st.text(st.characters(exclude_characters="\0\ufeff", exclude_categories=["Cs"])).filter(str.strip))
def test_one_file_without_arguments_is_its_own_text(text):
    assert render(job(text)) == text


def test_several_files_stand_under_their_paths_in_order():
    files = {"a_py": "import c", "b_py": "B = 1\n", "c_py": "", "x_yaml": "lr: 1", "unused_py": "U = 1"}
    assert render(job("import b\nimport a\nopen('x.yaml')", **files)) == (
        "# main.py\nimport b\nimport a\nopen('x.yaml')\n# b.py\nB = 1\n# a.py\nimport c\n# c.py\n# x.yaml\nlr: 1"
    )


def test_the_order_of_files_in_the_record_counts_for_nothing():
    files = {"main.py": b"import a\nimport b", "a.py": b"A = 1", "b.py": b"B = 1"}
    turned = JobSource(files=dict(reversed(files.items())), entrypoint="main.py")
    assert render(turned) == render(JobSource(files=files, entrypoint="main.py"))


def test_an_argument_reads_as_the_default_it_replaces():
    assert render(job(SCRIPT, "--epochs", "300")) == SCRIPT.replace("default=3)", "default=300)")
    both = SCRIPT.replace("default=3)", "default=300)").replace("default=1e-3", "default=0.5")
    assert render(job(SCRIPT, "--lr=0.5", "--ep", "300")) == both
    assert render(job(SCRIPT.replace("\n", "\r\n"), "--epochs", "300")) == SCRIPT.replace("\n", "\r\n").replace(
        "default=3)", "default=300)"
    )


def test_an_argument_that_repeats_its_default_changes_the_hash_and_not_the_text():
    assert render(job(SCRIPT, "--epochs", "3", "--lr", "0.001")) == SCRIPT
    assert job(SCRIPT, "--epochs", "3").content_hash != job(SCRIPT).content_hash


def test_arguments_without_a_default_in_the_text_follow_in_a_last_comment():
    said = render(job(SCRIPT, "--amp", "--width", "64", "--name", "a\nb", "more"))
    assert said == SCRIPT + '# arguments: amp=true width=64 name="a\\nb" argument_1="more"\n'
    assert render(job("x = 1", "--epochs", "300")) == "x = 1\n# arguments: epochs=300\n"
    assert render(job("x = 1", "--epochs=300")) == render(job("x = 1", "--epochs", "300"))


def test_options_of_a_local_module_are_set_there():
    module = "def add(p):\n    p.add_argument('--epochs', type=int, default=3)\n"
    assert render(job("import opts", "--epochs", "300", opts_py=module)) == (
        "# main.py\nimport opts\n# opts.py\n" + module.replace("default=3", "default=300")
    )


def test_the_request_is_read_from_all_files_and_the_arguments():
    source = job("import b", b_py="\nTrainer(devices=2)", unused_py="Trainer(devices=64)")
    request = read_request(texts(source), source.arguments)
    assert (request.gpus, request.evidence) == (2, ("b.py line 2: Trainer(devices=2) -> 2 GPUs",))
    source = job("open('c.yaml')", c_yaml="trainer:\n  devices: 4\n")
    assert read_request(texts(source)).gpus == 4
    source = job("import b", "--devices", "8", b_py="\nTrainer(devices=2)")
    assert read_request(texts(source), source.arguments).gpus == 8


@pytest.fixture(scope="module")
def predictor():
    bundle = bundles.load_default()
    depth = max(feature.layer for feature in bundle.features)
    return Predictor(bundle, Embedder(load_language_model(bundle.features[0].model, depth=depth)))


TRAINING = """\
import argparse, sys
import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=10)
args = parser.parse_args()
model = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 128, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
images, labels = torch.randn(64, 3, 32, 32), torch.randint(0, 10, (64,))
for epoch in range(args.epochs):
    for batch in range(20):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
    print(epoch, loss.item())
"""
BY_HAND = (
    TRAINING.replace("args.epochs", "int(sys.argv[2])").replace("parser", "# parser").replace("args =", "# args =")
)


@pytest.mark.parametrize("text", [TRAINING, BY_HAND], ids=["argparse", "sys.argv"])
def test_more_epochs_are_predicted_to_take_longer(predictor, text):
    def predicted(*arguments):
        return predictor.predict(as_source(job(text, *arguments)))

    few, many = predicted("--epochs", "3"), predicted("--epochs", "300")
    for device_type in predictor.bundle.device_types:
        assert many[device_type].runtime_s > few[device_type].runtime_s
        assert many[device_type].energy_kwh > few[device_type].energy_kwh
