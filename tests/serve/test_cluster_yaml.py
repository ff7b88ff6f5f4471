"""cluster.yaml is a cluster that Ray's own launcher accepts, and its GPU types are ones kilowait knows."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from ray._private.label_utils import parse_node_labels_string
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.serve.schema import ServeDeploySchema

from kilowait.core.hardware import canonical
from kilowait.policies import DEFAULT_POLICY
from serve.app import Options

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config() -> dict:
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


def test_rays_own_schema_accepts_it(config: dict) -> None:
    validate_config(prepare_config(config))


def test_rays_schema_refuses_a_misspelled_key(config: dict) -> None:
    config["worker_start_commands"] = config.pop("worker_start_ray_commands")
    with pytest.raises(Exception, match="worker_start_commands"):
        validate_config(prepare_config(config))


@pytest.mark.parametrize(("host", "gpu_type"), [("a100-1", "A100"), ("a6000-2", "A6000")])
def test_each_host_labels_itself(config: dict, host: str, gpu_type: str) -> None:
    """The start command runs in a real shell with `hostname` and `ray` replaced by echoes."""
    command = config["worker_start_ray_commands"][-1].replace("~/kilowait/.venv/bin/ray", "ray")
    stubs = f'hostname() {{ echo {host}; }}; ray() {{ echo "$@"; }}; ulimit() {{ :; }};'
    said = subprocess.run(["bash", "-c", stubs + command], capture_output=True, text=True, check=True).stdout
    labels = re.search(r"--labels=(\S+)", said)
    assert labels is not None
    assert parse_node_labels_string(labels[1]) == {"kilowait/gpu-type": gpu_type}
    assert canonical(gpu_type) == gpu_type


@pytest.mark.parametrize("name", ["cluster.yaml", "examples/cluster/aws.yaml"])
@pytest.mark.parametrize("kind", ["head", "worker"])
def test_every_node_is_started_with_rays_token(name: str, kind: str) -> None:
    """The start command runs in a real shell; `ray` says what it is told of the token, which travels to that place."""
    config = yaml.safe_load((ROOT / name).read_text())
    command = config[f"{kind}_start_ray_commands"][-1].replace("~/kilowait/.venv/bin/ray", "ray")
    stubs = "hostname() { echo a100-1; }; ray() { env | grep ^RAY_AUTH | sort; }; ulimit() { :; };"
    env = {"PATH": os.environ["PATH"], "HOME": "/home/ubuntu"}
    said = subprocess.run(["bash", "-c", stubs + command], capture_output=True, text=True, check=True, env=env).stdout
    assert said.split() == ["RAY_AUTH_MODE=token", "RAY_AUTH_TOKEN_PATH=/home/ubuntu/.ray/auth_token"]
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


def test_an_unknown_host_is_refused(config: dict) -> None:
    command = config["worker_start_ray_commands"][-1]
    stubs = "hostname() { echo gpu-9; }; ulimit() { :; };"
    done = subprocess.run(["bash", "-c", stubs + command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "gpu-9" in done.stderr


def test_the_configuration_for_serve_deploy_is_one_and_listens_to_this_machine_only():
    text = yaml.safe_load((ROOT / "serve" / "config.yaml").read_text())
    schema = ServeDeploySchema.model_validate(text)
    (application,) = schema.applications
    assert (schema.http_options.host, application.import_path) == ("127.0.0.1", "kilowait.serve.app:app")
    assert Options(**application.args).settings().policy == DEFAULT_POLICY
