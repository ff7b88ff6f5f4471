"""The same campaign on a Ray cluster: one actor a board (or a CPU node), results back in the driver's journal.

Each actor is pinned to its node and takes one whole GPU, so that every board works alone; what it is called
is NVML's word on the node itself, not Ray's. Nodes need this package and the same pins (`ray job submit
--working-dir .` brings them). A node that is lost ends the campaign; starting it again goes on from the journal.
"""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from kilowait.core.closed_ray import connected
from kilowait.core.errors import InputError, MeterError
from kilowait.lab.label.campaign import Lane
from kilowait.measure.measured_run import Device, MeasuredRun
from kilowait.measure.script_runner import Launcher, ScriptRunner, cpu_device

from .label import meter_for, thread_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What an actor measures on: CPU thread counts, or (none) the board that Ray gave it."""

    threads: tuple[int, ...]
    host: str
    timeout_s: float
    cpu_watts_per_core: float


class Measurer:
    """Lives on a node and runs scripts there; the actor class."""

    def __init__(self, bench: Bench) -> None:
        self._launcher = Launcher(warm=bool(bench.threads))
        devices = [cpu_device(n, bench.host) for n in bench.threads] or [_own_board()]
        self._runners = {device.device_type: self._runner(device, bench) for device in devices}

    def _runner(self, device: Device, bench: Bench) -> ScriptRunner:
        meter = meter_for(device, bench.cpu_watts_per_core)
        options = {"timeout_s": bench.timeout_s, "host": bench.host}
        return ScriptRunner(device, self._launcher, meter, now=lambda: datetime.now(UTC), **options)

    def devices(self) -> list[Device]:
        """What this actor measures on."""
        return [runner.device for runner in self._runners.values()]

    def run(self, device_type: str, source: bytes, key: dict[str, Any]) -> MeasuredRun:
        """Run a script, sent as its bytes: nodes share no folder."""
        with tempfile.TemporaryDirectory(prefix="kilowait-script-") as folder:
            script = Path(folder) / Path(key["path"]).name
            script.write_bytes(source)
            return self._runners[device_type].run(script, **key)

    def close(self) -> None:
        """End the launching process."""
        self._launcher.close()


def _own_board() -> Device:
    from kilowait.measure.nvml import load_nvml, visible_boards, visible_uuids

    boards = visible_boards(load_nvml(), visible_uuids())
    if len(boards) != 1:
        raise MeterError(f"the actor was given one GPU and CUDA shows it {len(boards)}")
    return boards[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRunner:
    """One device of a `Measurer`, as the campaign sees it."""

    device: Device
    actor: Any

    def run(self, script: Path, *, content_hash: str, path: str, attempt: int) -> MeasuredRun:
        """Run the script once on the actor's node; raises MeterError when the node is lost."""
        key = {"content_hash": content_hash, "path": path, "attempt": attempt}
        try:
            return ray.get(self.actor.run.remote(self.device.device_type, script.read_bytes(), key))  # type: ignore[no-any-return]
        except RayActorError as error:
            raise MeterError(f"{self.device.device_id}: its node was lost ({error}); start again to go on") from error


def _nodes() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _actor(node: dict[str, Any], bench: Bench, **resources: float) -> Any:
    pinned = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return ray.remote(Measurer).options(scheduling_strategy=pinned, **resources).remote(bench)


def _threads(selection: str, cores: int, any_gpu: bool) -> tuple[int, ...]:
    if selection == "auto":
        return () if any_gpu else tuple(sorted({1, cores}))
    counts = (thread_count(part.strip()) for part in selection.split(","))
    return tuple(n for n in counts if n is not None and n <= cores)


def _close(actors: Sequence[Any]) -> None:
    for actor in actors:
        try:
            ray.get(actor.close.remote(), timeout=10)
        except (RayActorError, GetTimeoutError):  # lost, or busy with a script: killing it ends both
            continue
        finally:
            ray.kill(actor)


def ray_lanes(
    address: str,
    wanted: str,
    timeout_s: float,
    cpu_watts_per_core: float,
    stack: ExitStack,
) -> list[Lane]:
    """A lane for every board of the cluster that `wanted` names, and for every node's CPU types.

    Uses the connection to Ray that is there, else makes one to `address`. Raises InputError for a type that no node
    offers, before anything waits for it.
    """
    stack.enter_context(connected(ray, address))
    actors: list[Any] = []
    stack.callback(_close, actors)
    nodes = _nodes()
    any_gpu = any(node["Resources"].get("GPU") for node in nodes)
    for node in nodes:
        cores, gpus = int(node["Resources"].get("CPU", 0)), int(node["Resources"].get("GPU", 0))
        host = node["NodeManagerHostname"]
        options = {"host": host, "timeout_s": timeout_s, "cpu_watts_per_core": cpu_watts_per_core}
        threads = _threads(wanted, cores, any_gpu)
        if threads:  # all the node's CPUs: alone on it
            actors.append(_actor(node, Bench(threads=threads, **options), num_cpus=cores))
        if wanted == "auto" or any(thread_count(part.strip()) is None for part in wanted.split(",")):
            bench = Bench(threads=(), **options)
            actors += [_actor(node, bench, num_gpus=1, num_cpus=0 if threads else 1) for _ in range(gpus)]
    return _lanes(actors, wanted)


def _lanes(actors: Sequence[Any], selection: str) -> list[Lane]:
    names = {part.strip() for part in selection.split(",")}
    types: set[str] = set()
    lanes = []
    for actor in actors:
        devices = [*ray.get(actor.devices.remote())]
        types |= {device.device_type for device in devices}
        chosen_devices = [d for d in devices if selection == "auto" or d.device_type in names]
        if chosen_devices:
            lanes.append(Lane(runners=[RemoteRunner(device=device, actor=actor) for device in chosen_devices]))
    missing = set() if selection == "auto" and lanes else names - types
    if missing:
        types_text = ", ".join(sorted(types)) or "nothing"
        raise InputError(f"--devices {', '.join(sorted(missing))}: no node offers it; the cluster has {types_text}")
    return lanes
