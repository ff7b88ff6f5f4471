"""What each option will be: declared options and given arguments, against argparse itself and by hand for others."""

import argparse
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilowait.program.effect import arguments_in_effect, arguments_refused
from kilowait.program.job_source import JobSource
from tests.support.examples import examples

ARGPARSE = """\
import argparse
WIDTH = 64
p = argparse.ArgumentParser()
p.add_argument("data")
p.add_argument("-e", "--epochs", type=int, default=3)
p.add_argument("--lr", "--learning-rate", type=float, default="1e-3", help="step size")
p.add_argument("--width", type=int, default=WIDTH * 2)
p.add_argument("--optimizer", choices=["sgd", "adam"], default="adam")
p.add_argument("--amp", action="store_true")
p.add_argument("--no-cuda", dest="cuda", action="store_false")
p.add_argument("--layers", nargs="+", type=int, default=[1, 2])
p.add_argument("--tag", action="append")
p.add_argument("--cache", action=argparse.BooleanOptionalAction, default=True)
p.add_argument("--workers", type=int, default=os.cpu_count())
p.add_argument("--version", action="version", version="1")
p.set_defaults(optimizer="sgd")
"""
DEFAULTS = {
    "epochs": 3, "lr": 0.001, "width": 128, "optimizer": "sgd", "amp": False, "cuda": True, "layers": [1, 2],
    "cache": True,
}  # fmt: skip


def effect(text, *arguments, **modules):
    files = {"main.py": text.encode(), **{f"{name}.py": module.encode() for name, module in modules.items()}}
    return arguments_in_effect(JobSource(files=files, entrypoint="main.py", arguments=arguments))


def values(text, *arguments, **modules):
    return {name: found.value for name, found in effect(text, *arguments, **modules).items() if found.value is not None}


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        ([], {}),
        (["--epochs", "300"], {"epochs": 300}),
        (["--epochs=300"], {"epochs": 300}),
        (["--ep", "300"], {"epochs": 300}),
        (["-e300", "--lr", "0.5"], {"epochs": 300, "lr": 0.5}),
        (["--learning-rate", "1e-4"], {"lr": 0.0001}),
        (["--amp", "--no-cuda", "--no-cache"], {"amp": True, "cuda": False, "cache": False}),
        (["input", "--layers", "4", "5", "6"], {"data": "input", "layers": [4, 5, 6]}),
        (["--tag", "a", "--tag", "b", "--workers", "4"], {"tag": ["a", "b"], "workers": 4}),
        (["--unknown", "7", "--key=x"], {"unknown": 7, "key": "x"}),
    ],
)
def test_argparse(arguments, changed):
    found = values(ARGPARSE, *arguments)
    if "unknown" in changed:
        found.pop("data", None)  # argparse gives the stray value to the positional; both readings show it
        assert found.pop("unknown") in (7, True)
        changed = {"key": "x"}
    assert found == DEFAULTS | changed


def test_evidence_says_given_or_where_the_default_stands():
    found = effect(ARGPARSE, "--epochs", "3")
    assert (found["epochs"].evidence, found["epochs"].where) == ("given", "arguments")
    assert (found["lr"].evidence, found["lr"].where) == ("default", "main.py, line 6")
    assert "workers" not in found  # known only at run time
    assert list(found)[:3] == ["data", "epochs", "lr"]


@settings(max_examples=examples(100))
@given(
    st.lists(
        st.sampled_from(
            ["--epochs", "-e", "--lr", "--amp", "--no-cuda", "--width=7", "--optimizer", "adam", "sgd", "5", "0.5",
             "--layers", "--tag", "--no-cache", "x", "--ep=9"]
        ),
        max_size=8,
    )
)  # fmt: skip
def test_it_agrees_with_argparse_itself(arguments):
    program = ARGPARSE.replace("ArgumentParser()", "ArgumentParser(exit_on_error=False)")
    exec(program, space := {"os": os})
    try:
        expected = vars(space["p"].parse_args(["given", *arguments]))
    except (argparse.ArgumentError, SystemExit):
        return
    expected.pop("workers")
    found = {name: value.value for name, value in effect(ARGPARSE, "given", *arguments).items()}
    found.pop("workers", None)
    assert found == expected


@pytest.mark.parametrize(
    ("text", "arguments", "expected"),
    [
        (
            "@click.command()\n@click.option('--epochs', '-e', default=3)\n"
            "@click.option('--lr', type=float, default=0.1)\n"
            "@click.option('--shout/--quiet', default=False)\n@click.option('--amp', is_flag=True)\n"
            "@click.argument('data')\ndef main(**k): ...",
            ["-e", "300", "--amp", "file"],
            {"epochs": 300, "lr": 0.1, "shout": False, "amp": True, "data": "file"},
        ),
        (
            "app = typer.Typer()\n@app.command()\ndef main(data: str, epochs: int = 3,"
            " lr: float = typer.Option(0.1, '--rate'), amp: bool = False,"
            " width: Annotated[int, typer.Option()] = 8): ...",
            ["file", "--epochs", "300", "--rate=0.5", "--amp"],
            {"data": "file", "epochs": 300, "lr": 0.5, "amp": True, "width": 8},
        ),
        (
            "def main(batch_size=8, *, lr=0.1): ...\ntyper.run(main)",
            ["--batch-size", "16"],
            {"batch_size": 16, "lr": 0.1},
        ),
        (
            "def train(data, epochs=3, lr: float = 0.1): ...\nfire.Fire(train)",
            ["d", "--epochs=300", "--lr", "1"],
            {"data": "d", "epochs": 300, "lr": 1.0},
        ),
        (
            "E = flags.DEFINE_integer('epochs', 3, 'passes')\nflags.DEFINE_string('data', 'here', 'where')",
            ["--epochs=300"],
            {"epochs": 300, "data": "here"},
        ),
        (
            "@hydra.main(config_path='conf', config_name='config')\ndef main(cfg): ...",
            ["trainer.epochs=300", "+model=big", "optimizer.lr=1e-3"],
            {"trainer.epochs": 300, "model": "big", "optimizer.lr": 0.001},
        ),
        ("import sys\nepochs = int(sys.argv[1])", ["300", "out"], {"argument_1": 300, "argument_2": "out"}),
        ("x = 1", ["--epochs", "300", "--amp", "--shift", "-5"], {"epochs": 300, "amp": True, "shift": -5}),
        ("def broken(:", ["--epochs", "300"], {"epochs": 300}),
    ],
    ids=["click", "typer", "typer.run", "fire", "absl", "hydra", "argv", "none", "broken"],
)
def test_other_ways_to_take_arguments(text, arguments, expected):
    assert values(text, *arguments) == expected


def test_options_may_be_declared_in_a_local_module():
    options = "def parse(p):\n    p.add_argument('--epochs', type=int, default=3)\n"
    found = effect("import options\nimport other", "--epochs", "300", other="p.add_argument('--x')", options=options)
    assert {name: value.value for name, value in found.items()} == {"epochs": 300}


def test_arguments_that_the_program_would_refuse_are_shown_as_given():
    source = JobSource(files={"main.py": ARGPARSE.encode()}, entrypoint="main.py", arguments=("--epochs", "many"))
    assert arguments_refused(source) == "argument -e/--epochs: invalid int value: 'many'"
    assert arguments_in_effect(source)["epochs"].value == "many"
    fine = JobSource(files={"main.py": ARGPARSE.encode()}, entrypoint="main.py", arguments=("--epochs", "4"))
    assert arguments_refused(fine) == ""


@pytest.mark.parametrize(
    "text",
    [
        "p.add_argument()",
        "p.add_argument(*a, **k)",
        "p.add_argument('--x', nargs=10**9)",
        "p.add_argument('--x', nargs=1000000000)",
        "p.add_argument('--x', default=10**10**10, type=int)",
        "p.add_argument('--x', default=9**99**99)",
        "p.add_argument('')\np.add_argument('-')\np.add_argument('--')",
        "p.add_argument('--x', choices=5, action='nonsense', dest=3)",
        "p.add_argument('--__class__', default=1)\np.add_argument('__dict__')",
        "".join(f"p.add_argument('a{i}', nargs='+')\n" for i in range(60)),
        "".join(f"p.add_argument('a{i}', nargs='?')\n" for i in range(60)) + "p.add_argument('last', nargs=8)",
        "".join(f"p.add_argument('--a{i}')\n" for i in range(5000)),
        "p.add_argument('--x', default=" + "-" * 500 + "1)",
        "p.add_argument('--x', default=" + "+".join("1" * 900) + ")",
        "@click.option()\n@click.option(x)\ndef f(): ...\nfire.Fire(f, f)\ntyper.run(lambda: 0)",
        "p.add_argument('--epochs', type=int, default='9' * 5000)\np.set_defaults(**x)",
    ],
    ids=range(16),
)
def test_hostile_declarations_neither_crash_nor_take_long(text):
    assert "given" in {
        found.evidence for found in effect(text, "--epochs", "300", "a", "b", "--__class__", "4").values()
    }
