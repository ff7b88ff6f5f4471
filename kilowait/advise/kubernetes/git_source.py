"""A program from a git repository, at one commit of it, from hosts that the webhook's operator allows alone.

Who writes the annotation may be anybody who creates jobs, so git gets as little as it can do with: https to those hosts
without redirects, no configuration, credentials, hooks, submodules or filters; links are checked out as plain files;
time and sizes are bounded.
"""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from kilowait.core.errors import InputError, ServiceError

GIT, GIT_PATH = "kilowait/git", "kilowait/git-path"
"""The annotations: `https://HOST/OWNER/NAME@COMMIT`, and where the repository stands in the container."""
FetchSource = Callable[[str, Path], None]
"""(reference, an empty folder) puts the files into the folder; raises InputError, ServiceError."""
WITHIN_S = 5.0
MOST_BYTES, MOST_FILES = 32 << 20, 5000
_FORM = re.compile(r"(https://[^\s@?#\\]+)@([0-9a-f]{40}|[0-9a-f]{64})")
_BOUNDED = ("sh", "-c", f'ulimit -f {MOST_BYTES // 512}; exec "$@"', "sh")
_CAREFUL = (
    "core.symlinks=false", "core.hooksPath=/dev/null", "core.bare=false", "http.followRedirects=false",
    "fetch.unpackLimit=1", "gc.auto=0",
)  # fmt: skip


def fetch_source(
    reference: str, folder: Path, hosts: Collection[str], within_s: float = WITHIN_S, protocol: str = "https"
) -> None:
    """Put the files of `URL@COMMIT` into a folder.

    Raises InputError for a reference that is none, is of another host or is too large, ServiceError where git fails.
    """
    url, commit = read_reference(reference, hosts)
    with tempfile.TemporaryDirectory(prefix="kilowait-git-") as home:
        git = _Git(home=Path(home), end_s=time.monotonic() + within_s, protocol=protocol)
        git.run("init", "--quiet", "--bare", "--template=", f"{home}/git")
        git.run(
            "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--end-of-options", url, commit
        )
        sizes = [line.split()[3] for line in git.run("ls-tree", "-r", "-l", commit).splitlines()]
        size = sum(int(size) for size in sizes if size.isdigit())
        if size > MOST_BYTES or len(sizes) > MOST_FILES:
            raise InputError(
                f"{reference}: {len(sizes)} files with {size} bytes; at most {MOST_FILES} with {MOST_BYTES} are read"
            )
        git.run(f"--work-tree={folder}", "checkout", "--quiet", commit, "--", ".")


def read_reference(reference: str, hosts: Collection[str]) -> tuple[str, str]:
    """(URL, commit); raises InputError, with the remedy."""
    match = _FORM.fullmatch(reference)
    if match is None:
        raise InputError(
            f"{GIT}: {reference!r}: write https://HOST/OWNER/NAME@COMMIT, the commit with all of its digits"
        )
    host = urlsplit(match[1]).netloc
    if host not in hosts:
        allowed = ", ".join(sorted(hosts)) or "none"
        raise InputError(f"{GIT}: {host} is not allowed here (allowed: {allowed}); kilowait admit --git-host {host}")
    return match[1], match[2]


class _Git:
    """git in an empty home, until a moment on the monotonic clock."""

    def __init__(self, *, home: Path, end_s: float, protocol: str) -> None:
        self._end_s, self._folder = end_s, home / "git"
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "LC_ALL": "C",
            "GIT_DIR": str(self._folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": protocol,
        }

    def run(self, *words: str) -> str:
        """What it prints; raises ServiceError with what it says, or for too long a time."""
        options = [part for setting in _CAREFUL for part in ("-c", setting)]
        try:
            done = _done([*_BOUNDED, "git", *options, *words], self._environment, self._end_s - time.monotonic())
        except subprocess.TimeoutExpired as error:
            raise ServiceError("git: the repository did not come in time; use a ConfigMap") from error
        except OSError as error:
            raise ServiceError(f"git: {error.strerror}; it must be where kilowait admit runs") from error
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()[-1:] or [f"ended with {done.returncode}; is it too large?"]
            raise ServiceError(f"git: {said[0]}")
        return done.stdout


def _done(words: Sequence[str], environment: dict[str, str], within_s: float) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        words, env=environment, capture_output=True, text=True, errors="replace", timeout=max(0.0, within_s),
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
