"""What sites call their GPUs in gres.conf, as types of the catalogue: `rtx2080ti`, `tesla_v100`, `a100-sxm4-80gb`."""

import re
from functools import lru_cache

from kilowait.core.hardware import GPU_TYPES, canonical, is_known

_ORNAMENTS = re.compile(r"(nvidia|tesla|geforce|pcie|sxm\d?|nvl|hbm\d\w?)(?![a-z])")
"""Words that tell no type of the catalogue from another. A site's file of GPU types may give any other name."""
_MEMORY = re.compile(r"(\d+)gb?$")
_GIB = 2**30


def catalogue_type(word: str) -> str | None:
    """The canonical name, None for what is no type of the catalogue; raises InputError for a site's wrong file."""
    if not word or is_known(word):
        return canonical(word) if word else None
    compact = _compact(word)
    names = _names(tuple(GPU_TYPES))
    if compact in names:
        return names[compact]
    memory = _MEMORY.search(compact)
    base = names.get(compact[: memory.start()]) if memory else None
    has = GPU_TYPES[base].memory_bytes if base else None
    return base if memory and has and abs(has / _GIB - int(memory[1])) <= 0.1 * int(memory[1]) else None


def _compact(word: str) -> str:
    """Letters and digits alone, without ornaments."""
    parts = re.split(r"[^a-z0-9.]+", word.lower())
    return "".join(part for part in parts if not _ORNAMENTS.fullmatch(part))


@lru_cache(maxsize=4)
def _names(types: tuple[str, ...]) -> dict[str, str]:
    """Canonical names by compact ones; what two types are called is neither's."""
    found: dict[str, set[str]] = {}
    for name in types:
        gpu = GPU_TYPES[name]
        for alias in (name, *gpu.aliases, *gpu.nvml):
            found.setdefault(_compact(alias), set()).add(name)
    return {compact: next(iter(names)) for compact, names in found.items() if len(names) == 1}
