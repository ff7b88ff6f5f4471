"""Slurm's queue in kilowait's state machine."""

import dataclasses
import json
import math
import time

import pytest

from kilowait.advise.slurm.changes.applied_changes import apply_changes, of_one_run
from kilowait.advise.slurm.changes.exchanged_places import exchanged_places
from kilowait.advise.slurm.changes.lowered_limits import lowered_limits
from kilowait.advise.slurm.partitions import read_partitions
from kilowait.advise.slurm.queue_cluster import queue_cluster
from kilowait.advise.slurm.queue_outlook import NewJob, expected_waits, limit_risks, new_job_waits
from kilowait.advise.slurm.slurm_queue import COLUMNS, SEPARATOR, expanded, read_queue
from kilowait.advise.slurm.slurm_time import local_time
from kilowait.core.errors import ServiceError

SINFO = """\
a0|main*|2:00:00|1:00:00|mixed|gpu:a100:2|fast
a1|main*|2:00:00|1:00:00|mixed|gpu:a100:2|fast
b0|main*|2:00:00|1:00:00|idle|gpu:a6000:2|big
a0|long|2-00:00:00|n/a|idle|gpu:a100:2|fast
"""
PLAIN = dict.fromkeys(COLUMNS, "N/A") | {"UserName": "me", "Partition": "main", "NumNodes": "1", "NumTasks": "1"}


def row(job_id, state="PENDING", limit="10:00", **more):
    """A line of squeue's."""
    names = {name.replace("-", "_"): name for name in COLUMNS}
    given = {"JobArrayID": job_id, "State": state, "TimeLimit": limit, "TimeUsed": "0:00", "PriorityLong": "1"}
    given |= {names[name]: value for name, value in more.items()}
    return SEPARATOR.join({**PLAIN, **given}[column] for column in COLUMNS)


def queue(*rows):
    return queue_cluster(read_partitions(SINFO).values(), read_queue("\n".join(rows)))


def running(job_id, gpus, node, **more):
    return row(job_id, "RUNNING", tres_per_job=f"gres:gpu:{gpus}", NodeList=node, **more)


@pytest.mark.parametrize(
    ("hosts", "names"),
    [
        ("", []), ("a0", ["a0"]), ("a[0-2,7],b1", ["a0", "a1", "a2", "a7", "b1"]),
        ("n[008-010]", ["n008", "n009", "n010"]), ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
    ],
)  # fmt: skip
def test_lists_of_hosts(hosts, names):
    assert expanded(hosts) == names


def test_gpus_are_counted_by_job_node_and_task():
    rows = [
        row("1", tres_per_job="gres:gpu:a100:3"),
        row("2", tres_per_node="gres:gpu:2", NumNodes="2"),
        row("3", tres_per_task="gres/gpu:a6000=1", NumTasks="4"),
        row("4_7", tres_per_node="gres:gpu", Feature="fast|big", Comment="a,b|c"),
        row("5"),
    ]
    jobs = read_queue("\n".join(rows))
    assert [(job.gpus, job.gpu_word) for job in jobs] == [(3, "a100"), (4, ""), (4, "a6000"), (1, ""), (0, "")]
    assert (jobs[3].job_id, jobs[3].constraint, jobs[3].comment) == ("4_7", "fast|big", "a,b|c")


def test_pools_are_told_apart_by_the_partitions_that_lead_to_them():
    found = queue()
    assert {name: dict(pool.nodes) for name, pool in found.pools.items()} == {
        "A100 in long+main": {"a0": 2}, "A100 in main": {"a1": 2}, "A6000": {"b0": 2},
    }  # fmt: skip
    assert found.allowed(["long"], "", "") == {"A100 in long+main"}
    assert found.allowed(["main"], "a100", "") == {"A100 in long+main", "A100 in main"}
    assert found.allowed(["main"], "", "big") == {"A6000"}


def test_a_job_waits_until_the_one_before_it_ends_and_none_takes_longer_than_its_limit():
    comment = "kilowait:0123456789abcdef;gpus=2;A6000=300,299,301"
    found = queue(
        running("1", "a6000:2", "b0", TimeUsed="1:00", Comment=comment),
        row("2", tres_per_job="gres:gpu:a6000:2", limit="2:00", PriorityLong="5", Comment=comment),
        row("3", tres_per_job="gres:gpu:a6000:2", PriorityLong="9"),
        row("4", Reason="JobHeldUser", tres_per_job="gres:gpu:a6000:2"),
    )
    waits = expected_waits(found)
    assert waits["3"].wait_s == pytest.approx(240, abs=2)  # of 300 s one minute is over
    assert waits["2"].low_s > 240
    assert waits["2"].high_s <= 246 + 600  # the limit of the job before it
    assert found.left_out == {"4": "waits for something else: JobHeldUser"}
    assert found.cluster.free["A6000"] == 0


def test_a_short_job_is_let_in_before_a_wide_one_where_it_delays_nothing():
    found = queue(
        running("1", "a100:2", "a1", limit="60:00"),
        row("2", tres_per_job="gres:gpu:a100:4", NumNodes="2", PriorityLong="9"),
    )
    waits = new_job_waits(found, NewJob(gpus=2, nodes=1, allowed=frozenset(["A100 in long+main"]), limit_s=300))
    assert waits["A100 in long+main"].wait_s == 0
    late = new_job_waits(found, NewJob(gpus=2, nodes=1, allowed=frozenset(["A6000"]), limit_s=math.inf))
    assert late["A6000"].wait_s == 0
    assert new_job_waits(found, NewJob(gpus=3, nodes=1, allowed=frozenset(["A6000"]), limit_s=60)) == {}


def test_a_queue_that_is_too_long_to_be_run_on_in_time_gives_no_waits():
    rows = [row(str(job), tres_per_job="gres:gpu:2", limit="60:00", PriorityLong="9") for job in range(400)]
    found = queue(*rows)
    new = NewJob(gpus=1, nodes=1, allowed=frozenset(found.pools), limit_s=600)
    began_s = time.monotonic()
    assert new_job_waits(found, new, within_s=0.05) == {}
    assert time.monotonic() - began_s < 2
    few = new_job_waits(queue(*rows[:20]), new, within_s=60.0)
    assert set(few) == set(found.pools)
    assert all(wait.low_s is not None for wait in few.values())


def test_which_running_jobs_hit_their_limit():
    comment = "kilowait:0123456789abcdef;gpus=1;A6000=600,300,1200"
    found = queue(
        running("1", "a6000:1", "b0", limit="10:00", Comment=comment),
        running("2", "a6000:1", "b0", limit="20:00", TimeUsed="1:00", Comment=comment),
        running("3", "a100:1", "a1", limit="1:00"),
    )
    risks = limit_risks(found)
    assert [(risk.job.job_id, round(risk.probability, 2)) for risk in risks] == [("1", 0.5), ("2", 0.05)]
    assert limit_risks(found, least=0.2) == [risk for risk in risks if risk.job.job_id == "1"]


PREDICTED = "kilowait:0123456789abcdef;gpus=1;A6000=600,300,1200;A100=300,200,400"
WAITING = {"tres_per_job": "gres:gpu:a6000:1", "Comment": PREDICTED}


@pytest.mark.parametrize(
    ("job", "limit_s"),
    [
        (row("1", limit="1:00:00", **WAITING), 1500),  # 1,200 s and five minutes
        (
            row("1", limit="1:00:00", **WAITING | {"tres_per_job": "gres:gpu:1"}),
            1500,
        ),  # its slowest type
        (row("1", limit="UNLIMITED", **WAITING), 1500),
        (
            row("1_7", limit="1:00:00", **WAITING | {"tres_per_job": "gres:gpu:a100:1"}),
            720,
        ),  # 400 s
        (row("1", limit="25:00", **WAITING), None),
        (row("1", limit="10:00", **WAITING), None),  # never raised
        (row("1", limit="1:00:00", **WAITING | {"UserName": "other"}), None),
        (row("1", limit="1:00:00", **WAITING | {"Reason": "JobHeldUser"}), None),
        (row("1", limit="1:00:00", **WAITING | {"Comment": "mine"}), None),
        (row("1", limit="1:00:00", **WAITING | {"Comment": "kilowait:0123456789abcdef;gpus=1;A6000=600"}), None),
        (row("1", limit="1:00:00", **WAITING | {"Comment": "kilowait:0123456789abcdef;gpus=1;A100=1,1,2"}), None),
        (running("1", "a6000:1", "b0", limit="1:00:00", Comment=PREDICTED), None),
    ],
)
def test_limits_are_lowered_to_what_was_predicted_and_nothing_else_is_touched(job, limit_s):
    lowered = lowered_limits(queue(job), "me", 0.05, 300.0)
    assert [change.limit_s for change in lowered] == ([] if limit_s is None else [pytest.approx(limit_s)])


@pytest.mark.parametrize("times", ["1e400,1,2", "5,-1,0", "5,0,1e400", "5,0,0", "5,6,7", "1e-320,1e-320,1e300"])
def test_no_comment_of_a_user_s_ends_the_look_at_the_queue(times):
    odd = {"tres_per_job": "gres:gpu:a6000:1", "Comment": f"kilowait:0123456789abcdef;gpus=1;A6000={times}"}
    active = running("2", "a6000:1", "b0", limit="1:00:00", Comment=odd["Comment"])
    found = queue(row("1", limit="1:00:00", **odd), active, row("3", limit="1:00:00", **WAITING))
    assert [change.job.job_id for change in lowered_limits(found, None, 0.05, 300.0)] == ["3"]
    assert expected_waits(found).keys() == {"1", "3"}
    assert limit_risks(found) == []


def test_each_change_is_logged_before_it_is_made_and_a_refusal_beside_it(tmp_path):
    log, asked = tmp_path / "state" / "applied.jsonl", []

    def slurm(words):
        asked.append((words, json.loads(log.read_text().splitlines()[-1])))
        if "JobId=2" in words:
            raise ServiceError("scontrol: Access/permission denied")

    rows = [row("1", limit="1:00:00", **WAITING), row("2", limit="UNLIMITED", **WAITING)]
    lowered = lowered_limits(queue(*rows), None, 0.05, 300.0)
    assert apply_changes(lowered, log, 7.0, slurm) == {"2": "scontrol: Access/permission denied"}
    assert [words for words, _ in asked] == [
        ["scontrol", "update", "JobId=1", "TimeLimit=25"],
        ["scontrol", "update", "JobId=2", "TimeLimit=25"],
    ]
    first, second = (record for _, record in asked)
    assert first == {
        "time_s": 7.0, "job_id": "1", "user": "me", "limit_before_s": 3600.0, "limit_s": 1500.0,
        "advice_id": "0123456789abcdef",
    }  # fmt: skip
    assert second["limit_before_s"] is None
    assert json.loads(log.read_text().splitlines()[-1]) == {**second, "refused": "scontrol: Access/permission denied"}


@pytest.mark.parametrize(
    ("reason", "may_start"),
    [
        ("Resources", True),
        ("Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions", True),
        ("ReqNodeNotAvail, UnavailableNodes:a1", True),
        ("Dependency", False),
        ("JobHeldAdmin", False),
    ],
)
def test_who_waits_for_his_turn_is_told_by_how_the_reason_begins(reason, may_start):
    assert read_queue(row("1", Reason=reason))[0].may_start is may_start


def a_while(seconds, gpu_type="A6000"):
    return f"kilowait:0123456789abcdef;gpus=1;{gpu_type}={seconds},{seconds},{seconds + 1}"


def test_jobs_of_one_user_that_ask_for_the_same_exchange_their_places_and_nobody_elses_moves():
    alike = {"tres_per_job": "gres:gpu:a6000:1"}
    rows = [
        row("1", PriorityLong="90", Nice="5", Comment=a_while(900), **alike),
        row("2", PriorityLong="80", Comment=a_while(300), **alike),
        row("3", PriorityLong="70", Comment=a_while(600), **alike),
        row("4", PriorityLong="60", Comment=a_while(100), tres_per_job="gres:gpu:a6000:2"),  # asks for more
        row("5", PriorityLong="50", Comment=a_while(100), UserName="other", **alike),
        row("6_1", PriorityLong="40", Comment=a_while(10), **alike),  # a task of an array
        row("7", PriorityLong="30", **alike),  # nobody predicted it
        row("8", PriorityLong="20", Comment=a_while(10), Reason="JobHeldUser", **alike),
    ]
    places = exchanged_places(queue(*rows), None)
    assert {place.job.job_id: place.nice for place in places} == {"2": -10, "3": -10, "1": 25}  # 90, 80, 70
    assert places[-1].job.job_id == "1"  # who moves down comes last
    assert exchanged_places(queue(*rows), "other") == []


def test_nobody_moves_down_where_slurm_lets_nobody_move_up(tmp_path):
    def slurm(words):
        asked.append(words[2:])
        raise ServiceError("scontrol: Access/permission denied")

    asked, alike = [], {"tres_per_job": "gres:gpu:a6000:1"}
    rows = [row(name, PriorityLong=name, Comment=a_while(int(name)), **alike) for name in ("10", "20")]
    refused = apply_changes(exchanged_places(queue(*rows), None), tmp_path / "log", 7.0, slurm)
    assert asked == [["JobId=10", "Nice=-10"]]
    assert refused == {"10": "scontrol: Access/permission denied", "20": "left, since job 10 was refused"}
    first, second = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert (first["nice_before"], first["nice"], second["refused"]) == (0, -10, refused["10"])


def test_one_run_exchanges_places_of_a_whole_form_or_of_none_and_of_a_hundred_jobs_at_most():
    def alike(first, count, user):
        return [
            row(str(n), PriorityLong=str(n), UserName=user, Comment=a_while(n), tres_per_job="gres:gpu:a6000:1")
            for n in range(first, first + count)
        ]

    many, some = alike(1000, 150, "me"), alike(2000, 4, "other")
    places = of_one_run(exchanged_places(queue(*many), None))
    assert {place.job.job_id for place in places} == {str(n) for n in range(1050, 1150)}  # whose turn is first
    assert sum(place.nice for place in places) == 0  # others have as much before them as they had
    few = of_one_run(exchanged_places(queue(*many, *some), None))
    assert {place.job.user for place in few} == {"other"}


def test_where_slurm_refuses_a_later_change_the_earlier_ones_of_its_form_are_taken_back(tmp_path):
    def slurm(words):
        asked.append(tuple(words[2:]))
        if words[2] == "JobId=20":
            raise ServiceError("scontrol: Invalid job id specified")

    asked, alike = [], {"tres_per_job": "gres:gpu:a6000:1", "Nice": "3"}
    rows = [row(name, PriorityLong=name, Comment=a_while(int(name)), **alike) for name in ("10", "20", "30", "40")]
    places = exchanged_places(queue(*rows), None)
    assert [(place.job.job_id, place.nice) for place in places] == [("10", -27), ("20", -7), ("30", 13), ("40", 33)]
    refused = apply_changes(places, tmp_path / "log", 7.0, slurm)
    assert asked == [("JobId=10", "Nice=-27"), ("JobId=20", "Nice=-7"), ("JobId=10", "Nice=3")]
    assert refused.keys() == {"10", "20", "30", "40"}
    last = json.loads((tmp_path / "log").read_text().splitlines()[-1])
    assert (last["job_id"], last["taken_back"]) == ("10", True)


def test_planned_starts_are_of_utc_and_shown_in_the_users_own_time(monkeypatch):
    planned, open_ = read_queue("\n".join([row("1", StartTime="2026-11-30T10:32:06"), row("2")]))
    assert (planned.slurm_start, open_.slurm_start) == ("2026-11-30T10:32:06Z", "")
    monkeypatch.setenv("TZ", "EAT-3")  # three hours east, as POSIX writes it
    time.tzset()
    try:
        assert local_time(planned.slurm_start) == "2026-11-30T13:32:06"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_jobs_are_those_of_the_queue():
    (job,) = read_queue(row("1", tres_per_job="gres:gpu:1", limit="UNLIMITED"))
    assert dataclasses.replace(job, limit_s=0.0).limit_s == 0
    assert math.isinf(job.limit_s)
    assert not job.runs
    assert job.may_start
