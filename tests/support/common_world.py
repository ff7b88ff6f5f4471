"""One service for all tests of a process that need no other; it takes a quarter of a minute to start."""

import subprocess
import sys
import sysconfig

from kilowait.history.secrecy.key_file import new_key
from kilowait.isolation.modes import room_refusal

from .service_world import ServiceWorld
from .wheels import wheel

_opened = []


def open_common_world(folders):
    """Start it unless it runs: a GPU of two types, first come first served, and all that an operator may name.

    Its software environment `vision` stands in `prefix`; its index has one package, `asked_for`.
    """
    if not _opened:
        key, prefix = folders.mktemp("key") / "key", environment(folders.mktemp("software") / "vision")
        new_key(key)
        wheels = folders.mktemp("wheels")
        wheel(wheels, "asked_for", "1.0")
        options = {
            "environments": str(folders.mktemp("environments")),
            "environments_index": [str(wheels)],
            "images": ["own:*"],
            "policy": "simple",
            "dry_run_budget_s": 10.0,
            "max_queued": 8,  # few: some tests ask for more
            "secrets_key_file": str(key),
            "notify_internal": ["127.0.0.1"],
            "software": {"vision": f"{prefix}/bin/python"},
            **({} if room_refusal() else {"isolation": "namespace"}),
        }
        _opened.append(ServiceWorld(folders.mktemp("common"), {"A100": 1, "RTX-A6000": 1}, **options))
        _opened[0].prefix = prefix
    return _opened[0]


def close_common_world():
    """End it where it runs: a process has one Ray at a time."""
    while _opened:
        _opened.pop().close()


def environment(folder):
    """An environment beside the tests' own, with a package that only it has, and PyTorch of theirs by a .pth."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    (packages / "of_the_environment.py").write_text("NAME = 'vision'\n")
    (packages / "theirs.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder
