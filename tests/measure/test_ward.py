"""The guard of one job: its environment, its end, its log, and that nothing of it stays behind."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from kilowait.measure.confinement import Confinement
from kilowait.measure.joblog import JobLog, read_log
from kilowait.measure.outcome import RunOutcome
from kilowait.measure.step_clock import read_steps
from kilowait.measure.ward import WardOrder

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def guard(tmp_path):
    """Starts a guard over a program; what still runs is ended."""
    started = []

    def start(text, *arguments, after=b"", **order):
        folder, log = tmp_path / f"job-{len(started)}", tmp_path / f"log-{len(started)}"
        folder.mkdir()
        log.mkdir()
        (folder / "m.py").write_text(text)
        process = subprocess.Popen(
            [sys.executable, "-m", "kilowait.measure.ward"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SECRET": "of the service"},
        )
        started.append(process)
        asked = WardOrder(
            folder=str(folder),
            log_folder=str(log),
            **{
                "command": (sys.executable, "m.py", *arguments),
                "environment": {},
                "log_bytes": 1000,
                "grace_s": 60.0,
                **order,
            },
        )
        process.stdin.write(msgspec.json.encode(asked) + b"\n" + after)
        process.stdin.flush()
        return process, log

    yield start
    for process in started:
        process.kill()
        process.wait(300)
        for pipe in (process.stdin, process.stdout):
            pipe.close()


def test_how_far_a_program_is_is_kept_beside_its_log(guard, tmp_path):
    text = "for n in range(1, 41): print(f'at {n} from 40', flush=True)\nprint('bye')"
    steps = tmp_path / "steps.json"
    process, log = guard(text, steps_file=str(steps), steps_template="at {step} from {total}", log_bytes=10_000)
    assert outcome(process).exit_code == 0
    assert read_log(log)[1].endswith(b"bye\n")
    record = read_steps(steps)
    assert (record.steps, record.marks[0][2]) == (40, 1)
    assert abs(record.began_s - time.time()) < 600


def outcome(process):
    return RunOutcome.from_json(process.stdout.readline().decode())


def said(log):
    """The first whole line of a log, once it is there."""
    deadline_s = time.monotonic() + 300
    while b"\n" not in read_log(log)[1]:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    return read_log(log)[1].split(b"\n")[0].decode()


def gone(pid):
    """Whether a process ends, if it has not already."""
    deadline_s = time.monotonic() + 300
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return not Path(f"/proc/{pid}").exists()


CHILD = """
import os, subprocess, sys, time
quiet = subprocess.DEVNULL
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True, stdout=quiet)
print(os.getpid(), child.pid, flush=True)
"""
"""Starts a process that leaves its session, so no signal to the group reaches it."""


def test_a_job_has_only_the_environment_arguments_and_folder_it_is_given(guard):
    text = "import json, os, sys\nprint(json.dumps([dict(os.environ), sys.argv[1:], os.getcwd(), sys.stdin.read()]))"
    process, log = guard(text, "a b", "--c", environment={"MINE": "1"})
    assert outcome(process).exit_code == 0
    environment, arguments, folder, read = json.loads(read_log(log)[1])
    assert environment.pop("LC_CTYPE", "C.UTF-8") == "C.UTF-8"  # Python sets it by itself
    assert (environment, arguments, read) == ({"MINE": "1"}, ["a b", "--c"], "")
    assert folder.endswith("job-0")


@pytest.mark.parametrize(
    ("text", "code", "failure"),
    [
        ("print('fine')", 0, None),
        ("import sys; print('out'); sys.exit('no data')", 1, "exit code 1: no data"),
        ("import sys; sys.exit(7)", 7, "exit code 7"),
        ("import os; os.kill(os.getpid(), 9)", -9, "killed by SIGKILL"),
    ],
)
def test_how_a_job_ended_and_its_last_words(guard, text, code, failure):
    ended = outcome(guard(text)[0])
    assert (ended.exit_code, ended.failure) == (code, failure)
    assert ended.ended_s > ended.forked_s
    assert ended.peak_memory_bytes > 10**6


def test_a_command_that_is_not_there_is_said(guard, tmp_path):
    ended = outcome(guard("", command=("/no/such/python",))[0])
    assert ended.failure.startswith("exit code 69: /no/such/python: cannot be started")


def test_a_job_that_takes_too_long_is_ended(guard):
    ended = outcome(guard("import time; time.sleep(300)", timeout_s=0.2)[0])
    assert (ended.exit_code, ended.failure) == (-signal.SIGTERM, "timeout after 0.2 s")


def test_a_job_may_clean_up_when_it_is_stopped(guard):
    listens = "import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(3))\n"
    process, log = guard(listens + "print('ready', flush=True)\ntime.sleep(300)")
    said(log)
    process.stdin.write(b"stop\n")
    process.stdin.flush()
    ended = outcome(process)
    assert (ended.exit_code, ended.failure) == (3, "stopped")


def test_a_job_that_does_not_listen_is_killed_with_all_that_it_started(guard):
    text = "import signal\nsignal.signal(15, signal.SIG_IGN)" + CHILD + "time.sleep(300)"
    process, log = guard(text, grace_s=0.2)
    pids = said(log).split()
    process.stdin.write(b"stop\n")
    process.stdin.flush()
    assert outcome(process).exit_code == -signal.SIGKILL
    assert all(gone(pid) for pid in pids)


@pytest.mark.parametrize("how", ["its orders end", "kill -9"])
def test_no_job_outlives_its_runner(guard, how):
    process, log = guard(CHILD + "time.sleep(300)")
    job, child = said(log).split()
    if how == "kill -9":
        process.kill()
        assert gone(job)  # a child that left the session is out of reach then, and is ended here
        os.kill(int(child), signal.SIGKILL)
    else:
        process.stdin.close()
        assert gone(job)
        assert gone(child)
        assert process.wait(300) == 0
        assert not log.exists()


def test_what_a_job_leaves_elsewhere_ends_too_and_none_of_its_files_stays_when_its_runner_goes(guard, tmp_path):
    """A container of docker's is no process of the guard's."""
    confinement = Confinement(name="job", after=("touch", str(tmp_path / "ended")))
    whole = tmp_path / "whole"
    (whole / "tmp").mkdir(parents=True)
    process, log = guard(CHILD + "time.sleep(300)", confinement=confinement, whole_folder=str(whole))
    said(log)
    process.stdin.close()
    assert process.wait(300) == 0
    assert (tmp_path / "ended").exists()
    assert not whole.exists()


HOLDS_A_GUARD = """
import os, subprocess, sys, time
order, root = sys.argv[1:]
guard = subprocess.Popen(
    [sys.executable, "-m", "kilowait.measure.ward", str(os.getpid())], stdin=subprocess.PIPE,
    stdout=subprocess.DEVNULL, env={"PYTHONPATH": root},
)
if os.fork() == 0:  # it keeps the guard's stdin open when this process is gone
    time.sleep(300)
guard.stdin.write(order.encode())
guard.stdin.flush()
print(guard.pid, flush=True)
time.sleep(300)
"""


@pytest.mark.parametrize("part", ["a whole order", "half an order"])
def test_a_guard_ends_with_its_runner_though_another_holds_its_orders_open(tmp_path, part):
    folder, log = tmp_path / "job", tmp_path / "log"
    folder.mkdir()
    log.mkdir()
    asked = WardOrder(
        command=(sys.executable, "-c", CHILD + "time.sleep(300)"),
        environment={},
        folder=str(folder),
        log_folder=str(log),
        log_bytes=1000,
    )
    order = msgspec.json.encode(asked).decode() + "\n"
    whole = part == "a whole order"
    runner = subprocess.Popen(
        [sys.executable, "-c", HOLDS_A_GUARD, order if whole else order[:20], str(ROOT)],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        guard_pid = runner.stdout.readline().decode().strip()
        pids = [guard_pid, *(said(log).split() if whole else ())]
        runner.kill()
        assert all(gone(pid) for pid in pids)
    finally:
        os.killpg(runner.pid, signal.SIGKILL)
        runner.wait(300)
        runner.stdout.close()


def test_an_order_of_megabytes_is_read_at_once(guard):
    """Were the time of reading to grow with the square of the length, this would take an hour."""
    process, _ = guard("", environment={"DATA": "x" * 10_000_000}, timeout_s=1.0)
    ready, _, _ = select.select([process.stdout], [], [], 120)
    assert ready
    assert "Argument list too long" in outcome(process).failure


def test_a_stop_right_behind_the_order_is_heard(guard):
    process, _ = guard("import time; time.sleep(300)", after=b"stop\n")
    assert outcome(process).failure == "stopped"


def test_what_a_job_left_running_is_ended_with_it(guard):
    process, log = guard(CHILD)
    assert outcome(process).exit_code == 0
    assert all(gone(pid) for pid in said(log).split())


def test_a_log_is_bounded_and_read_by_offset(tmp_path):
    log = JobLog(tmp_path, 40)
    whole = b"".join(b"%03d " % n for n in range(100))
    for first in range(0, 400, 7):
        log.write(whole[first : first + 7])
    log.close()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 40
    begin, kept = read_log(tmp_path)
    assert (kept, len(kept) >= 30) == (whole[begin:], True)
    assert read_log(tmp_path, 390, 5) == (390, whole[390:395])
    assert read_log(tmp_path, 398) == (398, whole[398:])
    assert read_log(tmp_path, 0, 4)[1] == whole[begin : begin + 4]
    assert read_log(tmp_path, 500) == (500, b"")
    assert read_log(tmp_path / "none") == (0, b"")


SAVES = """
import signal, sys, time
def save(*_):
    print("saved", flush=True)
    sys.exit(85)
signal.signal(signal.SIGUSR1, save)
print("ready", flush=True)
time.sleep(300)
"""


def test_a_preempted_job_is_told_by_its_own_signal_and_has_its_own_grace(guard):
    process, log = guard(SAVES, preempt_signal=signal.SIGUSR1, preempt_grace_s=300.0, grace_s=0.0, log_bytes=10_000)
    said(log)
    for piece in (b"pree", b"mpt\n"):  # a line may come in pieces
        process.stdin.write(piece)
        process.stdin.flush()
    ended = outcome(process)
    assert (ended.preempted, ended.failure, ended.exit_code) == (True, "preempted", 85)
    assert read_log(log)[1] == b"ready\nsaved\n"


def test_a_preempted_job_that_does_not_end_is_killed_after_its_grace(guard):
    text = SAVES.replace("sys.exit(85)", "time.sleep(300)")
    process, log = guard(text, preempt_signal=signal.SIGUSR1, preempt_grace_s=0.2, grace_s=300.0)
    said(log)
    process.stdin.write(b"preempt\n")
    process.stdin.flush()
    ended = outcome(process)
    assert (ended.preempted, ended.exit_code) == (True, -signal.SIGKILL)


def test_a_job_that_is_stopped_while_it_writes_its_checkpoint_is_told_so(guard):
    text = SAVES.replace("sys.exit(85)", "time.sleep(300)")
    process, log = guard(text, preempt_signal=signal.SIGUSR1, preempt_grace_s=20.0)
    said(log)
    process.stdin.write(b"preempt\nstop\n")
    process.stdin.flush()
    ended = outcome(process)
    assert (ended.preempted, ended.failure, ended.exit_code) == (True, "preempted", -signal.SIGTERM)


def test_a_job_that_is_stopped_is_not_preempted(guard):
    process, log = guard(SAVES, preempt_signal=signal.SIGUSR1, preempt_grace_s=300.0)
    said(log)
    process.stdin.write(b"stop\npreempt\n")
    process.stdin.flush()
    ended = outcome(process)
    assert (ended.preempted, ended.failure) == (False, "stopped")
