"""Environments that are built of requirements, by uv, from wheels in a folder: nothing is fetched."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kilowait.core.errors import InputError
from serve.environments import built_environments
from serve.environments.asked_packages import asked_packages
from serve.environments.built_environments import READY, BuiltEnvironments, EnvironmentSettings
from tests.support.wheels import wheel

PROJECT = """\
[project]
name = "mine"
version = "1"
requires-python = ">=3.11"
dependencies = ["one>=1", "two==2; python_version > '3'"]
"""
LOCK = """\
version = 1
revision = 3
requires-python = ">=3.11"

[[package]]
name = "mine"
version = "1"
source = { virtual = "." }
dependencies = [{ name = "one" }]

[package.metadata]
requires-dist = [{ name = "one", specifier = ">=1" }]

[[package]]
name = "one"
version = "1.0"
source = { registry = "https://elsewhere.example/simple" }
wheels = [
    { url = "https://elsewhere.example/one-1.0-py3-none-any.whl", hash = "sha256:%s", size = 700 },
]
""" % ("ab" * 32)


@pytest.fixture
def built(tmp_path):
    """Built in a folder, from two wheels in another."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name, version in (("one", "1.0"), ("two", "2")):
        wheel(wheels, name, version)
    return BuiltEnvironments(EnvironmentSettings(folder=str(tmp_path / "kept"), indexes=(str(wheels),)))


def said(python, code):
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout


def test_it_has_what_was_asked_for_and_is_built_once_for_jobs_at_the_same_time(built):
    packages = asked_packages({"requirements.txt": "one  # the first\n\n"})
    python, found = built.python_for(packages), []

    def job():
        with built.used(python, packages) as anew:
            found.append((anew, said(python, "import one; print(one.NAME)")))

    jobs = [threading.Thread(target=job) for _ in range(3)]
    for one in jobs:
        one.start()
    for one in jobs:
        one.join()
    assert sorted(found) == [(False, "one\n"), (False, "one\n"), (True, "one\n")]
    assert built.holds(python)
    assert not built.holds("/opt/envs/vision/bin/python")
    assert oct(os.stat(os.path.dirname(python)).st_mode & 0o777) == "0o755"  # jobs are other users


def test_wheels_are_from_several_folders_whatever_they_are_called(built, tmp_path):
    more = tmp_path / "more, and others"
    more.mkdir()
    wheel(more, "three", "1")
    both = EnvironmentSettings(folder=str(tmp_path / "kept"), indexes=(str(tmp_path / "wheels"), str(more)))
    environments = BuiltEnvironments(both)
    with environments.used(python := environments.python_for(("one", "three")), ("one", "three")):
        assert said(python, "import one, three; print(one.NAME, three.NAME)") == "one three\n"


def test_the_order_of_lines_and_comments_is_no_other_environment_and_a_version_is(built):
    one, other = ({"requirements.txt": text} for text in ("two\none>=1\n", "# both\none >= 1\ntwo # 2\n"))
    assert built.python_for(asked_packages(one)) == built.python_for(asked_packages(other))
    assert built.python_for(asked_packages(one)) != built.python_for(("one>=2", "two"))


def test_a_build_that_fails_says_why_and_leaves_nothing(built):
    python = built.python_for(("one==3",))
    with pytest.raises(InputError, match=r"cannot be built.*one==3"), built.used(python, ("one==3",)):
        pass
    assert not built.ready(python)
    assert not os.path.exists(os.path.dirname(os.path.dirname(python)))


def test_a_package_that_must_be_built_is_not_taken(built, tmp_path):
    folder = tmp_path / "three-1"
    folder.mkdir()
    (folder / "setup.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nfrom setuptools import setup\nsetup()\n")
    (folder / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: three\nVersion: 1\n")
    subprocess.run(["tar", "czf", tmp_path / "wheels/three-1.tar.gz", "-C", tmp_path, "three-1"], check=True)
    with pytest.raises(InputError, match="three"), built.used(built.python_for(("three",)), ("three",)):
        pass
    assert not (tmp_path / "ran").exists()


def test_what_was_used_longest_ago_goes_first_and_what_is_in_use_stays(built, tmp_path):
    pythons = {name: built.python_for((name,)) for name in ("one", "two")}
    for name, python in pythons.items():
        with built.used(python, (name,)):
            pass
        os.utime(tmp_path / "kept" / python.split("/")[-3] / READY, (1000 + len(name),) * 2)
    narrow = BuiltEnvironments(
        EnvironmentSettings(folder=str(tmp_path / "kept"), indexes=(str(tmp_path / "wheels"),), max_bytes=1)
    )
    with narrow.used(pythons["one"], ("one",)):
        narrow.make_room()
        assert [built.ready(python) for python in pythons.values()] == [True, False]
    narrow.make_room()
    assert not built.ready(pythons["one"])


def test_the_lock_is_held_for_as_long_as_a_job_uses_it(built):
    python = built.python_for(("one",))
    with built.used(python, ("one",)):
        place = os.path.dirname(os.path.dirname(python))
        with open(f"{place}.lock") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with open(f"{place}.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_what_the_first_index_has_of_a_package_counts_whatever_the_next_has(tmp_path):
    """Else whoever may publish on the second gives a package of the first another content, by a higher version."""
    places = []
    for name, version in (("own", "1.0"), ("public", "9.0")):
        folder = tmp_path / name / "one"
        folder.mkdir(parents=True)
        path = wheel(folder, "one", version)
        (folder / "index.html").write_text(f'<a href="{path.name}">{path.name}</a>')
        places.append(folder.parent.as_uri())
    two = BuiltEnvironments(EnvironmentSettings(folder=str(tmp_path / "kept"), indexes=tuple(places)))
    with two.used(python := two.python_for(("one",)), ("one",)):
        assert said(python, "from importlib import metadata; print(metadata.version('one'))") == "1.0\n"


def within(tmp_path, max_bytes):
    """The same folder, with another bound."""
    wheels = str(tmp_path / "wheels")
    return BuiltEnvironments(EnvironmentSettings(folder=str(tmp_path / "kept"), indexes=(wheels,), max_bytes=max_bytes))


def taken(folder):
    """Bytes on the disk of the files in a folder, each once."""
    found = [path.lstat() for path in Path(folder).rglob("*") if not path.is_dir()]
    return sum({one.st_ino: one.st_blocks * 512 for one in found}.values())


def test_only_so_much_goes_as_is_too_much(built, tmp_path):
    """What only uv's cache still holds goes too, and what environments share with it stays."""
    names = ("one", "two", "three")
    for name in names:
        wheel(tmp_path / "wheels", name, "5", text="NAME = {name!r}\n#" + os.urandom(1_000_000).hex() + "\n")
    pythons = [built.python_for((f"{name}==5",)) for name in names]
    for name, python in zip(names, pythons, strict=True):
        with built.used(python, (f"{name}==5",)):
            pass
    limit = taken(tmp_path / "kept") - 1_000_000
    within(tmp_path, limit).make_room()
    assert [built.ready(python) for python in pythons] == [False, True, True]
    assert taken(tmp_path / "kept") <= limit
    assert said(pythons[2], "import three; print(three.NAME)") == "three\n"


def test_the_cache_is_not_removed_while_another_environment_is_built_of_it(built, tmp_path):
    with built.used(built.python_for(("one",)), ("one",)):
        pass
    with open(tmp_path / "kept/cache.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        within(tmp_path, 1).make_room()
        assert taken(tmp_path / "kept/cache") > 0
    within(tmp_path, 1).make_room()
    assert taken(tmp_path / "kept/cache") == 0


def test_what_a_build_left_that_was_broken_off_is_removed_and_what_is_being_built_is_not(built, tmp_path):
    for name in ("left", "begun"):
        (tmp_path / "kept" / name / "lib").mkdir(parents=True)
        (tmp_path / "kept" / f"{name}.lock").touch()
    with open(tmp_path / "kept/begun.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built.make_room()
    assert sorted(path.name for path in (tmp_path / "kept").iterdir() if path.is_dir()) == ["begun"]


def test_one_that_another_process_removes_meanwhile_is_passed_over(built, tmp_path):
    place = tmp_path / "kept" / "going"
    place.mkdir(parents=True)
    (place / READY).symlink_to(tmp_path / "gone")
    built.make_room()


def test_one_whose_python_is_gone_is_built_again(built):
    python = Path(built.python_for(("one",)))
    with built.used(str(python), ("one",)):
        pass
    python.unlink()
    python.symlink_to("/no/longer/there/python3")
    with built.used(str(python), ("one",)) as anew:
        assert (anew, said(python, "import one; print(one.NAME)")) == (True, "one\n")


@pytest.fixture
def endless(tmp_path, monkeypatch):
    """A uv that says its number in a file, and goes on for ever."""
    program = tmp_path / "uv"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/new\nmv {tmp_path}/new {tmp_path}/pid\nexec sleep 1000\n")
    program.chmod(0o755)
    monkeypatch.setattr(built_environments, "uv_program", lambda: str(program))
    return tmp_path / "pid"


def test_a_build_that_nobody_wants_any_more_is_ended(built, endless):
    python = built.python_for(("one",))
    with (
        pytest.raises(InputError, match="asked to end before its environment stood"),
        built.used(python, ("one",), lambda: not endless.exists()),
    ):
        pass
    assert not Path(f"/proc/{endless.read_text().strip()}").exists()
    assert not Path(python).parents[1].exists()


def test_whoever_waits_for_the_build_of_another_may_be_asked_to_end(built, tmp_path):
    python, asked = built.python_for(("one",)), iter((True, False))
    (tmp_path / "kept").mkdir()
    with open(f"{Path(python).parents[1]}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="asked to end"), built.used(python, ("one",), lambda: next(asked)):
            pass


BUILDS = """
import sys
from serve.environments import built_environments as module
module.uv_program = lambda: sys.argv[1]
built = module.BuiltEnvironments(module.EnvironmentSettings(folder=sys.argv[2]))
built.used(sys.argv[3], ("one",)).__enter__()
"""


def test_what_a_killed_process_was_building_stays_locked_until_its_uv_has_ended(built, endless, tmp_path):
    python = built.python_for(("one",))
    words = [sys.executable, "-c", BUILDS, str(tmp_path / "uv"), str(tmp_path / "kept"), python]
    with subprocess.Popen(words) as building:
        deadline_s = time.monotonic() + 300
        while not endless.exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        building.kill()
    pid = int(endless.read_text())
    with open(f"{Path(python).parents[1]}.lock") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.kill(pid, signal.SIGKILL)
        fcntl.flock(lock, fcntl.LOCK_EX)


def test_a_lock_file_comes_with_its_hashes_and_without_its_places():
    assert asked_packages({"pyproject.toml": PROJECT, "uv.lock": LOCK}) == (f"one==1.0 --hash=sha256:{'ab' * 32}",)


def test_a_project_without_a_lock_is_what_it_states():
    assert asked_packages({"pyproject.toml": PROJECT}) == ("one>=1", 'two==2; python_version > "3"')


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"requirements.txt": "--index-url https://mine.example/simple\none\n"}, "is an option"),
        ({"requirements.txt": "-r /etc/passwd\n"}, "is an option"),
        ({"requirements.txt": "-e .\n"}, "is an option"),
        ({"requirements.txt": "one @ file:///etc/one.whl\n"}, "names a place"),
        ({"requirements.txt": "https://mine.example/one.whl\n"}, "no package of an index"),
        ({"requirements.txt": "../one\n"}, "no package of an index"),
        ({"requirements.txt": "# nothing\n"}, "0 packages"),
        ({"pyproject.toml": "[project]\nname = 'x'\ndynamic = ['dependencies']\n"}, "states no dependencies"),
        ({"pyproject.toml": "[project"}, "cannot be read"),
        ({"uv.lock": LOCK}, "without its pyproject.toml"),
        ({"pyproject.toml": PROJECT, "uv.lock": "version = "}, "uv.lock cannot be read"),
        ({}, "give one of"),
        ({"requirements.txt": "one; " + "(" * 900 + "python_version>'3'" + ")" * 900}, "no package of an index"),
        ({"requirements.txt": "one" + ",".join(["==1"] * 20_000)}, "80,002 characters; the limit is 2,000"),
        ({"requirements.txt": "\n".join(f"one{n}" for n in range(2001))}, "2,001 packages; ask for 1 to 2,000"),
        ({"pyproject.toml": "[project]\ndependencies = " + "[" * 100_000}, "pyproject.toml cannot be read"),
        ({"requirements.txt": f"one --hash=sha256:{'ab' * 32}\n"}, "hashes and no single version"),
        ({"requirements.txt": f"one==1.* --hash=sha256:{'ab' * 32}\n"}, "hashes and no single version"),
        ({"requirements.txt": "one==1.0 --hash=sha256:${HOME}\n"}, "is no hash"),
    ],
)
def test_what_is_more_than_packages_of_the_operators_index_is_refused(files, words):
    with pytest.raises(InputError, match=words):
        asked_packages(files)
