"""What Ray calls a node's GPUs is looked up, never guessed; a gang's endings become one."""

import pytest

from kilowait.core.errors import InputError, StoreError
from kilowait.core.jobs import Measurement, Provenance
from kilowait.core.submission import Ending, Log
from serve.runner.gang import together
from serve.scheduler.deploy import deploy
from serve.scheduler.ray_nodes import type_of
from serve.scheduler.settings import SchedulerSettings


@pytest.mark.parametrize(
    ("resources", "labels", "gpu_type"),
    [
        ({"accelerator_type:A100": 1.0, "GPU": 2.0}, {}, "A100"),
        ({"accelerator_type:A100-80G": 1.0}, {}, "A100-80GB"),
        ({}, {"ray.io/accelerator-type": "RTX-A6000"}, "A6000"),
        ({"accelerator_type:RTX-A6000": 1.0}, {"ray.io/accelerator-type": "A6000"}, "A6000"),
    ],
)
def test_rays_names_are_aliases(resources, labels, gpu_type):
    assert type_of(resources, labels) == (gpu_type, None)


@pytest.mark.parametrize(
    ("resources", "problem"),
    [
        ({"GPU": 4.0}, "it names none; start it with --labels=ray.io/accelerator-type=TYPE"),
        ({"accelerator_type:A100": 1.0, "accelerator_type:H100": 1.0}, "it names A100, H100"),
        ({"accelerator_type:Zaphod": 1.0}, "unknown GPU type 'Zaphod'"),
    ],
)
def test_a_node_that_does_not_name_one_known_type_is_told_why(resources, problem):
    gpu_type, why = type_of(resources, {})
    assert gpu_type is None
    assert problem in why


def ending(energy_j, runtime_s, rank, *, reason=None, lost=False, provenance=Provenance.MEASURED):
    measured = Measurement(
        job_id="j",
        attempt=1,
        gpu_type="A100",
        runtime_s=runtime_s,
        energy_j=energy_j,
        runtime_provenance=Provenance.MEASURED,
        energy_provenance=provenance,
    )
    log = Log(rank=rank, first_byte=0, data=b"")
    return Ending(reason=reason, lost=lost, measurement=measured, gpu_ids=(f"GPU-{rank}",), logs=(log,))


def test_a_gang_took_its_longest_time_and_all_its_energy():
    whole = together([ending(10.0, 5.0, 0), ending(20.0, 6.0, 1, provenance=Provenance.ESTIMATED)])
    assert (whole.reason, whole.measurement.runtime_s, whole.measurement.energy_j) == (None, 6.0, 30.0)
    assert whole.measurement.energy_provenance is Provenance.ESTIMATED  # as well known as the worst of it
    assert (whole.gpu_ids, [log.rank for log in whole.logs]) == (("GPU-0", "GPU-1"), [0, 1])


def test_one_rank_that_failed_or_was_lost_speaks_for_the_gang():
    failed, lost = ending(1.0, 1.0, 1, reason="exit code 1"), Ending(reason="lost", lost=True)
    assert together([ending(1.0, 1.0, 0), failed]).reason == "exit code 1"
    both = together([failed, lost])
    assert (both.lost, both.measurement) == (True, None)


@pytest.mark.parametrize(
    ("settings", "error", "reason"),
    [
        (SchedulerSettings(url="x.db", policy="best"), InputError, "policy 'best' is unknown; known: simple"),
        (SchedulerSettings(url="x.db", policy="value", policy_options={"kappa": -1}), InputError, "kappa must be"),
        (
            SchedulerSettings(url="x.db", policy_options={"kappa_relative": 1.0}),
            InputError,
            r"policy_options: aged\(patient,7d\) takes no kappa_relative; it takes wait_s_per_kwh",
        ),
        (SchedulerSettings(url="/no/such/folder/x.db"), StoreError, "unable to open"),
    ],
)
def test_wrong_settings_are_named_before_anything_starts(settings, error, reason):
    with pytest.raises(error, match=reason):
        deploy(settings)
