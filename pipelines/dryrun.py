"""Run a corpus of programs dry over a pool of Ray actors: `kilowait lab dryrun --help`.

Writes into --out: dryrun-*.parquet (columns.DRYRUNS) and refused.json.
"""

import argparse
import json
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import ray
from ray.util import ActorPool
from tqdm import tqdm

from kilowait.core.errors import InputError, KilowaitError
from kilowait.core.started import command_name
from kilowait.lab.evaluate.dry_run_shards import finished, write_dry_runs
from kilowait.lab.evaluate.shards import collect, find_files, write_refused
from kilowait.predict.dryrun.dry_runner import TARGETS, DryRunner, read_dry_run
from kilowait.predict.dryrun.record import DryRun
from kilowait.program.source import MAX_SOURCE_BYTES, Source

from .embed.actors import session

EXAMPLE = """example:
  kilowait lab dryrun --corpus out/corpus --out out/dryruns --target cuda --budget-s 2

A program that defines Model, get_inputs and get_init_inputs and does nothing as a script is one forward pass; any
other is run as a script. Its code is executed, on tensors without data, in a child process of its own.
Kill it at any moment and start it again: what is in --out is not run again. A program that fails is a row that says
why, and never stops the rest.
Exit code: 0 even when some programs failed, 2 when nothing was usable or an option is wrong.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRunSummary:
    """What a run did; the seconds are those of the dry runs made now, measured."""

    files: int
    unique: int
    done_before: int
    whole: int
    guessed: int
    partial: int
    failed: int
    refused: int
    p50_s: float
    p95_s: float
    max_s: float


def parser() -> argparse.ArgumentParser:
    """The options of `kilowait lab dryrun`."""
    p = argparse.ArgumentParser(
        prog=command_name(f"{__package__}.dryrun", "kilowait lab dryrun"),
        description="Run programs on tensors without data and write down every operation; resumable.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--corpus", nargs="+", required=True, metavar="PATH", help="folders (searched for --glob) or files")
    p.add_argument("--out", required=True, type=Path, metavar="DIR", help="where the shards go, and resume from")
    p.add_argument("--glob", default="*.py", help="which files of a folder (default: %(default)s)")
    p.add_argument("--target", default="cuda", choices=TARGETS, help="cuda: any GPU type (default: %(default)s)")
    p.add_argument("--budget-s", type=float, default=2.0, help="CPU seconds a program gets (default: %(default)s)")
    p.add_argument("--unsafe", action="store_true", help="run programs without a sandbox, where there is none")
    p.add_argument("--actors", type=int, metavar="N", help="default: one a CPU")
    p.add_argument("--shard-size", type=int, default=64, metavar="N", help="programs a shard (default: %(default)s)")
    p.add_argument("--limit", type=int, metavar="N", help="only the first N files")
    p.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parser().parse_args(argv)
    try:
        summary = run(options)
    except KilowaitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    _report(summary, options)
    return 0


def run(options: argparse.Namespace) -> DryRunSummary:
    """Run dry what is not in --out yet; raises InputError when no file is usable."""
    paths = find_files(options.corpus, options.glob)[: options.limit]
    collection = collect(paths, MAX_SOURCE_BYTES)
    write_refused(options.out, collection.refused)
    if not collection.sources:
        raise InputError(f"--corpus {', '.join(options.corpus)}: none of {collection.files} files is usable")
    done_hashes = finished(options.out, options.target)
    todo = [source for content_hash, source in collection.sources.items() if content_hash not in done_hashes]
    runs = _dry_run(options, todo) if todo else []
    counts = Counter(run.completeness for run in runs)
    seconds = sorted(run.seconds for run in runs) or [0.0]
    return DryRunSummary(
        files=collection.files,
        unique=len(collection.sources),
        done_before=len(collection.sources) - len(todo),
        whole=counts["whole"],
        guessed=counts["guessed"],
        partial=counts["partial"],
        failed=counts["failed"],
        refused=len(collection.refused),
        p50_s=statistics.median(seconds),
        p95_s=seconds[int(0.95 * (len(seconds) - 1))],
        max_s=seconds[-1],
    )


@ray.remote(num_cpus=1)
class _Actor:
    """One actor holds one worker process."""

    def __init__(self, budget_s: float, target: str, unsafe: bool) -> None:
        self.runner = DryRunner(budget_s=budget_s, target=target, unsafe=unsafe)

    def run(self, source: Source) -> bytes:
        """The dry run of one source, as JSON."""
        return self.runner.run(source).to_json()

    def close(self) -> None:
        """End the worker process."""
        self.runner.close()


def _dry_run(options: argparse.Namespace, todo: Sequence[Source]) -> list[DryRun]:
    """Run the sources over the actors, writing a shard whenever enough have come back."""
    runs: list[DryRun] = []
    written_count = 0
    with session(), tqdm(total=len(todo), desc="dry run", unit="program", mininterval=0.5) as progress:
        for run in _stream(options, todo):
            runs.append(run)
            if len(runs) - written_count >= options.shard_size:
                write_dry_runs(options.out, runs[written_count:])
                written_count = len(runs)
            progress.update()
    if runs[written_count:]:
        write_dry_runs(options.out, runs[written_count:])
    return runs


def _stream(options: argparse.Namespace, todo: Sequence[Source]) -> Iterator[DryRun]:
    """The dry runs in the order in which they end."""
    room = int(ray.cluster_resources().get("CPU", 1))
    actors = [
        _Actor.remote(options.budget_s, options.target, options.unsafe)  # type: ignore[attr-defined]
        for _ in range(min(options.actors or room, room, len(todo)))
    ]
    for data in ActorPool(actors).map_unordered(lambda actor, source: actor.run.remote(source), todo):
        yield read_dry_run(data)
    ray.get([actor.close.remote() for actor in actors])


def _report(summary: DryRunSummary, options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps(asdict(summary)))
        return
    s = summary
    print(
        f"programs {s.unique}, done before {s.done_before}, whole {s.whole}, guessed {s.guessed}, "
        f"partial {s.partial}, failed {s.failed}, refused files {s.refused}"
    )
    print(f"a dry run took {s.p50_s:.3f} s (p50), {s.p95_s:.3f} s (p95), {s.max_s:.3f} s (longest), into {options.out}")


if __name__ == "__main__":
    sys.exit(main())
