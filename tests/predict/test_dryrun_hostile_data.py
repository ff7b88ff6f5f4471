"""Programs that were given data to read, and try to send it out or to reach what they were not given.

What does get out, bounded, is what the answer itself carries; how much that is, is asserted here and said in
docs/explanation/threat-model.md. Not covered: named pipes in the data, locks on its files, and what a run tells by the
seconds that it takes within its budget.
"""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from kilowait.history.store import Store
from kilowait.isolation.modes import IsolationSettings, Mount
from kilowait.predict.dry_run_access import DryRunAccess, of_caller, of_owner
from kilowait.predict.dry_runs import program_of
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import Completeness, DryRun
from kilowait.predict.dryrun.sandbox import sandbox_available
from kilowait.program.job_source import JobSource
from serve.isolation_options import own_files
from serve.software import access_of

REASON = sandbox_available()
pytestmark = [pytest.mark.ray, pytest.mark.skipif(REASON is not None, reason=str(REASON))]

SECRET = "".join(f"{n:05d}-rows-of-ada/" for n in range(2_000))
SAY = """import ctypes, os, socket, subprocess, sys, torch
a, b = torch.randn(4, 5), torch.randn(5, 6)
a @ b
libc = ctypes.CDLL(None, use_errno=True)
def say(*words): raise RuntimeError("said " + " ".join(map(str, words)))
def tried(call, *arguments, **more):
    try:
        call(*arguments, **more)
        return "done"
    except OSError as error:
        return os.strerror(error.errno).replace(" ", "-") if error.errno else "refused"
"""
"""A program's findings leave it as the reason for which it failed."""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that any user of the machine may pass; `data` in it is what programs are given."""
    with TemporaryDirectory(prefix="hostile-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "data").mkdir(mode=0o755)
        (folder / "data" / "rows").write_text(SECRET)
        (folder / "data" / "rows").chmod(0o666)
        (folder / "other").mkdir(mode=0o755)
        (folder / "other" / "rows").write_text("rows of bob")
        yield folder


@pytest.fixture(scope="module")
def runner() -> Iterator[DryRunner]:
    with DryRunner(budget_s=3, target="cpu") as runner:
        yield runner


def job(text: str, *arguments: str) -> JobSource:
    return JobSource(files={"job.py": (SAY + text).encode()}, entrypoint="job.py", arguments=arguments)


def run(runner: DryRunner, text: str, access: DryRunAccess) -> DryRun:
    return runner.run_program(program_of(job(text), access))


def said(found: DryRun) -> str:
    """What a program that was stopped by its own finding had found."""
    assert found.completeness in (Completeness.PARTIAL, Completeness.FAILED)
    match = re.search(r"said (.*) \(job\.py line \d+\)", found.reason)
    assert match, found.reason
    return match.group(1)


def given(place: Path) -> DryRunAccess:
    return DryRunAccess(data=(str(place / "data"),))


def test_no_socket_of_the_machine_hears_it(runner: DryRunner, place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stream, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        for one, name in ((stream, "stream"), (datagrams, "datagrams")):
            one.bind(str(place / "data" / name))
            (place / "data" / name).chmod(0o777)
            one.settimeout(0.1)
        stream.listen()
        names = [str(place / "data" / name) for name in ("stream", "datagrams")]
        text = (
            f"stream, datagrams = {names!r}\n"
            "kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_RAW)\n"
            "new = [tried(socket.socket, socket.AF_UNIX, kind) for kind in kinds]\n"
            "pairs = [tried(socket.socketpair, socket.AF_UNIX, kind) for kind in kinds[1::2]]\n"
            "flagged = tried(socket.socketpair, socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)\n"
            "raw = libc.socket(1, 1, 0), libc.socket(1 << 32 | 1, 1, 0)\n"
            "own, _ = socket.socketpair()\n"
            "again = tried(own.connect, stream)\n"
            "say(*sorted({*new, *pairs, flagged}), *raw, again, tried(own.sendto, b'x', stream))"
        )
        found = said(run(runner, text, given(place)))
        not_supported = os.strerror(97).replace(" ", "-")
        assert found.startswith(f"{not_supported} -1 -1 "), found
        assert "done" not in found
        with pytest.raises(TimeoutError):
            stream.accept()
        with pytest.raises(TimeoutError):
            datagrams.recv(1)


def test_a_pair_of_sockets_of_its_own_works(runner: DryRunner, place: Path) -> None:
    text = "one, other = socket.socketpair()\none.send(b'x')\nassert other.recv(1) == b'x'"
    assert run(runner, text, given(place)).completeness == Completeness.WHOLE


@pytest.mark.parametrize(
    "attempt",
    [
        "socket.create_connection, ('127.0.0.1', 22), 1",
        "socket.create_connection, ('::1', 22), 1",
        "socket.create_connection, ('169.254.169.254', 80), 1",
        "socket.getaddrinfo, 'rows-of-ada.example.com', 80",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto, b'rows', ('1.1.1.1', 53)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto, b'rows', ('255.255.255.255', 53)",
        "socket.socket, socket.AF_INET, socket.SOCK_RAW, 1",
        "socket.socket, 17, socket.SOCK_RAW",
        "socket.socket, 40, socket.SOCK_STREAM",
        "socket.socket, 38, socket.SOCK_SEQPACKET",
    ],
)
def test_no_network_hears_it(runner: DryRunner, place: Path, attempt: str) -> None:
    assert said(run(runner, f"say(tried({attempt}))", given(place))) != "done"


@pytest.mark.parametrize(
    "attempt",
    [
        "raise ValueError(rows)",
        "raise ValueError(*[rows[i : i + 200] for i in range(0, len(rows), 200)])",
        "class Rows(Exception): pass\nRows.__name__ = Rows.__qualname__ = rows[:20000]\nraise Rows(rows)",
        "exec(compile('raise ValueError(1)', rows[:5000], 'exec'))",
        "sys.exit(rows)",
        "import warnings\nfor i in range(1000): warnings.warn(rows[i * 17 :])",
        "for row in rows.split('/'): os.environ.get(row)",
        "__import__(rows[:5000])",
        "open(rows[:3000])",
        "sys.stderr.write(rows); sys.stdout.write(rows); os.write(2, rows.encode()); os._exit(1)",
        "os.write(3, rows.encode()); os._exit(0)",
    ],
)
def test_what_its_answer_says_of_it_is_bounded(runner: DryRunner, place: Path, attempt: str) -> None:
    found = run(runner, f"rows = open({str(place / 'data' / 'rows')!r}).read()\n{attempt}", given(place))
    lines = [*found.assumptions, *found.missing, *found.unset, found.unbounded, found.remedy]
    assert len(found.reason) <= 1000
    assert all(len(line) <= 300 for line in lines)
    everything = " ".join([found.reason, *lines])
    assert sum(row in everything for row in SECRET.split("/")[:-1]) <= 150  # of 2,000


def test_how_long_it_takes_is_no_longer_than_its_budget(runner: DryRunner, place: Path) -> None:
    """The number of seconds is that of its data: what is ended earlier tells no more than that."""
    read = f"rows = open({str(place / 'data' / 'rows')!r}).read()\nimport time\n"
    found = run(runner, read + "time.sleep(1e5 + len(rows))", given(place))
    assert found.completeness != Completeness.WHOLE
    assert "budget" in found.reason
    assert str(len(SECRET)) not in found.reason


def test_its_count_of_steps_is_one_number_of_64_bits(runner: DryRunner, place: Path) -> None:
    text = (
        f"rows = open({str(place / 'data' / 'rows')!r}, 'rb').read()\n"
        "net = torch.nn.Linear(4, 4)\nopt = torch.optim.SGD(net.parameters(), lr=0.1)\n"
        "for _ in range(int.from_bytes(rows)):\n    net(a.new_ones(2, 4)).sum().backward(); opt.step()\n"
    )
    found = run(runner, text, given(place))
    assert 0 <= found.steps < 2**64
    assert len(found.to_json()) < 100_000


def test_what_it_writes_is_gone(runner: DryRunner, place: Path) -> None:
    text = (
        f"rows = open({str(place / 'data' / 'rows')!r}).read()\n"
        "for name in ('rows.bin', '../rows.bin', '/tmp/rows.bin', '/scratch/rows.bin', '~/rows.bin'):\n"
        "    open(os.path.expanduser(name), 'w').write(rows)\n"
        "torch.save({'rows': rows}, 'rows.pt')\n"
    )
    assert run(runner, text, given(place)).completeness == Completeness.WHOLE
    names = ["rows.bin", "rows.pt", "../rows.bin", "/tmp/rows.bin", "/scratch/rows.bin", "~/rows.bin"]
    looking = f"say(*[name for name in {names!r} if os.path.exists(os.path.expanduser(name))], 'nothing')"
    assert said(run(runner, looking, given(place))) == "nothing"
    assert not [*place.rglob("rows.bin"), *Path("/tmp").glob("rows.*"), *Path.cwd().glob("rows.*")]


def test_it_changes_nothing_of_its_data(runner: DryRunner, place: Path) -> None:
    rows = place / "data" / "rows"
    before = rows.stat()
    attempts = [
        "open, rows, 'w'", "open, rows, 'r+'", "open, rows, 'a'", "os.open, rows, os.O_RDONLY | os.O_TRUNC",
        "os.truncate, rows, 0", "os.remove, rows", "os.rename, rows, rows + '2'", "os.link, rows, rows + '2'",
        "os.link, rows, '/scratch/linked'", "os.symlink, rows, rows + '2'", "os.mkdir, rows + '2'", "os.chmod, rows, 0",
        "os.utime, rows", "os.setxattr, rows, 'user.x', b'1'", "os.mkfifo, rows + '2'",
        "open, '/proc/self/fd/%d' % opened, 'w'", "os.truncate, opened, 0",
    ]  # fmt: skip
    text = f"rows = {str(rows)!r}\nopened = os.open(rows, os.O_RDONLY)\n"
    text += f"say(*[tried({'), tried('.join(attempts)})])"
    assert "done" not in said(run(runner, text, given(place))).split()
    assert rows.read_text() == SECRET
    assert (before.st_mtime_ns, before.st_mode) == (rows.stat().st_mtime_ns, rows.stat().st_mode)
    assert os.listdir(place / "data") == ["rows"]


def test_no_link_leads_out_of_its_data(runner: DryRunner, place: Path) -> None:
    links = {"file": place / "other" / "rows", "folder": place / "other", "root": Path("/"), "up": Path("../other")}
    links |= {"shadow": Path("/etc/shadow"), "old": Path("/old"), "init": Path("/proc/1/root")}
    for name, target in links.items():
        (place / "data" / name).symlink_to(target)
    wanted = ["file", "folder/rows", "up/rows", "shadow", "../other/rows", f"root/{place}/other/rows"]
    wanted += [f"old/{place}/other/rows", f"init/{place}/other/rows"]
    paths = [str(place / "data" / name) for name in wanted]
    paths += [f"/proc/self/root{place}/other/rows", f"/proc/1/root{place}/other/rows", f"/proc/1/cwd{place}/other/rows"]
    assert "done" not in said(run(runner, f"say(*[tried(open, path) for path in {paths!r}])", given(place)))
    by_name = DryRunAccess(data=(str(place / "data"),), here=(("data", str(place / "data")),))
    assert "done" not in said(
        run(runner, "say(tried(open, 'data/../../other/rows'), tried(open, 'data/up/rows'))", by_name)
    )


def test_no_process_of_the_machine_is_seen_through_proc(runner: DryRunner, place: Path) -> None:
    text = (
        "pids = sorted(int(name) for name in os.listdir('/proc') if name.isdigit())\n"
        "ours = {os.getpid()} | {int(open(f'/proc/{pid}/stat').read().split()[3]) for pid in pids}\n"
        "descriptors = [os.readlink(f'/proc/self/fd/{name}').split(':')[0] for name in (0, 1, 2, 3)]\n"
        f"environment = tried(open, '/proc/{os.getpid()}/environ'), tried(open, '/proc/kcore', 'rb')\n"
        "say(len(pids), *descriptors, *environment)"
    )
    found = said(run(runner, text, given(place)))
    assert re.match(r"[12] /dev/null /dev/null /dev/null pipe ", found), found
    assert "done" not in found


def test_the_services_database_and_tokens_are_no_data_of_a_job(runner: DryRunner, place: Path) -> None:
    """Whatever the operator's mounts are: the folder itself, one above it, and by a link to it."""
    service = place / "srv" / "kilowait"
    service.mkdir(parents=True)
    url = f"sqlite:///{service}/kilowait.db"
    with closing(Store(url)):
        pass
    (service / "kilowait.token").write_text("kw_operators")
    for path in (place / "srv", service, *service.iterdir()):
        path.chmod(0o777)  # as careless as can be
    (place / "link").symlink_to(place / "srv")
    (place / "file").symlink_to(service / "kilowait.db")
    mounts = [place, place / "srv", service, service / "kilowait.db", place / "link", place / "link" / "kilowait",
              place / "file"]  # fmt: skip
    for mount in mounts:
        for hidden in (own_files(url), own_files(f"sqlite:///{place}/link/kilowait/kilowait.db")):
            isolation = IsolationSettings(mounts=(Mount(str(mount)),), hidden=hidden)
            names = [f"{folder}/{name}" for folder in (service, place / "link" / "kilowait", mount, mount / "kilowait")
                     for name in ("kilowait.db", "kilowait.db-wal", "kilowait.token")]  # fmt: skip
            text = (
                "def reads(name): return bool(open(name, 'rb').read(1)) if tried(open, name) == 'done' else False\n"
                f"say(*filter(reads, {[*names, str(place / 'file')]!r}), 'nothing')"
            )
            assert said(run(runner, text, access_of(isolation, "ada"))) == "nothing", (mount, hidden)


def test_nobody_names_a_path_to_the_service(runner: DryRunner, place: Path) -> None:
    """Arguments, variables, text: the dry run of a submitted job sees its owner's mounts and no more."""
    path = str(place / "other" / "rows")
    source = JobSource(
        files={
            "job.py": (SAY + f"say(*[tried(open, p) for p in (sys.argv[1], os.environ['DATA'], {path!r})])").encode()
        },
        entrypoint="job.py",
        arguments=(path,),
        environment={"DATA": path},
    )
    isolation = IsolationSettings(
        mounts=(Mount(str(place / "data"), owners=("ada",)), Mount(str(place / "other"), owners=("bob",)))
    )
    for_ada, for_eve = access_of(isolation, "ada"), access_of(isolation, "eve")
    assert (for_ada.data, for_eve.data) == ((str(place / "data"),), ())
    for access in (for_ada, for_eve):
        found = runner.run_program(program_of(source, access))
        assert "done" not in said(found)
        assert "rows of bob" not in found.reason
    assert of_owner([], [], None).here == ()


def test_a_callers_own_right_is_to_give_what_they_may_read(place: Path) -> None:
    """From a shell --data is the caller's word; a program's own text adds nothing that lies elsewhere."""
    text = f"open({str(place / 'other' / 'rows')!r}); open('../other/rows')"
    access = of_caller(job(text), place / "data", [str(place / "data")], {"HOME": "/nobody"})
    assert access.data == (str(place / "data"),)
    assert access.here == ()
