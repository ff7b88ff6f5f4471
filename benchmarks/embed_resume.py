"""Embed real files, kill the driver with -9 half-way, resume, and check that nothing finished is computed twice.

    python -m benchmarks.embed_resume --corpus .venv/lib/python3.11/site-packages --work out/embed-resume

The sample is deterministic: files of --min-bytes to --max-bytes in the order of a hash of their relative paths. The
shards that were in flight at the kill had not been written: their sources are computed by the second run, and are
not counted as recomputed. --work is emptied first.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from benchmarks.json_record import keep
from kilowait.core.errors import InputError, KilowaitError

POLL_S = 0.02
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""Ray's own idle helpers: they notice after about a minute that their node is gone, and compute nothing meanwhile."""
GONE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the two runs did. `recomputed` counts vectors that a finished shard held when the second run made them."""

    files: int
    unique: int
    embedded_before_kill: int
    shards_before_kill: int
    embedded_after: int
    skipped_after: int
    refused: int
    recomputed: int
    shards_changed: int
    missing: int
    processes_left: int  # a minute after the kill, Ray's idle agents left out
    ray_gone_s: float
    first_run_s: float
    second_run_s: float
    second_tokens_per_s: float

    @property
    def good(self) -> bool:
        """The kill came half-way, nothing was lost, changed or repeated, and no process stayed."""
        half_way = 0 < self.embedded_before_kill < self.unique
        faults = self.recomputed + self.shards_changed + self.missing + self.processes_left
        return half_way and not faults and self.skipped_after == self.embedded_before_kill


def sample(corpus: Path, folder: Path, count: int, min_bytes: int, max_bytes: int) -> int:
    """Copy `count` .py files of the given sizes into `folder`; raises InputError when there are fewer."""
    paths = [p for p in corpus.rglob("*.py") if p.is_file() and min_bytes <= p.stat().st_size <= max_bytes]
    ranked = sorted(paths, key=lambda p: hashlib.sha256(str(p.relative_to(corpus)).encode()).hexdigest())
    if len(ranked) < count:
        raise InputError(f"{corpus}: {len(ranked)} files of {min_bytes} to {max_bytes} bytes, {count} are asked for")
    folder.mkdir(parents=True)
    for number, path in enumerate(ranked[:count]):
        shutil.copyfile(path, folder / f"{number:04d}_{path.name}")
    return count


def kill_and_resume(corpus: Path, out: Path, options: Sequence[str], kill_at: float = 0.5) -> Outcome:
    """Run `python -m pipelines.embed` over `corpus` twice, killing the first run at `kill_at` of the unique files."""
    files = sorted(corpus.glob("*.py"))
    unique = len({hashlib.sha256(p.read_bytes()).hexdigest() for p in files})
    command = [sys.executable, "-m", "pipelines.embed", "--corpus", str(corpus), "--out", str(out), "--json", *options]
    started = time.perf_counter()
    gone_s, processes_left = _run_until(command, out, max(1, round(unique * kill_at)))
    first_s = time.perf_counter() - started
    before = _shards(out)
    started = time.perf_counter()
    second = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    second_s = time.perf_counter() - started
    summary = json.loads(second.stdout)
    after = _shards(out)
    pairs = Counter(pair for path in after for pair in _pairs(path))
    embedded = {content for path in before for content, _ in _pairs(path)}
    return Outcome(
        files=len(files),
        unique=unique,
        embedded_before_kill=len(embedded),
        shards_before_kill=len(before),
        embedded_after=summary["embedded"],
        skipped_after=summary["skipped"],
        refused=summary["refused"],
        recomputed=sum(count - 1 for count in pairs.values()),
        shards_changed=sum(after.get(path) != state for path, state in before.items()),
        missing=summary["unique"] * len(summary["features"]) - len(pairs),
        processes_left=processes_left,
        ray_gone_s=gone_s,
        first_run_s=first_s,
        second_run_s=second_s,
        second_tokens_per_s=summary["tokens_per_s"],
    )


def _run_until(command: Sequence[str], out: Path, enough: int) -> tuple[float, int]:
    """Kill -9 the driver once `enough` sources are in finished shards; returns how long its Ray took to end."""
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while driver.poll() is None and sum(_rows(path) for path in _paths(out)) < enough:
        time.sleep(POLL_S)
    if driver.returncode is not None:
        raise InputError(f"the first run ended with {driver.returncode} before it could be killed; give more files")
    family = psutil.Process(driver.pid).children(recursive=True)
    children = [process for process in family if not process.cmdline()[0].startswith(AGENTS)]
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    started = time.perf_counter()
    _, survivors = psutil.wait_procs(children, timeout=GONE_S)
    return time.perf_counter() - started, len(survivors)


def _paths(out: Path) -> list[Path]:
    return sorted(out.glob("shard-*.parquet"))


def _shards(out: Path) -> dict[Path, tuple[int, str]]:
    """Each shard's time of change and content."""
    return {p: (p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest()) for p in _paths(out)}


def _rows(path: Path) -> int:
    return len({content for content, _ in _pairs(path)})


def _pairs(path: Path) -> list[tuple[str, str]]:
    rows = pq.read_table(path, columns=["content_hash", "features"]).to_pylist()
    return [(row["content_hash"], row["features"]) for row in rows]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the check; exit code 0 when it holds, 1 when it does not."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.embed_resume",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--corpus", required=True, type=Path, help="a folder with real .py files")
    p.add_argument("--work", required=True, type=Path, help="a scratch folder, emptied first")
    p.add_argument("--files", type=int, default=500)
    p.add_argument("--min-bytes", type=int, default=1_000)
    p.add_argument("--max-bytes", type=int, default=6_000)
    p.add_argument("--kill-at", type=float, default=0.5, help="share of the files (default: %(default)s)")
    p.add_argument("--json", type=Path, help="also write the outcome here")
    p.add_argument("embed", nargs="*", help="after --: options for pipelines.embed, e.g. -- --layer 30")
    args = p.parse_args(argv)
    try:
        shutil.rmtree(args.work, ignore_errors=True)
        sample(args.corpus, args.work / "sample", args.files, args.min_bytes, args.max_bytes)
        outcome = kill_and_resume(args.work / "sample", args.work / "shards", args.embed, args.kill_at)
    except KilowaitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for name, value in asdict(outcome).items():
        print(f"{name:22} {value:,.1f}" if isinstance(value, float) else f"{name:22} {value:,}")
    print("nothing computed twice" if outcome.good else "FAILED")
    keep(asdict(outcome), args.json)
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())
