"""A restart by a saved state and what came after stands where the whole log leads; an unfit state is passed over."""

import hashlib
import zlib
from dataclasses import fields

import msgspec
import pytest
from sqlalchemy import delete, func, select, update

from kilowait.cluster.advance import replay
from kilowait.cluster.events import JobPostponed
from kilowait.cluster.saved_cluster import SavedCluster
from kilowait.cluster.state import Cluster
from kilowait.core.errors import StoreError
from kilowait.core.maintenance import Maintenance
from kilowait.core.over_time.signals import Signal
from kilowait.core.quotas import Quota
from kilowait.core.submission import Ending, Retry
from kilowait.core.tasks.array_request import ArrayRequest, TaskAsked
from kilowait.history import saved_states
from kilowait.history.queries import decoded, events_after
from kilowait.history.saved_states import PIECES, STATES, events_since
from kilowait.history.schema import EVENTS
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.live.mirror import Mirror
from kilowait.live.recovery import recovered
from kilowait.live.saving import LAYOUT, SavedView, save, saved_mirror
from kilowait.measure.step_clock import StepClock
from kilowait.policies.sjf import sjf
from tests.support.live_world import request, seen
from tests.support.whole_cluster import everything, plain

ORDER = ("A", "B")
WELL = Ending(exit_code=0)


def saved(store, order=ORDER):
    return save(store, "sjf", {}, order, 1e6)


def begun(url):
    """A scheduler with a job in every state of a job, on nodes in every state of a node."""
    live = Controller(Store(url), sjf(), order=ORDER)
    live.node_joined("n1", "A", 4, 1.0, memory_bytes=80 * 10**9)
    live.node_joined("n2", "A", 2, 1.0)
    live.node_joined("n3", "B", 1, 1.0)
    live.gpus_held("n1", "A", 1, 2.0)
    kinds = [{"gpu_milli": 300}, {}, {"gpus": 2, "one_node": True}, {}, {"user": None}, {}, {}, {"gpus": 3}]
    for number, kind in enumerate(kinds):
        live.submit(request(f"k{number}", content_hash="h", retry=Retry(max_attempts=2), **kind), 3.0)
    live.submit(request("on B alone", predictions=seen(B=(15, 1)), retry=Retry(max_attempts=2)), 11.0)
    first, second, third, *_ = live.decide(12.0)
    for attempt in (first, second, third):
        live.attempt_started(attempt.job_id, 1, attempt.token, 13.0)
    clock = StepClock()
    for step in range(50):
        clock.write(f"step {step + 1}/200\n".encode(), step + 1.0)
    assert live.progressed(third.job_id, 1, third.token, clock.record(), 63.0)
    live.attempt_finished(first.job_id, 1, first.token, WELL, 64.0)
    live.attempt_finished(second.job_id, 1, second.token, Ending(exit_code=1, reason="lost", lost=True), 65.0)
    live.node_drained("n2", 66.0)
    live.node_lost("n3", "gone", 67.0)
    live.predicted(next(iter(live.cluster.waiting)), seen(A=(3, 1), B=(30, 2)), None, 68.0)
    live.cancel(live.submit(request("unwanted"), 69.0), 70.0)
    alike = {"arguments": (), "environment": {}, "predictions": seen(A=(10, 1)), "content_hash": "h"}
    tasks = tuple(TaskAsked(task=n, **alike) for n in range(3))
    live.submit_array(ArrayRequest(request=request("array", predictions=seen(A=(10, 1))), tasks=tasks, at_once=1), 70.0)
    carbon = Signal(name="carbon", times_s=(0.0, 3600.0), values=(300.0, 200.5), ends_s=7200.0)
    live.signal_reported(carbon, 70.5)
    live.ordered(Maintenance(node="n1", begins_s=1e6, ends_s=2e6, reason="fans"), 70.6)
    live.ordered(Quota(name="vision", members=("ada",), kwh=1e6), 70.6)
    live.decide(71.0)
    cluster = live.cluster
    held = {"until_s": 500.0, "gpu_type": "A", "amounts": {"carbon": (3.0, 2.0)}}
    live._happened(JobPostponed(time_s=71.5, job_id=next(iter(cluster.waiting)), **held))
    for kind in (
        "waiting",
        "stranded",
        "active",
        "over",
        "boards",
        "anchors",
        "withdrawn",
        "held",
        "_special",
        "signals",
        "kept",
        "quotas",
        "maintenance",
        "lines",
    ):
        assert getattr(cluster, kind), f"nothing is {kind}: this world shows too little"
    return live


def go_on(live):
    live.node_undrained("n2", 81.0)
    live.node_joined("n4", "B", 2, 82.0)
    for attempt in live.all_running():
        live.attempt_finished(attempt.job_id, attempt.attempt, attempt.token, WELL, 83.0)
    live.submit(request("later", gpus=2), 84.0)
    live.decide(85.0)


def whole(store):
    return everything(replay((event for _, event in store.events()), ORDER))


def mirrored(store, mirror):
    for raw in events_after(store, mirror.seq, 1000):
        mirror.take(raw[0], decoded(raw))
    return {**vars(mirror), "cluster": everything(mirror.cluster), "choices": plain(mirror.choices)}


def break_the_first_event(store):
    """From now on a replay of the whole log fails: what stands did not come from one."""
    store.change(update(EVENTS).where(EVENTS.c.seq == 1).values(payload="{"))


def test_saved_state_and_tail_lead_to_where_the_whole_log_leads(database):
    live = begun(database)
    tokens = {attempt.job_id: attempt.token for attempt in live.all_running()}
    seq = saved(live.store)
    assert recovered(live.store, ORDER)[1:] == (seq, tokens)
    assert everything(recovered(live.store, ORDER).cluster) == whole(live.store)
    go_on(live)
    expected, after = whole(live.store), Store(database)
    expected_mirror = mirrored(after, Mirror("sjf", {}, ORDER))
    break_the_first_event(after)
    found = recovered(after, ORDER)
    assert everything(found.cluster) == expected
    assert found.seq > seq
    assert found.tokens == {attempt.job_id: attempt.token for attempt in live.all_running()}
    assert mirrored(after, saved_mirror(after, "sjf", {}, ORDER)) == expected_mirror
    assert saved(after) == found.seq  # from the state before
    assert everything(recovered(after, ORDER).cluster) == expected
    with pytest.raises(StoreError):
        list(after.events())


def test_only_the_newest_states_are_kept_and_what_came_since_is_counted(database, monkeypatch):
    live = begun(database)
    store = live.store
    assert events_since(store, LAYOUT) == len(list(store.events()))
    seqs = [saved(store), saved(store)]
    assert seqs[0] == seqs[1]
    for number in range(3):
        live.submit(request(f"more {number}"), 90.0 + number)
        assert events_since(store, LAYOUT) == 1
        seqs.append(saved(store))
    assert events_since(store, LAYOUT) == 0
    assert [row.seq for row in store.rows(select(STATES.c.seq).order_by(STATES.c.seq))] == seqs[-2:]
    assert {row.seq for row in store.rows(select(PIECES.c.seq))} == set(seqs[-2:])


def put(table, **values):
    return lambda store: store.change(update(table).values(**values))


UNFIT = {
    "damaged": put(PIECES, data=b"other bytes"),
    "of another release": put(STATES, layout="0.0.1-0123"),
    "of another log": put(EVENTS, payload=func.replace(EVENTS.c.payload, "{", "{ ")),
    "with unreadable checksums": put(STATES, hashes="{"),
    "never finished": lambda store: store.change(delete(STATES)),
    "without a piece": lambda store: store.change(delete(PIECES).where(PIECES.c.part == "scheduler")),
    "not what the layout says": lambda store: put(STATES, hashes=_hashes_of_nothing(store))(store),
}


def _hashes_of_nothing(store):
    """Let every part be well kept, and be nothing."""
    data = zlib.compress(b"\xc0")
    put(PIECES, data=data)(store)
    return msgspec.json.encode(dict.fromkeys(("scheduler", "view"), hashlib.sha256(data).hexdigest())).decode()


@pytest.mark.parametrize("what", UNFIT)
def test_an_unfit_state_is_passed_over_and_the_log_replayed(what, tmp_path, closed):
    live = begun(f"{tmp_path}/k.db")
    saved(live.store)
    UNFIT[what](live.store)
    assert everything(recovered(live.store, ORDER).cluster) == whole(live.store)
    assert saved_mirror(live.store, "sjf", {}, ORDER).seq == 0
    seq = saved(live.store)
    assert events_since(live.store, LAYOUT) == 0
    break_the_first_event(live.store)
    assert recovered(live.store, ORDER).seq == seq


def test_a_state_of_other_gpu_types_is_passed_over(tmp_path, closed):
    live = begun(f"{tmp_path}/k.db")
    saved(live.store, ("B", "A"))
    assert everything(recovered(live.store, ORDER).cluster) == whole(live.store)


def test_the_scheduler_goes_on_between_the_pieces_of_a_state(database, monkeypatch):
    live = begun(database)
    expected = whole(live.store)
    monkeypatch.setattr(saved_states, "PIECE_BYTES", 200)
    other, change = Store(database), Store.change

    def change_and_submit(store, statement):
        change(store, statement)
        if store is other:
            live.submit(request(), 100.0)

    monkeypatch.setattr(Store, "change", change_and_submit)
    seq = saved(other)
    pieces = len(other.rows(select(PIECES.c.number)))
    assert pieces > 4
    assert len(list(other.events(seq))) > pieces
    monkeypatch.undo()
    live.store.change(delete(EVENTS).where(EVENTS.c.seq > seq))
    assert everything(recovered(other, ORDER).cluster) == expected


def test_a_state_whose_writer_was_killed_does_not_count_and_is_written_anew(tmp_path, closed, monkeypatch):
    live = begun(f"{tmp_path}/k.db")
    seq = saved(live.store)
    live.submit(request(), 100.0)
    change = Store.change

    def killed_at_the_end(store, statement):
        assert not (statement.is_insert and statement.table is STATES), "killed"
        change(store, statement)

    monkeypatch.setattr(Store, "change", killed_at_the_end)
    with pytest.raises(AssertionError, match="killed"):
        saved(live.store)
    monkeypatch.setattr(Store, "change", change)
    assert live.store.rows(select(PIECES.c.seq).where(PIECES.c.seq == seq + 1))
    assert events_since(live.store, LAYOUT) == 1
    assert saved(live.store) == seq + 1
    assert events_since(live.store, LAYOUT) == 0
    assert everything(recovered(live.store, ORDER).cluster) == whole(live.store)


def test_nothing_that_a_cluster_or_a_mirror_holds_is_left_out():
    """Whoever gives one of them something new to hold learns here that it must be saved, too."""
    rebuilt, by_place = {"rankings", "ends", "by_area", "lent"}, {"queue", "places"}
    held = {part.name.lstrip("_") for part in fields(Cluster)} - {"lines"} | {"in_turn", "behind", "pending"}
    assert held == set(SavedCluster.__struct_fields__) | rebuilt | by_place
    counts = {"submitted", "finished", "failed", "cancelled", "placed"}
    seen = set(SavedView.__struct_fields__) - {"counts"} | counts
    assert set(vars(Mirror("sjf", {}, ORDER))) == seen | {"policy", "options", "seq", "cluster"}
