"""Key facts of a training script, read off its syntax tree: what a rewrite may not change.

Facts are about live code (dead_code.py) and independent of names and style as far as a parser can tell: calls are
counted by what they call, numbers by their value wherever they stand. Two programs with the same facts can still
differ; a program whose facts differ from another's does not do the same work.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from kilowait.core.errors import SourceError
from kilowait.lab.align.dead_code import prune, remove_unused
from kilowait.lab.align.roles import OPTIMIZERS

Number = int | float
_FRAMEWORKS = frozenset(
    ["torch", "tensorflow", "jax", "keras", "flax", "sklearn", "transformers", "lightning", "accelerate", "deepspeed"]
)
_LAYER = re.compile(
    r"(Linear|Conv\w*\d+d|(Batch|Layer|Group|Instance|RMS)Norm\w*|LSTM|GRU|RNN|Embedding(Bag)?|MultiheadAttention"
    r"|Transformer\w*|\w*Pool\d+d|Dropout\w*|Dense)"
)
_PRECISION = frozenset(
    ["float16", "bfloat16", "float64", "half", "double", "autocast", "GradScaler", "float8_e4m3fn", "float8_e5m2"]
)
_SAID = frozenset(
    ["print", "manual_seed", "seed", "set_seed", "log", "info", "debug", "warning", "add_argument", "format"]
)
_BATCH = re.compile(r"(?i)(^|_)(bs|batch|batch_?size)$")
_STEPS = re.compile(r"(?i)(^|_)(steps?|iters?|iterations|n_iters)$")
_EPOCHS = re.compile(r"(?i)(^|_)epochs?$")
_ASIDE = re.compile(r"(?i)seed|log|every|interval|print|report")
_OPERATIONS = frozenset(
    [
        "backward",
        "zero_grad",
        "clip_grad_norm_",
        "clip_grad_value_",
        "matmul",
        "bmm",
        "einsum",
        "softmax",
        "cross_entropy",
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """What a script says it does. `numbers` leaves out 0, 1 and 2 and what only seeds, logs or prints.

    `batch_size`, `steps` and `epochs` are read by name, for the rewriter's instructions; a rewrite is judged without
    them, because it may rename.
    """

    frameworks: tuple[str, ...]
    layers: Mapping[str, int]
    operations: Mapping[str, int]
    optimizers: tuple[str, ...]
    precision: tuple[str, ...]
    uses_gpu: bool
    numbers: frozenset[Number]
    batch_size: Number | None = None
    steps: Number | None = None
    epochs: Number | None = None

    def as_text(self) -> str:
        """One line a fact that is known, for a rewriter to keep."""
        layers = ", ".join(f"{count} x {name}" for name, count in sorted(self.layers.items()))
        facts = {
            "framework": ", ".join(self.frameworks),
            "layers": layers,
            "optimizer": ", ".join(self.optimizers),
            "precision": ", ".join(self.precision) or "default",
            "batch size": self.batch_size,
            "steps": self.steps,
            "epochs": self.epochs,
            "device": "GPU if there is one" if self.uses_gpu else "CPU",
            "numbers to keep": ", ".join(f"{n:g}" for n in sorted(self.numbers)),
        }
        return "\n".join(f"- {name}: {value}" for name, value in facts.items() if value not in (None, ""))


_JUDGED = ("frameworks", "layers", "operations", "optimizers", "precision", "uses_gpu", "numbers")


def key_facts(text: str) -> KeyFacts:
    """The facts of a script; raises SourceError for text that is not Python."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise SourceError(f"line {getattr(error, 'lineno', '?')}: not Python: {error}") from error
    prune(tree)
    remove_unused(tree, ())
    calls = Counter(_callee(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))
    words = {word for node in ast.walk(tree) for word in _words(node)}
    named_numbers = _named_numbers(tree)
    return KeyFacts(
        frameworks=tuple(sorted(_FRAMEWORKS & set(_imported(tree)))),
        layers={name: count for name, count in calls.items() if _LAYER.fullmatch(name)},
        operations={name: calls[name] for name in sorted(_OPERATIONS) if calls[name]},
        optimizers=tuple(sorted(OPTIMIZERS & set(calls))),
        precision=tuple(sorted(_PRECISION & words)),
        uses_gpu="cuda" in words,
        numbers=frozenset(n for n in _numbers(tree) if n not in (0, 1, 2)),
        batch_size=_first(named_numbers, _BATCH),
        steps=_first(named_numbers, _STEPS),
        epochs=_first(named_numbers, _EPOCHS),
    )


def differences(original: KeyFacts, rewrite: KeyFacts) -> list[str]:
    """The facts in which a rewrite departs from its original, each with both values; empty when none does."""
    return [
        f"{part.name}: {_shown(original, rewrite, part.name)}"
        for part in fields(KeyFacts)
        if part.name in _JUDGED and getattr(original, part.name) != getattr(rewrite, part.name)
    ]


def _shown(original: KeyFacts, rewrite: KeyFacts, name: str) -> str:
    a, b = getattr(original, name), getattr(rewrite, name)
    if isinstance(a, frozenset):
        return f"lost {sorted(a - b)}, new {sorted(b - a)}"
    return f"{a!r} in the original, {b!r} in the rewrite"


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def _callee(node: ast.expr) -> str:
    """The last part of what is called."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _words(node: ast.AST) -> list[str]:
    match node:
        case ast.Attribute(attr=word) | ast.Name(id=word):
            return [word]
        case ast.Constant(value=str(text)):
            return text.split(":")[:1]
    return []


def _named_numbers(tree: ast.Module) -> list[tuple[str, Number]]:
    """Numbers with the names they are given: assignments, fields, defaults, command-line options."""
    pairs: list[tuple[str, Number]] = []
    for node in ast.walk(tree):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=value)
            ):
                pairs += _pair(name, value)
            case ast.arguments():
                pairs += [pair for argument, default in _defaults(node) for pair in _pair(argument.arg, default)]
            case ast.Call(args=[ast.Constant(value=str(flag)), *_]) if _callee(node.func) == "add_argument":
                default_value = next((k.value for k in node.keywords if k.arg == "default"), None)
                pairs += _pair(flag.lstrip("-").replace("-", "_"), default_value)
    return pairs


def _pair(name: str, value: ast.expr | None) -> list[tuple[str, Number]]:
    number = _number(value)
    return [] if number is None else [(name, number)]


def _number(node: ast.expr | None) -> Number | None:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
    return None


def _first(named_numbers: list[tuple[str, Number]], pattern: re.Pattern[str]) -> Number | None:
    return next((number for name, number in named_numbers if pattern.search(name)), None)


def _numbers(node: ast.AST) -> Iterator[Number]:
    """Numeric literals in live code that may decide how much is done."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            yield value
            return
        case ast.Call() if _callee(node.func) == "add_argument" and not _aside(node):
            yield from (n for k in node.keywords if k.arg == "default" for n in _numbers(k.value))
            return
        case ast.Call() if _callee(node.func) in _SAID:
            return
        case ast.JoinedStr():
            return
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)) if _ASIDE.search(name):
            return
        case ast.If(test=test) if any(isinstance(part, ast.Mod) for part in ast.walk(test)):
            for part in (*node.body, *node.orelse):
                yield from _numbers(part)
            return
        case ast.arguments():
            yield from _default_numbers(node)
            return
    for child in ast.iter_child_nodes(node):
        yield from _numbers(child)


def _aside(call: ast.Call) -> bool:
    return bool(call.args) and isinstance(call.args[0], ast.Constant) and bool(_ASIDE.search(str(call.args[0].value)))


def _default_numbers(node: ast.arguments) -> Iterator[Number]:
    for argument, default in _defaults(node):
        if not _ASIDE.search(argument.arg):
            yield from _numbers(default)


def _defaults(node: ast.arguments) -> list[tuple[ast.arg, ast.expr]]:
    """Arguments with their defaults, those that have one."""
    arguments = [*node.posonlyargs, *node.args]
    positional = list(zip(arguments[len(arguments) - len(node.defaults) :], node.defaults, strict=True))
    keyword_only = zip(node.kwonlyargs, node.kw_defaults, strict=True)
    return positional + [(argument, default) for argument, default in keyword_only if default is not None]
