"""A job is given secrets by name only where all of them fit into what a program can be started with."""

import pytest

from kilowait.core.errors import InputError
from kilowait.core.submission import Program
from kilowait.history.secrecy.key_file import new_key
from kilowait.history.secrecy.sealed_programs import with_secrets
from kilowait.history.secrecy.secret_store import check_secrets, set_secret
from kilowait.history.store import Store

LONG = "é" * 16_000


@pytest.fixture
def kept(tmp_path):
    """(store, key file) with six secrets of 32,000 bytes."""
    new_key(tmp_path / "key")
    store = Store(f"sqlite:///{tmp_path}/kilowait.db")
    for number in range(6):
        set_secret(store, str(tmp_path / "key"), "ada", f"S{number}", LONG)
    yield store, str(tmp_path / "key")
    store.close()


def names(count):
    return tuple(f"S{number}" for number in range(count))


@pytest.mark.parametrize(
    ("count", "variable_bytes", "fits"), [(4, 0, True), (4, 3_000, True), (4, 4_000, False), (5, 0, False)]
)
def test_secrets_and_variables_beyond_what_an_environment_holds_are_refused(kept, count, variable_bytes, fits):
    store, key_file = kept
    environment = {"A": "x" * variable_bytes} if variable_bytes else {}
    program = Program(files={"a.py": ""}, entrypoint="a.py", environment=environment, secrets=names(count))
    if fits:
        check_secrets(store, key_file, "ada", names(count), environment)
        assert with_secrets(store, program, key_file, "ada").environment["S3"] == LONG
        return
    with pytest.raises(InputError, match="the limit is 131,072; name fewer") as refusal:
        check_secrets(store, key_file, "ada", names(count), environment)
    assert LONG[:20] not in str(refusal.value)
    with pytest.raises(InputError, match="the limit is 131,072"):
        with_secrets(store, program, key_file, "ada")
