"""Files that a job keeps: what is copied out of a folder that a hostile program filled, and read again."""

import os
import socket
from pathlib import Path

import pytest

from kilowait.core.errors import InputError
from kilowait.live import job_outputs
from kilowait.live.job_outputs import OutputSettings, OutputStore

GIVEN = {"main.py": "", "conf/a.yaml": ""}


@pytest.fixture
def folder(tmp_path):
    """What a job leaves: its sources, checkpoints, a log, caches."""
    folder = tmp_path / "scratch"
    files = {
        "main.py": "source",
        "conf/a.yaml": "x",
        "model.pt": "weights",
        "run/1/model.pt": "old",
        "run/log.txt": "log",
    }
    for name, text in {**files, "__pycache__/x.pyc": "c", ".cache/hub/a": "h"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def store(tmp_path):
    return OutputStore(OutputSettings(url=str(tmp_path / "kept")))


def keep(store, folder, *patterns, attempt=1, rank=0):
    return store.keep(folder, patterns, GIVEN, job_id="job-1", attempt=attempt, rank=rank)


def paths(kept):
    return [file.path for file in kept.files]


@pytest.mark.parametrize(
    ("patterns", "meant"),
    [
        ([], []),
        (["model.pt"], ["model.pt", "run/1/model.pt"]),
        (["./model.pt"], ["model.pt", "run/1/model.pt"]),
        (["run/"], ["run/1/model.pt", "run/log.txt"]),
        (["run/*/model.pt"], ["run/1/model.pt"]),
        (["*.txt", "*.none"], ["run/log.txt"]),
        (["main.py"], ["main.py"]),
        (["."], ["main.py", "model.pt", "conf/a.yaml", "run/log.txt", "run/1/model.pt"]),
    ],
)
def test_what_patterns_mean(store, folder, patterns, meant):
    kept = keep(store, folder, *patterns)
    assert sorted(paths(kept)) == sorted(meant)
    missed = {"model.pt", "run/1/model.pt", "run/log.txt"} - set(meant)
    assert (kept.left, set(kept.left_names)) == (len(missed), missed)  # caches and sources are not missed
    assert [[paths(one) for one in store.kept("job-1")]] == [[paths(kept)] if meant else []]


def test_what_is_kept_is_read_again_and_its_line_says_how(store, folder):
    kept = keep(store, folder, "run")
    assert b"".join(store.read(kept, "run/1/model.pt")) == b"old"
    assert kept.said == (
        "[kilowait: 2 files (6 bytes) are kept: kilowait fetch job-1]\n"
        "[kilowait: not kept: model.pt; submit with --output PATH to keep such files]\n"
    )
    with pytest.raises(InputError, match="no kept file"):
        next(store.read(kept, "../../../etc/passwd"))


def test_the_last_attempt_that_kept_something_counts_and_its_nodes_stand_apart(store, folder):
    keep(store, folder, "run")
    keep(store, folder, "model.pt", attempt=2)
    keep(store, folder, "*.txt", attempt=2, rank=1)
    keep(store, folder, attempt=3)
    assert [(one.attempt, one.rank, len(one.files)) for one in store.kept("job-1")] == [(2, 0, 2), (2, 1, 1)]


def test_nothing_but_regular_files_is_read(store, folder, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("token")
    (folder / "link").symlink_to(secret)
    (folder / "links").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(folder / "socket"))
        kept = keep(store, folder, ".")
    assert not {"link", "links/secret", "pipe", "socket"} & set(paths(kept))
    assert "token" not in "".join(path.read_text() for path in Path(store.settings.url).rglob("*") if path.is_file())


def test_names_that_are_no_text_and_folders_in_folders_end_nothing(store, folder):
    (folder / os.fsdecode(b"\xff\xfe")).write_text("x")
    (folder / "a\nb").write_text("x")
    deep = folder
    for _ in range(80):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "far").write_text("x")
    kept = keep(store, folder, "a*")
    assert "a\nb" in paths(kept)
    assert not any("far" in name for name in kept.left_names)


def test_more_than_there_is_room_for_is_said_and_what_was_kept_stays_whole(folder, tmp_path):
    store = OutputStore(OutputSettings(url=str(tmp_path / "kept"), max_bytes=8))
    kept = keep(store, folder, "*.pt")
    assert paths(kept) == ["model.pt"]
    assert kept.problem == "run/1/model.pt goes beyond 8 bytes of a job on a node"
    assert "not all was kept" in kept.said
    with (folder / "model.pt").open("r+b") as file:
        file.truncate(1 << 40)  # a file with a hole
    assert keep(store, folder, "model.pt", attempt=2).files == ()


def test_a_file_that_grows_while_it_is_copied_is_bounded(folder, tmp_path, monkeypatch):
    store = OutputStore(OutputSettings(url=str(tmp_path / "kept"), max_bytes=8))

    def smaller(folder):
        for path, _, descriptor in real(folder):
            yield path, 1, descriptor

    real = job_outputs._regular_files
    (folder / "model.pt").write_text("much more than was said")
    monkeypatch.setattr(job_outputs, "_regular_files", smaller)
    kept = keep(store, folder, "model.pt")
    assert (kept.files, "grew beyond 8 bytes" in kept.problem) == ((), True)
    assert not list(Path(store.settings.url).rglob("model.pt"))


def test_what_is_old_is_forgotten(store, folder):
    kept = keep(store, folder, "run")
    day_s = 86400
    assert store.forget(kept.kept_s + 29 * day_s) == 0
    assert store.forget(kept.kept_s + 31 * day_s) == 1
    assert store.kept("job-1") == []


def test_what_was_never_kept_to_its_end_is_forgotten_too(store, folder):
    keep(store, folder, "run")
    manifest = Path(store.settings.url, "job-1/1/0/manifest.json")
    manifest.write_bytes(manifest.read_bytes()[:20])  # its runner died over it
    assert store.kept("job-1") == []
    assert store.restore(folder / "new", "job-1", 0) == 0
    now_s = manifest.stat().st_mtime
    assert store.forget(now_s + 29 * 86400) == 0
    assert store.forget(now_s + 31 * 86400) == 1


def test_a_job_goes_on_from_the_last_checkpoint_of_which_all_was_kept_and_those_before_go(folder, tmp_path):
    url, new = str(tmp_path / "kept"), tmp_path / "new"
    new.mkdir()
    roomy, narrow = (OutputStore(OutputSettings(url=url, max_bytes=most)) for most in (1000, 5))
    for attempt, (store, text) in enumerate(((roomy, "first"), (roomy, "second"), (narrow, "third, and longer")), 1):
        (folder / "run/log.txt").write_text(text)
        keep(store, folder, "run", attempt=attempt)
    assert roomy.kept("job-1")[0].problem
    assert roomy.restore(new, "job-1", 0) == 2
    assert (new / "run/log.txt").read_text() == "second"
    assert sorted(path.name for path in Path(url, "job-1").glob("*/0")) == ["0", "0"]
    assert not Path(url, "job-1/1/0").exists()


def test_a_service_without_a_place_says_so(folder):
    kept = keep(OutputStore(OutputSettings()), folder, "model.pt")
    assert (kept.files, "keeps no outputs" in kept.said) == ((), True)
    assert OutputStore(OutputSettings()).kept("job-1") == []


@pytest.mark.parametrize("url", ["nowhere://x", "http://x/y"])
def test_a_place_that_is_none_is_refused(url):
    with pytest.raises(InputError, match="neither a folder nor a URL"):
        OutputStore(OutputSettings(url=url))
