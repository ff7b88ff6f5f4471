"""The webhook over HTTPS. It fails open: what goes wrong inside, and what takes too long, is allowed as it is."""

import json
import os
import ssl
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLong
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from typing import Any

from kilowait.advise.kubernetes.admission import Admission, answered, check_review
from kilowait.core.errors import InputError

MOST_BYTES = 8_000_000
"""Of a review; an object of etcd has at most 1.5 MB, and a review may hold two."""
HANDSHAKE_S = 5.0
AT_ONCE = 4
"""Predictions at a time; others wait, and are allowed as they are when their time is over."""


class AdmissionServer(ThreadingHTTPServer):
    """Answers reviews within `budget_s` at `address`; the certificate is read anew when its file changes."""

    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], admission: Admission, files: tuple[Path, Path], budget_s: float
    ) -> None:
        self.admission, self.budget_s = admission, budget_s
        self._files, self._read = files, (0, 0)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._renew()
        self.workers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="advice")
        super().__init__(address, _Handler)

    def get_request(self) -> tuple[socket, Any]:
        """A connection whose handshake is left to its own thread: a silent client holds up nobody."""
        plain, address = super().get_request()
        self._renew()
        plain.settimeout(HANDSHAKE_S)
        return self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that spoke no TLS or went away is no news; anything else is."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def _renew(self) -> None:
        certificate, key = self._files
        try:
            written = os.stat(certificate).st_mtime_ns, os.stat(key).st_mtime_ns
            if written != self._read:
                self._context.load_cert_chain(certificate, key)
                self._read = written
        except (OSError, ssl.SSLError) as error:
            if self._read == (0, 0):
                raise InputError(f"--cert {certificate}, --key {key}: not readable: {error}") from error
            sys.stderr.write(f"kilowait: the renewed certificate is not readable yet: {error}\n")


class _Handler(BaseHTTPRequestHandler):
    server: AdmissionServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Whether it lives."""
        lives = self.path == "/healthz"
        self._send(200 if lives else 404, {"status": "ok" if lives else "no such path"})

    def do_POST(self) -> None:
        """Answer a review."""
        size = self.headers.get("Content-Length", "")
        if not size.isdecimal() or int(size) > MOST_BYTES:
            self.close_connection = True
            self._send(413, {"error": f"a review has a Content-Length of at most {MOST_BYTES:,} bytes"})
            return
        try:
            review = json.loads(self.rfile.read(int(size)))
            check_review(review)
        except (ValueError, InputError) as error:
            self._send(400, {"error": str(error)})
            return
        self._send(200, self._answer(review))

    def _answer(self, review: dict[str, Any]) -> dict[str, Any]:
        future = self.server.workers.submit(self.server.admission.answer, review)
        try:
            return future.result(timeout=self.server.budget_s)
        except TooLong:
            future.cancel()
            return answered(review, [], [f"not predicted within {self.server.budget_s:g} s; admitted as it is"])
        except Exception:  # the boundary: a fault of kilowait's must keep nobody's job out
            traceback.print_exc()
            return answered(review, [], ["not predicted, a fault inside; admitted as it is"])

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Requests are counted by the API server."""
