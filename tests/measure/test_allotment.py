"""The boards of an attempt: metered by UUID, estimated where no meter answers, pretended where there is no driver."""

import signal
from dataclasses import replace

import pytest

from kilowait.core.jobs import Provenance
from kilowait.measure.allotment import Allotment, allot
from kilowait.measure.meters import PowerSample
from kilowait.measure.outcome import RunOutcome
from tests.support.fake_nvml import A100, A6000, FakeNvml
from tests.support.recorded_meter import RecordedMeter

OUTCOME = RunOutcome(
    exit_code=0,
    failure=None,
    forked_s=100.0,
    started_s=None,
    step_s=None,
    ended_s=110.0,
    cpu_s=1.0,
    peak_memory_bytes=7,
)


def test_without_a_driver_all_numbers_are_pretended():
    ending = allot("A100", 1000, ["0", "1"]).ending(OUTCOME, "j", 1)
    assert (ending.gpu_ids, ending.meter, ending.measurement.runtime_s) == (("0", "1"), "pretended", 10.0)
    assert ending.measurement.energy_provenance is ending.measurement.runtime_provenance is Provenance.PRETENDED


def test_energy_is_the_sum_over_the_boards_and_an_estimate_where_one_does_not_answer():
    def recorded(watts, to_s):
        return RecordedMeter(samples=[PowerSample(at_s=0.0, power_w=watts), PowerSample(at_s=to_s, power_w=watts)])

    def of(*meters):
        given = {"gpu_type": "A6000", "gpu_milli": 1000, "gpu_ids": ("GPU-1", "GPU-2"), "pretended": False}
        return Allotment(meters=meters, **given).ending(OUTCOME, "j", 1)

    metered = of(recorded(100, 10.0), recorded(50, 10.0))
    assert (metered.measurement.energy_j, metered.meter) == (1500.0, "recorded-power-sampling")
    estimated = of(recorded(100, 10.0), recorded(50, 5.0))  # the second trace is too short
    assert (estimated.measurement.energy_j, estimated.meter) == (2 * 300 * 10.0, "peak-power-times-time")
    assert estimated.measurement.energy_provenance is Provenance.ESTIMATED
    assert estimated.measurement.runtime_provenance is Provenance.MEASURED


def test_an_index_is_nvmls_and_each_board_is_metered_by_its_uuid():
    allotment = allot("A6000", 1000, ["1", "GPU-aaaa"], FakeNvml(A100, A6000))
    assert (allotment.gpu_ids, allotment.pretended) == (("GPU-bbbb", "GPU-aaaa"), False)
    assert [meter.uuid for meter in allotment.meters] == ["GPU-bbbb", "GPU-aaaa"]


def test_a_board_that_others_compute_on_and_a_share_of_one_are_estimated():
    nvml = FakeNvml(A100)
    share = allot("A100", 250, ["0"], nvml)
    assert (share.meters, share.ending(OUTCOME, "j", 1).measurement.energy_j) == ([], 400 / 4 * 10.0)
    nvml.computing = [42]
    busy = allot("A100", 1000, ["0"], nvml).ending(OUTCOME, "j", 1)
    assert (busy.meter, busy.measurement.energy_provenance) == ("peak-power-times-time", Provenance.ESTIMATED)


def test_a_board_that_is_lost_at_the_start_is_estimated():
    nvml = FakeNvml(A100)
    allotment = allot("A100", 1000, ["0"], nvml)
    nvml.lost = True
    allotment.start()
    assert allotment.ending(OUTCOME, "j", 1).measurement.energy_j == 400 * 10.0


@pytest.mark.parametrize(
    ("exit_code", "checkpointed"),
    [(0, True), (1, True), (85, True), (-signal.SIGTERM, False), (128 + signal.SIGTERM, False), (137, False)],
)
def test_a_program_that_the_signal_ended_has_no_checkpoint_in_a_container_either(exit_code, checkpointed):
    """Engines of containers say what a shell says: 143 of one that TERM ended."""
    outcome = replace(OUTCOME, exit_code=exit_code, failure="preempted", preempted=True)
    assert allot("A100", 1000, ["0"]).ending(outcome, "job-1", 1).checkpointed == checkpointed
