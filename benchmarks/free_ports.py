"""Ports of this host for servers that are about to be started here."""

import socket


def free_ports(count: int) -> list[int]:
    """So many, each another one, that were free a moment ago."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports: list[int] = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
