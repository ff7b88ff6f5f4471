"""Which names of a Python module mean the same thing: its scopes, and every place where a binding is written.

Follows the language's rules: a function's names are local unless declared global or nonlocal, a class body's names are
seen by nothing inside it, comprehensions and lambdas have scopes of their own, and the first iterable of a
comprehension, defaults, decorators and annotations belong outside.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["module", "function", "class"]
How = Literal["assigned", "argument", "definition", "import", "loop", "other"]
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(slots=True, eq=False)
class Binding:
    """A name in the scope that owns it: how it was bound first, by which expression or definition, and by import?"""

    name: str
    scope: "Scope"
    how: How
    source: ast.AST | None
    imported: bool = False
    argument: bool = False
    places: list[tuple[ast.AST, str, int | None]] = field(default_factory=list)  # node, its field, index in a list


@dataclass(slots=True, eq=False)
class Scope:
    """One scope; `bindings` are in order of first appearance."""

    kind: Kind
    node: ast.AST
    parent: "Scope | None" = None
    bindings: dict[str, Binding] = field(default_factory=dict)
    foreign: dict[str, Literal["global", "nonlocal"]] = field(default_factory=dict)
    children: list["Scope"] = field(default_factory=list)
    uses: set[Binding] = field(default_factory=set)  # written here or further inside

    def chain(self) -> Iterator["Scope"]:
        """This scope and those around it, innermost first."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent


def analyse(tree: ast.Module) -> Scope:
    """The module's scope with all scopes inside it; each binding knows its places."""
    walker = _Walker(tree)
    for statement in tree.body:
        walker.visit(statement)
    for name, node, part, index, scope in walker.mentions:
        binding = _resolve(name, scope)
        if binding is not None:
            binding.places.append((node, part, index))
            for place in scope.chain():
                place.uses.add(binding)
    return walker.module


def all_scopes(scope: Scope) -> Iterator[Scope]:
    """`scope` and everything inside it, outermost first."""
    yield scope
    for child in scope.children:
        yield from all_scopes(child)


def _resolve(name: str, scope: Scope) -> Binding | None:
    """The binding that `name` means in `scope`; None for builtins and names nobody binds."""
    top = list(scope.chain())[-1]
    declared = scope.foreign.get(name)
    if declared == "global":
        return top.bindings.get(name)
    for place in scope.chain():
        hidden = place is not scope and place.kind == "class"
        if declared == "nonlocal" and (place is scope or place is top):
            continue
        if not hidden and name in place.foreign and place is not scope:
            return _resolve(name, place)
        if not hidden and name in place.bindings:
            return place.bindings[name]
    return None


class _Walker(ast.NodeVisitor):
    """Collects bindings and mentions; a binding declared global or nonlocal is made where it belongs."""

    def __init__(self, tree: ast.Module) -> None:
        self.module = self.scope = Scope(kind="module", node=tree)
        self.mentions: list[tuple[str, ast.AST, str, int | None, Scope]] = []

    def bind(self, name: str, how: How, source: ast.AST | None = None, *, scope: Scope | None = None) -> None:
        owner = scope or self.scope
        if owner.foreign.get(name) == "global":
            owner = self.module
        elif name in owner.foreign:
            return
        binding = owner.bindings.setdefault(name, Binding(name=name, scope=owner, how=how, source=source))
        binding.imported |= how == "import"
        binding.argument |= how == "argument"

    def mention(self, name: str, node: ast.AST, part: str, index: int | None = None) -> None:
        self.mentions.append((name, node, part, index, self.scope))

    def inside(self, kind: Kind, node: ast.AST, parts: Sequence[ast.AST], arguments: ast.arguments | None) -> None:
        outer, self.scope = self.scope, Scope(kind=kind, node=node, parent=self.scope)
        outer.children.append(self.scope)
        self.scope.foreign = _declared(parts)
        for argument in _arguments(arguments) if arguments else ():
            self.bind(argument.arg, "argument", argument)
            self.mention(argument.arg, argument, "arg")
        for part in parts:
            self.visit(part)
        self.scope = outer

    def visit_FunctionDef(self, node: _Function) -> None:
        for part in (*node.decorator_list, *_outside(node.args), *([node.returns] if node.returns else [])):
            self.visit(part)
        self.bind(node.name, "definition", node)
        self.mention(node.name, node, "name")
        self.inside("function", node, node.body, node.args)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - ast's name

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for part in _outside(node.args):
            self.visit(part)
        self.inside("function", node, [node.body], node.args)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(part)
        self.bind(node.name, "definition", node)
        self.mention(node.name, node, "name")
        self.inside("class", node, node.body, None)

    def comprehension(self, node: Any) -> None:
        first, *others = node.generators
        self.visit(first.iter)
        parts = [first.target, *first.ifs, *others]
        self.note_loop(first.target, first.iter)
        parts += [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self.inside("function", node, parts, None)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = comprehension  # noqa: N815 - ast's names

    def note_loop(self, target: ast.AST, iterable: ast.AST) -> None:
        for name in ast.walk(target):
            if isinstance(name, ast.Name):
                name._iterable = iterable  # type: ignore[attr-defined]

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.note_loop(node.target, node.iter)
        self.generic_visit(node)

    visit_AsyncFor = visit_For  # noqa: N815 - ast's name

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self.note_loop(node.target, node.iter)
        self.generic_visit(node)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        outer = self.scope
        while isinstance(outer.node, _Comprehension) and outer.parent:
            outer = outer.parent
        self.bind(node.target.id, "assigned", node.value, scope=outer)
        self.mention(node.target.id, node.target, "id")
        self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.bind(target.id, "assigned", node.value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.bind(node.target.id, "assigned", node.value)
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store | ast.Del):
            iterable = getattr(node, "_iterable", None)
            self.bind(node.id, "loop" if iterable is not None else "other", iterable)
        self.mention(node.id, node, "id")

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            self.bind((alias.asname or alias.name).split(".")[0], "import", node)

    visit_ImportFrom = visit_Import  # noqa: N815 - ast's name

    def visit_Global(self, node: ast.Global | ast.Nonlocal) -> None:
        for index, name in enumerate(node.names):
            self.mention(name, node, "names", index)

    visit_Nonlocal = visit_Global  # noqa: N815 - ast's name

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self.named(node, "name")

    def visit_MatchAs(self, node: ast.MatchAs | ast.MatchStar) -> None:
        self.named(node, "name")

    visit_MatchStar = visit_MatchAs  # noqa: N815 - ast's name

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.named(node, "rest")

    def named(self, node: ast.AST, part: str) -> None:
        name = getattr(node, part)
        if name is not None:
            self.bind(name, "other")
            self.mention(name, node, part)
        self.generic_visit(node)


def _declared(parts: Sequence[ast.AST]) -> dict[str, Literal["global", "nonlocal"]]:
    """Names declared global or nonlocal in a body, nested functions and classes apart."""
    declarations: dict[str, Literal["global", "nonlocal"]] = {}
    waiting = list(parts)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Global | ast.Nonlocal):
            declarations |= dict.fromkeys(node.names, "global" if isinstance(node, ast.Global) else "nonlocal")
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return declarations


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    starred = [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *starred]


def _outside(arguments: ast.arguments) -> list[ast.expr]:
    """The parts of a signature that are evaluated around the function: defaults and annotations."""
    defaults = [*arguments.defaults, *(default for default in arguments.kw_defaults if default)]
    return [*defaults, *(argument.annotation for argument in _arguments(arguments) if argument.annotation)]
