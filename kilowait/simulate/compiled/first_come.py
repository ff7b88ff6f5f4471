"""First come, first served, compiled: `kilowait.policies.simple` and `kilowait.policies.greedy`."""

from kilowait.core.jit import kernel
from kilowait.simulate.compiled.track import ARRIVED, NEVER, Tracks, WorldArrays, next_instant, start


@kernel
def first_come(world: WorldArrays, so_far: Tracks) -> None:
    """Simple, and Greedy where a job has one type left: the head takes its first type that is free, or all wait."""
    size_NT, sizes_S, free_T = world.size_NT, world.sizes_S, so_far.free_T
    types, head = size_NT.shape[1], 0
    while True:
        now_s = next_instant(world, so_far, NEVER)
        if now_s == NEVER:
            return
        while head < so_far.at[ARRIVED]:
            chosen, possible = -1, False
            for kind in range(types):
                size = size_NT[head, kind]
                possible |= size > 0
                if size > 0 and sizes_S[size] <= free_T[kind]:
                    chosen = kind
                    break
            if chosen >= 0:
                start(world, so_far, head, chosen, now_s)
            elif possible:
                break
            head += 1  # it has started, or is refused
