"""What a Slurm of one's own on this host takes: its programs, and a configuration that asks nobody else."""

import os
import shutil
import socket
from pathlib import Path

HOST = socket.gethostname().partition(".")[0]
COMMON = """\
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/none
CredType=cred/none
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
"""


def found_program(program: str) -> str | None:
    """Its path, also where only an administrator looks."""
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")


def write_configuration(folder: Path, port: int, lines: str) -> Path:
    """Put slurm.conf into a folder, `lines` behind what all have, and beside it what its daemons want to find."""
    for part in ("state", "spool"):
        (folder / part).mkdir()
    (folder / "cgroup.conf").touch()
    file = folder / "slurm.conf"
    file.write_text(COMMON.format(host=HOST, port=port, folder=folder) + lines)
    return file


def controller_listens(configuration: Path) -> bool:
    """Whether it does: a command of Slurm's that comes too early waits for seconds."""
    lines = configuration.read_text().splitlines()
    port = next(int(line.partition("=")[2]) for line in lines if line.startswith("SlurmctldPort"))
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
