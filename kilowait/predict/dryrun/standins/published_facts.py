"""Facts about public data sets and models, from JSON files in `kilowait/data`.

Each entry names its `source` and says whether its numbers were compared with it (`checked`). Of a checked entry,
`unchecked` names the fields and splits that the source does not give. What was not compared is used all the same, and
is said to be so: `certainty`.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).resolve().parents[3] / "data"
Facts = "dict[str, Any]"
Found = "tuple[str, dict[str, Any]]"
"""The name under which something is in the catalogue, and what is known of it."""


@cache
def _file(name: str) -> dict[str, dict[str, Any]]:
    contents: dict[str, dict[str, Any]] = json.loads((_FOLDER / name).read_bytes())
    return contents


def certainty(facts: dict[str, Any], *fields: str) -> tuple[str, str]:
    """What stands in brackets behind a fact that rests on these fields, and how it is known (one of `record.HOW`)."""
    unchecked = facts.get("unchecked", ())
    if facts.get("checked") and not any(field in unchecked for field in fields):
        return "catalogue", "catalogue"
    return "catalogue, not checked", "modelled"


def image_set(name: str) -> dict[str, Any] | None:
    """An image data set by the name of its class in torchvision."""
    return _file("data_sets.json")["vision"].get(name)


def audio_set(name: str) -> dict[str, Any] | None:
    """An audio data set by the name of its class in torchaudio."""
    return _file("data_sets.json")["audio"].get(name)


def hub_set(name: str, configuration: str | None) -> tuple[str, dict[str, Any]] | None:
    """A data set of the Hugging Face hub, with or without its owner; of several configurations the one asked for."""
    sets, aliases = _file("data_sets.json")["hub"], _file("data_sets.json")["aliases"]
    for known in (name, aliases.get(name), name.rpartition("/")[2]):
        if known is None:
            continue
        if known in sets:
            return known, sets[known]
        members = [key for key in sets if key.rpartition("/")[0] == known]
        exact = [key for key in members if configuration and key.rpartition("/")[2] == configuration]
        chosen = exact or ([] if configuration and len(members) > 1 else members)
        if chosen:
            return chosen[0], sets[chosen[0]]
    return None


def image_folder(path: str) -> tuple[str, dict[str, Any]] | None:
    """The image data set that a folder's name tells: `/data/imagenet/train` is ImageNet."""
    lowered = path.lower()
    for part, name in _file("data_sets.json")["folders"].items():
        if re.search(rf"(?<![a-z]){re.escape(part)}(?![a-z])", lowered):
            return name, _file("data_sets.json")["vision"][name]
    return None


def image_set_called(name: str) -> tuple[str, dict[str, Any]] | None:
    """The image data set whose name the name of a class begins with: `CarvanaDataset`."""
    sets = _file("data_sets.json")["vision"]
    begun = [known for known in sets if name.lower().startswith(known.lower()) and not name[len(known) :][:1].islower()]
    longest = max(begun, key=len, default=None)
    return None if longest is None else (longest, sets[longest])


def data_file(path: str) -> tuple[str, dict[str, Any]] | None:
    """A file that is published as such, by its name and its folder's where one is known."""
    files, parts = _file("data_sets.json")["files"], path.replace("\\", "/").split("/")
    for name in ("/".join(parts[-2:]), parts[-1]):
        if name in files:
            return name, files[name]
    return None


def data_folder(path: str) -> bool:
    """Whether files of the catalogue lie in a folder of that name."""
    name = path.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return any("/" in file and file.partition("/")[0] == name for file in _file("data_sets.json")["files"])


def model(name: str) -> tuple[str, dict[str, Any]] | None:
    """The configuration of a model of the Hugging Face hub; of a folder or copy that has a model's name, that model's.

    The name that comes with it says which one it was taken to be, and that is then not as sure as the catalogue.
    """
    models, aliases = _file("models.json")["models"], _file("models.json")["aliases"]
    known = name if name in models else aliases.get(name)
    if known is not None:
        return str(known), models[str(known)]
    like = _models_by_last_name().get(_last_name(name))
    return None if like is None else (f"{name}, by its name taken to be {like},", {**models[like], "checked": False})


def _last_name(name: str) -> str:
    """What a model is called in a folder, in the hub and in its cache alike."""
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2].rpartition("--")[2].lower()


@cache
def _models_by_last_name() -> dict[str, str]:
    contents = _file("models.json")
    aliases = {_last_name(alias): str(known) for alias, known in contents["aliases"].items()}
    return {**aliases, **{_last_name(known): known for known in reversed(contents["models"])}}
