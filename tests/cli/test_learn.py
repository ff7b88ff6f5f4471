"""`kilowait learn --sacct`: records as a real sacct wrote them, joined to predictions."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kilowait.advise.job_comment import written
from kilowait.advise.ledger import keep
from kilowait.advise.slurm.accounting import read_accounting
from kilowait.cli.learnt_correction import corrected
from kilowait.cli.main import main
from kilowait.core.errors import InputError
from kilowait.history.store import Store
from kilowait.live.learning.observed import observed
from tests.support.advised import advised, on_type

RECORDED = Path(__file__).parents[1] / "advise" / "sacct_of_slurm_22.txt"
"""Written by sacct 22.05 for jobs in a slurmdbd, in New York's time; one of them is an array, one was requeued."""
HEAD = "JobID|User|Cluster|State|ExitCode|Submit|End|ElapsedRaw|AllocTRES|ConsumedEnergyRaw|Comment\n"


def line(job_id, comment, seconds, *, tres="gres/gpu:a100=1,gres/gpu=1", state="COMPLETED", minute=0, user="ada"):
    day, hour = 30 - minute // 720, 11 + minute // 60 % 12
    times = f"2026-11-{day}T10:{minute % 60:02}:00|2026-11-{day}T{hour}:{minute % 60:02}:00"
    return f"{job_id}|{user}|test|{state}|0:0|{times}|{seconds}|{tres}|0|{comment}\n"


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("KILOWAIT_ADVICE", str(tmp_path / "state" / "advice"))
    return tmp_path / "state" / "advice"


def learn(capsys, *words):
    code = main(["learn", "--json", *map(str, words)])
    assert code == 0
    return json.loads(capsys.readouterr().out)


def test_what_a_real_sacct_wrote_is_joined(ledger, capsys):
    found = learn(capsys, "--sacct", RECORDED, "--only-compare", "--zone", "America/New_York")
    assert found["joined"] == 4  # jobs 1 and 3, and both tasks of array 2
    assert found["by_type"]["A6000"] == {"jobs": 2, "median_factor": 1.0, "median_error": 0.0, "inside": 1.0}
    assert found["by_type"]["A100"]["median_factor"] == pytest.approx(math.sqrt(1 * 0.5))
    assert found["by_type"]["A100"]["inside"] == 1.0
    assert found["left_out"] == {
        "a step": 9,
        "a part of a heterogeneous job": 2,
        "did not complete: FAILED": 1,
        "did not complete: CANCELLED": 1,
        "did not complete: REQUEUED": 1,
    }


@pytest.mark.parametrize(("written_j", "energy_j"), [("7200", 7200.0), ("0", None), ("", None), (str(2**64 - 2), None)])
def test_an_energy_that_slurm_does_not_have_is_none(written_j, energy_j):
    text = HEAD + line("1", "x", 60).replace("|0|x", f"|{written_j}|x")
    assert [job.energy_j for job in read_accounting(text, UTC)] == [energy_j]


def test_times_are_read_in_their_zone_and_multi_line_fields_whole():
    jobs = {job.job_id: job for job in read_accounting(RECORDED.read_text(), UTC)}
    assert jobs["1"].end_s == datetime(2026, 11, 30, 3, 30, 55, tzinfo=UTC).timestamp()
    assert "two\nlines | and kilowait:" in jobs["3"].comment
    assert jobs["4"].exit_code == 3
    assert jobs["2_2"].gpus == {"a6000": 1}
    text = (
        "JobID|State|End|ElapsedRaw|AllocTRES|Comment\n7|COMPLETED|2026-11-30T03:30:55+0200|5||\n8|COMPLETED|99|5||x\n"
    )
    there = [job.end_s for job in read_accounting(text, UTC)]
    assert there == [datetime(2026, 11, 30, 1, 30, 55, tzinfo=UTC).timestamp(), 99]


@pytest.mark.parametrize("sign", ["|", "\t"])
def test_columns_may_stand_in_any_order_with_free_text_on_both_sides_of_the_id(sign):
    lines = [
        "Account|AdminComment|AllocTRES|Comment|ElapsedRaw|End|JobID|JobName|State|WorkDir",
        "a||gres/gpu=1||5|99|7|plain|COMPLETED|/x",
        "a||||6|2026-11-30T03:30:55|7.batch|batch|COMPLETED|",
        "a|so@so|gres/gpu=2|two|8|99|8_[3-9%2]|na@me@|CANCELLED by 7|/x",
        "a||gres/gpu=3||9|99|9|10\n11\n|COMPLETED|/y\n",
        "a||gres/gpu=1||4|99|10|last|COMPLETED|/x",
        f"a||gres/gpu=1|{50 * '@'}|4|99|11|far too much|COMPLETED|/x",
        "a||gres/gpu=1||4|99|12",  # cut
    ]
    text = "\n".join(lines).replace("|", sign).replace("@", sign)
    jobs = read_accounting(text, UTC)
    assert [(job.job_id, job.elapsed_s, job.name, sum(job.gpus.values())) for job in jobs] == [
        ("7", 5, "plain", 1), ("7.batch", 6, "batch", 0), ("8_[3-9%2]", 8, f"na{sign}me{sign}", 2),
        ("9", 9, "10\n11\n", 3), ("10", 4, "last", 1), ("", 0, "", 0), ("12", 4, "", 1),
    ]  # fmt: skip
    assert [job.job_id for job in jobs if job.completed] == ["7", "9", "10"]
    assert jobs[3].part == ""
    assert jobs[5].part == "a record that cannot be told apart"


def test_no_name_of_a_user_s_holds_up_the_look_at_what_finished():
    name = f"x|RUNNING|Unknown|1|a={'b' * 12 * 3}{'=bbbbbbbbbbbb' * 12} |y"
    text = f"JobID|JobName|State|End|ElapsedRaw|AllocTRES|Comment\n7|{name}|COMPLETED|99|60|gres/gpu=1|mine\n"
    (job,) = read_accounting(text, UTC)
    assert (job.name, job.state, job.gpus, job.comment) == (name, "COMPLETED", {"": 1}, "mine")


@pytest.mark.parametrize("text", ["", "JobID|State\n1|COMPLETED\n", "no table\n"])
def test_what_is_no_dump_is_refused_with_the_remedy(text, tmp_path, capsys):
    with pytest.raises(InputError, match="sacct --parsable2 --format=JobID"):
        read_accounting(text, UTC)
    (tmp_path / "dump").write_text(text)
    assert main(["learn", "--sacct", str(tmp_path / "dump")]) == 2


def test_a_requeued_job_counts_once_by_its_last_run_and_twice_the_same_dump_once(ledger, tmp_path, capsys):
    advice = advised(version="bundle+1", vector=(0.5, 1.0))
    keep(advice, advice, ledger)
    comment, dump = written(advice), tmp_path / "dump"
    dump.write_text(
        HEAD
        + line("1", comment, 20, state="REQUEUED")
        + line("1", comment, 900, minute=5)
        + line("2", comment, 1200, tres="gres/gpu:a6000=1", minute=6)
        + line("3", comment, 700, tres="gres/gpu:a100=2", minute=7)
        + line("4", comment, 700, tres="gres/gpu=1", minute=8)
        + line("5", "mine", 700)
    )
    found = learn(capsys, "--sacct", dump)
    assert (found["joined"], found["new"], found["teaching"]) == (2, 2, 2)
    assert found["correction"]["outcome"] == "too few jobs"
    assert found["left_out"]["on another number of GPUs than was predicted"] == 1
    assert found["left_out"]["of a GPU type that is not known, or of several"] == 1
    assert learn(capsys, "--sacct", dump)["new"] == 0
    store = Store(found["database"])
    seen = observed(store, "bundle+1")
    store.close()
    assert len(seen) == 2
    assert seen.measured.runtime == pytest.approx([math.log(900 / 600), 0.0])
    assert math.isnan(seen.measured.energy[0])  # nobody metered its GPUs


@pytest.mark.slow
def test_what_finished_jobs_teach_is_in_the_next_advice(ledger, tmp_path, capsys):
    rows = []
    for number in range(60):  # every program takes twice what was predicted
        place = (1.0, number / 60)
        advice = advised({"A100": on_type(600, 300, 1200)}, content_hash=f"{number:064x}", version="v", vector=place)
        keep(advice, advice, ledger)
        rows.append(line(str(number), written(advice), 1200 + number % 7, minute=number))
    (tmp_path / "dump").write_text(HEAD + "".join(rows))
    found = learn(capsys, "--sacct", tmp_path / "dump")
    assert found["correction"]["outcome"] == "promoted"
    new = advised({"A100": on_type(600, 300, 1200)}, content_hash="f" * 64, version="v", vector=(1.0, 0.5))
    history = Path(found["database"])
    assert corrected(new, history).by_type["A100"].prediction.runtime_s == pytest.approx(1200, rel=0.1)
    assert "corrected by finished jobs" in corrected(new, history).by_type["A100"].provenance
    assert corrected(advised(version="other", vector=(1.0, 0.5)), history).by_type["A100"].prediction.runtime_s == 600


def test_the_history_of_a_service_is_left_alone(ledger, tmp_path, capsys):
    from tests.support.learning_world import History

    world = History(f"sqlite:///{tmp_path}/service.db")
    world.store.close()
    advice = advised(version="v", vector=(1.0,))
    keep(advice, advice, ledger)
    (tmp_path / "dump").write_text(HEAD + line("1", written(advice), 600))
    assert main(["learn", "--sacct", str(tmp_path / "dump"), "--database", f"{tmp_path}/service.db"]) == 2
    assert "the history of a service" in capsys.readouterr().err


COMPLETED = (
    "JobId={number} UserId=ada(1000) GroupId=ml(100) Name=train it JobState={state} Partition=main TimeLimit=30 "
    "StartTime=2026-11-{day}T15:10:15 EndTime=2026-11-{day}T15:{minute}:35 NodeList=a0 NodeCnt=1 ProcCnt=2 "
    "WorkDir=/home/a b ReservationName= "
    "Tres=cpu=2,mem=1000M,node=1,billing=2,gres/gpu=1 Account= QOS= WcKey= Cluster=unknown "
    "SubmitTime=2026-11-30T15:10:15 EligibleTime=2026-11-30T15:10:15 DerivedExitCode=0:0 ExitCode=0:0 \n"
)
"""As jobcomp/filetxt of Slurm 22.05 writes it."""


def test_a_completion_log_gives_limits_by_user_and_name(tmp_path, capsys):
    states = ["COMPLETED"] * 19 + ["FAILED"]
    lines = [COMPLETED.format(number=n, state=state, day=30 - n % 3, minute=20 + n) for n, state in enumerate(states)]
    (tmp_path / "completed.txt").write_text("".join(lines))
    words = ["--sacct", tmp_path / "completed.txt", "--only-compare", "--limits", tmp_path / "limits"]
    assert learn(capsys, *words)["limits"] == 1
    minutes, user, name = (tmp_path / "limits").read_text().split()
    assert (bytes.fromhex(user), bytes.fromhex(name)) == (b"ada", b"train it")
    assert minutes == "34"  # the longest took 28 minutes and 20 s; five more
    assert learn(capsys, *words[:3], "--limits", tmp_path / "limits", "--risk", "0.01")["limits"] == 0


def test_of_many_jobs_the_one_that_95_in_100_keep_and_one_that_its_limit_ended_counts_as_longer(tmp_path, capsys):
    rows = [line(str(n), "", 60 * (n + 1), minute=n * 240).replace("\n", "|train\n") for n in range(38)]
    rows.append(line("99", "", 60, state="TIMEOUT").replace("\n", "|train\n"))
    file, limits = tmp_path / "jobs.txt", tmp_path / "limits"
    file.write_text(HEAD.replace("\n", "|JobName\n") + "".join(rows))
    learn(capsys, "--sacct", file, "--only-compare", "--limits", limits)
    assert limits.read_text().split()[0] == "43"  # of 39 the 38th: 38 minutes and five


@pytest.mark.parametrize(("days", "limits"), [(1, 0), (2, 0), (3, 1)])
def test_jobs_of_few_days_give_no_limit_however_many_they_are(days, limits, tmp_path, capsys):
    lines = [COMPLETED.format(number=n, state="COMPLETED", day=30 - n % days, minute=20) for n in range(60)]
    (tmp_path / "completed.txt").write_text("".join(lines))
    words = ["--sacct", tmp_path / "completed.txt", "--only-compare", "--limits", tmp_path / "limits"]
    assert learn(capsys, *words)["limits"] == limits
