"""The durable history on SQLite and on a PostgreSQL server that the test starts: what is written is read back."""

import pytest

from kilowait.cluster.advance import replay
from kilowait.cluster.events import (
    AttemptFailed,
    AttemptFinished,
    GpusHeld,
    GpusJoined,
    JobCancelled,
    JobFailed,
    JobPlaced,
    JobPostponed,
    JobPreempted,
    JobSubmitted,
    NodeDrained,
    NodeLost,
    NodeUndrained,
    SignalReported,
)
from kilowait.core.errors import InputError, StoreError, Superseded
from kilowait.core.jobs import Held, Job, Measurement, Prediction, Provenance
from kilowait.core.over_time.signals import Signal
from kilowait.core.submission import Ending, Log
from kilowait.history.job_filter import JobFilter
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from tests.support.live_world import request, seen

WELL = Ending(exit_code=0)


def controller(url):
    return Controller(Store(url), simple(), order=("A", "B"))


EVENTS = [
    GpusJoined(time_s=0.125, node="n1", gpu_type="A", gpus=4, memory_bytes=80 * 10**9),
    GpusHeld(time_s=1.0, node="n1", gpu_type="A", gpus=1),
    JobSubmitted(
        time_s=1.7e9 + 1 / 3,
        job=Job(
            job_id="j",
            submit_s=0.1,
            gpus=2,
            gpus_by_type={"A": 3},
            allowed=frozenset({"A", "B"}),
            memory_bytes=2**40,
            one_node=True,
            user="Ada Łovelace ☃",
            priority=-1,
            checkpoint_s=2.5,
        ),
        predictions={
            "A": Prediction(
                runtime_s=0.1 + 0.2,
                energy_kwh=0.0,
                runtime_low_s=1e-9,
                runtime_high_s=1e300,
                probe_version="p",
                features="f",
                other={"x": -1.5},
            )
        },
    ),
    JobPlaced(
        time_s=2.0,
        job_id="j",
        attempt=1,
        gpu_type="A",
        gpus=3,
        where=(Held(node="n1", gpus=3), Held(node="n", board=7)),
    ),
    JobPostponed(time_s=2.5, job_id="j", until_s=0.1 + 0.2, gpu_type="A", amounts={"carbon": (1 / 3, 0.0)}),
    JobPreempted(time_s=3.0, job_id="j", attempt=1, remaining=1 / 3),
    AttemptFailed(time_s=4.0, job_id="j", attempt=2, reason="quote ' \" and \\u0000"),
    AttemptFinished(time_s=5.0, job_id="j", attempt=3),
    JobCancelled(time_s=6.0, job_id="k"),
    JobFailed(time_s=7.0, job_id="l", reason=""),
    NodeDrained(time_s=8.0, node="n1"),
    NodeUndrained(time_s=8.5, node="n1"),
    NodeLost(time_s=9.0, node="n1"),
    SignalReported(
        time_s=10.0,
        signal=Signal(
            name="carbon", times_s=(0.1, 3600.0), values=(1 / 3, 0.0), ends_s=7200.0, period_s=3600.0, issued_s=0.0
        ),
    ),
]


def test_every_kind_of_event_is_read_back_as_it_was(database):
    store = Store(database)
    assert store.take_over() == 0
    with store.writing(0) as writing:
        assert [writing.append(event) for event in EVENTS] == list(range(1, len(EVENTS) + 1))
    store.close()
    assert list(Store(database).events()) == list(enumerate(EVENTS, start=1))


def test_a_transaction_is_kept_whole_or_not_at_all(database):
    store = Store(database)
    store.take_over()

    def write_and_fail():
        with store.writing(0) as writing:
            writing.append(EVENTS[0])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert list(Store(database).events()) == []
    with store.writing(0) as writing:
        writing.append(EVENTS[0])
    assert [seq for seq, _ in Store(database).events()] == [1]


def test_the_tables_say_what_the_events_say(database):
    live = controller(database)
    live.node_joined("n1", "A", 2, 0.0)
    job_id = live.submit(request("k", labels={"team": "x"}), 1.0)
    (attempt,) = live.decide(2.0)
    measured = Measurement(
        job_id=job_id,
        attempt=1,
        gpu_type="A",
        runtime_s=1.5,
        energy_j=2.5,
        runtime_provenance=Provenance.MEASURED,
        energy_provenance=Provenance.ESTIMATED,
    )
    log = Log(rank=0, first_byte=2**40, data=b"\0\xff log")
    ending = Ending(exit_code=0, measurement=measured, meter="m", gpu_ids=("GPU-1",), logs=(log,))
    live.attempt_finished(job_id, 1, attempt.token, ending, 3.0)
    after = Store(database)
    row = after.job(job_id)
    assert (row["owner"], row["state"], row["submitted_s"], row["ended_s"]) == ("ada", "finished", 1.0, 3.0)
    (tried,) = after.attempts(job_id)
    assert (tried["token"], tried["gpu_type"], tried["placed_s"], tried["energy_j"]) == (3, "A", 2.0, 2.5)
    assert (tried["gpu_ids"], tried["places"]) == (
        '["GPU-1"]',
        '[{"board":null,"gpus":2,"node":"n1"}]'.replace("2", "1"),
    )
    assert (after.log(job_id, 1), after.log(job_id, 2)) == (log, None)
    assert after.program(job_id).files == {"main.py": "pass"}
    assert (after.job("ghost"), after.attempts("ghost")) == (None, [])
    with pytest.raises(StoreError, match="no job ghost"):
        after.program("ghost")


def test_jobs_are_listed_in_pages_by_owner_and_state(database):
    live = controller(database)
    live.node_joined("n1", "A", 1, 0.0)
    mine = [live.submit(request(), 1.0) for _ in range(5)]
    other = live.submit(request(user="bob"), 1.0)
    live.decide(1.0)
    store = Store(database)

    def listed(*chosen, **how):
        return [row["job_id"] for row in store.jobs(*chosen, **how)]

    adas = JobFilter(owner="ada")
    assert listed(adas, limit=3) == mine[:3]
    assert listed(adas, after=mine[2]) == mine[3:]
    assert (listed(JobFilter(owner="bob")), listed(JobFilter(states=("running",)))) == ([other], mine[:1])


ODD = {'te"am': 'b",x', "note": '\\"team":"vision"', "100%": "a_b"}


@pytest.mark.parametrize(
    ("how", "meant"),
    [
        ({"labels": {"team": "vision"}}, [0]),
        ({"labels": {"team": "Vision"}}, [1]),  # upper and lower case are different
        ({"labels": {"team": "visio"}}, []),
        ({"labels": {"vision": "team"}}, []),
        ({"labels": {"team": "vision", "lr": "1"}}, [0]),
        ({"labels": {"team": "vision", "lr": "2"}}, []),
        *(({"labels": {name: text}}, [2]) for name, text in ODD.items()),
        ({"labels": {"am": 'b",x'}}, []),
        ({"labels": {"100%": "aXb"}}, []),
        ({"name": "sweep-1"}, [0]),
        ({"name": "sweep-*"}, [0, 1]),
        ({"name": "sweep"}, []),
        ({"name": "*"}, [0, 1]),
        ({"since_s": 2.0}, [1, 2]),
        ({"until_s": 2.0}, [0]),
        ({"since_s": 2.0, "until_s": 3.0, "owner": "ada", "states": ("waiting", "running")}, [1]),
        ({"states": ("finished",)}, []),
    ],
)
def test_jobs_are_found_by_labels_names_and_time(database, how, meant):
    live = controller(database)
    live.node_joined("n1", "A", 1, 0.0)
    labels = [
        {"team": "vision", "lr": "1", "kilowait/name": "sweep-1"},
        {"team": "Vision", "kilowait/name": "sweep-2"},
        ODD,
    ]
    jobs = [live.submit(request(labels=label), float(n)) for n, label in enumerate(labels, 1)]
    assert [row["job_id"] for row in Store(database).jobs(JobFilter(**how))] == [jobs[n] for n in meant]


def test_a_name_that_a_database_cannot_look_up_is_a_mistake_and_no_outage(database):
    store = Store(database)
    if database.startswith("postgresql"):
        with pytest.raises(InputError, match="cannot be looked up"):
            store.job("job\0")
    else:
        assert store.job("job\0") is None
    assert store.job("job") is None


def test_a_controller_takes_over_and_the_tables_agree_with_a_replay(database):
    live = controller(database)
    live.node_joined("n1", "A", 2, 0.0)
    for n in range(4):
        live.submit(request(f"k{n}"), float(n))
    first, second = live.decide(5.0)
    live.attempt_finished(first.job_id, 1, first.token, WELL, 6.0)
    after = controller(database)
    assert after.cluster.snapshot() == live.cluster.snapshot()
    with pytest.raises(Superseded, match="another scheduler"):
        live.cancel(second.job_id, 7.0)
    assert replay((e for _, e in after.store.events()), ("A", "B")).snapshot() == after.cluster.snapshot()
    assert after.submit(request("k0"), 8.0) == first.job_id


def test_predictions_are_kept_as_they_were_seen(database):
    live = controller(database)
    live.node_joined("n1", "A", 1, 0.0)
    asked = seen(A=(1 / 3, 2 / 7), Z=(5, 5))
    live.submit(request(predictions=asked), 1.0)
    submitted = [event for _, event in Store(database).events()][-1]
    assert submitted.predictions == asked
