"""A log read in pieces is what the job wrote, whole characters of it, and says where its beginning is gone."""

import pytest

from kilowait.core.submission import Ending
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from serve.desk.log_pieces import read_piece
from tests.support.desk_world import DeskWorld
from tests.support.live_world import request

TEXT = "caf\xe9 \u20ac \U0001f600\n" * 50
WRITTEN = TEXT.encode()


class Kept:
    """The scheduler's word on a log of which the bytes from `first` on are kept."""

    def __init__(self, data, first=0):
        self.data, self.first = data, first

    async def remote(self, job_id, rank, offset, limit):
        begin = max(offset, self.first)
        return begin, self.data[begin : begin + limit]


@pytest.fixture
def world(tmp_path):
    with DeskWorld(tmp_path) as world:
        live = Controller(Store(world.url), simple(), order=("A",))
        live.node_joined("n", "A", 1, 0.0)
        world.job_id = live.submit(request(), 1.0)
        (attempt,) = live.decide(2.0)
        live.attempt_finished(attempt.job_id, attempt.attempt, attempt.token, Ending(exit_code=0), 3.0)
        live.store.close()
        yield world


def pieces(world, limit):
    found, offset, ended = [], 0, False
    while not ended:
        piece = world.call("GET", f"/v1/jobs/{world.job_id}/logs?offset={offset}&limit={limit}").json()
        assert piece["next"] > offset or piece["ended"]
        found.append(piece)
        offset, ended = piece["next"], piece["ended"]
    return found


@pytest.mark.parametrize("limit", [1, 3, 5, 7, 64, 10_000])
def test_pieces_of_any_size_are_whole_characters(world, limit):
    world.scheduler.log = Kept(WRITTEN)
    found = pieces(world, limit)
    assert "".join(piece["text"] for piece in found) == TEXT
    assert {piece["missing"] for piece in found} == {0}


@pytest.mark.parametrize("first", [3, 4, 8, 9, 11, 12, 13])
def test_a_log_whose_beginning_is_gone_says_so_and_begins_with_a_character(world, first):
    """Byte 3 begins a character, byte 4 does not."""
    world.scheduler.log = Kept(WRITTEN, first)
    (piece,) = pieces(world, 10_000)
    assert piece["missing"] == first
    assert TEXT.endswith(piece["text"])
    assert first <= piece["offset"] < first + 4
    stream = world.call("GET", f"/v1/jobs/{world.job_id}/logs?follow=true").text
    note, _, rest = stream.partition("\n")
    assert note == f"[kilowait: {first} bytes before this are no longer kept; it may begin in the middle of a line]"
    assert rest == piece["text"]


def test_bytes_that_are_no_text_stay_where_they_are(world):
    world.scheduler.log = Kept(b"\x80\xffa" * 10)
    text = "".join(piece["text"] for piece in pieces(world, 4))
    assert text == "\ufffd\ufffda" * 10


def test_half_a_character_of_a_job_that_runs_waits_for_its_other_half():
    assert read_piece(0, 0, b"ab\xc3", last=False) == (0, 2, "ab", 0)
    assert read_piece(2, 2, b"\xc3", last=False) == (2, 2, "", 0)
    assert read_piece(2, 2, b"\xc3\xa9", last=False) == (2, 4, "\xe9", 0)
    assert read_piece(2, 2, b"\xc3", last=True) == (2, 3, "\ufffd", 0)
