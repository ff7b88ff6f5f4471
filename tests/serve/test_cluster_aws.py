"""examples/cluster/aws.yaml: Ray's launcher accepts it; its groups are GPU types kilowait knows and start on demand."""

from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from serve.scheduler.ray_nodes import type_of
from tests.support.autoscaling import started

ROOT = Path(__file__).parents[2]
BOARDS = {"a100": ("p4d.24xlarge", 8), "l40s": ("g6e.12xlarge", 4), "a10g": ("g5.12xlarge", 4)}
"""Of each group, the instance type and its boards, from Amazon's table of accelerated instances."""

TYPES = {"a100": "A100", "l40s": "L40S", "a10g": "A10G"}


@pytest.fixture
def config() -> dict:
    return yaml.safe_load((ROOT / "examples" / "cluster" / "aws.yaml").read_text())


@pytest.fixture
def workers(config: dict) -> dict:
    return {name: group for name, group in config["available_node_types"].items() if name != config["head_node_type"]}


def test_rays_own_schema_accepts_it(config: dict) -> None:
    validate_config(prepare_config(config))


def test_rays_schema_refuses_a_misspelled_key(config: dict) -> None:
    config["available_node_types"]["a100"]["min_worker"] = 1
    with pytest.raises(Exception, match="min_worker"):
        validate_config(prepare_config(config))


def test_each_group_has_the_boards_of_its_instance_type(workers: dict) -> None:
    found = {name: (group["node_config"]["InstanceType"], group["resources"]["GPU"]) for name, group in workers.items()}
    assert found == BOARDS


def test_kilowait_knows_the_type_of_each_group(workers: dict) -> None:
    assert {name: type_of(group["resources"], group["labels"]) for name, group in workers.items()} == {
        name: (gpu_type, None) for name, gpu_type in TYPES.items()
    }


def test_no_group_costs_anything_until_it_is_asked_for(config: dict, workers: dict) -> None:
    assert {group["min_workers"] for group in workers.values()} == {0}
    assert config["max_workers"] == sum(group["max_workers"] for group in workers.values())


def test_the_head_has_no_boards_and_its_disk_outlives_it(config: dict) -> None:
    head = config["available_node_types"]["head"]
    assert head["resources"]["GPU"] == 0
    assert [disk["Ebs"]["DeleteOnTermination"] for disk in head["node_config"]["BlockDeviceMappings"]] == [False]


def test_every_node_says_which_image_it_boots(config: dict) -> None:
    """Ray's default image is too old for the L40S."""
    assert all("ImageId" in group["node_config"] for group in config["available_node_types"].values())


@pytest.mark.parametrize(("group", "gpu_type"), TYPES.items())
def test_rays_autoscaler_starts_the_group_of_the_type_that_is_asked_for(
    config: dict, group: str, gpu_type: str
) -> None:
    """Nine boards of one type, with nothing running but the head: as many nodes as it takes, of that group alone."""
    groups = prepare_config(config)["available_node_types"]
    assert started(groups, "head", gpu_type, 9) == {group: -(-9 // BOARDS[group][1])}
