"""Find loops that an iterator ends: `while True: try: x = next(it) ... except StopIteration: break`.

Where the handler goes on instead (`it = iter(loader)`), the iterator ends nothing.
"""

from __future__ import annotations

import ast

from kilowait.predict.dryrun.loops.rewrite_calls import loops_call


def tell_next(body: list[ast.stmt], site: int) -> None:
    """Let every `next(it)` whose end leaves the loop `site` with this body say how many items are left."""
    for statement in body:
        if isinstance(statement, ast.Try) and any(map(_leaves_at_end, statement.handlers)):
            _Asked(site).visit_body(statement.body)


def _leaves_at_end(handler: ast.ExceptHandler) -> bool:
    caught = handler.type
    return (
        isinstance(caught, ast.Name)
        and caught.id == "StopIteration"
        and isinstance(handler.body[-1], (ast.Break, ast.Return))
    )


class _Asked(ast.NodeTransformer):
    def __init__(self, site: int) -> None:
        self.site = site

    def visit_body(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self.visit(statement)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "next" and len(node.args) == 1 and not node.keywords:
            return ast.copy_location(loops_call("next", ast.Constant(self.site), node.args[0]), node)
        return node

    def _not_inside(self, node: ast.AST) -> ast.AST:
        """A loop inside has its own items, and a function its own end."""
        return node

    visit_For = visit_While = visit_FunctionDef = visit_Lambda = _not_inside  # noqa: N815
