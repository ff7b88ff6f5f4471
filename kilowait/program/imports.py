"""Which local files the imports of a module name, read from its syntax tree.

A name is looked up as Python does: a package before a module before a folder without `__init__.py`. What is not found
under the job's folder is an installed package, unless it is relative to a local one: then it is missing. Not covered:
names computed at run time and changes of sys.path.
"""

import ast
import posixpath
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

_COMPILED = (".so", ".pyd", ".pyx")
_FORGIVING = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """`from .b import x` is module "b", level 1, names ("x",). Optional: its failure is caught."""

    line: int
    module: str
    level: int = 0
    names: tuple[str, ...] = ()
    optional: bool = False

    def __str__(self) -> str:
        return f"{'.' * self.level}{self.module}" + (f" ({', '.join(self.names)})" if self.names else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalImport:
    """The local files of one import, packages first; `missing` is a local name without a file, None when all is there.

    Neither files nor missing: an installed package.
    """

    files: tuple[str, ...] = ()
    missing: str | None = None


def parse(text: str) -> ast.Module | str:
    """The syntax tree, or what is wrong and in which line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape in someone's source is not ours to report
        try:
            return ast.parse(text)
        except SyntaxError as error:
            return f"syntax error in line {error.lineno}: {error.msg}"
        except (ValueError, RecursionError, MemoryError) as error:
            return f"cannot be parsed: {error or type(error).__name__}"


def find_imports(module_nodes: Iterable[ast.AST]) -> list[Import]:
    """Every import among the nodes of a module, in functions and conditions too, in the order of the text."""
    nodes = [node for node in module_nodes if isinstance(node, (ast.Import, ast.ImportFrom, ast.Call, ast.Try))]
    try_nodes = [node for node in nodes if isinstance(node, ast.Try) and any(map(_forgives, node.handlers))]
    optional = {line for node in try_nodes for line in range(node.body[0].lineno, (node.body[-1].end_lineno or 0) + 1)}
    entries = [(node.lineno, node.col_offset, item) for node in nodes for item in _imports_of(node, optional)]
    return [item for *_, item in sorted(entries, key=lambda entry: entry[:2])]


def _forgives(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or (isinstance(kind, ast.Name) and kind.id in _FORGIVING) for kind in kinds)


def _imports_of(node: ast.stmt | ast.expr, lines: Collection[int]) -> Iterator[Import]:
    line = node.lineno
    match node:
        case ast.Import(names=aliases):
            for alias in aliases:
                yield Import(line=line, module=alias.name, optional=line in lines)
        case ast.ImportFrom(names=aliases):
            names = tuple(alias.name for alias in aliases if alias.name != "*")
            module = node.module or ""
            yield Import(line=line, module=module, level=node.level, names=names, optional=line in lines)
        case ast.Call(
            func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            module = name.lstrip(".")
            yield Import(line=line, module=module, level=len(name) - len(module), optional=line in lines)


def find_files(imported: Import, importer: str, roots: Sequence[str], paths: Collection[str]) -> LocalImport:
    """The files among `paths` that `imported` in the file `importer` means; `roots` are folders on sys.path.

    Folders are relative, "" is the job's own. `paths` holds files and their folders (see `with_folders`).
    """
    names = imported.names
    if imported.level:
        base: str | None = posixpath.dirname(importer)
        for _ in range(imported.level - 1):
            base = posixpath.dirname(base) if base else None
        if base is None:
            return LocalImport(missing=f"{imported}, which leads out of the folder")
        return _locate(base, imported.module, names, paths, relative=True)
    first = LocalImport()
    for root in roots:
        local_import = _locate(root, imported.module, names, paths, relative=False)
        if local_import.files and local_import.missing is None:
            return local_import
        if local_import.missing and first.missing is None:  # a module may hide a package of its name
            first = local_import
    return first


def with_folders(files: Collection[str]) -> set[str]:
    """The files, every folder that they are in, and compiled modules by their names: these have no source to read."""
    paths = set(files)
    for path in files:
        if path.endswith(_COMPILED):
            folder, _, name = path.rpartition("/")
            paths.add(posixpath.join(folder, name.partition(".")[0]))
        while (path := posixpath.dirname(path)) and path not in paths:
            paths.add(path)
    return paths


def _locate(base: str, module: str, names: Sequence[str], paths: Collection[str], *, relative: bool) -> LocalImport:
    """`module` (dotted, "" for the folder `base` itself) and those of `names` that are modules of it."""
    folder: str | None = base
    start = posixpath.join(base, "__init__.py")
    files = [start] if relative and start in paths else []
    for part in module.split(".") if module else ():
        file = None if folder is None else _module(folder, part, paths)
        if file is None:
            return _absent(files, relative, posixpath.join(folder or "", part))
        files += [file] if file.endswith(".py") else []
        folder = _inside(file)
    inner = [(name, None if folder is None else _module(folder, name, paths)) for name in names]
    modules = [file for _, file in inner if file and file.endswith(".py")]
    has_no_init = folder is not None and posixpath.join(folder, "__init__.py") not in paths
    missing = [name for name, file in inner if file is None]
    if has_no_init and missing and (relative or files or modules):
        return _absent([*files, *modules], relative, posixpath.join(folder or "", missing[0]))
    return LocalImport(files=(*files, *modules))


def _module(folder: str, name: str, paths: Collection[str]) -> str | None:
    """The package's `__init__.py`, the module's file, or the plain folder that `name` means in `folder`."""
    target = posixpath.join(folder, name)
    return next((path for path in (f"{target}/__init__.py", f"{target}.py", target) if path in paths), None)


def _inside(file: str) -> str | None:
    """The folder in which submodules of a located module lie, None for a module that can have none."""
    if posixpath.basename(file) == "__init__.py":
        return posixpath.dirname(file)
    return None if file.endswith(".py") else file


def _absent(files: Sequence[str], relative: bool, target: str) -> LocalImport:
    """Missing where the package itself is local, else installed."""
    return LocalImport(files=tuple(files), missing=target if relative or files else None)
