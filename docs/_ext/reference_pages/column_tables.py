"""The columns of every table on disk, from kilowait/files/columns.py: its schemas, comments and docstrings."""

import ast
import inspect
import io
import tokenize
from itertools import pairwise

import pyarrow as pa

from kilowait.files import columns

from . import commands

HEAD = """# Columns of the tables

Every Parquet table that kilowait writes, from `kilowait/files/columns.py`. Units stand in the names: `_s` seconds,
`_j` joules, `_kwh` kilowatt-hours, `_w` watts, `_bytes` bytes.
"""


def page() -> str:
    """One section a schema."""
    return HEAD + "\n".join(section(name, schema) for name, schema in schemas().items())


def schemas() -> dict[str, pa.Schema]:
    """Every schema of the module, in the order of the file."""
    return {name: value for name, value in vars(columns).items() if isinstance(value, pa.Schema)}


def section(name: str, schema: pa.Schema) -> str:
    """A table of its columns, with the comment beside each where there is one."""
    notes = comments(name)
    rows = [f"| `{field.name}` | {field.type} | {notes.get(field.name, '')} |" for field in schema]
    head = f"## {name}\n\n{commands.escaped(docstrings().get(name, ''))}\n\n| column | type | |\n| --- | --- | --- |\n"
    return head.replace("| type | |", "| type | meaning |") + "\n".join(rows) + "\n"


def docstrings() -> dict[str, str]:
    """The text that stands under each assignment of the module."""
    body = ast.parse(inspect.getsource(columns)).body
    found: dict[str, str] = {}
    for statement, following in pairwise(body):
        if isinstance(statement, ast.Assign) and isinstance(following, ast.Expr):
            value = following.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                found[ast.unparse(statement.targets[0])] = " ".join(value.value.split())
    return found


def comments(name: str) -> dict[str, str]:
    """The comment at the end of a column's line, by column, of one schema."""
    source = inspect.getsource(columns)
    statement = next(
        one for one in ast.parse(source).body if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == name
    )
    lines = source.splitlines()[statement.lineno - 1 : statement.end_lineno]
    found: dict[str, str] = {}
    last = ""
    for token in tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline):
        if token.type == tokenize.STRING:
            last = last or ast.literal_eval(token.string)
        elif token.type == tokenize.COMMENT and last:
            found[last] = commands.cell(token.string.removeprefix("#").strip())
        elif token.type == tokenize.NL:
            last = ""
    return found
