"""The GPU types of a Ray cluster, as its dashboard says."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from kilowait.core.errors import ServiceError
from kilowait.core.hardware import canonical, is_known

LABEL = "ray.io/accelerator-type"
RESOURCE = "accelerator_type:"
DASHBOARD = "http://127.0.0.1:8265"
WAIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RayPool:
    """Nodes of one GPU type: what Ray calls it, the most GPUs of a node, and whether all nodes have the label."""

    ray_name: str
    most_gpus: int
    labelled: bool


def option_value(words: Sequence[str], option: str) -> str | None:
    """What stands behind an option, None where it is not given."""
    for at, word in enumerate(words):
        if word == option and at + 1 < len(words):
            return words[at + 1]
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


def dashboard_of(words: Sequence[str], environment: Mapping[str, str]) -> str:
    """Where `ray job submit` with these words asks."""
    given = option_value(words, "--address")
    if given is not None:
        return given
    return environment.get("RAY_API_SERVER_ADDRESS") or environment.get("RAY_ADDRESS") or DASHBOARD


def ask_pools(address: str, environment: Mapping[str, str] = os.environ) -> dict[str, RayPool]:
    """Pools by canonical type; raises ServiceError for a dashboard that does not answer, or at no HTTP address."""
    if not address.startswith(("http://", "https://")):
        raise ServiceError(f"{address}: no address of a Ray dashboard; give --address as in {DASHBOARD}")
    try:
        where = f"{address.rstrip('/')}/api/v0/nodes?detail=true&limit=10000"
        answer = requests.get(where, headers=_token(environment), timeout=WAIT_S)
        answer.raise_for_status()
        return pools_of(answer.json()["data"]["result"]["result"])
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise ServiceError(f"{address}: the Ray dashboard says no nodes ({type(error).__name__})") from error


def pools_of(nodes: Iterable[Mapping[str, Any]]) -> dict[str, RayPool]:
    """Pools of the nodes that live and have GPUs of a known type."""
    pools: dict[str, RayPool] = {}
    for node in nodes:
        resources, labels = node.get("resources_total") or {}, node.get("labels") or {}
        marks = [name.removeprefix(RESOURCE) for name in resources if name.startswith(RESOURCE)]
        name = labels.get(LABEL) or next(iter(marks), "")
        gpus = int(resources.get("GPU", 0))
        if node.get("state") != "ALIVE" or not gpus or not is_known(name):
            continue
        before = pools.get(canonical(name), RayPool(ray_name=name, most_gpus=0, labelled=True))
        labelled = before.labelled and labels.get(LABEL) == before.ray_name
        most_gpus = max(gpus, before.most_gpus)
        pools[canonical(name)] = RayPool(ray_name=before.ray_name, most_gpus=most_gpus, labelled=labelled)
    return pools


def _token(environment: Mapping[str, str]) -> dict[str, str]:
    """The header of a cluster that asks for a token, as Ray's own client finds it."""
    if environment.get("RAY_AUTH_MODE") != "token":
        return {}
    token = environment.get("RAY_AUTH_TOKEN")
    path = Path(environment.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if not token and path.is_file():
        token = path.read_text().strip()
    return {"Authorization": f"Bearer {token}"} if token else {}
