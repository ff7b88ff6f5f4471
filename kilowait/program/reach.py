"""What belongs to a job's source: what its entrypoint imports, and the files that code and arguments name.

Local imports are followed from the entrypoint, in functions and conditions too. A Python or configuration file
belongs to it when the arguments (`--config conf.yaml`), a string in a reached module (`open("conf.yaml")`) or a
reached configuration names it, a module also by a dotted name in one. Everything else is left out and listed with the
reason. Not covered: names computed at run time, files whose ending is none of `limits.CONFIGURATION`.
"""

import ast
import posixpath
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from kilowait.core.errors import SourceError
from kilowait.program import hydra, limits
from kilowait.program.imports import Import, find_files, find_imports, parse, with_folders
from kilowait.program.options import DeclaredOption, declared_options
from kilowait.program.source import text_of
from kilowait.program.tree import Tree

_NAMED = re.compile(rf"[\w./-]{{1,200}}(?:{'|'.join(map(re.escape, limits.CONFIGURATION))})(?![\w.])")
"""A configuration's name in the text of another."""

_DOTTED = re.compile(r"(?<![\w./@-])[A-Za-z_]\w{0,100}(?:\.[A-Za-z_]\w{0,100}){1,10}(?![\w./-])")
"""What a configuration calls a class or function of a module by (`_target_: package.module.Class`)."""

_DEEPEST = 20
"""Parts of a path that are put together from constants: a bound on hostile expressions."""


@dataclass(slots=True, kw_only=True)
class Reached:
    """The reached files in order: the entrypoint, its modules as they are imported, named modules, configuration.

    `left_out` maps other files to why they are no part of it, `data` are those of them that were named, `problems` are
    what a job of several files is refused for, `notes` what is worth knowing, `installed` the modules that are imported
    and are not local. `options` are those of `declaring`, the first module that declares any ("" where none does).
    """

    modules: dict[str, bytes] = field(default_factory=dict)
    configuration: dict[str, bytes] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    data: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    installed: dict[str, None] = field(default_factory=dict)
    declaring: str = ""
    options: list[DeclaredOption] = field(default_factory=list)

    @property
    def files(self) -> dict[str, bytes]:
        """All of them, in order."""
        return {**self.modules, **self.configuration}


def reach(tree: Tree, entrypoint: str, arguments: Sequence[str]) -> Reached:
    """Follow the entrypoint through `tree`; raises SourceError, naming the file, for what cannot be part of a source.

    Deterministic: the order follows from the texts alone, not from the order of files.
    """
    walk = _Walk(tree, entrypoint, arguments)
    walk.follow(entrypoint)
    for word in arguments:
        walk.name(word.partition("=")[2] or word.lstrip("@"), "")
    walk.named()
    reached = walk.reached
    for path in sorted({*tree.sizes, *tree.unusable} - {*reached.files, *reached.left_out}):
        reached.left_out[path] = tree.unusable.get(path) or f"not reached from {entrypoint}"
    return reached


class _Walk:
    """One pass through the files of a tree."""

    def __init__(self, tree: Tree, entrypoint: str, arguments: Sequence[str]) -> None:
        self.reached = Reached()
        self._tree = tree
        self._paths = with_folders({*tree.sizes, *tree.unusable})
        self._roots = list(dict.fromkeys([posixpath.dirname(entrypoint), ""]))
        self._pending: deque[str] = deque()  # named, not read yet
        self._hydra: str | None = None  # the folder of hydra's configuration
        self._chosen = hydra.overrides(arguments)
        self._bytes = 0

    def follow(self, module: str) -> None:
        """Read a module and all that it imports, depth first: the order in which Python would begin to run them."""
        stack = [module]
        while stack:
            path = stack.pop()
            if path not in self.reached.modules:
                stack += reversed(self._read_module(path))

    def name(self, text: str, importer: str) -> None:
        """Note the file that a text names, seen from the job's folder, the entrypoint's or the importer's."""
        if not 0 < len(text) <= limits.MAX_PATH_CHARACTERS or not text.endswith((*limits.CONFIGURATION, ".py")):
            return
        for root in dict.fromkeys(["", *self._roots, posixpath.dirname(importer)]):
            path = posixpath.normpath(posixpath.join(root, text))
            if path in self._tree.sizes or path in self._tree.unusable:
                self._pending.append(path)
                return

    def _name_module(self, dotted: str) -> None:
        """Note the module of the job's own that holds what a dotted name means, with the packages around it."""
        module, _, name = dotted.rpartition(".")
        while module:
            found = find_files(Import(line=0, module=module, names=(name,)), "", self._roots, self._paths)
            if found.files and found.missing is None:
                self._pending += found.files
                return
            module, _, name = module.rpartition(".")

    def named(self) -> None:
        """Read what was named, until nothing new is."""
        while self._pending:
            path = self._pending.popleft()
            if path.endswith(".py"):
                self.follow(path)
            elif path not in self.reached.configuration and path not in self.reached.left_out:
                self._read_configuration(path)

    def _read_module(self, path: str) -> list[str]:
        """The files that a module imports, in order."""
        text = self._read(path, limits.MAX_FILE_BYTES, self.reached.modules)
        tree = parse(text)
        if isinstance(tree, str):
            entry = len(self.reached.modules) == 1
            (self.reached.problems if entry else self.reached.notes).append(f"{path}: {tree}; imports not followed")
            return []
        nodes = tuple(ast.walk(tree))
        if not self.reached.options and (options := declared_options(tree, nodes)):
            self.reached.declaring, self.reached.options = path, options
        for literal in _strings(nodes):
            self.name(literal, path)
        for folder, name in hydra.find_main(nodes):
            self._hydra = posixpath.join(posixpath.dirname(path), folder)
            self._compose([name, *(f"{group}/{value}" for group, value in self._chosen.items())])
        files: list[str] = []
        for imported in find_imports(nodes):
            local_import = find_files(imported, path, self._roots, self._paths)
            files += local_import.files
            if local_import.missing is not None:
                problem = (
                    f"{path}, line {imported.line}: imports {imported}, and {local_import.missing} is not in the folder"
                )
                (self.reached.notes if imported.optional else self.reached.problems).append(problem)
            elif not local_import.files and not imported.level:
                self.reached.installed[imported.module.partition(".")[0]] = None
        return files

    def _read_configuration(self, path: str) -> None:
        size = self._tree.sizes.get(path, 0)
        if size > limits.MAX_CONFIGURATION_BYTES:
            limit = f"configuration has at most {limits.MAX_CONFIGURATION_BYTES:,}"
            self.reached.data.append(path)
            self.reached.left_out[path] = f"taken for data: {size:,} bytes, {limit}"
            return
        text = self._read(path, limits.MAX_CONFIGURATION_BYTES, self.reached.configuration)
        for name in _NAMED.findall(text):
            self.name(name, path)
        for dotted in dict.fromkeys(_DOTTED.findall(text)):
            self._name_module(dotted)
        if self._hydra is not None:
            self._compose(hydra.composed(text, self._chosen))

    def _compose(self, names: Sequence[str]) -> None:
        """Note configuration files of hydra's folder."""
        for name in names:
            self.name(posixpath.join(self._hydra or "", f"{name}.yaml"), "")

    def _read(self, path: str, max_bytes: int, into: dict[str, bytes]) -> str:
        """A file's text, noted in `into`; raises SourceError for what is no text and above every limit."""
        where = posixpath.join(self._tree.name, path)
        if path in self._tree.unusable:
            raise SourceError(f"{where}: {self._tree.unusable[path]}")
        data = self._tree.read(path, max_bytes)
        text = text_of(where, data, max_bytes=max_bytes)
        into[path] = data
        self._bytes += len(data)
        if len(self.reached.files) > limits.MAX_FILES:
            raise SourceError(
                f"{where}: the source's file number {limits.MAX_FILES + 1}; the limit is {limits.MAX_FILES}"
            )
        if self._bytes > limits.MAX_TOTAL_BYTES:
            raise SourceError(
                f"{where}: {self._bytes:,} bytes of source with it; the limit is {limits.MAX_TOTAL_BYTES:,}"
            )
        return text


def _strings(module_nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Strings that can name a file, in the order of the text: constants, and constants joined by `/` or `join`."""
    nodes = [node for node in module_nodes if isinstance(node, (ast.Constant, ast.BinOp, ast.Call))]
    entries = [(node.lineno, node.col_offset, text) for node in nodes for text in _texts(node)]
    return (text for _, _, text in sorted(entries))


def _texts(node: ast.Constant | ast.BinOp | ast.Call) -> list[str]:
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.BinOp(left=left, op=ast.Div(), right=ast.Constant(value=str(last))):
            return [posixpath.join(*_tail([*_divided(left), last]))]
        case ast.Call(func=ast.Attribute(attr="join" | "joinpath") | ast.Name(id="Path"), args=[_, _, *_] as parts):
            return [posixpath.join(*_tail([_constant(part) for part in parts]))]
    return []


def _divided(node: ast.expr) -> list[str | None]:
    """The parts of `a / "b" / "c"`, None for what is no constant."""
    parts: list[str | None] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and len(parts) < _DEEPEST:
        parts.insert(0, _constant(node.right))
        node = node.left
    return [_constant(node), *parts]


def _constant(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _tail(parts: Iterable[str | None]) -> list[str]:
    """What stands after the last part that is no constant; [""] when nothing does."""
    tail: list[str] = []
    for part in parts:
        tail = [] if part is None else [*tail, part]
    return tail or [""]
