"""The GPU types that kilowait knows, from its catalogue."""

from typing import Any

from kilowait.core import hardware

from . import commands

HEAD = """# GPU types

What kilowait knows of each type: the vendor's published dense figures and a typical idle power. Any of the names is
understood. Your own boards come in by a file: [](../how-to/add-a-gpu-type.md).

| type | memory, GB | tensor, TFLOP/s | fp32, TFLOP/s | bandwidth, GB/s | peak, W | idle, W | also called | source |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def page() -> str:
    """One row a type."""
    return HEAD + "\n".join(row(one) for one in types()) + "\n" + slices()


def slices() -> str:
    """The MIG slices by name, which are types of their own."""
    names = [f"`{name}`" for name in hardware.GPU_TYPES if name not in hardware.CATALOGUE]
    return f"\nSlices of a board (MIG) are types of their own: {', '.join(names)}.\n" if names else ""


def types() -> list[Any]:
    """Every type of the catalogue, the most powerful first."""
    return list(hardware.CATALOGUE.values())


def row(one: Any) -> str:
    """A type's figures in the units of data sheets."""
    figures = [one.memory_bytes / 1e9, one.tensor_flops / 1e12, one.fp32_flops / 1e12, one.bandwidth / 1e9, one.peak_w]
    idle = "unknown" if one.idle_w is None else f"{one.idle_w:g} ({one.idle_provenance})"
    cells = [f"`{one.name}`", *(f"{figure:,.4g}" for figure in figures), idle, ", ".join(one.aliases)]
    return "| " + " | ".join([*cells, commands.cell(one.source)]) + " |"
