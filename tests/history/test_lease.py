"""Two clusters never schedule by one history at once: the lease in its database, on SQLite and on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import update

from kilowait.core.errors import Occupied, StoreError, Superseded
from kilowait.history.lease import Claim
from kilowait.history.schema import META
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from tests.support.live_world import request

OLD, NEW = "0ld0ld0ld0ld0ld0", "beefbeefbeefbeef"


def claim(cluster, time_s, host="kilowait-head"):
    return Claim(cluster=cluster, holder=f"the scheduler on {host}, process 7", time_s=time_s)


def controller(url, cluster, time_s, **more):
    return Controller(Store(url), simple(), order=("A", "B"), claim=claim(cluster, time_s, **more))


def running_one(url):
    """A controller of the old cluster at 1000 s, with one job that runs."""
    live = controller(url, OLD, 1000.0)
    live.node_joined("n1", "A", 1, 1000.0)
    job_id = live.submit(request("k"), 1000.0)
    (attempt,) = live.decide(1000.0)
    live.attempt_started(job_id, 1, attempt.token, 1000.0)
    return live, attempt


def test_a_second_living_cluster_is_refused_and_told_who_holds_it_and_what_to_do(database):
    live, attempt = running_one(database)
    with pytest.raises(
        Occupied,
        match=r"held by the scheduler on kilowait-head, process 7 \(Ray cluster 0ld0ld0ld0ld\), heard of 30 s ago; "
        r".*stop that service.* a database of its own.* wait 60 s until its lease has run out",
    ):
        controller(database, NEW, 1030.0)
    live.attempt_started(attempt.job_id, 1, attempt.token, 1031.0)  # the old one goes on as if nothing had been
    assert live.submit(request("next"), 1031.0)


def test_a_cluster_that_promises_less_is_waited_for_less(database):
    store = Store(database)
    store.take_over(Claim(cluster=OLD, holder="it", time_s=1000.0, lease_s=12.0))
    with pytest.raises(Occupied, match=r"wait 3 s until its lease has run out"):
        store.take_over(claim(NEW, 1009.0))
    store.take_over(claim(NEW, 1012.0))
    with pytest.raises(Occupied):  # the new one promised no less than ever
        store.take_over(claim(OLD, 1101.0))


def test_a_claim_of_an_earlier_release_counts_as_long_as_it_did(database):
    store = Store(database)
    store.take_over(claim(OLD, 1000.0))
    text = f'{{"cluster":"{OLD}","holder":"it","time_s":1000.0}}'
    store.change(update(META).where(META.c.key == "lease").values(value=text))
    with pytest.raises(Occupied):
        store.take_over(claim(NEW, 1089.0))
    store.take_over(claim(NEW, 1090.0))


def test_jobs_of_a_short_lease_end_well_before_it_and_others_are_not_fenced():
    assert Claim(cluster=OLD, holder="it", time_s=1000.0, lease_s=12.0).fenced_s == 1008.0
    assert Claim(cluster=OLD, holder="it", time_s=1000.0).fenced_s is None


def test_what_the_refused_cluster_would_have_done_is_not_in_the_history(database):
    running_one(database)
    before = list(Store(database).events())
    with pytest.raises(Occupied):
        controller(database, NEW, 1030.0)
    assert list(Store(database).events()) == before


def test_the_restarted_scheduler_of_the_same_cluster_takes_over_at_once(database):
    live, _ = running_one(database)
    after = controller(database, OLD, 1000.5)
    assert after.all_running() == live.all_running()
    with pytest.raises(Superseded, match="another scheduler has taken over"):
        live.submit(request("late"), 1001.0)
    with pytest.raises(Superseded):
        live.store.renew(claim(OLD, 1001.0))


def test_a_lease_that_has_run_out_is_taken_and_one_that_is_renewed_has_not(database):
    live, _ = running_one(database)
    live.store.renew(claim(OLD, 1060.0))
    with pytest.raises(Occupied, match="heard of 89 s ago"):
        controller(database, NEW, 1149.0)
    after = controller(database, NEW, 1150.0, host="second-head")
    with pytest.raises(Superseded):
        live.store.renew(claim(OLD, 1150.0))
    with pytest.raises(Occupied, match="second-head"):  # the old one, started again, finds the new one
        controller(database, OLD, 1151.0)
    assert after.submit(request("n"), 1151.0)


def test_a_lease_that_was_given_back_is_free(database):
    live, _ = running_one(database)
    live.store.let_go(NEW)  # not its own: nothing happens
    with pytest.raises(Occupied):
        Store(database).check_lease(NEW, 1001.0)
    live.store.let_go(OLD)
    Store(database).check_lease(NEW, 1001.0)
    controller(database, NEW, 1001.0)


def test_a_clock_that_is_behind_the_holders_is_refused_too(database):
    controller(database, OLD, 1000.0)
    with pytest.raises(Occupied, match="heard of 0 s ago"):
        controller(database, NEW, 990.0)


def test_of_many_who_take_over_at_one_moment_each_has_a_number_of_its_own(database):
    """A number that two of them had would let both write."""
    stores, at_once = [Store(database) for _ in range(8)], Barrier(8)

    def take(store):
        at_once.wait()
        store.take_over()
        return store._writer

    with ThreadPoolExecutor(8) as pool:
        assert sorted(map(int, pool.map(take, stores))) == list(range(1, 9))


def test_of_many_clusters_that_begin_at_one_moment_one_is_let_in(database):
    stores, at_once = [Store(database) for _ in range(8)], Barrier(8)

    def take(number):
        at_once.wait()
        try:
            stores[number].take_over(claim(f"cluster-{number}", 1000.0))
        except Occupied:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(8))) == 1


def test_a_lease_that_cannot_be_looked_up_is_a_clear_error(tmp_path, closed):
    store = Store(f"{tmp_path}/kilowait.db")
    with store._engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE meta")
    with pytest.raises(StoreError, match="not read: no such table: meta"):
        store.check_lease(NEW, 0.0)
