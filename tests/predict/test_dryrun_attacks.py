"""Programs that look for a way out of the sandbox: what they find, and that the next program is none the worse.

Not covered: what a kernel without namespaces allows (there are no dry runs then), and memory of several processes.
"""

import re
from collections.abc import Iterator

import pytest

from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import Completeness
from kilowait.predict.dryrun.sandbox import sandbox_available

REASON = sandbox_available()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

SAY = """import ctypes, os, signal, socket, subprocess, sys
def say(*words): raise RuntimeError("said " + " ".join(map(str, words)))
def status(name): return next(line.split()[1] for line in open("/proc/self/status") if line.startswith(name + ":"))
def tried(call, *arguments):
    try:
        return "done", call(*arguments)
    except OSError as error:
        return "refused", error.errno
libc = ctypes.CDLL(None, use_errno=True)
"""
"""A program's findings leave it as the reason for which it failed."""

GOOD = "import torch\na, b = torch.randn(4, 5), torch.randn(5, 6)\na @ b\n"
PLACES = ["/root/.ssh", "/home", "/etc/shadow", "/etc/passwd", "/var", "/tmp/ray", "/dev/shm", "/proc/1/environ"]
WRITES = ["/x", "/usr/x", "/etc/x", "/proc/sys/kernel/hostname", "/dev/x", "/old/x"]


@pytest.fixture(scope="module")
def runner() -> Iterator[DryRunner]:
    with DryRunner(budget_s=1.5, imports_s=2, target="cpu") as runner:
        yield runner


def program(text: str) -> DryProgram:
    return DryProgram(files={"job.py": text.encode()}, entrypoint="job.py", content_hash="1")


LOOK = "say(tried(lambda: os.listdir({0!r}) if os.path.isdir({0!r}) else open({0!r}).read())[0])"
FINDINGS = [
    ("say(status('CapEff'), status('CapPrm'), status('NoNewPrivs'))", "0{16} 0{16} 1"),
    ("say(*(tried(call, who)[0] for call, who in ((os.setuid, 0), (os.setgroups, [0]))))", "refused refused"),
    ("say(len([name for name in os.listdir('/proc') if name.isdigit()]))", r"[123]\b"),
    (
        "say(*{os.readlink(f'/proc/{p}/exe') for p in os.listdir('/proc') if p.isdigit()})",
        r"\S*python\S* \(job\.py line 2\)$",
    ),
    ("say(len(open('/proc/net/unix').read().splitlines()) - 1, 'sockets')", "0 sockets"),
    ("say(*(line.split(':')[0].strip() for line in open('/proc/net/dev') if ':' in line))", r"lo \(job\.py line 2\)$"),
    ("say(libc.ptrace(16, 1, 0, 0), libc.chroot(b'/scratch'))", "-1 -1"),
    ("say(libc.mount(b't', b'/scratch', b'tmpfs', 0, None), libc.umount2(b'/proc', 2))", "-1 -1"),
    *((LOOK.format(place), "refused") for place in PLACES),
    *((f"say(tried(open, {place!r}, 'w')[0])", "refused") for place in WRITES),
]


@pytest.mark.parametrize(("attempt", "said"), FINDINGS)
def test_there_is_nothing_to_find(runner: DryRunner, attempt: str, said: str) -> None:
    run = runner.run_program(program(SAY + attempt))
    assert run.completeness in (Completeness.PARTIAL, Completeness.FAILED)
    assert re.search(rf"said {said}", run.reason), run.reason


@pytest.mark.parametrize(
    "attempt",
    [
        "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
        "import os, signal; os.kill(os.getppid(), signal.SIGKILL)",
        "import os, signal; os.kill(-1, signal.SIGKILL)",
        "import sys; sys.setrecursionlimit(10**8)\ndef f(n): return f(n + 1)\nf(0)",
        "import ctypes; ctypes.string_at(0)",
        "import os\nif os.fork() == 0:\n    os.setsid()\n    while True: pass",
    ],
)
def test_whatever_it_does_to_itself_the_next_program_runs(runner: DryRunner, attempt: str) -> None:
    runner.run_program(program(GOOD + attempt))
    after = runner.run_program(program(GOOD))
    assert (after.completeness, len(after.operations) > 0) == (Completeness.WHOLE, True)
