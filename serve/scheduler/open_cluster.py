"""Whether this Ray cluster answers anybody: found out by asking it without a token, not by trusting its settings."""

import os
import subprocess
import sys

from kilowait.core.errors import InputError

PATIENCE_S = 60.0
ASK = """
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1]).get_all_node_info()
except AuthenticationError:
    print("refused")
else:
    print("answered")
"""
"""In a process of its own, since Ray reads its token once a process."""

REMEDY = (
    "start every node of it with RAY_AUTH_MODE=token and with RAY_AUTH_TOKEN_PATH naming a file that holds the same "
    "token (openssl rand -hex 32 makes one), or set allow_open_cluster where nobody else reaches its ports"
)


def refuse_open_cluster(gcs_address: str, *, allowed: bool) -> None:
    """Raises InputError where the Ray cluster at host:port answers a client without a token, or does not say.

    Where an open cluster is `allowed` nothing is asked.
    """
    if allowed or (words := _answer(gcs_address)) == "refused":
        return
    found = "answers clients without a token" if words == "answered" else f"does not say if it wants a token ({words})"
    raise InputError(
        f"the Ray cluster at {gcs_address} {found}: whoever reaches its ports can run programs there; {REMEDY}"
    )


def _answer(gcs_address: str) -> str:
    """What became of the question: "answered", "refused", or the last words of one that came to nothing."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}
    command = [sys.executable, "-P", "-c", ASK, gcs_address]
    try:
        done = subprocess.run(
            command,
            env={**environment, "RAY_AUTH_MODE": "disabled"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {PATIENCE_S:g} s"
    return (done.stdout.strip() or done.stderr.strip()).rpartition("\n")[2]
