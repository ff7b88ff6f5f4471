"""The API server of the cluster that this process runs in, called as its service account."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import requests

from kilowait.advise.kubernetes.config_maps import ACCOUNT, WAIT_S
from kilowait.core.errors import ServiceError

Json = Mapping[str, Any]
Call = Callable[[str, Json | None], Json]
"""(path, what is to be applied or None to read) -> the object; {} where there is none."""


def api_server(manager: str, account: Path = ACCOUNT, server: str | None = None) -> Call:
    """What calls it, with changes by server-side apply as `manager`; a call raises ServiceError where it fails."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    base = server or (f"https://{f'[{host}]' if host and ':' in host else host}:{port}" if host else None)
    if base is None:
        raise ServiceError("no API server: this process runs in no cluster")

    def call(path: str, body: Json | None) -> Json:
        try:
            token = (account / "token").read_text().strip()  # it is renewed, so it is read each time
            answer = requests.request(
                "GET" if body is None else "PATCH",
                base + path,
                params={} if body is None else {"fieldManager": manager, "force": "true"},
                data=None if body is None else json.dumps(body),
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/apply-patch+yaml"},
                verify=str(account / "ca.crt"),
                timeout=WAIT_S,
            )
        except (OSError, requests.RequestException) as error:
            raise ServiceError(f"{path}: {type(error).__name__}; see the network policy") from error
        if answer.status_code == 404 and body is None:
            return {}
        if answer.status_code not in (200, 201):
            raise ServiceError(f"{path}: the API server answered {answer.status_code}; see the role of this account")
        found: Json = answer.json()
        return found

    return call
