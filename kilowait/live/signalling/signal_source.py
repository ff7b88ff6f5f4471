"""A signal as a site names it, `carbon=FILE_OR_URL,zone=DE,default=380`, and one look at where it is from."""

import os
import re
import tempfile
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from http.client import HTTPException
from math import isfinite
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from kilowait.core.errors import InputError
from kilowait.core.over_time.amounts import AMOUNTS
from kilowait.core.over_time.signals import MAY_BE_NEGATIVE, Signal
from kilowait.files.signal_files import read_signal
from kilowait.policies.limiting.promised_watts import BUDGET

FOLLOWED = (*AMOUNTS, BUDGET)
TIMEOUT_S = 20.0
MOST_BYTES = 16 * 2**20
WORDS = ("zone", "column", "default", "header")
WRITTEN = "NAME=FILE or NAME=URL, and behind it ,zone=Z ,column=C ,default=NUMBER ,header=NAME:TEXT ($NAME: a variable)"
_WORD = re.compile(rf",(?=(?:{'|'.join(WORDS)})=)")
_KINDS = {"json": ".json", "parquet": ".parquet"}


class SignalSource(Struct, frozen=True, kw_only=True):
    """Where the signal `name` is from: a file, or an address that is asked with `headers`.

    `default` is what holds when its hours are over and nothing newer is to be had; None: its last day again and again.
    """

    name: str
    place: str
    zone: str | None = None
    column: str | None = None
    default: float | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def shown(self) -> str:
        """The place without what only the operator should see: what stands behind the ? of an address."""
        return self.place.partition("?")[0]

    def look(self) -> Signal:
        """What is said now, in seconds since 1970; of several forecasts the last. Raises InputError with the place."""
        if not self._is_url:
            return self._read(Path(self.place))
        suffix, body = _fetched(self.place, self.shown, self.headers)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"signal{suffix}"
            path.write_bytes(body)
            try:
                return self._read(path)
            except InputError as error:
                raise InputError(str(error).replace(str(path), self.shown)) from None

    @property
    def _is_url(self) -> bool:
        return urlsplit(self.place).scheme in ("http", "https")

    def _read(self, path: Path) -> Signal:
        found = read_signal(path, self.name, zone=self.zone, column=self.column)
        if not found.dated:
            raise InputError(f"{path}: its times are no dates; a live service needs a column such as datetime_utc")
        return found.signals[-1]


def signal_source(text: str) -> SignalSource:
    """The source that a text means; raises InputError with the remedy."""
    first, *rest = _WORD.split(text)
    name, equals, place = first.partition("=")
    if not equals or not place or name not in FOLLOWED:
        raise InputError(f"signal {text!r}: must be {WRITTEN}; NAME is one of {', '.join(FOLLOWED)}")
    words: dict[str, Any] = {}
    headers = list[tuple[str, str]]()
    for word in rest:
        key, _, value = word.partition("=")
        if key == "header":
            headers.append(_header(text, value))
        elif key in words or not value:
            raise InputError(f"signal {text!r}: {key} is given twice, or is empty; write {WRITTEN}")
        else:
            words[key] = _default(name, value) if key == "default" else value
    if urlsplit(place).scheme not in ("http", "https"):
        place = str(Path(place).absolute())
    return SignalSource(name=name, place=place, headers=tuple(headers), **words)


def signal_sources(texts: Sequence[str]) -> tuple[SignalSource, ...]:
    """The sources that texts mean, each of another signal; raises InputError with the remedy."""
    sources = tuple(map(signal_source, texts))
    for name, times in Counter(source.name for source in sources).items():
        if times > 1:
            raise InputError(f"signal {name}: it is given {times} times; say once where it is from")
    return sources


def _default(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value) or (value < 0 and name not in MAY_BE_NEGATIVE):
        raise InputError(f"signal {name}: default must be a number that it can have, got {text!r}")
    return value


def _header(text: str, said: str) -> tuple[str, str]:
    name, colon, value = said.partition(":")
    if value.startswith("$"):
        variable = value[1:]
        if not (value := os.environ.get(variable, "")):
            raise InputError(f"signal {text!r}: the environment variable {variable} is not set; set it for the service")
    if not colon or not re.fullmatch(r"[A-Za-z0-9-]+", name) or not value.isprintable() or not value.isascii():
        raise InputError(f"signal {text!r}: header must be NAME:TEXT or NAME:$VARIABLE")
    return name, value


class _Stay(urllib.request.HTTPRedirectHandler):
    """What is sent along is for this address alone."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _fetched(url: str, shown: str, headers: tuple[tuple[str, str], ...]) -> tuple[str, bytes]:
    """The suffix that says which format it is, and the answer; raises InputError."""
    request = urllib.request.Request(url, headers={"User-Agent": "kilowait", **dict(headers)})
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=TIMEOUT_S) as answer:
            kind, body = answer.headers.get_content_type(), answer.read(MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        raise InputError(f"{shown}: answers {error.code} {error.reason}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise InputError(f"{shown}: no answer: {error}") from error
    if len(body) > MOST_BYTES:
        raise InputError(f"{shown}: the answer is larger than {MOST_BYTES // 2**20} MiB; ask for fewer hours")
    named = Path(urlsplit(url).path).suffix
    suffix = next((ending for word, ending in _KINDS.items() if word in kind), named)
    return (suffix if suffix in (".json", ".parquet") else ".csv"), body
