"""On which addresses processes listen, as the kernel has it."""

import os
from pathlib import Path

LISTENS = "0A"
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
"""127.0.0.1, the same as IPv6 has it, and ::1, as the kernel writes them."""


def listening(pids):
    """The addresses, as the kernel writes them, on which these processes listen."""
    sockets = {}
    for table in ("tcp", "tcp6"):
        rows = [line.split() for line in Path("/proc/net", table).read_text().splitlines()[1:]]
        sockets |= {f"socket:[{row[9]}]": row[1].partition(":")[0] for row in rows if row[3] == LISTENS}
    held = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                held.add(os.readlink(descriptor))
            except OSError:  # closed meanwhile
                continue
    return [sockets[name] for name in held & sockets.keys()]
