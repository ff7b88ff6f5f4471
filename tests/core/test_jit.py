"""Kernels are compiled once a machine, by one process at a time, and work where they cannot be kept."""

import fcntl
import os
import threading

import numba
import numpy as np
import pytest

from kilowait.core.jit import _locked, kernel


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    """Where kernels are kept: a new place."""
    monkeypatch.setattr("kilowait.core.jit.cache_directory", lambda _: tmp_path)
    return tmp_path


def check_that_it_runs():
    def fill(numbers):
        numbers[0] += 42

    numbers, before = np.zeros(1), numba.config.CACHE_DIR
    kernel(fill)(numbers)
    assert numbers[0] == 42
    assert before == numba.config.CACHE_DIR


def test_a_kernel_works_where_no_cache_directory_can_be_written(monkeypatch):
    def refuse(self):
        raise PermissionError("read-only file system")

    monkeypatch.setattr("numba.core.caching._CacheLocator.ensure_cache_path", refuse)
    check_that_it_runs()


def test_a_kernel_works_where_it_cannot_be_kept(monkeypatch):
    def refuse(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", refuse)
    check_that_it_runs()


def test_a_kernel_that_cannot_be_kept_works_for_another_type_of_numbers_too(monkeypatch):
    def refuse(*_):
        raise OSError("no space left on device")

    def fill(numbers):
        numbers[0] += 42

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", refuse)
    compiled = kernel(fill)
    for kind in (float, int):
        compiled(numbers := np.zeros(1, kind))
        assert numbers[0] == 42


def test_a_process_that_is_forked_while_one_compiles_does_not_keep_the_lock(directory):
    reading, writing = os.pipe()
    with _locked(directory):
        if not (child := os.fork()):
            os.read(reading, 1)
            os._exit(0)
    with (directory / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.write(writing, b".")
    os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)


def test_a_kernel_works_where_nothing_can_be_locked(monkeypatch):
    def refuse(*_):
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    check_that_it_runs()


def test_who_comes_while_another_process_compiles_waits_for_what_it_keeps(directory):
    with (directory / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting = threading.Thread(target=check_that_it_runs)
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        assert not list(directory.rglob("*.nbi"))
        fcntl.flock(other, fcntl.LOCK_UN)
        waiting.join()
    assert list(directory.rglob("*.nbi"))
