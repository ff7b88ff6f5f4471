"""Calls of a program's `Loops` that stand around its expressions."""

from __future__ import annotations

import ast

from kilowait.predict.dryrun.distributed.ranks import ALONE

LOOPS = "__kilowait_loops__"


def divisor(operator: ast.operator, value: ast.expr) -> ast.expr:
    """What is divided by, which may be zero only because items were left out."""
    divides = isinstance(operator, (ast.Div, ast.FloorDiv)) and not isinstance(value, (ast.Constant, ast.Await))
    return ast.copy_location(loops_call("divisor", value), value) if divides else value


def thunk(test: ast.expr) -> ast.expr:
    """The expression as a function that is called when it is asked for."""
    no_arguments = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    return ast.Lambda(no_arguments, test)


def loops_call(method: str, *arguments: ast.expr) -> ast.Call:
    """A call of a method of the program's `Loops`."""
    return ast.Call(ast.Attribute(ast.Name(LOOPS, ast.Load()), method, ast.Load()), list(arguments), [])


def needed(value: ast.expr) -> ast.expr:
    """What a number is made of: a variable of launchers, asked for without a default, is one that the program needs."""
    if not isinstance(value, ast.Call) or len(value.args) != 1 or value.keywords:
        return value
    names_rank = isinstance(value.args[0], ast.Constant) and str(value.args[0].value) in ALONE
    return ast.copy_location(loops_call("asserted", thunk(value)), value) if names_rank else value
