"""A rewriter behind any endpoint that speaks the chat completions protocol (POST {base}/chat/completions).

Overload and server errors are tried again with growing pauses, or after as many seconds as the server asks for; what
the caller must mend (address, key, model) is an error at once. The key comes from an environment variable and is never
written into a message.
"""

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from kilowait.core.errors import InputError
from kilowait.lab.align.rewriter import SYSTEM, Ask, RewriteError, prompt

KEY_VARIABLE = "KILOWAIT_ALIGN_API_KEY"
_AGAIN = (408, 409, 429, 500, 502, 503, 504)
_LONGEST_PAUSE_S = 60.0
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRewriter:
    """Asks `model` at `base_url`; `attempts` includes the first, pauses grow from `pause_s` twofold.

    A key goes over https, or to this machine itself, and nowhere else.
    """

    base_url: str
    model: str
    key_variable: str = KEY_VARIABLE
    timeout_s: float = 120.0
    attempts: int = 4
    pause_s: float = 1.0
    max_tokens: int = 8192
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        url = urlsplit(self.base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise InputError(f"the rewriter's address must be like https://host/v1, got {self.base_url!r}")
        if url.username or url.password:
            raise InputError(f"the rewriter's address holds credentials; put the key into {self.key_variable}")
        if url.scheme == "http" and url.hostname not in _LOCAL and os.environ.get(self.key_variable):
            raise InputError(f"{self.base_url}: a key is sent over https only; unset {self.key_variable} or use https")
        if self.attempts < 1 or self.timeout_s <= 0:
            raise InputError(f"attempts must be >= 1 and timeout_s > 0, got {self.attempts!r} and {self.timeout_s!r}")

    @property
    def name(self) -> str:
        """Model and address."""
        return f"{self.model}@{self.base_url}"

    def rewrite(self, ask: Ask) -> str:
        """The answer's text; raises RewriteError with the status and the first of what the server said."""
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt(ask)}]
        body = {"model": self.model, "messages": messages, "temperature": 0, "max_tokens": self.max_tokens}
        return _content(self._post(json.dumps(body).encode()), self.name)

    def _post(self, body: bytes) -> bytes:
        failure = ""
        for attempt in range(self.attempts):
            try:
                return self._send(body)
            except urllib.error.HTTPError as error:
                failure = f"{error.code} {error.reason}: {error.read(300).decode(errors='replace').strip()}"
                if error.code not in _AGAIN:
                    raise RewriteError(f"{self.name}: {failure}{self._remedy(error.code)}") from error
                asked_s = _seconds(error.headers.get("Retry-After"))
            except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
                failure, asked_s = f"{getattr(error, 'reason', None) or error!r}", None
            if attempt + 1 < self.attempts:
                self.sleep(min(_LONGEST_PAUSE_S, asked_s if asked_s is not None else self.pause_s * 2**attempt))
        raise RewriteError(f"{self.name}: no answer in {self.attempts} attempts; the last: {failure}")

    def _send(self, body: bytes) -> bytes:
        request = urllib.request.Request(f"{self.base_url.rstrip('/')}/chat/completions", data=body, method="POST")
        request.add_header("Content-Type", "application/json")
        key = os.environ.get(self.key_variable)
        if key:
            request.add_unredirected_header("Authorization", f"Bearer {key}")
        with urllib.request.urlopen(request, timeout=self.timeout_s) as answer:
            return bytes(answer.read())

    def _remedy(self, code: int) -> str:
        if code in (401, 403):
            return f"; set {self.key_variable} to a key that may use {self.model}"
        return "; check the address and the model's name" if code == 404 else ""


def _seconds(header: str | None) -> float | None:
    """A Retry-After in seconds; a date counts as none."""
    return float(header) if header and header.strip().isdigit() else None


def _content(data: bytes, name: str) -> str:
    try:
        answer: Any = json.loads(data)
        choice = answer["choices"][0]
        content = choice["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise RewriteError(f"{name}: not a chat completion: {data[:200].decode(errors='replace')}") from error
    if choice.get("finish_reason") == "length":
        raise RewriteError(f"{name}: the answer was cut off; allow more than max_tokens, or send a shorter source")
    if not isinstance(content, str) or not content.strip():
        raise RewriteError(f"{name}: the answer is empty")
    return content
