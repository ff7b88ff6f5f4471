"""ConfigMaps read from the API server of the cluster that this process runs in, by its service account."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import requests

from kilowait.advise.kubernetes.api_server import ACCOUNT, asked, server_here
from kilowait.core.errors import ServiceError


def read_config_map(namespace: str, name: str, account: Path = ACCOUNT, server: str | None = None) -> Mapping[str, str]:
    """Its texts by key; raises ServiceError with the remedy where it cannot be had."""
    server = server or server_here()
    if server is None:
        raise ServiceError(f"ConfigMap {name}: this process runs in no cluster; put the program into an annotation")
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/configmaps/{quote(name, safe='')}"
    try:
        answer = asked("GET", server + path, account)
    except (OSError, requests.RequestException) as error:
        raise ServiceError(f"ConfigMap {namespace}/{name}: {type(error).__name__}; see the network policy") from error
    if answer.status_code != 200:
        remedy = "the service account may not read it; see role.yaml" if answer.status_code == 403 else "is it there?"
        raise ServiceError(f"ConfigMap {namespace}/{name}: the API server answered {answer.status_code}; {remedy}")
    texts = answer.json().get("data") or {}
    return {str(key): str(text) for key, text in texts.items()}
