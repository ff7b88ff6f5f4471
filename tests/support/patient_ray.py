"""A node of Ray has 30 s to say that it is there, then its start fails: a busy machine takes longer."""

import time
from functools import wraps

LIMIT_S = 300.0


def wait_for_nodes() -> None:
    """Ask again for a node that this process starts, until it is there or `LIMIT_S` are over."""
    from ray._private import services

    asked = services.get_node
    if hasattr(asked, "__wrapped__"):
        return

    @wraps(asked)
    def patient(*arguments, **more):
        deadline_s = time.monotonic() + LIMIT_S
        while True:
            try:
                return asked(*arguments, **more)
            except RuntimeError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.1)

    services.get_node = patient
