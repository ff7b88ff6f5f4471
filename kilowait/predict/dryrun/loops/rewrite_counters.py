"""Which numbers a program steps by hand, as its text tells."""

from __future__ import annotations

import ast


def counters(body: list[ast.stmt]) -> list[ast.Name]:
    """The local names that a loop only ever adds a number to, or takes one from."""
    parts = [part for statement in body for part in ast.walk(statement)]
    steps = [step for part in parts if (step := _stepped(part)) is not None and isinstance(step, ast.Name)]
    own = {id(step) for step in steps}
    set_otherwise = {
        p.id for p in parts if isinstance(p, ast.Name) and not isinstance(p.ctx, ast.Load) and id(p) not in own
    }
    elsewhere = {name for p in parts if isinstance(p, (ast.Global, ast.Nonlocal)) for name in p.names}
    names = {step.id for step in steps} - set_otherwise - elsewhere
    return [ast.Name(name, ast.Store()) for name in sorted(names)]


def added_place(node: ast.stmt, global_names: set[str], wrapping: set[str]) -> list[ast.expr] | None:
    """The owner, the name, and whether it is an entry, of an attribute or entry that a statement adds a number to.

    `wrapping` attributes go back to where they began.
    """
    target = _stepped(node)
    if isinstance(target, ast.Attribute) and target.attr in wrapping:
        return None
    if isinstance(target, ast.Name) and target.id in global_names:
        return [ast.Call(ast.Name("globals", ast.Load()), [], []), ast.Constant(target.id), ast.Constant(True)]
    if isinstance(target, ast.Attribute) and is_plain(target.value):
        return [_loaded(target.value), ast.Constant(target.attr), ast.Constant(False)]
    if isinstance(target, ast.Subscript) and is_plain(target.value) and is_plain(target.slice):
        return [_loaded(target.value), _loaded(target.slice), ast.Constant(True)]
    return None


def wrapping(function: ast.AST) -> set[str]:
    """The attributes that a function sets anew where it finds them too large, as the place in a ring of rows."""
    tests = [part for part in ast.walk(function) if isinstance(part, ast.If)]
    return {
        target.attr
        for test in tests
        for statement in test.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Attribute) and target.attr in _attributes_in(test.test)
    }


def _attributes_in(node: ast.AST) -> set[str]:
    return {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}


def names_in(node: ast.AST) -> set[str]:
    """The names that an expression reads."""
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def changed_names(body: list[ast.stmt]) -> set[str]:
    """Names that a loop sets, and names of objects that it calls, or of which it calls a method."""
    parts = [part for statement in body for part in ast.walk(statement)]
    called = {name for part in parts if isinstance(part, ast.Call) for name in names_in(part.func)}
    return called | {part.id for part in parts if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load)}


def is_plain(node: ast.AST) -> bool:
    """Whether an expression is a constant, a name or an attribute of one: it can be asked for twice."""
    if isinstance(node, ast.Attribute):
        return is_plain(node.value)
    return isinstance(node, (ast.Name, ast.Constant))


def is_simple(node: ast.AST) -> bool:
    """Whether a test binds no name, so that it may be moved into a call."""
    return not any(isinstance(part, (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)) for part in ast.walk(node))


def _stepped(node: ast.AST) -> ast.expr | None:
    """What a statement adds a number to: x += 1, x = x + 1."""
    if isinstance(node, ast.AugAssign):
        return node.target if isinstance(node.op, (ast.Add, ast.Sub)) else None
    if not isinstance(node, ast.Assign) or len(node.targets) != 1 or not isinstance(node.value, ast.BinOp):
        return None
    target, value = node.targets[0], node.value
    owner = target.value if isinstance(target, (ast.Attribute, ast.Subscript)) else target
    if not isinstance(value.op, (ast.Add, ast.Sub)) or not is_plain(owner):
        return None
    return target if ast.dump(_loaded(target)) == ast.dump(_loaded(value.left)) else None


def _loaded(node: ast.expr) -> ast.expr:
    """The same expression as one that is read."""
    return ast.parse(ast.unparse(node), mode="eval").body
