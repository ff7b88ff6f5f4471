"""What a source says of its work without being run: counts from its syntax tree, by hand-picked kinds.

Calls by what they are for, how deep loops nest, imports, and the numbers in it: of all of them, of `range` bounds, and
of those given to names that say what they are (batch size, width, depth, steps, ...), all as logarithms. No name is
resolved and nothing is executed; a source that does not parse has the features of an empty one.
"""

import ast
import math
from collections import Counter
from collections.abc import Iterator

import numpy as np

from kilowait.core.arrays import FloatArray

CALLS = {
    "conv": ("conv",),
    "linear": ("linear", "matmul", "bmm", "einsum", "mm"),
    "norm": ("norm",),
    "attention": ("attention", "transformer", "encoder", "decoder"),
    "recurrent": ("lstm", "gru", "rnn"),
    "pool": ("pool",),
    "activation": ("relu", "gelu", "silu", "tanh", "sigmoid", "softmax", "swish", "mish", "elu"),
    "loss": ("loss", "entropy"),
    "embedding": ("embedding",),
    "reduction": ("sum", "mean", "max", "min", "argmax", "cumsum", "cumprod"),
    "layout": ("view", "reshape", "permute", "transpose", "flatten", "cat", "stack", "clone"),
    "random": ("rand", "randn", "randint", "randperm"),
    "data": ("dataloader", "dataset"),
    "optimizer": ("adam", "adamw", "sgd", "rmsprop"),
    "backward": ("backward",),
    "step": ("step",),
}
"""A call is of a kind when a word of its name (the last part, lower case) starts or ends with one of these."""
NAMES = {
    "batch": ("batch", "bs"),
    "steps": ("step", "epoch", "iter", "round", "updates"),
    "width": ("dim", "hidden", "width", "channel", "feature", "units", "size", "vocab"),
    "depth": ("layer", "depth", "block"),
    "heads": ("head",),
    "length": ("length", "len", "seq", "height", "side", "resolution", "context"),
    "samples": ("sample", "num_", "n_", "count", "rows"),
    "kernel": ("kernel", "stride"),
}
"""A number is of a kind when the name it is given to has one of these in it."""
IMPORTS = ("torchvision", "transformers", "numpy", "sklearn", "scipy")
OTHERS = ("lines", "calls", "distinct calls", "functions", "classes", "loops", "loop depth", "comprehensions")
NUMBERS = ("numbers", "sum of logs", "largest", "range bounds", "deepest ranges")
NAMED = tuple(f"{kind}: {what}" for kind in NAMES for what in ("sum of logs", "largest"))
STATIC = (*OTHERS, *NUMBERS, *(f"calls: {kind}" for kind in CALLS), *NAMED, *(f"import {m}" for m in IMPORTS))
"""What each number of `static_features` is."""


def static_features(text: str) -> FloatArray:
    """The numbers `STATIC` (F,) of a source."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        tree = ast.Module(body=[], type_ignores=[])
    nodes = list(ast.walk(tree))
    calls = [name for node in nodes if isinstance(node, ast.Call) and (name := _called(node.func))]
    values = {
        **_counts(text, nodes, calls),
        **_numbers(tree, nodes),
        **{f"calls: {kind}": sum(_is_of(name, words) for name in calls) for kind, words in CALLS.items()},
        **_named(nodes),
        **_imports(nodes),
    }
    return np.array([values[name] for name in STATIC], dtype=np.float64)


def _called(function: ast.expr) -> str:
    """The last part of a dotted name, in lower case."""
    if isinstance(function, ast.Attribute):
        return function.attr.lower()
    return function.id.lower() if isinstance(function, ast.Name) else ""


def _is_of(name: str, words: tuple[str, ...]) -> bool:
    return any(part.startswith(word) or part.endswith(word) for part in name.split("_") for word in words)


def _counts(text: str, nodes: list[ast.AST], calls: list[str]) -> dict[str, float]:
    kinds = Counter(type(node) for node in nodes)
    loops = [node for node in nodes if isinstance(node, ast.For | ast.While)]
    return {
        "lines": math.log1p(text.count("\n")),
        "calls": math.log1p(len(calls)),
        "distinct calls": math.log1p(len(set(calls))),
        "functions": kinds[ast.FunctionDef],
        "classes": kinds[ast.ClassDef],
        "loops": len(loops),
        "loop depth": max((_depth(node) for node in loops), default=0),
        "comprehensions": kinds[ast.ListComp] + kinds[ast.GeneratorExp],
    }


def _depth(loop: ast.AST) -> int:
    inner = [_depth(node) for node in ast.walk(loop) if node is not loop and isinstance(node, ast.For | ast.While)]
    return 1 + max(inner, default=0)


def _log(value: object) -> float | None:
    """log(1 + |value|) of a finite number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return math.log1p(abs(value))


def _logs(node: ast.AST) -> list[float]:
    """Logarithms of the numbers anywhere below a node."""
    logs = (_log(constant.value) for constant in ast.walk(node) if isinstance(constant, ast.Constant))
    return [log for log in logs if log is not None]


def _numbers(tree: ast.AST, nodes: list[ast.AST]) -> dict[str, float]:
    logs = _logs(tree)
    bounds = [bound for node in nodes if _is_range(node) for bound in _logs(node)]
    return {
        "numbers": math.log1p(len(logs)),
        "sum of logs": sum(logs),
        "largest": max(logs, default=0.0),
        "range bounds": sum(bounds),
        "deepest ranges": _nested(tree),
    }


def _is_range(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and _called(node.func) == "range"


def _nested(node: ast.AST) -> float:
    """The most that logarithms of literal `range` bounds come to along one nest of loops."""
    own_log = max(_logs(node.iter), default=0.0) if isinstance(node, ast.For) and _is_range(node.iter) else 0.0
    return own_log + max((_nested(child) for child in ast.iter_child_nodes(node)), default=0.0)


def _given(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names and what they are given: assignments, defaults of fields, keywords of calls, entries of dicts."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name) | ast.Attribute(attr=name)], value=value):
            yield name, value
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
            yield from ((n.id, v) for n, v in zip(names, values, strict=False) if isinstance(n, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, value
        case ast.Call(args=[ast.Constant(value=str(name)), *_], keywords=[*keywords]):  # add_argument("--steps", ...)
            yield from ((name, k.value) for k in keywords if k.arg == "default")
            yield from ((k.arg, k.value) for k in keywords if k.arg and k.arg != "default")
        case ast.Call(keywords=[*keywords]):
            yield from ((k.arg, k.value) for k in keywords if k.arg)
        case ast.Dict(keys=keys, values=values):
            yield from ((str(k.value), v) for k, v in zip(keys, values, strict=True) if isinstance(k, ast.Constant))


def _named(nodes: list[ast.AST]) -> dict[str, float]:
    logs_by_kind: dict[str, list[float]] = {kind: [] for kind in NAMES}
    for name, value in (pair for node in nodes for pair in _given(node)):
        if isinstance(value, ast.Constant | ast.Tuple | ast.List):
            kind = next((k for k, words in NAMES.items() if any(word in name.lower() for word in words)), None)
            if kind:
                logs_by_kind[kind] += _logs(value)
    sums = {f"{kind}: sum of logs": sum(logs) for kind, logs in logs_by_kind.items()}
    return {**sums, **{f"{kind}: largest": max(logs, default=0.0) for kind, logs in logs_by_kind.items()}}


def _imports(nodes: list[ast.AST]) -> dict[str, float]:
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    roots = {name.split(".")[0] for name in names}
    return {f"import {module}": float(module in roots) for module in IMPORTS}
