"""`kilowait serve` before there is a cluster: its token's file, and its port."""

import os
import socket
import stat
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from kilowait.core.errors import InputError
from kilowait.history.store import Store
from kilowait.history.tokens import identify
from serve import start
from serve.app import Options, make_folder
from serve.reserved_port import reserved
from serve.start import _token, until_it_answers


def mode(path):
    return oct(stat.S_IMODE(path.stat().st_mode))


def test_the_operators_token_and_its_folder_are_for_their_owner_alone(tmp_path):
    url = f"sqlite:///{tmp_path}/out/kilowait.db"
    make_folder(url)
    token, file = _token(url), tmp_path / "out" / "kilowait.token"
    assert (mode(file), mode(file.parent), mode(file.with_suffix(".db"))) == ("0o600", "0o700", "0o600")
    file.chmod(0o644)
    assert _token(url) == token == file.read_text().strip()
    assert mode(file) == "0o600"
    store = Store(url)
    assert identify(store, token).owner == "operator"
    store.close()


def sharing():
    """A socket as Ray Serve's proxies bind theirs."""
    sharer = socket.socket()
    sharer.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return sharer


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("asked", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_a_port_that_another_service_listens_on_is_refused_and_its_process_named(host, asked):
    with sharing() as listener:
        listener.bind((host, 0))
        listener.listen()
        with pytest.raises(InputError, match=rf"process {os.getpid()} \(.+\) has it on {asked}; give another"):
            reserved(asked, listener.getsockname()[1])


def test_of_two_that_start_at_once_one_is_refused():
    port = free_port()
    with reserved("127.0.0.1", port), pytest.raises(InputError, match="serve that is about to listen has it"):
        reserved("127.0.0.1", port)
    reserved("127.0.0.1", port).close()


def test_connections_of_an_earlier_service_that_still_end_do_not_hold_its_port():
    port = free_port()
    with reserved("127.0.0.1", port), sharing() as proxy:
        proxy.bind(("127.0.0.1", port))
        proxy.listen()
        with socket.create_connection(("127.0.0.1", port)), proxy.accept()[0]:  # its side ends first, and lingers
            pass
    reserved("127.0.0.1", port).close()


def test_a_host_that_has_no_address_is_refused():
    with pytest.raises(InputError, match=r"--host nowhere\.invalid: no address to listen at"):
        reserved("nowhere.invalid", free_port())


@pytest.mark.parametrize("port", [-1, 0, 70_000])
def test_a_port_that_cannot_be_is_refused(port):
    with pytest.raises(InputError, match=f"--port {port}"):
        reserved("127.0.0.1", port)


def test_nothing_is_started_where_the_port_is_taken(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(start, "_cluster", lambda _: pytest.fail("a cluster was started"))
    with sharing() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        words = ["--port", str(taken.getsockname()[1]), "--database", f"sqlite:///{tmp_path}/out/kilowait.db"]
        assert start.main(words) == 2
    assert f"process {os.getpid()}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_address_is_told_once_its_routes_answer():
    asked = []

    class Routes(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(404 if len(asked) < 3 else 503)  # 503 is an answer of the service's own
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Routes) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        until_it_answers("0.0.0.0", server.server_port)
        server.shutdown()
    assert asked == ["/v1/health"] * 3


def test_folders_of_wheels_mean_the_same_in_every_process_and_urls_are_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = Options(database="sqlite:///k.db", environments="kept", environments_index=["wheels", "https://x/simple"])
    kept = asked.settings().environments
    assert (kept.folder, kept.indexes) == (f"{tmp_path}/kept", (f"{tmp_path}/wheels", "https://x/simple"))
