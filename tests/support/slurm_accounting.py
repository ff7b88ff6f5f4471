"""A real slurmdbd of a test's own, on a MariaDB of its own: what a Slurm keeps of jobs that are over."""

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from benchmarks.free_ports import free_ports
from benchmarks.own_slurm import found_program
from tests.support.slurm_cluster import until

PROGRAMS = ("mariadb-install-db", "mariadbd", "mariadb", "slurmdbd", "sacct")
PLUGIN = "slurm-wlm/accounting_storage_mysql.so"
CONFIGURATION = """\
AuthType=auth/none
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database_port}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
"""
LINES = """\
JobCompType=jobcomp/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoreFlags=job_comment
AccountingStorageTRES=gres/gpu
"""
SMALL = ("--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M", "--innodb-flush-method=nosync")
GRANT = "create user slurm@127.0.0.1 identified by 'slurm'; grant all on slurm.* to slurm@127.0.0.1;"


@contextmanager
def accounting():
    """The lines of slurm.conf that lead to it; ended in the end. Skips where something is missing."""
    for program in PROGRAMS:
        if found_program(program) is None:
            pytest.skip(f"no {program} on this machine; apt-get install slurmdbd mariadb-server to run this test")
    if not list(Path("/usr/lib").glob(f"*/{PLUGIN}")):
        pytest.skip(f"no {PLUGIN} on this machine; apt-get install slurm-wlm-mysql-plugin to run this test")
    with tempfile.TemporaryDirectory(prefix="kilowait-slurmdbd-") as name, ExitStack() as running:
        folder, (database_port, port) = Path(name), free_ports(2)
        running.enter_context(_mariadb(folder, database_port))
        file = folder / "slurmdbd.conf"
        file.write_text(CONFIGURATION.format(folder=folder, port=port, database_port=database_port))
        file.chmod(0o600)  # slurmdbd takes no other
        running.enter_context(_daemon(folder, found_program("slurmdbd"), "-D", SLURM_CONF=str(file)))
        until(lambda: "started" in _text(folder / "slurmdbd.log"), "slurmdbd does not start", folder, seconds=60)
        yield LINES.format(port=port)


@contextmanager
def _mariadb(folder, port):
    """One that answers Slurm's user on that port."""
    data, socket = folder / "data", folder / "socket"
    words = ("mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=root", "--skip-test-db", *SMALL)
    subprocess.run([*words, "--auth-root-authentication-method=normal"], check=True, capture_output=True, timeout=300)
    client = (shutil.which("mariadb"), "--no-defaults", f"--socket={socket}", "--user=root", "--execute")
    words = (found_program("mariadbd"), "--no-defaults", f"--datadir={data}", "--user=root", f"--socket={socket}")
    with _daemon(folder, *words, *SMALL, f"--port={port}", "--bind-address=127.0.0.1"):
        until(
            lambda: subprocess.run([*client, "select 1"], capture_output=True).returncode == 0,
            "MariaDB does not answer",
            folder,
            seconds=60,
        )
        subprocess.run([*client, GRANT], check=True, capture_output=True, timeout=60)
        yield


@contextmanager
def _daemon(folder, *words, **variables):
    with (folder / "daemons.log").open("ab") as log:
        daemon = subprocess.Popen(words, env={**os.environ, **variables}, stdout=log, stderr=log, cwd=folder)
    try:
        yield
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)


def _text(file):
    return file.read_text(errors="replace") if file.exists() else ""
