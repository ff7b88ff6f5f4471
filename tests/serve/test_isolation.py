"""Jobs of the running service: what a hostile one finds of the service, of Ray and of other jobs."""

import json
import os

import pytest

from benchmarks.pretended_cluster import PretendedCluster
from kilowait.core.errors import InputError
from kilowait.core.submission import Program
from kilowait.isolation.modes import IsolationSettings, Mount, holding, room_refusal
from serve.isolation_options import mount_of, own_files

needs_room = pytest.mark.skipif(room_refusal() is not None, reason=str(room_refusal()))

HOSTILE = """
import glob, json, os, sys
database, token, ray_token, folder = sys.argv[1:]
def reads(path):
    try:
        return bool(open(path, 'rb').read(1))
    except OSError:
        return False
others = [p for p in glob.glob('/proc/[0-9]*/cmdline') if p.split('/')[2] not in (str(os.getpid()), '1', 'self')]
print(json.dumps({
    'database': reads(database), 'token': reads(token), 'ray token': reads(ray_token),
    'service': os.path.exists(folder),
    'processes': len(others), 'jobs': glob.glob('/tmp/kilowait-*'), 'ray': os.path.exists('/tmp/ray'),
    'root': os.getuid() == 0, 'sources': glob.glob('/tmp/*/scratch'), 'here': os.getcwd(), 'home': os.environ['HOME'],
    'secrets': sorted(n for n in os.environ if n.startswith(('RAY', 'KILOWAIT'))),
}))
"""
NOTHING = {
    "database": False,
    "token": False,
    "ray token": False,
    "service": False,
    "processes": 0,
    "jobs": [],
    "ray": False,
    "root": False,
    "sources": [],
    "here": "/job",
    "home": "/job",
    "secrets": ["KILOWAIT_ATTEMPT", "KILOWAIT_JOB_ID"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("service")
    (made / "kilowait.token").write_text("kw_operators")
    return made


@pytest.fixture(scope="module")
def world(folder):
    data = folder.parent / "data"
    data.mkdir(exist_ok=True)
    (data / "train.bin").write_text("rows")
    link = folder.parent / "link"
    link.symlink_to(folder.parent)
    isolation = IsolationSettings(
        memory_per_gpu_bytes=300 << 20,
        mounts=(Mount(str(data), owners=("ada",)), Mount(str(link), writable=True, owners=("eve",))),
        hidden=own_files(f"sqlite:///{folder}/kilowait.db"),
    )
    cluster = PretendedCluster(folder, policy="simple", isolation=isolation, a=("A100", 2))
    cluster.until(lambda: cluster.ask("snapshot").free == {"A100": 2})
    yield cluster
    cluster.close()


def said(world, text, *arguments, key, **more):
    """How a job of this text ended, and the last line that it wrote."""
    program = Program(files={"main.py": text}, entrypoint="main.py", arguments=arguments)
    job_id = world.submit(key, program=program, **more)
    (row,) = world.over(job_id)
    _, log = world.ask("log", job_id)
    return row, (log.decode().strip().splitlines() or [""])[-1]


@needs_room
def test_a_hostile_job_finds_nothing(world, folder):
    names = (folder / "kilowait.db", folder / "kilowait.token", os.environ["RAY_AUTH_TOKEN_PATH"], folder)
    row, line = said(world, HOSTILE, *map(str, names), key="hostile")
    assert row["state"] == "finished", line
    found = json.loads(line)
    assert found == {**NOTHING, "root": found["root"] if os.getuid() else False}


@needs_room
def test_a_job_that_outgrows_its_memory_ends_and_says_so(world):
    text = "import os, time\nparts = []\nwhile True:\n    parts.append(bytearray(os.urandom(1 << 20)) * 32)\n"
    text += "    time.sleep(0.05)"
    row, _ = said(world, text, key="hog")
    assert row["state"] == "failed"
    assert "out of memory: all its processes together may hold 0.315 GB here" in row["reason"]


@needs_room
def test_what_an_operator_mounts_for_one_owner_no_other_sees(world, folder):
    text = f"import os; print(os.path.exists({str(folder.parent / 'data' / 'train.bin')!r}))"
    assert [said(world, text, key=f"mount-{user}", user=user)[1] for user in ("ada", "bob")] == ["True", "False"]


@needs_room
def test_a_link_that_an_operator_mounts_shows_nothing_of_the_service(world, folder):
    for path in (folder.parent, folder, folder / "kilowait.token"):
        path.chmod(0o755)  # as careless as can be
    names = [f"{folder.parent}/link/{name}" for name in ("data/train.bin", f"{folder.name}/kilowait.token")]
    text = f"import os; print(*map(os.path.exists, {names!r}))"
    assert said(world, text, key="link", user="eve")[1] == "True False"


def test_what_cannot_be_had_is_said_by_name():
    assert "isolation container needs podman or docker" in holding(IsolationSettings(mode="container")).problem


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("/usr", Mount("/usr")),
        ("/usr:rw", Mount("/usr", writable=True)),
        ("/usr@ada,bob", Mount("/usr", owners=("ada", "bob"))),
        ("/usr:rw@ada", Mount("/usr", writable=True, owners=("ada",))),
    ],
)
def test_a_mount_is_read(text, mount):
    assert mount_of(text) == mount


@pytest.mark.parametrize("text", ["usr", "/usr:x", "/usr@", "/nowhere", ""])
def test_a_mount_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="mount"):
        mount_of(text)
