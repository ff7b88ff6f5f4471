"""One script of several: what each does, one after the other, in one file that reads like one.

Imports are merged, helpers that are equal to the letter are kept once, and every other top-level name that two of the
scripts share becomes two names.
"""

import ast
import itertools
import symtable
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import dedent, indent

from kilowait.lab.corpus.lexer import identifiers, map_names
from kilowait.lab.corpus.render import definition_blocks, names_bound
from kilowait.lab.corpus.wrapping import wrap

_LINE = 100
_CONSTANT = ast.Constant | ast.UnaryOp


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A generated script in pieces: import lines, definitions and constants, and the statements that do the work."""

    name: str
    title: str
    imports: tuple[str, ...]
    blocks: tuple[str, ...]
    run: str


def joined(texts: Mapping[str, str]) -> str:
    """One script that runs the generated scripts `texts` in their order; their names go into new identifiers.

    Raises ValueError for a script whose top-level name cannot be replaced because a function has a local of that name.
    """
    parts = _apart([_part(name, text) for name, text in texts.items()])
    blocks = list(dict.fromkeys(block for part in parts for block in part.blocks))
    blocks += [f"def run_{part.name}():\n{indent(part.run, '    ')}" for part in parts if _long(part)]
    calls = "\n".join(f"run_{part.name}()" if _long(part) else part.run for part in parts)
    titles = "\n".join(f"{number}. {part.title}" for number, part in enumerate(parts, start=1))
    head = f'"""Several tasks, one after the other:\n\n{titles}\n"""\n\n{_imports(parts)}'
    guard = f'if __name__ == "__main__":\n{indent(calls, "    ")}'
    text = wrap(f"{head}\n\n\n{_spaced(blocks)}\n\n\n{guard}\n", _LINE)
    ast.parse(text)
    return text


def _long(part: _Part) -> bool:
    return "\n" in part.run


def _part(name: str, text: str) -> _Part:
    """The pieces of a script in any of the generator's styles: a guard's body, or a flat script's statements, run."""
    lines, tree = text.split("\n"), ast.parse(text)
    imported = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    after = tree.body[tree.body.index(imported[-1]) + 1 :]
    work = next(node for node in after if not _defines(node))
    start = work.lineno - 1
    while lines[start - 1].startswith("#"):
        start -= 1
    run = lines[start:]
    if isinstance(work, ast.If):
        run = run[1:]
    return _Part(
        name=name,
        title=(ast.get_docstring(tree) or name).split("\n")[0],
        imports=tuple(ast.unparse(node) for node in imported),
        blocks=tuple(definition_blocks("\n".join(lines[imported[-1].end_lineno : start]))),
        run=dedent("\n".join(run)).strip("\n"),
    )


def _defines(node: ast.stmt) -> bool:
    """Whether a top-level statement is a function, a class or a constant in capitals."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id.isupper() and isinstance(node.value, _CONSTANT)
    return isinstance(node, ast.FunctionDef | ast.ClassDef)


def _spaced(blocks: Sequence[str]) -> str:
    """The blocks two blank lines apart, neighbouring constants without."""
    out = blocks[0]
    for before, block in itertools.pairwise(blocks):
        constants = all(isinstance(node, ast.Assign) for node in ast.parse(f"{before}\n{block}").body)
        out += ("\n" if constants else "\n\n\n") + block
    return out


def _imports(parts: Sequence[_Part]) -> str:
    """One line for each name that is imported, the standard library first."""
    bound: dict[str, str] = {}
    for line in (line for part in parts for line in part.imports):
        for name in _imported(line):
            bound.setdefault(name, line)
    lines = sorted(dict.fromkeys(bound.values()), key=lambda line: (line.startswith("from"), line))
    groups = [[line for line in lines if ("torch" in line) == torchs] for torchs in (False, True)]
    return "\n\n".join("\n".join(group) for group in groups if group)


def _imported(line: str) -> list[str]:
    (node,) = ast.parse(line).body
    assert isinstance(node, ast.Import | ast.ImportFrom)
    return [alias.asname or alias.name for alias in node.names]


def _apart(parts: Sequence[_Part]) -> list[_Part]:
    """The parts without a top-level name in common, but for helpers that are equal to the letter."""
    blocks_by_name = [{name: block for block in part.blocks for name in names_bound(block)} for part in parts]
    imported = [{name for line in part.imports for name in _imported(line)} for part in parts]
    counts = Counter(name for names in [*blocks_by_name, *imported] for name in names)
    shared = {name for names in blocks_by_name for name in names if counts[name] > 1}
    top = {name for names in blocks_by_name for name in names}
    equal_helpers = {
        name for name in shared if _is_helper(name, [names[name] for names in blocks_by_name if name in names], top)
    }
    return [
        _renamed(part, {name: _with_task(name, part.name) for name in names if name in shared - equal_helpers})
        for part, names in zip(parts, blocks_by_name, strict=True)
    ]


def _is_helper(name: str, blocks: Sequence[str], top: set[str]) -> bool:
    """Whether all blocks that define a name are the same and need nothing else that the scripts define."""
    return len(blocks) > 1 and len(set(blocks)) == 1 and not identifiers(blocks[0])[2] & (top - {name})


def _with_task(name: str, task: str) -> str:
    """The name with the task in it, as its kind of name is written."""
    if name.isupper():
        return f"{task.upper()}_{name}"
    return task.title().replace("_", "") + name if name[0].isupper() else f"{name}_{task}"


def _renamed(part: _Part, names: Mapping[str, str]) -> _Part:
    def change(name: str, before: str, after: str) -> str:
        keyword = after.lstrip().startswith("=") and not after.lstrip().startswith("==") and not name.isupper()
        return name if before == "." or keyword else names.get(name, name)

    for block in (*part.blocks, f"def run():\n{indent(part.run, '    ')}"):
        if local := _locals(block) & set(names):
            raise ValueError(f"{part.name}: {', '.join(sorted(local))} is a local of a function and a top-level name")
    blocks = tuple(map_names(block, change) for block in part.blocks)
    return replace(part, blocks=blocks, run=map_names(part.run, change))


def _locals(block: str) -> set[str]:
    """Names that functions and classes inside `block` bind for themselves."""
    names: set[str] = set()
    tables = list(symtable.symtable(block, "block", "exec").get_children())
    while tables:
        inner = tables.pop()
        names |= {symbol.get_name() for symbol in inner.get_symbols() if symbol.is_local()}
        tables += inner.get_children()
    return names
