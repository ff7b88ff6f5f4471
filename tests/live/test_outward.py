"""A receiver that sends a byte now and then keeps nobody longer than the whole of a notice may take."""

import socket
import ssl
import threading
import time
from contextlib import suppress

import pytest

from kilowait.live.notifying import outward
from tests.support.own_certificate import write_certificate

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(params=["http", "https"])
def server(request, tmp_path, monkeypatch):
    """Answers with what was put into `begins`, and then a byte now and then."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate, key = write_certificate(tmp_path)
        context.load_cert_chain(certificate, key)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        begins = []

        def trickle():
            line = listening.accept()[0]
            if request.param == "https" and begins[0] is not None:
                line = context.wrap_socket(line, server_side=True)
            with line, suppress(OSError):
                line.recv(4096)
                line.sendall(begins[0] or b"\x16\x03\x03\x40\x00")  # a record of TLS that never ends
                while True:
                    line.sendall(b"x")
                    time.sleep(0.05)

        thread = threading.Thread(target=trickle, daemon=True)
        thread.start()
        yield f"{request.param}://localhost:{listening.getsockname()[1]}/", begins
        thread.join(5)
        assert not thread.is_alive()


@pytest.mark.parametrize("begins", [None, HEAD + b"X: ", HEAD + b"Content-Length: 1999\r\n\r\n", HEAD + b"\r\n"])
def test_all_of_it_ends_in_time_whatever_comes_slowly(server, monkeypatch, begins):
    url, said = server
    said.append(begins)
    monkeypatch.setattr(outward, "WHOLE_S", 0.3)
    began_s = time.monotonic()
    with suppress(outward.NotTold):  # whose answer says that it was taken has taken it
        outward.post(url, b"{}", {}, ["127.0.0.1", "::1"])
    assert 0.2 < time.monotonic() - began_s < 3
