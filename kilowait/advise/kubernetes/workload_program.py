"""The program of a workload: from an annotation, a git repository, or the ConfigMaps that its container mounts."""

import posixpath
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kilowait.advise.kubernetes.git_source import GIT, GIT_PATH, FetchSource
from kilowait.advise.kubernetes.workload_pods import PodGroup, at, mappings
from kilowait.core.errors import InputError
from kilowait.program.launch.followed import follow_shell
from kilowait.program.read import JobReading, read_followed

SOURCE = "kilowait/source"
"""The annotation that holds a program as it is; its arguments are those of the container's command behind the file."""
ReadConfigMap = Callable[[str, str], Mapping[str, str]]
"""(namespace, name) -> its texts by key; raises ServiceError."""
Json = Mapping[str, Any]


def read_workload(
    workload: Json,
    group: PodGroup,
    namespace: str,
    read: ReadConfigMap,
    folder: Path,
    fetch: FetchSource | None = None,
) -> JobReading:
    """The program that a workload's container starts, its files put into the empty `folder`.

    `fetch` has repositories; without one none is looked at. Raises InputError and SourceError where there is no source
    or no program of Python is started.
    """
    annotations = at(workload, "metadata", "annotations")
    words = _words(workload, group)
    if source := annotations.get(SOURCE):
        name = next((posixpath.basename(word) for word in words if word.endswith(".py")), "main.py")
        (folder / name).write_text(source, encoding="utf-8")
        places = {posixpath.dirname(word): "" for word in words if posixpath.basename(word) == name}
        words = words if name in map(posixpath.basename, words) else ["python", name]
    elif reference := annotations.get(GIT):
        places = _checked_out(str(reference), annotations, group.container, folder, fetch)
    else:
        places = _written(group, namespace, read, folder)
    script = folder / "start.sh"
    followed = follow_shell(script, _script(words, group.container, places), ())
    reading = read_followed(followed, f"{(workload.get('metadata') or {}).get('name', '')}: {followed.entrypoint}")
    for path, data in reading.source.files.items():
        if not (folder / path).is_file() or (folder / path).read_bytes() != data:  # a file of this machine's
            raise InputError(f"it starts {path}, which is not in its source: a mounted ConfigMap, or what {GIT} names")
    return reading


def _checked_out(
    reference: str, annotations: Json, container: Json, folder: Path, fetch: FetchSource | None
) -> dict[str, str]:
    """Put the repository into the folder; it stands where the annotation says, else in the working folder."""
    if fetch is None:
        raise InputError(f"{GIT}: repositories are not looked at here; kilowait admit --git-host HOST allows a host's")
    fetch(reference, folder)
    return {str(annotations.get(GIT_PATH) or container.get("workingDir") or "/").rstrip("/"): ""}


def _words(workload: Json, group: PodGroup) -> list[str]:
    """What is started: a RayJob's entrypoint, else the container's command and arguments."""
    if workload.get("kind") == "RayJob":
        entrypoint = str((workload.get("spec") or {}).get("entrypoint") or "")
        try:
            return shlex.split(entrypoint)
        except ValueError as error:
            raise InputError(f"entrypoint {entrypoint}: {error}") from error
    container = group.container
    return [str(word) for name in ("command", "args") for word in container.get(name) or ()]


def _script(words: Sequence[str], container: Json, places: Mapping[str, str]) -> str:
    """A shell script that starts the same in the folder: variables exported, mounts called by where they stand."""
    shell = len(words) > 2 and posixpath.basename(words[0]) in ("sh", "bash") and words[1].startswith("-")
    line = words[2] if shell and words[1].endswith("c") else shlex.join(words)
    for place in sorted(places, key=len, reverse=True):
        line = line.replace(f"{place}/", f"{places[place]}/" if places[place] else "") if place.strip("/") else line
    variables = [one for one in mappings(at(container, "env")) if "value" in one]
    exports = [f"export {one['name']}={shlex.quote(str(one['value']))}" for one in variables]
    return "\n".join(["#!/bin/sh", *exports, line]) + "\n"


def _written(group: PodGroup, namespace: str, read: ReadConfigMap, folder: Path) -> dict[str, str]:
    """Put the ConfigMaps that are mounted into the folder; returns where each mounted folder stands in it."""
    named = {one.get("name"): one.get("configMap") for one in mappings(at(group.template, "spec", "volumes"))}
    volumes = {name: found for name, found in named.items() if isinstance(found, Mapping)}
    mounts = [one for one in mappings(at(group.container, "volumeMounts")) if one.get("name") in volumes]
    if not mounts:
        raise InputError(
            f"no source: mount a ConfigMap that holds the program, or use the annotation {SOURCE} or {GIT}"
        )
    home = group.container.get("workingDir") or _folder_of(mounts[0])
    places: dict[str, str] = {}
    for number, mount in enumerate(mounts):
        where = _folder_of(mount)
        places.setdefault(where, "" if where == home.rstrip("/") else f"mount{number}")
        config_map = volumes[mount["name"]]
        texts = _chosen(read(namespace, str(config_map.get("name"))), config_map)
        if key := mount.get("subPath"):  # one file, called as the mount is
            texts = {posixpath.basename(mount["mountPath"]): texts[key]} if key in texts else {}
        for name, text in texts.items():
            _put(folder / places[where], name, text)
    return places


def _folder_of(mount: Json) -> str:
    path = str(mount.get("mountPath", "")).rstrip("/")
    return posixpath.dirname(path) if mount.get("subPath") else path


def _chosen(texts: Mapping[str, str], config_map: Json) -> dict[str, str]:
    """Texts by the path under which they are mounted."""
    items = config_map.get("items")
    if not items:
        return dict(texts)
    return {str(item["path"]): texts[item["key"]] for item in items if item.get("key") in texts}


def _put(folder: Path, name: str, text: str) -> None:
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise InputError(f"ConfigMap: {name!r} leaves its folder")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
