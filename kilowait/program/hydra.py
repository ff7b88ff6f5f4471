"""Which configuration files a program under `@hydra.main` composes: its own, and one of each group.

Read from the decorator, the `defaults` lists and the overrides (`model=large`). Not covered: interpolation, search
paths, structured configurations, sweeps.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

_BLOCK = re.compile(r"^defaults:[^\n]*\n((?:[ \t]*(?:-[^\n]*|#[^\n]*)?(?:\n|\Z))*)", re.MULTILINE)
_ENTRY = re.compile(
    r"^[ \t]*-[ \t]*(?:override[ \t]+|optional[ \t]+)?/?([\w./-]+)(?:@[\w.]+)?[ \t]*(?::[ \t]*([\w./-]+))?", re.M
)


def find_main(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str]]:
    """(folder seen from the module, name) of each `hydra.main(config_path=..., config_name=...)` among the nodes."""
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "main":
            arguments = {
                keyword.arg: keyword.value.value for keyword in node.keywords if isinstance(keyword.value, ast.Constant)
            }
            folder, name = arguments.get("config_path"), arguments.get("config_name")
            if isinstance(folder, str | None) and isinstance(name, str):
                yield folder or ".", name.removesuffix(".yaml")


def overrides(arguments: Sequence[str]) -> dict[str, str]:
    """The groups that arguments choose: `model=large` and `+model=large` are model: large."""
    pairs = (word.lstrip("+").partition("=") for word in arguments if not word.startswith(("-", "~")))
    return {group: value for group, equals, value in pairs if equals and value}


def composed(text: str, chosen: Mapping[str, str]) -> list[str]:
    """The files, without .yaml and relative to hydra's folder, that a configuration's `defaults` list names."""
    entries = [entry for block in _BLOCK.findall(text) for entry in _ENTRY.findall(block)]
    return [f"{group}/{chosen.get(group, value)}" if value else group for group, value in entries if group != "_self_"]
