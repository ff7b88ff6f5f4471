"""An archive that cannot be used is refused by name, whatever is wrong with it: never a fault of the service."""

import base64
import io
import random
import struct
import warnings
import zipfile
from contextlib import suppress

import pytest

from serve.desk.programs import program_of
from serve.wire.problems import Refusal
from serve.wire.schemas import SubmissionBody

TEXT = "print(1)\n"
CENTRAL, END = b"PK\x01\x02", b"PK\x05\x06"


def packed(*files, how=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", how) as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, text in files:
            archive.writestr(name, text)
    return out.getvalue()


def edited(data, *changes):
    """The bytes with (offset, format, value) changed."""
    data = bytearray(data)
    for offset, form, value in changes:
        struct.pack_into(form, data, offset, value)
    return bytes(data)


def link(name):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, 0xA1FF0000
    return info


def asked(data, entrypoint="main.py"):
    return program_of(SubmissionBody(archive=base64.b64encode(data).decode(), entrypoint=entrypoint))


def refusal_of(ask):
    """The problem that a submission is answered with."""
    with pytest.raises(Refusal) as caught:
        ask()
    return caught.value


ONE = packed(("main.py", TEXT * 500))
HEAD = ONE.find(CENTRAL)
LONG = packed(("main.py", "#" * 5_000_000))
UNTOLD = packed(("main.py", TEXT), ("caf\xe9.py", TEXT))
UNTOLD = UNTOLD.replace("caf\xe9".encode(), b"caf\xff\xfe")
ZIPS = {
    "no zip": (b"no zip", "not a readable zip"),
    "empty": (b"", "not a readable zip"),
    "truncated": (ONE[:60], "not a readable zip"),
    "encrypted": (edited(ONE, (6, "<H", 1), (HEAD + 8, "<H", 1)), "main.py is encrypted"),
    "bad checksum": (edited(ONE, (14, "<I", 1), (HEAD + 16, "<I", 1)), "main.py cannot be unpacked"),
    "bad data": (edited(ONE, (40, "<B", ONE[40] ^ 0xFF)), "main.py cannot be unpacked"),
    "bad member offset": (edited(ONE, (HEAD + 42, "<I", 0xFFFFFFF0)), "main.py cannot be unpacked"),
    "bad directory offset": (edited(ONE, (ONE.find(END) + 16, "<I", 0x7FFFFFFF)), "main.py cannot be unpacked"),
    "says less than it holds": (edited(LONG, (22, "<I", 9), (LONG.find(CENTRAL) + 24, "<I", 9)), "main.py"),
    "lzma": (packed(("main.py", TEXT), how=zipfile.ZIP_LZMA), "main.py is packed by method 14"),
    "bzip2": (packed(("main.py", TEXT), how=zipfile.ZIP_BZIP2), "main.py is packed by method 12"),
    "unknown method": (edited(ONE, (8, "<H", 99), (HEAD + 10, "<H", 99)), "main.py is packed by method 99"),
    "twice": (packed(("main.py", TEXT), ("main.py", "2")), "main.py is in it twice"),
    "absolute": (packed(("/etc/x.py", TEXT), ("main.py", TEXT)), "/etc/x.py: an absolute path"),
    "out of its folder": (packed(("../x.py", TEXT), ("main.py", TEXT)), r"../x.py: leads out of its folder"),
    "backslashes": (packed(("a\\x.py", TEXT), ("main.py", TEXT)), "not a plain relative path"),
    "not UTF-8": (UNTOLD, "not a readable zip"),
    "a link": (packed((link("link"), "/etc/passwd"), ("main.py", TEXT)), "link is a symbolic link"),
    "file and folder": (packed(("a", TEXT), ("a/b.py", TEXT), ("main.py", TEXT)), "a: a file and the folder of a/b.py"),
    "NUL in a name": (packed(("aXb", TEXT), ("main.py", TEXT)).replace(b"aXb", b"a\0b"), "not a plain relative path"),
    "a colour in a name": (packed(("a\x1b[31m", TEXT), ("main.py", TEXT)), "not a plain relative path"),
    "long part": (packed(("\xe4" * 130 + ".py", TEXT), ("main.py", TEXT)), "263 bytes, above 255"),
    "not text": (packed(("main.py", b"\xff\xfe\xfd")), "main.py is not UTF-8 text"),
}


@pytest.mark.parametrize("what", ZIPS)
def test_a_zip_that_cannot_be_used_is_a_problem_that_names_what_is_wrong(what):
    data, reason = ZIPS[what]
    refusal = refusal_of(lambda: asked(data))
    assert (refusal.status, refusal.field) == (422, "archive")
    assert reason in refusal.detail
    assert refusal.remedy
    assert refusal.detail.isprintable()


def test_what_is_no_base64_is_refused():
    for text in ("###", "\xe9", "A"):
        assert refusal_of(lambda text=text: program_of(SubmissionBody(archive=text))).field == "archive"


def test_a_bomb_is_refused_before_it_is_unpacked():
    many = packed(*((f"f{n}.py", "x") for n in range(501)))
    large = packed(("main.py", "#" * 9_000_000))
    assert [refusal_of(lambda data=data: asked(data)).status for data in (many, large)] == [413, 413]


def test_any_damage_is_a_problem_or_harmless():
    randomness = random.Random(4)
    data = packed(("main.py", TEXT * 20), ("lib/words.py", TEXT))
    for _ in range(2000):
        damaged = bytearray(data)
        for _ in range(randomness.randint(1, 6)):
            damaged[randomness.randrange(len(data))] = randomness.randrange(256)
        damaged = damaged[: randomness.choice((len(data), len(data), randomness.randrange(len(data))))]
        with suppress(Refusal):
            asked(bytes(damaged))


def test_a_sound_zip_is_taken_with_its_folders():
    data = packed(("lib/", ""), ("main.py", TEXT), ("lib/\xe9t\xe9.py", TEXT))
    assert asked(data).files == {"main.py": TEXT, "lib/\xe9t\xe9.py": TEXT}


@pytest.mark.parametrize(
    ("entrypoint", "reason"),
    [
        ("", "not a plain relative path"),
        (".", "not a plain relative path"),
        ("a/", "not a plain relative path"),
        ("a\0b.py", "not a plain relative path"),
        ("a\n\x1b[31m.py", "not a plain relative path"),
        ("/tmp/evil.py", "an absolute path"),
        ("../evil.py", "leads out of its folder"),
        ("\xe4" * 130 + ".py", "263 bytes"),
        ("-c", "begins with a dash"),
    ],
)
def test_an_entrypoint_that_cannot_be_written_or_run_is_refused(entrypoint, reason):
    refusal = refusal_of(lambda: program_of(SubmissionBody(source=TEXT, entrypoint=entrypoint)))
    assert (refusal.status, refusal.field) == (422, "entrypoint")
    assert reason in refusal.detail
    assert refusal.detail.isprintable()
