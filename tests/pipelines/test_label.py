"""Labelling campaigns: boards share the scripts, kills lose nothing, wrong input is named."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from kilowait.core.closed_ray import local_ray
from kilowait.core.errors import InputError, MeterError
from kilowait.files.columns import CORPUS, LABELS, RUNS
from kilowait.files.parquet import read_table, table, write_table
from kilowait.lab.label.agreement import AgreementRule
from kilowait.lab.label.campaign import Lane, run_lanes
from kilowait.lab.label.journal import Journal
from kilowait.measure.measured_run import Device
from kilowait.program.source import content_hash
from pipelines.label import label
from tests.support.pretended_runs import run_of, script_of

ROOT = Path(__file__).parents[2]


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
        run_lanes(lanes, scripts, journal, AgreementRule(), on_run=lambda *a: seen.append(a), after_block=list)
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
            lanes,
            [script_of(f"s{n}") for n in range(40)],
            journal,
            AgreementRule(),
            on_run=lambda *_: None,
            after_block=list,
        )


def test_the_two_runs_of_a_pair_are_not_back_to_back(tmp_path):
    scripts = [script_of(f"s{n}") for n in (1, 2, 3)]
    board = Device(device_type="A100", device_id="x", device_name="pretended")
    with Journal(tmp_path / "j") as journal:
        lanes = [Lane(runners=[PretendedRunner(board)])]
        run_lanes(lanes, scripts, journal, AgreementRule(), on_run=lambda *_: None, after_block=list)
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
    return f"import time  # {number}\ntime.sleep(0.08)\n"  # asleep: what a busy machine adds is tolerated


def command(corpus, out, *more):
    return ["--corpus", str(corpus), "--out", str(out), "--devices", "cpu-1", *more]


def test_the_command_labels_records_failures_and_repeats_nothing_accepted(tmp_path, capsys):
    corpus = write_corpus(tmp_path / "c", {"a.py": steady(1), "b.py": steady(2), "bad.py": "1/0"})
    out = tmp_path / "out"
    assert label.main(command(corpus, out, "--turn-lock", str(tmp_path / "lock"), "--tolerance", "1.99")) == 0
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
    assert label.main(command(corpus, out, "--tolerance", "1.99")) == 0
    assert (out / "journal.jsonl").read_bytes() == before


def test_a_campaign_killed_half_way_goes_on_where_it_was(tmp_path):
    corpus = write_corpus(tmp_path / "c", {f"s{n:02}.py": steady(n) for n in range(16)})
    out, journal = tmp_path / "out", tmp_path / "out" / "journal.jsonl"
    argv = [sys.executable, "-m", "pipelines.label", *command(corpus, out, "--tolerance", "1.99")]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline and (not journal.exists() or journal.read_bytes().count(b"\n") < 12):
            time.sleep(0.05)
        launchers = [int(p.parent.name) for p in Path("/proc").glob("[0-9]*/stat") if parent_of(p) == first.pid]
        os.kill(first.pid, signal.SIGKILL)
    while any(Path(f"/proc/{pid}").exists() for pid in launchers):  # they see their orders close and leave
        assert time.monotonic() < deadline
        time.sleep(0.01)
    kept = journal.read_bytes()
    done = kept.count(b"\n")
    assert 12 <= done < 32
    journal.write_bytes(kept + b'{"torn')

    second = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    after = journal.read_bytes()
    assert after.startswith(kept)
    assert after.count(b"\n") == 32  # 16 scripts, two runs each: none made twice
    assert read_table(out / "labels.parquet", LABELS).num_rows == 16


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

    with local_ray(ray, num_cpus=1, object_store_memory=2 * 10**8):
        yield


@pytest.mark.usefixtures("one_node")
def test_a_ray_node_labels_scripts_that_it_is_sent(tmp_path):
    from pipelines.label.ray_lanes import ray_lanes

    corpus = label.read_corpus(write_corpus(tmp_path / "c", {"a.py": steady(1), "bad.py": "1/0"}))
    with ExitStack() as stack, pytest.raises(InputError, match="H100: no node offers it; the cluster has cpu-1"):
        ray_lanes("local", "cpu-1,H100", 60, 10, stack)
    with ExitStack() as stack, Journal(tmp_path / "j") as journal:
        lanes = ray_lanes("local", "auto", 60, 10, stack)
        rule = AgreementRule(tolerance=1.99)
        run_lanes(lanes, corpus, journal, rule, on_run=lambda *_: None, after_block=list)
        made = journal.runs()
    assert [(run.path, run.device_type, run.failure) for run in made] == [
        ("a.py", "cpu-1", None),
        ("bad.py", "cpu-1", "ZeroDivisionError: division by zero"),
        ("a.py", "cpu-1", None),
        ("bad.py", "cpu-1", "ZeroDivisionError: division by zero"),
    ]
