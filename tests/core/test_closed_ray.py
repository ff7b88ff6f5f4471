"""The token that Ray is told to ask for: whose it is, where it lies, and that nothing of it stays behind."""

import os
import re
import stat
from pathlib import Path

import psutil
import pytest
import ray
from ray._private.authentication.authentication_utils import is_token_auth_enabled

from kilowait.core.closed_ray import closed_ray, connected, local_ray, read_again
from tests.support.listening import LOOPBACK, listening

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
SHELLS = ("pipelines", "tuning", "serve", "benchmarks")
STARTS = re.compile(r"ray\.init\((?![^)]*address=[\w.]+\.address)[^)]*\)")
"""A start of Ray, or a connection to a cluster that is not one of a test's own."""

NAMES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")


@pytest.fixture(autouse=True)
def _clean():
    """None of the variables is set, as in a fresh process; Ray in this one has what it had before, afterwards."""
    with pytest.MonkeyPatch.context() as environment:
        for name in NAMES:
            environment.delenv(name, raising=False)
        yield
    read_again(ray)


def variables():
    return {name: os.environ[name] for name in NAMES if name in os.environ}


def test_a_fresh_token_is_for_this_users_eyes_only_and_asked_for(tmp_path):
    path = tmp_path / "new" / "kilowait.ray-token"
    with closed_ray(ray, path):
        assert variables() == {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(path),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        }
        assert is_token_auth_enabled()
    assert len(bytes.fromhex(path.read_text())) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_stays_behind(tmp_path):
    with pytest.raises(RuntimeError, match="went wrong"), closed_ray(ray, tmp_path / "t"):
        raise RuntimeError("went wrong")
    assert variables() == {}
    assert not is_token_auth_enabled()


def test_the_next_start_has_the_same_token_and_another_database_another(tmp_path):
    for name in ("a", "a", "b"):
        with closed_ray(ray, tmp_path / name):
            pass
        if name == "a":
            first = (tmp_path / "a").read_text()
    assert (tmp_path / "a").read_text() == first != (tmp_path / "b").read_text()


def test_a_token_that_others_could_read_is_closed_to_them(tmp_path):
    path = tmp_path / "t"
    path.write_text("ab" * 32)
    path.chmod(0o644)
    with closed_ray(ray, path):
        assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("ab" * 32, 0o600)


@pytest.mark.parametrize("name", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_an_operators_own_token_holds(tmp_path, monkeypatch, name):
    own = tmp_path / "own"
    own.write_text("cd" * 32)
    value = str(own) if name == "RAY_AUTH_TOKEN_PATH" else "cd" * 32
    monkeypatch.setenv(name, value)
    with closed_ray(ray, tmp_path / "t"):
        assert (variables()[name], os.environ["RAY_AUTH_MODE"]) == (value, "token")
    assert not (tmp_path / "t").exists()


def test_an_operator_who_switches_the_token_off_is_heard(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with closed_ray(ray, tmp_path / "t"):
        assert not is_token_auth_enabled()
    assert not (tmp_path / "t").exists()


def test_a_ray_of_ones_own_listens_to_this_machine_alone_and_leaves_nothing_behind():
    with local_ray(ray, num_cpus=1, object_store_memory=80_000_000):
        token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
        assert ray.get(ray.remote(lambda: os.getpid()).remote()) != os.getpid()
        found = listening(child.pid for child in psutil.Process().children(recursive=True))
        assert is_token_auth_enabled()
        assert len(bytes.fromhex(token.read_text())) == 32
    assert len(found) > 5
    assert set(found) <= LOOPBACK
    assert (variables(), token.exists(), ray.is_initialized()) == ({}, False, False)


def test_one_that_is_there_is_used_and_goes_on():
    with local_ray(ray, num_cpus=1, object_store_memory=80_000_000):
        for address in ("local", None, "192.0.2.1:6379"):
            with connected(ray, address):
                assert ray.cluster_resources()["CPU"] == 1
            assert ray.is_initialized()


def test_nothing_else_here_starts_a_ray():
    """`serve.start` does within `closed_ray`; the autoscaler's command and a benchmark join the one that is there."""
    texts = {path: path.read_text() for folder in SHELLS for path in (ROOT / folder).rglob("*.py")}
    found = {path.relative_to(ROOT).as_posix(): STARTS.findall(text) for path, text in texts.items()}
    assert {path: [words.split(",")[0] for words in starts] for path, starts in found.items() if starts} == {
        "serve/start.py": ['ray.init(address="local"'],
        "serve/scheduler/autoscaling.py": ['ray.init(address="auto"'],
        "benchmarks/head_loss.py": ["ray.init(address=address"],
    }
