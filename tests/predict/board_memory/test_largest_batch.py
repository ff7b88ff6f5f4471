"""The largest batch that fits, from footprints that are told by hand."""

from concurrent.futures import Future
from dataclasses import replace

import pytest

from kilowait.cli.memory_text import batch_lines
from kilowait.predict.board_memory.batch_search import batch_line
from kilowait.predict.board_memory.board_capacity import context_bytes, usable_bytes
from kilowait.predict.board_memory.largest_batch import line_of_one, line_of_two
from kilowait.predict.dry_run_access import NOTHING
from kilowait.predict.dry_runs import DryRunOutcome
from kilowait.predict.dryrun.record import DryRun, Footprint, Operation
from kilowait.program.job_source import JobSource

MIB = 2**20


def run_with(batch: int, steps: float = 10.0) -> DryRun:
    """600 MiB of parameters, gradients and states, and 100 MiB a sample."""
    held = (600 + 100 * batch) * MIB
    return DryRun(
        content_hash="h",
        target="cuda",
        completeness="whole",
        operations=(Operation("aten.mm", "gemm", "float32", "cuda", 1.0, 1.0, 1.0, 1.0, 1),),
        steps=steps,
        samples=batch * steps,
        footprint=Footprint(
            parameters=200.0 * MIB,
            gradients=200.0 * MIB,
            optimizer=200.0 * MIB,
            activations=100.0 * batch * MIB,
            held=float(held),
            held_with_workspace=float(held),
            cached=float(held),
        ),
    )


class Runs:
    """Stands for dry runs: gives what a batch of so many takes, and nothing above `most`."""

    def __init__(self, most: int) -> None:
        self.most, self.asked = most, []

    def submit(self, source: JobSource, access: object) -> "Future[DryRunOutcome]":
        batch = int(source.arguments[-1])
        self.asked.append(batch)
        future: Future[DryRunOutcome] = Future()
        future.set_result(DryRunOutcome(run=run_with(batch)) if batch <= self.most else DryRunOutcome(off="no data"))
        return future


def fitting(gpu_type: str) -> int:
    return int((usable_bytes(gpu_type) - context_bytes(gpu_type) - 600 * MIB) // (100 * MIB))


@pytest.mark.parametrize("gpu_type", ["RTX-3090", "H100", "T4"])
def test_two_runs_and_one_agree_where_memory_is_a_line(gpu_type):
    two = line_of_two(run_with(8), run_with(16), (8, 16), "--bs 8").largest(gpu_type)
    one = line_of_one(run_with(8)).largest(gpu_type)
    assert two.expected == one.expected == fitting(gpu_type)
    assert 0.85 * two.expected < two.sure < two.expected


def test_what_does_not_grow_tells_nothing():
    assert line_of_two(run_with(8), run_with(8), (8, 16), "--bs 8") is None
    assert line_of_one(replace(run_with(8), samples=0.0)) is None
    assert line_of_one(replace(run_with(8), steps=0.0)) is None


def test_a_program_that_is_too_large_without_samples_fits_none():
    assert line_of_two(run_with(300), run_with(301), (1, 2), "--bs 1").largest("T4").expected == 0


@pytest.mark.parametrize(("most", "asked"), [(1000, [16]), (10, [16, 4]), (0, [16, 4])])
def test_the_second_run_has_twice_the_batch_or_half_of_it(most, asked):
    text = (
        b"import argparse\np = argparse.ArgumentParser()\np.add_argument('--bs', type=int, default=8)\np.parse_args()\n"
    )
    job, runs = JobSource(files={"job.py": text}, entrypoint="job.py"), Runs(most)
    line = batch_line(job, run_with(8), runs, NOTHING)
    assert runs.asked == asked
    assert line.largest("A100").expected == fitting("A100")
    assert line.how.startswith("two dry runs, with --bs 8 and" if most else "one dry run")


def test_the_text_says_how_it_was_had():
    line = line_of_one(run_with(8)).largest("A100").to_dict()
    first, second = batch_lines({"largest_batch": {"A100": line}})
    assert first.strip() == f"largest batch: A100 {line['expected']} ({line['sure']} surely)"
    assert "one dry run" in second
    assert "not known" in batch_lines({"largest_batch": {}})[0]
    assert batch_lines({}) == []
