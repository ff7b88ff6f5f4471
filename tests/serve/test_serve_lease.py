"""A service whose history another cluster wants, or has taken: refused while it lives, and harmless once replaced."""

import socket
import time

import pytest
import ray
from sqlalchemy import select, update

from benchmarks.pretended_cluster import PretendedCluster
from kilowait.core.errors import Occupied
from kilowait.core.submission import Retry
from kilowait.history.lease import Claim
from kilowait.history.saved_states import STATES
from kilowait.history.schema import EVENTS
from kilowait.history.store import Store
from serve.runner import gang
from serve.scheduler.claim import claim
from serve.scheduler.saving_loop import saving
from serve.start import main


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    cluster = PretendedCluster(tmp_path_factory.mktemp("lease"), policy="simple", a=("A100", 1))
    cluster.until(lambda: cluster.ask("snapshot").free == {"A100": 1})
    yield cluster
    cluster.close()


@pytest.fixture
def store(world):
    opened = Store(world.url)
    yield opened
    opened.close()


def other():
    return Claim(cluster="another", holder="the scheduler on another-head, process 1", time_s=time.time())


def test_a_second_cluster_is_refused_and_told_where_the_first_is(world, store):
    pid = world.ask("status")["pid"]
    with pytest.raises(Occupied, match=rf"held by the scheduler on {socket.gethostname()}, process {pid} "):
        store.take_over(other())
    world.over(world.submit("goes on"))


def test_a_service_that_would_be_the_second_does_not_start(world, capsys):
    assert main(["--database", world.url, "--pretend", "A100=1"]) == 2
    assert "stop that service, give this one a database of its own" in capsys.readouterr().err


def test_a_scheduler_restarts_by_a_state_that_was_saved_beside_it_and_finds_its_jobs(world, store):
    job_id = world.submit("found again", 5.0)
    world.until(lambda: (job_id, "1", "begins") in world.marked(job_id))
    seq = ray.get(saving(world.ask("status")["settings"]))
    assert [row.seq for row in store.rows(select(STATES.c.seq))] == [seq]
    first = EVENTS.c.seq == 1
    payload = store.rows(select(EVENTS.c.payload).where(first))[0].payload
    store.change(update(EVENTS).where(first).values(payload="{"))  # nobody can replay the whole log
    world.kill_scheduler()
    (row,) = world.over(job_id)
    assert (row["state"], len(row["attempts"])) == ("finished", 1)
    store.change(update(EVENTS).where(first).values(payload=payload))


def test_a_replaced_service_ends_its_jobs_and_waits_until_it_may_go_on(world, store):
    job_id = world.submit("long", 3600.0, retry=Retry(max_attempts=1))
    world.until(lambda: (job_id, "1", "begins") in world.marked(job_id))
    store.let_go(claim().cluster)  # as if it had not been heard of for long
    store.take_over(other())
    world.until(lambda: gang.strangers(set()) == set())
    store.let_go("another")
    (row,) = world.over(job_id)
    assert (row["state"], len(row["attempts"])) == ("failed", 1)
    world.over(world.submit("after it"))
    assert ray.is_initialized()
