"""Jobs on boards over time as a picture: a row a board, a bar a job, and a frame around the time that one was held.

Plain SVG without a library. Its colours are attributes and its classes names, so that it is right as a file of its own
and inside a page whose security policy forbids styles in its text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from math import ceil, floor

from kilowait.core.units import DAY_S, HOUR_S
from kilowait.report.board_rows import Row

LEFT, TOP, LINE, GAP, MARGIN = 150, 34, 13, 6, 10
"""Pixels: of the names on the left, of the axis, of a row, between nodes, on the right."""

NARROW = 700
"""Pixels of a picture below which names stand above their rows, not left of them."""

STEPS_S = (5, 15, 60, 300, 900, HOUR_S, 3 * HOUR_S, 6 * HOUR_S, DAY_S, 7 * DAY_S, 30 * DAY_S)
"""Seconds between the marks of the axis."""

MARK_PX = 80
"""The least room for a mark."""

LETTER_PX = 6
"""About so wide is a letter of the words in a bar."""

INK = ' fill="currentColor"'
WINDOW_LOOK = 'fill="#8884" stroke="#888" stroke-dasharray="1 3"'

STYLE = (
    "<style>svg{color:#222}text{font:10px system-ui,sans-serif}"
    "@media(prefers-color-scheme:dark){svg{color:#ddd}}</style>"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardBar:
    """A job on its rows from `start_s` to `end_s`, held since `held_s` until it started (None: it was not).

    `text` is what pointing at it shows and `label` what stands in it where there is room. `kind` is a class of the
    SVG, `colour` one of SVG's colours or "" where a style sheet says it by the kind.
    """

    rows: tuple[Row, ...]
    start_s: float
    end_s: float
    text: str
    kind: str = "run"
    label: str = ""
    held_s: float | None = None
    colour: str = ""
    opacity: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardWindow:
    """A time in which rows are away or somebody's, behind the bars; `text` is what pointing at it shows."""

    rows: tuple[Row, ...]
    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gantt:
    """A picture of `rows` from `start_s` to `end_s`, `width_px` wide; `names` are of nodes, by type and node.

    The axis counts from `zero_s`, which is called `zero_name` where it has one; a line stands there then.
    """

    rows: Sequence[Row]
    bars: Sequence[BoardBar]
    start_s: float
    end_s: float
    width_px: int
    title: str
    names: Mapping[tuple[str, str], str] = field(default_factory=dict)
    zero_s: float = 0.0
    zero_name: str = ""
    windows: Sequence[BoardWindow] = ()

    @property
    def left(self) -> int:
        """Where time begins, in pixels."""
        return LEFT if self.width_px >= NARROW else MARGIN

    def x(self, time_s: float) -> float:
        """Where a time is, in pixels; what is outside of the picture is at its edge."""
        share = (min(max(time_s, self.start_s), self.end_s) - self.start_s) / (self.end_s - self.start_s)
        return round(self.left + (self.width_px - self.left - MARGIN) * share, 1)

    def svg(self, *, alone: bool = True) -> str:
        """The picture as text; not `alone` it has no style of its own and its title for those alone who cannot see."""
        top, y_of, parts = TOP, dict[Row, int](), list[str]()
        for node, boards in groupby(self.rows, key=lambda row: row[:2]):
            name, above = self.names.get(node, " ".join(node)), self.left < LEFT
            top += LINE if above else 0
            room = 26 if not above else self.width_px // LETTER_PX
            parts.append(
                f'<text class="node" x="4" y="{top - 3 if above else top + 10}"{INK}>{_cut(name, room)}</text>'
            )
            for row in boards:
                y_of[row], top = top, top + LINE
            top += GAP
        wide = self.width_px - self.left - MARGIN
        parts += [
            f'<rect class="row" x="{self.left}" y="{y}" width="{wide}" height="{LINE - 2}" fill="#8881"/>'
            for y in y_of.values()
        ]
        parts += [
            _rectangle("window", self.x(one.start_s), y_of[row], self.x(one.end_s), WINDOW_LOOK, one.text)
            for one in self.windows
            for row in one.rows
        ]
        parts += [part for mark in self._marks() for part in self._mark(*mark, top)]
        parts += [self._bar(number, bar, y_of) for number, bar in enumerate(self.bars)]
        head = (
            f'<text x="4" y="14"{INK}>{escape(self.title)}</text>' if alone else f"<title>{escape(self.title)}</title>"
        )
        size = f'viewBox="0 0 {self.width_px} {top}" width="{self.width_px}" height="{top}"'
        style = STYLE if alone else ""
        return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{style}{head}{"".join(parts)}</svg>\n'

    def _bar(self, number: int, bar: BoardBar, y_of: Mapping[Row, int]) -> str:
        """A bar with its frame, one drawing on each of its rows."""
        left, right, parts = self.x(bar.start_s), self.x(bar.end_s), list[str]()
        fill = f'fill="{bar.colour}" fill-opacity="{bar.opacity:.2f}"' if bar.colour else ""
        stroke = f' stroke="{bar.colour}"' if bar.colour else ""
        for row in bar.rows:
            y = y_of[row]
            if bar.held_s is not None:
                frame = f'fill="none" stroke-dasharray="2 2"{stroke}'
                parts.append(_rectangle("hold", self.x(bar.held_s), y, left, frame, bar.text))
            parts.append(_rectangle(bar.kind, left, y, right, fill, bar.text))
        room = int((right - left - 4) / LETTER_PX)
        if bar.label and bar.rows and room >= 3:
            y = min(y_of[row] for row in bar.rows) + 9
            parts.append(f'<text class="in" x="{left + 3}" y="{y}">{_cut(bar.label, room)}</text>')
        return f'<g class="bar" data-bar="{number}">{"".join(parts)}</g>'

    def _marks(self) -> list[tuple[float, str]]:
        """Where the axis is marked, and with which words."""
        most, length_s = max(2, (self.width_px - self.left) // MARK_PX), self.end_s - self.start_s
        step_s = next((s for s in STEPS_S if length_s / s <= most), STEPS_S[-1])
        unit, name = next((u, n) for u, n in ((DAY_S, "d"), (HOUR_S, "h"), (60, "min"), (1, "s")) if step_s >= u)
        first = ceil((self.start_s - self.zero_s) / step_s)
        last = min(first + 1000, floor((self.end_s - self.zero_s) / step_s))
        sign = "+" if self.zero_name else ""
        words = {0: self.zero_name} if self.zero_name else {}
        numbers = range(first, last + 1)
        return [(self.zero_s + k * step_s, words.get(k, f"{k * step_s / unit:{sign}g} {name}")) for k in numbers]

    def _mark(self, time_s: float, name: str, bottom: int) -> tuple[str, str]:
        x, kind = self.x(time_s), "now" if name == self.zero_name and name else "mark"
        line = f'<line class="{kind}" x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{bottom}" stroke="#8886"/>'
        anchor = ' text-anchor="end"' if x + LETTER_PX * len(name) > self.width_px else ""
        return line, f'<text x="{x}" y="{TOP - 10}"{anchor}{INK}>{escape(name)}</text>'


def _rectangle(kind: str, left: float, y: int, right: float, look: str, text: str) -> str:
    width = max(0.5, round(right - left, 1))
    size = f'x="{left}" y="{y}" width="{width}" height="{LINE - 2}"'
    return f'<rect class="{kind}" {size} {look}><title>{escape(text)}</title></rect>'


def _cut(text: str, room: int) -> str:
    """As much of a text as there is room for, escaped."""
    return escape(text if len(text) <= room else f"{text[: room - 1]}…")
