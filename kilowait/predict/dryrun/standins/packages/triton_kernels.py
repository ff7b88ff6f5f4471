"""Triton kernels: each launch is one operation that reads what it loads and writes what it stores.

Which tensors those are is told by the kernel's source (`tl.load`, `tl.store`); every number is touched once. A kernel
with a product (`tl.dot`) or a loop does more than that: its time is said to be missing.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from types import ModuleType
from typing import Any

from torch import Tensor

from kilowait.predict.dryrun.recorder import Recorder
from kilowait.predict.dryrun.standins.packages.inert import Inert, InertModule


def triton_package(recorder: Recorder) -> Any:
    """What makes the modules of the package."""

    def jit(function: Any = None, **_: Any) -> Any:
        return Kernel(recorder, function) if callable(function) else jit

    def tuned(*_: Any, **__: Any) -> Any:
        return lambda kernel: kernel

    def make(name: str) -> ModuleType:
        module = InertModule(name)
        if name == "triton":
            functions = {"jit": jit, "autotune": tuned, "heuristics": tuned, "cdiv": lambda a, b: -(-a // b)}
            functions["next_power_of_2"] = lambda number: 1 << max(0, int(number) - 1).bit_length()
            functions["Config"] = Inert
            vars(module).update(functions)
        return module

    return make


class Kernel:
    """A jitted function: `kernel[grid](arguments)` is one launch."""

    def __init__(self, recorder: Recorder, function: Any) -> None:
        self.recorder, self.function = recorder, function
        self.__name__ = function.__name__
        self.arg_names = list(inspect.signature(function).parameters)
        self.read, self.written, self.is_plain = _touched(function)

    def __getitem__(self, _grid: Any) -> Any:
        return self.launch

    def run(self, *args: Any, grid: Any = None, **kwargs: Any) -> None:
        """As `kernel[grid]` does."""
        self.launch(*args, **kwargs)

    def launch(self, *args: Any, **kwargs: Any) -> None:
        """Record one launch."""
        tensors = {
            name: value for name, value in {**dict(zip(self.arg_names, args)), **kwargs}.items()
            if isinstance(value, Tensor)
        }  # fmt: skip
        written = [tensor for name, tensor in tensors.items() if name in self.written] or list(tensors.values())[-1:]
        read = [tensor for name, tensor in tensors.items() if name in self.read]
        name = f"triton.{self.__name__}"
        if not self.is_plain:
            self.recorder.unmodelled.add(f"Triton kernel {self.__name__}", name)
        if self.recorder.muted == 0 and tensors:
            most = float(max(tensor.numel() for tensor in tensors.values()))
            self.recorder.see(name, read, written, ["T"] * len(tensors), lambda: most)


def _touched(function: Any) -> tuple[set[str], set[str], bool]:
    """The parameters that are loaded from and stored to, and whether each number is touched but once."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError, TypeError):
        return set(), set(), False
    aliases: dict[str, set[str]] = {name: {name} for name in inspect.signature(function).parameters}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            aliases.setdefault(node.targets[0].id, set()).update(_roots(node.value, aliases))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]

    def of(name: str) -> set[str]:
        made = (_roots(c.args[0], aliases) for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr == name
                and c.args)  # fmt: skip
        return {root for roots in made for root in roots}

    dots = any(isinstance(call.func, ast.Attribute) and call.func.attr == "dot" for call in calls)
    loops = any(isinstance(node, (ast.For, ast.While)) for node in ast.walk(tree))
    return of("load"), of("store"), not (dots or loops)


def _roots(node: ast.AST, aliases: dict[str, set[str]]) -> set[str]:
    names = (part.id for part in ast.walk(node) if isinstance(part, ast.Name))
    return {root for name in names for root in aliases.get(name, set())}
