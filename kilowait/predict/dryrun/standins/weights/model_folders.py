"""Folders of published models that are not there, by the names of the models: which of their files are known."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from kilowait.predict.dryrun.standins import published_facts
from kilowait.predict.dryrun.standins.data.absent import Absent

WEIGHTS = re.compile(r"(?:^|/)(?:pytorch_)?model(?:-(?P<part>\d+)-of-(?P<parts>\d+))?\.(?:safetensors|bin)$")
_INDEX = re.compile(r"(?:^|/)(?P<stem>(?:pytorch_)?model)\.(?P<suffix>safetensors|bin)\.index\.json$")
FILE_BYTES = 5_000_000_000
"""How much of a model's weights the files of an index hold each, as transformers saves them by default."""
_isdir = os.path.isdir  # the program finds another


def model_at(folder: str) -> published_facts.Found | None:
    """The published model that a folder which is not there is named after, and what is known of it."""
    return None if _isdir(folder) else published_facts.model(folder)


def is_model_folder(path: Any) -> bool:
    """Whether a path from the root names a published model; a relative one may be a name of the hub."""
    return os.path.isabs(path) and published_facts.model(os.fspath(path)) is not None


def is_model_file(path: Any) -> bool:
    """Whether a path from the root names a file of a published model's folder that is not there."""
    if not isinstance(path, (str, os.PathLike)) or not os.path.isabs(path):
        return False
    folder, name = os.path.split(os.fspath(path))
    known = name == "config.json" or WEIGHTS.search(name) or _INDEX.search(name)
    return bool(known) and model_at(folder) is not None


def text_of_model(absent: Absent, path: Any) -> str | None:
    """The config.json, or the index of the files, of a model whose folder is not there; None for any other file."""
    folder, name = os.path.split(str(path))
    index = _INDEX.search(name)
    found = model_at(folder) if name == "config.json" or index else None
    if found is None or "config" not in found[1]:
        return None
    known, facts = found
    if index:
        return _index(absent, str(path), **index.groupdict())
    absent.recorder.assume(f"{absent.shown(known)} is a {facts['config'].get('model_type', 'model')}", "modelled")
    return json.dumps(facts["config"])


def names_in(names: list[str], part: int, parts: int) -> list[str]:
    """The weights of one of so many files, of all as they follow each other."""
    first, end = (len(names) * number // parts for number in (part - 1, part))
    return names[first:end]


def _index(absent: Absent, path: str, stem: str, suffix: str) -> str | None:
    state = absent.state_of(path[: -len(".index.json")])
    if state is None:
        return None
    sizes = {name: value.numel() * value.element_size() for name, value in state.items()}
    parts, files = max(1, -(-sum(sizes.values()) // FILE_BYTES)), {}
    for part in range(1, parts + 1):
        file = f"{stem}-{part:05}-of-{parts:05}.{suffix}"
        files.update(dict.fromkeys(names_in(list(sizes), part, parts), file))
    return json.dumps({"metadata": {"total_size": sum(sizes.values())}, "weight_map": files})
