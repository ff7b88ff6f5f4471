"""A canonical way to write a Python source: two sources that differ in words, not in work, come out closer.

Comments, docstrings and formatting go, dead code goes (dead_code.py), definitions stand in the order in which they are
needed, and names that the module owns are named by role and order (`model`, `optimizer`, `number_2`). Untouched:
imported names, attributes and methods, keyword arguments, class members, names that occur as strings or that other
files may import. The result runs to the same result; only text that Python derives from a definition's name (a class's
repr) differs. It is meant for features, never to be run as the job.

Not covered: names written as attributes (self.width), equal work by other operations, several files at once.
"""

import ast
import builtins
import keyword
from collections.abc import Collection
from dataclasses import dataclass, field

from kilowait.core.errors import SourceError
from kilowait.lab.align.dead_code import order_definitions, prune, remove_unused
from kilowait.lab.align.roles import backward_called, own_networks, role
from kilowait.lab.align.scopes import Binding, Scope, all_scopes, analyse
from kilowait.program.source import Source, content_hash

REFLECTION = frozenset(["eval", "exec", "locals", "globals", "vars", "dir", "compile", "__import__", "breakpoint"])
"""Who calls one of these may look names up: such a module keeps all its names and definitions."""
_KEPT = ("self", "cls", "_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalised:
    """The source to read features from, and why it is the original where it could not be normalised."""

    source: Source
    reason: str | None = None


def normalise_source(source: Source, exported: Collection[str] = ()) -> Normalised:
    """`source` in canonical form under its own name, or `source` itself with the reason."""
    try:
        text = normalise(source.text, exported, name=source.name)
    except SourceError as error:
        return Normalised(source=source, reason=str(error))
    if not text:
        return Normalised(source=source, reason=f"{source.name}: nothing is left of it without comments and dead code")
    return Normalised(source=Source(name=source.name, text=text, content_hash=content_hash(text.encode())))


def normalise(text: str, exported: Collection[str] = (), *, name: str = "source", rename: bool = True) -> str:
    """`text` in canonical form; a second time changes nothing.

    `exported` are names that other files import from it; they stay. Without `rename` all names stay.
    Raises SourceError, naming the line, for text that this Python cannot parse, and for what its own printer cannot
    write.
    """
    try:
        tree = ast.parse(text)
        _simplify(tree, exported, rename)
        return ast.unparse(ast.fix_missing_locations(tree)) + "\n" if tree.body else ""
    except SyntaxError as error:
        raise SourceError(f"{name}:{error.lineno}: not Python: {error.msg}; it is read as it is") from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{name}: cannot be normalised: {error}; it is read as it is") from error


def _simplify(tree: ast.Module, exported: Collection[str], rename: bool) -> None:
    keep_names = {*exported, *_all_of(tree)}
    documented = any(getattr(n, "attr", getattr(n, "id", None)) == "__doc__" for n in ast.walk(tree))
    if documented or _reflects(tree):
        return
    previous = None
    while previous != (previous := ast.dump(tree)):
        prune(tree)
        remove_unused(tree, keep_names)
    order_definitions(tree)
    if rename:
        _rename(tree, keep_names)


def _all_of(tree: ast.Module) -> set[str]:
    """The strings in `__all__`."""
    lists = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) and node.value and "__all__" in _targets(node)
    ]
    return {str(c.value) for value in lists for c in ast.walk(value) if isinstance(c, ast.Constant)}


def _targets(node: ast.Assign | ast.AugAssign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _reflects(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in REFLECTION:
            return True
        if isinstance(node, ast.Attribute) and node.attr in ("__dict__", "modules", "__name__", "__qualname__"):
            return True
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            return True
    return False


def _rename(tree: ast.Module, exported: Collection[str]) -> None:
    """Give every binding that may change its canonical name, in place."""
    module = analyse(tree)
    strings = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    keywords = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg}
    fixed = _Fixed(tree, exported, strings, keywords, module)
    bindings = [b for scope in all_scopes(module) for b in scope.bindings.values()]
    stay = {b.name for b in bindings if fixed(b)} | set(dir(builtins)) | set(keyword.kwlist) | set(keyword.softkwlist)
    unbound = _unbound(tree, bindings)
    losses = backward_called(tree)
    names = _Names(
        taken=stay | strings | unbound,
        keywords=keywords,
        networks=own_networks(tree),
        losses={b for b in bindings if any(id(node) in losses for node, _, _ in b.places)},
        fixed=fixed,
    )
    names.choose(module)
    names.write()


def _unbound(tree: ast.Module, bindings: Collection[Binding]) -> set[str]:
    """Names that some place reads and nothing in the module binds."""
    placed = {id(node) for binding in bindings for node, _, _ in binding.places}
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in placed}


class _Fixed:
    """Whether a binding must keep its name."""

    def __init__(
        self, tree: ast.Module, exported: Collection[str], strings: set[str], keywords: set[str], module: Scope
    ) -> None:
        self.exported, self.strings, self.keywords = exported, strings | _quoted_annotations(tree), keywords
        members = {name for scope in all_scopes(module) if scope.kind == "class" for name in scope.bindings}
        self.members = members
        self.unpacks = any(isinstance(n, ast.keyword) and n.arg is None for n in ast.walk(tree))
        self.networks = own_networks(tree)

    def __call__(self, binding: Binding) -> bool:
        name, scope = binding.name, binding.scope
        if scope.kind == "class" or binding.imported or name in self.members or name in self.strings:
            return True
        if name in _KEPT or (name.startswith("__")) or (scope.kind == "module" and name in self.exported):
            return True
        return binding.argument and (name in self.keywords or self.unpacks or self._called_by_others(scope))

    def _called_by_others(self, scope: Scope) -> bool:
        """A method that a foreign base class may call by keyword."""
        owner = scope.parent
        if owner is None or not isinstance(owner.node, ast.ClassDef):
            return False
        return bool(owner.node.bases) and owner.node.name not in self.networks


def _quoted_annotations(tree: ast.Module) -> set[str]:
    """Names inside annotations that are written as strings."""
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.arg | ast.AnnAssign | ast.FunctionDef)]
    notes = [getattr(n, "annotation", None) or getattr(n, "returns", None) for n in nodes]
    texts = [c.value for n in notes if n for c in ast.walk(n) if isinstance(c, ast.Constant)]
    words = (str(text).replace("[", " ").replace("]", " ").replace(",", " ").replace(".", " ") for text in texts)
    return {word for text in words for word in text.split()}


@dataclass(slots=True)
class _Names:
    """Draws canonical names: a role, numbered within its scope; no name hides an outer one that is used inside."""

    taken: set[str]
    keywords: set[str]
    networks: set[str]
    losses: set[Binding]
    fixed: _Fixed
    chosen: dict[Binding, str] = field(default_factory=dict)

    def choose(self, scope: Scope) -> None:
        """Names for the bindings of a scope and of all scopes inside it, outermost first."""
        outer = {self.chosen[binding] for binding in scope.uses if binding in self.chosen}
        counts: dict[str, int] = {}
        for binding in scope.bindings.values():
            if not self.fixed(binding):
                hidden = outer | (self.keywords if binding.argument else set())
                self.chosen[binding] = self._next(self._stem(binding), counts, hidden)
        for child in scope.children:
            self.choose(child)

    def _stem(self, binding: Binding) -> str:
        stem = role(binding, self.networks, self.losses)
        constant = binding.scope.kind == "module" and stem in ("number", "text")
        return stem.upper() if constant else stem

    def _next(self, stem: str, counts: dict[str, int], hidden: set[str]) -> str:
        while True:
            counts[stem] = counts.get(stem, 0) + 1
            name = stem if counts[stem] == 1 else f"{stem}_{counts[stem]}"
            if name not in self.taken and name not in hidden:
                return name

    def write(self) -> None:
        """All places at once: the old names are read no more."""
        for binding, name in self.chosen.items():
            for node, part, index in binding.places:
                if index is None:
                    setattr(node, part, name)
                else:
                    getattr(node, part)[index] = name
