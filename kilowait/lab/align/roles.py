"""What a name stands for, read off the expression that binds it: the optimizer, the model, a number, an index."""

import ast

from kilowait.lab.align.scopes import Binding

OPTIMIZERS = frozenset(
    [
        "SGD",
        "Adam",
        "AdamW",
        "Adagrad",
        "Adadelta",
        "Adamax",
        "ASGD",
        "LBFGS",
        "NAdam",
        "RAdam",
        "RMSprop",
        "Rprop",
        "SparseAdam",
        "Adafactor",
        "Lion",
    ]
)
_DATA = frozenset(
    [
        "randn",
        "rand",
        "randint",
        "randperm",
        "zeros",
        "ones",
        "full",
        "arange",
        "linspace",
        "eye",
        "tensor",
        "empty",
        "from_numpy",
    ]
)
_CHAINED = frozenset(
    ["to", "cuda", "cpu", "eval", "train", "half", "float", "double", "bfloat16", "requires_grad_", "contiguous"]
)
_CALLS = {
    "device": "device", "DataLoader": "loader", "ArgumentParser": "parser", "parse_args": "args", "backward": "value",
    "perf_counter": "clock", "time": "clock", "monotonic": "clock", "SimpleNamespace": "state", "range": "indices",
    **dict.fromkeys(OPTIMIZERS, "optimizer"), **dict.fromkeys(_DATA, "data"),
}  # fmt: skip


def role(binding: Binding, networks: set[str], losses: set[Binding]) -> str:
    """A stem for the binding's canonical name; `networks` are the module's own nn.Module classes."""
    if binding in losses:
        return "loss"
    match binding.how, binding.source:
        case "definition", ast.ClassDef(name=name):
            return "Network" if name in networks else "Class"
        case "definition", _:
            return "function"
        case "argument", _:
            return "argument"
        case "loop", iterable:
            return "index" if _last_name(iterable) in ("range", "trange") else "item"
        case "assigned", value:
            return _of_value(value, networks)
    return "value"


def own_networks(tree: ast.Module) -> set[str]:
    """The module's classes that derive from nn.Module, directly or through one another."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    networks: set[str] = set()
    for _ in classes:
        networks |= {c.name for c in classes if any(_tail(b) == "Module" or _tail(b) in networks for b in c.bases)}
    return networks


def backward_called(tree: ast.Module) -> set[int]:
    """The identities of the Name nodes on which `.backward()` is called."""
    return {
        id(node.func.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "backward"
        and isinstance(node.func.value, ast.Name)
    }


def _of_value(value: ast.AST | None, networks: set[str]) -> str:
    match value:
        case ast.Constant(value=bool() | int() | float()) | ast.UnaryOp(operand=ast.Constant()):
            return "number"
        case ast.Constant(value=str()):
            return "text"
        case ast.List() | ast.Tuple() | ast.Set() | ast.Dict() | ast.ListComp() | ast.DictComp():
            return "items"
        case ast.Call(func=ast.Attribute(value=inner, attr=attr)) if attr in _CHAINED:
            return _of_value(inner, networks)
        case ast.Call():
            return _of_call(_last_name(value), networks, ast.unparse(value.func))
    return "value"


def _of_call(callee: str, networks: set[str], dotted: str) -> str:
    if callee in networks:
        return "model"
    if "lr_scheduler" in dotted:
        return "scheduler"
    if callee.endswith("Loss"):
        return "criterion"
    return _CALLS.get(callee, "layer" if dotted.startswith(("nn.", "torch.nn.")) else "value")


def _last_name(node: ast.AST | None) -> str:
    return _tail(node.func) if isinstance(node, ast.Call) else ""


def _tail(node: ast.AST) -> str:
    """The last part of a dotted name."""
    match node:
        case ast.Attribute(attr=attr):
            return attr
        case ast.Name(id=name):
            return name
    return ""
