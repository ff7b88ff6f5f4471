"""The caching allocator, by timelines that can be checked in one's head."""

import itertools
import random

from kilowait.predict.dryrun.tensor_memory.caching_allocator import MIB, CachingAllocator


def test_small_requests_share_a_segment_of_two_mebibytes():
    allocator = CachingAllocator()
    for _ in range(4096):  # of 512 bytes each, rounded up
        allocator.allocate(100)
    assert allocator.held == allocator.cached == 2 * MIB
    allocator.allocate(1)
    assert allocator.held == 4 * MIB


def test_middle_requests_share_one_of_twenty_and_large_ones_have_their_own():
    allocator = CachingAllocator()
    for _ in range(4):
        allocator.allocate(5 * MIB)
    assert allocator.held == 20 * MIB
    allocator.allocate(10 * MIB)
    assert allocator.held == 30 * MIB
    allocator.allocate(11 * MIB + 1)
    assert allocator.held == 42 * MIB


def test_a_block_that_lives_pins_its_segment_and_one_without_is_given_back():
    allocator = CachingAllocator()
    first, second = allocator.allocate(6 * MIB), allocator.allocate(6 * MIB)
    allocator.give_back(first)
    assert allocator.held == 20 * MIB
    allocator.allocate(15 * MIB)  # in no part of the first segment is so much
    assert allocator.held == 36 * MIB
    allocator.give_back(second)
    assert (allocator.held, allocator.cached) == (16 * MIB, 36 * MIB)


def test_free_neighbours_become_one_block_and_the_best_fit_is_taken():
    allocator = CachingAllocator()
    blocks = [allocator.allocate(size * MIB) for size in (6, 6, 30)]
    for block in (blocks[1], blocks[0], blocks[2]):
        allocator.give_back(block)
    assert allocator.allocate(12 * MIB).segment.size == 20 * MIB
    assert allocator.allocate(24 * MIB).segment.size == 30 * MIB
    assert allocator.cached == 50 * MIB


def test_whatever_the_order_nothing_is_lost():
    rng, allocator, living = random.Random(5), CachingAllocator(), []
    for _ in range(3000):
        if living and rng.random() < 0.5:
            allocator.give_back(living.pop(rng.randrange(len(living))))
        else:
            living.append(allocator.allocate(int(10 ** rng.uniform(1, 8))))
        assert sum(block.size for block in living) <= allocator.held <= allocator.cached
    taken = sorted((block.address, block.address + block.size) for block in living)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(taken))
    for block in living:
        allocator.give_back(block)
    assert allocator.held == 0
