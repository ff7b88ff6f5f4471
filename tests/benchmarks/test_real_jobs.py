"""The benchmark of real jobs: what counts as usable, as wrong with a straight face, and apart; and one tiny run."""

import json
from pathlib import Path

import pytest

from benchmarks import real_jobs, real_jobs_fixtures
from benchmarks.asked_predictions import Answer, Asked, read
from benchmarks.program_kinds import LIBRARY, OTHER_FRAMEWORK, PYTORCH, kind_of
from benchmarks.real_jobs import ENDLESS, ENDS, RUNS, judged, record, with_fixture

RIGHT_VALUES = Path(real_jobs.__file__).with_name("real_jobs_right.json")
TRAIN = """\
import argparse
import torch

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int)
net = torch.nn.Linear(512, 512).cuda()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(parser.parse_args().steps):
    loss = net(torch.randn(32, 512, device="cuda")).square().mean()
    optimizer.zero_grad(); loss.backward(); optimizer.step()
"""
MISSING = "import torch\nimport no_such_package_anywhere\nprint(torch.ones(2))\n"
RIGHT = {"steps": 30, "flops": 30 * 2 * 2 * 32 * 512 * 512, "parameters": 512 * 512 + 512}


def job(name="job", entrypoint="train.py", arguments=(), **more):
    return {"name": name, "repository": "us/ours", "commit": "0" * 40, "folder": ".", "entrypoint": entrypoint,
            "arguments": list(arguments), **more}  # fmt: skip


def answer(**given):
    return Answer(**{"state": "whole", "timed": True, "steps": 100, "flops": 1e12, "parameters": 10, **given})


@pytest.mark.parametrize(
    ("given", "usable", "straight_face"),
    [
        ({}, True, False),
        ({"steps": 102, "flops": 1.04e12}, True, False),
        ({"steps": 103}, False, False),
        ({"flops": 0.94e12}, False, False),
        ({"parameters": 11}, False, False),
        ({"state": "guessed"}, True, False),
        ({"timed": False}, False, False),
        ({"steps": 1}, False, True),
        ({"steps": 1, "state": "guessed"}, False, True),
        ({"steps": 1, "assumed": ("assumed: one row",)}, False, False),
        ({"steps": 1, "state": "partial", "timed": False}, False, False),
        ({"state": "failed", "timed": False}, False, False),
    ],
)
def test_usable_is_complete_and_right_and_a_straight_face_is_wrong_without_a_doubt(given, usable, straight_face):
    row = judged(job(right={"steps": 100, "flops": 1e12, "parameters": 10}), RUNS, answer(**given))
    assert (row.usable, row.straight_face) == (usable, straight_face)


def test_a_complete_answer_is_usable_where_nothing_is_known():
    assert judged(job(), RUNS, answer()).usable
    assert judged(job(right={"steps": None}), RUNS, answer()).off == {}


def test_what_has_no_whole_time_of_its_own_wants_the_honest_line():
    said = Answer(state="failed", text="main.py is a JAX program; kilowait reads PyTorch")
    assert judged(job(), OTHER_FRAMEWORK, said).usable
    assert not judged(job(), OTHER_FRAMEWORK, Answer(state="failed", text="No module named 'jax'")).usable
    assert not judged(job(), LIBRARY, answer(text="a library module")).usable
    assert judged(job(), ENDS, Answer(state="failed")).usable
    assert judged(job(), ENDS, answer()).straight_face


def test_a_job_without_an_end_wants_to_be_told_so_and_its_parameters():
    said = Answer(state="partial", text="main.py line 44: nothing says how often the loop runs", parameters=5)
    assert judged(job(right={"parameters": 5}), ENDLESS, said).usable
    assert not judged(job(right={"parameters": 6}), ENDLESS, said).usable
    assert not judged(job(), ENDLESS, Answer(state="failed", text="no module")).usable
    assert judged(job(), ENDLESS, answer()).straight_face


def test_a_job_with_data_of_its_own_is_asked_from_there(tmp_path):
    real_jobs_fixtures.main([str(tmp_path)])
    asked = with_fixture(Asked(), tmp_path, "ex_gcn")
    assert (asked.options(), asked.folder) == (["--data", "cora"], tmp_path / "ex_gcn")
    rows = (tmp_path / "ex_gcn" / "cora" / "cora.content").read_text().splitlines()
    assert (len(rows), len(rows[0].split())) == (2708, 1435)
    assert with_fixture(Asked(), tmp_path, "other") == Asked()
    assert (tmp_path / "nanogpt_shk/data/shakespeare_char/train.bin").stat().st_size == 2 * 1_003_854
    assert len(json.loads((tmp_path / "alpaca" / "alpaca_data.json").read_text())) == 52_002


def test_the_shares_leave_out_what_counts_apart():
    rows = [
        judged(job("a"), RUNS, answer(seconds=2.0)),
        judged(job("b"), RUNS, Answer(state="failed", seconds=4.0)),
        judged(job("c"), ENDS, answer(seconds=9.0)),
        judged(job("d"), LIBRARY, Answer(state="failed", text="a library module", seconds=9.0)),
    ]
    found = record(rows)
    assert found["usable_share"] == pytest.approx(1 / 3)
    unbounded = Answer(state="partial", text="main.py line 44: nothing says how often the loop runs")
    without_end = record([*rows, judged(job("e"), ENDLESS, unbounded)])
    assert (without_end["usable_share"], without_end["answered_rightly"]) == (1 / 4, 2 / 4)
    assert found["usable_of_running"] == pytest.approx(1 / 2)
    assert found["usable_strictly"] == pytest.approx(1 / 3)
    assert (found["apart"], found["straight_face"], found["median_seconds"]) == ({"d": True}, ["c"], 6.5)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("import torch\nprint(torch.ones(2))\n", PYTORCH),
        ("import jax.numpy as jnp\nprint(jnp.ones(2))\n", OTHER_FRAMEWORK),
        ("from tensorflow import keras\nkeras.Sequential()\n", OTHER_FRAMEWORK),
        ("import jax, torch\n", LIBRARY),
        ('"""Words."""\nimport torch\nclass Net(torch.nn.Module):\n    pass\n', LIBRARY),
        ("import torch\ndef main(): pass\nif __name__ == '__main__':\n    main()\n", PYTORCH),
        ("import torch\nfor _ in range(3): torch.ones(2)\n", PYTORCH),
        ("print 'old'\n", PYTORCH),
    ],
)
def test_what_kind_a_program_is_stands_in_its_entrypoint(tmp_path, text, kind):
    (tmp_path / "main.py").write_text(text)
    assert kind_of(tmp_path / "main.py") == kind


def entry(gpu, own, devices):
    return {"dry_run": gpu, "own_dry_run": own, "devices": {name: {"runtime_s": 1.0} for name in devices},
            "request": {"gpus": 1}, "notes": []}  # fmt: skip


def test_a_program_of_the_cpu_is_told_by_its_run_there():
    gpu, own = {"outcome": "whole", "bytes": 0.0, "steps": 7}, {"outcome": "whole", "bytes": 5.0, "steps": 8}
    assert read(entry(gpu, own, ["cpu-1"]), 1.0).steps == 8
    assert read(entry({**gpu, "bytes": 1.0}, own, ["cpu-1", "A100"]), 1.0).steps == 7
    assert not read(entry({**gpu, "bytes": 1.0}, own, ["cpu-1"]), 1.0).complete
    assert not read(
        entry({"outcome": "failed", "reason": "no"}, {"outcome": "failed"}, ["cpu-1", "A100"]), 1.0
    ).complete


def test_what_was_assumed_is_found_in_lists_and_in_the_reason():
    run = {"outcome": "guessed", "bytes": 1.0, "reason": "nonzero: half of 4 were assumed", "assumed": ["a is 3"]}
    found = read({**entry(run, {"outcome": "off"}, ["A100"]), "assumptions": [{"b": 4}]}, 1.0)
    assert found.assumed == ('{"b": 4}', "a is 3", "nonzero: half of 4 were assumed")


def test_a_missing_checkout_does_not_stop_the_rest(tmp_path, capsys):
    (tmp_path / "jobs.json").write_text(json.dumps([job("a"), job("b")]))
    words = ["--jobs", str(tmp_path / "jobs.json"), "--checkouts", str(tmp_path), "--json", str(tmp_path / "o.json")]
    assert real_jobs.main(words) == 0
    rows = json.loads((tmp_path / "o.json").read_text())["rows"]
    assert [(row["name"], row["state"], row["accepted"]) for row in rows] == [
        ("a", "absent", False),
        ("b", "absent", False),
    ]
    assert "check us/ours out at 000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words", "told"),
    [
        ("[{}]", (), "row 0 has no name, repository"),
        ("{", (), "give a JSON list of jobs"),
        (json.dumps([job("a")]), ("--only", "b"), "--only b: no such job"),
    ],
)
def test_a_mistake_in_what_was_given_exits_with_2(tmp_path, capsys, content, words, told):
    (tmp_path / "jobs.json").write_text(content)
    given = ["--jobs", str(tmp_path / "jobs.json"), "--checkouts", str(tmp_path), *words]
    assert real_jobs.main(given) == 2
    assert told in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.torch
def test_two_programs_are_asked_about_as_a_user_would(tmp_path, capsys):
    checkout = tmp_path / "us" / "ours"
    checkout.mkdir(parents=True)
    (checkout / "train.py").write_text(TRAIN)
    (checkout / "missing.py").write_text(MISSING)
    jobs = [job("trained", arguments=["--steps", "30"], right=RIGHT), job("missing", "missing.py")]
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    out = tmp_path / "o.json"
    assert (
        real_jobs.main(["--jobs", str(tmp_path / "jobs.json"), "--checkouts", str(tmp_path), "--json", str(out)]) == 0
    )
    found = json.loads(out.read_text())
    trained, missing = found["rows"]
    assert (trained["state"], trained["usable"], trained["steps"]) == ("whole", True, 30)
    assert trained["holds"] == {"steps": True, "flops": True, "parameters": True}
    assert (missing["state"], missing["usable"]) == ("failed", False)
    assert "no_such_package_anywhere" in missing["reason"]
    assert found["usable_share"] == 0.5
    assert "usable_share" in capsys.readouterr().out


def test_the_right_values_of_given_jobs_say_how_they_were_had():
    jobs = real_jobs.read_jobs(RIGHT_VALUES)
    assert len({job["name"] for job in jobs}) == len(jobs)
    known = [job for job in jobs if job.get("right") or job.get(ENDS) or job.get(ENDLESS)]
    assert len(known) >= 30
    assert all(len(job["derivation"]) > 10 for job in jobs)
    assert all(value > 0 for job in jobs for value in job.get("right", {}).values())
    assert {name for job in jobs for name in job.get("right", {})} <= set(real_jobs.LIMITS)
