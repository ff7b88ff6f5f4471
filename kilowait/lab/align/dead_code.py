"""Statements that provably never run or whose result nobody can see, taken out of a syntax tree.

Removed: what follows a return, raise, break or continue; branches on a constant; strings that stand alone; functions,
classes and constants that nothing reachable names. A definition goes, or changes its place, only when making it
runs no code but its own (`inert`): known decorators and bases, literal defaults. Whatever may be found by its name at
run time stays: names that occur as a string, names another file imports (`exported`).
"""

import ast
import itertools
from collections.abc import Collection, Iterator, Sequence

_BLOCKS = ("body", "orelse", "finalbody")
_PLAIN_BASES = ("Module", "object", "Dataset", "IterableDataset")
_PLAIN_DECORATORS = ("staticmethod", "classmethod", "property", "torch.no_grad()", "torch.inference_mode()")
_ENDS = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = _Function | ast.ClassDef


def prune(tree: ast.Module) -> None:
    """Take out, in place, what never runs."""
    _prune(tree, None)


def _prune(node: ast.AST, function: ast.AST | None) -> None:
    if isinstance(node, _Function | ast.Lambda):
        function = node
    elif isinstance(node, ast.ClassDef):
        function = None
    for part in _BLOCKS:
        block = getattr(node, part, None)
        if isinstance(block, list):
            live = _live(block, function)
            setattr(node, part, live or ([ast.Pass()] if part == "body" else []))
    for child in ast.iter_child_nodes(node):
        _prune(child, function)


def _live(block: Sequence[ast.stmt], function: ast.AST | None) -> list[ast.stmt]:
    """The statements of a block that can run, constant branches replaced by what they choose."""
    live: list[ast.stmt] = []
    for index, statement in enumerate(block):
        live += _chosen(statement, function)
        if live and isinstance(live[-1], _ENDS) and _droppable(block[index + 1 :], function):
            break
    return [s for s in live if not isinstance(s, ast.Pass)] if len(live) > 1 else live


def _chosen(statement: ast.stmt, function: ast.AST | None) -> list[ast.stmt]:
    match statement:
        case ast.Expr(value=ast.Constant()):
            return []
        case ast.If(test=ast.Constant(value=value), body=body, orelse=orelse):
            dead = orelse if value else body
            return _live(body if value else orelse, function) if _droppable(dead, function) else [statement]
        case ast.While(test=ast.Constant(value=value), body=body, orelse=orelse) if not value:
            return _live(orelse, function) if _droppable(body, function) else [statement]
    return [statement]


def _droppable(dead: Sequence[ast.stmt], function: ast.AST | None) -> bool:
    """Dead statements still say what a function is: a generator, and which of its names are local."""
    nodes = [node for statement in dead for node in ast.walk(statement)]
    if any(isinstance(n, ast.Yield | ast.YieldFrom | ast.Await | ast.Global | ast.Nonlocal) for n in nodes):
        return False
    if function is None:
        return True
    inside = {id(node) for node in nodes}
    names_bound = {name for node in nodes for name in _binds(node)}
    elsewhere = [node for node in ast.walk(function) if id(node) not in inside]
    names_read = {n.id for n in elsewhere if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    bound_elsewhere = {name for node in elsewhere for name in _binds(node)}
    return not (names_bound & names_read) - bound_elsewhere


def _binds(node: ast.AST) -> list[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
            return [name]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            return [name]
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return [(alias.asname or alias.name).split(".")[0] for alias in names]
    return []


def remove_unused(tree: ast.Module, exported: Collection[str]) -> None:
    """Take out, in place, inert definitions and constants that nothing reachable names."""
    candidates = {id(s): s for block in _open_blocks(tree) for s in block if _removable(s)}
    names: dict[str, list[ast.stmt]] = {}
    for statement in candidates.values():
        names.setdefault(_own_name(statement), []).append(statement)
    exported_names = {name for name in names if name in exported}
    queue = [*_mentioned(tree, candidates), *exported_names]
    used = set(queue) & set(names)
    while queue:
        for statement in names.get(queue.pop(), ()):
            for name in _mentioned(statement, {key: s for key, s in candidates.items() if s is not statement}):
                if name not in used:
                    used.add(name)
                    queue.append(name)
    for block in _open_blocks(tree):
        block[:] = [s for s in block if id(s) not in candidates or _own_name(s) in used] or [ast.Pass()]
    if tree.body and all(isinstance(s, ast.Pass) for s in tree.body):
        tree.body = []


def _open_blocks(tree: ast.Module) -> Iterator[list[ast.stmt]]:
    """The bodies whose names nobody reaches as attributes: the module's and its functions', outermost first."""
    yield tree.body
    for node in ast.walk(tree):
        if isinstance(node, _Function):
            yield node.body


def _removable(statement: ast.stmt) -> bool:
    match statement:
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value) | ast.AnnAssign(target=ast.Name(id=name), value=value)
        ):
            return value is not None and _literal(value) and not name.startswith("__")
    return isinstance(statement, Definition) and inert(statement)


def _own_name(statement: ast.stmt) -> str:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return str(getattr(statement, "name", ""))


def _mentioned(node: ast.AST, apart: Collection[int]) -> list[str]:
    """Names read, deleted, declared or written as strings in `node`, without looking into the nodes of `apart`."""
    mentioned: list[str] = []
    waiting = [node]
    while waiting:
        current = waiting.pop()
        match current:
            case ast.Name(id=name, ctx=ast.Load() | ast.Del()):
                mentioned.append(name)
            case ast.Constant(value=str(text)):
                mentioned.append(text)
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                mentioned += names
            case ast.AugAssign(target=ast.Name(id=name)):
                mentioned.append(name)
        waiting += [child for child in ast.iter_child_nodes(current) if id(child) not in apart]
    return mentioned


def order_definitions(tree: ast.Module) -> None:
    """Put each run of inert definitions in the order in which the code after it needs them, callees first."""
    ordered: list[ast.stmt] = []
    for movable, run in reversed([(movable, list(group)) for movable, group in itertools.groupby(tree.body, _movable)]):
        ordered = [*(_by_need(run, ordered) if movable else run), *ordered]
    tree.body = ordered


def _movable(statement: ast.stmt) -> bool:
    return isinstance(statement, Definition) and inert(statement)


def _by_need(run: Sequence[ast.stmt], after: Sequence[ast.stmt]) -> Sequence[ast.stmt]:
    definitions = {_own_name(statement): statement for statement in run}
    if len(definitions) < len(run):
        return run
    in_order: dict[str, ast.stmt] = {}
    open_: set[str] = set()

    def visit(name: str) -> None:
        if name in definitions and name not in open_:
            open_.add(name)
            for callee in names_in_order(definitions[name]):
                visit(callee)
            in_order[name] = definitions[name]

    for statement in (*after, *run):
        for name in names_in_order(statement):
            visit(name)
    for name in definitions:
        visit(name)
    return list(in_order.values())


def names_in_order(node: ast.AST) -> Iterator[str]:
    """Every name written in `node`, in source order."""
    if isinstance(node, ast.Name):
        yield node.id
    for child in ast.iter_child_nodes(node):
        yield from names_in_order(child)


def inert(node: ast.AST) -> bool:
    """Making this definition calls nothing and depends on nothing but its bases."""
    if isinstance(node, _Function):
        return _plain_decorators(node) and _plain_signature(node)
    if not isinstance(node, ast.ClassDef) or node.decorator_list or node.keywords:
        return False
    bases = all(ast.unparse(base).rpartition(".")[2] in _PLAIN_BASES for base in node.bases)
    return bases and all(_plain_member(member) for member in node.body)


def _plain_member(member: ast.stmt) -> bool:
    match member:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return _plain_decorators(member) and not member.name.startswith("__init_sub") and _plain_signature(member)
        case ast.Assign(targets=targets, value=value):
            return _literal(value) and all(isinstance(target, ast.Name) for target in targets)
    return isinstance(member, ast.Pass) or (isinstance(member, ast.Expr) and isinstance(member.value, ast.Constant))


def _plain_decorators(function: _Function) -> bool:
    return all(ast.unparse(decorator) in _PLAIN_DECORATORS for decorator in function.decorator_list)


def _plain_signature(function: _Function) -> bool:
    arguments = function.args
    defaults = [*arguments.defaults, *(default for default in arguments.kw_defaults if default)]
    return all(map(_literal, defaults)) and all(map(_annotation, _annotations(function)))


def _annotations(function: _Function) -> list[ast.expr]:
    arguments = [a for a in ast.walk(function.args) if isinstance(a, ast.arg)]
    return [a.annotation for a in arguments if a.annotation] + ([function.returns] if function.returns else [])


def _annotation(node: ast.expr) -> bool:
    """Built from names that exist before any definition: constants, builtins and modules' attributes."""
    plain = (ast.Constant, ast.Attribute, ast.Name, ast.Load, ast.Subscript, ast.Tuple, ast.BinOp, ast.BitOr)
    return all(isinstance(part, plain) for part in ast.walk(node))


def _literal(node: ast.expr) -> bool:
    plain = (ast.Constant, ast.UnaryOp, ast.USub, ast.UAdd, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.Load)
    return all(isinstance(part, plain) for part in ast.walk(node))
