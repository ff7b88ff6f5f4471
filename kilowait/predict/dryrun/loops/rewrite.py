"""Put a `Loops` between a program's loops and what they run over.

`for x in xs` becomes `for x in LOOPS.items(site, line, xs)`, `while c` a for loop over `LOOPS.trips`; list
comprehensions, `append` and `d[k] = v` are reported too. Loops with `yield` or `await` in them are left alone: they
interleave with their callers.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import count

LOOPS = "__kilowait_loops__"
_LAZY = ("enumerate", "zip")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


Sites = Iterator[int]
"""Numbers of loops, one sequence over all files of a program."""


def rewrite(text: str | bytes, name: str, sites: Sites | None = None) -> ast.Module:
    """The program with its loops rewritten; raises SyntaxError where Python would."""
    tree = ast.parse(text, name)
    _Rewriter(count(1) if sites is None else sites).visit(tree)
    return ast.fix_missing_locations(tree)


class _Rewriter(ast.NodeTransformer):
    def __init__(self, sites: Sites) -> None:
        self.sites = sites
        self.depth = 0

    def visit_For(self, node: ast.For) -> ast.AST | list[ast.stmt]:
        if _interleaves(node):
            return self.generic_visit(node)
        return self._loop(node, node.iter, "items", node.body)

    def visit_While(self, node: ast.While) -> ast.AST | list[ast.stmt]:
        if _interleaves(node) or any(isinstance(part, ast.NamedExpr) for part in ast.walk(node.test)):
            return self.generic_visit(node)
        loop = ast.For(target=ast.Name("_", ast.Store()), iter=node.test, body=node.body, orelse=node.orelse)
        loop.target = ast.Name("__kilowait_trip__", ast.Store())
        ast.copy_location(loop, node)
        return self._loop(loop, _thunk(node.test), "trips", node.body)

    def _loop(self, node: ast.For, iterable: ast.expr, method: str, body: list[ast.stmt]) -> list[ast.stmt]:
        site = next(self.sites)
        counters = _counters(body)
        self.depth += 1
        node.iter = iterable
        self.generic_visit(node)
        self.depth -= 1
        node.iter = _call(method, ast.Constant(site), ast.Constant(node.lineno), node.iter)
        node.body[:0] = [_assigned(counter, "counter", site, node) for counter in counters]
        return [node, *(_assigned(counter, "after", site, node) for counter in counters)]

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        self.generic_visit(node)
        generator = node.generators[0]
        if len(node.generators) > 1 or generator.ifs or generator.is_async or _interleaves(node):
            return node
        generator.iter = _call("items", ast.Constant(next(self.sites)), ast.Constant(node.lineno), generator.iter)
        return _call("listed", node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        self.generic_visit(node)
        call = node.value
        appends = isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "append"
        if not (self.depth and appends and isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            return node
        if len(call.args) != 1 or call.keywords or isinstance(call.args[0], ast.Starred):
            return node
        node.value = ast.copy_location(_call("append", call.func.value, call.args[0]), call)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        self.generic_visit(node)
        to = node.targets[0]
        if not self.depth or len(node.targets) > 1 or not isinstance(to, ast.Subscript):
            return node
        if any(isinstance(part, (ast.Slice, ast.Starred)) for part in ast.walk(to.slice)):
            return node
        return ast.copy_location(ast.Expr(_call("store", node.value, to.value, to.slice)), node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in _LAZY:
            node.func = ast.Attribute(ast.Name(LOOPS, ast.Load()), node.func.id, ast.Load())
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """A function may be called from a loop elsewhere: its appends count."""
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1
        return node


def _interleaves(node: ast.AST) -> bool:
    """Whether control leaves the loop in the middle of an item and comes back."""
    inner = [child for child in ast.iter_child_nodes(node) if not isinstance(child, _FUNCTIONS)]
    return any(isinstance(child, (ast.Yield, ast.YieldFrom, ast.Await)) or _interleaves(child) for child in inner)


def _counters(body: list[ast.stmt]) -> list[ast.Name]:
    """The local names that the loop only ever adds a number to, or takes one from."""
    parts = [part for statement in body for part in ast.walk(statement)]
    stepped = {
        p.target.id
        for p in parts
        if isinstance(p, ast.AugAssign) and isinstance(p.target, ast.Name) and isinstance(p.op, (ast.Add, ast.Sub))
    }
    steps = {id(p.target) for p in parts if isinstance(p, ast.AugAssign)}
    set_otherwise = {
        p.id for p in parts if isinstance(p, ast.Name) and not isinstance(p.ctx, ast.Load) and id(p) not in steps
    }
    return [ast.Name(name, ast.Store()) for name in sorted(stepped - set_otherwise)]


def _assigned(name: ast.Name, method: str, site: int, loop: ast.For) -> ast.stmt:
    value = _call(method, ast.Constant(site), ast.Constant(name.id), ast.Name(name.id, ast.Load()))
    return ast.copy_location(ast.Assign([ast.Name(name.id, ast.Store())], value), loop)


def _thunk(test: ast.expr) -> ast.expr:
    no_arguments = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    return ast.Lambda(no_arguments, test)


def _call(method: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Attribute(ast.Name(LOOPS, ast.Load()), method, ast.Load()), list(arguments), [])
