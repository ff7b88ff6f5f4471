"""The API server of the cluster that this process runs in, called as its service account."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import requests

from kilowait.core.errors import ServiceError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
WAIT_S = 3.0
Json = Mapping[str, Any]
Call = Callable[[str, Json | None], Json]
"""(path, what is to be applied or None to read) -> the object; {} where there is none."""


def server_here() -> str | None:
    """Its address; None outside of a cluster."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    return f"https://{f'[{host}]' if ':' in host else host}:{port}" if host else None


def asked(method: str, url: str, account: Path, **more: Any) -> requests.Response:
    """Its answer to a service account; raises OSError and RequestException where there is none."""
    token = (account / "token").read_text().strip()  # it is renewed, so it is read each time
    return requests.request(
        method,
        url,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/apply-patch+yaml"},
        verify=str(account / "ca.crt"),
        timeout=WAIT_S,
        **more,
    )


def api_server(manager: str, account: Path = ACCOUNT, server: str | None = None) -> Call:
    """What calls it, with changes by server-side apply as `manager`; a call raises ServiceError where it fails."""
    base = server or server_here()
    if base is None:
        raise ServiceError("no API server: this process runs in no cluster")

    def call(path: str, body: Json | None) -> Json:
        try:
            if body is None:
                answer = asked("GET", base + path, account)
            else:
                applying = {"fieldManager": manager, "force": "true"}
                answer = asked("PATCH", base + path, account, params=applying, data=json.dumps(body))
        except (OSError, requests.RequestException) as error:
            raise ServiceError(f"{path}: {type(error).__name__}; see the network policy") from error
        if answer.status_code == 404 and body is None:
            return {}
        if answer.status_code not in (200, 201):
            raise ServiceError(f"{path}: the API server answered {answer.status_code}; see the role of this account")
        found: Json = answer.json()
        return found

    return call
