"""sbatch's words, variables and #SBATCH lines as sbatch reads them."""

import math

import pytest

from kilowait.advise.slurm.batch_request import read_words, script_options, script_text, type_named, with_script
from kilowait.advise.slurm.slurm_time import seconds_of, written_time
from kilowait.core.errors import InputError


def sbatch(*words, environment=None, text=""):
    return with_script(read_words("sbatch", words, environment or {}), text)


@pytest.mark.parametrize(
    ("words", "script", "arguments", "options"),
    [
        (["job.sh"], "job.sh", (), {}),
        (["-N2", "-t", "10", "job.sh", "a", "-b"], "job.sh", ("a", "-b"), {"nodes": "2", "time": "10"}),
        (["--gpus", "2", "-HQ", "job.sh", "--", "--lr", "1"], "job.sh", ("--lr", "1"), {"gpus": "2", "hold": ""}),
        (["--part=main", "--cons", "a100", "job.sh"], "job.sh", (), {"constraint": "a100"}),
        (["--parti", "main", "job.sh"], "job.sh", (), {"partition": "main"}),
        (["--exclusive", "job.sh"], "job.sh", (), {"exclusive": ""}),
        (["--plugin-option=3", "job.sh"], "job.sh", (), {"plugin-option": "3"}),
        (["--wrap", "python train.py"], "", (), {"wrap": "python train.py"}),
        (["-Jname", "-o", "out-%j", "job.sh"], "job.sh", (), {"job-name": "name", "output": "out-%j"}),
    ],
)
def test_words_are_told_apart(words, script, arguments, options):
    request = sbatch(*words)
    assert (request.script, request.arguments) == (script, arguments)
    assert {name: request.value(name) for name in options} == options


def test_words_win_over_variables_and_those_over_the_script():
    text = (
        "#!/bin/bash\n#SBATCH --time=1 -A lab # why\n#SBATCH --comment='a b'\n\n#SBATCH -p short\necho\n#SBATCH -p no\n"
    )
    request = sbatch("--time=3", "job.sh", environment={"SBATCH_TIMELIMIT": "2", "SBATCH_ACCOUNT": "other"}, text=text)
    assert [request.value(name) for name in ("time", "account", "comment", "partition")] == [
        "3",
        "other",
        "a b",
        "short",
    ]
    assert "qos" not in request


@pytest.mark.parametrize("text", ["#!/bin/sh\n#SBATCH -n1\n#SBATCH hetjob\n#SBATCH -n2\n", "#SBATCH packjob\n"])
def test_a_heterogeneous_job_is_seen(text):
    assert script_options(text)[1]
    assert sbatch("-n1", ":", "-n2", "job.sh").several


@pytest.mark.parametrize(
    ("name", "value", "gpu_type"),
    [
        ("gpus", "a100:2", "a100"), ("gpus", "2", None), ("gpus-per-node", "a100", "a100"),
        ("gres", "gpu:a100:2", "a100"),
        ("gres", "gpu:2", None), ("gres", "gpu", None), ("gres", "shard:2,gpu:t4:1", "t4"), ("gres", "nic:1", None),
    ],
)  # fmt: skip
def test_the_type_that_was_named(name, value, gpu_type):
    assert type_named(name, value) == gpu_type


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 5400), ("90:30", 5430), ("1:30:05", 5405), ("2-12", 216000), ("1-0:30", 88200), ("1-12:30:00", 131400),
     ("UNLIMITED", math.inf), ("infinite", math.inf), ("Partition_Limit", None), ("", None)],
)  # fmt: skip
def test_times_are_read(text, seconds):
    assert seconds_of(text) == seconds


def test_times_are_written_as_they_are_read():
    assert [written_time(s) for s in (59.2, 5400, 131400)] == ["00:01:00", "01:30:00", "1-12:30:00"]
    with pytest.raises(InputError, match="no time of Slurm's"):
        seconds_of("tomorrow")


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ('--job-name="run #3" --time=5', {"job-name": "run #3", "time": "5"}),
        ("--comment=a#b --time=5", {"comment": "a", "time": None}),  # as sbatch 22.05 was seen to read it
        ("--time=5 # --qos=x", {"time": "5", "qos": None}),
    ],
)
def test_a_hash_within_quotes_is_no_comment(line, options):
    request = sbatch("job.sh", text=f"#!/bin/sh\n#SBATCH {line}\n")
    assert {name: request.value(name) for name in options} == options


def test_a_script_is_found_as_sbatch_finds_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "job").write_text("there")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert script_text("job") == "there"
    (tmp_path / "job").write_text("here")
    assert script_text("job") == "here"
    for missing in ("./bin2/job", "other"):
        with pytest.raises(InputError, match="cannot be read"):
            script_text(missing)
