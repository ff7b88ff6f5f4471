"""examples/cluster/kuberay.yaml: Ray's autoscaler reads it, kilowait knows its GPU types, serve/app takes its options.

KubeRay's own schema is checked where KUBERAY_CRD names the file ray.io_rayservices.yaml of its repository.
"""

import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.serve.schema import ServeDeploySchema

from kilowait.core.errors import InputError
from serve.app import Options
from serve.scheduler.ray_nodes import type_of
from tests.support.autoscaling import started

ROOT = Path(__file__).parents[2]
GROUPS = {"a100": ("A100", 8), "l40s": ("L40S", 4), "a6000": ("A6000", 4)}
"""Of each group, kilowait's name of its boards, and how many a pod has."""


@pytest.fixture
def service() -> dict:
    return yaml.safe_load((ROOT / "examples" / "cluster" / "kuberay.yaml").read_text())


@pytest.fixture
def cluster(service: dict) -> dict:
    return service["spec"]["rayClusterConfig"]


@pytest.fixture
def autoscaling(cluster: dict) -> dict:
    """What the autoscaler in the head's pod makes of it; it also checks it against the launcher's schema."""
    return _derive_autoscaling_config_from_ray_cr({"metadata": {"name": "k", "namespace": "n"}, "spec": cluster})


def containers(cluster: dict) -> list[dict]:
    templates = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"]["containers"][0] for group in templates]


def test_kilowait_knows_the_type_of_each_group(autoscaling: dict) -> None:
    groups = autoscaling["available_node_types"]
    found = {name: (type_of(groups[name]["resources"], groups[name]["labels"]), groups[name]["resources"]["GPU"])
             for name in groups if name != "headgroup"}  # fmt: skip
    assert found == {name: ((gpu_type, None), gpus) for name, (gpu_type, gpus) in GROUPS.items()}


def test_a_pod_asks_kubernetes_for_the_boards_that_it_tells_ray_of(cluster: dict) -> None:
    for group in cluster["workerGroupSpecs"]:
        asked = group["template"]["spec"]["containers"][0]["resources"]
        assert asked["limits"]["nvidia.com/gpu"] == asked["requests"]["nvidia.com/gpu"] == group["resources"]["GPU"]
        assert asked["limits"]["cpu"] == group["resources"]["CPU"]


def test_no_group_costs_anything_until_it_is_asked_for(cluster: dict) -> None:
    assert cluster["enableInTreeAutoscaling"] is True
    assert {(group["replicas"], group["minReplicas"]) for group in cluster["workerGroupSpecs"]} == {(0, 0)}


@pytest.mark.parametrize(("group", "ray_type"), [("a100", "A100"), ("l40s", "L40S"), ("a6000", "RTX-A6000")])
def test_rays_autoscaler_starts_the_group_of_the_type_that_is_asked_for(
    autoscaling: dict, group: str, ray_type: str
) -> None:
    groups = autoscaling["available_node_types"]
    assert started(groups, "headgroup", ray_type, 9) == {group: -(-9 // GROUPS[group][1])}


def test_the_application_is_one_that_serve_takes(service: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed = ServeDeploySchema.model_validate(yaml.safe_load(service["spec"]["serveConfigV2"]))
    assert deployed.http_options.host == "0.0.0.0"  # the Service of Kubernetes asks from outside the pod
    (application,) = deployed.applications
    assert application.import_path == "kilowait.serve.app:app"
    monkeypatch.setenv("KILOWAIT_DATABASE", "postgresql://kilowait:p%24w@db/kilowait")
    assert Options(**application.args).settings().url == "postgresql://kilowait:p%24w@db/kilowait"


def test_the_service_may_grow_to_all_that_the_groups_allow(service: dict, cluster: dict) -> None:
    (application,) = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
    most = {GROUPS[one["groupName"]][0]: one["maxReplicas"] * int(one["resources"]["GPU"])
            for one in cluster["workerGroupSpecs"]}  # fmt: skip
    assert application["args"]["grow_to"] == most


def test_the_database_comes_from_a_secret_alone(service: dict, cluster: dict) -> None:
    (head, *_) = containers(cluster)
    (found,) = [one for one in head["env"] if one["name"] == "KILOWAIT_DATABASE"]
    assert found["valueFrom"] == {"secretKeyRef": {"name": "kilowait", "key": "database"}}
    assert "postgresql://" not in yaml.safe_dump(service)


def test_the_key_for_secrets_is_in_every_pod_that_may_run_the_scheduler_and_nobody_elses(cluster: dict) -> None:
    (head, *_) = containers(cluster)
    (name,) = [one["value"] for one in head["env"] if one["name"] == "KILOWAIT_SECRETS_KEY_FILE"]
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        pod = group["template"]["spec"]
        (copied,) = pod["initContainers"]
        assert copied["command"] == ["install", "-m", "600", "/secret/secrets.key", name]
        mounted = {one["mountPath"]: one["name"] for one in copied["volumeMounts"]}
        volumes = {one["name"]: one for one in pod["volumes"]}
        assert volumes[mounted["/secret"]]["secret"]["secretName"] == "kilowait"
        assert volumes[mounted["/etc/kilowait"]]["emptyDir"] == {"medium": "Memory"}
        assert {"name": mounted["/etc/kilowait"], "mountPath": "/etc/kilowait", "readOnly": True} in (
            pod["containers"][0]["volumeMounts"]
        )


def test_workers_outlive_a_head_by_a_redis_whose_password_stands_in_no_file(cluster: dict) -> None:
    told = cluster["gcsFaultToleranceOptions"]
    assert told["redisPassword"] == {"valueFrom": {"secretKeyRef": {"name": "kilowait", "key": "redis-password"}}}
    assert told["redisAddress"] == "redis:6379"


def test_a_database_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KILOWAIT_DATABASE", raising=False)
    with pytest.raises(InputError, match=r"database \$KILOWAIT_DATABASE: .* is not set; set it"):
        Options(database="$KILOWAIT_DATABASE").settings()


def test_ray_asks_for_a_token_that_stands_in_no_file(service: dict, cluster: dict) -> None:
    assert cluster["authOptions"] == {"mode": "token"}
    assert "RAY_AUTH" not in yaml.safe_dump(service)  # the operator sets both variables in every pod


def test_two_clusters_never_stand_side_by_side(service: dict) -> None:
    """KubeRay's upgrade starts a second cluster beside the first by default: both would have one history."""
    assert service["spec"]["upgradeStrategy"]["type"] == "None"


def test_every_pod_runs_one_image_of_the_ray_that_is_pinned(cluster: dict) -> None:
    pinned = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("ray==")]
    assert pinned == [f"ray=={cluster['rayVersion']}"]
    assert len({container["image"] for container in containers(cluster)}) == 1


def closed(schema: Any) -> Any:
    """A schema that also refuses what it does not know, as `kubectl apply` does by default."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(part) for key, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        inner.setdefault("additionalProperties", False)
    return inner


@pytest.fixture(scope="module")
def schema() -> Any:
    path = os.environ.get("KUBERAY_CRD")
    if not path:
        pytest.skip("KUBERAY_CRD is not set; it names config/crd/bases/ray.io_rayservices.yaml of the KubeRay operator")
    versions = yaml.load(Path(path).read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))["spec"]["versions"]
    (found,) = [one["schema"]["openAPIV3Schema"] for one in versions if one["name"] == "v1"]
    return closed(found)


def test_kuberays_schema_accepts_it(service: dict, schema: Any) -> None:
    jsonschema.validate(service, schema)


@pytest.mark.parametrize("where", ["spec", "rayClusterConfig", "worker", "container"])
def test_kuberays_schema_refuses_a_misspelled_key(service: dict, cluster: dict, schema: Any, where: str) -> None:
    worker = cluster["workerGroupSpecs"][0]
    places = {"spec": service["spec"], "rayClusterConfig": cluster, "worker": worker}
    places["container"] = worker["template"]["spec"]["containers"][0]
    places[where]["maxReplica"] = 3
    with pytest.raises(jsonschema.ValidationError, match="maxReplica"):
        jsonschema.validate(service, schema)
