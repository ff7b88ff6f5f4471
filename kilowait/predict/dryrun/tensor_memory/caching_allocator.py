"""PyTorch's caching allocator for one CUDA device, without the device: which segments the tensors of a program pin.

The allocator asks CUDA for segments, cuts blocks from them, best fit first, and keeps them when the blocks are given
back; where CUDA has no more, it returns those in which nothing lives and asks again. So a program needs what is in
segments with a living block (`held`), which is more than its tensors and less than the allocator would keep.
Sizes and rules are those of c10/cuda/CUDACachingAllocator, defaults, one stream.

Not covered: expandable segments, other settings of PYTORCH_CUDA_ALLOC_CONF, several streams.
"""

from __future__ import annotations

from bisect import bisect_left, insort

MIB = 1 << 20
ROUND = 512
SMALL = MIB
"""Up to so many bytes a request is small: it is served from segments of 2 MiB of its own pool."""
_SMALL_SEGMENT, _LARGE_SEGMENT, _LARGE, _STEP = 2 * MIB, 20 * MIB, 10 * MIB, 2 * MIB


class Segment:
    """What was asked of CUDA at once: bytes, and how many living blocks lie in it."""

    __slots__ = ("living", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.living = 0


class MemoryBlock:
    """A part of a segment between its neighbours `before` and `after`; it is `free` or some tensor's."""

    __slots__ = ("address", "after", "before", "free", "pool", "segment", "size")

    def __init__(self, segment: Segment, address: int, size: int, pool: list[tuple[int, int, MemoryBlock]]) -> None:
        self.segment, self.address, self.size, self.pool = segment, address, size, pool
        self.before: MemoryBlock | None = None
        self.after: MemoryBlock | None = None
        self.free = False


class CachingAllocator:
    """`held` bytes lie in segments with a living block now; `cached` in all that CUDA was ever asked for."""

    def __init__(self) -> None:
        self.held = 0
        self.cached = 0
        self._pools: tuple[list[tuple[int, int, MemoryBlock]], list[tuple[int, int, MemoryBlock]]] = ([], [])
        self._next_address = 0

    def allocate(self, size: int) -> MemoryBlock:
        """A block for so many bytes."""
        size = max(ROUND, -(-size // ROUND) * ROUND)
        block = self._free_block(size) or self._new_block(size)
        block.free = False
        rest = block.size - size
        if rest > SMALL or (rest >= ROUND and size <= SMALL):
            self._split(block, size)
        if block.segment.living == 0:
            self.held += block.segment.size
        block.segment.living += 1
        return block

    def give_back(self, block: MemoryBlock) -> None:
        """The tensor of a block is gone; free neighbours become one block."""
        block.segment.living -= 1
        if block.segment.living == 0:
            self.held -= block.segment.size
        after, before = block.after, block.before
        if after is not None and after.free:
            _take_out(after)
            _join(block, after)
        if before is not None and before.free:
            _take_out(before)
            _join(before, block)
            block = before
        _put_in(block)

    def _pool(self, size: int) -> list[tuple[int, int, MemoryBlock]]:
        return self._pools[size > SMALL]

    def _free_block(self, size: int) -> MemoryBlock | None:
        pool = self._pool(size)
        position = bisect_left(pool, (size, -1))
        return pool.pop(position)[2] if position < len(pool) else None

    def _new_block(self, size: int) -> MemoryBlock:
        if size <= SMALL:
            segment = Segment(_SMALL_SEGMENT)
        elif size < _LARGE:
            segment = Segment(_LARGE_SEGMENT)
        else:
            segment = Segment(-(-size // _STEP) * _STEP)
        self.cached += segment.size
        address, self._next_address = self._next_address, self._next_address + segment.size
        return MemoryBlock(segment, address, segment.size, self._pool(size))

    def _split(self, block: MemoryBlock, size: int) -> None:
        rest = MemoryBlock(block.segment, block.address + size, block.size - size, block.pool)
        rest.before, rest.after = block, block.after
        if block.after is not None:
            block.after.before = rest
        block.after, block.size = rest, size
        _put_in(rest)


def _put_in(block: MemoryBlock) -> None:
    block.free = True
    insort(block.pool, (block.size, block.address, block))


def _take_out(block: MemoryBlock) -> None:
    block.free = False
    block.pool.pop(bisect_left(block.pool, (block.size, block.address)))


def _join(first: MemoryBlock, second: MemoryBlock) -> None:
    """`second` becomes part of `first`, which lies before it."""
    first.size += second.size
    first.after = second.after
    if second.after is not None:
        second.after.before = first
