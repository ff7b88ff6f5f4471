"""A notebook as one program: its code cells in order, without what only a notebook understands."""

import json
import re

from kilowait.core.errors import SourceError

_OTHER_LANGUAGE = re.compile(
    r"%%(bash|sh|script|html|javascript|js|latex|markdown|writefile|perl|ruby|R|sql|cython|svg)\b"
)
_TIMED = re.compile(r"^%%?(time|timeit|capture|prun|memit)\b[^\n]*$")
_STATEMENT = re.compile(r"^%(?:time|timeit|prun)\s+(?:-\S+\s+\d*\s*)*(?=\S)")
_MAGIC = re.compile(r"^(\s*)(?:(?:[\w, ]+=\s*)?[%!]|[?])|^(\s*)[\w.]+\?{1,2}\s*$")


def is_notebook(text: str) -> bool:
    """Whether a text is a notebook's JSON."""
    return text.lstrip().startswith("{") and '"cells"' in text and '"nbformat"' in text


def notebook_code(name: str, text: str) -> str:
    """The program of a notebook; raises SourceError for a damaged one, another language, and one without code."""
    try:
        document = json.loads(text)
        cells = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
        sources = ["".join(cell["source"]) for cell in cells]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SourceError(f"{name}: no readable notebook: {error or type(error).__name__}") from error
    language = str(document.get("metadata", {}).get("kernelspec", {}).get("language", "python")).lower()
    if language != "python":
        raise SourceError(f"{name}: a notebook of {language}; kilowait reads Python")
    parts = [plain for plain in (plain_cell(source) for source in sources) if plain.strip()]
    if not parts:
        raise SourceError(f"{name}: a notebook without code; nothing to predict from")
    return "\n\n".join(parts) + "\n"


def plain_cell(source: str) -> str:
    """One cell as Python: magics and shell lines become `pass`, so that the lines around them stay right."""
    if _OTHER_LANGUAGE.match(source.lstrip()):
        return ""
    return "\n".join(_line(line) for line in source.split("\n"))


def _line(line: str) -> str:
    if _TIMED.match(line.strip()) and not _STATEMENT.match(line.strip()):
        return ""
    if timed := _STATEMENT.match(line.lstrip()):
        return line.lstrip()[timed.end() :]
    magic = _MAGIC.match(line)
    return f"{magic[1] or magic[2] or ''}pass" if magic else line
