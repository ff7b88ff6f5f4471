"""Texts that the history keeps and cannot read: encrypted with the operator's key (Fernet: AES-128-CBC, HMAC-SHA256).

What is sealed says for what, so that a text cannot be put in the place of another.
"""

import msgspec
from cryptography.fernet import Fernet, InvalidToken

from kilowait.core.errors import InputError
from kilowait.history.secrecy.key_file import read_key


def sealed(key_file: str, purpose: str, text: str) -> str:
    """The text, encrypted; raises InputError where there is no key."""
    return Fernet(read_key(key_file)).encrypt(msgspec.json.encode([purpose, text])).decode()


def opened(key_file: str, purpose: str, token: str) -> str:
    """What was sealed for this purpose; raises InputError for another key, and for what was sealed for another."""
    try:
        found, text = msgspec.json.decode(Fernet(read_key(key_file)).decrypt(token.encode()), type=tuple[str, str])
    except (InvalidToken, msgspec.MsgspecError):
        found, text = "", ""
    if found != purpose:
        raise InputError("what was encrypted cannot be read with this key; an operator puts back the key file of then")
    return text
