"""Zips that nobody vouches for: the same source as the folder, or refused by name."""

import os
import stat
import struct

import pytest

from kilowait.core.errors import SourceError
from kilowait.program.read import read_folder, read_program, read_zip
from tests.support.job_files import PACKAGE, packed, written


def test_folder_and_zip_are_the_same_source(tmp_path):
    files = {"main.py": "import pkg.a\nopen('conf.yaml')", **PACKAGE, "conf.yaml": "a: 1\n", "data.bin": b"\0"}
    from_folder = read_folder(written(tmp_path / "folder", files), "main.py", ["--x", "1"])
    from_zip = read_program(packed(tmp_path, dict(reversed(files.items()))), "main.py", ["--x", "1"])
    assert from_folder.source == from_zip.source
    assert list(from_folder.source.files) == list(from_zip.source.files)
    assert from_folder.left_out == from_zip.left_out
    os.utime(tmp_path / "folder" / "main.py", (1, 1))
    (tmp_path / "folder" / "data.bin").write_bytes(b"\1")
    again = read_folder(tmp_path / "folder", "main.py", ["--x", "1"]).source
    assert again.content_hash == from_folder.source.content_hash


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"main.py": "x", "/etc/passwd": "x"}, "job.zip: /etc/passwd: an absolute path"),
        ({"main.py": "x", "../../up.py": "x"}, r"job.zip: ../../up.py: leads out of its folder \(..\)"),
        ({"main.py": "x", "a\\b.py": "x"}, "job.zip: .*not a plain relative path"),
        ({"main.py": "x", "main.py/x": "x"}, "main.py: a file and the folder of main.py/x"),
    ],
)
def test_names_in_a_zip_that_could_escape_are_refused(tmp_path, files, message):
    with pytest.raises(SourceError, match=message):
        read_zip(packed(tmp_path, files), "main.py")


def test_a_name_that_is_in_a_zip_twice_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = packed(tmp_path, [("main.py", "x"), ("main.py", "y")])
    with pytest.raises(SourceError, match=r"main.py is in it twice"):
        read_zip(path, "main.py")


def test_links_and_devices_in_a_zip_are_refused(tmp_path):
    with pytest.raises(SourceError, match=r"main.py is a symbolic link; pack the file itself"):
        read_zip(packed(tmp_path, {"main.py": "/etc/passwd"}, external_attr=(stat.S_IFLNK | 0o777) << 16), "main.py")
    with pytest.raises(SourceError, match=r"main.py is no regular file"):
        read_zip(packed(tmp_path, {"main.py": "x"}, external_attr=stat.S_IFIFO << 16), "main.py")


def patched(path, signature, offset, form, value):
    """The zip with a field of its (only) central directory record or end record overwritten."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, data.rindex(signature) + offset, value)
    path.write_bytes(data)
    return path


def test_an_encrypted_zip_is_refused(tmp_path):
    path = patched(packed(tmp_path, {"main.py": "x"}), b"PK\1\2", 8, "<H", 1)
    with pytest.raises(SourceError, match=r"main.py is encrypted; pack it without a password"):
        read_zip(path, "main.py")


def test_a_name_that_is_not_utf8_is_refused_and_one_that_only_does_not_say_so_is_read(tmp_path):
    path = packed(tmp_path, {"main.py": "open('é.json')", "é.json": "{}"})
    data = path.read_bytes()
    path.write_bytes(data.replace("é".encode(), b"\xe9 "))
    with pytest.raises(SourceError, match=r"not a readable zip: .*utf-8"):  # said to be UTF-8, and is not
        read_zip(path, "main.py")
    unsaid = patched(packed(tmp_path, {"é.py": "x = 1"}), b"PK\1\2", 8, "<H", 0)
    patched(unsaid, b"PK\3\4", 6, "<H", 0)
    assert list(read_zip(unsaid, "é.py").source.files) == ["é.py"]
    unsaid.write_bytes(unsaid.read_bytes().replace("é".encode(), b"\xe9\xe9"))
    with pytest.raises(SourceError, match=r"is not UTF-8; pack it anew"):
        read_zip(unsaid, "main.py")


def test_zip_bombs_are_refused_before_they_unfold(tmp_path):
    bomb = {"main.py": b"#" * 50_000_000}
    path = packed(tmp_path, bomb)
    assert path.stat().st_size < 100_000
    with pytest.raises(SourceError, match=r"main.py: 1,000,001 bytes of source; the limit is 1,000,000"):
        read_zip(path, "main.py")
    patched(path, b"PK\1\2", 24, "<L", 10)  # claims ten bytes
    with pytest.raises(SourceError, match=r"main.py cannot be unpacked"):
        read_zip(path, "main.py")
    patched(path, b"PK\1\2", 24, "<L", 200_000_001)
    with pytest.raises(SourceError, match=r"unpacks to 200,000,001 bytes; the limit is 200,000,000"):
        read_zip(path, "main.py")


def test_what_is_no_zip_or_too_large_a_one_is_refused(tmp_path):
    (tmp_path / "job.zip").write_bytes(b"PK but nothing more")
    with pytest.raises(SourceError, match=r"job.zip: not a readable zip"):
        read_program(tmp_path / "job.zip", "main.py")
    os.truncate(tmp_path / "job.zip", 10_000_001)
    with pytest.raises(SourceError, match=r"a zip of 10,000,001 bytes; the limit is 10,000,000"):
        read_program(tmp_path / "job.zip", "main.py")
    with pytest.raises(SourceError, match="absent: cannot be read"):
        read_program(tmp_path / "absent", "main.py")


def test_every_damage_to_a_zip_is_refused_or_harmless(tmp_path):
    path = packed(tmp_path, {"main.py": "import a\n" * 20, "a.py": "x = 1\n"})
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        try:
            source = read_zip(path, "main.py").source
        except SourceError:
            continue
        assert source.files["main.py"] == b"import a\n" * 20
