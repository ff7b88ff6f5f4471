"""The process that a prediction leaves behind, through what its socket does: what runs there, for whom, until when."""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kilowait.cli.job_environment import accesses
from kilowait.cli.standby import standby_call, standby_server
from kilowait.cli.standby.standby_place import MINUTES, StandbyPlace, place_for, private_folder
from kilowait.core.errors import InputError
from kilowait.predict.worker_pair import WorkerPair
from kilowait.program.job_source import JobSource
from kilowait.program.read import JobReading

pytestmark = pytest.mark.slow

SETTINGS = {"cold": False, "image": None, "gpu_file": None, "python": None, "venv": None, "conda": None}


def asked(**given: object) -> argparse.Namespace:
    return argparse.Namespace(**{**SETTINGS, **given})


@pytest.fixture
def runtime() -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder:  # a short name: it is one of sockets
        yield {"XDG_RUNTIME_DIR": folder}


def test_a_place_is_for_one_interpreter_set_of_packages_and_variables(runtime: dict[str, str], tmp_path: Path) -> None:
    packages = tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)

    def at(variables: dict[str, str] = runtime, **given: object) -> Path:
        place = place_for(asked(**given), variables)
        assert place is not None
        return place.socket

    assert at() == at() != at(venv=str(tmp_path / "venv")) == at(venv=str(tmp_path / "venv"))
    assert at() != at({**runtime, "PYTHONPATH": "/x"})
    assert at() == at({**runtime, "COLUMNS": "80"})
    before = at(venv=str(tmp_path / "venv"))
    os.utime(packages, (1, 1))
    assert at(venv=str(tmp_path / "venv")) != before


@pytest.mark.parametrize("given", [{"cold": True}, {"image": "x"}, {"gpu_file": Path("x")}, {"conda": "x"}])
def test_some_commands_have_none(runtime: dict[str, str], given: dict[str, object]) -> None:
    assert place_for(asked(**given), runtime) is None


def test_a_folder_of_a_name_too_long_for_a_socket_has_none(runtime: dict[str, str]) -> None:
    folder = Path(runtime["XDG_RUNTIME_DIR"], "x" * 90)
    folder.mkdir(mode=0o700)
    assert place_for(asked(), {"XDG_RUNTIME_DIR": str(folder)}) is None


def test_it_is_switched_off_and_a_number_that_is_none_is_named(runtime: dict[str, str]) -> None:
    assert place_for(asked(), {**runtime, MINUTES: "0"}) is None
    with pytest.raises(InputError, match=f"{MINUTES}=soon"):
        place_for(asked(), {**runtime, MINUTES: "soon"})


def test_a_folder_that_others_may_enter_or_own_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = private_folder({})
    assert folder is not None
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    assert private_folder({}) is None
    folder.rmdir()
    (tmp_path / "other").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "other")
    assert private_folder({}) is None


@pytest.mark.parametrize("answer", [b"", b"\0", standby_call.TAKEN])
def test_one_that_does_not_take_a_command_or_dies_with_it_changes_nothing(tmp_path: Path, answer: bytes) -> None:
    place = StandbyPlace(socket=tmp_path / "s", interpreter=(), minutes=1)
    assert standby_call.answered(["predict"], place) is None
    code = (
        "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen()\nprint(flush=True)\n"
        "c = s.accept()[0]\nc.recv(9)\nc.sendall(bytes.fromhex(sys.argv[2]))\nc.recv(1 << 20)"
    )
    server = subprocess.Popen([sys.executable, "-c", code, place.socket, answer.hex()], stdout=subprocess.PIPE)
    assert server.stdout is not None
    with server:
        server.stdout.readline()
        assert standby_call.answered(["predict"], place) is None
    assert place.socket.exists()
    assert standby_call.answered(["predict"], place) is None
    assert not place.socket.exists()  # of a process that is gone, so that another is started


def test_a_command_without_standard_input_runs_where_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = StandbyPlace(socket=tmp_path / "s", interpreter=(), minutes=1)
    place.socket.touch()
    monkeypatch.setattr("sys.stdin", None)
    assert standby_call.answered(["predict"], place) is None
    assert place.socket.exists()


def test_who_waits_no_more_gets_the_end_of_their_pipe(tmp_path: Path) -> None:
    """Whoever reads what a command prints would else wait until the process ends, minutes later."""
    reads, writes = os.pipe()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(tmp_path / "s"))
            request = {"words": ["predict"], "folder": "/", "variables": {"X": "x" * 9000}, "umask": 0, "encodings": []}
            data = json.dumps(request).encode()
            socket.send_fds(line, [standby_call.HEAD.pack(len(data))], [writes] * 3)
            line.sendall(data)
        os.close(writes)
        with listener.accept()[0] as line:
            assert standby_server._answer(line, listener, WorkerPair())
    os.set_blocking(reads, False)
    assert os.read(reads, 1) == b""
    os.close(reads)


PROGRAM = (
    "import torch\nlayer = torch.nn.Linear(8, 8)\noptimizer = torch.optim.SGD(layer.parameters(), lr=0.1)\n"
    "for _ in range({steps}):\n    layer(torch.ones(2, 8)).sum().backward()\n    optimizer.step()\n"
)


def predict(folder: Path, name: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kilowait", "predict", name, "--json", "--device", "cpu-1"]
    return subprocess.run(command, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True)


def steps(done: subprocess.CompletedProcess[str]) -> float:
    found: float = json.loads(done.stdout)["predictions"][0]["own_dry_run"]["steps"]
    return found


def within(seconds: float, holds: object) -> bool:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s and not holds():  # type: ignore[operator]
        time.sleep(0.05)
    return bool(holds())  # type: ignore[operator]


def test_a_program_never_sees_the_folder_of_its_socket(runtime: dict[str, str], monkeypatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime["XDG_RUNTIME_DIR"])
    source = JobSource(files={"job.py": b"1"}, entrypoint="job.py")
    given = argparse.Namespace(files=["-"], entrypoint=None, assume=[], data=[runtime["XDG_RUNTIME_DIR"]])
    access = accesses([JobReading(name="-", source=source)], given)[source.content_hash]
    assert access.hidden == (str(private_folder(runtime)),)


def test_it_ends_when_nobody_asks(tmp_path: Path) -> None:
    standby_server._serve(tmp_path / "s", WorkerPair(), idle_s=0.01)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_the_second_prediction_is_made_where_the_first_left_a_process(runtime: dict[str, str], tmp_path: Path) -> None:
    """Of a changed program, in another folder, with errors and exit codes as ever."""
    (tmp_path / "other").mkdir()
    (tmp_path / "job.py").write_text(PROGRAM.format(steps=7))
    (tmp_path / "other" / "job.py").write_text(PROGRAM.format(steps=9))
    variables = {**runtime, MINUTES: "1"}
    places = Path(runtime["XDG_RUNTIME_DIR"], "kilowait")

    def sockets() -> list[Path]:
        return [path for path in places.glob("*") if not path.suffix and path.is_socket()]

    assert steps(predict(tmp_path, "job.py", variables)) == 7
    assert within(60, sockets)
    with socket.socket(socket.AF_UNIX) as line:  # whoever asks and goes away does no harm
        line.connect(str(sockets()[0]))
    before = [(path, path.stat().st_ino) for path in sockets()]
    warm = predict(tmp_path / "other", "job.py", variables)
    assert (steps(warm), warm.returncode, warm.stderr) == (9, 0, "")
    assert [(path, path.stat().st_ino) for path in places.glob("*") if not path.suffix] == before
    missing = predict(tmp_path, "none.py", variables)
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr.startswith("kilowait: none.py")
    assert [(path, path.stat().st_ino) for path in places.glob("*") if not path.suffix] == before
    os.kill(int(next(places.glob("*.lock")).read_text()), signal.SIGTERM)
    assert within(60, lambda: not list(places.glob("*")))
