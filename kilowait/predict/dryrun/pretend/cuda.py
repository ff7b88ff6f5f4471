"""What `torch.cuda` answers where a GPU is only pretended: one idle board, streams that do nothing, clocks that stand.

Only for a child that does nothing but a dry run: there is no way back.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from typing import Self

MEMORY_BYTES = 80 * 10**9
CAPABILITY = (8, 0)
_NONE = (
    "synchronize empty_cache set_device init manual_seed manual_seed_all seed seed_all reset_peak_memory_stats "
    "reset_max_memory_allocated reset_max_memory_cached reset_accumulated_memory_stats ipc_collect set_stream "
    "set_per_process_memory_fraction set_rng_state set_rng_state_all set_sync_debug_mode _lazy_init"
)
_ZERO = (
    "current_device memory_allocated max_memory_allocated memory_reserved max_memory_reserved memory_cached "
    "max_memory_cached utilization memory_usage initial_seed get_sync_debug_mode"
)
_PROPERTIES = SimpleNamespace(
    name="GPU",
    major=CAPABILITY[0],
    minor=CAPABILITY[1],
    total_memory=MEMORY_BYTES,
    multi_processor_count=108,
    max_threads_per_multi_processor=2048,
    warp_size=32,
    L2_cache_size=40 * 2**20,
    is_integrated=False,
    is_multi_gpu_board=False,
    gcnArchName="",
)


class Event:
    """A moment of the device; a millisecond lies between any two."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def record(self, stream: Any = None) -> None:
        """Nothing runs, so there is nothing to mark."""

    wait = record

    def synchronize(self) -> None:
        """Everything has ended already."""

    def query(self) -> bool:
        """Whether everything before it has ended."""
        return True

    def elapsed_time(self, end: Any) -> float:
        """Milliseconds."""
        return 1.0


class Stream(Event):
    """A queue of the device; also what `torch.cuda.stream` and `torch.cuda.device` are entered as."""

    device, device_index, cuda_stream, priority = torch.device("cuda:0"), 0, 0, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def record_event(self, event: Event | None = None) -> Event:
        """The event, or a new one."""
        return event or Event()

    wait_event = wait_stream = Event.record

    def is_capturing(self) -> bool:
        """Whether a graph of kernels is being made: that is pretended elsewhere."""
        return False


def pretend_cuda() -> None:
    """Replace what programs ask of `torch.cuda`."""
    answers: dict[str, Any] = {
        **dict.fromkeys(_NONE.split()),
        **dict.fromkeys(_ZERO.split(), 0),
        "is_available": True,
        "device_count": 1,
        "is_initialized": True,
        "is_bf16_supported": True,
        "is_current_stream_capturing": False,
        "get_device_name": "GPU",
        "get_device_capability": CAPABILITY,
        "get_device_properties": _PROPERTIES,
        "get_arch_list": ["sm_80"],
        "mem_get_info": (MEMORY_BYTES, MEMORY_BYTES),
        "memory_summary": "",
        "memory_stats": {},
        "can_device_access_peer": False,
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, _answering(answer))
    _streams()
    _random()
    _bindings()


def _bindings() -> None:
    """What installed libraries take from PyTorch's C module where a GPU is there; a build for the CPU lacks it."""
    for name in ("_cuda_getCurrentRawStream", "_cuda_getDefaultStream", "_cuda_getCurrentStream"):
        if not hasattr(torch._C, name):
            setattr(torch._C, name, _answering(0))


def _streams() -> None:
    for name in ("stream", "current_stream", "default_stream"):
        setattr(torch.cuda, name, lambda *_, **__: Stream())
    replacements: dict[str, Any] = {"Event": Event, "Stream": Stream, "ExternalStream": Stream, "StreamContext": Stream}
    replacements |= {"device": Stream, "device_of": Stream, "_DeviceGuard": Stream}
    for name, replacement in replacements.items():
        setattr(torch.cuda, name, replacement)
    torch.Tensor.record_stream = _answering(None)  # type: ignore[method-assign]
    torch.Tensor.pin_memory = lambda self, *_, **__: self  # type: ignore[method-assign]
    answers = {"range_push": 0, "range_pop": 0, "mark": None, "range": nullcontext()}
    for name, answer in answers.items():
        setattr(torch.cuda.nvtx, name, _answering(answer))


def _random() -> None:
    """The state of the pretended board's generator: as large as a real one, of no consequence."""
    for owner in (torch.cuda, torch.cuda.random):
        for name, count in (("get_rng_state", 0), ("get_rng_state_all", 1)):
            setattr(owner, name, lambda *_, _count=count, **__: _states(_count))
        for name in ("set_rng_state", "set_rng_state_all"):
            setattr(owner, name, _answering(None))
    torch.Generator = _Generator  # type: ignore[misc]


class _GeneratorType(type(torch.Generator)):  # type: ignore[misc]
    """Stands for `torch.Generator` wherever that is asked for as a type."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _RealGenerator)


_RealGenerator = torch.Generator


class _Generator(torch.Generator, metaclass=_GeneratorType):
    """A generator of any device: it draws on the host, which has a state, and says that it is where it was asked."""

    def __new__(cls, device: Any = "cpu") -> Any:
        """Only the host has one in a build for the CPU."""
        return super().__new__(cls)

    def __init__(self, device: Any = "cpu") -> None:
        self._device = torch.device(device)

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """Where it was asked for."""
        return self._device


_Generator.__name__ = _Generator.__qualname__ = "Generator"


def _states(count: int) -> Any:
    state = torch.zeros(16, dtype=torch.uint8)
    return [state] * count if count else state


def _answering(value: Any) -> Callable[..., Any]:
    return lambda *_args, **_kwargs: value
