"""Jobs that ended long ago are written down whole; the history replays, lists and measures as before without them."""

import os
import stat

import msgspec
import pyarrow.parquet as pq
import pytest

from kilowait.cli.main import main
from kilowait.core.errors import InputError
from kilowait.core.submission import Ending, Log, Program
from kilowait.core.tasks.array_request import ArrayRequest, TaskAsked
from kilowait.history.queries import history
from kilowait.history.retention import old_jobs
from kilowait.history.retention.old_jobs import _ended, archive
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from tests.support.live_world import request, seen


def finished(live, job_id, ended_s):
    live.decide(ended_s - 1.0)
    running = live.running(job_id)
    log = Log(rank=0, first_byte=0, data=b"said by " + job_id.encode())
    live.attempt_finished(job_id, running.attempt, running.token, Ending(exit_code=0, logs=(log,)), ended_s)


@pytest.fixture
def live(tmp_path):
    """Three jobs that ended at 10, 20 and 30, an array of two that ended at 12 and 13, and one that waits."""
    controller = Controller(Store(f"sqlite:///{tmp_path}/kilowait.db"), simple(), order=("A", "B"))
    controller.node_joined("n1", "A", 1, 0.0)
    controller.ids = [controller.submit(request("k0", text="print(0)"), 1.0)]
    finished(controller, controller.ids[0], 10.0)
    tasks = tuple(
        TaskAsked(task=n, arguments=(str(n),), environment={}, predictions=seen(A=(1, 1)), content_hash="w")
        for n in range(2)
    )
    _, controller.tasks = controller.submit_array(
        ArrayRequest(request=request("a", text="of the array"), tasks=tasks, at_once=None), 11.0
    )
    for job_id, ended_s in zip(controller.tasks, (12.0, 13.0), strict=True):
        finished(controller, job_id, ended_s)
    for number, ended_s in ((1, 20.0), (2, 30.0)):
        controller.ids.append(controller.submit(request(f"k{number}", text=f"print({number})"), ended_s - 2.0))
        finished(controller, controller.ids[-1], ended_s)
    controller.waiting = controller.submit(request("waits", text="print('waits')"), 32.0)
    yield controller
    controller.store.close()


def test_what_is_old_is_in_the_archive_whole_and_the_rest_stays(live, tmp_path):
    store, before = live.store, history(live.store)
    done = archive(store, tmp_path / "kept", 25.0)
    old = [live.ids[0], *live.tasks, live.ids[1]]
    assert (done.jobs, done.attempts) == (4, 4)
    jobs, attempts, logs = (
        pq.read_table(tmp_path / "kept" / f"{name}-{old[0]}.parquet").to_pylist()
        for name in ("jobs", "attempts", "logs")
    )
    texts = [msgspec.json.decode(row["program"], type=Program).files["main.py"] for row in jobs]
    assert texts == ["print(0)", "of the array", "of the array", "print(1)"]
    assert [(row["job_id"], row["data"]) for row in logs] == [(name, b"said by " + name.encode()) for name in old]
    assert [row["job_id"] for row in attempts] == old
    assert {job_id: dict(store.program(job_id).files) for job_id in old} == {job_id: {} for job_id in old}
    assert store.program(live.ids[2]).files == {"main.py": "print(2)"}
    assert (store.log(old[0], 1), store.log(live.ids[2], 1).data) == (None, b"said by " + live.ids[2].encode())
    assert history(store) == before
    assert store.job(old[0])["state"] == "finished"
    again = Controller(Store(store.name), simple(), order=("A", "B"))
    assert again.cluster.snapshot() == live.cluster.snapshot()
    again.store.close()
    assert archive(store, tmp_path / "kept", 25.0).jobs == 0
    assert archive(store, tmp_path / "kept", 40.0).jobs == 1


def test_the_command_copies_without_forgetting_where_it_is_told_so(live, tmp_path, capsys):
    words = ["archive", "--database", live.store.name, "--older-than", "1h", str(tmp_path / "kept")]
    assert main([*words, "--only-copy"]) == 0
    assert capsys.readouterr().out == "5 jobs, 5 attempts in 3 files; nothing is forgotten\n"
    assert live.store.program(live.ids[0]).files
    assert main(words) == 0
    assert capsys.readouterr().out == "5 jobs, 5 attempts in 3 files; texts and logs are there alone now\n"
    assert live.store.program(live.waiting).files == {"main.py": "print('waits')"}


def test_what_is_archived_is_private_as_the_history_is(live, tmp_path):
    before = os.umask(0o022)
    try:
        archive(live.store, tmp_path / "kept", 25.0)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "kept").glob("*.parquet")} == {0o600}
    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o700


def test_nothing_is_forgotten_before_the_files_are_on_the_disk(live, tmp_path, monkeypatch):
    def fail(_):
        raise OSError("input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="input/output"):
        archive(live.store, tmp_path / "kept", 25.0)
    assert live.store.program(live.ids[0]).files == {"main.py": "print(0)"}


@pytest.fixture
def meanwhile(monkeypatch):
    """Let something happen once an archive has chosen its jobs."""

    def happen(what):
        def chosen(*words):
            ids = [*_ended(*words)]
            monkeypatch.setattr(old_jobs, "_ended", _ended)
            what()
            return ids

        monkeypatch.setattr(old_jobs, "_ended", chosen)

    return happen


def test_two_archives_at_once_lose_nothing(live, tmp_path, meanwhile):
    meanwhile(lambda: archive(live.store, tmp_path / "first", 25.0))
    assert archive(live.store, tmp_path / "second", 25.0).jobs == 0  # what it would read has no texts any more
    assert not list((tmp_path / "second").glob("*.parquet"))
    (rows,) = (pq.read_table(path).to_pylist() for path in (tmp_path / "first").glob("jobs-*"))
    assert "print(0)" in rows[0]["program"]


def test_two_archives_do_not_write_to_one_folder_at_once(live, tmp_path, meanwhile):
    meanwhile(lambda: archive(live.store, tmp_path / "kept", 25.0))
    with pytest.raises(InputError, match="another archive writes there"):
        archive(live.store, tmp_path / "kept", 25.0)
    assert archive(live.store, tmp_path / "kept", 25.0).jobs == 4


def test_a_file_holds_no_more_than_fits_into_memory(live, tmp_path, monkeypatch):
    monkeypatch.setattr(old_jobs, "FILE_BYTES", 600)  # of two jobs with their logs
    done = archive(live.store, tmp_path, 40.0)
    names = [[row["job_id"] for row in pq.read_table(path).to_pylist()] for path in sorted(tmp_path.glob("jobs-*"))]
    assert [name for file in names for name in file] == sorted([*live.ids, *live.tasks])
    assert (done.jobs, len(done.files)) == (5, 3 * len(names))
    assert max(map(len, names)) < 5
