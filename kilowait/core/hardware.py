"""The catalogue of GPU types: canonical names, aliases, order of power, specifications.

Everything that needs a GPU's name or size asks this module. The types are data: `kilowait/data/gpus.toml`, and the file
that the environment variable KILOWAIT_GPUS names, in which a site adds or overrides types (`kilowait.core.gpu_file`
says how). They are read once, when they are first asked for; child processes and Ray's workers inherit the variable.
"""

import os
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from kilowait.core import gpu_file
from kilowait.core.errors import InputError
from kilowait.core.gpu_type import GpuType

SITE_FILE = "KILOWAIT_GPUS"
"""The environment variable that names a site's file of GPU types."""

REMEDY = f"add it to a file that {SITE_FILE} or --gpu-file names"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Catalogue:
    """Boards and all types (boards and their MIG slices), most powerful first; canonical names by alias and by NVML."""

    boards: Mapping[str, GpuType]
    types: Mapping[str, GpuType]
    canonical: Mapping[str, str]
    nvml: Mapping[str, str]

    @classmethod
    def of(cls, rows: Sequence[GpuType]) -> "_Catalogue":
        all_types = [*rows, *(share for board in rows for share in board.mig_slices())]
        return cls(
            boards=_by_power(rows),
            types=_by_power(all_types),
            canonical=_aliases(all_types),
            nvml={_key(name): gpu.name for gpu in all_types for name in gpu.nvml},
        )


def _by_power(rows: Iterable[GpuType]) -> dict[str, GpuType]:
    return {gpu.name: gpu for gpu in sorted(rows, key=lambda gpu: gpu.power_score, reverse=True)}


def _key(name: str) -> str:
    return name.strip().lower().replace(" ", "-").replace("_", "-")


def _aliases(rows: Sequence[GpuType]) -> dict[str, str]:
    """Alias to canonical name; a canonical name beats an alias, an alias beats a name that Ray shares out."""
    names = {_key(gpu.name): gpu.name for gpu in rows}
    aliases = [(name, gpu.name) for gpu in rows for name in (*gpu.aliases, *gpu.nvml)]
    ray_names = [(name, gpu.name) for gpu in rows for name in gpu.ray]
    for name, gpu_name in aliases + ray_names:
        names.setdefault(_key(name), gpu_name)
    return names


@cache
def _catalogue() -> _Catalogue:
    """What is known, read once; raises InputError for a site's file that is wrong."""
    source = resources.files("kilowait") / "data" / "gpus.toml"
    tables, where = gpu_file.read_tables(source.read_text(encoding="utf-8"), "gpus.toml"), {}
    if site := os.environ.get(SITE_FILE):
        os.environ[SITE_FILE] = site = str(Path(site).absolute())  # children may start elsewhere
        for name, table in gpu_file.read_file(Path(site)).items():
            name = next((table_name for table_name in tables if _key(table_name) == _key(name)), name)
            tables[name], where[name] = {**tables.get(name, {}), **table}, site
    return _Catalogue.of([gpu_file.gpu_type(name, row, where.get(name, "gpus.toml")) for name, row in tables.items()])


class _View(Mapping[str, GpuType]):
    """One of the catalogue's mappings, read when it is first looked at."""

    def __init__(self, part: Callable[[_Catalogue], Mapping[str, GpuType]]) -> None:
        self._part = part

    def __getitem__(self, name: str) -> GpuType:
        return self._part(_catalogue())[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._part(_catalogue()))

    def __len__(self) -> int:
        return len(self._part(_catalogue()))


CATALOGUE: Mapping[str, GpuType] = _View(lambda catalogue: catalogue.boards)
"""Every known board by canonical name, most powerful first."""

GPU_TYPES: Mapping[str, GpuType] = _View(lambda catalogue: catalogue.types)
"""Every known type by canonical name, most powerful first: the boards and their MIG slices."""


def is_known(name: str) -> bool:
    """Whether this names a GPU type, in any of its names; raises InputError for a site's file that is wrong."""
    return _key(name) in _catalogue().canonical


def canonical(name: str) -> str:
    """The canonical name for any alias (Ray, NVML, the paper, people); raises InputError with near names."""
    names = _catalogue().canonical
    try:
        return names[_key(name)]
    except KeyError:
        matches = get_close_matches(_key(name), names, n=3)
        hint = f"did you mean {', '.join(dict.fromkeys(names[n] for n in matches))}?" if matches else ""
        hint = hint or f"known types: {', '.join(CATALOGUE)}"
        raise InputError(f"unknown GPU type {name!r}; {hint}") from None


def from_nvml(name: str) -> str:
    """The canonical name of the board that NVML calls `name`; raises InputError for an unknown board."""
    try:
        return _catalogue().nvml[_key(name)]
    except KeyError:
        raise InputError(
            f"the driver reports a board {name!r} that the catalogue lacks; {REMEDY}, such as: "
            + gpu_file.EXAMPLE.format(board=name)
        ) from None


def power_order(names: Iterable[str]) -> list[str]:
    """Canonical names of these types, most powerful first, each once."""
    canonical_names = {canonical(name) for name in names}
    return [name for name in GPU_TYPES if name in canonical_names]


def idle_power_w(name: str) -> float | None:
    """Typical watts of one idle board, None when the catalogue does not know the type or its idle power."""
    catalogue = _catalogue()
    canonical_name = catalogue.canonical.get(_key(name))
    return catalogue.types[canonical_name].idle_w if canonical_name else None


def use_site_file(path: Path) -> None:
    """Take a site's types from this file, here and in every process that is started from here.

    Raises InputError for a file that is wrong, and leaves everything as it was.
    """
    previous_file = os.environ.get(SITE_FILE)
    os.environ[SITE_FILE] = str(path.absolute())
    _catalogue.cache_clear()
    try:
        _catalogue()
    except InputError:
        _catalogue.cache_clear()
        del os.environ[SITE_FILE]
        if previous_file is not None:
            os.environ[SITE_FILE] = previous_file
        raise


class _UseFile(Action):
    """Takes effect as it is read: what stands behind it on the command line may name the file's types."""

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Any, option_string: str | None = None
    ) -> None:
        try:
            use_site_file(values)
        except InputError as error:
            parser.error(str(error))
        setattr(namespace, self.dest, values)


def add_gpu_file_option(parser: ArgumentParser) -> None:
    """Add `--gpu-file FILE`."""
    text = f"TOML with GPU types of your own, or other figures for known ones (default: what {SITE_FILE} names)"
    parser.add_argument("--gpu-file", type=Path, action=_UseFile, metavar="FILE", help=text)
