"""Programs as the history keeps them where the operator has a key: values of variables encrypted, secrets by name."""

import hashlib
import hmac
from collections.abc import Mapping

import msgspec

from kilowait.core.errors import InputError
from kilowait.core.submission import Attempt, Program
from kilowait.history.secrecy.key_file import derived, read_key
from kilowait.history.secrecy.sealing import opened, sealed
from kilowait.history.secrecy.secret_store import check_room, secret_values
from kilowait.history.store import Store


def with_sealed(program: Program, key_file: str, owner: str) -> Program:
    """The program with its environment encrypted, as it is where there is no key or nothing to encrypt.

    Two of the same environment have the same digest, by which nobody without the key can try values.
    """
    if not key_file or not program.environment:
        return program
    text = msgspec.json.encode(dict(program.environment), order="sorted").decode()
    key = derived(read_key(key_file), "environment").encode()
    digest = hmac.new(key, f"{owner}\0{text}".encode(), hashlib.sha256).hexdigest()
    token = sealed(key_file, _purpose(owner), text)
    return msgspec.structs.replace(program, environment={}, sealed=token, digest=digest)


def environment_of(program: Program, key_file: str, owner: str) -> Mapping[str, str]:
    """All variables that were given, but for secrets; raises InputError where they cannot be read with this key."""
    if not program.sealed:
        return program.environment
    values = msgspec.json.decode(opened(key_file, _purpose(owner), program.sealed), type=dict[str, str])
    return {**values, **program.environment}


def with_secrets(store: Store, program: Program, key_file: str, owner: str) -> Program:
    """The program as it is run, with its variables and secrets; raises InputError where one cannot be had."""
    values = secret_values(store, key_file, owner, program.secrets) if program.secrets else {}
    given = environment_of(program, key_file, owner)
    check_room(given, values)  # a secret may have grown since the job was accepted
    environment = {**given, **values}
    return msgspec.structs.replace(program, environment=environment, sealed="", digest="")


def runnable(store: Store, attempt: Attempt, key_file: str) -> Program | InputError:
    """What an attempt runs, or why that cannot be had; of one that runs already nothing more is needed."""
    program = store.program(attempt.job_id)
    try:
        return with_secrets(store, program, key_file, attempt.owner or "")
    except InputError as error:
        return program if attempt.started else error


def _purpose(owner: str) -> str:
    return f"environment/{owner}"
