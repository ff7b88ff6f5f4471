"""Packages that can be called.

`kilowait.predict(path)` and `kilowait.simulate(jobs, gpus)` are the public functions, and `kilowait.predict` and
`kilowait.simulate` are the packages behind them. Importing any module of a package makes Python set the package as an
attribute of `kilowait`, so a function of that name would be there or not depending on who imported what before. Hence
one object under the name, whichever comes first: the package itself, whose module class has a `__call__`. It stays a
module in every other way: `from kilowait.predict.predictor import Predictor`, `import kilowait.predict.predictor as p`
and patching by dotted name work as ever. Type checkers read `kilowait/__init__.pyi`, which declares the function.
"""

import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any


def make_callable(package: str, module: str, function: str) -> None:
    """Let calling `package` call `function` of its `module`, which is imported at the first call."""

    class CallablePackage(ModuleType):
        """A package whose main function is called by its name."""

        @property
        def __wrapped__(self) -> Callable[..., Any]:
            """The function itself: for `inspect.signature` and `help`."""
            main_function: Callable[..., Any] = getattr(import_module(f"{package}.{module}"), function)
            return main_function

        @property
        def __signature__(self) -> inspect.Signature:
            """The signature of the function."""
            return inspect.signature(self.__wrapped__)

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """Call the function."""
            return self.__wrapped__(*args, **kwargs)

    sys.modules[package].__class__ = CallablePackage
