"""Variables and the working folder as part of a job's source."""

import pytest

from kilowait.core.errors import InputError, SourceError
from kilowait.program.environment import in_dry_run, is_secret, read_variables, shown
from kilowait.program.job_source import JobSource
from kilowait.program.source import content_hash
from kilowait.program.text import texts

SOURCE = JobSource(files={"a.py": b"x = 1\n"}, entrypoint="a.py")


def test_what_was_hashed_before_is_hashed_alike() -> None:
    assert SOURCE.content_hash == content_hash(b"x = 1\n")
    assert SOURCE.within({}, ".").content_hash == SOURCE.content_hash


def test_a_variable_and_a_folder_change_the_hash_and_their_order_does_not() -> None:
    one, other = SOURCE.within({"A": "1", "B": "2"}), SOURCE.within({"B": "2", "A": "1"})
    hashes = [SOURCE, one, SOURCE.within({"A": "2"}), SOURCE.within({}, "runs"), SOURCE.within({"A": "1"}, "runs")]
    assert one.content_hash == other.content_hash
    assert len({source.content_hash for source in hashes}) == len(hashes)


def test_they_survive_json_and_stay_out_of_the_text() -> None:
    source = SOURCE.within({"A": "very-special", "HF_TOKEN": None}, "runs")
    back = JobSource.from_json(source.to_json())
    assert (back.environment, back.folder, back.content_hash) == (source.environment, "runs", source.content_hash)
    assert "very-special" not in "".join(texts(source).values())
    assert "environment" not in SOURCE.to_json()


@pytest.mark.parametrize("folder", ["..", "/etc", "a/../..", ""])
def test_a_folder_stays_inside(folder: str) -> None:
    with pytest.raises(SourceError):
        SOURCE.within({}, folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_TOKEN", "x"), ("WANDB_API_KEY", "x"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_ACCESS_KEY_ID", "x"),
        ("DB_PASSWORD", "x"), ("MY_PASS", "x"), ("GOOGLE_APPLICATION_CREDENTIALS", "/x.json"), ("password", "x"),
        ("EXTRA", "hf_abcdefghijklmnop"), ("REMOTE", "https://user:word@example.org/repo"),
        ("CERT", "-----BEGIN RSA PRIVATE KEY-----"), ("G", "ghp_0123456789abcdefghij"),
    ],
)  # fmt: skip
def test_secrets_are_known_by_name_or_value(name: str, value: str) -> None:
    assert is_secret(name, value)
    assert shown({name: value}) == {name: None}
    assert in_dry_run(shown({name: value}))[name] not in ("", value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKENIZERS_PARALLELISM", "false"), ("EPOCHS", "10"), ("MASTER_ADDR", "localhost"), ("KEYS", "3"),
        ("AUTHOR", "me"), ("NUM_TOKENIZED", "5"), ("PASSES", "2"), ("DATA", "https://example.org/data"),
    ],
)  # fmt: skip
def test_other_variables_keep_their_values(name: str, value: str) -> None:
    assert shown({name: value}) == {name: value}


def test_words_are_read() -> None:
    assert read_variables(["A=1", "B=x=y", "C="]) == {"A": "1", "B": "x=y", "C": ""}
    for word in ("A", "=1", ""):
        with pytest.raises(InputError, match="NAME=VALUE"):
            read_variables([word])
