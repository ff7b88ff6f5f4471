"""The description of columns that the `datasets` library gives, from what is known of them."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def features(names: list[str], kinds: dict[str, Any]) -> Any:
    """The library's own Features."""
    datasets = import_module("datasets")
    return datasets.Features({name: _feature(datasets, kinds.get(name, ["int64"])) for name in names})


def _feature(datasets: Any, kind: Any) -> Any:
    if isinstance(kind, list):
        return datasets.Sequence(_feature(datasets, kind[0]))
    if isinstance(kind, dict):
        if "classes" in kind:
            names = kind.get("names") or [str(number) for number in range(kind["classes"])]
            return datasets.ClassLabel(names=names)
        if "array" in kind:
            return datasets.Sequence(datasets.Value(kind["dtype"]))
        if "each" in kind or "each_list" in kind:
            inner = _feature(datasets, kind.get("each", kind.get("each_list")))
            return datasets.Sequence(inner) if "each" in kind else [inner]
        return {name: _feature(datasets, part) for name, part in kind.items()}
    if kind in ("image", "audio"):
        return datasets.Image() if kind == "image" else datasets.Audio()
    return datasets.Value(kind)
