"""Find the loop of a generator that yields once an item: `for batch in loader: ...; yield batch; ...`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_LOOPS = (ast.For, ast.While, ast.AsyncFor)
_LEAVING = (ast.Break, ast.Continue, ast.Return)


def yielding_loop(function: ast.AST) -> ast.For | None:
    """The one loop of a function that yields, where it does so once in every item and no item is left early."""
    body: list[ast.stmt] = getattr(function, "body", [])
    parts = [part for statement in body for part in _own(statement)]
    if sum(isinstance(part, (ast.Yield, ast.YieldFrom, ast.Await)) for part in parts) != 1:
        return None
    loop = next((s for s in _always(body) if isinstance(s, ast.For) and any(map(_yields, _always(s.body)))), None)
    if loop is None or any(isinstance(part, _LEAVING) for statement in loop.body for part in _own(statement)):
        return None
    return loop


def _yields(statement: ast.stmt) -> bool:
    return not isinstance(statement, _LOOPS) and any(isinstance(part, ast.Yield) for part in _own(statement))


def _always(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that always run, those of a `with` and of a `try` among them; no block that may not."""
    for statement in body:
        if isinstance(statement, (ast.With, ast.Try)):
            yield from _always(statement.body)
        elif not isinstance(statement, (ast.If, ast.While)):
            yield statement


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a statement, without those of functions in it."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _FUNCTIONS):
            yield from _own(child)


def interleaves(node: ast.AST) -> bool:
    """Whether control leaves the loop in the middle of an item and comes back."""
    inner = [child for child in ast.iter_child_nodes(node) if not isinstance(child, _FUNCTIONS)]
    return any(isinstance(child, (ast.Yield, ast.YieldFrom, ast.Await)) or interleaves(child) for child in inner)
