"""uv, as it is called here."""

import os
import shutil
import sysconfig
from pathlib import Path

from kilowait.core.errors import InputError

NOT_PASSED = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "CONDA_PREFIX", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON")
"""What says which environment is meant, and means another."""


def uv_program() -> str:
    """The one beside this Python, or on PATH; raises InputError."""
    found = shutil.which("uv", path=sysconfig.get_path("scripts")) or shutil.which("uv")
    if found is None:
        raise InputError("no uv on this node; install it (pip install uv), or let the operator name environments")
    return found


def uv_environment(cache: Path, **more: str) -> dict[str, str]:
    """This process's, for proxies and certificates, without the service's own; files that are made can be read."""
    own = {name: text for name, text in os.environ.items() if not name.startswith(("KILOWAIT_", "RAY_"))}
    for name in NOT_PASSED:
        own.pop(name, None)
    return {**own, "UV_CACHE_DIR": str(cache), "UV_NO_PROGRESS": "1", "NO_COLOR": "1", **more}
