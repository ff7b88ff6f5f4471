"""Tokens of the live service: seen once, kept as a hash, and refused from the moment they are revoked."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine, text

from kilowait.core.errors import InputError
from kilowait.history import tokens as kept
from kilowait.history.store import Store
from kilowait.history.tokens import Role, create, identify, listed, revoke


@pytest.fixture
def store(tmp_path):
    store = Store(f"sqlite:///{tmp_path}/kilowait.db")
    yield store
    store.close()


def test_a_token_says_whose_it_is_and_what_it_allows_to_every_process(store):
    token = create(store, "ada", Role.SUBMIT, 10.0)
    found = identify(Store(store.name), token)
    assert (found.owner, found.role, found.token_id) == ("ada", Role.SUBMIT, token.split("_")[1])


def test_what_is_kept_does_not_give_the_token_away(store):
    token = create(store, "ada", Role.READ, 10.0)
    secret = token.split("_", 2)[2]
    assert len(secret) >= 43  # 256 bits in base64
    (row,) = store.rows(text("select * from tokens"))
    assert secret not in str(row)
    assert "secret_hash" not in listed(store)[0]


@pytest.mark.parametrize("wrong", ["", "kw", "kw_1_2", "{id}", "kw_{id}_", "kw_{id}_x", "xx_{id}_{secret}", "{token}x"])
def test_what_is_not_the_token_is_refused(store, wrong):
    token = create(store, "ada", Role.OPERATE, 10.0)
    _, token_id, secret = token.split("_", 2)
    assert identify(store, wrong.format(id=token_id, secret=secret, token=token)) is None


def test_a_revoked_token_is_refused_and_the_others_are_not(store):
    first, second = create(store, "ada", Role.SUBMIT, 10.0), create(store, "ada", Role.SUBMIT, 11.0)
    revoke(store, first.split("_")[1], 12.0)
    revoke(store, first.split("_")[1], 13.0)
    assert (identify(store, first), identify(store, second).owner) == (None, "ada")
    assert [row["revoked_s"] for row in listed(store)] == [12.0, None]
    with pytest.raises(InputError, match="token 'nobody' is unknown; list them"):
        revoke(store, "nobody", 14.0)


def test_the_last_operators_token_is_revoked_only_on_purpose(store):
    first, second = (create(store, "root", Role.OPERATE, now_s).split("_")[1] for now_s in (1.0, 2.0))
    create(store, "ada", Role.SUBMIT, 3.0)
    revoke(store, first, 4.0)
    with pytest.raises(InputError, match=rf"token '{second}' is the last operator's.*kilowait token create.*--force"):
        revoke(store, second, 5.0)
    assert [row["revoked_s"] for row in listed(store)] == [4.0, None, None]
    revoke(store, first, 6.0)  # it is gone already
    revoke(store, second, 7.0, force=True)
    assert [row["revoked_s"] for row in listed(store)] == [4.0, 7.0, None]


@pytest.mark.parametrize("owner", ["", "  ", "a\nb", "x" * 201])
def test_an_owner_needs_a_name(store, owner):
    with pytest.raises(InputError, match="owner: must be printable"):
        create(store, owner, Role.READ, 1.0)


def test_roles_are_in_order_and_named():
    assert Role.READ < Role.SUBMIT < Role.OPERATE
    with pytest.raises(InputError, match="role 'root' is unknown; known: read, submit, operate"):
        kept.Role.named("root")


def test_two_operators_at_once_do_not_revoke_the_last_two_tokens(database):
    """While another transaction holds the tokens, both get as far as they come; then it lets go."""
    store = Store(database)
    owned = [create(store, owner, Role.OPERATE, 1.0).split("_")[1] for owner in ("ada", "bob")]
    engine = create_engine(database.replace("postgresql:", "postgresql+psycopg:"))
    with ThreadPoolExecutor(2) as pool:
        with engine.begin() as held:
            held.execute(text("update tokens set revoked_s = revoked_s"))
            answers = [pool.submit(revoke, Store(database), token_id, 2.0) for token_id in owned]
            time.sleep(1.0)
        refusals = [answer.exception() for answer in answers]
    engine.dispose()
    assert sorted("is the last operator's" in str(refusal) for refusal in refusals) == [False, True]
    assert [row["revoked_s"] is None for row in listed(store)].count(True) == 1
