"""The live service tells Ray's autoscaler what its jobs would fill; nothing here starts nodes."""

import json

import pytest
from ray.autoscaler._private.constants import AUTOSCALER_RESOURCE_REQUEST_CHANNEL
from ray.experimental.internal_kv import _internal_kv_get

from benchmarks.pretended_cluster import PretendedCluster


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    cluster = PretendedCluster(tmp_path_factory.mktemp("demand"), grow_to={"A100": 3}, a=("A100", 1))
    cluster.until(lambda: cluster.ask("snapshot").free == {"A100": 1})
    yield cluster
    cluster.close()


def asked():
    """What the autoscaler of this cluster would read: its bundles, None before anything was asked."""
    found = _internal_kv_get(AUTOSCALER_RESOURCE_REQUEST_CHANNEL)
    return None if found is None else json.loads(found)


def test_jobs_that_run_and_wait_are_asked_for_up_to_the_limit_and_no_longer_than_they_are_there(world):
    jobs = [world.submit(f"job-{n}", 3600.0) for n in range(5)]
    world.until(lambda: len(asked() or ()) == 3)
    assert {tuple(sorted(one)) for one in asked()} == {("GPU", "accelerator_type:A100")}
    for job_id in jobs:
        world.ask("cancel", job_id)
    world.over(*jobs)
    world.until(lambda: asked() == [])
