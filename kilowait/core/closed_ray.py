"""A Ray of this machine's own that answers nobody else: it asks for a token, and listens on 127.0.0.1 alone.

Whoever may speak to Ray's ports can run programs as its user, past every token of kilowait. So everything here that
starts Ray does it by this module. `ray` is the package itself, handed in: only the shells import it.
"""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kilowait.core.private_files import make_private, private_folder

MODE, TOKEN, TOKEN_FILE = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray listens on every interface, or, where this is "0", on 127.0.0.1 alone: it offers no other choice."""

TOKEN_SUFFIX = ".ray-token"
TOKEN_BYTES = 32


@contextmanager
def connected(ray: Any, address: str | None, **options: Any) -> Iterator[None]:
    """The connection to Ray that there is, else one to `address`, else ("local" or None) to a Ray started for this.

    What was begun is ended. `options` are those of `ray.init` for one that is started.
    """
    if ray.is_initialized():
        yield
    elif address in (None, "local"):
        with local_ray(ray, **options):
            yield
    else:
        ray.init(address=address, log_to_driver=False)
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def local_ray(ray: Any, **options: Any) -> Iterator[None]:
    """A closed Ray of one node, with a token of its own, ended with the context; `options` are those of `ray.init`."""
    quiet = {"include_dashboard": False, "log_to_driver": False}
    with TemporaryDirectory(prefix="kilowait-ray-") as folder, closed_ray(ray, Path(folder, TOKEN_SUFFIX)):
        ray.init(address="local", **quiet | options)
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def closed_ray(ray: Any, token_file: Path) -> Iterator[None]:
    """Within it, what this process and its children start of Ray asks for the token of `token_file` and stays local.

    What the environment already says of Ray's token holds; the file is made, for this user's eyes only, where it is
    needed and missing. Ends with this process's environment as before. Raises OSError where it cannot be written.
    """
    constants = ray._private.ray_constants  # where Ray listens is asked for nowhere else
    before = {name: os.environ.get(name) for name in (MODE, TOKEN_FILE, LOOPBACK)}
    reaches_out = constants.ENABLE_RAY_CLUSTER
    os.environ.update(_settings(token_file))
    constants.ENABLE_RAY_CLUSTER = False  # it was read from the environment when Ray was imported
    read_again(ray)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        constants.ENABLE_RAY_CLUSTER = reaches_out
        read_again(ray)


def read_again(ray: Any) -> None:
    """Let Ray in this process read its settings, then its token, from the environment as it is now."""
    raylet = ray._raylet  # with which `ray.init` itself turns its tokens on
    raylet.Config.initialize("")  # first: a thread that is still at work must not look for a token that has gone
    raylet.AuthenticationTokenLoader.instance().reset_cache()


def _settings(token_file: Path) -> Mapping[str, str]:
    """The variables that Ray shall find; an operator's own of the token come first."""
    settings = {LOOPBACK: "0", MODE: os.environ.get(MODE, "token")}
    if settings[MODE] == "token" and not {TOKEN, TOKEN_FILE} & os.environ.keys():
        _make_token(token_file)
        settings[TOKEN_FILE] = str(token_file.absolute())
    return settings


def _make_token(path: Path) -> None:
    """A fresh token of 64 hexadecimal digits in a file of mode 0600, unless it holds one."""
    private_folder(path.parent)
    make_private(path)
    if not path.read_text().strip():
        path.write_text(secrets.token_hex(TOKEN_BYTES))
