"""The record of a job's source: hash of exactly what counts, JSON there and back."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.core.errors import SourceError
from kilowait.program import limits
from kilowait.program.job_source import SCHEMA, JobSource

NAMES = st.sampled_from(["main.py", "model.py", "lib/data.py", "lib/deep/net.py", "conf.yaml", "été.json", "a b.txt"])
CONTENTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
ARGUMENTS = st.lists(CONTENTS, max_size=4).map(tuple)


@st.composite
def sources(draw):
    files = {path: text.encode() for path, text in draw(st.dictionaries(NAMES, CONTENTS, max_size=5)).items()}
    entrypoint = draw(NAMES)
    return JobSource(files={**files, entrypoint: b"x = 1\n"}, entrypoint=entrypoint, arguments=draw(ARGUMENTS))


def job(files=None, entrypoint="main.py", arguments=()):
    return JobSource(files=files or {"main.py": b"x = 1\n"}, entrypoint=entrypoint, arguments=tuple(arguments))


def test_one_file_without_arguments_has_the_hash_of_its_bytes():
    assert job().content_hash == hashlib.sha256(b"x = 1\n").hexdigest()
    assert job({"other.py": b"x = 1\n"}, "other.py").content_hash == hashlib.sha256(b"x = 1\n").hexdigest()


@given(sources())
def test_json_gives_the_same_source_back(source):
    text = source.to_json()
    assert JobSource.from_json(text) == source
    assert json.loads(text)["schema"] == SCHEMA


@given(sources())
def test_the_order_of_files_counts_for_nothing(source):
    turned = JobSource(
        files=dict(reversed(source.files.items())), entrypoint=source.entrypoint, arguments=source.arguments
    )
    assert turned.content_hash == source.content_hash
    assert turned.to_json() == source.to_json()


@given(sources(), st.data())
def test_each_file_the_entrypoint_and_each_argument_change_the_hash(source, data):
    files, entrypoint, arguments = source.files, source.entrypoint, source.arguments
    path = data.draw(st.sampled_from(sorted(files)))
    others = [
        JobSource(files={**files, path: files[path] + b"#"}, entrypoint=entrypoint, arguments=arguments),
        JobSource(files={**files, "another.py": b""}, entrypoint=entrypoint, arguments=arguments),
        JobSource(files=files, entrypoint=entrypoint, arguments=(*arguments, "")),
        JobSource(files=files, entrypoint=entrypoint, arguments=("--epochs", *arguments)),
    ]
    if arguments and arguments != arguments[::-1]:
        others.append(JobSource(files=files, entrypoint=entrypoint, arguments=arguments[::-1]))
    if files[path].decode("utf-8-sig").strip() and path != entrypoint:
        others.append(JobSource(files=files, entrypoint=path, arguments=arguments))
    assert source.content_hash not in {other.content_hash for other in others}


def test_text_that_moves_between_arguments_or_files_changes_the_hash():
    assert job(arguments=["ab", "c"]).content_hash != job(arguments=["a", "bc"]).content_hash
    one = job({"main.py": b"x", "a.py": b"12", "b.py": b""})
    assert one.content_hash != job({"main.py": b"x", "a.py": b"1", "b.py": b"2"}).content_hash
    assert one.content_hash != job({"main.py": b"x", "b.py": b"12", "a.py": b""}).content_hash


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/etc/x.py", "an absolute path"),
        ("C:/x.py", "an absolute path"),
        ("../x.py", r"leads out of its folder \(\.\.\)"),
        ("a/../x.py", r"leads out of its folder \(\.\.\)"),
        ("a\\x.py", "not a plain relative path"),
        ("./x.py", "not a plain relative path"),
        ("a//x.py", "not a plain relative path"),
        ("a/", "not a plain relative path"),
        ("", "not a plain relative path"),
        ("x\n.py", "not a plain relative path"),
        ("\ud800.py", "not a plain relative path"),
        ("a" * 256, "a path of 256 characters; the limit is 255"),
        ("main.py/x.py", "main.py: a file and the folder of main.py/x.py"),
    ],
)
def test_paths_that_could_escape_or_clash_are_refused(path, message):
    with pytest.raises(SourceError, match=message):
        job({"main.py": b"x", path: b"y"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entrypoint": "train.py"}, "entrypoint train.py: not among the files main.py"),
        ({"arguments": ["a"] * 501}, "501 arguments; the limit is 500"),
        ({"arguments": ["ok", "a" * 4097]}, "argument 2: 4,097 characters; the limit is 4,096"),
        ({"arguments": ["a\0b"]}, r"argument 1 'a\\x00b': no text that a command line can carry"),
        ({"arguments": ["\udcff"]}, "argument 1 .*: no text"),
        ({"files": {"main.py": b"a\0"}}, "main.py: a binary file"),
        ({"files": {"main.py": b"x", "b.py": b"\xff"}}, "b.py: not UTF-8 at byte 0"),
        ({"files": {"main.py": b" \n"}}, "main.py: the file is empty"),
        ({"files": {"main.py": b"x" * 1_000_001}}, "main.py: 1,000,001 bytes of source; the limit is 1,000,000"),
        (
            {"files": {"main.py": b"x", **{f"{i}.py": b"" for i in range(2000)}}},
            "2001 files of source; the limit is 2000",
        ),
        (
            {"files": {"main.py": b"x", **{f"{i}.py": b"x" * 1_000_000 for i in range(20)}}},
            "20,000,001 bytes in all files; the limit is 20,000,000",
        ),
    ],
)
def test_what_is_above_a_limit_or_no_text_is_refused_by_name(change, message):
    with pytest.raises(SourceError, match=message):
        job(**change)


def test_limits_themselves_are_allowed():
    files = {"main.py": b"x" * limits.MAX_FILE_BYTES, **{f"{i}.py": b"" for i in range(limits.MAX_FILES - 1)}}
    assert len(job(files, arguments=["a" * 4096] * 500).files) == 2000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema 2; this kilowait reads schema 1"),
        ({"content_hash": "0" * 64}, "is not that of the files"),
        ({"arguments": [3]}, "Expected `str`"),
        ({"files": {"../main.py": "x"}}, "leads out of its folder"),
        ({"variables": {}}, "unknown field `variables`"),
    ],
)
def test_json_that_is_damaged_or_of_another_schema_is_refused(change, message):
    form = json.loads(job().to_json()) | change
    with pytest.raises(SourceError, match=message):
        JobSource.from_json(json.dumps(form))
    with pytest.raises(SourceError, match="no job source as JSON"):
        JobSource.from_json("{")
