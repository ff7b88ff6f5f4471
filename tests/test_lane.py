"""The quick tests load neither Ray nor PyTorch, and every test of the whole suite has the marks of what it loads."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LANE = "not ray and not torch and not slow"
COLLECTS = """
import sys
import pytest

code = pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "-m", {lane!r}, *sys.argv[1:]])
print("loaded:", *sorted({{"ray", "torch", "transformers"}} & set(sys.modules)))
sys.exit(code)
"""


def collected(*paths: str, lane: str = LANE) -> tuple[int, str]:
    """The exit code and the output of a run in a process of its own that only collects."""
    command = [sys.executable, "-c", COLLECTS.format(lane=lane), *paths]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_quick_tests_are_the_ones_that_make_quick_runs() -> None:
    assert f"-m '{LANE}'" in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.slow
def test_collecting_the_quick_tests_loads_nothing_heavy() -> None:
    code, text = collected()
    assert code == 0, text
    assert text.rstrip().endswith("loaded:")
    assert "tests/policies/" in text
    assert "tests/serve/" not in text


@pytest.mark.parametrize("heavy", ["ray", "torch"])
def test_a_test_that_imports_what_its_marks_do_not_say_fails_in_the_quick_run(tmp_path: Path, heavy: str) -> None:
    """Wherever it stands, and whether or not the package is installed."""
    (tmp_path / "test_it.py").write_text(f"def test_it():\n    import {heavy}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", LANE, "-c", "pyproject.toml"]
    command += ["--rootdir", str(ROOT), "-p", "tests.conftest", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    assert f"this run does without {heavy}" in done.stdout
