"""Changes to a script's text that leave its work alone and mislead whoever judges it by its words.

Each disguise takes a script and a random generator and gives another script that runs the same operations in the same
order: other names for its own functions and classes, another order of definitions, code that never runs, comments that
are wrong. The dead code is plausible: a whole model of another family, large constants, a loop that is never entered.
"""

import ast
import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from textwrap import indent

from kilowait.lab.corpus.catalogue import FAMILIES
from kilowait.lab.corpus.family import Family
from kilowait.lab.corpus.lexer import map_names
from kilowait.lab.corpus.render import definition_blocks, names_bound, shuffle_blocks

Disguise = Callable[[str, random.Random], str]

_FUNCTIONS = ("prepare_inputs", "load_checkpoint", "parse_records", "tokenize", "resize", "collate", "warm_start")
_CLASSES = ("LinearModel", "TinyClassifier", "TextEncoder", "ImageStore", "SparseTable", "TokenMixer", "RidgeHead")
_CONSTANTS = ("MAX_EPOCHS", "WORLD_SIZE", "FULL_BATCH", "TEACHER_LAYERS", "BEAM_WIDTH", "PRETRAIN_STEPS")
_REMARKS = (
    "trains for {n} epochs over the full data set",
    "sized for {n} GPUs; scale the batch down on one",
    "one pass over {n} examples takes hours",
    "hidden width {n}, {n} layers in the large variant",
    "no training happens here, inference only",
    "cheap: a few hundred multiplications",
)
_NEVER = (
    "if False:\n    for epoch in range({n}):\n        for batch in range({m}):\n            print(epoch, batch)",
    'if False:\n    weights = torch.randn({n}, {m})\n    print("full run", (weights @ weights.T).sum())',
)
_AFTER = "for attempt in range({n}):\n    print(attempt, {m} * attempt)"


def rename_definitions(text: str, rng: random.Random) -> str:
    """Misleading names for the script's own top-level functions and classes."""
    functions, classes = _fresh(rng, _FUNCTIONS, text), _fresh(rng, _CLASSES, text)
    nodes = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    names = {node.name: next(classes if isinstance(node, ast.ClassDef) else functions) for node in nodes}
    return _rename(text, names)


def shuffle_definitions(text: str, rng: random.Random) -> str:
    """Each run of neighbouring functions and classes in another order, what is needed first still first."""
    lines = text.split("\n")
    runs = itertools.groupby(ast.parse(text).body, key=lambda node: isinstance(node, ast.FunctionDef | ast.ClassDef))
    for _, nodes in reversed([(is_run, list(group)) for is_run, group in runs if is_run]):
        start, end = _first_line(nodes[0], lines), nodes[-1].end_lineno or 0
        blocks = definition_blocks("\n".join(lines[start:end]))
        lines[start:end] = "\n\n\n".join(shuffle_blocks(blocks, rng)).split("\n")
    return "\n".join(lines)


def add_dead_code(text: str, rng: random.Random) -> str:
    """Constants nobody reads, another family's definitions, a block that is never entered, code after a return."""
    text = _after_returns(text, rng)
    donor = rng.choice([family for family in FAMILIES if not set(_own_names(family)) & set(text.split())])
    foreign_code = _rename(donor.definitions.strip("\n"), {name: _old(name) for name in _own_names(donor)})
    constants = "\n".join(f"{name} = {_number(rng)}" for name in rng.sample(_CONSTANTS, 3) if name not in text)
    dead_block = rng.choice(_NEVER).format(n=_number(rng), m=_number(rng))
    lines = text.split("\n")
    imports = [line for line in donor.imports.splitlines() if line and line not in lines]
    position = _end_of_imports(text)
    new_lines = ["\n".join(imports), "", constants, "", "", foreign_code, "", "", dead_block, ""]
    return "\n".join([*lines[:position], *new_lines, *lines[position:]])


def mislead(text: str, rng: random.Random) -> str:
    """Another family's summary as the docstring and wrong remarks before some statements; true comments stay."""
    tree = ast.parse(text)
    starts = {node.lineno - 1 for node in ast.walk(tree) if isinstance(node, ast.stmt)}
    docstring = tree.body[0].end_lineno or 1
    title = rng.choice(FAMILIES).summary.rstrip(".").split("; ")[0]
    out = [f'"""{title}."""']
    for number, line in enumerate(text.split("\n")[docstring:], start=docstring):
        if number in starts and rng.random() < 0.12:
            remark = rng.choice(_REMARKS).format(n=_number(rng))
            out.append(f"{line[: len(line) - len(line.lstrip())]}# {remark}")
        out.append(line)
    return "\n".join(out)


DISGUISES: Mapping[str, Disguise] = {
    "renamed": rename_definitions,
    "reordered": shuffle_definitions,
    "dead code": add_dead_code,
    "misleading comments": mislead,
}
"""In the order in which they are applied."""


def disguise(text: str, names: Sequence[str], rng: random.Random) -> str:
    """`text` after the named disguises; deterministic in `rng`."""
    for name, change in DISGUISES.items():
        if name in names:
            text = change(text, rng)
    ast.parse(text)
    return text


def _rename(code: str, names: Mapping[str, str]) -> str:
    """`code` with names replaced, but for those that also stand for an attribute or an argument somewhere."""
    unsafe_names: set[str] = set()

    def note(name: str, before: str, after: str) -> str:
        if before == "." or (after.lstrip().startswith("=") and not after.lstrip().startswith("==")):
            unsafe_names.add(name)
        return name

    map_names(code, note)
    return map_names(code, lambda name, before, after: name if name in unsafe_names else names.get(name, name))


def _after_returns(text: str, rng: random.Random) -> str:
    """Statements after the last `return` of some functions; they bind only names of their own."""
    lines = text.split("\n")
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    for node in sorted(functions, key=lambda node: -(node.end_lineno or 0)):
        last = node.body[-1]
        if isinstance(last, ast.Return) and rng.random() < 0.3:
            dead = indent(_AFTER.format(n=_number(rng), m=_number(rng)), " " * last.col_offset)
            lines.insert(last.end_lineno or 0, dead)
    return "\n".join(lines)


def _own_names(family: Family) -> list[str]:
    return [name for block in definition_blocks(family.definitions.strip("\n")) for name in names_bound(block)]


def _old(name: str) -> str:
    return f"Legacy{name}" if name[0].isupper() else f"{name}_v1"


def _fresh(rng: random.Random, pool: Sequence[str], text: str) -> "itertools.chain[str]":
    """The names of `pool` that `text` lacks, in random order, then numbered ones."""
    free = [name for name in rng.sample(pool, len(pool)) if name not in text]
    return itertools.chain(free, (f"{pool[0]}_{i}" for i in itertools.count(2)))


def _number(rng: random.Random) -> int:
    """A number as large ones are written: 2,048 to 1,000,000."""
    return rng.choice([2048, 4096, 10_000, 16_384, 50_000, 65_536, 100_000, 500_000, 1_000_000])


def _first_line(node: ast.stmt, lines: Sequence[str]) -> int:
    """Where a definition begins, with its decorators and the comments right above, from 0."""
    decorators = [d.lineno for d in getattr(node, "decorator_list", [])]
    first: int = min([node.lineno, *decorators]) - 1
    while first > 0 and lines[first - 1].startswith("#"):
        first -= 1
    return first


def _end_of_imports(text: str) -> int:
    """The number of lines up to the end of the last top-level import."""
    ends = [node.end_lineno for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
    return ends[-1] or 0
