"""Breaks lines that a rename made too long, the way a formatter would."""

from collections.abc import Iterator

from kilowait.lab.corpus.lexer import lex

_OPEN, _CLOSE = "([{", ")]}"


def wrap(code: str, limit: int) -> str:
    """`code` with each line over `limit` characters exploded at its commas or its last outermost bracket."""
    if max(map(len, code.split("\n"))) <= limit:
        return code
    return "\n".join(
        part for line, nested in _lines(code) for part in (_wrap(line, limit, nested) if len(line) > limit else [line])
    )


def _lines(code: str) -> Iterator[tuple[str, bool]]:
    """Each line and whether it starts inside brackets."""
    depth, start = 0, 0
    line = ""
    for kind, text in lex(code):
        depth += (kind == "other" and text in _OPEN) - (kind == "other" and text in _CLOSE)
        *ended, last = text.split("\n")
        for part in ended:
            yield line + part, start > 0
            line, start = "", depth
        line += last
    yield line, start > 0


def _wrap(line: str, limit: int, nested: bool) -> list[str]:
    if len(line) <= limit:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()))
    items = _items(line.rstrip(","))
    if nested and len(items) > 1:
        return [part for item in items for part in _wrap(f"{indent}{item},", limit, False)]
    span = _last_bracket(line)
    if span is None:
        return [line]
    head, inner, tail = line[: span[0] + 1], line[span[0] + 1 : span[1]].strip(), line[span[1] :]
    return [head, *_wrap(f"{indent}    {inner}", limit, True), indent + tail]


def _last_bracket(line: str) -> tuple[int, int] | None:
    """Where the outermost bracket pair that ends the line opens and closes; None where there is none."""
    stack: list[int] = []
    bracket, position = None, 0
    for kind, text in lex(line):
        if kind == "other" and text in _OPEN:
            stack.append(position)
        elif kind == "other" and text in _CLOSE and stack:
            start = stack.pop()
            if not stack and position - start > 1:
                bracket = (start, position)
        elif kind == "comment" or (kind == "other" and text in _CLOSE):
            return None
        position += len(text)
    return None if stack else bracket


def _items(line: str) -> list[str]:
    """The parts between the outermost commas; the whole line where a comma would mean something else."""
    parts, depth = [""], 0
    for kind, text in lex(line):
        depth += (kind == "other" and text in _OPEN) - (kind == "other" and text in _CLOSE)
        if depth < 0 or (depth == 0 and (kind == "comment" or text in ("for", "lambda"))):
            return [line]
        if kind == "other" and text == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += text
    return [part.strip() for part in parts if part.strip()] if depth == 0 else [line]
