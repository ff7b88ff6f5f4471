"""Asking the live service over HTTP, again while it is busy, and what its refusals are here."""

import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import requests

from kilowait.core.control_characters import escaped_all
from kilowait.core.errors import InputError, ServiceError

DEFAULT_PORT = 8000
DEFAULT_URL = f"http://127.0.0.1:{DEFAULT_PORT}"
CONNECT_S, ANSWER_S = 5.0, 60.0

Json = Any


class HttpAsking:
    """Speaks to the service at `url`; a busy one is asked again for `patience_s`, an answer waited for `answer_s`."""

    def __init__(
        self, url: str = DEFAULT_URL, token: str | None = None, *, patience_s: float = 30.0, answer_s: float = ANSWER_S
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise InputError(f"{url!r} is no address of a service; give one as in {DEFAULT_URL}")
        self.url, self.patience_s = url.rstrip("/"), patience_s
        self._timeout_s = (CONNECT_S, answer_s)
        self._session = requests.Session()
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def pages(self, path: str, of: str, filters: Mapping[str, Any]) -> Iterator[Json]:
        """What stands under a name in each page of a list."""
        after: str | None = ""
        while after is not None:
            page = self.ask("GET", path, params={**filters, "after": after})
            yield from page[of]
            after = page["next"]

    def ask(self, method: str, path: str, **more: Any) -> Json:
        """The JSON that a request is answered with; `may_fail` takes a 503 for an answer too."""
        answer = self.send(method, path, **more)
        try:
            return answer.json()
        except ValueError as error:
            raise ServiceError(
                f"{self.url}: answered {path} with no JSON; is it kilowait that listens there?"
            ) from error

    def send(
        self,
        method: str,
        path: str,
        *,
        again: bool = True,
        may_fail: bool = False,
        answer_s: float = 0.0,
        **more: Any,
    ) -> requests.Response:
        """Ask, and ask again while the service is busy or, where that is safe, a part of it is on its way back."""
        deadline_s = time.monotonic() + self.patience_s
        timeout_s = self._timeout_s[0], max(self._timeout_s[1], answer_s)
        while True:
            try:
                answer = self._session.request(method, self.url + path, timeout=timeout_s, **more)
            except requests.RequestException as error:
                remedy = "start one with: kilowait serve, or set KILOWAIT_URL"
                raise ServiceError(f"no service answers at {self.url} ({reason_of(error)}); {remedy}") from error
            if may_fail and answer.status_code == 503:
                return answer
            wait_s = _retry_after(answer)
            transient = answer.status_code == 503 or _has_no_routes(answer) or (again and _is_a_proxys(answer))
            if not transient or time.monotonic() + wait_s > deadline_s:
                return self._checked(answer)
            time.sleep(wait_s)

    def _checked(self, answer: requests.Response) -> requests.Response:
        if answer.status_code < 400:
            return answer
        try:
            problem = escaped_all(answer.json())
            text = f"{problem['detail']}; {problem['remedy']}"
        except (ValueError, KeyError, TypeError):
            text = f"{self.url}: answered {answer.status_code} {answer.reason}, which is no answer of kilowait's own; "
            hint = "one of its parts may be on its way back; ask again"
            coming = _is_a_proxys(answer) or _has_no_routes(answer)
            text += hint if coming else "is it kilowait that listens there?"
        raise (ServiceError if answer.status_code >= 500 or _has_no_routes(answer) else InputError)(text)


def part(name: str) -> str:
    """A name as a part of a path."""
    return quote(name, safe="")


def _is_a_proxys(answer: requests.Response) -> bool:
    """Whether what stands in front of the service says that it got no answer: a replica was killed, say."""
    is_problem = answer.headers.get("Content-Type", "").startswith("application/problem+json")
    return answer.status_code >= 500 and not is_problem


def _has_no_routes(answer: requests.Response) -> bool:
    """Whether Serve's proxy has just been started again and does not know the service yet: it has handed nothing on."""
    return answer.status_code == 404 and "/-/routes" in answer.text[:1000]


def _retry_after(answer: requests.Response) -> float:
    text = answer.headers.get("Retry-After", "2")
    return float(text) if text.isdigit() else 2.0


def reason_of(error: requests.RequestException) -> str:
    """Why nothing was heard, in a word or two."""
    return "connection refused or lost" if isinstance(error, requests.ConnectionError) else type(error).__name__
