"""Who gives wrong tokens waits for the answer, longer each time; a token that is right is never made to wait.

Tokens are looked up first, so that nobody is locked out by the wrong ones of others, from the same address or not. Few
answers are held back at once: beyond that they are given at once, as 429, and keep nobody from being served.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from ..wire.problems import Refusal

FIRST_S, LONGEST_S = 0.1, 5.0
"""What the first wrong token costs, doubled by each further one, and the most."""
FORGET_S = 60.0
"""An address that has given none for so long begins anew."""
MOST_HELD, MOST_ADDRESSES = 32, 10_000


class WrongTokens:
    """Counts by address, for one application; `clock` and `sleep` are those of the event loop but in tests."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock, self._sleep, self._held = clock, sleep, 0
        self._given: OrderedDict[str, tuple[int, float]] = OrderedDict()

    async def slowed(self, address: str) -> Refusal:
        """The refusal of a wrong token, once it is time for it."""
        wait_s = self._counted(address)
        if self._held >= MOST_HELD:
            text = "too many wrong tokens are given now"
            return Refusal(
                429, "too many wrong tokens", text, field="Authorization", retry_s=wait_s,
                remedy="ask an operator for a right one; it is answered at once",
            )  # fmt: skip
        self._held += 1
        try:
            await self._sleep(wait_s)
        finally:
            self._held -= 1
        return Refusal(
            401, "unauthorized", "the token is unknown or revoked", field="Authorization",
            remedy="ask an operator for a new one",
        )  # fmt: skip

    def _counted(self, address: str) -> float:
        """How long this one waits."""
        given, last_s = self._given.pop(address, (0, 0.0))
        now_s = self._clock()
        given = given if now_s - last_s < FORGET_S else 0
        self._given[address] = given + 1, now_s
        if len(self._given) > MOST_ADDRESSES:
            self._given.popitem(last=False)
        return min(LONGEST_S, FIRST_S * 2.0 ** min(given, 20))
