"""The directive `result`: a table of figures from docs/results/NAME.json, with its command, commit, date and machine.

    ```{result} scheduling
    columns:
      policy: policy
      jobs a second: ours_jobs_per_s
    rows: lines
    ```

A record that `docs/record.py` wrote keeps the command's own JSON under "result"; `rows` is the way to a list in it, and
`columns` says which key stands in which column; `where` and `where_not` keep rows by their values. A record that was
transcribed has "blocks" of Markdown and needs no options. No figure is written in a page by hand.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).parents[1] / "results"
KEYS = ("title", "provenance", "command", "commit", "date", "machine")
"""What every record says of itself."""


FILE_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)([^)#]+)\)")
"""A link to a file of the repository, which the site has not."""


class ResultDirective(SphinxDirective):
    """Renders a record as Markdown, which the page's own parser reads."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """The nodes of the table and of the line that says where it comes from."""
        path = RESULTS / f"{self.arguments[0]}.json"
        self.env.note_dependency(str(path))
        try:
            text = markdown(read(path), yaml.safe_load("\n".join(self.content)) or {})
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise self.error(f"result {self.arguments[0]}: {type(error).__name__}: {error}") from error
        return self.parse_text_to_nodes(text) if hasattr(self, "parse_text_to_nodes") else self._parsed(text)

    def _parsed(self, text: str) -> list[nodes.Node]:
        holder = nodes.container()
        self.state.nested_parse(StringList(text.splitlines()), 0, holder)
        return holder.children


def read(path: Path) -> dict[str, Any]:
    """The record; raises KeyError when it does not say where it comes from."""
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if missing := [key for key in KEYS if not record.get(key)]:
        raise KeyError(f"{path.name} lacks {', '.join(missing)}")
    return record


def markdown(record: Mapping[str, Any], view: Mapping[str, Any]) -> str:
    """The record as Markdown: its tables and texts, then its origin."""
    parts: list[str] = []
    if "result" in record:
        parts.append(table(list(view["columns"]), chosen(record["result"], view)))
    parts += [FILE_LINK.sub(_as_code, block) for block in record.get("blocks", ())]
    return "\n\n".join([*parts, origin(record)]) + "\n"


def _as_code(link: re.Match[str]) -> str:
    label, path = link.groups()
    return f"`{path}`" if label in path else f"{label} (`{path}`)"


def chosen(result: Any, view: Mapping[str, Any]) -> list[list[str]]:
    """The rows of a command's JSON that the view asks for, as text."""
    rows = at(result, view.get("rows", ""))
    rows = rows if isinstance(rows, list) else [rows]
    wanted, unwanted = view.get("where", {}), view.get("where_not", {})
    kept = [row for row in rows if _agrees(row, wanted) and not (unwanted and _agrees(row, unwanted))]
    return [[shown(at(row, way)) for way in view["columns"].values()] for row in kept]


def _agrees(row: Any, wanted: Mapping[str, Any]) -> bool:
    return all(str(at(row, key)) == str(value) for key, value in wanted.items())


def at(value: Any, way: str) -> Any:
    """What stands under a dotted way, such as `tables.0.rows`."""
    for step in filter(None, str(way).split(".")):
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


def shown(value: Any) -> str:
    """A value as people read it: three significant digits, thousands apart; a change with its interval in per cent."""
    if isinstance(value, dict) and {"estimate", "low", "high"} <= value.keys():
        return f"{value['estimate']:+.1%} [{value['low'] * 100:+.1f}, {value['high'] * 100:+.1f}]"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def origin(record: Mapping[str, Any]) -> str:
    """The line under a table: how it was had, by which command, at which commit, when and where."""
    commit, _, changes = record["commit"].partition(" ")
    line = f"*{record['provenance'].capitalize()}*: `{record['command']}`, commit `{commit[:10]}` {changes}".rstrip()
    line += f", {record['date']}, {record['machine']}."
    return line + (f" {record['transcribed']}." if "transcribed" in record else "")


def setup(app: Sphinx) -> dict[str, Any]:
    """Make the directive known to Sphinx."""
    app.add_directive("result", ResultDirective)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
