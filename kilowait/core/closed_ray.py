"""A Ray cluster of this machine that answers nobody else: it asks for a token, and listens on 127.0.0.1 alone.

Whoever may speak to Ray's ports can run programs as its user, past every token of kilowait.
"""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ray._private import ray_constants  # where Ray listens is asked for nowhere else
from ray._raylet import AuthenticationTokenLoader, Config  # what `ray.init` itself turns its tokens on with

MODE, TOKEN, TOKEN_FILE = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
LOOPBACK = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
"""Ray listens on every interface, or, where this is "0", on 127.0.0.1 alone: it offers no other choice."""

TOKEN_SUFFIX = ".ray-token"
TOKEN_BYTES = 32


@contextmanager
def closed_ray(token_file: Path) -> Iterator[None]:
    """Within it, what this process and its children start of Ray asks for the token of `token_file` and stays local.

    What the environment already says of Ray's token holds; the file is made, for this user's eyes only, where it is
    needed and missing. Ends with this process's environment as before. Raises OSError where it cannot be written.
    """
    before = {name: os.environ.get(name) for name in (MODE, TOKEN_FILE, LOOPBACK)}
    reaches_out = ray_constants.ENABLE_RAY_CLUSTER
    os.environ.update(_settings(token_file))
    ray_constants.ENABLE_RAY_CLUSTER = False  # it was read from the environment when Ray was imported
    read_again()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        ray_constants.ENABLE_RAY_CLUSTER = reaches_out
        read_again()


def _settings(token_file: Path) -> Mapping[str, str]:
    """The variables that Ray shall find; an operator's own of the token come first."""
    settings = {LOOPBACK: "0", MODE: os.environ.get(MODE, "token")}
    if settings[MODE] == "token" and not {TOKEN, TOKEN_FILE} & os.environ.keys():
        _make_token(token_file)
        settings[TOKEN_FILE] = str(token_file.absolute())
    return settings


def _make_token(path: Path) -> None:
    """A fresh token of 64 hexadecimal digits in a file of mode 0600, unless it holds one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)
    if not path.read_text().strip():
        path.write_text(secrets.token_hex(TOKEN_BYTES))


def read_again() -> None:
    """Let Ray in this process read its settings, then its token, from the environment as it is now."""
    Config.initialize("")  # first: a thread that is still at work must not look for a token that has gone
    AuthenticationTokenLoader.instance().reset_cache()
