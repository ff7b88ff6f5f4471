"""A timeline as a picture that a page can take in."""

from collections.abc import Sequence

from kilowait.report.board_rows import Row
from kilowait.report.gantt import BoardBar, BoardWindow, Gantt

from ...wire.timeline_schemas import JobBar, NodeWindowView, Timeline
from ..why import duration


def drawn(answer: Timeline, width_px: int) -> str:
    """The picture of a timeline, to be put into a page."""
    rows: list[Row] = [(row.gpu_type, row.node, row.board) for row in answer.rows]
    picture = Gantt(
        rows=rows,
        bars=[_drawn(bar, rows) for bar in answer.bars],
        windows=[_window(one, rows) for one in answer.windows],
        start_s=answer.since_s,
        end_s=answer.until_s,
        width_px=width_px,
        title="Jobs on boards over time",
        names={(row.gpu_type, row.node): f"{row.gpu_type} {row.name}" for row in answer.rows},
        zero_s=answer.now_s,
        zero_name="now",
    )
    return picture.svg(alone=False)


def _window(one: NodeWindowView, rows: Sequence[Row]) -> BoardWindow:
    own = tuple(rows[number] for number in one.rows)
    return BoardWindow(rows=own, start_s=one.begins_s, end_s=one.ends_s, text=one.said)


def _drawn(bar: JobBar, rows: Sequence[Row]) -> BoardBar:
    called = f"{bar.job_id} ({bar.name})" if bar.name else bar.job_id
    took = duration(bar.end_s - bar.start_s)
    lasts = {"running": f"runs, expected to take {took}", "planned": f"planned, expected to take {took}"}
    text = f"{called}: {lasts.get(bar.kind, f'{bar.kind} after {took}')} on {bar.gpus} {bar.gpu_type}"
    return BoardBar(
        rows=tuple(rows[number] for number in bar.rows),
        start_s=bar.start_s,
        end_s=bar.end_s,
        text=f"{text}; {bar.held}" if bar.held else text,
        kind=bar.kind,
        label=f"{'✕ ' if bar.kind == 'failed' else ''}{bar.name or bar.job_id}",
        held_s=bar.held_since_s,
    )
