"""Where a program states its batch size, and the same program with another."""

import pytest

from kilowait.program.job_source import JobSource
from kilowait.program.stated_batch import stated_batch, with_batch

PARSER = "import argparse\np = argparse.ArgumentParser()\np.add_argument({flags}, type=int, default=32)\n"


def source(text: str, *arguments: str, **files: str) -> JobSource:
    given = {name.replace("_", "."): content.encode() for name, content in files.items()}
    return JobSource(files={"job.py": text.encode(), **given}, entrypoint="job.py", arguments=arguments)


@pytest.mark.parametrize(
    ("flags", "given", "size", "then"),
    [
        ("'--batch-size'", (), 32, ("--batch-size", "48")),
        ("'-b', '--batch_size'", ("-b", "8"), 8, ("-b", "8", "--batch_size", "48")),
        ("'--per_device_train_batch_size'", (), 32, ("--per_device_train_batch_size", "48")),
        ("'--bs'", ("--bs=4",), 4, ("--bs=4", "--bs", "48")),
    ],
)
def test_an_option_that_the_program_declares(flags, given, size, then):
    job = source(PARSER.format(flags=flags), *given)
    stated = stated_batch(job)
    assert stated.size == size
    assert with_batch(job, stated, 48).arguments == then
    assert stated_batch(with_batch(job, stated, 48)).size == 48


@pytest.mark.parametrize("flag", ["--eval-batch-size", "--batch-norm", "--batches", "--val_bs", "--hidden-size"])
def test_other_options_are_not_taken_for_it(flag):
    assert stated_batch(source(PARSER.format(flags=f"'{flag}'"))) is None


def test_words_of_the_arguments_that_nothing_declares():
    job = source("import hydra\n", "train.batch_size=16", "lr=1", "--bs", "3")
    assert stated_batch(job).size == 16
    assert with_batch(job, stated_batch(job), 48).arguments == ("train.batch_size=48", "lr=1", "--bs", "3")


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("BATCH_SIZE = 64\nx = 64\n", "BATCH_SIZE = 48\nx = 64\n"),
        ("f(batch_size=64)\ng(batch_size=64, n=2)\n", "f(batch_size=48)\ng(batch_size=48, n=2)\n"),
        ("é = {'batch_size': 64}\n", "é = {'batch_size': 48}\n"),
        ("c.train.batch_size: int = 64\n", "c.train.batch_size: int = 48\n"),
    ],
)
def test_a_constant_of_the_entrypoint(text, then):
    job = source(text)
    stated = stated_batch(job)
    assert (stated.size, stated.path) == (64, "job.py")
    assert with_batch(job, stated, 48).files["job.py"].decode() == then
    assert with_batch(job, stated, 48).content_hash != job.content_hash


def test_a_line_of_a_configuration_file():
    job = source(
        "open('conf.yaml')\n", conf_yaml="model: 3\ntrain:\n  batch_size: 64  # samples\n  eval_batch_size: 64\n"
    )
    stated = stated_batch(job)
    assert stated.how == "batch_size 64 in conf.yaml"
    changed = with_batch(job, stated, 48).files["conf.yaml"].decode()
    assert changed == "model: 3\ntrain:\n  batch_size: 48  # samples\n  eval_batch_size: 64\n"


@pytest.mark.parametrize("text", ["x = 1\n", "batch_size = n * 2\n", "def f(:\n", "batch_size = True\n"])
def test_a_program_that_says_nothing(text):
    assert stated_batch(source(text)) is None
