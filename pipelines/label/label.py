"""Measure every script of a corpus on every device type here: `kilowait lab label --help`.

Writes into --out: journal.jsonl (one line a run, the truth), runs.parquet, labels.parquet, summary.json.
"""

import argparse
import json
import os
import random
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

from tqdm import tqdm

from kilowait.core.errors import InputError, KilowaitError, MeterError
from kilowait.core.hardware import add_gpu_file_option
from kilowait.core.started import command_name
from kilowait.files.atomic import write_text
from kilowait.files.columns import CORPUS, LABELS, RUNS
from kilowait.files.parquet import read_table, table, write_table
from kilowait.lab.label.agreement import AgreementRule, Standing
from kilowait.lab.label.campaign import Lane, Script, check_devices, is_settled, label_rows, run_lanes
from kilowait.lab.label.campaign_summary import Figures, summarise
from kilowait.lab.label.journal import Journal
from kilowait.measure.measured_run import Device, MeasuredRun
from kilowait.measure.meters import ConstantPowerMeter, Meter
from kilowait.measure.script_runner import Launcher, ScriptRunner, cpu_device
from kilowait.program.source import content_hash

EXAMPLE = """example:
  kilowait lab label --corpus out/corpus --out out/labels --devices cpu-1,cpu-2

Every script runs alone on its device at least twice; two runs within --tolerance are accepted, else it is run again
up to --max-runs and kept flagged. Stop it at any moment and start it again: accepted work is not repeated.
Energy on NVIDIA GPUs is measured by NVML; on CPU it is an estimate (constant watts a core times time) and says so.
"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = argparse.ArgumentParser(
        prog=command_name(str(__package__), "kilowait lab label"),
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--corpus", type=Path, required=True, help="folder with manifest.parquet and its scripts")
    p.add_argument("--out", type=Path, required=True, help="folder for the journal and the tables")
    p.add_argument(
        "--devices",
        default="auto",
        help="comma-separated cpu-N and GPU types (A100,cpu-2); auto: all GPUs, else cpu-1 and cpu-<cores>",
    )
    add_gpu_file_option(p)
    p.add_argument("--limit", type=int, metavar="N", help="only the first N scripts of the manifest")
    p.add_argument("--sample", type=int, metavar="N", help="only N scripts drawn at random with --seed")
    p.add_argument("--seed", type=int, default=0, help="seed of --sample (default 0)")
    p.add_argument("--tolerance", type=float, default=0.1, help="|a-b|/mean of an accepted pair (default 0.1)")
    p.add_argument("--max-runs", type=int, default=5, help="runs before a script is kept flagged (default 5)")
    p.add_argument("--timeout", type=float, default=60.0, metavar="S", help="seconds a run may take (default 60)")
    p.add_argument("--turn-lock", type=Path, metavar="FILE", help="lock this file during each run, to take turns")
    p.add_argument("--cpu-watts-per-core", type=float, default=10.0, help="assumed, for the CPU estimate (default 10)")
    p.add_argument("--host-name", default=socket.gethostname(), help="recorded as host (default: this host's name)")
    p.add_argument("--ray", metavar="ADDRESS", help='label on a Ray cluster ("auto" or its address)')
    return p


def read_corpus(folder: Path) -> list[Script]:
    """The manifest's scripts; raises InputError for a script that is missing or is not the one in the manifest."""
    scripts = []
    for row in read_table(folder / "manifest.parquet", CORPUS).to_pylist():
        file = folder / row["path"]
        if not file.is_file():
            raise InputError(f"{folder / 'manifest.parquet'}: {row['path']} is not there; write the corpus again")
        if content_hash(file.read_bytes()) != row["content_hash"]:
            raise InputError(f"{file}: changed since the manifest was written; write the corpus again")
        keep = {name: row[name] for name in ("content_hash", "path", "family", "group", "style")}
        scripts.append(Script(file=file, **keep))
    return scripts


def chosen(scripts: Sequence[Script], limit: int | None, sample: int | None, seed: int) -> list[Script]:
    """The scripts of --limit or --sample, in the manifest's order."""
    if sample is not None and sample < len(scripts):
        places = sorted(random.Random(seed).sample(range(len(scripts)), sample))
        return [scripts[place] for place in places]
    return list(scripts[:limit])


def thread_count(name: str) -> int | None:
    """N of cpu-N; None for any other device type."""
    threads = name.removeprefix("cpu-")
    return int(threads) if name.startswith("cpu-") and threads.isdigit() else None


def machine_boards() -> list[Device]:
    """The GPUs CUDA shows here, by UUID; empty where there is no NVIDIA driver."""
    from kilowait.measure.nvml import load_nvml, visible_boards, visible_uuids

    try:
        nvml = load_nvml()
    except MeterError:
        return []
    return visible_boards(nvml, visible_uuids())


def find_devices(wanted: str, host: str, boards: Callable[[], list[Device]] = machine_boards) -> list[Device]:
    """The devices of --devices; raises InputError for one this machine does not have."""
    if wanted == "auto":
        cores = len(os.sched_getaffinity(0))
        return boards() or [cpu_device(n, host) for n in sorted({1, cores})]
    names = list(dict.fromkeys(part.strip() for part in wanted.split(",")))
    threads = {name: thread_count(name) for name in names}
    machine = boards() if None in threads.values() else []
    devices: list[Device] = []
    for name, count in threads.items():
        of_type = [board for board in machine if board.device_type == name]
        if count is None and not of_type:
            types_text = ", ".join(["cpu-N", *sorted({board.device_type for board in machine})])
            raise InputError(f"--devices {name}: not here; this machine offers {types_text}")
        devices += of_type if count is None else [cpu_device(count, host)]
    return devices


def meter_for(device: Device, cpu_watts_per_core: float) -> Meter:
    """NVML for a board, the constant-power estimate for a CPU."""
    if device.threads is not None:
        return ConstantPowerMeter(cores=device.threads, watts_per_core=cpu_watts_per_core)
    from kilowait.measure.nvml import NvmlMeter, load_nvml

    return NvmlMeter(load_nvml(), device.device_id)


def local_lanes(devices: Sequence[Device], args: argparse.Namespace, stack: ExitStack) -> list[Lane]:
    """One lane for the CPU's types, one for each board; their launching processes end with the stack."""

    def runner(device: Device, launcher: Launcher) -> ScriptRunner:
        meter = meter_for(device, args.cpu_watts_per_core)
        options = {"timeout_s": args.timeout, "host": args.host_name, "turn_lock": args.turn_lock}
        return ScriptRunner(device, launcher, meter, now=lambda: datetime.now(UTC), **options)

    cpus = [device for device in devices if device.threads is not None]
    lanes = []
    if cpus:
        warm = stack.enter_context(Launcher(warm=True))
        lanes.append(Lane(runners=[runner(device, warm) for device in cpus]))
    for board in (device for device in devices if device.threads is None):
        cold = stack.enter_context(Launcher(warm=False))
        lanes.append(Lane(runners=[runner(board, cold)]))
    return lanes


def find_lanes(args: argparse.Namespace, stack: ExitStack) -> list[Lane]:
    """The lanes of this machine, or of the Ray cluster of --ray."""
    if args.ray is None:
        return local_lanes(find_devices(args.devices, args.host_name), args, stack)
    if args.turn_lock is not None:
        raise InputError("--turn-lock is for this machine alone; leave it out with --ray")
    from .ray_lanes import ray_lanes

    return ray_lanes(args.ray, args.devices, args.timeout, args.cpu_watts_per_core, stack)


class CampaignBar:
    """The bar on stderr: one step a script and device type settled."""

    def __init__(self, total: int, done: int) -> None:
        self._bar = tqdm(total=total, initial=done, unit="label", desc="labels", smoothing=0.05)
        self._flagged = self._failed = self._runs = 0
        self._lock = threading.Lock()

    def __call__(self, run: MeasuredRun, now: Standing) -> None:
        """Take in a run and where its script stands after it."""
        with self._lock:
            self._runs += 1
            self._flagged += now is Standing.FLAGGED
            self._failed += now is Standing.FAILED
            self._bar.set_postfix(runs=self._runs, flagged=self._flagged, failed=self._failed, refresh=False)
            self._bar.update(now is not Standing.OPEN)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()


class LabelTables:
    """The tables in --out, made from the journal; what it holds of scripts that left the corpus stays out."""

    def __init__(self, out: Path, corpus: Sequence[Script], journal: Journal, rule: AgreementRule) -> None:
        self._out, self._corpus, self._journal, self._rule = out, corpus, journal, rule
        self._lock = threading.Lock()

    def write(self) -> dict[str, Figures]:
        """Write runs, labels and summary atomically; returns the summary."""
        with self._lock:
            hashes = {script.content_hash for script in self._corpus}
            runs = [run.row() for run in self._journal.runs() if run.content_hash in hashes]
            write_table(table(runs, RUNS), self._out / "runs.parquet")
            by_key = {key: of_key for key, of_key in self._journal.by_key().items() if key[0] in hashes}
            labels = label_rows(self._corpus, by_key, self._rule)
            write_table(table(labels, LABELS), self._out / "labels.parquet")
            figures = summarise(by_key, self._rule)
            write_text(self._out / "summary.json", json.dumps(figures, indent=2) + "\n")
            return figures


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def as_text(figures: dict[str, Figures]) -> str:
    """The summary as a table, a row a device type."""
    columns = ["scripts", "runs", "accepted", "flagged", "failed", "open", "first_pairs_within_tolerance"]
    columns += ["pairs_within_tolerance", "p5_s", "p50_s", "p95_s", "mean_s", "p95_over_p5"]
    heads = ["device", *(c.replace("_within_tolerance", " ok").replace("_", " ") for c in columns)]
    rows = [[name, *(_cell(f.get(c)) for c in columns)] for name, f in figures.items()]
    widths = [max(len(line[i]) for line in [heads, *rows]) for i in range(len(heads))]
    lines = ["  ".join(text.rjust(w) for text, w in zip(line, widths, strict=True)) for line in [heads, *rows]]
    return "\n".join(lines)


def label(args: argparse.Namespace) -> dict[str, Figures]:
    """Run the campaign of the options; returns the summary by device type. Raises InputError, MeterError."""
    rule = AgreementRule(tolerance=args.tolerance, max_runs=args.max_runs)
    corpus = read_corpus(args.corpus)
    scripts = chosen(corpus, args.limit, args.sample, args.seed)
    with Journal(args.out / "journal.jsonl") as journal, ExitStack() as stack:
        tables = LabelTables(args.out, corpus, journal, rule)
        lanes = find_lanes(args, stack)
        check_devices([runner.device for lane in lanes for runner in lane.runners], journal)
        types = {runner.device.device_type for lane in lanes for runner in lane.runners}
        settled_count = sum(is_settled(script, t, journal, rule) for script in scripts for t in types)
        with closing(CampaignBar(len(scripts) * len(types), settled_count)) as progress:
            run_lanes(lanes, scripts, journal, rule, on_run=progress, after_block=tables.write)
        return tables.write()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = parser().parse_args(argv)
    try:
        print(as_text(label(args)))
    except KilowaitError as error:
        print(f"label: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("label: stopped; start it again with the same options to go on", file=sys.stderr)
        return 130
    return 0
