"""Which options a program declares, read from its syntax tree: argparse, click, typer, fire, absl flags.

Values are constants, names that are assigned one constant once at the top of the module, and plain arithmetic on
them; anything else counts as unknown. Not covered: options declared in loops or by generators, dataclass parsers.
"""

import ast
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

UNKNOWN: Any = Enum("Unknown", "VALUE").VALUE  # type: ignore[attr-defined]
"""Stands for a value that is computed at run time."""

Place = tuple[int, int, int, int]
"""Line, column, last line, end column; lines from 1, columns from 0 in UTF-8 bytes."""

MAX_OPTIONS = 300
"""More are not read: no program that people start has them."""

_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}
_NAMED_TYPES = {"int": int, "float": float, "str": str, "INT": int, "FLOAT": float, "STRING": str}
_ABSL = {
    "DEFINE_integer": int,
    "DEFINE_float": float,
    "DEFINE_string": str,
    "DEFINE_enum": str,
    "DEFINE_bool": bool,
    "DEFINE_boolean": bool,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredOption:
    """One declared option or, without flags, positional argument.

    `kind` is int, float or str, bool for a flag that takes no value (`on` is what it sets; with `negatable` there
    is a `--no-` form). `nargs` and `append` are argparse's. `line` is where it is declared, `place` the text of its
    default (line, column, last line, end column; columns in UTF-8 bytes), None where it states none.
    """

    dest: str
    flags: tuple[str, ...] = ()
    kind: Callable[[str], Any] = str
    default: Any = None
    on: Any = True
    negatable: bool = False
    nargs: str | int | None = None
    append: bool = False
    choices: tuple[Any, ...] | None = None
    line: int = 0
    place: Place | None = None


def declared_options(tree: ast.Module, nodes: Sequence[ast.AST]) -> list[DeclaredOption]:
    """The options of a module, in the order of the text; the first MAX_OPTIONS of them. `nodes` are all of its tree."""
    return sorted(_Declarations(tree, nodes).read(), key=lambda option: option.line)[:MAX_OPTIONS]


class _Declarations:
    def __init__(self, tree: ast.Module, nodes: Sequence[ast.AST]) -> None:
        self._nodes = nodes
        self._constants: dict[str, Any] = {}
        assigned: set[str] = set()
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name, value = node.targets[0].id, self._value(node.value)
                if name in assigned:
                    self._constants.pop(name, None)
                else:
                    self._constants[name] = value
                assigned.add(name)

    def read(self) -> Iterator[DeclaredOption]:
        defaults: dict[str, ast.expr] = {}
        options: list[DeclaredOption] = []
        functions = {node.name: node for node in self._nodes if isinstance(node, ast.FunctionDef)}
        for node in self._nodes:
            match node:
                case ast.Call(func=ast.Attribute(attr="add_argument"), args=[_, *_]):
                    options.append(self._argparse(node))
                case ast.Call(func=ast.Attribute(attr="set_defaults")):
                    defaults |= {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
                case ast.Call(func=ast.Attribute(attr=name), args=[_, _, *_]) if name in _ABSL:
                    options.append(self._absl(node, _ABSL[name]))
                case ast.Call(func=func, args=[ast.Name(id=name), *_]) if name in functions and _starts(func):
                    options += self._parameters(functions.pop(name))  # once, however often it is started
                case ast.FunctionDef():
                    options += self._decorated(node)
        for option in options:
            if option.dest and not option.dest.startswith("__"):
                yield self._changed(option, defaults.get(option.dest))

    def _changed(self, option: DeclaredOption, default: ast.expr | None) -> DeclaredOption:
        """The option under the default that set_defaults gives it."""
        return option if default is None else replace(option, default=self._value(default), place=_place(default))

    def _argparse(self, call: ast.Call) -> DeclaredOption:
        values = self._keywords(call)
        nodes = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
        flags = tuple(word for word in map(self._value, call.args) if isinstance(word, str))
        long_flag = next((flag for flag in flags if flag.startswith("--")), flags[0] if flags else "")
        dest = values.get("dest") or long_flag.lstrip("-").replace("-", "_")
        action = _name(nodes.get("action")) or values.get("action")
        option = DeclaredOption(
            dest=dest if isinstance(dest, str) and action not in ("help", "version") else "",
            flags=flags if flags[:1] != (dest,) else (),
            default=values.get("default"),
            line=call.lineno,
            place=_place(nodes.get("default")),
        )
        if action in ("store_true", "store_false"):
            on = action == "store_true"
            return replace(option, kind=bool, on=on, default=values.get("default", not on))
        if action in ("store_const", "BooleanOptionalAction"):
            return replace(option, kind=bool, on=values.get("const"), negatable=action != "store_const")
        return replace(
            option,
            kind=_kind(_name(nodes.get("type"))),
            nargs=_nargs(values.get("nargs")),
            append=action == "append",
            choices=_choices(values.get("choices")),
        )

    def _absl(self, call: ast.Call, kind: type) -> DeclaredOption:
        name, default = self._value(call.args[0]), self._value(call.args[1])
        dest = name if isinstance(name, str) else ""
        flags = (f"--{dest}", f"-{dest}")
        return DeclaredOption(
            dest=dest,
            flags=flags,
            kind=kind,
            negatable=True,
            default=default,
            line=call.lineno,
            place=_place(call.args[1]),
        )

    def _decorated(self, function: ast.FunctionDef) -> Iterator[DeclaredOption]:
        """click's decorators, or the parameters of a function under typer's."""
        calls = [node for node in function.decorator_list if isinstance(node, ast.Call)]
        click_calls = [call for call in calls if _name(call.func) in ("option", "argument")]
        for call in click_calls:
            yield self._click(call, argument=_name(call.func) == "argument")
        if not click_calls and any(_name(call.func) == "command" for call in calls):
            yield from self._parameters(function)

    def _click(self, call: ast.Call, *, argument: bool) -> DeclaredOption:
        values = self._keywords(call)
        words = [word for word in map(self._value, call.args) if isinstance(word, str)]
        flags = [flag for word in words for flag in (word.split("/")[0].strip(),) if flag.startswith("-")]
        names = [word for word in words if not word.startswith("-")]
        longest = max(flags, key=lambda flag: len(flag) - len(flag.lstrip("-")), default="")
        dest = (names[0] if names else longest.lstrip("-")).replace("-", "_").lower()
        nodes = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
        default = values.get("default")
        flag = values.get("is_flag") is True or any("/" in word for word in words)
        return DeclaredOption(
            dest=dest,
            flags=() if argument else tuple(flags),
            kind=bool if flag else _kind(_name(nodes.get("type")) or _type_name(default)),
            negatable=any("/" in word for word in words),
            default=False if flag and default is None else default,
            nargs="*" if values.get("nargs") == -1 else _nargs(values.get("nargs")),
            append=values.get("multiple") is True,
            line=call.lineno,
            place=_place(nodes.get("default")),
        )

    def _parameters(self, function: ast.FunctionDef) -> Iterator[DeclaredOption]:
        """A function whose parameters are the options: typer.run(main), @app.command(), fire.Fire(main)."""
        spec = function.args
        parameters = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]
        no_defaults: list[ast.expr | None] = [None] * (len(spec.posonlyargs) + len(spec.args) - len(spec.defaults))
        for parameter, default in zip(parameters, [*no_defaults, *spec.defaults, *spec.kw_defaults], strict=True):
            yield self._parameter(parameter, default)

    def _parameter(self, parameter: ast.arg, node: ast.expr | None) -> DeclaredOption:
        flags: tuple[str, ...] = (f"--{parameter.arg.replace('_', '-')}", f"--{parameter.arg}")
        if isinstance(node, ast.Call) and _name(node.func) in ("Option", "Argument"):
            words = tuple(word for word in map(self._value, node.args[1:]) if isinstance(word, str))
            flags = tuple(flag for word in words for flag in word.split("/")[:1]) or flags
            node = node.args[0] if node.args else None
        default = None if node is None else self._value(node)
        annotation = parameter.annotation
        if isinstance(annotation, ast.Subscript) and isinstance(annotation.slice, ast.Tuple):
            annotation = annotation.slice.elts[0]  # Annotated[int, typer.Option()]
        name = _name(annotation) or _type_name(default)
        kind = bool if name == "bool" else _kind(name)
        return DeclaredOption(
            dest=parameter.arg,
            flags=() if node is None else tuple(dict.fromkeys(flags)),
            kind=kind,
            negatable=kind is bool,
            default=default,
            line=parameter.lineno,
            place=_place(node),
        )

    def _keywords(self, call: ast.Call) -> dict[str, Any]:
        return {keyword.arg: self._value(keyword.value) for keyword in call.keywords if keyword.arg}

    def _value(self, node: ast.expr, depth: int = 0) -> Any:
        """What an expression is, UNKNOWN where it is computed or nested beyond what people write."""
        match node:
            case _ if depth > 20:
                return UNKNOWN
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self._constants.get(name, UNKNOWN)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                value = self._value(operand, depth + 1)
                return -value if isinstance(value, int | float) else UNKNOWN
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                return [self._value(element, depth + 1) for element in elements]
            case ast.BinOp(left=left, op=sign, right=right):
                return _calculate(sign, self._value(left, depth + 1), self._value(right, depth + 1))
        return UNKNOWN


def _calculate(sign: ast.operator, left: Any, right: Any) -> Any:
    """Arithmetic on two numbers, UNKNOWN where a hostile one could take long."""
    numbers = [value for value in (left, right) if isinstance(value, int | float) and abs(value) < 1e30]
    if len(numbers) < 2 or type(sign) not in _OPERATORS or (isinstance(sign, ast.Pow) and abs(right) > 100):
        return UNKNOWN
    try:
        return _OPERATORS[type(sign)](left, right)
    except (ArithmeticError, ValueError):
        return UNKNOWN


def _place(node: ast.expr | None) -> Place | None:
    if node is None or node.end_lineno is None or node.end_col_offset is None:
        return None
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


def _starts(function: ast.expr) -> bool:
    """`fire.Fire(main)`, `Fire(main)`, `typer.run(main)`."""
    return _name(function) == "Fire" or (
        isinstance(function, ast.Attribute) and function.attr == "run" and _name(function.value) == "typer"
    )


def _name(node: ast.expr | None) -> str:
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _type_name(value: Any) -> str:
    return type(value).__name__


def _kind(name: str) -> Callable[[str], Any]:
    return _NAMED_TYPES.get(name, str)


def _nargs(value: Any) -> str | int | None:
    return value if value in ("?", "*", "+") or (isinstance(value, int) and 1 <= value <= 8) else None


def _choices(value: Any) -> tuple[Any, ...] | None:
    return tuple(value) if isinstance(value, list) and UNKNOWN not in value else None
