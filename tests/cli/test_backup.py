"""`kilowait backup` and `kilowait restore`: a whole, sound copy or none, and never over a history that is in use."""

import os
import resource
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from kilowait.cli.main import main
from kilowait.cluster.events import GpusJoined
from kilowait.history.lease import Claim
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from tests.support.history_of_release import contents, put_release
from tests.support.live_world import request
from tests.support.postgres_server import binary

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(capsys):
    def words(*given):
        code = main([str(word) for word in given])
        return code, *capsys.readouterr()

    return words


@pytest.fixture
def history(tmp_path, closed):
    """The file of a history with one node and two jobs, which nobody holds."""
    file = tmp_path / "live" / "kilowait.db"
    file.parent.mkdir()
    live = Controller(Store(str(file)), simple(), order=("A", "B"))
    live.node_joined("n1", "A", 1, 1.0)
    for n in range(2):
        live.submit(request(f"k{n}"), 2.0)
    live.store.close()
    return file


def jobs(file):
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return [row[0] for row in connection.execute("SELECT job_id FROM jobs ORDER BY job_id")]


def url(file):
    return f"sqlite:///{file}"


def test_what_was_copied_is_what_was_there_and_comes_back(run, history, tmp_path):
    before, copy = contents(url(history)), tmp_path / "copy.db"
    code, said, complained = run("backup", "--database", url(history), copy)
    assert (code, said, complained) == (0, f"{copy.stat().st_size:,} bytes written to {copy}\n", "")
    assert (copy.stat().st_mode & 0o777, sorted(os.listdir(tmp_path))) == (0o600, ["copy.db", "live"])
    assert contents(url(copy)) == before
    for file in history.parent.iterdir():
        file.unlink()
    code, said, complained = run("restore", copy, "--database", history)
    assert (code, said, complained) == (0, f"{history} is {copy} again, of schema 3\n", "")
    assert contents(url(history)) == before
    live = Controller(Store(str(history)), simple(), order=("A", "B"))
    assert live.submit(request("k0"), 5.0) == jobs(copy)[0]  # the same owner's same key


WRITER = """
import sys
from kilowait.cluster.events import GpusHeld, GpusJoined
from kilowait.history.store import Store
store = Store(sys.argv[1])
seq = store.take_over()
while True:
    with store.writing(seq) as writing:  # each transaction has three events
        for n in range(3):
            seq = writing.append(GpusJoined(time_s=1.0, node=f"n{seq}", gpu_type="A", gpus=1))
    print(seq, flush=True)
"""


def test_a_copy_while_a_writer_commits_has_all_that_was_committed_and_no_torn_transaction(run, tmp_path):
    file = tmp_path / "kilowait.db"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WRITER, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
        try:
            last = int(writer.stdout.readline())
            for n in range(8):
                committed, copy = last, tmp_path / f"copy-{n}.db"
                assert run("backup", "--database", file, copy)[0] == 0
                last = int(writer.stdout.readline())
                with closing(sqlite3.connect(copy)) as connection:
                    ((count, newest),) = connection.execute("SELECT count(*), max(seq) FROM events")
                assert count == newest >= committed
                assert count % 3 == 0
        finally:
            writer.send_signal(signal.SIGKILL)
    assert list(Store(f"{tmp_path}/copy-7.db").events())


@pytest.mark.usefixtures("closed")
def test_a_service_that_writes_goes_on_while_it_is_copied(run, history, tmp_path):
    store = Store(str(history))
    seq = store.take_over()
    assert run("backup", "--database", history, tmp_path / "copy.db")[0] == 0
    with store.writing(seq) as writing:
        writing.append(GpusJoined(time_s=9.0, node="n2", gpu_type="A", gpus=1))
    assert len(list(store.events())) == 4


def flip(file, at=None):
    """Bytes of the first table's page that are not what SQLite wrote."""
    data = bytearray(file.read_bytes())
    at = 4096 * 2 if at is None else at
    data[at : at + 64] = b"\xff" * 64
    file.write_bytes(bytes(data))


def test_a_damaged_copy_is_named_and_nothing_is_replaced(run, history, tmp_path):
    copy, before = tmp_path / "copy.db", contents(url(history))
    run("backup", "--database", history, copy)
    flip(copy)
    code, said, complained = run("restore", copy, "--database", history, "--force")
    assert (code, said) == (1, "")
    assert complained.startswith(f"kilowait: {copy}: ")
    assert "damaged" in complained
    assert contents(url(history)) == before


def test_a_damaged_history_is_named_and_no_copy_is_made_but_one_can_be_put_in_its_place(run, history, tmp_path):
    good = tmp_path / "good.db"
    run("backup", "--database", history, good)
    flip(history)
    code, _, complained = run("backup", "--database", history, tmp_path / "bad.db")
    assert (code, complained.startswith(f"kilowait: {history}: "), "damaged" in complained) == (1, True, True)
    assert sorted(os.listdir(tmp_path)) == ["good.db", "live"]
    history.write_bytes(b"not a database" * 1000)
    assert run("restore", good, "--database", history, "--force")[0] == 0
    assert len(jobs(history)) == 2


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda f: f.write_text("job_id,submit_s\n" * 100), "file is not a database"),
        (lambda f: sqlite3.connect(f).executescript("CREATE TABLE t (x)").close(), "no history of kilowait"),
        (lambda f: None, "there is no such file"),
    ],
)
def test_what_is_no_copy_of_a_history_is_refused(run, history, tmp_path, make, complaint):
    copy, before = tmp_path / "copy.db", contents(url(history))
    make(copy)
    code, _, complained = run("restore", copy, "--database", history, "--force")
    assert code in (1, 2)
    assert complained.startswith(f"kilowait: {copy}: ")
    assert complaint in complained
    assert contents(url(history)) == before


def test_a_copy_of_a_newer_schema_is_refused_by_both_versions(run, history, tmp_path):
    copy = tmp_path / "copy.db"
    run("backup", "--database", history, copy)
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("UPDATE meta SET value = '9' WHERE key = 'schema'")
    code, _, complained = run("restore", copy, "--database", tmp_path / "new.db")
    assert code == 1
    assert "its schema is version '9', this release reads '3'; use the release that wrote it" in complained
    assert not (tmp_path / "new.db").exists()


@pytest.mark.usefixtures("closed")
def test_a_copy_of_an_earlier_release_is_restored_and_upgraded_by_who_takes_it_over(run, tmp_path):
    put_release("0.1.0", url(tmp_path / "old.db"))
    code, said, _ = run("restore", tmp_path / "old.db", "--database", tmp_path / "new.db")
    assert (code, said.endswith("of schema 1\n")) == (0, True)
    Store(f"{tmp_path}/new.db").take_over(Claim(cluster="c", holder="h", time_s=1795990000.0))
    assert len(jobs(tmp_path / "new.db")) == 8


def test_a_history_that_is_there_is_replaced_only_with_force(run, history, tmp_path):
    copy = tmp_path / "copy.db"
    run("backup", "--database", history, copy)
    live = Controller(Store(str(history)), simple(), order=("A", "B"))
    live.submit(request("after"), 3.0)
    live.store.close()
    code, _, complained = run("restore", copy, "--database", history)
    assert (code, complained) == (
        2,
        f"kilowait: {history}: is there already; give another place, or --force to lose what it holds\n",
    )
    assert len(jobs(history)) == 3
    history.chmod(0o640)
    assert run("restore", copy, "--database", history, "--force")[0] == 0
    assert (len(jobs(history)), history.stat().st_mode & 0o777) == (2, 0o640)
    assert os.listdir(history.parent) == [history.name]


@pytest.mark.usefixtures("closed")
def test_a_history_that_a_living_cluster_holds_is_never_replaced(run, history, tmp_path):
    copy = tmp_path / "copy.db"
    run("backup", "--database", history, copy)
    store = Store(str(history))
    store.take_over(Claim(cluster="living", holder="the scheduler on head, process 7", time_s=time.time()))
    store.close()
    code, _, complained = run("restore", copy, "--database", history, "--force")
    assert (code, "held by the scheduler on head, process 7" in complained) == (1, True)


@pytest.mark.usefixtures("closed")
def test_a_history_that_a_process_has_open_is_not_replaced(run, history, tmp_path, monkeypatch):
    monkeypatch.setattr("kilowait.history.sqlite_files.WAIT_S", 0.1)
    copy = tmp_path / "copy.db"
    run("backup", "--database", history, copy)
    store = Store(str(history))
    store.take_over()
    code, _, complained = run("restore", copy, "--database", history, "--force")
    assert (code, f"{history}: not replaced: database is locked; end the processes" in complained) == (1, True)
    assert len(store.jobs()) == 2
    store.close()
    assert run("restore", copy, "--database", history, "--force")[0] == 0


def test_what_a_dead_process_left_beside_a_file_that_is_gone_is_not_played_into_the_new_one(run, history, tmp_path):
    copy = tmp_path / "copy.db"
    run("backup", "--database", history, copy)
    with closing(sqlite3.connect(history)) as connection:  # its log stays, as after a kill
        connection.execute("UPDATE jobs SET owner = 'mallory'")
        connection.commit()
        shutil.copy(f"{history}-wal", tmp_path / "wal")
    history.unlink()
    shutil.copy(tmp_path / "wal", f"{history}-wal")
    code, _, complained = run("restore", copy, "--database", history)
    assert (code, f"{history}-wal: is there already" in complained) == (2, True)
    assert run("restore", copy, "--database", history, "--force")[0] == 0
    assert contents(url(history))["jobs"] == contents(url(copy))["jobs"]


def test_a_full_disk_leaves_the_older_copy_and_nothing_half(history, tmp_path):
    copy = tmp_path / "copy.db"
    words = [sys.executable, "-m", "kilowait.cli.main", "backup", "--database", str(history), str(copy)]
    assert subprocess.run(words, cwd=ROOT, check=False, capture_output=True).returncode == 0
    before = copy.read_bytes()

    def nearly_full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(words, cwd=ROOT, check=False, capture_output=True, text=True, preexec_fn=nearly_full)
    assert done.returncode == 1
    assert done.stderr.startswith(f"kilowait: {history}: not copied to {copy}: ")
    assert "make space on its disk" in done.stderr
    assert copy.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["copy.db", "live"]


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("no/such/folder.db", "make it first"),
        ("live", "is a folder"),
        ("live/kilowait.db", "is the database itself"),
        ("notes.txt", "is no SQLite database"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_and_left_alone(run, history, tmp_path, target, complaint):
    (tmp_path / "notes.txt").write_text("mine")
    before = contents(url(history))
    code, _, complained = run("backup", "--database", history, tmp_path / target)
    assert (code, complaint in complained) == (2, True)
    assert ((tmp_path / "notes.txt").read_text(), contents(url(history))) == ("mine", before)


def test_a_folder_that_may_not_be_written_is_named(run, history):
    code, _, complained = run("backup", "--database", history, "/proc/copy.db")
    assert (code, "not copied to /proc/copy.db: " in complained) == (1, True)


def test_a_history_that_is_not_there_is_not_made(run, tmp_path):
    code, _, complained = run("backup", "--database", tmp_path / "none.db", tmp_path / "copy.db")
    assert (code, complained) == (2, f"kilowait: {tmp_path}/none.db: there is no such file\n")
    assert os.listdir(tmp_path) == []


def test_for_postgresql_the_commands_that_do_it_are_named_without_the_password(run):
    address = "postgresql://ada:secret@db.example:5432/kilowait?sslmode=require"
    for words in (("backup", "--database", address, "my file"), ("restore", "my file", "--database", address)):
        code, _, complained = run(*words)
        assert (code, "secret" in complained) == (2, False)
        tool = {"backup": "pg_dump --format=custom", "restore": "pg_restore --clean --if-exists"}[words[0]]
        assert tool in complained
        assert "'my file'" in complained
        assert "ada@db.example:5432/kilowait?sslmode=require" in complained


@pytest.mark.usefixtures("closed")
def test_the_commands_that_are_named_for_postgresql_do_it(run, database_server, tmp_path):
    binary("pg_restore")
    place = next(Path("/usr/lib/postgresql").glob("*/bin"), None)
    environment = {**os.environ, "PATH": f"{place}:{os.environ['PATH']}" if place else os.environ["PATH"]}
    live = Controller(Store(database_server), simple(), order=("A", "B"))
    live.node_joined("n1", "A", 1, 1.0)
    live.submit(request("k"), 2.0)
    before = contents(database_server)

    def named(*words):
        command = shlex.split(run(*words)[2].partition("PGPASSWORD: ")[2])
        subprocess.run(command, env=environment, check=True, capture_output=True)

    named("backup", "--database", database_server, tmp_path / "copy")
    live.submit(request("after"), 3.0)
    live.store.close()
    assert contents(database_server) != before
    named("restore", tmp_path / "copy", "--database", database_server)
    assert contents(database_server) == before
