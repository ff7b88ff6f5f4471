"""A job in a room of its own hears the signal by which it is preempted, whichever that is."""

from typing import get_args

import pytest

from kilowait.core.checkpoints.checkpointing import Checkpointing, StopSignal
from kilowait.isolation.job_room import JobRoom
from kilowait.isolation.modes import room_refusal, uid_of
from kilowait.measure.confinement import Confinement
from kilowait.measure.joblog import read_log
from kilowait.measure.outcome import RunOutcome
from kilowait.measure.ward import WardOrder
from tests.support.wards import started_ward, written

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(room_refusal() is not None, reason=str(room_refusal())),
]
SAVES = "trap 'echo saved; exit 85' {name}; echo ready; while :; do sleep 0.05; done"


@pytest.mark.parametrize("name", get_args(StopSignal))
def test_it_writes_its_checkpoint(tmp_path, name):
    folders = {part: tmp_path / part for part in ("job", "tmp", "log")}
    for folder in folders.values():
        folder.mkdir()
    room = JobRoom(folder=str(folders["job"]), temporary=str(folders["tmp"]), uid=uid_of(0))
    order = WardOrder(
        command=("/bin/bash", "-c", SAVES.format(name=name)),
        environment={"PATH": "/usr/bin:/bin"},
        folder=str(folders["job"]),
        log_folder=str(folders["log"]),
        log_bytes=10_000,
        confinement=Confinement(name="preempted", room=room),
        preempt_signal=Checkpointing(signal=name).signal_number,
        preempt_grace_s=20.0,
    )
    ward = started_ward(order)
    written(folders["log"], b"ready\n")
    ward.stdin.write(b"preempt\n")
    ward.stdin.flush()
    outcome = RunOutcome.from_json(ward.stdout.readline().decode())
    ward.communicate()
    said = read_log(folders["log"])[1]  # bash also says what its sleep was ended by
    assert (outcome.preempted, outcome.exit_code, said.splitlines()[-1]) == (True, 85, b"saved")
