"""An owner's jobs may run as a user of the machine, so that the owner's files elsewhere are theirs."""

import os
import tempfile
from pathlib import Path

import pytest

from kilowait.core.errors import InputError
from kilowait.core.jobs import Held
from kilowait.core.submission import Attempt
from kilowait.isolation.modes import FIRST_UID, IsolationSettings
from kilowait.measure.allotment import Allotment
from kilowait.measure.ward import WardOrder
from serve.isolation_options import owner_uid_of, owner_uids_of
from serve.runner.confine import confine
from tests.support.wards import ended_well


def test_owners_are_given_their_users_and_others_one_a_job():
    settings = IsolationSettings(owner_uids=owner_uids_of(dict(map(owner_uid_of, ["ada=1001", "b=c=1002"]))))
    assert [settings.uid_for(owner, 7) for owner in ("ada", "b=c", "cy", None)] == [1001, 1002, *[FIRST_UID + 7] * 2]


@pytest.mark.parametrize("text", ["ada", "ada=", "=1001", "ada=root", "ada=0", "ada=999", f"ada={FIRST_UID}", "ada=-5"])
def test_a_user_of_the_systems_or_of_another_job_is_refused(text):
    with pytest.raises(InputError, match="owner-uid"):
        owner_uids_of(dict([owner_uid_of(text)]))


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become other users")
@pytest.mark.parametrize("mode", ["user", "auto"])
def test_a_job_writes_as_its_owner(tmp_path, mode):
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    (home := tmp_path / "home").mkdir()
    os.chown(home, 12_345, 12_345)
    home.chmod(0o700)
    (work := tmp_path / "work").mkdir()
    where = (Held(node="n", gpus=1),)
    attempt = Attempt(
        job_id="job-1", attempt=1, token=1, gpu_type="A100", gpu_milli=1000, where=where, placed_s=0.0, owner="ada"
    )
    settings = IsolationSettings(mode=mode, owner_uids=(("ada", 12_345),))
    allotment = Allotment(gpu_type="A100", gpu_milli=1000, gpu_ids=("g",), pretended=True)
    confinement, files = confine(settings, attempt, allotment, work, node_gpus=1)
    more = f"; echo mine > {home / 'x'}" if mode == "user" else ""
    command, seen = ("/bin/sh", "-c", f"id -u{more}"), {"PATH": "/usr/bin:/bin"}  # Python may be in a closed folder
    (work / "log").mkdir()
    order = WardOrder(
        command=command,
        environment=seen,
        folder=str(files.scratch),
        log_folder=str(work / "log"),
        log_bytes=1000,
        confinement=confinement,
    )
    ended_well(order)
    assert b"12345" in b"".join(path.read_bytes() for path in (work / "log").glob("*.log"))
    if mode == "user":
        assert (home / "x").stat().st_uid == 12_345
