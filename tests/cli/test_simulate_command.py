"""`kilowait simulate` from outside: exit codes, messages, JSON, files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kilowait.cli.main import main
from kilowait.policies import POLICIES

JOBS = """\
job_id,submit_s,gpus,A100_s,A100_kwh,A6000_s,A6000_kwh
a,0,1,3600,0.5,5400,0.6
b,0,2,,,7200,1.5
c,60,1,600,0.1,600,0.05
"""
KEYS = ["policy", "jobs", "total_wait_s", "delayed_tasks", "running_s", "energy_kwh", "makespan_s"]


@pytest.fixture
def jobs(tmp_path):
    path = tmp_path / "jobs.csv"
    path.write_text(JOBS)
    return path


def command(*words, **options):
    """The command in a process of its own."""
    root = Path(__file__).parents[2]
    argv = [sys.executable, "-m", "kilowait.cli.main", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, cwd=root, timeout=600, check=False, **options)


def test_one_json_object_and_a_placements_file(jobs, tmp_path):
    out = tmp_path / "out.csv"
    words = ("simulate", "--jobs", jobs, "--gpus", "A100=1,A6000=2", "--policy", "simple")
    done = command(*words, "--placements", out, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert list(result)[:7] == KEYS
    # a: A100 0..3600; b: both A6000 0..7200; c waits 3540 s for the A100: 3600..4200
    assert [result[key] for key in KEYS] == ["simple", 3, 3540, 1, 11400, pytest.approx(2.1), 7200]
    assert out.read_text() == "job_id,start_s,gpu_type\na,0.0,A100\nb,0.0,A6000\nc,3600.0,A100\n"


@pytest.mark.parametrize(
    ("words", "c_start"),
    [
        # value 1/(a t) - kappa e. kappa 0: a on A100 (1/3600) before b; c comes at 60 when nothing is free
        (["--policy", "value", "--kappa", "0"], "c,3600.0,A100"),
        # greedy on time alone: c is 600 s on both, the tie goes to the A100
        (["--policy", "greedy", "--gamma", "0"], "c,3600.0,A100"),
        # greedy on energy alone: c waits for the A6000
        (["--policy", "greedy", "--alpha", "0", "--gamma", "1"], "c,7200.0,A6000"),
    ],
)
def test_each_policy_takes_its_parameters(jobs, tmp_path, capsys, words, c_start):
    out = tmp_path / "out.csv"
    inputs = ["simulate", "--jobs", str(jobs), "--gpus", "A100=1,A6000=2", "--placements", str(out), "--json"]
    assert main([*inputs, *words]) == 0
    assert out.read_text().splitlines()[-1] == c_start
    assert json.loads(capsys.readouterr().out)["policy"] == words[1]


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_runs_with_the_parameters_that_it_has(jobs, capsys, policy):
    options = {"kappa": 0.5, "alpha": 2.0, "gamma": 3.0, "limit_s": 4.0, "weights": {"ada": 2.0, "grace": 0.5}}
    options |= {"wait_s_per_kwh": 5.0, "risk": 0.25, "objective": "energy", "hysteresis": 3.0, "error_sd": 0.5}
    options |= {"quantum_s": 20.0}
    has = {"greedy": ["alpha", "gamma"], "value": ["kappa"], "value_aging": ["kappa", "limit_s"], "fair": ["weights"]}
    has |= {
        "patient": ["wait_s_per_kwh", "error_sd"],
        "anticipatory": ["wait_s_per_kwh", "error_sd"],
        "milp": ["wait_s_per_kwh"],
        "value_cvar": ["kappa", "risk"],
        "gavel": ["objective"],
        "srpt": ["hysteresis", "quantum_s"],
    }
    words = ["simulate", "--jobs", str(jobs), "--gpus", "A100=1,A6000=2", "--policy", policy, "--json"]
    words += ["--kappa", "0.5", "--alpha", "2", "--gamma", "3", "--limit-s", "4", "--weights", "ada=2,grace=0.5"]
    words += ["--wait-s-per-kwh", "5", "--risk", "0.25", "--objective", "energy"]
    words += ["--hysteresis", "3", "--error-sd", "0.5", "--quantum-s", "20"]
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["policy"], result["jobs"]) == (policy, 3)
    assert result["parameters"] == {name: options[name] for name in has.get(policy, [])}


def test_what_another_policy_takes_is_refused_where_none_is_named(jobs, capsys):
    """Whoever gives a kappa means Value, which was the default once."""
    assert main(["simulate", "--jobs", str(jobs), "--gpus", "A100=1,A6000=2", "--kappa-relative", "1"]) == 2
    said = capsys.readouterr().err
    assert "--kappa-relative is for --policy value, value_aging, value_cvar" in said
    assert "aged(patient,7d) runs where none is named" in said


def test_relative_kappa_takes_the_place_of_kappa(jobs, capsys):
    words = ["simulate", "--jobs", str(jobs), "--gpus", "A100=1,A6000=2", "--policy", "value", "--json"]
    assert main([*words, "--kappa-relative", "0.5"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == {"kappa_relative": 0.5}


def test_fair_reads_users_and_weights(tmp_path):
    header = "job_id,submit_s,gpus,A_s,A_kwh,user"
    rows = [f"{job_id},0,1,9,0,{user}" for job_id, user in (("a1", "ada"), ("a2", "ada"), ("g1", "grace"))]
    path, out = tmp_path / "users.csv", tmp_path / "out.csv"
    path.write_text("\n".join((header, *rows, "g2,0,1,9,0,grace")) + "\n")

    def order(*more):
        words = ["simulate", "--jobs", str(path), "--gpus", "A=3", "--policy", "fair", "--placements", str(out)]
        assert main([*words, *more]) == 0
        return [line.split(",")[0] for line in out.read_text().splitlines()[1:]]

    # after a1 and g1 both hold a third, and a2 is earlier in the queue
    assert order() == ["a1", "g1", "a2", "g2"]
    assert order("--weights", "ada=1,grace=2") == ["a1", "g1", "g2", "a2"]


def test_the_policy_sees_the_predictions_and_the_scores_the_truth(jobs, tmp_path, capsys):
    predictions = tmp_path / "pred.csv"
    predictions.write_text(JOBS.replace("c,60,1,600,0.1,600,0.05", "c,60,1,900,0.9,600,0.05"))
    words = ["simulate", "--jobs", str(jobs), "--gpus", "A100=1,A6000=2", "--policy", "greedy", "--gamma", "0"]
    assert main([*words, "--predictions", str(predictions), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    # now c waits for the A6000 until 7200 and ends at 7800
    assert (result["makespan_s"], result["running_s"]) == (7800, 11400)


def test_without_json_there_is_a_table_for_people(jobs, capsys):
    assert main(["simulate", "--jobs", str(jobs), "--gpus", "A100=1,A6000=2", "--policy", "simple"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["total", "wait", "3,540.0", "s", "(0.98", "h)"] for line in lines)
    assert any(line.startswith("cluster energy") for line in lines)


def test_a_job_that_can_never_fit_is_named_and_the_others_run(jobs, capsys):
    words = ["simulate", "--jobs", str(jobs), "--gpus", "A100=1,A6000=1", "--policy", "simple", "--json"]
    assert main(words) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert (result["jobs"], list(result["refused"])) == (2, ["b"])
    assert "A6000: needs 2 GPUs, the cluster has 1" in result["refused"]["b"]
    assert f"{jobs}: refused: job b:" in captured.err


def test_no_jobs_is_a_valid_answer(tmp_path, capsys):
    path = tmp_path / "none.csv"
    path.write_text(JOBS.splitlines()[0] + "\n")
    assert main(["simulate", "--jobs", str(path), "--gpus", "A100=1", "--policy", "value", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [result[key] for key in KEYS] == ["value", 0, 0, 0, 0, 0, 0]


def test_a_bad_cell_exits_with_2_and_says_where(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(JOBS.replace("c,60,1,600", "c,60,1,-600"))
    done = command("simulate", "--jobs", path, "--gpus", "A100=1,A6000=2", "--policy", "simple", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    expected = f"kilowait: {path}, line 4, column A100_s: must be a finite number > 0, got '-600'\n"
    assert done.stderr == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--gpus", "A100"], "'A100' is not TYPE=N"),
        (["--gpus", "A100=0"], "'A100=0' is not TYPE=N"),
        (["--gpus", "A100=-1"], "'A100=-1' is not TYPE=N"),
        (["--gpus", "A100=1,A100=2"], "'A100' stands twice"),
        (["--gpus", ""], "'' is not TYPE=N"),
        (["--gpus", "A100=1", "--kappa", "nan"], "--kappa: 'nan' is not a finite number >= 0"),
        (["--gpus", "A100=1", "--kappa-relative", "-1"], "--kappa-relative: '-1' is not a finite number >= 0"),
        (["--gpus", "A100=1", "--kappa", "1", "--kappa-relative", "1"], "not allowed with argument --kappa"),
        (["--gpus", "A100=1", "--gamma", "-1"], "--gamma: '-1' is not a finite number >= 0"),
        (["--gpus", "A100=1", "--limit-s", "-1"], "--limit-s: '-1' is not a finite number >= 0"),
        (["--gpus", "A100=1", "--weights", "ada"], "--weights: 'ada' is not USER=W"),
        (["--gpus", "A100=1", "--weights", "ada=0"], "--weights: 'ada=0' is not USER=W with a number W > 0"),
        (["--gpus", "A100=1", "--weights", "=1"], "--weights: '=1' is not USER=W"),
        (["--gpus", "A100=1", "--weights", "ada=1,ada=2"], "--weights: 'ada' stands twice"),
        (["--gpus", "A100=1", "--policy", "best"], "invalid choice: 'best'"),
        (["--gpus", "A100=1", "--jobs", "absent.csv"], "absent.csv: cannot be read: No such file"),
        (["--gpus", "A100=1,H100=2"], "column H100_s: missing"),
    ],
)
def test_a_wrong_option_exits_with_2(jobs, capsys, words, message):
    try:
        code = main(["simulate", "--jobs", str(jobs), "--policy", "simple", *words])
    except SystemExit as stop:  # argparse's own way out
        code = stop.code
    assert code == 2
    assert message in capsys.readouterr().err


def test_placements_never_overwrite_an_input(jobs, capsys):
    words = ["simulate", "--jobs", str(jobs), "--gpus", "A100=1", "--policy", "simple", "--placements", str(jobs)]
    assert main(words) == 2
    assert "would overwrite the input" in capsys.readouterr().err
    assert jobs.read_text() == JOBS


def test_windows_keep_jobs_off_a_node_at_times(jobs, tmp_path):
    windows, out = tmp_path / "windows.csv", tmp_path / "out.csv"
    windows.write_text("node,begins_s,ends_s\nA100-0,4000,5000\n")
    words = ["simulate", "--jobs", str(jobs), "--gpus", "A100=1,A6000=2", "--policy", "simple", "--json"]
    assert main([*words, "--windows", str(windows), "--placements", str(out)]) == 0
    # as above, but c would be on the A100 until 4200 if it started at 3600
    assert out.read_text() == "job_id,start_s,gpu_type\na,0.0,A100\nb,0.0,A6000\nc,5000.0,A100\n"
    assert main([*words, "--windows", str(windows), "--placements", str(windows)]) == 2
    assert windows.read_text().startswith("node,")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full to pretend a full disk")
def test_a_full_disk_is_a_clear_error(jobs):
    words = ("simulate", "--jobs", jobs, "--gpus", "A100=1,A6000=2", "--policy", "simple", "--json")
    done = command(*words, "--placements", "/dev/full")
    assert (done.returncode, done.stderr) == (
        2,
        "kilowait: /dev/full: the placements cannot be written: No space left on device\n",
    )
    shell = [sys.executable, "-m", "kilowait.cli.main", *map(str, words)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            shell, stdout=full, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2], check=False
        )
    expected = (2, "kilowait: the output cannot be written: No space left on device\n")
    assert (done.returncode, done.stderr) == expected


def test_help_teaches_with_an_example_and_simulate_loads_no_torch(jobs):
    done = command("simulate", "--help")
    assert done.returncode == 0
    assert "$ kilowait simulate --jobs jobs.csv --gpus A100=1,A6000=2 --policy value --kappa 1e-5 --json" in done.stdout
    explained = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ") and line.strip()}
    assert set(POLICIES) <= explained
    probe = (
        "import sys; from kilowait.cli.main import main; "
        f"main(['simulate', '--jobs', {str(jobs)!r}, '--gpus', 'A100=1,A6000=2', '--policy', 'value']); "
        "print(sorted({'torch', 'transformers', 'ray', 'pandas'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, cwd=root, timeout=600, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("kilowait 0.")


WATTS = """\
job_id,submit_s,gpus,A100_s,A100_kwh
a,0,1,36000,3.0
b,0,1,36000,3.0
"""


def test_limits_and_budgets_are_asked_for_and_shown(tmp_path, capsys):
    path, out = tmp_path / "jobs.csv", tmp_path / "out.csv"
    path.write_text(WATTS)
    words = ["simulate", "--jobs", str(path), "--gpus", "A100=2", "--policy", "simple", "--placements", str(out)]
    assert main([*words, "--power-limits", "1e6"]) == 0
    rows = [line.split(",") for line in out.read_text().splitlines()]
    assert rows[0] == ["job_id", "start_s", "gpu_type", "limit_w"]
    assert all(float(row[3]) < 400 for row in rows[1:])
    # the lowest limit of A100s is 180 W: there is room for one above what the other draws idle
    assert main([*words, "--power-budget", "300"]) == 0
    starts = {row[0]: float(row[1]) for row in (line.split(",") for line in out.read_text().splitlines()[1:])}
    assert starts["a"] == 0 < starts["b"]
    capsys.readouterr()
    assert main([*words, "--power-budget", "20"]) == 2
    assert "W of idle boards" in capsys.readouterr().err
