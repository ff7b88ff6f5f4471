"""The picture of jobs on boards: where things are, what it says of them, and that a page may take it in."""

import re
import xml.etree.ElementTree as ElementTree

from kilowait.core.jobs import Held
from kilowait.report.board_rows import BoardRows
from kilowait.report.gantt import BoardBar, Gantt

SVG = "{http://www.w3.org/2000/svg}"
ROWS = (("A", "n1", 0), ("A", "n1", 1), ("B", "n2", 0))


def picture(*bars, **more):
    given = {"rows": ROWS, "start_s": 1000.0, "end_s": 2000.0, "width_px": 1160, "title": "t", **more}
    return Gantt(bars=bars, **given)


def rectangles(svg, kind):
    found = [one for one in ElementTree.fromstring(svg).iter(f"{SVG}rect") if one.get("class") == kind]
    return [(float(one.get("x")), float(one.get("width"))) for one in found]


def test_a_pixel_is_a_second_where_there_are_as_many_and_what_is_outside_ends_at_the_edge():
    """1,160 pixels less 150 of names and 10 of margin are 1,000, for 1,000 s."""
    within = BoardBar(rows=ROWS[:2], start_s=1200, end_s=1500, held_s=1100, text="w")
    longer = BoardBar(rows=ROWS[2:], start_s=0, end_s=9000, text="l", kind="planned")
    svg = picture(within, longer).svg()
    assert rectangles(svg, "run") == [(350, 300)] * 2  # one on each of its boards
    assert rectangles(svg, "hold") == [(250, 100)] * 2
    assert rectangles(svg, "planned") == [(150, 1000)]


def test_the_axis_counts_from_a_moment_that_has_a_name():
    root = ElementTree.fromstring(picture(start_s=0.0, end_s=7200.0, zero_s=3600.0, zero_name="now").svg())
    texts = [(float(text.get("x")), text.text) for text in root.iter(f"{SVG}text") if text.get("y") == "24"]
    assert [x for x, _ in texts] == [150, 275, 400, 525, 650, 775, 900, 1025, 1150]
    words = ["-60 min", "-45 min", "-30 min", "-15 min", "now", "+15 min", "+30 min", "+45 min", "+60 min"]
    assert [text for _, text in texts] == words
    assert [line.get("x1") for line in root.iter(f"{SVG}line") if line.get("class") == "now"] == ["650.0"]


def test_inside_a_page_it_brings_no_style_and_what_jobs_are_called_is_text():
    bar = BoardBar(rows=ROWS[:1], start_s=1000, end_s=1900, text='"><script>', label="<img>", kind="ended")
    svg = picture(bar, names={("A", "n1"): "<b>"}).svg(alone=False)
    assert not re.search(r"<style|style=|<script|<img|<b>", svg)
    group = ElementTree.fromstring(svg).find(f"{SVG}g")
    assert group.get("data-bar") == "0"
    assert [text.text for text in group.iter(f"{SVG}text")] == ["<img>"]


def test_on_a_narrow_screen_names_stand_above_their_rows():
    root = ElementTree.fromstring(picture(width_px=360).svg())
    tops = [float(one.get("y")) for one in root.iter(f"{SVG}rect")]
    names = [float(text.get("y")) for text in root.iter(f"{SVG}text") if text.get("class") == "node"]
    assert [sum(top > name for top in tops) for name in names] == [3, 1]
    assert {one.get("x") for one in root.iter(f"{SVG}rect")} == {"10"}


def test_boards_are_numbered_as_they_are_first_free_and_a_share_keeps_its_board():
    boards = BoardRows({("A", "n1"): 2})
    share = [Held(node="n1", board=7)]
    assert boards.give("A", share, 0, 10) == (("A", "n1", 0),)
    assert boards.give("A", share, 5, 20) == (("A", "n1", 0),)
    assert boards.give("A", [Held(node="n1")], 6, 9) == (("A", "n1", 1),)
    assert boards.give("A", [Held(node="n1", gpus=2)], 20, 30) == (("A", "n1", 0), ("A", "n1", 1))
    assert boards.give("A", [Held(node="gone")], 40, 50) == ()
