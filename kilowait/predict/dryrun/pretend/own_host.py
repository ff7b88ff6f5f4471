"""The name of this machine has an address, although nothing can be looked up without a network.

Only for a child that does nothing but a dry run: there is no way back.
"""

from __future__ import annotations

import socket
from functools import wraps
from typing import Any

LOOPBACK = "127.0.0.1"


def pretend_own_host() -> None:
    """Let this machine's own names be found at the loopback address; others are asked for as before."""
    socket.gethostbyname = _at_loopback(socket.gethostbyname, lambda name: LOOPBACK)
    socket.gethostbyname_ex = _at_loopback(socket.gethostbyname_ex, lambda name: (name, [], [LOOPBACK]))
    real = socket.getaddrinfo

    @wraps(real)
    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        return real(LOOPBACK if _is_own(host) else host, *args, **kwargs)

    socket.getaddrinfo = getaddrinfo


def _at_loopback(real: Any, answer: Any) -> Any:
    @wraps(real)
    def look_up(name: Any) -> Any:
        return answer(name) if _is_own(name) else real(name)

    return look_up


def _is_own(name: Any) -> bool:
    """Whether it is a name of this machine, alone or with a domain."""
    if not isinstance(name, str):
        return False
    own = socket.gethostname()
    return name == "localhost" or (bool(name) and name.partition(".")[0] == own.partition(".")[0])
