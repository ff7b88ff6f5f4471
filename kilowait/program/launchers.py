"""Words that ask for GPUs: flags, keywords and variables that launchers share, and what their values mean."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import ceil

from kilowait.core.hardware import canonical, is_known

MAX_GPUS = 100_000
"""A larger number is no count of GPUs."""

PER_NODE = frozenset({"nproc_per_node", "gpus_per_node", "devices", "gpus", "num_gpus"})
TOTAL = frozenset({"num_processes", "num_devices", "nprocs", "ngpus", "n_gpus", "gpu_count"})
LISTS = frozenset({"device_ids", "gpu_ids", "cuda_visible_devices"})
TYPES = frozenset({"gpu_type", "accelerator_type", "accelerators", "accelerator", "gpu", "gres"})
COUNTS = PER_NODE | TOTAL | LISTS
NODES = frozenset({"nnodes", "num_nodes"})
LAUNCHERS = ("torchrun", "torch.distributed.run", "torch.distributed.launch", "accelerate", "deepspeed")


class Rank(IntEnum):
    """How much a reading counts, least first."""

    COMMENT = 0
    SOURCE = 1
    COMMAND_LINE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReading:
    """One thing read: a number of GPUs, types, both, or neither (a remark)."""

    rank: Rank
    where: str
    what: str
    gpus: int | None = None
    gpu_types: tuple[str, ...] = ()

    def __str__(self) -> str:
        meaning = [f"{self.gpus} GPU{'s' if self.gpus > 1 else ''}"] if self.gpus else []
        meaning += [f"type {' or '.join(self.gpu_types)}"] if self.gpu_types else []
        return f"{self.where}: {self.what}" + (f" -> {', '.join(meaning)}" if meaning else "")


def plain(name: str) -> str:
    """`--trainer.nproc-per-node` as `nproc_per_node`."""
    return name.lstrip("-").rpartition(".")[2].replace("-", "_").lower()


def known_type(text: object) -> str | None:
    """The canonical GPU type that `text` names, None when it names none."""
    if not isinstance(text, str) or not 0 < len(text) <= 40:
        return None
    for name in (text, re.sub(r"(?i)^nvidia[-_ ]", "", text), re.sub(r"(?i)^(nvidia[-_ ])?tesla[-_ ]", "", text)):
        if is_known(name):
            return canonical(name)
    return None


def count(value: object) -> int | None:
    """How many GPUs a value means: 4, "4", 0.5 (one), [0, 1] or "0,1" (two); None when it is no number of GPUs."""
    if isinstance(value, str):
        text = value.strip().strip("[]")
        parts = [part for part in text.split(",") if part.strip()]
        if "," in text:
            return len(parts) if parts and all(re.fullmatch(r"\s*[0-9]+\s*", part) for part in parts) else None
        value = int(text) if re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) else None
    if isinstance(value, list):
        return len(value) or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return ceil(value) if 0 < value <= MAX_GPUS else None


def listed(value: object) -> int | None:
    """How many GPUs a list of indices or UUIDs names: "3" is one GPU, unlike in `count`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return 1 if value >= 0 else None
    parts = value if isinstance(value, list) else str(value or "").strip("[] ").split(",")
    parts = [str(part).strip() for part in parts if str(part).strip()]
    return len(parts) if parts and "-1" not in parts and "all" not in parts else None


def meaning(name: str, value: object) -> tuple[int | None, tuple[str, ...]]:
    """(number of GPUs, types) of one named value; a name is one of COUNTS or TYPES.

    A text may carry both, as in `A100:4`, `gpu:a100:2` or `2xA100`, and several types, as in `A100,A6000`.
    """
    if name in LISTS:
        return listed(value), ()
    if name in COUNTS and (gpus := count(value)) is not None:
        return gpus, ()
    if not isinstance(value, str) or len(value) > 80:
        return None, ()
    choices = [_choice(part.strip()) for part in re.split(r",|\||\bor\b", value)]
    numbers = [number for number, _ in choices if number]
    types = tuple(dict.fromkeys(gpu_type for _, gpu_type in choices if gpu_type))
    if name in COUNTS and not numbers:
        numbers = [number for number in (count(value.partition(",")[0]),) if number]
    return max(numbers, default=None), types


def _choice(text: str) -> tuple[int | None, str | None]:
    """(number, type) of one of `A100`, `A100:4`, `gpu:a100:2`, `2 x A100`."""
    if (bare_type := known_type(text)) is not None:
        return None, bare_type
    if times := re.fullmatch(r"([0-9]{1,6})\s*[x*]?\s*(.+)", text, re.ASCII):
        text = f"{times[2]}:{times[1]}"
    first, *others = (part.strip() for part in text.split(":"))
    gpu_type = next((part_type for part in (first, *others) if (part_type := known_type(part))), None)
    numbers = [n for part in others if (n := count(part)) is not None]
    is_about_gpus = gpu_type is not None or first.lower() in ("gpu", "gpus")
    return (numbers[-1] if numbers and is_about_gpus else None), gpu_type


def split(command: Sequence[str] | str) -> list[str]:
    """A command as words; quotes that do not close are taken as they stand."""
    if not isinstance(command, str):
        return [str(word) for word in command]
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def read_words(words: Sequence[str], rank: Rank, where: str) -> Iterator[GpuReading]:
    """What the words of one command ask for."""
    options = list(_options(words))
    nodes = max((_nodes(value) for name, value, _ in options if name in NODES), default=1)
    for name, value, text in options:
        if name not in COUNTS | TYPES:
            continue
        gpus, gpu_types = meaning(name, value)
        if gpus and name in PER_NODE and 1 < nodes <= MAX_GPUS // gpus:
            gpus, text = gpus * nodes, f"{text} on {nodes} nodes"
        if gpus or gpu_types:
            yield GpuReading(rank=rank, where=where, what=text, gpus=gpus, gpu_types=gpu_types)
        elif name in COUNTS:
            yield GpuReading(rank=rank, where=where, what=f"{text} is no number of GPUs, left out")
    launcher = next((word for word in words if word.rpartition("/")[2] in LAUNCHERS), None)
    if launcher and not any(name in COUNTS for name, *_ in options):
        yield GpuReading(rank=rank, where=where, what=f"{launcher} without a number of processes")


def _options(words: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """(plain name, value, as it was written) of `--name value`, `--name=value` and `NAME=value`."""
    for word, next_word in zip(words, (*words[1:], ""), strict=False):
        name, equals, value = word.partition("=")
        if len(word) > 200:
            continue
        if equals and re.fullmatch(r"[-\w.]+", name):
            yield plain(name), value, word
        elif word.startswith("--") and next_word and not next_word.startswith("--") and len(next_word) <= 200:
            yield plain(word), next_word, f"{word} {next_word}"


def _nodes(text: str) -> int:
    """Nodes of `2` or of an elastic `2:4` (the larger)."""
    return max((int(n) for n in re.findall(r"[0-9]{1,6}", text, re.ASCII)), default=1)
