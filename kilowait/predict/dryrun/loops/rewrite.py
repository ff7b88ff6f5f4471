"""Put a `Loops` between a program's loops and what they run over.

`for x in xs` becomes `for x in LOOPS.items(site, line, xs)`, `while c` a for loop over `LOOPS.trips`; list
comprehensions, `append`, `d[k] = v`, counters and the tests that leave a loop are reported too. Loops with `yield` or
`await` in them are left alone: they interleave with their callers.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Collection, Iterator
from itertools import count
from typing import Any

from kilowait.predict.dryrun.distributed.ranks import ALONE
from kilowait.predict.dryrun.loops.lazy.rewrite_generators import interleaves, yielding_loop
from kilowait.predict.dryrun.loops.rewrite_calls import LOOPS, divisor, loops_call, needed, thunk
from kilowait.predict.dryrun.loops.rewrite_counters import (
    added_place,
    changed_names,
    counters,
    is_simple,
    names_in,
    wrapping,
)
from kilowait.predict.dryrun.loops.rewrite_next import tell_next
from kilowait.predict.dryrun.loops.rewrite_training import calls_any, training_calls

_LAZY = ("enumerate", "zip")
_NUMBERS = ("int", "float")
_LOOP_STATEMENTS = (ast.For, ast.While, ast.AsyncFor)


Sites = Iterator[int]
"""Numbers of loops, one sequence over all files of a program."""


def rewrite(text: str | bytes, name: str, sites: Sites | None = None) -> ast.Module:
    """The program with its loops rewritten; raises SyntaxError where Python would."""
    tree = ast.parse(text, name)
    _Rewriter(count(1) if sites is None else sites, name, training_calls(tree)).visit(tree)
    return ast.fix_missing_locations(tree)


def rewritten_functions(
    text: str | bytes, name: str, names: Collection[str], sites: Sites
) -> list[tuple[str, ast.FunctionDef]]:
    """The functions of these names with their loops rewritten, each with the name of its class ("" for none)."""
    tree = ast.parse(text, name)
    owners = [("", tree.body), *((node.name, node.body) for node in tree.body if isinstance(node, ast.ClassDef))]
    found = [
        (owner, node)
        for owner, body in owners
        for node in body
        if isinstance(node, ast.FunctionDef) and node.name in names
    ]
    trains = training_calls(tree)
    return [(owner, ast.fix_missing_locations(_Rewriter(sites, name, trains).visit(node))) for owner, node in found]


class _Rewriter(ast.NodeTransformer):
    """`open_sites` are the loops around a statement in its function, and `global_names` those that it declares.

    `changed` are the names that the innermost loop may change, `training` the functions that train.
    """

    def __init__(self, sites: Sites, name: str, training: Collection[str]) -> None:
        self.sites = sites
        self.name = name
        self.training = training
        self.depth = 0
        self.open_sites: list[int] = []
        self.global_names: set[str] = set()
        self.wrapping: set[str] = set()
        self.changed: set[str] = set()
        self.streaming: ast.For | None = None

    def _line(self, node: Any) -> ast.expr:
        return ast.Constant(f"{self.name} line {node.lineno}")

    def visit_For(self, node: ast.For) -> ast.AST | list[ast.stmt]:
        if interleaves(node):
            return self._untouched(node)
        return self._loop(node, node.iter, "items", node.body)

    def visit_While(self, node: ast.While) -> ast.AST | list[ast.stmt]:
        if interleaves(node) or any(isinstance(part, ast.NamedExpr) for part in ast.walk(node.test)):
            return self._untouched(node)
        loop = ast.For(target=ast.Name("_", ast.Store()), iter=node.test, body=node.body, orelse=node.orelse)
        loop.target = ast.Name("__kilowait_trip__", ast.Store())
        ast.copy_location(loop, node)
        return self._loop(loop, thunk(node.test), "trips", node.body)

    def _untouched(self, node: Any) -> ast.AST:
        """A loop that nobody watches: what leaves it leaves none that is watched."""
        outer, self.open_sites = self.open_sites, [*self.open_sites, 0]
        streams = node is self.streaming
        self.generic_visit(node)
        self.open_sites = outer
        if streams:
            node.iter = ast.copy_location(loops_call("streamed", node.iter), node.iter)
        return node  # type: ignore[no-any-return]

    def _loop(self, node: ast.For, iterable: ast.expr, method: str, body: list[ast.stmt]) -> list[ast.stmt]:
        site = next(self.sites)
        names = counters(body)
        self.depth += 1
        node.iter = self.visit(iterable)
        node.target = self.visit(node.target)
        outer, self.changed = self.changed, changed_names(body)
        self.open_sites.append(site)
        if method == "trips":
            tell_next(body, site)
        node.body = self._statements(node.body)
        self.open_sites.pop()
        self.changed = outer
        node.orelse = self._statements(node.orelse)
        self.depth -= 1
        may_change, trains = changed_names(body) & names_in(iterable), calls_any(body, self.training)
        facts = [may_change] if method == "trips" else [False, trains]
        more = [ast.Constant(bool(fact)) for fact in facts]
        node.iter = loops_call(method, ast.Constant(site), self._line(node), node.iter, *more)
        node.body[:0] = [_assigned(name, "counter", site, node) for name in names]
        return [node, *(_assigned(name, "after", site, node) for name in names)]

    def _statements(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        done: list[ast.stmt] = []
        for statement in statements:
            new = self.visit(statement)
            done += new if isinstance(new, list) else [new]
        return done

    def visit_If(self, node: ast.If) -> ast.AST:
        where, site = next(self.sites), self.open_sites[-1] if self.open_sites else 0
        out_of_body, out_of_else = _leaves(node.body), _leaves(node.orelse)
        may_change = not _fails(node.body if out_of_body else node.orelse) and bool(self.changed & names_in(node.test))
        self.generic_visit(node)
        if site and out_of_body != out_of_else and is_simple(node.test):
            node.test = _tested(node.test, (site, where, out_of_else, may_change))
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        """An assertion that names a variable of launchers asks for what the program needs."""
        self.generic_visit(node)
        parts = list(ast.walk(node.test))
        names_rank = any(isinstance(part, ast.Constant) and part.value in ALONE for part in parts)
        if names_rank and not any(isinstance(part, (ast.NamedExpr, ast.Await)) for part in parts):
            node.test = ast.copy_location(loops_call("asserted", thunk(node.test)), node.test)
        return node

    def visit_Break(self, node: ast.Break) -> ast.AST | list[ast.stmt]:
        return self._marked(node, self.open_sites[-1] if self.open_sites else 0)

    def visit_Return(self, node: ast.Return) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        site = next((site for site in self.open_sites if site), 0)
        if not site or node.value is None:
            return self._marked(node, site)
        value = ast.Name("__kilowait_result__", ast.Store())
        first = ast.copy_location(ast.Assign([value], node.value), node)
        node.value = ast.Name(value.id, ast.Load())
        return [first, *self._marked(node, site)]

    def visit_Raise(self, node: ast.Raise) -> ast.AST | list[ast.stmt]:
        """A program that ends itself leaves its loops on purpose."""
        self.generic_visit(node)
        raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        site = next((site for site in self.open_sites if site), 0)
        return self._marked(node, site) if getattr(raised, "id", "") == "SystemExit" else node

    def _marked(self, node: ast.stmt, site: int) -> list[ast.stmt]:
        if not site:
            return [node]
        return [ast.copy_location(ast.Expr(loops_call("left", ast.Constant(site))), node), node]

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        node.right = divisor(node.op, node.right)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        node.value = divisor(node.op, node.value)
        if self.depth and isinstance(node.op, ast.Add) and isinstance(node.value, ast.List):
            return _longer(node)
        return self._with_place(node, added_place(node, self.global_names, self.wrapping))

    def _with_place(self, node: ast.stmt, place: list[ast.expr] | None) -> ast.AST | list[ast.stmt]:
        if place is None or not self.depth:
            return node
        return [ast.copy_location(ast.Expr(loops_call("stepping", *place)), node), node]

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        self.generic_visit(node)
        generator = node.generators[0]
        if len(node.generators) > 1 or generator.ifs or generator.is_async or interleaves(node):
            return node
        facts = ast.Constant(True), ast.Constant(False)
        generator.iter = loops_call("items", ast.Constant(next(self.sites)), self._line(node), generator.iter, *facts)
        return loops_call("listed", node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        self.generic_visit(node)
        call = node.value
        if not (self.depth and isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            return node
        if call.func.attr not in ("append", "extend") or len(call.args) != 1 or call.keywords:
            return node
        if isinstance(call.args[0], ast.Starred):
            return node
        node.value = ast.copy_location(loops_call(call.func.attr, call.func.value, call.args[0]), call)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST | list[ast.stmt]:
        place = added_place(node, self.global_names, self.wrapping)
        self.generic_visit(node)
        to = node.targets[0]
        if place is not None:
            return self._with_place(node, place)
        if not self.depth or len(node.targets) > 1 or not isinstance(to, ast.Subscript):
            return node
        if any(isinstance(part, (ast.Slice, ast.Starred)) for part in ast.walk(to.slice)):
            return node
        return ast.copy_location(ast.Expr(loops_call("store", node.value, to.value, to.slice)), node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in _LAZY:
            node.func = ast.Attribute(ast.Name(LOOPS, ast.Load()), node.func.id, ast.Load())
        elif isinstance(node.func, ast.Name) and node.func.id in _NUMBERS and len(node.args) == 1 and not node.keywords:
            return ast.copy_location(loops_call("number", node.func, *map(needed, node.args)), node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """A function may be called from a loop elsewhere: its appends count, and it leaves no loop around it."""
        outer = self.open_sites, self.global_names, self.streaming, self.wrapping
        self.open_sites, self.global_names, self.streaming = [], set(), yielding_loop(node)
        self.wrapping = wrapping(node)
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1
        self.open_sites, self.global_names, self.streaming, self.wrapping = outer
        return node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        self.global_names.update(node.names)
        return node

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]  # noqa: N815


def _leaves(statements: list[ast.stmt]) -> bool:
    """Whether a branch leaves the loop it is in, or the function, or fails."""
    return any(_leaves_at(statement) for statement in statements)


def _leaves_at(statement: ast.stmt) -> bool:
    if isinstance(statement, (ast.Break, ast.Return, ast.Raise)):
        return True
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        called = statement.value.func
        return (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) in _EXITS
    return isinstance(statement, ast.With) and _leaves(statement.body)


_EXITS = ("exit", "quit", "_exit")


def _tested(test: ast.expr, facts: tuple[int, int, bool, bool]) -> ast.expr:
    """The test, reported; where one of several parts is enough to leave the loop, each is a test of its own."""
    site, where, stays, may_change = facts
    enough = ast.And if stays else ast.Or
    if isinstance(test, ast.BoolOp) and isinstance(test.op, enough):
        parts = enumerate(test.values)
        test.values = [_tested(part, (site, -where * 8 - i, stays, may_change)) for i, part in parts]
        return test
    return ast.copy_location(loops_call("leaving", loops_call("asking"), test, *map(ast.Constant, facts)), test)


def _fails(statements: list[ast.stmt]) -> bool:
    """Whether a branch ends the program, and not the loop alone."""
    return not any(
        isinstance(part, (ast.Break, ast.Return)) for statement in statements for part in ast.walk(statement)
    )


def _assigned(name: ast.Name, method: str, site: int, loop: ast.For) -> ast.stmt:
    value = loops_call(method, ast.Constant(site), ast.Constant(name.id), ast.Name(name.id, ast.Load()))
    told: ast.stmt = ast.Assign([ast.Name(name.id, ast.Store())], value)
    unset = ast.ExceptHandler(ast.Name("NameError", ast.Load()), None, [ast.Pass()])
    return ast.copy_location(ast.Try([told], [unset], [], []), loop)  # it may be set on a branch that is not taken


def _longer(node: ast.AugAssign) -> ast.stmt:
    """`x += [..]`, which says so to the loops that may leave items out."""
    loaded: Any = copy.deepcopy(node.target)
    loaded.ctx = ast.Load()
    return ast.copy_location(ast.Assign([node.target], loops_call("longer", loaded, node.value)), node)
