"""The operator's key, in a file that is no part of the history: what is encrypted, or signed, with it is worth nothing
without."""

import base64
import hashlib
import hmac
import os
import stat
from pathlib import Path

from cryptography.fernet import Fernet

from kilowait.core.errors import InputError

VARIABLE = "KILOWAIT_SECRETS_KEY_FILE"
REMEDY = f"an operator makes one with: kilowait secret new-key FILE, and starts the service with {VARIABLE}=FILE"


def new_key(path: Path) -> None:
    """Make a key in a new file that only its owner may read; raises InputError where there is one."""
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(Fernet.generate_key() + b"\n")
    except OSError as error:
        raise InputError(
            f"{path}: no key is written ({error.strerror}); name a new file in a folder of yours"
        ) from error


def read_key(path: str) -> bytes:
    """The key; raises InputError for a file that is none, or that others may read."""
    if not path:
        raise InputError(f"this service has no key for secrets; {REMEDY}")
    try:
        with Path(path).open("rb") as file:
            mode, text = os.fstat(file.fileno()).st_mode, file.read(200).strip()
    except OSError as error:
        raise InputError(f"the key for secrets cannot be read ({error.strerror}); {REMEDY}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise InputError("the key for secrets may be read by others; its owner should: chmod 600")
    try:
        if len(base64.urlsafe_b64decode(text)) == 32:
            return text
    except ValueError:
        pass
    raise InputError(f"the file of the key for secrets holds none; {REMEDY}")


def derived(key: bytes, purpose: str) -> str:
    """A key for one purpose, in hexadecimal, from which the operator's cannot be had."""
    return hmac.new(key, purpose.encode(), hashlib.sha256).hexdigest()
