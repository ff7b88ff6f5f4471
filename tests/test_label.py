"""Labelling: agreement, every way a script can fail, resuming, and running alone."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.errors import InputError, MeterError
from kilowait.measure.agreement import Rule, Standing, closest_pair, standing
from kilowait.measure.campaign import Lane, Script, label_rows, run_lanes
from kilowait.measure.journal import Journal
from kilowait.measure.meters import RecordedMeter, Sample
from kilowait.measure.outcome import Order
from kilowait.measure.run import Device, Run
from kilowait.measure.runner import Launcher, Runner, cpu_device, order_for, turn
from kilowait.measure.summary import summarise
from kilowait.records import CORPUS, LABELS, RUNS, read_table, table, write_table
from kilowait.source import content_hash
from pipelines import label

ROOT = Path(__file__).parents[1]
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def run_of(runtime_s, *, failure=None, content="h", device_type="cpu-1", device_id="here", attempt=1, energy_j=1.0):
    return Run(
        content_hash=content,
        path="a.py",
        device_type=device_type,
        device_id=device_id,
        attempt=attempt,
        started_at=NOON,
        exit_code=0 if failure is None else 1,
        failure=failure,
        startup_s=0.01,
        warmup_s=None,
        steady_s=runtime_s,
        runtime_s=runtime_s,
        energy_j=energy_j,
        power_mean_w=None,
        power_peak_w=None,
        peak_memory_bytes=None,
        runtime_provenance="pretended",
        energy_provenance="pretended",
        meter="recorded",
        host="here",
        device_name="pretended",
        driver=None,
        versions="{}",
    )


def runs_of(*runtimes):
    return [run_of(1.0, failure="broke") if t is None else run_of(t) for t in runtimes]


@pytest.mark.parametrize(
    ("runtimes", "expected"),
    [
        ([], Standing.OPEN),
        ([1.0], Standing.OPEN),
        ([19.0, 21.0], Standing.ACCEPTED),  # 2 / 20 is the tolerance itself
        ([19.0, 21.1], Standing.OPEN),
        ([1.0, 2.0, 1.05], Standing.ACCEPTED),  # the first and the third
        ([1, 2, 4, 8], Standing.OPEN),
        ([1, 2, 4, 8, 16], Standing.FLAGGED),
        ([None], Standing.OPEN),
        ([None, None], Standing.FAILED),
        ([None, 1.0, 1.0], Standing.ACCEPTED),
        ([1.0, None, None], Standing.FAILED),
        ([1.0, 2.0, None, None], Standing.FLAGGED),
    ],
)
def test_when_runs_agree(runtimes, expected):
    assert standing(runs_of(*runtimes), Rule()) is expected


def test_the_closest_of_all_pairs_is_taken_not_the_first_within_the_tolerance():
    runs = runs_of(10.0, 10.8, 12.0, 10.7)
    a, b, apart = closest_pair(runs)
    assert (a.runtime_s, b.runtime_s) == (10.8, 10.7)
    assert apart == pytest.approx(0.1 / 10.75)


@given(st.lists(st.floats(0.01, 100), max_size=5), st.floats(0.01, 100))
def test_a_further_run_never_undoes_an_acceptance(runtimes, another):
    if standing(runs_of(*runtimes), Rule()) is Standing.ACCEPTED:
        assert standing(runs_of(*runtimes, another), Rule()) is Standing.ACCEPTED


@pytest.mark.parametrize(("options", "value"), [({"tolerance": 0}, "0"), ({"max_runs": 1}, "1")])
def test_a_rule_that_makes_no_pair_is_refused(options, value):
    with pytest.raises(InputError, match=f"got {value}"):
        Rule(**options)


def script_of(name):
    return Script(content_hash=name, path=f"{name}.py", file=Path(f"{name}.py"), family="f", group="g", style="flat")


def test_a_label_is_the_mean_of_the_accepted_pair_and_a_failed_script_has_none():
    runs = {
        ("good", "cpu-1"): [run_of(1.0, energy_j=10), run_of(9.0, energy_j=99), run_of(1.04, energy_j=12)],
        ("apart", "cpu-1"): [run_of(t) for t in (1, 2, 4, 8, 16)],
        ("bad", "cpu-1"): runs_of(None, None),
        ("elsewhere", "cpu-1"): runs_of(1.0, 1.0),
    }
    rows = label_rows([script_of("bad"), script_of("apart"), script_of("good")], runs, Rule())
    assert [row["content_hash"] for row in rows] == ["apart", "good"]
    flagged, good = rows
    assert (good["runtime_s"], good["energy_j"], good["runs"], good["flagged"]) == (1.02, 11, 3, False)
    assert good["spread"] == pytest.approx(0.04 / 1.02)
    assert (flagged["flagged"], flagged["runtime_s"]) == (True, 1.5)  # every neighbour is 2/3 apart: the earliest
    assert set(rows[0]) == set(LABELS.names)


def test_the_summary_counts_first_pairs_apart_from_those_that_needed_repeats():
    runs = {
        ("a", "cpu-1"): runs_of(1.0, 1.0),
        ("b", "cpu-1"): runs_of(3.0, 9.0, 3.0),
        ("c", "cpu-1"): runs_of(1, 2, 4, 8, 16),
        ("d", "cpu-1"): runs_of(None, None),
    }
    figures = summarise(runs, Rule())["cpu-1"]
    counts = [figures[name] for name in ("scripts", "runs", "accepted", "flagged", "failed", "open")]
    assert counts == [4, 12, 2, 1, 1, 0]
    assert figures["first_pairs_within_tolerance"] == pytest.approx(1 / 3)
    assert figures["pairs_within_tolerance"] == pytest.approx(2 / 3)
    assert (figures["p50_s"], figures["mean_s"]) == (1.5, pytest.approx(5.5 / 3))  # labels 1, 1.5 and 3


def test_a_run_has_exactly_the_columns_of_the_table():
    assert [f.name for f in fields(Run)] == RUNS.names


# --- the journal


def test_a_journal_returns_what_was_added_and_cuts_a_torn_last_line(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.add(run_of(1.0))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"content_hash": "h", "pa')
    with Journal(path) as journal:
        assert journal.of("h", "cpu-1") == (run_of(1.0),)
        journal.add(run_of(2.0, attempt=2))
    with Journal(path) as journal:
        assert journal.runs() == (run_of(1.0), run_of(2.0, attempt=2))


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text(run_of(1.0).to_json() + "\nnonsense\n" + run_of(2.0).to_json() + "\n")
    with pytest.raises(InputError, match="line 2"):
        Journal(path)


def test_two_campaigns_do_not_share_a_journal(tmp_path):
    with Journal(tmp_path / "j"), pytest.raises(InputError, match="another campaign"):
        Journal(tmp_path / "j")


# --- one run, really forked


@pytest.fixture(scope="module")
def warm():
    with Launcher(warm=True) as launcher:
        yield launcher


def outcome_of(launcher, tmp_path, text, *, timeout_s=60.0):
    script = tmp_path / "job.py"
    script.write_text(text)
    return launcher.run(order_for(cpu_device(1, "here"), script, timeout_s))


@pytest.mark.parametrize(
    ("text", "code", "failure"),
    [
        ("raise ValueError('bad width 7')", 1, "ValueError: bad width 7"),
        ("import sys; sys.exit(3)", 3, "exit code 3"),
        ("import sys; sys.exit('no data here')", 1, "no data here"),
        ("import os; os._exit(7)", 7, "exit code 7"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -11, "killed by SIGSEGV"),
        ("x = [bytearray(2**44)]", 1, "MemoryError"),
        ("def f(:", 1, "SyntaxError: invalid syntax"),
        ("input()", 1, "EOFError: EOF when reading a line"),
        ("raise KeyboardInterrupt", 1, "KeyboardInterrupt"),
        ("import os, sys; os.closerange(0, 100); sys.exit(4)", 4, "exit code 4"),
    ],
)
def test_each_way_to_fail_is_recorded(warm, tmp_path, text, code, failure):
    outcome = outcome_of(warm, tmp_path, text)
    assert (outcome.exit_code, outcome.failure) == (code, failure)


@pytest.mark.parametrize("text", ["", "import sys; sys.exit()", "import sys; sys.exit(0)", "print('x' * 10**6)"])
def test_a_good_script_succeeds(warm, tmp_path, text):
    outcome = outcome_of(warm, tmp_path, text)
    assert (outcome.exit_code, outcome.failure, outcome.step_s) == (0, None, None)
    assert outcome.forked_s < outcome.started_s < outcome.ended_s


def test_a_flood_on_stderr_is_drained_and_only_its_end_is_kept(warm, tmp_path):
    outcome = outcome_of(warm, tmp_path, "import sys\nfor i in range(200000): print('line', i, file=sys.stderr)\n1/0")
    assert outcome.failure == "ZeroDivisionError: division by zero"


def gone(pid):
    return not Path(f"/proc/{pid}").exists()


FAMILY = """
import os, pathlib, time
out = pathlib.Path({out!r})
for i in range(3):
    if os.fork() == 0:
        os.setsid()  # escape the process group
        if os.fork() == 0:
            os.setsid()
        (out / str(os.getpid())).touch()
        time.sleep(1000)
while len(list(out.iterdir())) < 6: time.sleep(0.005)
{end}
"""


@pytest.mark.parametrize(("end", "failure"), [("time.sleep(1000)", "timeout after 4 s"), ("", None)])
def test_a_scripts_children_and_grandchildren_end_with_it(warm, tmp_path, end, failure):
    out = tmp_path / "pids"
    out.mkdir()
    outcome = outcome_of(warm, tmp_path, FAMILY.format(out=str(out), end=end), timeout_s=4 if end else 60)
    assert outcome.failure == failure
    pids = [int(path.name) for path in out.iterdir()]
    assert len(pids) == 6
    assert all(gone(pid) for pid in pids)


SURROUNDINGS = """
import os, sys, pathlib, random, torch
assert __name__ == "__main__" and sys.argv == [__file__], (__name__, sys.argv)
assert torch.get_num_threads() == 1 and torch.get_num_interop_threads() == 1
assert len(os.sched_getaffinity(0)) == 1 and os.environ["OMP_NUM_THREADS"] == "1"
assert os.getpgid(0) == os.getsid(0) == os.getpid()
assert len(os.listdir("/proc/self/fd")) <= 5, os.listdir("/proc/self/fd")
open("left-behind", "w").write("x")
pathlib.Path({out!r}).write_text(os.getcwd())
"""


def test_a_script_finds_itself_the_main_program_on_one_core_in_a_folder_of_its_own(warm, tmp_path):
    outcome = outcome_of(warm, tmp_path, SURROUNDINGS.format(out=str(tmp_path / "cwd")))
    assert outcome.failure is None
    assert not Path((tmp_path / "cwd").read_text()).exists()


TRAIN = """
import torch
from torch.nn.modules import module
inner = torch.nn.Linear(4, 1)
model = torch.nn.Sequential(inner, torch.nn.ReLU())
if {training}: optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(3):
    loss = model(torch.ones(2, 4)).sum()
    assert not module._global_forward_hooks and not module._global_forward_pre_hooks
    if {training}:
        loss.backward()
        optimizer.step()
"""


@pytest.mark.parametrize("training", [True, False])
def test_the_first_step_is_marked_and_its_hooks_go_away(warm, tmp_path, training):
    outcome = outcome_of(warm, tmp_path, TRAIN.format(training=training))
    assert outcome.failure is None
    assert outcome.started_s < outcome.step_s < outcome.ended_s
    assert outcome.warmup_s + outcome.steady_s == pytest.approx(outcome.runtime_s)


def test_a_script_that_kills_the_launching_process_is_a_failure_and_the_next_one_runs(tmp_path):
    with Launcher(warm=False) as launcher:
        lost = outcome_of(launcher, tmp_path, "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)")
        assert "the launching process ended" in lost.failure
        assert outcome_of(launcher, tmp_path, "").failure is None


def test_a_cold_run_starts_a_fresh_python_that_sees_only_its_gpu(tmp_path):
    script = tmp_path / "job.py"
    script.write_text("import os, sys\nsys.exit(os.environ['CUDA_VISIBLE_DEVICES'])")
    board = Device(device_type="A100", device_id="GPU-1", device_name="NVIDIA A100")
    meter = RecordedMeter(samples=[Sample(at_s=0, power_w=10), Sample(at_s=1000, power_w=10)])
    with Launcher(warm=False) as launcher:
        runner = Runner(board, launcher, meter, timeout_s=60, host="here", now=lambda: NOON)
        run = runner.run(script, content_hash="h", path="job.py", attempt=4)
    assert (run.failure, run.device_id, run.attempt) == ("GPU-1", "GPU-1", 4)
    assert run.energy_j == pytest.approx(10 * run.runtime_s)
    assert (run.energy_provenance, run.runtime_provenance) == ("pretended", "measured")


def test_a_meter_that_fails_keeps_the_run_as_one_that_cannot_be_a_label(tmp_path, warm):
    script = tmp_path / "job.py"
    script.write_text("")
    runner = Runner(cpu_device(1, "here"), warm, RecordedMeter(samples=[]), timeout_s=60, host="here", now=lambda: NOON)
    run = runner.run(script, content_hash="h", path="job.py", attempt=1)
    assert run.failure.startswith("meter: no power samples")
    assert (run.exit_code, run.energy_j, run.energy_provenance) == (0, None, None)


def test_an_order_survives_the_pipe():
    order = Order(script="a b.py", timeout_s=1.5, threads=2, cores=(0, 1), environment={"X": "ü"})
    assert Order.from_json(order.to_json()) == order


def test_the_turn_lock_is_held_during_a_run_and_free_after_it(tmp_path):
    lock = tmp_path / "lock"
    with lock.open("a") as other:
        with turn(lock), pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


# --- whole campaigns


@dataclass
class PretendedRunner:
    """Every third script is noisy: its runs never agree."""

    device: Device

    def run(self, script, *, content_hash, path, attempt):
        runtime_s = 2.0**attempt if content_hash.endswith("0") else 1.0
        return run_of(
            runtime_s,
            content=content_hash,
            device_type=self.device.device_type,
            device_id=self.device.device_id,
            attempt=attempt,
        )


def test_boards_of_one_type_share_the_scripts_and_both_runs_come_from_one_board(tmp_path):
    def lane(of, number):
        board = Device(device_type=of, device_id=f"{of}-{number}", device_name="pretended")
        return Lane(runners=[PretendedRunner(board)])

    scripts = [script_of(f"s{n:02}") for n in range(40)]
    seen = []
    with Journal(tmp_path / "j") as journal:
        lanes = [lane("A100", 0), lane("A100", 1), lane("A6000", 0)]
        run_lanes(lanes, scripts, journal, Rule(), on_run=lambda *a: seen.append(a), after_block=list)
        made = journal.by_key()
    assert len(made) == 80
    assert all(len({run.device_id for run in runs}) == 1 for runs in made.values())
    assert all([run.attempt for run in runs] == list(range(1, len(runs) + 1)) for runs in made.values())
    assert {len(runs) for (name, _), runs in made.items() if name.endswith("0")} == {5}
    assert {len(runs) for (name, _), runs in made.items() if not name.endswith("0")} == {2}
    assert len(seen) == 8 * 5 + 72 * 2


def test_a_lost_board_ends_the_campaign_with_its_own_error(tmp_path):
    class Lost(PretendedRunner):
        def run(self, script, *, content_hash, path, attempt):
            raise MeterError("GPU-1: fell off the bus")

    boards = [Device(device_type="A100", device_id=f"GPU-{n}", device_name="pretended") for n in (0, 1)]
    lanes = [Lane(runners=[PretendedRunner(boards[0])]), Lane(runners=[Lost(boards[1])])]
    with Journal(tmp_path / "j") as journal, pytest.raises(MeterError, match="GPU-1: fell off"):
        run_lanes(
            lanes, [script_of(f"s{n}") for n in range(40)], journal, Rule(), on_run=lambda *_: None, after_block=list
        )


def test_the_two_runs_of_a_pair_are_not_back_to_back(tmp_path):
    scripts = [script_of(f"s{n}") for n in (1, 2, 3)]
    board = Device(device_type="A100", device_id="x", device_name="pretended")
    with Journal(tmp_path / "j") as journal:
        lanes = [Lane(runners=[PretendedRunner(board)])]
        run_lanes(lanes, scripts, journal, Rule(), on_run=lambda *_: None, after_block=list)
        order = [run.content_hash for run in journal.runs()]
    assert order == ["s1", "s2", "s3", "s1", "s2", "s3"]


def write_corpus(folder, texts):
    folder.mkdir()
    rows = []
    for name, text in texts.items():
        (folder / name).write_text(text)
        row = {"content_hash": content_hash(text.encode()), "path": name, "family": name, "group": name}
        rows.append(row | {"style": "flat", "scale": "cpu", "hyperparameters": "{}", "source_bytes": len(text)})
    write_table(table(rows, CORPUS), folder / "manifest.parquet")
    return folder


def steady(number):
    return f"import time  # {number}\ntime.sleep(0.08)\n"  # asleep: agrees with itself however busy the machine is


def command(corpus, out, *more):
    return ["--corpus", str(corpus), "--out", str(out), "--devices", "cpu-1", *more]


def test_the_command_labels_records_failures_and_repeats_nothing_accepted(tmp_path, capsys):
    corpus = write_corpus(tmp_path / "c", {"a.py": steady(1), "b.py": steady(2), "bad.py": "1/0"})
    out = tmp_path / "out"
    assert label.main(command(corpus, out, "--turn-lock", str(tmp_path / "lock"), "--tolerance", "0.9")) == 0
    assert "cpu-1" in capsys.readouterr().out
    runs = read_table(out / "runs.parquet", RUNS).to_pylist()
    labels = read_table(out / "labels.parquet", LABELS).to_pylist()
    assert sorted(row["path"] for row in runs) == ["a.py", "a.py", "b.py", "b.py", "bad.py", "bad.py"]
    assert {row["failure"] for row in runs if row["path"] == "bad.py"} == {"ZeroDivisionError: division by zero"}
    assert [row["family"] for row in labels] == ["a.py", "b.py"]
    assert all(row["runtime_s"] >= 0.08 and row["energy_provenance"] == "estimated" for row in labels)
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["cpu-1"]["accepted"], summary["cpu-1"]["failed"]) == (2, 1)

    before = (out / "journal.jsonl").read_bytes()
    assert label.main(command(corpus, out, "--tolerance", "0.9")) == 0
    assert (out / "journal.jsonl").read_bytes() == before


def test_a_campaign_killed_half_way_goes_on_where_it_was(tmp_path):
    corpus = write_corpus(tmp_path / "c", {f"s{n:02}.py": steady(n) for n in range(24)})
    out, journal = tmp_path / "out", tmp_path / "out" / "journal.jsonl"
    argv = [sys.executable, "-m", "pipelines.label", *command(corpus, out, "--tolerance", "1.5")]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and (not journal.exists() or journal.read_bytes().count(b"\n") < 20):
            time.sleep(0.01)
        launchers = [int(p.parent.name) for p in Path("/proc").glob("[0-9]*/stat") if parent_of(p) == first.pid]
        os.kill(first.pid, signal.SIGKILL)
    while not all(gone(pid) for pid in launchers):  # they see their orders close and leave
        assert time.monotonic() < deadline
        time.sleep(0.01)
    kept = journal.read_bytes()
    done = kept.count(b"\n")
    assert 20 <= done < 48
    journal.write_bytes(kept + b'{"torn')

    second = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    after = journal.read_bytes()
    assert after.startswith(kept)
    assert after.count(b"\n") == 48  # 24 scripts, two runs each: none made twice
    assert read_table(out / "labels.parquet", LABELS).num_rows == 24


def parent_of(stat):
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def test_a_changed_script_is_refused_by_name(tmp_path, capsys):
    corpus = write_corpus(tmp_path / "c", {"a.py": "pass"})
    (corpus / "a.py").write_text("changed")
    assert label.main(command(corpus, tmp_path / "out")) == 2
    assert "a.py: changed since the manifest" in capsys.readouterr().err


@pytest.mark.parametrize(("devices", "culprit"), [("cpu-999", "cpu-999"), ("A100", "this machine offers cpu-N")])
def test_a_device_that_is_not_here_is_refused(devices, culprit):
    with pytest.raises(InputError, match=culprit):
        label.find_devices(devices, "here", boards=list)


def test_auto_takes_every_board_and_the_cpu_only_where_there_is_none():
    board = Device(device_type="A100", device_id="GPU-1", device_name="NVIDIA A100")
    assert label.find_devices("auto", "here", boards=lambda: [board]) == [board]
    assert label.find_devices("auto", "here", boards=list)[0].device_type == "cpu-1"
    both = label.find_devices("cpu-1,A100", "here", boards=lambda: [board])
    assert [device.device_type for device in both] == ["cpu-1", "A100"]


def test_runs_on_two_processors_make_no_pair(tmp_path, capsys):
    corpus = write_corpus(tmp_path / "c", {"a.py": "pass"})
    with Journal(tmp_path / "out" / "journal.jsonl") as journal:
        journal.add(run_of(1.0))
    assert label.main(command(corpus, tmp_path / "out")) == 2
    assert "would mix runs" in capsys.readouterr().err


def test_a_sample_is_the_same_for_the_same_seed_and_keeps_the_manifests_order():
    scripts = [script_of(f"s{n}") for n in range(9)]
    drawn = label.chosen(scripts, None, 4, 3)
    assert drawn == label.chosen(scripts, None, 4, 3)
    assert [scripts.index(s) for s in drawn] == sorted(scripts.index(s) for s in drawn)
    assert len(drawn) == 4
    assert label.chosen(scripts, 2, None, 0) == scripts[:2]


# --- on Ray


@pytest.fixture
def one_node():
    import ray

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=2 * 10**8)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("one_node")
def test_a_ray_node_labels_scripts_that_it_is_sent(tmp_path):
    from pipelines.label_ray import ray_lanes

    corpus = label.read_corpus(write_corpus(tmp_path / "c", {"a.py": steady(1), "bad.py": "1/0"}))
    with ExitStack() as stack, pytest.raises(InputError, match="H100: no node offers it; the cluster has cpu-1"):
        ray_lanes("local", "cpu-1,H100", 60, 10, stack)
    with ExitStack() as stack, Journal(tmp_path / "j") as journal:
        lanes = ray_lanes("local", "auto", 60, 10, stack)
        rule = Rule(tolerance=1.5)
        run_lanes(lanes, corpus, journal, rule, on_run=lambda *_: None, after_block=list)
        made = journal.runs()
    assert [(run.path, run.device_type, run.failure) for run in made] == [
        ("a.py", "cpu-1", None),
        ("bad.py", "cpu-1", "ZeroDivisionError: division by zero"),
        ("a.py", "cpu-1", None),
        ("bad.py", "cpu-1", "ZeroDivisionError: division by zero"),
    ]
