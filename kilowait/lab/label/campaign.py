"""A labelling campaign: which script runs where and when, until every one is settled.

Scripts go in blocks. Within a block each round runs every open script once on every device, so that the two runs
of a pair lie a block apart: a burst of noise cannot spoil both in the same way, and their agreement means more
than that of two runs back to back. A block is finished before the next begins, so a campaign that is stopped
leaves finished labels.
"""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kilowait.core.errors import InputError
from kilowait.lab.label.agreement import AgreementRule, Standing, closest_pair, standing
from kilowait.lab.label.journal import Journal
from kilowait.measure.measured_run import Device, MeasuredRun

BLOCK = 16
"""Scripts between a run and its repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A row of the corpus's manifest, with where the file is."""

    content_hash: str
    path: str
    file: Path
    family: str
    group: str
    style: str


class Runs(Protocol):
    """What runs a script on one device: `kilowait.measure.script_runner.ScriptRunner`, or one on another machine."""

    @property
    def device(self) -> Device:
        """The device it runs on."""

    def run(self, script: Path, *, content_hash: str, path: str, attempt: int) -> MeasuredRun:
        """Run the script once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """Runners that share one thing that must be used alone: a machine's cores, or one board."""

    runners: Sequence[Runs]

    @property
    def types(self) -> tuple[str, ...]:
        """The device types this lane measures."""
        return tuple(runner.device.device_type for runner in self.runners)


OnRun = Callable[[MeasuredRun, Standing], object]


def check_devices(devices: Sequence[Device], journal: Journal) -> None:
    """Raise InputError when a type cpu-N would mix processors: runs on two of them are no pair."""
    models = {(run.device_type, run.device_name) for run in journal.runs()}
    models |= {(device.device_type, device.device_name) for device in devices}
    for device in devices:
        other_names = sorted(
            name for model_type, name in models if model_type == device.device_type and name != device.device_name
        )
        if device.threads is not None and other_names:
            raise InputError(
                f"{journal.path}: {device.device_type} would mix runs on {device.device_name} and on "
                f"{', '.join(other_names)}; use another --out for each processor"
            )


def is_settled(script: Script, device_type: str, journal: Journal, rule: AgreementRule) -> bool:
    """Whether the journal already decides this script on this type."""
    return standing(journal.of(script.content_hash, device_type), rule) is not Standing.OPEN


def settle(
    scripts: Sequence[Script],
    runners: Sequence[Runs],
    journal: Journal,
    rule: AgreementRule,
    on_run: OnRun,
) -> None:
    """Run the scripts of a block on each device until none is open; what the journal already settles is skipped."""
    for _ in range(rule.max_runs):
        for runner in runners:
            for script in scripts:
                _once(script, runner, journal, rule, on_run)


def _once(script: Script, runner: Runs, journal: Journal, rule: AgreementRule, on_run: OnRun) -> None:
    key = (script.content_hash, runner.device.device_type)
    previous_runs = journal.of(*key)
    if standing(previous_runs, rule) is not Standing.OPEN:
        return
    attempt = len(previous_runs) + 1
    run = runner.run(script.file, content_hash=script.content_hash, path=script.path, attempt=attempt)
    journal.add(run)
    on_run(run, standing(journal.of(*key), rule))


def run_lanes(
    lanes: Sequence[Lane],
    scripts: Sequence[Script],
    journal: Journal,
    rule: AgreementRule,
    *,
    on_run: OnRun,
    after_block: Callable[[], object],
) -> None:
    """Settle every script on every lane's types: CPU lanes first, then all boards at once.

    Lanes of the same types share the scripts, a block each at a time, so that both runs of a pair come from one board.
    """
    queues = {types: _Queue(_todo(types, scripts, journal, rule)) for types in {lane.types for lane in lanes}}

    def stop() -> None:
        for queue in queues.values():
            queue.take(len(queue.scripts))

    for on_cpu in (True, False):
        stage = [lane for lane in lanes if (lane.runners[0].device.threads is not None) is on_cpu]

        def work(lane: Lane, stage: Sequence[Lane] = stage) -> None:
            queue = queues[lane.types]
            size = queue.share(sum(other.types == lane.types for other in stage))
            _discard_first(lane, queue)
            while block := queue.take(size):
                settle(block, lane.runners, journal, rule, on_run)
                after_block()

        _all_at_once(work, stage, stop)


def _todo(types: Sequence[str], scripts: Sequence[Script], journal: Journal, rule: AgreementRule) -> list[Script]:
    return [s for s in scripts if not all(is_settled(s, t, journal, rule) for t in types)]


class _Queue:
    """Scripts still to do, handed out in blocks to the lanes that share them."""

    def __init__(self, scripts: Sequence[Script]) -> None:
        self.scripts, self._next, self._lock = scripts, 0, threading.Lock()

    def share(self, lanes: int) -> int:
        return max(1, min(BLOCK, math.ceil(len(self.scripts) / lanes)))

    def take(self, size: int) -> Sequence[Script]:
        with self._lock:
            block = self.scripts[self._next : self._next + size]
            self._next += len(block)
            return block


def _discard_first(lane: Lane, queue: _Queue) -> None:
    """Run the first script once on each device, unrecorded: it fills the page cache and starts the processes."""
    for script in queue.scripts[:1]:
        for runner in lane.runners:
            runner.run(script.file, content_hash=script.content_hash, path=script.path, attempt=0)


def _all_at_once(work: Callable[[Lane], None], lanes: Sequence[Lane], stop: Callable[[], None]) -> None:
    if len(lanes) == 1:  # in this thread, where Ctrl-C arrives
        work(lanes[0])
    elif lanes:
        with ThreadPoolExecutor(len(lanes)) as pool:
            try:
                for future in as_completed([pool.submit(work, lane) for lane in lanes]):
                    future.result()
            except BaseException:  # Ctrl-C or a lost board: the other lanes finish their block and stop
                stop()
                raise


def label_rows(
    scripts: Sequence[Script], runs: Mapping[tuple[str, str], Sequence[MeasuredRun]], rule: AgreementRule
) -> list[dict[str, object]]:
    """A row of `kilowait.files.columns.LABELS` for every script and device type that is accepted or flagged."""
    by_hash = {script.content_hash: script for script in scripts}
    rows = []
    for (content_hash, device_type), type_runs in runs.items():
        if content_hash not in by_hash or standing(type_runs, rule) not in (Standing.ACCEPTED, Standing.FLAGGED):
            continue
        rows.append(_label(by_hash[content_hash], device_type, type_runs, rule))
    order = {script.content_hash: place for place, script in enumerate(scripts)}
    return sorted(rows, key=lambda row: (order[str(row["content_hash"])], str(row["device_type"])))


def _mean(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else (a + b) / 2


def _label(script: Script, device_type: str, runs: Sequence[MeasuredRun], rule: AgreementRule) -> dict[str, object]:
    pair = closest_pair(runs)
    if pair is None:
        raise ValueError(f"{script.path}: a label on {device_type} needs two successful runs")
    a, b, run_spread = pair
    return {
        "content_hash": script.content_hash,
        "family": script.family,
        "group": script.group,
        "style": script.style,
        "device_type": device_type,
        "runs": len(runs),
        "runtime_s": _mean(a.runtime_s, b.runtime_s),
        "energy_j": _mean(a.energy_j, b.energy_j),
        "spread": run_spread,
        "flagged": run_spread > rule.tolerance,
        "runtime_provenance": a.runtime_provenance,
        "energy_provenance": a.energy_provenance,
    }
