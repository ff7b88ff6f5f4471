"""What `kilowait predict` says of a program's memory: what it needs, of what, and which GPU types have so much."""

from collections.abc import Mapping
from typing import Any

GIB = 2**30
_ORDER = ("fits", "close", "does not fit")


def memory_lines(devices: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The need on the type that needs most, its parts, and the types by what becomes of the program there."""
    needs = {name: numbers["memory_need"] for name, numbers in devices.items() if "memory_need" in numbers}
    if not needs:
        return []
    largest = max(needs.values(), key=lambda need: float(need["expected_bytes"]))
    parts = sorted(largest["parts_bytes"].items(), key=lambda part: -part[1])
    of = ", ".join(f"{name} {gib(size)}" for name, size in parts if size >= 0.02 * largest["expected_bytes"])
    interval = f"{gib(largest['low_bytes'])} to {gib(largest['high_bytes'])}"
    lines = [f"  memory on one GPU: {gib(largest['expected_bytes'])} GiB (90%: {interval}): {of}"]
    for fitting in _ORDER:
        names = [f"{name} ({gib(n['available_bytes'])})" for name, n in needs.items() if n["fitting"] == fitting]
        lines += [f"  {fitting}: {', '.join(names)}"] if names else []
    return lines


def batch_lines(entry: Mapping[str, Any]) -> list[str]:
    """The largest batch on each type, and how it was had."""
    batches = entry.get("largest_batch")
    if batches is None:
        return []
    if not batches:
        return [
            "  largest batch: not known: no dry run, no batch size that it states, and no loader whose batches count"
        ]
    shown = ", ".join(f"{name} {of['expected']:,} ({of['sure']:,} surely)" for name, of in batches.items())
    any_of = next(iter(batches.values()))
    return [f"  largest batch: {shown}", f"  from {any_of['how']}"]


def gib(size: float) -> str:
    """Bytes as GiB, to three digits."""
    return f"{size / GIB:.3g}"
