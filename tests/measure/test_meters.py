"""Energy of a run: traces integrated by hand, boards matched by UUID, estimates that say so."""

import sys

import pytest

from kilowait.core.errors import InputError, MeterError, MissingExtra
from kilowait.core.jobs import Provenance
from kilowait.measure.meters import ConstantPowerMeter, PowerSample, clip, integrate_j, read_trace
from kilowait.measure.nvml import NvmlMeter, boards, load_nvml, visible_boards
from kilowait.measure.outcome import RunOutcome
from tests.support.fake_nvml import A100, A6000, FakeNvml
from tests.support.recorded_meter import RecordedMeter


def trace(*points, counters=None):
    counters = counters or [None] * len(points)
    return [PowerSample(at_s=at, power_w=w, energy_j=j) for (at, w), j in zip(points, counters, strict=True)]


def outcome(started_s, ended_s, *, forked_s=0.0, cpu_s=0.0):
    return RunOutcome(
        exit_code=0,
        failure=None,
        forked_s=forked_s,
        started_s=started_s,
        step_s=None,
        ended_s=ended_s,
        cpu_s=cpu_s,
        peak_memory_bytes=7,
    )


def test_the_trapezoid_rule_over_uneven_samples():
    # 0-1 s: mean 150 W = 150 J; 1-3 s: mean 250 W = 500 J
    assert integrate_j(trace((0, 100), (1, 200), (3, 300))) == 650


def test_a_window_between_samples_is_interpolated_at_its_edges():
    samples = trace((0, 100), (2, 300), (4, 300))
    cut = clip(samples, 1, 3)
    assert [(s.at_s, s.power_w) for s in cut] == [(1, 200), (2, 300), (3, 300)]
    # 250 W for a second, then 300 W for a second
    assert integrate_j(cut) == 550


def test_startup_before_the_window_is_not_charged():
    samples = trace((0, 1000), (1, 100), (2, 100), (3, 1000))
    reading = read_trace(samples, 1, 2, provenance=Provenance.MEASURED, prefix="nvml")
    assert (reading.energy_j, reading.power_mean_w, reading.power_peak_w) == (100, 100, 100)
    assert reading.meter == "nvml-power-sampling"


def test_the_energy_counter_is_preferred_to_power_samples():
    # the counter moves 40 J a second; the power samples (blind to a burst) would say 10
    samples = trace((0, 10), (1, 10), (2, 10), counters=[1000, 1040, 1080])
    reading = read_trace(samples, 0.5, 1.5, provenance=Provenance.MEASURED, prefix="nvml")
    assert (reading.energy_j, reading.meter) == (40, "nvml-energy-counter")
    assert reading.power_mean_w == 40
    assert reading.power_peak_w == 10


def test_a_window_that_the_trace_does_not_cover_is_an_error():
    with pytest.raises(MeterError, match=r"around 5\.000 s"):
        clip(trace((0, 1), (4, 1)), 1, 5)
    with pytest.raises(MeterError, match="no power samples"):
        clip([], 0, 1)


def test_a_recorded_trace_replays_and_is_called_pretended():
    meter = RecordedMeter(samples=trace((0, 50), (10, 50)))
    meter.start()
    reading = meter.finish(outcome(100, 104))
    assert (reading.energy_j, reading.provenance) == (200, Provenance.PRETENDED)


def test_cpu_energy_is_an_estimate_of_idle_and_busy_cores():
    meter = ConstantPowerMeter(cores=2, watts_per_core=10, idle_share=0.25)
    # 4 s on 2 cores, 3 core-seconds busy: 10 * (0.25 * 8 + 0.75 * 3) = 42.5 J
    reading = meter.finish(outcome(1, 5, cpu_s=3))
    assert reading.energy_j == 42.5
    assert reading.power_mean_w == pytest.approx(10.625)
    assert reading.power_peak_w is None
    assert (reading.provenance, reading.meter) == (Provenance.ESTIMATED, "cpu-constant-power")


def test_cpu_time_cannot_exceed_the_cores():
    meter = ConstantPowerMeter(cores=1, watts_per_core=10)
    assert meter.finish(outcome(0, 2, cpu_s=5)).energy_j == 20


def test_watts_per_core_must_be_positive():
    with pytest.raises(InputError, match="got 0"):
        ConstantPowerMeter(cores=1, watts_per_core=0)


def test_a_script_that_never_began_is_charged_from_the_fork():
    meter = ConstantPowerMeter(cores=1, watts_per_core=10, idle_share=1)
    assert meter.finish(outcome(None, 3, forked_s=1)).energy_j == 20


def test_boards_are_matched_by_uuid_where_cuda_orders_them_differently():
    nvml = FakeNvml(A6000, A100)  # bus order
    found = visible_boards(nvml, ["GPU-AAAA", "GPU-bbbb"])  # CUDA: fastest first
    assert [(b.device_type, b.device_id, b.driver) for b in found] == [
        ("A100", "GPU-aaaa", "580.1"),
        ("A6000", "GPU-bbbb", "580.1"),
    ]
    assert NvmlMeter(nvml, "GPU-bbbb").sample().power_w == 90.0  # index 1 would be the A100


def test_a_hidden_board_is_left_out_and_an_unknown_one_is_an_error():
    nvml = FakeNvml(A6000, A100)
    assert [b.device_id for b in visible_boards(nvml, ["GPU-bbbb"])] == ["GPU-bbbb"]
    with pytest.raises(MeterError, match=r"GPU-cccc.*gpu-aaaa"):
        visible_boards(nvml, ["GPU-cccc"])


def test_a_board_without_a_known_type_is_named():
    with pytest.raises(InputError, match="Quantum Board 9"):
        boards(FakeNvml(("GPU-x", "Quantum Board 9", 1)))


def run_metered(nvml):
    meter = NvmlMeter(nvml, "GPU-aaaa", period_s=0.001)
    meter.start()
    first_s = meter.sample().at_s
    assert nvml.read_twice.wait(300)
    last_s = meter.sample().at_s
    return meter.finish(outcome(first_s, last_s))


def test_a_board_without_the_counter_has_its_power_sampled():
    reading = run_metered(FakeNvml(A6000, A100, counter=False))
    assert (reading.meter, reading.provenance) == ("nvml-power-sampling", Provenance.MEASURED)
    assert reading.power_mean_w == pytest.approx(250)
    assert (reading.power_peak_w, reading.peak_memory_bytes) == (250, 123)


def test_a_board_with_the_counter_is_read_in_joules():
    reading = run_metered(FakeNvml(A6000, A100))
    assert reading.meter == "nvml-energy-counter"
    assert reading.energy_j > 0
    assert reading.power_peak_w == 250


def test_a_board_that_falls_off_the_bus_is_a_meter_error():
    nvml = FakeNvml(A100)
    meter = NvmlMeter(nvml, "GPU-aaaa", period_s=0.001)
    meter.start()
    nvml.lost = True
    with pytest.raises(MeterError, match="GPU-aaaa"):
        meter.finish(outcome(0, 1))


def test_a_board_that_others_compute_on_is_refused():
    nvml = FakeNvml(A100)
    nvml.computing = [41, 42]
    with pytest.raises(MeterError, match="GPU-aaaa: processes 41, 42"):
        NvmlMeter(nvml, "GPU-aaaa")


def test_finishing_a_meter_that_was_not_started_is_an_error():
    with pytest.raises(MeterError, match="not started"):
        NvmlMeter(FakeNvml(A100), "GPU-aaaa").finish(outcome(0, 1))


def test_the_real_pynvml_has_every_call_the_fake_pretends():
    import pynvml

    for name in [n for n in dir(FakeNvml) if n.startswith(("nvml", "NVML"))]:
        assert hasattr(pynvml, name), name
    assert pynvml.NVML_ERROR_NOT_SUPPORTED == FakeNvml.NVML_ERROR_NOT_SUPPORTED
    assert pynvml.NVMLError(3).value == 3


@pytest.mark.parametrize(
    ("driver", "error", "said"),
    [
        (False, MeterError, "no NVIDIA driver here; label on CPU with --devices cpu-1,cpu-2"),
        (True, MissingExtra, r"measuring NVIDIA boards needs nvidia-ml-py: pip install 'kilowait\[gpu\]'"),
    ],
)
def test_boards_that_cannot_be_asked_for_want_of_a_library_are_not_taken_for_none(monkeypatch, driver, error, said):
    monkeypatch.setitem(sys.modules, "pynvml", None)  # as if it were not installed
    monkeypatch.setattr("kilowait.measure.nvml.has_driver", lambda: driver)
    with pytest.raises(error, match=said):
        load_nvml()
