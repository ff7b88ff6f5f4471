"""pipelines.dryrun: a row a program, resumed by content hash, failures kept apart."""

from dataclasses import replace
from pathlib import Path

import pytest

from kilowait.core.errors import InputError
from kilowait.lab.evaluate.dry_run_shards import finished, read_dry_runs, write_dry_runs
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import Completeness, DryRun, Footprint, Operation
from kilowait.program.source import source_from_bytes
from pipelines.dryrun import main

pytestmark = [
    # Ray leaves pipes and log files to the garbage collector, and warns about its own future defaults.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]

FORWARD = """
import torch
class Model(torch.nn.Module):
    def forward(self, a, b):
        return a @ b
def get_inputs():
    return [torch.randn(8, 16), torch.randn(16, 32)]
def get_init_inputs():
    return []
"""
SCRIPT = """
import torch
a, b = torch.randn(4, 5), torch.randn(5, 6)
print((a @ b).sum().item())
"""
BROKEN = "import torch\nraise ValueError('as it was meant')\n"


def _gemm(run: DryRun) -> Operation:
    return next(op for op in run.operations if op.kind == "gemm")


@pytest.fixture(scope="module")
def runs() -> dict[str, DryRun]:
    with DryRunner(budget_s=120, target="cpu") as runner:
        texts = {"forward": FORWARD, "script": SCRIPT, "broken": BROKEN}
        return {name: runner.run(source_from_bytes(name, text.encode())) for name, text in texts.items()}


def test_a_forward_program_is_one_pass(runs: dict[str, DryRun]) -> None:
    run = runs["forward"]
    assert run.completeness == Completeness.WHOLE
    assert len(run.operations) == 1
    gemm = _gemm(run)
    assert (gemm.flops, gemm.count) == (2 * 8 * 16 * 32, 1)
    assert (gemm.bytes_read, gemm.bytes_written) == (4 * (8 * 16 + 16 * 32), 4 * 8 * 32)


def test_a_script_is_run_as_main(runs: dict[str, DryRun]) -> None:
    assert runs["script"].completeness == Completeness.WHOLE
    assert _gemm(runs["script"]).flops == 2 * 4 * 5 * 6


def test_a_program_that_raises_says_so(runs: dict[str, DryRun]) -> None:
    assert runs["broken"].completeness == Completeness.FAILED
    assert runs["broken"].reason == "ValueError: as it was meant (job.py line 2)"


def test_shards_keep_what_was_written(tmp_path: Path, runs: dict[str, DryRun]) -> None:
    write_dry_runs(tmp_path, list(runs.values()))
    at_once = {"remedy": "", "unbounded": "", "footprint": Footprint()}
    kept = {run.content_hash: replace(run, **at_once) for run in runs.values()}  # that is for who asks at once
    assert read_dry_runs(tmp_path, "cpu") == kept
    assert read_dry_runs(tmp_path, "cuda") == {}
    assert finished(tmp_path, "cpu") == {run.content_hash for run in runs.values()}


def test_a_folder_without_shards_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=str(tmp_path)):
        read_dry_runs(tmp_path, "cpu")


@pytest.mark.usefixtures("one_ray")
def test_the_command_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    corpus.mkdir()
    options = ["--corpus", str(corpus), "--out", str(out), "--target", "cpu", "--budget-s", "20", "--actors", "1"]
    (corpus / "a.py").write_text(SCRIPT)
    assert main(options) == 0
    (corpus / "b.py").write_text(BROKEN)
    assert main(options) == 0
    assert "programs 2, done before 1, whole 0, guessed 0, partial 0, failed 1" in capsys.readouterr().out
    assert {run.completeness for run in read_dry_runs(out, "cpu").values()} == {"whole", "failed"}


def test_a_corpus_without_a_source_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--corpus", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert str(tmp_path) in capsys.readouterr().err
