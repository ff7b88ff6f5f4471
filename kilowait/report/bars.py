"""Bars as SVG, written without a library of charts, so that the base install and a notebook can draw them."""

from collections.abc import Mapping
from html import escape
from math import log10

COLOURS = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#ccbb44", "#66ccee")
"""Paul Tol's bright palette: distinct for most colour vision, legible on white and on near-black."""

_STYLE = (
    "<style>text{font:12px system-ui,sans-serif;fill:#222}.r{stroke:#222}"
    "@media (prefers-color-scheme:dark){text{fill:#ddd}.r{stroke:#ddd}}</style>"
)
WIDTH, NAMES, VALUES, ROW = 720, 170, 160, 24
_SPACE = WIDTH - NAMES - VALUES

Span = tuple[float, float | None, float | None]
"""What is expected, and the ends of its interval, None where they are not known."""


def stacked_bars(rows: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """A bar a row, of the parts' lengths in their colours, with the sum behind it; below it what the colours mean."""
    parts = list(dict.fromkeys(part for row in rows.values() for part, value in row.items() if value > 0))
    colours = {part: COLOURS[k % len(COLOURS)] for k, part in enumerate(parts)}
    longest = max((sum(row.values()) for row in rows.values()), default=0.0) or 1.0
    drawn = []
    for k, (name, row) in enumerate(rows.items()):
        left = float(NAMES)
        drawn.append(_name(k, name))
        for part in parts:
            width = row.get(part, 0.0) / longest * _SPACE
            drawn.append(_box(left, k, width, colours[part]))
            left += width
        drawn.append(_value(k, left, f"{sum(row.values()):,.3g} {unit}"))
    legend = "".join(_legend(k, part, len(rows), colours[part]) for k, part in enumerate(parts))
    return _svg("".join(drawn) + legend, len(rows) + 1)


def span_bars(rows: Mapping[str, Span], said: Mapping[str, str]) -> str:
    """A dot and its interval a row on a logarithmic scale, with words of each behind it; all values > 0."""
    known = [value for row in rows.values() for value in row if value is not None]
    low, high = log10(min(known)), log10(max(known))
    scale = (_SPACE - 24) / ((high - low) or 1.0)

    def place(value: float) -> float:
        return NAMES + 12 + (log10(value) - low) * scale

    drawn = []
    for k, (name, (middle, start, end)) in enumerate(rows.items()):
        y = k * ROW + ROW / 2
        drawn.append(_name(k, name))
        if start is not None and end is not None:
            ends = f'x1="{place(start):.1f}" x2="{place(end):.1f}" y1="{y}" y2="{y}"'
            drawn.append(f'<line {ends} stroke="{COLOURS[0]}" stroke-width="6" stroke-opacity=".45"/>')
        drawn.append(f'<circle cx="{place(middle):.1f}" cy="{y}" r="5" fill="{COLOURS[0]}"/>')
        drawn.append(_value(k, WIDTH - VALUES, said.get(name, "")))
    return _svg("".join(drawn), len(rows))


def _svg(drawn: str, rows: int) -> str:
    height = rows * ROW + 4
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}">{_STYLE}{drawn}</svg>'
    )


def _name(row: int, name: str) -> str:
    shown = name if len(name) <= 24 else name[:23] + "…"
    return f'<text x="{NAMES - 8}" y="{row * ROW + 16}" text-anchor="end">{escape(shown)}</text>'


def _value(row: int, left: float, text: str) -> str:
    return f'<text x="{left + 6:.1f}" y="{row * ROW + 16}">{escape(text)}</text>'


def _box(left: float, row: int, width: float, colour: str) -> str:
    return f'<rect x="{left:.1f}" y="{row * ROW + 3}" width="{width:.1f}" height="{ROW - 6}" fill="{colour}"/>'


def _legend(place: int, part: str, row: int, colour: str) -> str:
    left, y = NAMES + place * 110, row * ROW + 6
    return (
        f'<rect x="{left}" y="{y}" width="12" height="12" fill="{colour}"/>'
        f'<text x="{left + 17}" y="{y + 10}">{escape(part)}</text>'
    )
