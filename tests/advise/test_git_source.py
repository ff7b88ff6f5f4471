"""Programs from git repositories: real git, repositories on this disk in place of a host's."""

import subprocess

import pytest

from kilowait.advise.kubernetes.git_source import GIT, GIT_PATH, fetch_source, read_reference
from kilowait.advise.kubernetes.workload_pods import pod_groups
from kilowait.advise.kubernetes.workload_program import read_workload
from kilowait.core.errors import InputError, ServiceError
from tests.advise.test_admission import job, pod

HEX = "0123456789abcdef0123456789abcdef01234567"
HOSTS = ("github.com", "git.example:8443")


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """(folder, commit) of one with a program, a link that leads out, and a hook that would tell."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "jobs").mkdir()
    (folder / "jobs" / "train.py").write_text("import model\nprint('trained')\n")
    (folder / "jobs" / "model.py").write_text("WIDTH = 3\n")
    (folder / "out.py").symlink_to("/etc/passwd")
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for words in (("init", "-q"), ("add", "."), (*author, "commit", "-q", "-m", "first")):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True)
    return folder, commit.stdout.strip()


@pytest.fixture
def on_disk(repository, monkeypatch):
    """`fetch` for which https://github.com/a/b is that repository."""
    folder, _ = repository
    monkeypatch.setattr(
        "kilowait.advise.kubernetes.git_source.read_reference", lambda text, _: (f"file://{folder}", text.split("@")[1])
    )
    return lambda reference, place: fetch_source(reference, place, HOSTS, within_s=60, protocol="file")


@pytest.mark.parametrize(
    "reference",
    [
        "https://github.com/a/b",
        "https://github.com/a/b@main",
        f"https://github.com/a/b@{HEX[:12]}",
        f"http://github.com/a/b@{HEX}",
        f"file:///etc@{HEX}",
        f"ext::sh -c id@{HEX}",
        f"https://user:word@github.com/a/b@{HEX}",
        f"https://github.com\\@evil.example/a@{HEX}",
        f"https://evil.example/a/b@{HEX}",
        f"https://github.com.evil.example/a/b@{HEX}",
        f"https://git.example/a/b@{HEX}",
        f"https://169.254.169.254/latest@{HEX}",
        f"--upload-pack=id@{HEX}",
        f"https://github.com/a/b@{HEX}\n",
    ],
)
def test_what_names_no_commit_of_an_allowed_host_is_refused(reference):
    with pytest.raises(InputError, match=GIT):
        read_reference(reference, HOSTS)


def test_a_reference_is_a_url_and_a_commit():
    assert read_reference(f"https://git.example:8443/a/b.git@{HEX}", HOSTS) == ("https://git.example:8443/a/b.git", HEX)


def test_the_program_of_a_job_comes_from_its_commit(repository, on_disk, tmp_path):
    template = pod(("torchrun", "--nproc-per-node=2", "/code/jobs/train.py", "--epochs", "3"))
    workload = job(template)
    workload["metadata"]["annotations"] = {GIT: f"https://github.com/a/b@{repository[1]}", GIT_PATH: "/code"}
    (group, *_) = pod_groups(workload)
    reading = read_workload(workload, group, "ml", None, tmp_path, on_disk)
    assert set(reading.source.files) == {"jobs/train.py", "jobs/model.py"}
    assert reading.source.arguments == ("--epochs", "3")
    assert not (tmp_path / "out.py").is_symlink()
    assert (tmp_path / "out.py").read_text() == "/etc/passwd"
    with pytest.raises(InputError, match="--git-host"):
        read_workload(workload, group, "ml", None, tmp_path, None)


def test_what_is_not_there_not_allowed_or_too_large_is_said(repository, on_disk, tmp_path, monkeypatch):
    _, commit = repository
    with pytest.raises(ServiceError, match="git: "):
        on_disk(f"x@{HEX}", tmp_path)
    with pytest.raises(ServiceError, match="not allowed"):
        fetch_source(f"x@{commit}", tmp_path, HOSTS)  # a file is no https
    monkeypatch.setattr("kilowait.advise.kubernetes.git_source.MOST_FILES", 2)
    with pytest.raises(InputError, match="3 files with"):
        on_disk(f"x@{commit}", tmp_path)
    with pytest.raises(ServiceError, match="in time"):
        fetch_source(f"x@{commit}", tmp_path, HOSTS, within_s=0.0, protocol="file")
    assert not list(tmp_path.iterdir())
