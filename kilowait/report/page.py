"""A page that needs nothing else: sections of tables and figures as one HTML file, and the same numbers as JSON."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from kilowait.files.atomic import write_text
from kilowait.report.table import badge

_CSS = """
:root{color-scheme:light dark;--ink:#222;--paper:#fff;--rule:#ccc;--soft:#f3f3f3}
@media (prefers-color-scheme:dark){:root{--ink:#ddd;--paper:#161616;--rule:#444;--soft:#242424}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:60rem;margin:0 auto;
padding:1rem}img{max-width:100%;height:auto}.scroll{overflow-x:auto}table{border-collapse:collapse;margin:1rem 0;
font-variant-numeric:tabular-nums;font-size:.85rem}caption{text-align:left;font-weight:600;padding:.3rem 0}
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--rule);text-align:right}th:first-child{text-align:left}
.prose th,.prose td{text-align:left;vertical-align:top}
thead th{background:var(--soft)}.badge{border:1px solid var(--rule);border-radius:.6rem;padding:0 .5rem;
font-size:.75rem;font-weight:400}figure{margin:1rem 0}figcaption{font-size:.85rem}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the report: its anchor, heading, body as HTML, and its numbers for report.json."""

    key: str
    heading: str
    body: str
    data: Any


def write_page(out_dir: Path, stem: str, *, title: str, facts: Mapping[str, str], sections: Sequence[Section]) -> Path:
    """Write `out_dir`/`stem`.html and `stem`.json, each atomically; returns the path of the page."""
    out_dir.mkdir(parents=True, exist_ok=True)
    body = {"title": title, "facts": dict(facts), "sections": {s.key: s.data for s in sections}}
    write_text(out_dir / f"{stem}.json", json.dumps(_plain(body), indent=1, allow_nan=False) + "\n")
    write_text(out_dir / f"{stem}.html", page_html(title, facts, sections))
    return out_dir / f"{stem}.html"


def figure(svg: str, caption: str, provenance: str) -> str:
    """A drawing inside the page: as an image, so that several drawings share no identifiers."""
    data = base64.b64encode(svg.encode()).decode()
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{escape(caption)} {badge(provenance)}</figcaption></figure>"
    )


def page_html(title: str, facts: Mapping[str, str], sections: Sequence[Section]) -> str:
    """The page as a text."""
    links = " · ".join(f'<a href="#{s.key}">{escape(s.heading)}</a>' for s in sections)
    head = "".join(f"<li>{escape(name)}: {escape(fact)}</li>" for name, fact in facts.items())
    parts = "".join(f'<section id="{s.key}"><h2>{escape(s.heading)}</h2>{s.body}</section>' for s in sections)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_CSS}</style></head><body><h1>{escape(title)}</h1>"
        f"{f'<ul>{head}</ul>' if head else ''}<nav>{links}</nav>{parts}</body></html>\n"
    )


def _plain(value: Any) -> Any:
    """JSON has no nan: an undefined number becomes null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
