"""A JSON Patch (RFC 6902) that makes one JSON value of another by adding and replacing."""

from collections.abc import Iterator, Mapping
from typing import Any


def json_patch(before: Any, after: Any, path: str = "") -> list[dict[str, Any]]:
    """Operations that turn `before` into `after`, which has all of its keys and begins with all of its entries."""
    return list(_operations(before, after, path))


def _operations(before: Any, after: Any, path: str) -> Iterator[dict[str, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key, value in after.items():
            place = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
            if key in before:
                yield from _operations(before[key], value, place)
            else:
                yield {"op": "add", "path": place, "value": value}
    elif isinstance(before, list) and isinstance(after, list) and len(after) >= len(before):
        for number, value in enumerate(after):
            if number < len(before):
                yield from _operations(before[number], value, f"{path}/{number}")
            else:
                yield {"op": "add", "path": f"{path}/-", "value": value}
    elif before != after:
        yield {"op": "replace", "path": path, "value": after}
