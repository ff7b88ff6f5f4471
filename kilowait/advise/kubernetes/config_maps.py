"""ConfigMaps read from the API server of the cluster that this process runs in, by its service account."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import requests

from kilowait.core.errors import ServiceError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
WAIT_S = 3.0


def read_config_map(namespace: str, name: str, account: Path = ACCOUNT, server: str | None = None) -> Mapping[str, str]:
    """Its texts by key; raises ServiceError with the remedy where it cannot be had."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    server = server or (f"https://{f'[{host}]' if host and ':' in host else host}:{port}" if host else None)
    if server is None:
        raise ServiceError(f"ConfigMap {name}: this process runs in no cluster; put the program into an annotation")
    try:
        token = (account / "token").read_text()  # it is renewed, so it is read each time
        answer = requests.get(
            f"{server}/api/v1/namespaces/{quote(namespace, safe='')}/configmaps/{quote(name, safe='')}",
            headers={"Authorization": f"Bearer {token.strip()}"},
            verify=str(account / "ca.crt"),
            timeout=WAIT_S,
        )
    except (OSError, requests.RequestException) as error:
        raise ServiceError(f"ConfigMap {namespace}/{name}: {type(error).__name__}; see the network policy") from error
    if answer.status_code != 200:
        remedy = "the service account may not read it; see role.yaml" if answer.status_code == 403 else "is it there?"
        raise ServiceError(f"ConfigMap {namespace}/{name}: the API server answered {answer.status_code}; {remedy}")
    texts = answer.json().get("data") or {}
    return {str(key): str(text) for key, text in texts.items()}
