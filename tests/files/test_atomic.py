"""Files and folders are replaced whole, and what fails leaves no trace."""

import pytest

from kilowait.files.atomic import replacing, replacing_folder, write_bytes, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced(tmp_path):
    write_text(tmp_path / "a", "été\n")
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa9t\xc3\xa9\n"
    write_bytes(tmp_path / "a", b"\x00")
    assert (tmp_path / "a").read_bytes() == b"\x00"
    assert names(tmp_path) == ["a"]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path):
    write_text(tmp_path / "a", "old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a") as partial:
        partial.write_text(str(1 / 0 if partial.write_text("half") else ""))
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_a_folder_is_replaced_and_nothing_of_the_old_one_stays(tmp_path):
    with replacing_folder(tmp_path / "x" / "y") as fresh:
        (fresh / "one").write_text("1")
    with replacing_folder(tmp_path / "x" / "y") as fresh:
        (fresh / "two").write_text("2")
        assert names(tmp_path / "x" / "y") == ["one"]
    assert names(tmp_path / "x" / "y") == ["two"]
    with pytest.raises(FileNotFoundError), replacing_folder(tmp_path / "x" / "y") as fresh:
        (fresh / "missing" / "three").write_text("3")
    assert names(tmp_path / "x" / "y") == ["two"]
    assert names(tmp_path / "x") == ["y"]
