"""Watts, caps and several GPUs."""

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.core.errors import InputError
from kilowait.predict.device_model.power import PowerDraw, average_power_w, capped
from kilowait.predict.device_model.scaling import Link, SingleGpuRun, parallel_energy_j, parallel_runtime_s, ring_s
from kilowait.predict.device_model.specifications import Specification

A100 = Specification.named("A100")


def test_power_by_what_limits() -> None:
    # 60 W idle, 340 W of range
    assert average_power_w(A100, 1.0, 0.0) == pytest.approx(60 + 0.85 * 340)
    assert average_power_w(A100, 0.0, 1.0) == pytest.approx(60 + 0.58 * 340)
    assert average_power_w(A100, 0.0, 0.0) == pytest.approx(60 + 0.10 * 340)
    with pytest.raises(InputError, match="at most 1 together"):
        average_power_w(A100, 0.7, 0.7)


def test_a_cap_slows_what_would_draw_more() -> None:
    run = PowerDraw(runtime_s=100.0, power_w=340.0)
    assert capped(A100, run, 400.0) == run
    under = capped(A100, run, 200.0)  # half of the dynamic 280 W: the clock at 0.5^(1/2.87) = 0.785
    assert under.power_w == 200.0
    assert under.runtime_s == pytest.approx(100 * (0.85 / 0.7854 + 0.15), rel=1e-3)
    assert under.energy_j < run.energy_j
    with pytest.raises(InputError, match="below the 116 W"):
        capped(A100, run, 100.0)


@given(st.floats(150, 340), st.floats(150, 340))
def test_a_lower_cap_is_never_faster(one: float, other: float) -> None:
    run = PowerDraw(runtime_s=100.0, power_w=340.0)
    low, high = sorted((one, other))
    assert capped(A100, run, low).runtime_s >= capped(A100, run, high).runtime_s - 1e-9


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


@pytest.mark.shared_data
def test_caps_of_the_zeus_sweep(shared_data) -> None:
    """Run times under caps that bind, against the same configuration without a cap."""
    sheets = {"a40": "A40", "v100": "V100", "p100": "P100", "rtx6000": "Quadro-RTX-6000"}
    table = pandas.read_csv(shared_data("measurements") / "zeus_power_limit_sweep.csv")
    errors, ignoring = [], []
    for (gpu, *_), rows in table.groupby(["gpu", "network", "batch_size", "optimizer"]):
        free = rows.loc[rows.power_limit.idxmax()]
        run = PowerDraw(runtime_s=free.time_per_epoch, power_w=free.average_power)
        for row in rows[rows.power_limit < free.average_power].itertuples():
            slowed = capped(Specification.named(sheets[gpu]), run, row.power_limit)
            errors.append(abs(slowed.runtime_s / row.time_per_epoch - 1))
            ignoring.append(abs(free.time_per_epoch / row.time_per_epoch - 1))
    assert len(errors) > 500
    assert np.median(errors) < 0.07 < 0.14 < np.median(ignoring)
