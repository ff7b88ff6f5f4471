"""The wheel is the whole product: predict, simulate and the service run from it, with no checkout at hand."""

import json
import re
import signal
import socket
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import installed
from tests.support.installed import ROOT, Environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SCRIPT = """\
import torch
from torch import nn

model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)).cuda()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(20):
    loss = nn.functional.cross_entropy(model(torch.randn(32, 64).cuda()), torch.randint(10, (32,)).cuda())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("trained")
"""
JOBS = """\
job_id,submit_s,gpus,A100_s,A100_kwh,A6000_s,A6000_kwh
train-a,0,1,3600,0.30,5400,0.35
train-b,0,2,,,7200,0.80
serve-c,60,1,600,0.05,600,0.02
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed.build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    return installed.product(tmp_path_factory.mktemp("product"), wheel)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    return installed.base(tmp_path_factory.mktemp("base"), wheel)


def simulated(environment: Environment) -> dict[str, object]:
    (environment.work / "jobs.csv").write_text(JOBS)
    done = environment.run(
        *("kilowait", "simulate", "--jobs", "jobs.csv", "--gpus", "A100=1,A6000=2", "--policy", "value", "--json")
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_the_wheel_holds_the_whole_product_under_one_name(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.partition("/")[0] for name in names} == {"kilowait", "kilowait-0.1.0.dist-info"}
    for folder, place in (
        *((ROOT / "kilowait", "kilowait"), (ROOT / "data", "kilowait/data")),
        *((ROOT / shell, f"kilowait/{shell}") for shell in ("pipelines", "serve", "tuning")),
    ):
        files = {path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
        assert {f"{place}/{path.relative_to(folder)}" for path in files} <= names


def test_it_is_imported_from_the_wheel_and_no_checkout_is_on_the_path(product: Environment) -> None:
    code = "import json, sys, kilowait, kilowait.serve, kilowait.pipelines, kilowait.tuning as t; "
    code += "from importlib.util import find_spec as f; "
    code += "print(json.dumps([sys.path, kilowait.__file__, t.__file__, [f(n) for n in ('serve', 'pipelines')]]))"
    done = product.run("python", "-c", code)
    path, *files, others = json.loads(done.stdout)
    assert str(ROOT) not in path
    assert all(name.startswith(f"{product.folder}/lib/") for name in files)
    assert others == [None, None]


def test_predict_runs_from_the_wheel(product: Environment) -> None:
    (product.work / "train.py").write_text(SCRIPT)
    done = product.run("kilowait", "predict", "train.py", "--json")
    assert done.returncode == 0, done.stderr
    (prediction,) = json.loads(done.stdout)["predictions"]
    assert prediction["dry_run"]["outcome"] == "whole", prediction["dry_run"]
    assert {"A100", "A6000"} <= set(prediction["devices"])
    assert prediction["dry_run"]["steps"] == 20
    assert prediction["devices"]["A100"]["provenance"].startswith("modelled (device model")


def test_simulate_runs_from_the_wheel_as_from_the_checkout(product: Environment) -> None:
    done = simulated(product)
    assert (done["jobs"], done["refused"], done["policy"]) == (3, {}, "value")


def test_the_lab_runs_from_the_wheel(product: Environment) -> None:
    done = product.run("kilowait", "lab", "corpus", "--out", "corpus", "--count", "8")
    assert done.returncode == 0, done.stderr
    assert len(list((product.work / "corpus").glob("*.py"))) == 8


@pytest.fixture
def service(product: Environment) -> Iterator[dict[str, str]]:
    """What a client of the service needs to know, once it answers; at the end it is asked to stop, and does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    database = f"sqlite:///{product.work / 'history.db'}"
    command = [str(product.folder / "bin" / "kilowait"), "serve", "--pretend", "A100=1,A6000=1"]
    command += ["--database", database, "--port", port]
    log = product.work / "service.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, cwd=product.work, env=product.variables
        )
        try:
            yield _address(process, log)
            process.send_signal(signal.SIGINT)
            assert process.wait(120) == 0, log.read_text()
        finally:
            process.kill()


def _address(process: "subprocess.Popen[bytes]", log: Path) -> dict[str, str]:
    for _ in range(1200):
        said = re.search(r"export (KILOWAIT_URL)=(\S+) (KILOWAIT_TOKEN)=(\S+)", log.read_text())
        if said:
            return {said[1]: said[2], said[3]: said[4]}
        assert process.poll() is None, log.read_text()
        time.sleep(0.25)
    raise AssertionError(log.read_text())


def test_the_service_runs_from_the_wheel(product: Environment, service: dict[str, str]) -> None:
    (product.work / "job.py").write_text("print('hello from a job')\n")
    done = product.run("kilowait", "submit", "job.py", "--json", **service)
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)["job_id"]
    state = ""
    for _ in range(240):
        state = json.loads(product.run("kilowait", "show", job, "--json", **service).stdout)["state"]
        if state not in ("waiting", "running"):
            break
        time.sleep(0.5)
    assert state == "finished"
    assert product.run("kilowait", "logs", job, **service).stdout == "hello from a job\n"


def test_the_base_install_simulates_and_names_the_extras(base: Environment) -> None:
    assert simulated(base)["jobs"] == 3
    (base.work / "train.py").write_text(SCRIPT)
    for words, said in (
        (("predict", "train.py"), "kilowait predict needs PyTorch: pip install 'kilowait[predict]'"),
        (("serve", "--pretend", "A100=1"), "kilowait serve needs Ray: pip install 'kilowait[serve]'"),
        (("lab", "backtest", "--out", "x"), "pip install 'kilowait[lab]'"),
    ):
        done = base.run("kilowait", *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
    for words in (("--help",), ("lab", "--help"), ("submit", "--help")):
        assert base.run("kilowait", *words).returncode == 0
    asked = base.run("python", "-c", "from importlib.util import find_spec as f; print(f('torch'), f('ray'))")
    assert asked.stdout == "None None\n"


def test_a_client_command_of_the_base_install_speaks_http(base: Environment) -> None:
    done = base.run("kilowait", "ps", "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.startswith("kilowait: no service answers at http://127.0.0.1:9 ")
