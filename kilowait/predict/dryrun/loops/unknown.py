"""Numbers that come from tensors without data: they count as numbers, and say when a program decides by them.

Not covered: what C code makes of them (NumPy, `math`): plain numbers.
"""

from __future__ import annotations

import builtins
import ctypes
import operator
from collections.abc import Callable
from typing import Any

from kilowait.predict.dryrun.dry_program import by_the_program
from kilowait.predict.dryrun.loops.index import Index

_ARITHMETIC = "add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow"
_SINGLE = "neg pos abs"
_COMPARISONS = "lt le gt ge eq ne"
Decide = Callable[[], None]
_decide: list[Decide] = [lambda: None]


def tell(decide: Decide) -> None:
    """`decide` is called whenever the program compares an unknown number."""
    _decide[0] = decide


class UnknownFloat(float):
    """A float whose value was never there."""

    def __bool__(self) -> bool:
        _note()
        return float(self) != 0.0

    def __hash__(self) -> int:
        return float.__hash__(self)

    def __reduce__(self) -> Any:
        return float, (float(self),)

    def __round__(self, digits: Any = None) -> Any:
        return unknown(round(float(self), digits))


class UnknownInt(int):
    """An int whose value was never there."""

    def __bool__(self) -> bool:
        _note()
        return int(self) != 0

    def __hash__(self) -> int:
        return int.__hash__(self)

    def __reduce__(self) -> Any:
        return int, (int(self),)


_seen: set[float] = set()
"""Unknown floats that no program would write down, by which they are known again when C code has taken their mark."""
_FINE, MOST_SEEN = 1 << 16, 100_000
SOME = 1.0 + 2.0**-20
"""What a float that is not known is said to be: about one, and float32 holds it."""


def unknown(value: Any) -> Any:
    """A number marked as unknown; anything else as it is."""
    if type(value) is float:
        if len(_seen) < MOST_SEEN and value * _FINE % 1.0:
            _seen.update((value, ctypes.c_float(value).value))
        return UnknownFloat(value)
    return UnknownInt(value) if type(value) is int else value


def is_unknown(value: Any) -> bool:
    """Whether a number is marked so."""
    return isinstance(value, (UnknownFloat, UnknownInt))


def comes_from_unknown(arguments: Any) -> bool:
    """Whether a number that is not known is among the arguments of an operator, or in nested lists."""
    if isinstance(arguments, (list, tuple)):
        return any(map(comes_from_unknown, arguments))
    if isinstance(arguments, dict):
        return comes_from_unknown(list(arguments.values()))
    return is_unknown(arguments) or (type(arguments) is float and arguments in _seen)


def number_of(kind: Any, value: Any) -> Any:
    """int(value) or float(value), which stay an index or unknown."""
    if kind is int and type(value) is Index:
        return value
    item = getattr(value, "item", None)
    if callable(item) and hasattr(value, "fake_mode"):
        value = item()
    return unknown(kind(value)) if is_unknown(value) else kind(value)


def number_called(kind: Any, *args: Any, **kwargs: Any) -> Any:
    """A call of `int` or `float` in a program, after which an index is still one and what is not known stays so."""
    plain = kind in (builtins.int, builtins.float) and len(args) == 1 and not kwargs
    return number_of(kind, args[0]) if plain else kind(*args, **kwargs)


def not_zero(value: Any) -> Any:
    """A number in the place of zero: a count a class, or of what passed a test, is above zero in a run on data."""
    is_zero = isinstance(value, (int, float)) and type(value) is not Index and float(value) == 0.0
    return unknown(SOME) if is_zero else value


def _note() -> None:
    if by_the_program():
        _decide[0]()


def _calculating(name: str, base: type) -> Any:
    method = getattr(base, f"__{name}__")

    def calculate(self: Any, *args: Any) -> Any:
        return unknown(method(base(self), *[_plain(arg) for arg in args]))

    return calculate


def _comparing(name: str, base: type) -> Any:
    compare = getattr(operator, name)

    def ask(self: Any, other: Any) -> Any:
        if isinstance(other, (int, float)):
            _note()
        return compare(base(self), _plain(other))

    return ask


def _plain(value: Any) -> Any:
    """The number without its mark."""
    if isinstance(value, float) and type(value) is not float:
        return float(value)
    return int(value) if isinstance(value, int) and type(value) not in (int, bool) else value


for _kind, _base in ((UnknownFloat, float), (UnknownInt, int)):
    for _name in [*_ARITHMETIC.split(), *_SINGLE.split()]:
        setattr(_kind, f"__{_name}__", _calculating(_name, _base))
    for _name in _COMPARISONS.split():
        setattr(_kind, f"__{_name}__", _comparing(_name, _base))
