"""Programs that mean harm: contained, and every one ends in a result that says what happened."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from kilowait.core.errors import InputError
from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner, checked
from kilowait.predict.dryrun.record import Completeness, DryRun
from kilowait.predict.dryrun.sandbox import by_the_clock, sandbox_available

REASON = sandbox_available()
needs_sandbox = pytest.mark.skipif(REASON is not None, reason=str(REASON))

GOOD = "import torch\na, b = torch.randn(4, 5), torch.randn(5, 6)\na @ b\n"


def _program(text: str) -> DryProgram:
    return DryProgram(files={"job.py": text.encode()}, entrypoint="job.py", content_hash="1")


@pytest.fixture(scope="module")
def runner() -> Iterator[DryRunner]:
    with DryRunner(budget_s=1.5, imports_s=5, target="cpu") as runner:
        yield runner


def _tried(runner: DryRunner, attempt: str) -> DryRun:
    """The result of a good program that first makes an attempt; what that raises is the reason."""
    return runner.run_program(_program(GOOD + attempt))


@needs_sandbox
@pytest.mark.parametrize(
    ("attempt", "error"),
    [
        ("open('/etc/shadow').read()", "FileNotFoundError"),
        ("import os; os.listdir(os.path.expanduser('~root') + '/.ssh')", "Error"),
        ("import os; os.listdir('/home')", "FileNotFoundError"),
        (f"open({str(Path(__file__).parents[2] / 'pyproject.toml')!r}).read()", "FileNotFoundError"),
        ("open(torch.__file__, 'a')", "Error"),
        ("import os, torch; os.remove(torch.__file__)", "Error"),
        ("import socket; socket.create_connection(('127.0.0.1', 22), 1)", "Error"),
        ("import socket; socket.create_connection(('1.1.1.1', 53), 1)", "Error"),
        ("import os; os.setuid(0)", "PermissionError"),
        ("import os; os.kill(1 << 15, 9)", "ProcessLookupError"),
        ("with open('big', 'wb') as f:\n    while True:\n        f.write(bytes(1 << 20))", "Error"),
        ("for i in range(200):\n    open(f'big{i}', 'wb').write(bytes(1 << 20))", "OSError"),
        ("x = bytearray(200 << 30)", "MemoryError"),
        ("import os\nwhile True:\n    os.fork()", ""),
        (
            "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
            "if libc.mount(b'none', b'/scratch', b'tmpfs', 0, None):\n    raise OSError(ctypes.get_errno(), 'mount')",
            "PermissionError",
        ),
        (  # memory that its limit of address space does not count
            "import os\nf = os.memfd_create('m')\nfor _ in range(100):\n    os.write(f, bytes(60 << 20))",
            "PermissionError: [Errno 1]",
        ),
        (
            "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
            "if libc.shmget(0, 1 << 30, 0o1600) == -1:\n    raise OSError(ctypes.get_errno(), 'shmget')",
            "PermissionError",
        ),
        (  # a user namespace of its own, in which it could mount a larger scratch folder
            "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
            "if libc.unshare(0x10020000):\n    raise OSError(ctypes.get_errno(), 'unshare')",
            "PermissionError",
        ),
        (
            "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
            "if libc.syscall(56, 0x10000011, 0, 0, 0, 0) == -1:\n    raise OSError(ctypes.get_errno(), 'clone')",
            "PermissionError",
        ),
        (
            "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
            "if libc.syscall(435, 0, 0) == -1:\n    raise OSError(ctypes.get_errno(), 'clone3')",
            "Errno 38",
        ),
    ],
)
def test_what_a_program_must_not_do_fails(runner: DryRunner, attempt: str, error: str) -> None:
    run = _tried(runner, attempt)
    assert run.completeness in (Completeness.PARTIAL, Completeness.FAILED)
    assert error in run.reason
    assert runner.run_program(_program(GOOD)).completeness == Completeness.WHOLE


@needs_sandbox
def test_a_loop_without_end_is_partial(runner: DryRunner) -> None:
    run = _tried(runner, "while True: pass")
    assert (run.completeness, run.operations[0].op) == (Completeness.PARTIAL, "aten.randn")
    assert "budget" in run.reason


@needs_sandbox
def test_a_program_that_refuses_to_end_hands_in_what_it_did(runner: DryRunner) -> None:
    endless = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    run = _tried(runner, endless)
    assert run.completeness == Completeness.PARTIAL
    assert run.operations


SIGNALS = "import signal\nfor number in (signal.SIGALRM, signal.SIGPROF): signal.signal(number, signal.SIG_IGN)\n"


@needs_sandbox
def test_a_program_that_waits_ends_by_the_clock(runner: DryRunner) -> None:
    run = _tried(runner, "import torch, threading\ntorch.ones(3) + 1\nthreading.Event().wait()")
    assert run.completeness == Completeness.PARTIAL
    assert "was spent" in run.reason


@needs_sandbox
def test_a_program_that_blocks_the_alarm_is_killed(runner: DryRunner) -> None:
    run = _tried(runner, SIGNALS + "while True: pass")
    assert run.completeness == Completeness.FAILED
    assert "kill" in run.reason.lower()  # by its worker, or by the limit on its CPU seconds
    assert runner.run_program(_program(GOOD)).completeness == Completeness.WHOLE


@needs_sandbox
def test_endless_output_harms_nobody(runner: DryRunner) -> None:
    assert "budget" in _tried(runner, "while True: print('x' * 1000)").reason


@needs_sandbox
@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        ("import os; os._exit(3)", "exit status 3"),
        ("import os; os.write(3, b'{\"forged\": 1}'); os._exit(0)", "damaged"),
        ("import os; os.close(3)", "without a record"),
        ("import os\nwhile True: os.write(3, bytes(1 << 20))", "bytes of record"),
    ],
)
def test_a_program_that_meddles_with_its_record_fails(runner: DryRunner, attempt: str, words: str) -> None:
    run = _tried(runner, attempt)
    assert run.completeness == Completeness.FAILED
    assert words in run.reason


@needs_sandbox
def test_nothing_is_left_behind(runner: DryRunner) -> None:
    run = _tried(
        runner, "import os\nfor _ in range(20):\n    if os.fork() == 0:\n        os.setsid()\n        while True: pass"
    )
    assert run.usable
    assert runner._worker is not None
    until = time.monotonic() + 300
    while (left := psutil.Process(runner._worker.pid).children(recursive=True)) and time.monotonic() < until:
        time.sleep(0.05)
    assert left == []


@needs_sandbox
def test_a_program_sees_nothing_of_the_environment(runner: DryRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVICE", "1")
    with DryRunner(budget_s=120, target="cpu") as fresh:
        run = _tried(fresh, "import os\nraise ValueError(sorted(os.environ))")
    assert "SECRET" not in run.reason
    assert "PATH" in run.reason


@needs_sandbox
def test_a_worker_that_is_killed_comes_back(runner: DryRunner) -> None:
    assert runner._worker is not None
    os.kill(runner._worker.pid, 9)
    assert runner.run_program(_program(GOOD)).completeness == Completeness.WHOLE


def test_an_unsafe_run_needs_no_sandbox() -> None:
    with DryRunner(budget_s=120, target="cpu", unsafe=True) as runner:
        assert runner.run_program(_program(GOOD)).completeness == Completeness.WHOLE


def test_an_entrypoint_that_is_not_there_is_named(runner: DryRunner) -> None:
    with pytest.raises(InputError, match=r"main\.py"):
        runner.run_program(DryProgram(files={"a.py": b""}, entrypoint="main.py", content_hash="1"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_forged_number_is_refused(value: float) -> None:
    run = DryRun(content_hash="1", target="cpu", completeness="whole", steps=value)
    with pytest.raises((ValueError, msgspec.DecodeError)):
        checked(run.to_json(), _program(GOOD), "cpu")


@needs_sandbox
def test_a_package_that_lies_under_the_temporary_folder_is_sandboxed_too(tmp_path: Path) -> None:
    package = Path(__file__).parents[2] / "kilowait"
    shutil.copytree(package, tmp_path / "kilowait", ignore=shutil.ignore_patterns("data", "__pycache__"))
    asked = "import kilowait; from kilowait.predict.dryrun import sandbox; "
    asked += "print(kilowait.__file__, sandbox.sandbox_available())"
    said = subprocess.run(
        [sys.executable, "-c", asked],
        env={"PYTHONPATH": str(tmp_path)},
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.split() == [str(tmp_path / "kilowait" / "__init__.py"), "None"], said


@pytest.mark.parametrize(("load", "times"), [(0.2, 3), (2, 3), (8, 12), (90, 12)])
def test_a_busy_machine_takes_no_work_from_a_program_by_the_clock(load: float, times: float) -> None:
    """On two cores: as much longer as others are served in between, up to four times."""
    assert by_the_clock(load, 2) == times
