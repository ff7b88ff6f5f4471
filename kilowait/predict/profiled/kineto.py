"""A trace of PyTorch's profiler (Kineto): what threads called and what the device ran, in microseconds.

Of a thread two things are kept: its calls of the CUDA runtime, and where its outermost operators begin and end; what
lies between is work of the host. A task of the device belongs to the call with the same correlation number.
"""

import gzip
import json
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from kilowait.core.errors import InputError

FILLING_WARPS = 128.0
"""Warps a multiprocessor: twice what one takes at once."""
MOST_BYTES = 2 << 30
STEP = "ProfilerStep#"
_WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "hipStreamSynchronize")
_COMMUNICATION = re.compile(r"nccl|rccl|all_?reduce|all_?gather|reduce_?scatter|all_?to_?all", re.I)
_BOUNDARIES = ("Optimizer.zero_grad", "Optimizer.step")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCall:
    """A call of the CUDA runtime, or (`name` "") a moment at which an operator begins or ends."""

    thread: int
    name: str
    start_us: float
    end_us: float
    correlation: int = 0

    @property
    def waits(self) -> bool:
        """Whether it returns only once the device has done something."""
        return self.name in _WAITS


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTask:
    """A kernel or a copy; `kind` is compute, communication or copy. `blocking` says that its call waits for it.

    `fills` says that its blocks are more than the device takes at once, so that no other kernel begins beside it.
    """

    stream: int
    name: str
    kind: str
    start_us: float
    end_us: float
    correlation: int
    blocking: bool = False
    fills: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KinetoTrace:
    """A whole trace: `calls` and `tasks` by start, `steps` as `(start, end)` on the main thread; `device` by name."""

    device: str
    calls: tuple[HostCall, ...]
    tasks: tuple[DeviceTask, ...]
    steps: tuple[tuple[float, float], ...]
    world: int = 1


def read_traces(path: Path) -> dict[str, KinetoTrace]:
    """By name, the traces in a file: JSON, the same packed, or an archive of several.

    Raises InputError for what is no trace, or has no step in it.
    """
    if path.name.endswith((".tar.gz", ".tgz", ".tar")):
        with tarfile.open(path) as archive:
            members = [member for member in archive if member.isfile() and member.name.endswith(".json")]
            texts = {member.name: archive.extractfile(member) for member in members if member.size < MOST_BYTES}
            return {Path(name).name: trace_of(_json(file.read(), name), name) for name, file in texts.items() if file}
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        return {path.name: trace_of(_json(file.read(MOST_BYTES), path.name), path.name)}


def _json(data: bytes, name: str) -> Mapping[str, Any]:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise InputError(f"{name}: it is no JSON: {error}; give a trace as torch.profiler exports it") from error
    if not isinstance(found, dict):
        raise InputError(f"{name}: a trace is an object with traceEvents, got a {type(found).__name__}")
    return found


def trace_of(trace: Mapping[str, Any], name: str) -> KinetoTrace:
    """The trace; raises InputError where it has no events of a device, or no steps."""
    if "nodes" in trace:
        raise InputError(f"{name}: an execution trace has no times; kilowait replay needs the Kineto trace beside it")
    events = [event for event in trace.get("traceEvents", ()) if event.get("ph") == "X" and "dur" in event]
    tasks = sorted(filter(None, map(_task, events)), key=lambda task: task.start_us)
    if not tasks:
        raise InputError(f"{name}: it has no event of a GPU; profile with ProfilerActivity.CUDA")
    steps = _steps(events)
    if not steps:
        raise InputError(f"{name}: no step is marked in it; call profiler.step() after each")
    devices = {device.get("id"): str(device.get("name", "")) for device in trace.get("deviceProperties", ())}
    ids = [event["pid"] for event in events if event.get("cat") == "kernel"]
    return KinetoTrace(
        device=devices.get(ids[0] if ids else 0, ""),
        calls=tuple(_calls(events)),
        tasks=tuple(tasks),
        steps=tuple(steps),
        world=int(trace.get("distributedInfo", {}).get("world_size", 1)),
    )


def _task(event: Mapping[str, Any]) -> DeviceTask | None:
    category, name, args = event.get("cat"), str(event["name"]), event.get("args", {})
    if category not in ("kernel", "gpu_memcpy", "gpu_memset"):
        return None
    kind = "copy" if category != "kernel" else "communication" if _COMMUNICATION.search(name) else "compute"
    return DeviceTask(
        stream=int(args.get("stream", event.get("tid", 0))),
        name=name,
        kind=kind,
        start_us=float(event["ts"]),
        end_us=float(event["ts"]) + float(event["dur"]),
        correlation=int(args.get("correlation", 0)),
        blocking="Pageable" in name,
        fills=kind == "compute" and float(args.get("warps per SM", 0.0)) >= FILLING_WARPS,
    )


def _calls(events: Iterable[Mapping[str, Any]]) -> list[HostCall]:
    """Runtime calls, and the ends of the outermost operators of each thread, by start."""
    calls, until = list[HostCall](), dict[int, float]()
    for event in sorted(events, key=lambda event: (event["ts"], -event["dur"])):
        start, end, thread = float(event["ts"]), float(event["ts"]) + float(event["dur"]), event.get("tid")
        if not isinstance(thread, int):
            continue
        if event.get("cat") in ("cuda_runtime", "cuda_driver"):
            number = int(event.get("args", {}).get("correlation", 0))
            calls.append(
                HostCall(thread=thread, name=str(event["name"]), start_us=start, end_us=end, correlation=number)
            )
        elif event.get("cat") == "cpu_op" and start >= until.get(thread, 0.0):
            until[thread] = end
            calls += [HostCall(thread=thread, name="", start_us=at, end_us=at) for at in (start, end)]
    return sorted(calls, key=lambda call: (call.start_us, call.end_us))


def _steps(events: Iterable[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """As the profiler marked them, else from one mark of an optimizer to the next."""
    marks = [event for event in events if event.get("cat") in ("user_annotation", "python_function", "cpu_op")]
    spans = [(float(m["ts"]), float(m["ts"]) + float(m["dur"])) for m in marks if str(m["name"]).startswith(STEP)]
    if spans:
        return sorted(spans)
    for boundary in _BOUNDARIES:
        starts = sorted(float(mark["ts"]) for mark in marks if str(mark["name"]).startswith(boundary))
        if len(starts) > 2:
            return list(pairwise(starts))
    return []
