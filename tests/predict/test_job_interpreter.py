"""Dry runs under another Python than kilowait's own."""

import json
import os
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from kilowait.core.errors import InputError
from kilowait.predict import interpreter
from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import Completeness
from kilowait.predict.dryrun.sandbox import sandbox_available

REASON = sandbox_available()
needs_sandbox = pytest.mark.skipif(REASON is not None, reason=str(REASON))
SLOW = "import time\nend = time.process_time() + 3\nwhile time.process_time() < end: pass\nTWO = 2\n"
GOOD = "import torch\na, b = torch.randn(4, 5), torch.randn(5, 6)\na @ b\n"


def program(text: str, **given: object) -> DryProgram:
    return DryProgram(files={"job.py": text.encode()}, entrypoint="job.py", content_hash="1", **given)  # type: ignore[arg-type]


def told(path: Path, python: list[int], **packages: str | None) -> Path:
    """A program that answers as an interpreter with these versions would."""
    answer = json.dumps({"python": python, "torch": None, "numpy": "1.26", **packages})
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n")
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with PyTorch, a package of its own, and no kilowait."""
    import torch

    folder = tmp_path_factory.mktemp("environments") / "job"
    venv.create(folder, symlinks=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    installed = Path(torch.__file__).parents[1]
    names = "torch torchgen functorch numpy numpy.libs sympy mpmath networkx jinja2 markupsafe filelock fsspec"
    for name in (*names.split(), *(p.name for p in installed.glob("torch-*.dist-info")),
                 *(p.name for p in installed.glob("numpy-*.dist-info")), "typing_extensions.py"):  # fmt: skip
        if (installed / name).exists():
            (packages / name).symlink_to(installed / name)
    (packages / "own_package.py").write_text(
        "import time\nend = time.process_time() + 3\nwhile time.process_time() < end: pass\nTWO = 2\n"
    )
    return folder


@pytest.fixture(scope="module")
def runner(environment: Path) -> Iterator[DryRunner]:
    with DryRunner(
        budget_s=1.5, target="cpu", unsafe=True, interpreter=interpreter.in_venv(str(environment))
    ) as runner:
        yield runner


def test_a_program_finds_the_packages_of_its_own_environment(runner: DryRunner) -> None:
    run = runner.run_program(program(GOOD + "import own_package\nfor _ in range(own_package.TWO): a @ b\n"))
    assert run.completeness == Completeness.WHOLE
    assert next(op.count for op in run.operations if op.op == "aten.mm") == 3
    assert run.interpreter.startswith(f"Python {sys.version.split()[0]}, torch 2.")


def test_three_seconds_of_imports_do_not_count_against_a_budget_of_one_and_a_half(runner: DryRunner) -> None:
    run = runner.run_program(program("import own_package, importlib\n" + GOOD))
    assert (run.completeness, run.reason) == (Completeness.WHOLE, "")


def test_after_an_import_the_budget_counts(runner: DryRunner) -> None:
    run = runner.run_program(program(GOOD + "import own_package\nwhile True: pass\n"))
    assert (run.completeness, "budget of 1.5" in run.reason) == (Completeness.PARTIAL, True)
    assert run.seconds < 30


def test_a_module_of_the_program_itself_is_paid_for(runner: DryRunner) -> None:
    files = {"job.py": (GOOD + "import slow").encode(), "slow.py": b"while True: pass"}
    run = runner.run_program(DryProgram(files=files, entrypoint="job.py", content_hash="1"))
    assert (run.completeness, "budget of 1.5" in run.reason) == (Completeness.PARTIAL, True)


def test_a_package_that_is_missing_is_named_with_what_to_do(runner: DryRunner) -> None:
    run = runner.run_program(program("import package_of_nobody"))
    assert "No module named 'package_of_nobody'" in run.reason
    assert "--python PATH" in run.reason


def test_kilowait_is_not_there(runner: DryRunner) -> None:
    assert "No module named 'msgspec'" in runner.run_program(program("import msgspec")).reason


@needs_sandbox
def test_the_sandbox_shows_the_environment_and_no_more(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("1")
    with DryRunner(budget_s=5, target="cpu", interpreter=interpreter.in_venv(str(environment))) as runner:
        for attempt, error in (
            (f"open({str(tmp_path / 'secret')!r})", "FileNotFoundError"),
            ("import os; os.remove(torch.__file__)", "Error"),
            ("import own_package; open(own_package.__file__, 'w')", "Error"),
        ):
            assert error in runner.run_program(program(GOOD + attempt)).reason
        assert runner.run_program(program(GOOD)).completeness == Completeness.WHOLE


@pytest.mark.parametrize(
    ("python", "packages", "words"),
    [
        ([3, 8, 18], {"torch": "2.3.1"}, "is Python 3.8.18; a dry run needs 3.9"),
        ([2, 7, 18], {}, "is Python 2.7.18"),
        ([3, 10, 12], {}, "is Python 3.10.12 without torch"),
        ([3, 10, 12], {"torch": "2.0.1+cu117"}, r"has torch 2.0.1\+cu117; a dry run needs 2.1"),
        ([3, 10, 12], {"torch": "1.13.1"}, "needs 2.1"),
        ([3, 12, 1], {"torch": "2.10.0", "numpy": None}, "without numpy"),
    ],
)
def test_what_an_environment_lacks_is_one_line(tmp_path: Path, python, packages, words) -> None:
    with pytest.raises(InputError, match=words) as refusal:
        interpreter.at(str(told(tmp_path / "python", python, **packages)))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("version", ["2.1.0", "2.1.2+cu121", "2.10.0", "3.0.0a0"])
def test_versions_that_are_new_enough(tmp_path: Path, version: str) -> None:
    python = told(tmp_path / "python", [3, 9, 0], torch=version)
    assert interpreter.at(str(python)).command == (str(python),)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"python": "/no/such/python"}, "no program there"),
        ({"python": "/etc"}, "no program there"),
        ({"python": "/bin/echo"}, "does not answer as a Python would"),
        ({"venv": "/etc"}, "no bin/python in it"),
        ({"conda": "nobodys"}, "--conda nobodys: no environment of that name"),
        ({"image": "pytorch/pytorch"}, "podman or apptainer"),
        ({"python": "x", "venv": "x"}, "one interpreter"),
    ],
)
def test_what_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given, words) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=words):
        interpreter.choose(**given)


def test_an_environment_of_conda_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    prefix = tmp_path / "anywhere" / "vision"
    (prefix / "bin").mkdir(parents=True)
    told(prefix / "bin" / "python", [3, 11, 1], torch="2.4.0")
    (tmp_path / ".conda").mkdir()
    (tmp_path / ".conda" / "environments.txt").write_text(f"{prefix}\n{tmp_path / 'gone'}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert interpreter.in_conda("vision").command == (str(prefix / "bin" / "python"),)
    with pytest.raises(InputError, match="there are vision"):
        interpreter.in_conda("speech")


ENGINE = """\
#!{python}
import os, sys
words = sys.argv[1:]
assert words[0] == "run" and "--network=none" in words and "--read-only" in words and "--cap-drop=all" in words, words
volume = next(w for w in words if w.startswith("--volume=")).partition("=")[2].split(":")
assert volume[2] == "ro"
rest = words[words.index("the-image") + 1:]
assert rest[0] == "python3"
root = os.path.dirname(volume[0])
os.execv({python!r}, [{python!r}, *(w.replace(os.path.dirname(volume[1]), root) for w in rest[1:])])
"""


def test_an_image_is_run_by_its_engine_without_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stand-in of podman that checks its words and runs the Python of these tests instead of the image's."""
    engine = tmp_path / "podman"
    engine.write_text(ENGINE.format(python=sys.executable))
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with DryRunner(budget_s=60, target="cpu", interpreter=interpreter.in_image("the-image")) as runner:
        assert runner.run_program(program(GOOD)).completeness == Completeness.WHOLE


def test_one_that_is_relied_on_is_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "_relied_on", set())
    python = told(tmp_path / "python", [3, 8, 1])
    with pytest.raises(InputError, match=r"3\.9 or later"):
        interpreter.at(str(python))
    interpreter.rely_on(interpreter.Interpreter(command=(str(python),), name="it"))
    assert interpreter.at(str(python)).command == (str(python),)
