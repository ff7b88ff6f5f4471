"""A trace of PyTorch's profiler (Kineto): what threads called and what the device ran, in microseconds.

Of a thread two things are kept: its calls of the CUDA runtime, and where its outermost operators begin and end; what
lies between is work of the host. A task of the device belongs to the call with the same correlation number.
"""

import gzip
import json
import math
import re
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

from kilowait.core.errors import InputError

FILLING_WARPS = 128.0
"""Warps a multiprocessor: twice what one takes at once."""
MOST_BYTES = 2 << 30
STEP = "ProfilerStep#"
_WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "hipStreamSynchronize")
_RUNTIME = ("cuda_runtime", "cuda_driver")
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

    Raises InputError for what is no trace, or has no step in it, and for one of more than `MOST_BYTES` unpacked.
    """
    try:
        if path.name.endswith((".tar.gz", ".tgz", ".tar")):
            return _archived(path)
        with path.open("rb") as file:
            return {path.name: trace_of(_json(file, path.name), path.name)}
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise InputError(f"{path}: it cannot be read: {error}") from error


def _archived(path: Path) -> dict[str, KinetoTrace]:
    traces = dict[str, KinetoTrace]()
    with tarfile.open(path) as archive:
        for member in archive:
            if member.name.endswith((".json", ".json.gz")) and (file := archive.extractfile(member)) is not None:
                traces[member.name] = trace_of(_json(file, member.name), member.name)
    if not traces:
        raise InputError(f"{path}: there is no .json and no .json.gz in it; pack the traces themselves")
    return traces


def _json(packed: IO[bytes], name: str) -> Mapping[str, Any]:
    file = gzip.GzipFile(fileobj=packed) if name.endswith(".gz") else packed
    if len(data := file.read(MOST_BYTES + 1)) > MOST_BYTES:
        raise InputError(f"{name}: it has more than {MOST_BYTES:,} bytes unpacked; profile fewer steps")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: it is no JSON: {error}; give a trace as torch.profiler exports it") from error
    if not isinstance(found, dict):
        raise InputError(f"{name}: a trace is an object with traceEvents, got a {type(found).__name__}")
    return found


def trace_of(trace: Mapping[str, Any], name: str) -> KinetoTrace:
    """The trace; raises InputError for one without events of a device or steps, and not as the profiler writes it."""
    if "nodes" in trace:
        raise InputError(f"{name}: an execution trace has no times; kilowait replay needs the Kineto trace beside it")
    try:
        return _parsed(trace, name)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{name}: it is not as PyTorch's profiler writes it: {error!r}; give the trace as it was exported"
        ) from error


def _parsed(trace: Mapping[str, Any], name: str) -> KinetoTrace:
    events = [event for event in trace.get("traceEvents", ()) if event.get("ph") == "X" and "dur" in event]
    tasks = sorted(filter(None, map(_task, events)), key=lambda task: task.start_us)
    if not tasks:
        raise InputError(f"{name}: it has no event of a GPU; profile with ProfilerActivity.CUDA")
    steps = _steps(events)
    if not steps:
        raise InputError(f"{name}: no step is marked in it; call profiler.step() after each")
    devices = {device.get("id"): str(device.get("name", "")) for device in trace.get("deviceProperties", ())}
    ids = [event["pid"] for event in events if event.get("cat") == "kernel"]
    world = int(trace.get("distributedInfo", {}).get("world_size", 1))
    if world < 1:
        raise ValueError(f"a world of {world}")
    return KinetoTrace(
        device=devices.get(ids[0] if ids else 0, ""),
        calls=tuple(_calls(events)),
        tasks=tuple(tasks),
        steps=tuple(steps),
        world=world,
    )


def _span(event: Mapping[str, Any]) -> tuple[float, float]:
    """When an event begins and ends; raises ValueError for times that cannot be."""
    start, took = float(event["ts"]), float(event["dur"])
    if not (math.isfinite(start) and 0 <= took < math.inf):
        raise ValueError(f"{event.get('name')!r} begins at {start} and takes {took}")
    return start, start + took


def _task(event: Mapping[str, Any]) -> DeviceTask | None:
    category, name, args = event.get("cat"), str(event["name"]), event.get("args", {})
    if category not in ("kernel", "gpu_memcpy", "gpu_memset"):
        return None
    start_us, end_us = _span(event)
    kind = "copy" if category != "kernel" else "communication" if _COMMUNICATION.search(name) else "compute"
    return DeviceTask(
        stream=int(args.get("stream", event.get("tid", 0))),
        name=name,
        kind=kind,
        start_us=start_us,
        end_us=end_us,
        correlation=int(args.get("correlation", 0)),
        blocking="Pageable" in name,
        fills=kind == "compute" and float(args.get("warps per SM", 0.0)) >= FILLING_WARPS,
    )


def _calls(events: Iterable[Mapping[str, Any]]) -> list[HostCall]:
    """Runtime calls, and the ends of the outermost operators of each thread, by start."""
    calls, until = list[HostCall](), dict[int, float]()
    own = [event for event in events if event.get("cat") in (*_RUNTIME, "cpu_op") and isinstance(event.get("tid"), int)]
    for event in sorted(own, key=lambda event: (float(event["ts"]), -float(event["dur"]))):
        (start, end), thread = _span(event), event["tid"]
        if event["cat"] in _RUNTIME:
            number = int(event.get("args", {}).get("correlation", 0))
            calls.append(
                HostCall(thread=thread, name=str(event["name"]), start_us=start, end_us=end, correlation=number)
            )
        elif start >= until.get(thread, 0.0):
            until[thread] = end
            calls += [HostCall(thread=thread, name="", start_us=at, end_us=at) for at in (start, end)]
    return sorted(calls, key=lambda call: (call.start_us, call.end_us))


def _steps(events: Iterable[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """As the profiler marked them, else from one mark of an optimizer to the next."""
    marks = [event for event in events if event.get("cat") in ("user_annotation", "python_function", "cpu_op")]
    spans = {_span(mark) for mark in marks if str(mark["name"]).startswith(STEP)}
    if spans:
        return sorted(spans)
    for boundary in _BOUNDARIES:
        starts = sorted(float(mark["ts"]) for mark in marks if str(mark["name"]).startswith(boundary))
        if len(starts) > 2:
            return list(pairwise(starts))
    return []
