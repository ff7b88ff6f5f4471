"""An expectation is made anew as it grows old; where that takes long, nobody waits for the next."""

import asyncio

import pytest

from serve.desk.outlook_desk.outlooks import Outlooks


class World:
    """A clock, and a foreseeing that takes so long of it; what it expects is the number of its making."""

    def __init__(self, took_s):
        self.now_s, self.took_s, self.made = 0.0, took_s, 0
        self.outlooks = Outlooks(self.foresee, lambda: self.now_s)

    async def foresee(self):
        self.now_s += self.took_s
        self.made += 1
        return self.seq, {"made": self.made}

    async def ask(self, after_s, seq):
        self.now_s, self.seq = self.now_s + after_s, seq
        found = (await self.outlooks.at(seq))["made"]
        for _ in range(3):  # what is made beside it
            await asyncio.sleep(0)
        return found


def asked(took_s, *questions):
    world = World(took_s)

    async def all_of_them():
        return [await world.ask(after_s, seq) for after_s, seq in questions]

    return asyncio.run(all_of_them())


@pytest.mark.parametrize(
    ("took_s", "questions", "found"),
    [
        (0.1, [(0, 1), (1, 1), (0, 2), (1, 2), (2, 2)], [1, 1, 2, 2, 3]),  # anew for an event, and once it is old
        (5, [(0, 1), (1, 2), (3, 2), (2, 2), (0, 2)], [1, 1, 1, 1, 2]),  # good for 5 s; the next is made beside it
        (5, [(0, 1), (51, 1)], [1, 2]),  # it was made too long ago to be shown
    ],
)
def test_who_asks_gets_what_was_made(took_s, questions, found):
    assert asked(took_s, *questions) == found
