"""What is to be run dry: files, an entrypoint, arguments; and whether it is a forward program or a script."""

import ast
from collections.abc import Mapping

from msgspec import Struct

NAMES = ("Model", "get_inputs", "get_init_inputs")
"""What a forward program defines (the convention of KernelBench)."""


class Program(Struct, frozen=True, kw_only=True):
    """Files by relative path, the one that is run, and the arguments it gets.

    `content_hash` names the program in the result; whoever makes it says how files and arguments enter it.
    """

    files: Mapping[str, bytes]
    entrypoint: str
    content_hash: str
    arguments: tuple[str, ...] = ()


def is_forward(text: str) -> bool:
    """Whether the text defines `NAMES` and does nothing when it runs as a script."""
    try:
        body = ast.parse(text).body
    except SyntaxError:
        return False
    named = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return set(NAMES) <= named and not any(isinstance(node, ast.If) and _asks_for_main(node) for node in body)


def _asks_for_main(node: ast.If) -> bool:
    return any(isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(node.test))
