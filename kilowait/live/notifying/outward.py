"""A POST to an address that somebody named, and not to what only this machine can reach.

The name is looked up once, each of its addresses must be a public one or allowed by the operator, and the connection
goes to the address that was looked at: a name that means something else a moment later gains nothing. Redirects are not
followed, proxies not asked.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit

from kilowait.core.errors import InputError

TIMEOUT_S, WHOLE_S = 10.0, 30.0
"""To wait for the next byte, and for all: a receiver that sends a byte now and then would hold a thread for days."""
ANSWER_BYTES = 2000
"""Of an answer that are looked at."""
MAX_URL = 1000
AGAIN = {408, 425, 429}
"""Answers below 500 after which it is worth asking again."""


class NotTold(Exception):  # noqa: N818 - an outcome
    """Nobody has taken it; `final` says that asking again is in vain."""

    def __init__(self, text: str, *, final: bool = False) -> None:
        super().__init__(text)
        self.final = final


def checked_url(url: str) -> SplitResult:
    """The parts of a URL; raises InputError for one that nothing is sent to."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        port, host, parts = 0, None, SplitResult("", "", "", "", "")
    plain = len(url) <= MAX_URL and url.isascii() and url.isprintable() and " " not in url
    if not plain or parts.scheme not in ("http", "https") or not host or port == 0 or parts.username or parts.password:
        raise InputError(f"url {url[:80]!r}: give an address as in https://example.org/hook, without a user in it")
    return parts


def post(url: str, body: bytes, headers: Mapping[str, str], internal: Sequence[str] = ()) -> None:
    """Send it; raises NotTold."""
    parts = checked_url(url)
    host, port = str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)
    address = _address(host, port, internal)
    connection = _Pinned(host, port, address, secure=parts.scheme == "https")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    end = threading.Timer(WHOLE_S, connection.end)
    end.daemon = True
    end.start()
    try:
        connection.request("POST", path, body, {"User-Agent": "kilowait", **headers})
        answer = connection.getresponse()
        answer.read(ANSWER_BYTES)
        status = answer.status
    except (OSError, http.client.HTTPException) as error:
        raise NotTold(f"{host}: {type(error).__name__}: {error}") from error
    finally:
        end.cancel()
        connection.close()
    if not 200 <= status < 300:
        raise NotTold(f"{host} answered {status}", final=status < 500 and status not in AGAIN)


def _address(host: str, port: int, internal: Sequence[str]) -> str:
    """Where to connect; raises NotTold for a name that is unknown and for an address that is not public."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotTold(f"{host}: the name is not known ({error})") from error
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    for address in addresses:
        if not (is_public(address) or _allowed(host, address, internal)):
            remedy = "an operator allows it with the service's option notify_internal"
            raise NotTold(f"{host}: {address} is no public address; {remedy}", final=True)
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an address is one of the internet at large, also where it stands within another form of it."""
    one = ipaddress.ip_address(address)
    if isinstance(one, ipaddress.IPv6Address):
        inner = one.ipv4_mapped or one.sixtofour or (one.teredo and one.teredo[1])
        if inner:
            return is_public(str(inner))
        if one in _TRANSLATED:
            return is_public(str(ipaddress.IPv4Address(int(one) & 0xFFFFFFFF)))
    return one.is_global and not one.is_multicast and not one.is_reserved


_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")


def _allowed(host: str, address: str, internal: Sequence[str]) -> bool:
    for entry in internal:
        try:
            if ipaddress.ip_address(address) in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:  # a name
            if entry.lower() == host.lower():
                return True
    return False


class _Pinned(http.client.HTTPConnection):
    """A connection to an address that was looked up before, by the name of its host."""

    def __init__(self, host: str, port: int, address: str, *, secure: bool) -> None:
        super().__init__(host, port, timeout=TIMEOUT_S)
        self._address, self._secure = address, secure
        self._line: socket.socket | None = None

    def connect(self) -> None:
        """To the address alone."""
        self.sock = self._line = socket.create_connection((self._address, self.port), self.timeout)
        if self._secure:
            context = ssl.create_default_context()
            line = context.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
            self.sock = self._line = line
            line.do_handshake()

    def end(self) -> None:
        """Whoever waits for more of it hears that there is none."""
        if self._line is not None:
            with suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)
