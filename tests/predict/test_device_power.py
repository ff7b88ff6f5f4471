"""Several GPUs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.core.errors import InputError
from kilowait.predict.device_model.scaling import Link, SingleGpuRun, parallel_energy_j, parallel_runtime_s, ring_s
from kilowait.predict.device_model.specifications import Specification

A100 = Specification.named("A100")


def test_a_ring_by_hand() -> None:
    link = Link(bandwidth=1e9, latency_s=0.0)
    assert ring_s(1e9, 4, link) == pytest.approx(1.5)  # 2 * 3 / 4 of a gigabyte
    assert ring_s(1e9, 1, link) == 0.0


def test_several_gpus() -> None:
    one, link = SingleGpuRun(runtime_s=100.0, steps=100.0, gradient_bytes=1e8), Link(bandwidth=1e9, latency_s=0.0)
    assert parallel_runtime_s(one, 1, link) == 100.0
    # work 50 / 0.97; 100 exchanges of 0.1 s, 30% of them not hidden
    assert parallel_runtime_s(one, 2, link) == pytest.approx(50 / 0.97 + 3.0)
    slow = Link(bandwidth=1e7, latency_s=0.0)  # 1,000 s of exchange: nothing hides that
    assert parallel_runtime_s(one, 2, slow) == pytest.approx(1000.0)
    inference = SingleGpuRun(runtime_s=100.0, steps=0.0, gradient_bytes=1e8)
    assert parallel_runtime_s(inference, 4, slow) == pytest.approx(25 / 0.97**2)
    with pytest.raises(InputError, match="gpus must be >= 1, got 0"):
        parallel_runtime_s(one, 0, link)


@given(st.integers(2, 64))
def test_several_gpus_use_no_less_energy(gpus: int) -> None:
    one, link = SingleGpuRun(runtime_s=100.0, steps=100.0, gradient_bytes=1e8), Link(bandwidth=1e10)
    assert parallel_energy_j(one, 340.0, 60.0, gpus, link) >= 340.0 * 100.0
