"""Which loops of a program train, as its text tells: they call `backward`, themselves or by a function of the file."""

from __future__ import annotations

import ast
from collections.abc import Collection

_BACKWARD = frozenset({"backward", "manual_backward"})


def training_calls(tree: ast.Module) -> frozenset[str]:
    """What is called where a file trains: `backward`, and its functions that come to it."""
    bodies = {
        node.name: node.body for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    called = {name: called_names(body) for name, body in bodies.items()}
    found = _BACKWARD
    while more := {name for name, names in called.items() if name not in found and names & found}:
        found |= more
    return found


def calls_any(body: list[ast.stmt], names: Collection[str]) -> bool:
    """Whether any of these is called in a loop with this body."""
    return not called_names(body).isdisjoint(names)


def called_names(body: list[ast.stmt]) -> set[str]:
    """The functions and methods that are called, by their last name."""
    calls = [part.func for statement in body for part in ast.walk(statement) if isinstance(part, ast.Call)]
    return {getattr(func, "attr", getattr(func, "id", "")) for func in calls}
