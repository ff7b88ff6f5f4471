"""What of the cells that ran before belongs to the program of a cell: what it needs, and not what took their time."""

import ast
from collections.abc import Sequence

from kilowait.program.launch.notebook import plain_cell

WORK = frozenset({"fit", "train", "evaluate", "validate", "test", "predict", "generate", "backward", "step", "run"})
"""Methods whose call as a statement is the work of another cell."""
MAGIC = "predict"
_KEPT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)


def needed(cells: Sequence[str]) -> list[str]:
    """Imports, definitions, assignments and small calls such as `model.cuda()` of each cell, empty ones left out.

    Loops, and calls that train or evaluate, are not: their time was another cell's. Nor is a cell that was only
    predicted, or whose text is no Python.
    """
    kept = (_kept(plain_cell(cell)) for cell in cells if not _was_predicted(cell))
    return [text for text in kept if text]


def _was_predicted(cell: str) -> bool:
    return cell.lstrip().startswith((f"%%{MAGIC}", f"%{MAGIC}"))


def _kept(code: str) -> str:
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError):
        return ""
    return "\n".join(ast.unparse(statement) for statement in body if _is_needed(statement))


def _is_needed(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        call = statement.value
        return isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr not in WORK
    return isinstance(statement, _KEPT)
