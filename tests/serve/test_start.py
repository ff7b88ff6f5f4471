"""`kilowait serve` before there is a cluster: its token's file, and its port."""

import stat

from kilowait.history.store import Store
from kilowait.history.tokens import identify
from serve.app import make_folder
from serve.start import _token


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
