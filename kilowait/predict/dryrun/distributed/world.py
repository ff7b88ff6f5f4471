"""The process group of a dry run: this process is rank 0 of the world that was asked for, its peers do nothing.

PyTorch's own group for such tests stands behind every name of a backend, so that collectives, sub-groups, device meshes
and what is built on them find what they expect; results have the right shapes and no data.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import torch
from torch import nn

from kilowait.predict.dryrun.distributed.alike import everywhere, pretend_alike
from kilowait.predict.dryrun.distributed.data_parallel import data_parallel
from kilowait.predict.dryrun.distributed.deepspeed_package import pretend_deepspeed
from kilowait.predict.dryrun.distributed.needed_gpus import gpu_count
from kilowait.predict.dryrun.distributed.ranks import pretend_ranks
from kilowait.predict.dryrun.distributed.spawned import pretend_processes
from kilowait.predict.dryrun.distributed.spread import spread_tensors
from kilowait.predict.dryrun.distributed.whole_parameters import watch_flat_parameters
from kilowait.predict.dryrun.dry_program import by_the_program
from kilowait.predict.dryrun.pretend.after_import import AfterImport
from kilowait.predict.dryrun.pretend.process_pools import pretend_pools
from kilowait.predict.dryrun.recorder import Recorder


def pretend_world(recorder: Recorder) -> None:
    """Make this process rank 0: call it before any of the program's code runs."""
    pretend_ranks(partial(_assume, recorder))
    pretend_processes(recorder)
    pretend_pools(recorder)
    _count_devices(recorder)
    if not torch.distributed.is_available():
        return
    _group(recorder)
    pretend_alike(recorder)
    wrapper = data_parallel(recorder)
    owners: tuple[Any, ...] = (nn.parallel, nn.parallel.distributed)
    for owner in owners:
        owner.DistributedDataParallel = wrapper
    spread = partial(spread_tensors, recorder)
    pretend_deepspeed(recorder)
    AfterImport(
        {
            "torch.distributed.tensor": spread,
            "torch.distributed._tensor.api": spread,
            "torch.distributed.fsdp._flat_param": watch_flat_parameters,
            "torch.distributed.fsdp.flat_param": watch_flat_parameters,
        }
    ).install()


def _assume(recorder: Any, line: str) -> None:
    if hasattr(recorder, "assume"):
        recorder.assume(line)


def _count_devices(recorder: Recorder) -> None:
    """As many GPUs as this node's ranks have; one where nothing says so."""
    named = [part for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part.strip()]
    local = os.environ.get("LOCAL_WORLD_SIZE", "")
    count = len(named) or (int(local) if local.isdigit() else 1)
    asked = gpu_count(count, partial(_need, recorder))
    torch.cuda.device_count = lambda: asked if by_the_program() else count


def _need(recorder: Recorder, count: int) -> None:
    recorder.ends.gpus_needed = max(recorder.ends.gpus_needed, count)


def world_of(arguments: dict[str, Any]) -> int:
    """The size of the world: what the program says, what the launcher set, one."""
    given = arguments.get("world_size", -1)
    if type(given) is not bool and int(-1 if given is None else given) > 0:
        return int(given)
    for name in ("WORLD_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE"):
        if os.environ.get(name, "").isdigit():
            return max(1, int(os.environ[name]))
    return 1


def _group(recorder: Recorder) -> None:
    c10d: Any = torch.distributed.distributed_c10d
    real_init, real_new = c10d.init_process_group, c10d.new_group
    backends: dict[str, str] = {}
    names = ("backend", "init_method", "timeout", "world_size", "rank", "store", "group_name", "pg_options")

    def init_process_group(*args: Any, **kwargs: Any) -> None:
        from torch.testing._internal.distributed.fake_pg import FakeStore

        arguments = {**dict(zip(names, args)), **kwargs}
        backends["asked"] = str(arguments.get("backend") or "nccl")
        world = world_of(arguments)
        real_init("fake", store=FakeStore(), rank=0, world_size=world)
        recorder.world = max(recorder.world, world)

    def new_group(ranks: Any = None, timeout: Any = None, backend: Any = None, *_: Any, **__: Any) -> Any:
        return real_new(None if ranks is None else list(ranks))

    def get_backend(group: Any = None) -> str:
        asked = backends.get("asked", "nccl")
        return asked.partition("cuda:")[2].partition(",")[0] or asked

    replaced = {"init_process_group": init_process_group, "new_group": new_group}
    for name, replacement in replaced.items():
        everywhere(getattr(c10d, name), name, replacement)
    dist: Any = torch.distributed
    dist.get_backend = get_backend
    dist.monitored_barrier = lambda *_, **__: None
    for name in ("is_nccl_available", "is_gloo_available"):
        setattr(torch.distributed, name, lambda: True)
    torch.cuda.nccl.version = lambda: (2, 21, 5)
