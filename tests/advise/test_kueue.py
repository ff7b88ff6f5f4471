"""Kueue's queues run on: objects as its API has them, and kubectl played by a script. No API server was at hand."""

import json
from datetime import UTC, datetime

import pytest

from kilowait.advise.kubernetes.kueue_outlook import expected_admissions
from kilowait.advise.kubernetes.kueue_queue import ask_kueue, read_kueue
from kilowait.cli.main import main

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
NOW_S = NOW.timestamp()
LABELS = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB"}
FLAVORS = [
    {"kind": "ResourceFlavor", "metadata": {"name": "big"}, "spec": {"nodeLabels": LABELS}},
    {"kind": "ResourceFlavor", "metadata": {"name": "a6000"}, "spec": {}},
]
LOCAL = {"kind": "LocalQueue", "metadata": {"namespace": "ml", "name": "users"}, "spec": {"clusterQueue": "all"}}


KUBECTL = """#!/bin/sh
echo "$@" >> {0}/asked
case "$*" in
    "get job.v1.batch "*) cat {0}/jobs.json ;;
    *" job-gone "*) echo 'Error from server (NotFound): workloads "job-gone" not found' >&2; exit 1 ;;
    get*) cat {0}/kueue.json ;;
esac
"""


def queue(strategy="BestEffortFIFO", **quotas):
    flavors = [
        {
            "name": name,
            "resources": [{"name": "cpu", "nominalQuota": 9}, {"name": "nvidia.com/gpu", "nominalQuota": gpus}],
        }
        for name, gpus in (quotas or {"big": 4}).items()
    ]
    groups = [{"coveredResources": ["cpu", "nvidia.com/gpu"], "flavors": flavors}]
    spec = {"queueingStrategy": strategy, "resourceGroups": groups}
    return {"kind": "ClusterQueue", "metadata": {"name": "all"}, "spec": spec}


def workload(name, gpus, *, since=None, seconds=None, minute=0, flavor="big", limit_s=None, **spec):
    """Of a Job `name` with a prediction of so many seconds on an A100, admitted `since` minutes ago."""
    container = {"resources": {"requests": {"nvidia.com/gpu": str(gpus)}}}
    pods = [{"name": "main", "count": 1, "template": {"spec": {"containers": [container]}}}]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": f"uid-{name}"}
    status = {}
    if since is not None:
        moment = f"2026-11-30T11:{60 - since:02}:00Z"
        status = {
            "conditions": [{"type": "QuotaReserved", "status": "True", "lastTransitionTime": moment}],
            "admission": {"clusterQueue": "all", "podSetAssignments": [{"flavors": {"nvidia.com/gpu": flavor}}]},
        }
    metadata = {"namespace": "ml", "name": f"job-{name}", "creationTimestamp": f"2026-11-30T10:{minute:02}:00Z"}
    spec = {"queueName": "users", "podSets": pods, "maximumExecutionTimeSeconds": limit_s, **spec}
    one = {"kind": "Workload", "metadata": {**metadata, "ownerReferences": [owner]}, "spec": spec, "status": status}
    annotations = {}
    if seconds:
        row = {"seconds": seconds, "seconds_low": seconds * 0.999, "seconds_high": seconds * 1.001}
        annotations = {"kilowait/flavors": json.dumps({"A100": row})}
    return [one, {"kind": "Job", "metadata": {"name": name, "uid": owner["uid"], "annotations": annotations}}]


def admissions(*workloads, of=None):
    queues, found = read_kueue([*FLAVORS, LOCAL, of or queue(), *(each for pair in workloads for each in pair)])
    waits = expected_admissions(queues, found, NOW_S)
    return {key.removeprefix("ml/job-"): None if wait is None else wait.wait_s for key, wait in waits.items()}


RUNNING = workload("running", 3, since=10, seconds=1800)


def test_a_workload_is_admitted_when_what_holds_the_quota_ends():
    waits = admissions(RUNNING, workload("next", 2, seconds=600, minute=1), workload("last", 4, seconds=60, minute=2))
    assert waits["next"] == pytest.approx(1200, abs=5)  # 30 minutes, ten of them over
    assert waits["last"] == pytest.approx(1800, abs=10)


@pytest.mark.parametrize(("strategy", "wait_s"), [("BestEffortFIFO", 0), ("StrictFIFO", 1200)])
def test_who_fits_goes_before_who_does_not_unless_the_queue_is_strict(strategy, wait_s):
    work = [RUNNING, workload("wide", 2, seconds=60, minute=1), workload("small", 1, seconds=60, minute=2)]
    assert admissions(*work, of=queue(strategy))["small"] == pytest.approx(wait_s, abs=5)


@pytest.mark.parametrize(
    "annotation",
    ["[" * 100_000, '{"A100": {"seconds": 1%s}}' % ("0" * 400), '{"A100": {"seconds": 9, "seconds_high": "x"}}'],
)
def test_somebody_else_s_annotation_is_no_prediction_and_ends_nothing(annotation):
    odd = workload("odd", 3, since=10, limit_s=3600, seconds=1)
    odd[1]["metadata"]["annotations"]["kilowait/flavors"] = annotation
    assert 0 <= admissions(odd, workload("behind", 2, seconds=60))["behind"] <= 3000


def test_priorities_go_first_and_flavors_in_their_order():
    work = [RUNNING, workload("a", 1, seconds=900, minute=1), workload("b", 1, seconds=900, minute=2, priority=5)]
    assert admissions(*work) == {"a": pytest.approx(900, abs=5), "b": 0}
    (found,), _ = read_kueue([*FLAVORS, LOCAL, queue(a6000=2, big=4)])
    assert list(found.types.items()) == [("a6000", "A6000"), ("big", "A100")]  # by its name, by its nodes' label


def test_what_cannot_be_expected_has_no_time():
    endless = workload("endless", 3, since=10)
    work = [
        endless,
        workload("behind", 2, seconds=60),
        workload("fits", 1, seconds=60),
        workload("huge", 9, seconds=60),
    ]
    assert admissions(*work) == {"behind": None, "fits": 0, "huge": None}
    limited = workload("limited", 3, since=10, limit_s=3600)
    assert 0 < admissions(limited, workload("behind", 2, seconds=60))["behind"] <= 3000
    inactive = workload("inactive", 1, active=False)
    done = workload("done", 1)
    done[0]["status"] = {"conditions": [{"type": "Finished", "status": "True"}]}
    assert admissions(inactive, done) == {}


def test_owners_are_asked_for_by_kind_version_and_group_of_which_a_pod_has_none():
    asked, (alone, _) = [], workload("alone", 1)
    alone["metadata"]["ownerReferences"][0] |= {"apiVersion": "v1", "kind": "Pod"}

    def kubectl(words):
        asked.append(words[words.index("get") + 1])
        return json.dumps({"items": [] if len(asked) > 1 else [*FLAVORS, LOCAL, queue(), RUNNING[0], alone]})

    ask_kueue(kubectl)
    assert asked[1:] == ["job.v1.batch", "pod.v1."]  # kubectl takes pod.v1 for a group v1, and refuses it


def test_where_there_is_no_kubectl_that_is_said_and_nothing_of_slurm(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["advise", "--kueue"]) == 1
    said = capsys.readouterr().err
    assert "kubectl: not on this machine" in said
    assert "Slurm" not in said


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Have kubectl answer with these workloads, and write what it is asked into `asked`."""

    def played(*workloads):
        objects = [*FLAVORS, LOCAL, queue(), *(each for pair in workloads for each in pair)]
        for name, part in (("jobs", ["Job"]), ("kueue", {one["kind"] for one in objects} - {"Job"})):
            found = [one for one in objects if one["kind"] in part]
            (tmp_path / f"{name}.json").write_text(json.dumps({"items": found}))

    (tmp_path / "kubectl").write_text(KUBECTL.format(tmp_path))
    (tmp_path / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return played


def test_a_workload_that_has_gone_meanwhile_keeps_no_other_from_its_annotation(play, tmp_path, capsys):
    play(RUNNING, workload("gone", 2, minute=1), workload("next", 2, minute=2))
    assert main(["advise", "--kueue", "--annotate"]) == 1
    printed = capsys.readouterr()
    assert "ml/job-next" in printed.out
    assert '"job-gone" not found' in printed.err
    *_, annotated = (tmp_path / "asked").read_text().splitlines()
    assert " job-next " in annotated


def test_kubectl_is_asked_and_metrics_and_annotations_are_written(play, tmp_path, capsys):
    play(RUNNING, workload("next", 2, seconds=600))
    assert main(["advise", "--kueue", "--annotate", "--metrics", str(tmp_path / "out.prom")]) == 0
    said = capsys.readouterr().out
    assert "all: 3 of 4 GPUs of big held" in said
    assert "ml/job-next" in said
    labels = 'namespace="ml",workload="job-next",cluster_queue="all"'
    assert f"kilowait_kueue_expected_admission_timestamp_seconds{{{labels}}} " in (tmp_path / "out.prom").read_text()
    *_, annotated = (tmp_path / "asked").read_text().splitlines()
    assert annotated.startswith(
        "annotate workloads.kueue.x-k8s.io job-next --namespace=ml --overwrite kilowait/expected-"
    )


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--kueue", "--apply"], "--apply"),
        (["--kueue", "--mine", "--gpus=4", "--json"], "--mine, --gpus"),
        (["--kueue", "--nodes=2", "--time=5", "--risk=0.1"], "--nodes, --time, --risk"),
        (["--kueue", "--shortest-first", "--rest=unix:/x"], "--shortest-first, --rest"),
        (["--slurm", "--annotate", "--metrics=out.prom"], "--metrics, --annotate"),
    ],
)
def test_an_option_of_the_other_is_refused_rather_than_left_undone(words, named, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["advise", *words]) == 2
    other = "slurm" if words[0] == "--kueue" else "kueue"
    assert f"{named}: only with --{other}; leave it out" in capsys.readouterr().err
