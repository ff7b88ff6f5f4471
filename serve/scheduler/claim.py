"""This Ray cluster's claim on a history: see `kilowait.history.lease`."""

import os
import socket
import time

from ray._private.worker import global_worker  # the cluster's id stands nowhere else

from kilowait.history.lease import LEASE_S, Claim
from kilowait.history.store import Store


def claim(lease_s: float = LEASE_S) -> Claim:
    """This cluster's claim on the history, as of now."""
    cluster, _ = global_worker.current_cluster_and_job
    holder = f"the scheduler on {socket.gethostname()}, process {os.getpid()}"
    return Claim(cluster=cluster.hex(), holder=holder, time_s=time.time(), lease_s=lease_s)


def check_lease(url: str) -> None:
    """Raises Occupied where another living cluster has the history, StoreError where it is not there."""
    store = Store(url)
    try:
        store.check_lease(claim().cluster, time.time())
    finally:
        store.close()


def make_ready(url: str) -> None:
    """Before there is a Ray cluster here: upgrade a history of an earlier release.

    Raises Occupied where any cluster lives and has it, StoreError where it is not there or cannot be upgraded.
    """
    store = Store(url)
    try:
        store.upgrade(time.time())
    finally:
        store.close()


def let_go(url: str, cluster: str) -> None:
    """Give back the lease of a cluster that has ended, so that the next need not wait until it expires."""
    store = Store(url)
    try:
        store.let_go(cluster)
    finally:
        store.close()
