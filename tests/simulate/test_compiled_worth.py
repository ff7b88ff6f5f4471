"""When compiled kernels are loaded, and that nothing loads them before."""

import subprocess
import sys
from collections import Counter

from kilowait.policies.conservative import conservative
from kilowait.policies.easy import easy
from kilowait.policies.greedy import greedy
from kilowait.policies.simple import simple
from kilowait.policies.sjf import sjf
from kilowait.policies.value import value
from kilowait.simulate.compiled import worth
from kilowait.simulate.loop import simulate


def test_kernels_are_loaded_once_python_has_run_what_loading_costs(monkeypatch):
    monkeypatch.setattr(worth, "_loaded", set())
    monkeypatch.setattr(worth, "_interpreted", Counter())
    monkeypatch.setattr(worth, "_is_kept", lambda kernel: kernel == "easy_backfill")
    large = worth.LOADING_PAIRS // 2
    assert [worth.pays(large - 1, 1, easy()) for _ in range(3)] == [False, False, True]
    assert not worth.pays(large, 2, simple())  # it would have to be compiled
    assert worth.pays(worth.COMPILING_PAIRS, 1, greedy())  # the same kernel
    assert not worth.pays(10**9, 40, conservative())
    worth.has_loaded("by_key")
    assert worth.pays(worth.SOME_JOBS, 2, value(kappa=1))
    assert not worth.pays(worth.SOME_JOBS - 1, 2, value(kappa=1))


def test_what_is_kept_is_found():
    simulate([], {"A": 1}, sjf(), engine="compiled")
    assert worth._is_kept("by_key")
    assert not worth._is_kept("nothing")


def test_importing_the_simulator_does_not_load_numba():
    code = "import sys, kilowait.simulate.loop, kilowait.policies; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
