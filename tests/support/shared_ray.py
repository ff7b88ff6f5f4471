"""One Ray of this machine for all tests of a process that need no more; it takes seconds to start."""

from contextlib import ExitStack

_opened = ExitStack()


def open_shared_ray() -> None:
    """Start it unless it runs."""
    import ray

    from kilowait.core.closed_ray import local_ray

    if not ray.is_initialized():
        _opened.enter_context(local_ray(ray, num_cpus=2, object_store_memory=200_000_000))


def close_shared_ray() -> None:
    """End it where it runs: a process has one Ray at a time."""
    _opened.close()
