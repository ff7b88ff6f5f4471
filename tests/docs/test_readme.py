"""The README is short, its output and its figures are what commands wrote, its links lead somewhere."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SESSIONS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "sessions").glob("*.txt")}
sys.path.append(str(ROOT / "docs"))

from readme import filled  # noqa: E402
from sessions import COMMANDS, REPEATABLE, session  # noqa: E402


def test_it_has_at_most_6_kb() -> None:
    assert len(README.encode()) <= 6 * 1024


def test_nothing_is_left_to_fill_in() -> None:
    assert not re.findall(r"@@?\w+@", README)


def test_its_output_and_its_figures_are_those_of_commands() -> None:
    assert README.count("<!-- session ") >= 3
    assert README.count("```console") == README.count("<!-- session ")
    assert filled(README) == README


@pytest.mark.parametrize("name", REPEATABLE)
def test_what_prints_the_same_every_time_prints_what_the_pages_show(name: str) -> None:
    assert session(COMMANDS[name]) == SESSIONS[name]


def test_every_session_is_of_a_command_that_is_known() -> None:
    assert set(COMMANDS) <= set(SESSIONS)
    for name, command in COMMANDS.items():
        assert SESSIONS[name].startswith(f"$ {command}\n")


def test_no_session_shows_a_path_of_a_machine_or_a_token() -> None:
    for text in [README, *SESSIONS.values()]:
        assert not re.findall(r"/(?:home|root|tmp|Users)/|kw_[A-Za-z0-9_-]{8,}", text)


@pytest.mark.parametrize("target", re.findall(r"^make (\w+)", README, re.M))
def test_each_target_of_make_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)", README))
def test_each_link_leads_to_a_file(link: str) -> None:
    assert link.startswith("https://") or (ROOT / link).is_file()


def test_the_picture_is_one_and_small() -> None:
    picture = ROOT / "docs" / "images" / "page.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 200_000
