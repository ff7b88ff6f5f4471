"""One process that serves dry runs for two targets, each over its own pipes."""

import os
import signal
import time

import psutil
import pytest

from kilowait.predict.dry_runs import DryRuns
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.sandbox import sandbox_available
from kilowait.predict.interpreter import OWN, Interpreter
from kilowait.predict.worker_pair import WorkerPair
from kilowait.program.source import Source

REASON = sandbox_available()
needs_sandbox = pytest.mark.skipif(REASON is not None, reason=str(REASON))
TEXT = (
    "import torch\ndevice = 'cuda' if torch.cuda.is_available() else 'cpu'\n"
    "torch.ones(64, 64, device=device) @ torch.ones(64, 64, device=device)\n"
)
SOURCE = Source(name="job.py", text=TEXT, content_hash="h")


@pytest.fixture(scope="module")
def pair():
    with WorkerPair(unsafe=True) as pair:
        yield pair


def runner(pair, target):
    return DryRunner(budget_s=60, target=target, unsafe=True, pair=pair)


def devices(run):
    assert run.completeness == "whole", run.reason
    return {op.device for op in run.operations if op.kind == "gemm"}


def test_both_targets_are_served_by_one_process_and_see_their_own_device_alone(pair):
    with runner(pair, "cpu") as on_cpu, runner(pair, "cuda") as on_gpu:
        assert (devices(on_cpu.run(SOURCE)), devices(on_gpu.run(SOURCE))) == ({"cpu"}, {"cuda"})
        assert (devices(on_gpu.run(SOURCE)), devices(on_cpu.run(SOURCE))) == ({"cuda"}, {"cpu"})
        assert on_cpu._worker is on_gpu._worker is None  # neither has a process of its own
        assert len(psutil.Process(pair._process.pid).children()) == 1


def test_pipes_are_given_once_and_whoever_comes_later_has_a_worker_of_its_own(pair):
    assert pair.take("cuda") is None
    with runner(pair, "cuda") as later:
        assert later._worker is not None
        assert devices(later.run(SOURCE)) == {"cuda"}


def test_the_process_is_gone_once_it_is_closed_and_a_runner_outlives_it():
    with WorkerPair(unsafe=True) as pair, runner(pair, "cuda") as on_gpu:
        group = pair._process.pid
        assert devices(on_gpu.run(SOURCE)) == {"cuda"}
        os.killpg(group, signal.SIGKILL)
        assert devices(on_gpu.run(SOURCE)) == {"cuda"}  # by a worker of its own
    until = time.monotonic() + 10
    while any(os.getpgid(pid) == group for pid in _living()) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(os.getpgid(pid) == group for pid in _living())


def _living():
    return [p.pid for p in psutil.process_iter(["status"]) if p.info["status"] != psutil.STATUS_ZOMBIE]


def test_what_never_starts_needs_no_end():
    with WorkerPair():
        pass


@pytest.mark.parametrize(
    ("interpreter", "unsafe", "serves"),
    [
        (OWN, False, True),
        (OWN, True, False),
        (Interpreter(command=("other",), name="other"), False, False),
        (Interpreter(command=("engine",), name="image", contained=True), False, False),
    ],
)
def test_it_serves_runners_that_are_like_it(interpreter, unsafe, serves):
    assert WorkerPair().serves(interpreter, unsafe=unsafe) is serves


@needs_sandbox
def test_dry_runs_of_both_targets_share_it():
    with WorkerPair() as pair, DryRuns(60, "cuda", pair=pair) as gpu, DryRuns(60, "cpu", pair=pair) as cpu:
        runs = [dry_runs.submit(SOURCE).result() for dry_runs in (gpu, cpu)]
        assert [devices(outcome.run) for outcome in runs] == [{"cuda"}, {"cpu"}]
