"""What is added to a submission, and what is left alone."""

import pytest

from kilowait.advise.slurm.batch_request import read_words, with_script
from kilowait.advise.slurm.partitions import meant, read_partitions
from kilowait.advise.slurm.submission_plan import PlanSettings, boards_of, plan
from tests.support.advised import advised, on_type

SINFO = """\
a0|main*|2:00:00|1:00:00|idle|gpu:a100:2(S:0-1)|(null)
b0|main*|2:00:00|1:00:00|mixed-|gpu:a6000:2|big
a0|long|2-00:00:00|n/a|idle|gpu:a100:2(S:0-1)|(null)
c0|odd|infinite|n/a|idle~|gpu:4|a6000,ib
d0|odd|infinite|n/a|drained*|gpu:h100:8|(null)
"""
PARTITIONS = read_partitions(SINFO)


def planned(*words, advice=None, text="", environment=None, **settings):
    request = with_script(read_words("sbatch", words, environment or {}), text)
    partitions = meant(PARTITIONS, request.value("partition"))
    return plan(request, advice or advised(), partitions, PlanSettings(**settings))


def added(found):
    return {addition.word.partition("=")[0]: addition.word.partition("=")[2] for addition in found.additions}


def test_sinfo_is_read():
    assert [name for name, partition in PARTITIONS.items() if partition.is_default] == ["main"]
    assert [PARTITIONS[name].most_s for name in ("main", "long")] == [7200, 172800]
    request = read_words("sbatch", ["-p", "odd", "job.sh"], {})
    boards = boards_of(request, meant(PARTITIONS, "odd"))
    assert {name: (found.count, found.by_feature) for name, found in boards.items()} == {"A6000": (4, True)}


def test_time_type_and_comment_are_added():
    found = planned("--gpus=1", "job.sh", "x")
    assert added(found)["--time"] == "00:25:00"  # the A100's 20 minutes and 5 more
    assert added(found)["--gpus"] == "a100:1"
    assert added(found)["--comment"].startswith(f"kilowait:{advised().advice_id};gpus=1;A100=600,300,1200;")
    words = found.words
    assert words[-2:] == ["job.sh", "x"]
    assert words.index("--gpus=a100:1") == words.index("--gpus=1") + 1
    assert found.gpu_type == "A100"


@pytest.mark.parametrize(
    ("words", "text", "environment"),
    [
        (["-t", "5", "-Ga100:1", "--comment=mine", "job.sh"], "", {}),
        (["job.sh"], "#!/bin/sh\n#SBATCH -t 5 --gres=gpu:a100:1\n#SBATCH --comment mine\n", {}),
        (["job.sh"], "", {"SBATCH_TIMELIMIT": "5", "SBATCH_GPUS": "a100:1", "SBATCH_COMMENT": "mine"}),
    ],
)
def test_what_the_user_set_is_left_alone_wherever_it_was_set(words, text, environment):
    found = planned(*words, text=text, environment=environment)
    assert found.additions == ()
    assert found.words == words
    assert "its own limit 5 is short: 00:25:00 would be right" in found.notes[0]
    forced = planned(*words, text=text, environment=environment, force=True)
    assert set(added(forced)) >= {"--time", "--comment"}
    assert words.index("job.sh") <= forced.words.index("--time=00:25:00") < forced.words.index("job.sh")


def test_the_dashes_before_arguments_are_kilowaits():
    assert planned("-t5", "-Ga100", "--comment=x", "job.sh", "--", "--lr", "1").words[-3:] == ["job.sh", "--lr", "1"]


def test_a_type_goes_into_the_option_that_asks_for_gpus():
    gres = "#!/bin/sh\n#SBATCH --gres=shard:1,gpu:2\n"
    assert added(planned("job.sh", text=gres, advice=advised(gpus=2)))["--gres"] == "shard:1,gpu:a100:2"
    assert added(planned("--gpus-per-node=2", "job.sh", advice=advised(gpus=2)))["--gpus-per-node"] == "a100:2"
    assert added(planned("job.sh", advice=advised(gpus=2)))["--gpus"] == "a100:2"


def test_a_type_that_is_a_feature_becomes_a_constraint():
    found = planned("-p", "odd", "--gpus=2", "job.sh", advice=advised(gpus=2))
    assert found.gpu_type == "A6000"
    assert added(found)["--time"] == "00:45:00"


def test_no_type_that_lacks_boards_or_memory_is_named():
    assert "--gpus" not in added(planned("--gpus=4", "job.sh", advice=advised(gpus=4)))
    small = advised({"A100": on_type(600, 300, 1200, fitting="does not fit"), "A6000": on_type(1200, 600, 2400)})
    found = planned("--gpus=1", "job.sh", advice=small)
    assert added(found)["--gpus"] == "a6000:1"
    assert added(found)["--time"] == "00:45:00"
    assert found.notes[0] == "too little memory on A100"


def test_the_best_type_is_the_one_that_was_preferred():
    frugal = advised({"A100": on_type(600, 300, 1200), "A6000": on_type(1200, 600, 2400, energy_kwh=0.01)})
    assert planned("job.sh", advice=frugal).gpu_type == "A100"
    assert planned("job.sh", advice=frugal, prefer="energy").gpu_type == "A6000"


def test_two_ways_of_asking_for_gpus_get_no_type():
    found = planned("--gpus=2", "--gpus-per-task=1", "job.sh")
    assert "--gpus" not in added(found)
    assert added(found)["--time"] == "00:45:00"  # either type may be given


def test_a_partition_bounds_the_limit():
    slow = advised({"A100": on_type(7000, 4000, 20000)})
    found = planned("--gpus=1", "job.sh", advice=slow)
    assert added(found)["--time"] == "02:00:00"
    assert "the partition ends jobs after 02:00:00" in found.notes[0]
    assert added(planned("-plong", "--gpus=1", "job.sh", advice=slow))["--time"] == "05:39:00"


def test_no_limit_where_the_script_runs_what_is_not_predicted():
    several = advised(beside=("job.sh line 3: a loop of 3 runs",))
    found = planned("job.sh", advice=several)
    assert "--time" not in added(found)
    assert "a loop of 3 runs; say how long with --margin" in found.notes[-1]
    assert added(planned("job.sh", advice=several, margin_s=3600, margin_given=True))["--time"] == "01:20:00"


def test_no_limit_where_it_may_run_on_what_nothing_is_known_of():
    nodes = (
        "a0|x*|infinite|n/a|idle|gpu:a100:2|",
        "z0|x*|infinite|n/a|idle|gpu:abacus:2|",
        "c0|cpu|60|n/a|idle|(null)|",
    )
    partitions = read_partitions("\n".join(nodes))

    def notes(*words):
        request = read_words("sbatch", words, {})
        found = plan(request, advised(), meant(partitions, request.value("partition")), PlanSettings())
        return added(found).get("--time"), " ".join(found.notes)

    assert notes("--gpus=1", "job.sh")[0] == "00:25:00"  # an A100 is named, so it gets one
    assert notes("--gpus=1", "--nodelist=z0", "job.sh")[0] is None
    time, why = notes("--gpus=abacus:1", "job.sh")
    assert time is None
    assert "it may get abacus, of which nothing is known" in why
    for words in (["-p", "cpu", "job.sh"], ["--gpus=0", "-p", "cpu", "job.sh"], ["--gres=none", "-p", "cpu", "job.sh"]):
        time, why = notes(*words)
        assert time is None
        assert "no GPU type is known that it would run on" in why


def test_no_gpus_are_added_where_none_are_wanted_and_arrays_are_remarked_on():
    assert "--gpus" not in added(planned("--gpus=0", "job.sh"))
    assert set(added(planned("--gres=none", "job.sh"))) == {"--comment"}
    found = planned("--array=1-3", "job.sh")
    assert "each task of the array is taken to be like the first" in found.notes
    assert "none was asked for" in found.additions[1].why


MIXED = read_partitions(
    """\
a0|mix*|infinite|n/a|idle|gpu:a100:2|ib
c0|mix*|infinite|n/a|idle|(null)|cpu
a0|gpu|infinite|n/a|idle|gpu:a100:2|ib
f0|feat|infinite|n/a|idle|gpu:4|a6000,ib
a0|feat|infinite|n/a|idle|gpu:a100:2|ib
f0|one|infinite|n/a|idle|gpu:4|a6000,ib
"""
)


def on_mixed(*words, text="", **settings):
    request = with_script(read_words("sbatch", words, {}), text)
    return plan(request, advised(), meant(MIXED, request.value("partition")), PlanSettings(**settings))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["job.sh"], "some nodes that it may get have none"),
        (["-p", "mix,gpu", "job.sh"], "some nodes that it may get have none"),
        (["-p", "gpu", "-N4", "job.sh"], "it spans nodes"),
        (["-p", "gpu", "--nodes=1-2", "job.sh"], "it spans nodes"),
        (["-p", "gpu", "--gres=shard:1", "job.sh"], "--gres=shard:1 was given"),
        (["-p", "feat", "-w", "a0", "job.sh"], "nodes were named"),
    ],
)
def test_a_job_that_may_be_meant_for_no_gpu_gets_none_and_no_limit(words, why):
    found = on_mixed(*words)
    assert set(added(found)) == {"--comment"}
    (note,) = found.notes
    assert "no time limit is set: it asks for no GPU, and none is added, for " + why in note


def test_a_partition_or_constraint_of_gpus_alone_is_enough_to_get_one():
    for words in (["-p", "gpu", "job.sh"], ["--constraint=ib", "job.sh"]):
        assert added(on_mixed(*words))["--gpus"] == "a100:1"
        assert added(on_mixed(*words))["--time"] == "00:25:00"


@pytest.mark.parametrize("words", [["--exclusive"], ["--tres-per-task=cpu:1,gres/gpu:1"]])
def test_gpus_that_come_otherwise_are_not_asked_for_twice(words):
    assert set(added(on_mixed("-p", "gpu", *words, "job.sh"))) == {"--comment", "--time"}


def test_a_type_that_is_a_feature_comes_with_gpus_and_never_in_place_of_a_constraint():
    found = added(on_mixed("-p", "feat", "job.sh", prefer="cost"))
    assert found["--gpus"] == "a100:1"
    assert added(on_mixed("-p", "one", "job.sh")) | {"--comment": ""} == {
        "--comment": "", "--gpus": "1", "--time": "00:45:00",
    }  # fmt: skip
    slow = advised({"A100": on_type(1200, 600, 2400), "A6000": on_type(600, 300, 1200)})
    for text, adds in (("", {"--constraint", "--gpus"}), ("#SBATCH --constraint=ib\n", set())):
        request = with_script(read_words("sbatch", ["-p", "feat", "job.sh"], {}), text)
        found = plan(request, slow, meant(MIXED, "feat"), PlanSettings())
        assert set(added(found)) - {"--comment", "--time"} == adds


def test_no_limit_without_an_interval():
    found = planned("job.sh", advice=advised({"A100": on_type(600)}))
    assert "--time" not in added(found)
    assert "no interval is known" in found.notes[-1]
