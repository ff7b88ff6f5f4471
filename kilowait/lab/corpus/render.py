"""From a family and its hyperparameters to the text of a script.

The work of a script depends on the family, the hyperparameters and the recipe alone; everything else that is drawn
here (style, names, comments, helpers, order) changes only the text.
"""

import ast
import random
import re
from dataclasses import replace

from kilowait.lab.corpus.draft import ProgramDraft, Recipe, assemble, draw_seed
from kilowait.lab.corpus.family import Family, Hyperparameters
from kilowait.lab.corpus.lexer import identifiers
from kilowait.lab.corpus.naming import Names, choose_names
from kilowait.lab.corpus.remarks import annotate, strip_comments, strip_docstrings
from kilowait.lab.corpus.styles import STYLE_IMPORTS, STYLES, Layout
from kilowait.lab.corpus.wrapping import wrap

MIN_TOKENS, MAX_TOKENS = 1060, 2080
"""The range of `estimated_tokens`, a little inside the promised 1,000 to 2,200 tokens."""

_PIECE = re.compile(r"[A-Za-z]+|\d|\n *|[^\w\s]+|_")


def estimated_tokens(text: str) -> float:
    """Roughly how many SmolLM2 tokens `text` has, without the tokenizer."""
    return 1.0 * len(_PIECE.findall(text))


def render(family: Family, hyperparameters: Hyperparameters, recipe: Recipe, style: str, seed: str) -> str:
    """The script; it grows helpers or sheds comments until its length is right. Deterministic in `seed`."""
    rng = random.Random(seed)
    richness, verbosity = rng.choice([0, 1, 2, 3, 4]), rng.choice([0, 1, 1, 2, 2])
    for _ in range(8):
        text = _write(family, hyperparameters, recipe, style, f"{seed}/text", richness, verbosity)
        tokens = estimated_tokens(text)
        if tokens < MIN_TOKENS and (richness < 4 or verbosity < 2):
            richness, verbosity = min(4, richness + 1), min(2, verbosity + 1)
        elif tokens > MAX_TOKENS and (richness > 0 or verbosity > 0):
            richness, verbosity = max(0, richness - 1), max(0, verbosity - 1)
        else:
            break
    return text


def seed_written(seed: str) -> int:
    """The number with which the script that `render` makes of `seed` seeds its random numbers."""
    return draw_seed(random.Random(f"{seed}/text"))


def _write(
    family: Family,
    hyperparameters: Hyperparameters,
    recipe: Recipe,
    style: str,
    seed: str,
    richness: int,
    verbosity: int,
) -> str:
    rng = random.Random(seed)
    program = assemble(family, hyperparameters, recipe, rng, richness=richness)
    program = _talk(program, rng, verbosity)
    names = _names(program, rng, style)
    keep = rng.random() < (0.15, 0.6, 1.0)[verbosity]
    program = replace(
        program,
        definitions="\n\n\n".join(shuffle_blocks(definition_blocks(program.definitions), rng)),
        imports=(*program.imports, *STYLE_IMPORTS.get(style, ())),
    )
    program = replace(program, definitions=names.apply(program.definitions, hyper="{}", state="{}", loop=False))
    order = tuple(rng.sample(sorted(program.hyperparameters), k=len(program.hyperparameters)))
    layout = Layout(program=program, names=names, order=order, variant=rng.randrange(2))
    blocks = [f'"""{program.title}."""\n\n{_sorted_imports(program.imports, rng)}', *STYLES[style](layout)]
    text = "\n\n\n".join(block for block in blocks if block) + "\n"
    if not keep:
        text = strip_docstrings(text)
    text = wrap(text, rng.choice([88, 88, 100]))
    ast.parse(text)
    return text


def _talk(program: ProgramDraft, rng: random.Random, verbosity: int) -> ProgramDraft:
    """Comments by verbosity: 0 none, 1 the family's own, 2 its own and remarks on what is recognised."""
    if verbosity == 0:
        treat = strip_comments
    else:
        chance = 0.0 if verbosity == 1 else rng.uniform(0.4, 0.9)

        def treat(code: str) -> str:
            return annotate(code, rng, chance)

    return replace(
        program,
        definitions=strip_comments(program.definitions) if verbosity == 0 else program.definitions,
        setup=treat(program.setup),
        step=treat(program.step),
        log=treat(program.log),
        before=treat(program.before),
        report=treat(program.report),
    )


def _names(program: ProgramDraft, rng: random.Random, style: str) -> Names:
    code = "\n".join(
        [
            *program.imports,
            *program.helpers,
            program.definitions,
            program.seeding,
            program.setup,
            program.before,
            program.step,
            program.log,
            program.after,
            program.report,
            program.finish,
        ]
    )
    _, state, taken = identifiers(code)
    layout_names = {
        "device",
        "main",
        "build",
        "setup",
        "train",
        "run_training",
        "evaluate",
        "final_check",
        "args",
        "cfg",
    }
    layout_names |= {
        "config",
        "state",
        "fit",
        "run",
        "train_step",
        "run_step",
        "prepare",
        "summarize",
        "trainer",
        "self",
    }
    return choose_names(
        rng, hyper=program.hyperparameters, state=state, taken=taken | layout_names, shared=style == "classes"
    )


def definition_blocks(definitions: str) -> list[str]:
    """Top-level definitions with the comments right above them."""
    lines = definitions.split("\n")
    starts: list[int] = []
    for node in ast.parse(definitions).body:
        decorators = [d.lineno for d in getattr(node, "decorator_list", [])]
        first = min([node.lineno, *decorators]) - 1
        while first > 0 and lines[first - 1].startswith("#"):
            first -= 1
        starts.append(first)
    ends = [*starts[1:], len(lines)]
    return ["\n".join(lines[a:b]).strip("\n") for a, b in zip(starts, ends, strict=True)]


def shuffle_blocks(blocks: list[str], rng: random.Random) -> list[str]:
    """The blocks in a random order in which each still comes after what it needs when it is defined."""
    provides = {name: block for block in blocks for name in names_bound(block)}
    waiting = rng.sample(blocks, k=len(blocks)) if rng.random() < 0.6 else list(blocks)
    placed_blocks: list[str] = []
    while waiting:
        next_block = next(b for b in waiting if all(provides.get(n, b) in [*placed_blocks, b] for n in _needs(b)))
        waiting.remove(next_block)
        placed_blocks.append(next_block)
    return placed_blocks


def names_bound(block: str) -> list[str]:
    """The names of the functions, classes and constants that a block defines."""
    names: list[str] = []
    for node in ast.parse(block).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return names


def _needs(block: str) -> set[str]:
    """Names that must exist when the block itself runs: not those inside function bodies."""
    names: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Name):
            names.add(node.id)
        if isinstance(node, ast.FunctionDef):
            for part in [*node.decorator_list, *node.args.defaults]:
                visit(part)
        else:
            for child in ast.iter_child_nodes(node):
                visit(child)

    visit(ast.parse(block))
    return names


def _sorted_imports(imports: tuple[str, ...], rng: random.Random) -> str:
    """Standard library first, then torch, with `import x` before `from x import y`; sometimes the other way round."""
    lines = sorted(dict.fromkeys(imports), key=lambda line: (line.startswith("from"), line))
    groups = [[x for x in lines if "torch" not in x], [x for x in lines if "torch" in x]]
    if rng.random() < 0.2:
        groups.reverse()
    return "\n\n".join("\n".join(group) for group in groups if group)
