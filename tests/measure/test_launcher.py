"""One run, really forked: every way a script can fail, what it sees, and what is left of it afterwards."""

import fcntl
from pathlib import Path

import pytest

from kilowait.measure.measured_run import Device
from kilowait.measure.meters import PowerSample
from kilowait.measure.outcome import Order
from kilowait.measure.script_runner import Launcher, ScriptRunner, cpu_device, order_for, turn
from tests.support.pretended_runs import NOON
from tests.support.recorded_meter import RecordedMeter

pytestmark = pytest.mark.torch  # the process that runs programs loads it


@pytest.fixture(scope="module")
def warm():
    with Launcher(warm=True) as launcher:
        yield launcher


def outcome_of(launcher, tmp_path, text, *, timeout_s=600.0):
    script = tmp_path / "job.py"
    script.write_text(text)
    return launcher.run(order_for(cpu_device(1, "here"), script, timeout_s))


@pytest.mark.parametrize(
    ("text", "code", "failure"),
    [
        ("raise ValueError('bad width 7')", 1, "ValueError: bad width 7"),
        ("import sys; sys.exit(3)", 3, "exit code 3"),
        ("import sys; sys.exit('no data here')", 1, "no data here"),
        ("import os; os._exit(7)", 7, "exit code 7"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -11, "killed by SIGSEGV"),
        ("x = [bytearray(2**44)]", 1, "MemoryError"),
        ("def f(:", 1, "SyntaxError: invalid syntax"),
        ("input()", 1, "EOFError: EOF when reading a line"),
        ("raise KeyboardInterrupt", 1, "KeyboardInterrupt"),
        ("import os, sys; os.closerange(0, 100); sys.exit(4)", 4, "exit code 4"),
    ],
)
def test_each_way_to_fail_is_recorded(warm, tmp_path, text, code, failure):
    outcome = outcome_of(warm, tmp_path, text)
    assert (outcome.exit_code, outcome.failure) == (code, failure)


@pytest.mark.parametrize("text", ["", "import sys; sys.exit()", "import sys; sys.exit(0)", "print('x' * 10**6)"])
def test_a_good_script_succeeds(warm, tmp_path, text):
    outcome = outcome_of(warm, tmp_path, text)
    assert (outcome.exit_code, outcome.failure, outcome.step_s) == (0, None, None)
    assert outcome.forked_s < outcome.started_s < outcome.ended_s


def test_a_flood_on_stderr_is_drained_and_only_its_end_is_kept(warm, tmp_path):
    outcome = outcome_of(warm, tmp_path, "import sys\nfor i in range(200000): print('line', i, file=sys.stderr)\n1/0")
    assert outcome.failure == "ZeroDivisionError: division by zero"


def gone(pid):
    return not Path(f"/proc/{pid}").exists()


FAMILY = """
import os, pathlib, time
out = pathlib.Path({out!r})
for i in range(3):
    if os.fork() == 0:
        os.setsid()  # escape the process group
        if os.fork() == 0:
            os.setsid()
        (out / str(os.getpid())).touch()
        time.sleep(1000)
while len(list(out.iterdir())) < 6: time.sleep(0.005)
{end}
"""


@pytest.mark.parametrize(("end", "failure"), [("time.sleep(1000)", "timeout after {} s"), ("", "")])
def test_a_scripts_children_and_grandchildren_end_with_it(warm, tmp_path, end, failure):
    for timeout_s in (4, 40, 400) if end else (600,):
        out = tmp_path / f"pids-{timeout_s}"
        out.mkdir()
        outcome = outcome_of(warm, tmp_path, FAMILY.format(out=str(out), end=end), timeout_s=timeout_s)
        pids = [int(path.name) for path in out.iterdir()]
        if len(pids) == 6:  # else the machine is too busy to start them in that time
            break
    assert (outcome.failure or "") == failure.format(timeout_s)
    assert len(pids) == 6
    assert all(gone(pid) for pid in pids)


SURROUNDINGS = """
import os, sys, pathlib, random, torch
assert __name__ == "__main__" and sys.argv == [__file__], (__name__, sys.argv)
assert torch.get_num_threads() == 1 and torch.get_num_interop_threads() == 1
assert len(os.sched_getaffinity(0)) == 1 and os.environ["OMP_NUM_THREADS"] == "1"
assert os.getpgid(0) == os.getsid(0) == os.getpid()
assert len(os.listdir("/proc/self/fd")) <= 5, os.listdir("/proc/self/fd")
open("left-behind", "w").write("x")
pathlib.Path({out!r}).write_text(os.getcwd())
"""


def test_a_script_finds_itself_the_main_program_on_one_core_in_a_folder_of_its_own(warm, tmp_path):
    outcome = outcome_of(warm, tmp_path, SURROUNDINGS.format(out=str(tmp_path / "cwd")))
    assert outcome.failure is None
    assert not Path((tmp_path / "cwd").read_text()).exists()


TRAIN = """
import torch
from torch.nn.modules import module
from tests.support.recorded_meter import RecordedMeter
inner = torch.nn.Linear(4, 1)
model = torch.nn.Sequential(inner, torch.nn.ReLU())
if {training}: optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(3):
    loss = model(torch.ones(2, 4)).sum()
    assert not module._global_forward_hooks and not module._global_forward_pre_hooks
    if {training}:
        loss.backward()
        optimizer.step()
"""


@pytest.mark.parametrize("training", [True, False])
def test_the_first_step_is_marked_and_its_hooks_go_away(warm, tmp_path, training):
    outcome = outcome_of(warm, tmp_path, TRAIN.format(training=training))
    assert outcome.failure is None
    assert outcome.started_s < outcome.step_s < outcome.ended_s
    assert outcome.warmup_s + outcome.steady_s == pytest.approx(outcome.runtime_s)


def test_a_script_that_kills_the_launching_process_is_a_failure_and_the_next_one_runs(tmp_path):
    with Launcher(warm=False) as launcher:
        lost = outcome_of(launcher, tmp_path, "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)")
        assert "the launching process ended" in lost.failure
        assert outcome_of(launcher, tmp_path, "").failure is None


def test_a_cold_run_starts_a_fresh_python_that_sees_only_its_gpu(tmp_path):
    script = tmp_path / "job.py"
    script.write_text("import os, sys\nsys.exit(os.environ['CUDA_VISIBLE_DEVICES'])")
    board = Device(device_type="A100", device_id="GPU-1", device_name="NVIDIA A100")
    meter = RecordedMeter(samples=[PowerSample(at_s=0, power_w=10), PowerSample(at_s=1000, power_w=10)])
    with Launcher(warm=False) as launcher:
        runner = ScriptRunner(board, launcher, meter, timeout_s=600, host="here", now=lambda: NOON)
        run = runner.run(script, content_hash="h", path="job.py", attempt=4)
    assert (run.failure, run.device_id, run.attempt) == ("GPU-1", "GPU-1", 4)
    assert run.energy_j == pytest.approx(10 * run.runtime_s)
    assert (run.energy_provenance, run.runtime_provenance) == ("pretended", "measured")


def test_a_meter_that_fails_keeps_the_run_as_one_that_cannot_be_a_label(tmp_path, warm):
    script = tmp_path / "job.py"
    script.write_text("")
    runner = ScriptRunner(
        cpu_device(1, "here"), warm, RecordedMeter(samples=[]), timeout_s=600, host="here", now=lambda: NOON
    )
    run = runner.run(script, content_hash="h", path="job.py", attempt=1)
    assert run.failure.startswith("meter: no power samples")
    assert (run.exit_code, run.energy_j, run.energy_provenance) == (0, None, None)


def test_an_order_survives_the_pipe():
    order = Order(script="a b.py", timeout_s=1.5, threads=2, cores=(0, 1), environment={"X": "ü"})
    assert Order.from_json(order.to_json()) == order


def test_the_turn_lock_is_held_during_a_run_and_free_after_it(tmp_path):
    lock = tmp_path / "lock"
    with lock.open("a") as other:
        with turn(lock), pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


# --- whole campaigns
