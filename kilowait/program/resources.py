"""What a job asks for, read from its source and its command line, with the evidence for each reading.

What the user gives wins over the command line, the command line over the program's own calls, and those over launch
commands in its comments and docstrings. Within one of these the largest number of GPUs counts (too few would
end the job), and every type named is allowed. A number that is only known at run time (`devices="auto"`) is reported,
not guessed.

Of several files each is read by itself: a configuration file counts as a comment does, since no call is certain.
Not covered: values computed at run time, memory.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from kilowait.core.errors import InputError
from kilowait.core.hardware import power_order
from kilowait.program.imports import parse
from kilowait.program.launchers import (
    COUNTS,
    LISTS,
    TYPES,
    GpuReading,
    Rank,
    count,
    plain,
    read_words,
    split,
)
from kilowait.program.running_text import (
    named_reading,
    one_way,
    read_comments,
    read_launch,
    read_lines,
    started_plainly,
)

T = TypeVar("T")

_KEYWORDS = {
    # callable: keywords of it that number or name GPUs
    "Trainer": ("devices", "gpus"),
    "Fabric": ("devices",),
    "remote": ("num_gpus", "accelerator_type"),
    "options": ("num_gpus", "accelerator_type"),
    "map_batches": ("num_gpus", "accelerator_type"),
    "DataParallel": ("device_ids",),
    "DistributedDataParallel": ("device_ids",),
    "DDP": ("device_ids",),
    "spawn": ("nprocs",),
    "notebook_launcher": ("num_processes",),
    "ScalingConfig": ("accelerator_type",),
}
_ANYWHERE = ("gpu_type", "accelerator_type", "gpu")
"""Keywords that name a type on whatever call."""

_VARIABLES = {"num_gpus", "n_gpus", "ngpus", "gpu_count", "nproc_per_node", "device_ids", "gpu_type"}
"""Variables that speak for themselves when assigned a constant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuRequest:
    """What a job asks for: its number of GPUs, the types it may use (None: any), and what was read where."""

    gpus: int
    gpu_types: frozenset[str] | None
    evidence: tuple[str, ...]


def read_request(
    source: str | Mapping[str, str],
    command_line: Sequence[str] | str = (),
    *,
    gpus: int | None = None,
    gpu_types: Iterable[str] | None = None,
) -> GpuRequest:
    """Read what a job asks for; `gpus` and `gpu_types` are what the user gave and win over what is read.

    The source may be any text, or several by their paths (`kilowait.program.text.texts`). Nothing read means one GPU
    of any type. Raises InputError only for what the user gave: a number below 1, no type at all, a type that the
    catalogue does not know.
    """
    words = read_words(split(command_line), Rank.COMMAND_LINE, "command line")
    readings = sorted([*words, *_read_files(source)], key=lambda reading: -reading.rank)
    evidence = [str(reading) for reading in readings]
    if gpus is not None:
        if gpus < 1:
            raise InputError(f"gpus must be >= 1, got {gpus!r}")
        evidence.insert(0, f"given: gpus={gpus}")
    if gpu_types is not None:
        gpu_types = power_order(gpu_types)
        if not gpu_types:
            raise InputError("gpu_types names no type; leave it out to allow any")
        evidence.insert(0, f"given: types {', '.join(gpu_types)}")
    read_gpus = _strongest([(r.rank, r.gpus) for r in readings if r.gpus])
    if gpus is None and not read_gpus:
        evidence.append("no number of GPUs given or read: 1 assumed")
    read_types = _strongest([(r.rank, name) for r in readings for name in r.gpu_types])
    return GpuRequest(
        gpus=gpus or max(read_gpus, default=1),
        gpu_types=frozenset(gpu_types or read_types) or None,
        evidence=tuple(dict.fromkeys(evidence)),
    )


def _strongest(ranked: Sequence[tuple[Rank, T]]) -> list[T]:
    """What was read at the highest rank that has anything."""
    top_rank = max((rank for rank, _ in ranked), default=None)
    return [value for rank, value in ranked if rank == top_rank]


def _read_files(source: str | Mapping[str, str]) -> Iterator[GpuReading]:
    """Every reading; of several files each says which one."""
    if isinstance(source, str):
        yield from _read_source(source)
    elif len(source) == 1:
        yield from _read_source(*source.values())
    else:
        for path, text in source.items():
            python = path.endswith(".py")
            yield from (replace(r, where=f"{path} {r.where}") for r in _read_source(text, python=python))


def _read_source(text: str, *, python: bool = True) -> Iterator[GpuReading]:
    tree = parse(text) if python else "not Python"
    if isinstance(tree, str):
        yield from read_lines(text)
        yield from read_comments(text)
        return
    readings = [*_Program(tree).read(), *read_comments(text)]
    plainly = started_plainly(text)
    yield from (one_way(reading) if plainly and reading.what.startswith("-") else reading for reading in readings)


class _Program:
    """Readings from a syntax tree. Names assigned one constant, once, stand for it."""

    def __init__(self, tree: ast.Module) -> None:
        self._nodes = list(ast.walk(tree))
        self._constants: dict[str, object] = {}
        self._constants = self._assigned()

    def read(self) -> Iterator[GpuReading]:
        """Every reading, in the order of the tree."""
        for node in self._nodes:
            match node:
                case ast.Call():
                    yield from self._call(node)
                case ast.Assign(targets=[target]):
                    yield from self._assignment(target, node.value)
                case ast.Dict():
                    yield from self._dict(node)
                case ast.Expr(value=ast.Constant(value=str(text))):
                    for offset, line in enumerate(text.splitlines()):
                        yield from read_launch(line, f"line {node.lineno + offset}, docstring")

    def _assigned(self) -> dict[str, object]:
        values_by_name: dict[str, list[object]] = {}
        for node in self._nodes:
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and node.value is not None:
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    if isinstance(target, ast.Name):
                        value = None if isinstance(node, ast.AugAssign) else self._constant(node.value)
                        values_by_name.setdefault(target.id, []).append(value)
        return {name: values[0] for name, values in values_by_name.items() if len(values) == 1}

    def _constant(self, node: ast.expr | None) -> object:
        """The value of a constant expression, None where it is computed."""
        match node:
            case ast.Constant(value=str() | int() | float() as value):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -value
            case ast.Attribute(attr=name) | ast.Name(id=name) if name.startswith("NVIDIA_"):
                return name  # a name of ray.util.accelerators
            case ast.Name(id=name):
                return self._constants.get(name)
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                values = [self._constant(element) for element in elements]
                return values if None not in values else None
        return None

    def _call(self, call: ast.Call) -> Iterator[GpuReading]:
        name = _last_name(call.func)
        keywords = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
        where = f"line {call.lineno}"
        for key in dict.fromkeys((*_KEYWORDS.get(name, ()), *_ANYWHERE)):
            if key in keywords and (value := self._constant(keywords[key])) is not None:
                yield from self._keyword(f"{name}({key}={value!r})", where, key, value, keywords)
        if name == "ScalingConfig":
            yield from self._scaling(where, keywords)
        elif name == "add_argument":
            yield from self._argument(where, call, keywords)
        elif name == "Accelerator":
            what = "Accelerator() takes its number of processes from the launcher"
            yield GpuReading(rank=Rank.SOURCE, where=where, what=what)
        elif name in ("setdefault", "putenv") and len(call.args) == 2:
            yield from self._environment(where, call.args[0], call.args[1])

    def _keyword(
        self, what: str, where: str, key: str, value: object, keywords: Mapping[str, ast.expr]
    ) -> Iterator[GpuReading]:
        nodes = count(self._constant(keywords.get("num_nodes"))) or 1
        for reading in named_reading(Rank.SOURCE, where, what, key, value):
            if reading.gpus and key in ("devices", "gpus") and nodes > 1:
                text = f"{what} on {nodes} nodes"
                yield GpuReading(rank=Rank.SOURCE, where=where, what=text, gpus=reading.gpus * nodes)
            else:
                yield reading

    def _scaling(self, where: str, keywords: Mapping[str, ast.expr]) -> Iterator[GpuReading]:
        """Ray Train: workers times GPUs a worker, one unless `resources_per_worker` says otherwise."""
        workers, gpus_per_worker = count(self._constant(keywords.get("num_workers"))), 1
        resources = keywords.get("resources_per_worker")
        if isinstance(resources, ast.Dict):
            by_name = dict(zip(map(self._constant, resources.keys), resources.values, strict=True))
            gpus_per_worker = count(self._constant(by_name.get("GPU"))) or 1
        if workers and self._constant(keywords.get("use_gpu")) is True:
            what = f"ScalingConfig(num_workers={workers}, use_gpu=True) with {gpus_per_worker} GPU a worker"
            yield GpuReading(rank=Rank.SOURCE, where=where, what=what, gpus=workers * gpus_per_worker)

    def _argument(self, where: str, call: ast.Call, keywords: Mapping[str, ast.expr]) -> Iterator[GpuReading]:
        """argparse: the default of a flag that numbers or names GPUs."""
        default = self._constant(keywords.get("default"))
        for flag in map(self._constant, call.args):
            if isinstance(flag, str) and default is not None and plain(flag) in (COUNTS | TYPES) - LISTS:
                yield from named_reading(Rank.SOURCE, where, f"default of {flag} {default!r}", plain(flag), default)

    def _assignment(self, target: ast.expr, value: ast.expr) -> Iterator[GpuReading]:
        where = f"line {target.lineno}"
        match target:
            case ast.Name(id=name) if plain(name) in _VARIABLES:
                constant = self._constant(value)
                if constant is not None:
                    yield from named_reading(Rank.SOURCE, where, f"{name} = {constant!r}", plain(name), constant)
            case ast.Subscript(slice=key):
                yield from self._environment(where, key, value)

    def _environment(self, where: str, key: ast.expr, value: ast.expr) -> Iterator[GpuReading]:
        constant = self._constant(value)
        if self._constant(key) == "CUDA_VISIBLE_DEVICES" and constant is not None:
            what = f"CUDA_VISIBLE_DEVICES={constant}"
            yield from named_reading(Rank.SOURCE, where, what, "cuda_visible_devices", constant)

    def _dict(self, node: ast.Dict) -> Iterator[GpuReading]:
        """Ray's custom resource {"accelerator_type:A100": 0.01} and label {"ray.io/accelerator-type": "A100"}."""
        for key, value in zip(map(self._constant, node.keys), node.values, strict=True):
            if not isinstance(key, str) or "accelerator" not in key:
                continue
            name, colon, suffix = key.partition(":")
            type_name = suffix if colon else self._constant(value)
            if plain(name.rpartition("/")[2]) == "accelerator_type":
                yield from named_reading(Rank.SOURCE, f"line {node.lineno}", f"{key!r}", "accelerator_type", type_name)


def _last_name(node: ast.expr) -> str:
    """`Trainer` of `L.Trainer`."""
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""
