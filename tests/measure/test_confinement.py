"""What a job sees, may do and may take under its confinement; each job tries it for real."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from kilowait.isolation.cgroup import GroupLimits, find_parents
from kilowait.isolation.job_room import JobRoom
from kilowait.isolation.modes import room_refusal, uid_of
from kilowait.isolation.python_folders import python_folders
from kilowait.measure.confinement import Confinement
from kilowait.measure.joblog import read_log
from kilowait.measure.outcome import RunOutcome
from kilowait.measure.ward import WardOrder
from tests.support.wards import started_ward

pytestmark = pytest.mark.slow

needs_room = pytest.mark.skipif(room_refusal() is not None, reason=str(room_refusal()))
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root may become other users")
LIMITS = GroupLimits(memory_bytes=400 << 20, tasks=64)


@pytest.fixture
def start(tmp_path):
    """Starts a guard over a program under a confinement; what still runs is ended."""
    wards = []

    def start(text, *, room=True, groups=True, limits=None, **seen):
        number = len(wards)
        folder, temporary, log = (tmp_path / f"{name}-{number}" for name in ("job", "tmp", "log"))
        for made in (folder, temporary, log):
            made.mkdir()
        (folder / "m.py").write_text(text)
        readable = (*python_folders(), *seen.pop("readable", ()))
        own = JobRoom(folder=str(folder), temporary=str(temporary), uid=uid_of(number), readable=readable, **seen)
        name = f"test-{os.getpid()}-{number}"
        order = WardOrder(
            command=(sys.executable, "m.py"),
            environment={"PATH": "/usr/bin:/bin"},
            folder=str(folder),
            log_folder=str(log),
            log_bytes=100_000,
            grace_s=60.0,
            confinement=Confinement(name=name, room=own if room else None, limits=limits),
        )
        wards.append(started_ward(order, groups=groups))
        return wards[-1], log

    yield start
    for ward in wards:
        ward.kill()
        ward.wait(300)
        ward.stdin.close()
        ward.stdout.close()


def ended(ward, log):
    """(outcome, what the job wrote)."""
    return RunOutcome.from_json(ward.stdout.readline().decode()), read_log(log)[1].decode()


@pytest.fixture
def run(start):
    """Runs a program under a confinement to its end: (outcome, what it wrote)."""
    return lambda text, **more: ended(*start(text, **more))


def until(condition):
    deadline_s = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@needs_room
def test_a_job_works_in_a_folder_of_its_own_and_sees_the_system(run):
    outcome, said = run(
        "import os, json, ssl, socket\n"
        "open('out', 'w').write('x'); open('/tmp/t', 'w').write('y'); open('/dev/shm/s', 'w').write('z')\n"
        "print(json.dumps([os.getcwd(), sorted(os.listdir()), os.path.exists('/tmp/t'), os.path.exists('/usr')]))"
    )
    assert outcome.failure is None, said
    assert json.loads(said) == ["/job", ["m.py", "out"], True, True]


@needs_room
def test_a_job_sees_nothing_of_the_machine_but_that(run, tmp_path):
    secret = tmp_path / "kilowait.token"
    secret.write_text("the operator's")
    outcome, said = run(
        "import os, json\n"
        f"secrets = [{str(secret)!r}, {str(Path.home() / '.ray')!r}, '/var/log', '/etc/shadow', '/tmp/ray']\n"
        "processes = sorted(name for name in os.listdir('/proc') if name.isdigit())\n"
        "print(json.dumps([list(filter(os.path.exists, secrets)), processes]))"
    )
    assert outcome.failure is None, said
    assert json.loads(said) == [[], ["1", "2"]]


@needs_room
@pytest.mark.parametrize(
    "attempt",
    [
        "open('/usr/bin/python3', 'ab')",
        "open(os.__file__, 'ab')",
        "open('/etc/passwd', 'a')",
        "os.mkdir('/new')",
        "os.setuid(0)",
        "os.mknod('/tmp/disk', 0o60666, os.makedev(8, 0))",
        "check(libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))",
        "check(libc.unshare(0x10000000))",
        "check(libc.umount2(b'/usr', 2))",
        "check(libc.ptrace(16, 1, 0, 0))",
        "open('/proc/1/environ').read()",
        "open('/proc/sys/kernel/core_pattern', 'w')",
        "open('/sys/fs/cgroup/memory/cgroup.procs', 'w')",
    ],
)
def test_what_a_job_must_not_do_fails(run, attempt):
    outcome, said = run(
        "import os, ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "def check(result):\n    if result == -1: raise OSError(ctypes.get_errno(), 'refused')\n" + attempt
    )
    assert outcome.exit_code == 1, said
    assert any(f"Error: [Errno {number}]" in said for number in (1, 2, 13, 30)), said


@needs_room
@needs_root
def test_a_job_may_ask_for_the_name_of_its_user(run):
    _, said = run(
        "import os, pwd, grp; print(pwd.getpwuid(os.getuid())[:6], grp.getgrgid(os.getgid())[0], pwd.getpwuid(0)[0])"
    )
    assert said.strip() == f"('job', 'x', {uid_of(0)}, {uid_of(0)}, '', '/job') job root"


@needs_room
@needs_root
def test_jobs_are_users_of_their_own_and_do_not_see_each_other(run, tmp_path):
    ids = [run("import os; print(os.getuid(), os.getgid(), os.getgroups())")[1].strip() for _ in range(2)]
    assert ids == [f"{uid_of(0)} {uid_of(0)} []", f"{uid_of(1)} {uid_of(1)} []"]
    outcome, said = run(f"import os; print(os.path.exists({str(tmp_path / 'job-0' / 'm.py')!r}))")
    assert (outcome.failure, said.strip()) == (None, "False")


@needs_room
def test_what_an_operator_mounts_is_seen_and_written_only_where_it_may_be(run, tmp_path):
    data, results, service = tmp_path / "data", tmp_path / "results", tmp_path / "data" / "service"
    for folder in (data, results, service):
        folder.mkdir()
    results.chmod(0o777)
    (data / "train.bin").write_text("rows")
    (service / "kilowait.db").write_text("secret")
    (service / "shared").mkdir()
    (service / "shared" / "note").touch()
    outcome, said = run(
        f"import os; folders = {[str(service), str(service / 'shared')]}\n"
        f"print(open({str(data)!r} + '/train.bin').read(), *map(os.listdir, folders))\n"
        f"open({str(results)!r} + '/model', 'w').write('weights')\n"
        f"open({str(data)!r} + '/train.bin', 'w')",
        readable=(str(data), str(service / "shared")),
        writable=(str(results),),
        hidden=(str(service),),
    )
    assert said.startswith("rows ['shared'] ['note']")
    assert "Read-only file system" in outcome.failure
    assert (results / "model").read_text() == "weights"


def grown(outcome):
    return "out of memory: all its processes together may hold 0.419 GB here" in (outcome.failure or "")


HOG = (
    "import os, time\nparts = []\nfor _ in range(40):\n"
    "    parts.append(bytearray(os.urandom(1 << 20)) * 32)\n    time.sleep(0.1)\n"
)


@pytest.mark.skipif(find_parents() is None, reason="no control group may be made here")
@pytest.mark.parametrize("room", [pytest.param(True, marks=needs_room), False])
def test_a_job_cannot_outgrow_its_memory(run, room):
    outcome, said = run(HOG + "print('all of it')", room=room, limits=LIMITS)
    assert grown(outcome), outcome
    assert "all of it" not in said


@pytest.mark.skipif(find_parents() is None, reason="no control group may be made here")
@needs_room
@pytest.mark.parametrize(
    "taking",
    [
        "f = os.memfd_create('m')\nfor _ in range(100): os.write(f, bytes(32 << 20))",
        "for i in range(100): open(f'/dev/shm/{i}', 'wb').write(bytes(32 << 20))",
        "for _ in range(8):\n    if os.fork() == 0:\n        x = bytearray(os.urandom(1 << 20)) * 128\n"
        "        time.sleep(300)\nraise SystemExit(os.wait()[1])",
    ],
)
def test_nor_by_memory_of_other_kinds_or_in_many_processes(run, taking):
    outcome, said = run("import os, time\n" + taking, limits=LIMITS)
    assert grown(outcome) or outcome.exit_code, (outcome, said)


@pytest.mark.skipif(find_parents() is None, reason="no control group may be made here")
def test_a_job_cannot_start_processes_without_end(run):
    _, said = run(
        "import os, time\nn = 0\ntry:\n    for _ in range(200):\n        if os.fork() == 0:\n"
        "            time.sleep(300)\n        n += 1\nexcept OSError as e:\n"
        "    print(n, e.errno, flush=True)\nos.killpg(0, 9)",
        room=room_refusal() is None,
        limits=LIMITS,
    )
    count, errno = map(int, said.split())
    assert 20 < count < 64
    assert errno == 11


def test_where_no_group_can_be_made_memory_is_watched(run):
    outcome, said = run(HOG + "time.sleep(300)", room=False, limits=LIMITS, groups=False)
    assert grown(outcome), (outcome, said)


@needs_room
def test_a_job_is_asked_to_end_and_answers(start, tmp_path):
    ward, log = start(
        "import signal, sys, time\ndef end(*_): print('saved', flush=True); sys.exit(3)\n"
        "signal.signal(signal.SIGTERM, end)\nopen('/tmp/ready', 'w')\nwhile True: time.sleep(0.1)"
    )
    until((tmp_path / "tmp-0" / "ready").exists)
    ward.stdin.write(b"stop\n")
    ward.stdin.flush()
    outcome, said = ended(ward, log)
    assert (outcome.exit_code, outcome.failure, said.strip()) == (3, "stopped", "saved")


@needs_room
@pytest.mark.parametrize(
    ("text", "code", "failure"),
    [
        ("import sys; sys.exit(7)", 7, "exit code 7"),
        ("import os; os.kill(os.getpid(), 11)", -11, "killed by SIGSEGV"),
        ("import os; os.abort()", -6, "killed by SIGABRT"),
        ("raise ValueError('no')", 1, "exit code 1: ValueError: no"),
    ],
)
def test_it_ends_as_the_job_ended(run, text, code, failure):
    outcome, _ = run(text)
    assert (outcome.exit_code, outcome.failure) == (code, failure)


BEAT = (
    "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        while True:\n"
    "            open('/tmp/beat', 'a').write('.'); time.sleep(0.02)\n    os._exit(0)\n"
)
"""Leaves a process that has detached itself and goes on writing."""


def stopped(beat):
    size = beat.stat().st_size
    time.sleep(0.3)
    return beat.stat().st_size == size


@needs_room
def test_nothing_that_a_job_left_outlives_it(run, tmp_path):
    outcome, said = run(BEAT + "while not os.path.exists('/tmp/beat'): time.sleep(0.01)")
    assert outcome.failure is None, said
    assert stopped(tmp_path / "tmp-0" / "beat")


@needs_room
def test_nothing_of_a_job_outlives_its_guard_even_when_that_is_killed(start, tmp_path):
    ward, _ = start(BEAT + "time.sleep(300)")
    beat = tmp_path / "tmp-0" / "beat"
    until(lambda: beat.exists() and beat.stat().st_size)
    ward.kill()
    ward.wait()
    until(lambda: stopped(beat))


@needs_room
def test_groups_are_removed_with_their_jobs(run):
    parents = find_parents()
    if parents is None:
        pytest.skip("no control group may be made here")
    outcome, _ = run("pass", limits=LIMITS)
    assert outcome.failure is None
    assert [path for _, folder in parents.folders for path in folder.glob(f"kilowait-test-{os.getpid()}-*")] == []
