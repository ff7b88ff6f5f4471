"""First come, first served under power limits, compiled: `kilowait.policies.simple`."""

from kilowait.core.jit import kernel
from kilowait.simulate.compiled.limited_starts import (
    NO_ROOM,
    Limits,
    arrive,
    give_back,
    limit_at_start,
    start_limited,
)
from kilowait.simulate.compiled.track import ARRIVED, LOGGED, NEVER, Tracks, WorldArrays, next_instant


@kernel
def limited_first_come(world: WorldArrays, so_far: Tracks, limits: Limits) -> None:
    """The head takes its first type that is free and the limit chosen then, or all wait, for boards or for watts."""
    size_NT, sizes_S, free_T = world.size_NT, world.sizes_S, so_far.free_T
    types, head, entered = size_NT.shape[1], 0, 0
    while True:
        logged = so_far.at[LOGGED]
        now_s = next_instant(world, so_far, NEVER)
        if now_s == NEVER:
            return
        give_back(world, so_far, limits, logged)
        for job in range(entered, so_far.at[ARRIVED]):
            arrive(world, limits, job)
        entered = so_far.at[ARRIVED]
        while head < entered:
            chosen = -1
            for kind in range(types):
                size = size_NT[head, kind]
                if size > 0 and sizes_S[size] <= free_T[kind]:
                    chosen = kind
                    break
            if chosen >= 0:
                limit_w = limit_at_start(world, so_far, limits, head, chosen)
                if limit_w == NO_ROOM:
                    break
                start_limited(world, so_far, limits, head, chosen, now_s, limit_w)
            elif limits.admitted_N[head]:
                break
            head += 1  # it has started, or is refused
