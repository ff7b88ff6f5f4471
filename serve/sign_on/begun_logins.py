"""Sign-ins that have begun, whose browser is to come back from the provider: each is good once, for some minutes."""

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

GOOD_S = 600.0
MOST = 10_000
"""The oldest give way: a flood of them ends those of others, and takes no memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunLogin:
    """One: `nonce` and `verifier` bind the provider's answers to it, `cookie` the browser."""

    state: str
    nonce: str
    verifier: str
    cookie: str
    until_s: float


class BegunLogins:
    """By what the provider is told of them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun: OrderedDict[str, BegunLogin] = OrderedDict()

    def begin(self) -> BegunLogin:
        """A new one."""
        state, nonce, verifier, cookie = (secrets.token_urlsafe(32) for _ in range(4))
        until_s = self._clock() + GOOD_S
        begun = BegunLogin(state=state, nonce=nonce, verifier=verifier, cookie=cookie, until_s=until_s)
        self._begun[state] = begun
        while len(self._begun) > MOST:
            self._begun.popitem(last=False)
        return begun

    def end(self, state: str, cookie: str) -> BegunLogin | None:
        """The one that a browser with this cookie comes back from, once; None where there is none."""
        begun = self._begun.pop(state, None)
        if begun is None or begun.until_s < self._clock() or not _same(begun.cookie, cookie):
            return None
        return begun


def _same(expected: str, given: str) -> bool:
    """Compared in a time that says nothing of where they differ; a browser may send any characters."""
    return hmac.compare_digest(expected.encode(), given.encode(errors="replace"))
