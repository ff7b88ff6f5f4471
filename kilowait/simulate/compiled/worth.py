"""When the compiled kernels pay: they must be loaded once a process, and compiled once a machine.

Until a kernel is loaded, what it could have run is counted; it is loaded when Python has spent on that about as long
as loading takes. So a process never loses more than that time, however its simulations are cut up. Nothing here
changes a result, and nothing here loads numba.
"""

from collections import Counter
from pathlib import Path

from kilowait.core.kernel_cache import cache_directory
from kilowait.policies import Policy
from kilowait.policies.compiled_form import form_of

SOME_JOBS = 60
"""From here on a loaded kernel is faster than Python."""

LOADING_PAIRS = 150_000
"""Pairs of job and GPU type on which Python spends about the second that it takes to load numba and a kernel."""

COMPILING_PAIRS = 1_000_000
"""As `LOADING_PAIRS`, for a kernel that is not in the cache: seconds."""

LIMITED = "limited_"
"""Before the name of a kernel: that which knows of power limits."""

LIMITED_PAIRS = 6
"""As many pairs without power limits take Python as long as one with."""

_loaded: set[str] = set()
_interpreted: Counter[str] = Counter()


def pays(jobs: int, types: int, policy: Policy, limited: bool = False) -> bool:
    """Whether a list of so many jobs should be run by the compiled kernels, if they cover it; `limited` by power."""
    form = form_of(policy)
    if form is None:
        return False
    kernel = LIMITED + form.kernel if limited else form.kernel
    if kernel in _loaded:
        return jobs >= SOME_JOBS
    _interpreted[kernel] += jobs * types * (LIMITED_PAIRS if limited else 1)
    return _interpreted[kernel] >= LOADING_PAIRS and (_interpreted[kernel] >= COMPILING_PAIRS or _is_kept(kernel))


def has_loaded(kernel: str) -> None:
    """This kernel has run, so it is there from now on."""
    _loaded.add(kernel)


def _is_kept(kernel: str) -> bool:
    """Whether some version of a kernel is in the cache."""
    return any(cache_directory(Path(__file__).parent).glob(f"*/{kernel}.{kernel}-*.nbi"))
