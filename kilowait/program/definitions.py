"""Modules that only define things: they start nothing, so as an entrypoint they are a mistake."""

import ast
from collections.abc import Collection, Iterable

from kilowait.program.imports import parse

LIBRARY = "it only defines things and starts nothing (a library module); predict the script that uses it"


def only_defines(text: str) -> bool:
    """Whether nothing at a module's own level does work: imports, definitions, and assignments that call neither torch
    nor what the module defines. A text that cannot be parsed does not."""
    tree = parse(text)
    if isinstance(tree, str):
        return False
    names = {name for node in tree.body for name in _working(node)}
    return any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in tree.body) and _all(tree.body, names)


def _working(node: ast.stmt) -> Iterable[str]:
    """Names whose call may be the work: what is torch's, and what stands here."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.Import):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names if "torch" in alias.name]
    if isinstance(node, ast.ImportFrom) and "torch" in (node.module or ""):
        return [alias.asname or alias.name for alias in node.names]
    return []


def _all(body: Iterable[ast.stmt], names: Collection[str]) -> bool:
    return all(_defines(node, names) for node in body)


def _defines(node: ast.stmt, names: Collection[str]) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Pass():
            return True
        case ast.Import() | ast.ImportFrom() | ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return True
        case ast.Assign(value=value) | ast.AnnAssign(value=value):
            calls = [part for part in ast.walk(value) if isinstance(part, ast.Call)] if value is not None else []
            return not any(_root(call.func) in names for call in calls)
        case ast.Try():
            parts = (node.body, node.orelse, node.finalbody, *(handler.body for handler in node.handlers))
            return all(_all(part, names) for part in parts)
        case ast.If():
            return "__main__" not in ast.unparse(node.test) and _all([*node.body, *node.orelse], names)
        case _:
            return False


def _root(called: ast.expr) -> str:
    while isinstance(called, (ast.Attribute, ast.Call, ast.Subscript)):
        called = called.func if isinstance(called, ast.Call) else called.value
    return called.id if isinstance(called, ast.Name) else ""
