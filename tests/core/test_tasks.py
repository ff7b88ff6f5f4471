"""Numbers of tasks as people write them, and what each task is called with."""

import pytest

from kilowait.core.errors import InputError
from kilowait.core.tasks.sweep import called_with, filled, read_rows
from kilowait.core.tasks.task_numbers import shortened, task_numbers


@pytest.mark.parametrize(
    ("text", "numbers", "at_once"),
    [
        ("0-3", (0, 1, 2, 3), None),
        ("0-9:4%2", (0, 4, 8), 2),
        ("7,1,3-4", (1, 3, 4, 7), None),
        ("5%1", (5,), 1),
        ("2,2", (2,), None),
    ],
)
def test_numbers_are_read(text, numbers, at_once):
    assert task_numbers(text) == (numbers, at_once)


@pytest.mark.parametrize(
    "text", ["", "a", "3-1", "1-5:0", "0-1000", "0-9%0", "-1", "1,,2", "1 2", "٣", "0-999999,0-999999"]
)
def test_what_is_no_numbers_is_refused_with_its_text(text):
    with pytest.raises(InputError, match="array '"):
        task_numbers(text)


@pytest.mark.parametrize(("numbers", "text"), [((0, 1, 2, 5, 7, 8), "0-2,5,7-8"), ((4,), "4")])
def test_numbers_are_written_in_short(numbers, text):
    assert shortened(numbers) == text


def test_a_table_has_a_task_a_row_and_its_mistakes_are_named():
    assert read_rows("lr,wd\n0.1,\n\n'a','b,c'\n".replace("'", '"'), "p.csv") == [
        {"lr": "0.1", "wd": ""},
        {"lr": "a", "wd": "b,c"},
    ]
    for text, reason in (
        ("lr,wd\n1\n", "p.csv, line 2: 1 cells under 2 columns"),
        ("lr,lr\n1,2\n", "2 columns"),
        ("task\n1\n", "column 'task'"),
        ("a b\n1\n", "column 'a b'"),
        ("lr\n", "no rows"),
        ("", "0 columns"),
    ):
        with pytest.raises(InputError, match=reason):
            read_rows(text, "p.csv")


def test_places_are_filled_in_and_what_stands_nowhere_is_appended():
    values = {"lr": "0.1", "name": "{task}"}
    called = called_with(["--rate={lr}", "{'a': {x}}", "{task}"], values, 7)
    assert called == ("--rate=0.1", "{'a': {x}}", "7", "--name", "{task}")  # what is filled in is not looked at again
    assert filled("{name}-{task}", values, 7) == "{task}-7"
