"""People sign in to the page by a provider: a real one, and one of the test's own whose tokens do not hold."""

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from kilowait.core.errors import InputError, ServiceError
from kilowait.history.audit_log import done
from kilowait.history.tokens import Role, identify
from serve.api.sign_on_routes import MOST_WAITING, SignOn
from serve.sign_on.begun_logins import GOOD_S, BegunLogins
from serve.sign_on.provider import OpenIdProvider
from serve.sign_on.sign_on_settings import sign_on_settings
from tests.support.desk_world import DeskWorld

pytestmark = pytest.mark.ray  # the desk speaks to an actor

KEY, OTHERS = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))


@contextmanager
def own_provider(**wrong):
    """(address of a provider, what it was asked): its ID token says what `wrong` says, signed by `wrong["key"]`."""
    asked, begun = [], {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            url = urlsplit(self.path)
            if url.path == "/authorize":
                begun.update({name: value for name, (value,) in parse_qs(url.query).items()})
                self.send_response(302)
                self.send_header("Location", f"{begun['redirect_uri']}?code=once&state={begun['state']}")
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif url.path == "/userinfo":
                self.say({"sub": "7", **wrong["userinfo"]})
            elif url.path == "/keys":
                public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
                self.say({"keys": [{**public, "kid": "k1", "use": "sig", "alg": "RS256"}]})
            else:
                ends = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
                ends |= {"userinfo_endpoint": "userinfo"} if "userinfo" in wrong else {}
                self.say({"issuer": address, **{name: f"{address}/{end}" for name, end in ends.items()}})

        def do_POST(self):
            asked.append(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            said = {"iss": address, "aud": "kilowait", "sub": "7", "email": "ada@example.org", "email_verified": True}
            said |= {"nonce": begun["nonce"], "iat": int(time.time()), "exp": int(time.time()) + 300}
            said |= wrong.get("claims", {})
            algorithm = wrong.get("algorithm", "RS256")
            key = {"none": None, "HS256": "k" * 32}.get(algorithm, wrong.get("key", KEY))
            token = jwt.encode({k: v for k, v in said.items() if v is not None}, key, algorithm, headers={"kid": "k1"})
            self.say({"id_token": token, "access_token": "a"})

        def say(self, answer):
            text = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield address, asked
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def world_of(folder, issuer, **more):
    with DeskWorld(folder) as world:
        settings = sign_on_settings({"issuer": issuer, "client_id": "kilowait", **more})
        world.client.app.state.sign_on = SignOn(OpenIdProvider(settings))
        yield world


def behind(answer):
    """What stands behind the # of the page that a browser is sent to."""
    return {name: value for name, (value,) in parse_qs(urlsplit(answer.headers["Location"]).fragment).items()}


def signed_in(world, press=lambda address: requests.get(address, allow_redirects=False, timeout=10)):
    """Go to the provider and come back; `press` is what somebody does there."""
    there = world.client.get("/sign-in", follow_redirects=False)
    came = urlsplit(press(there.headers["Location"]).headers["Location"])
    return world.client.get(f"{came.path}?{came.query}", follow_redirects=False)


def test_who_signs_in_has_a_token_of_some_hours_for_what_the_provider_has_verified(tmp_path):
    with own_provider() as (issuer, asked), world_of(tmp_path, issuer, operator_groups="admins") as world:
        assert world.client.get("/v1/sign-in").json() == {"provider": "127.0.0.1"}
        token = behind(signed_in(world))["token"]
        who = identify(world.store, token)
        assert (who.owner, who.role) == ("ada@example.org", Role.SUBMIT)
        assert identify(world.store, token, time.time() + 13 * 3600) is None
        assert len(asked[0]["code_verifier"][0]) > 40
        (row,) = done(world.store)
        assert (row["owner"], row["action"]) == ("ada@example.org", "sign in")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"key": OTHERS}, "Signature verification failed"),
        ({"algorithm": "none"}, "does not hold"),
        ({"algorithm": "HS256"}, "does not hold"),
        ({"claims": {"aud": "another"}}, "does not hold: Audience"),
        ({"claims": {"iss": "https://else.example"}}, "does not hold"),
        ({"claims": {"exp": 1000}}, "Signature has expired"),
        ({"claims": {"nonce": "another"}}, "of another sign-in"),
        ({"claims": {"email_verified": False}}, "has verified; ask an operator"),
        ({"claims": {"email": None}}, "has verified; ask an operator"),
    ],
)
def test_a_token_that_does_not_hold_lets_nobody_in(tmp_path, wrong, said):
    with own_provider(**wrong) as (issuer, _), world_of(tmp_path, issuer) as world:
        there = behind(signed_in(world))
        assert said in there["problem"]
        assert "token" not in there


def test_groups_say_who_may_what(tmp_path):
    settings = sign_on_settings(
        {"issuer": "https://id.example", "client_id": "k", "groups": "ml,ops", "operator_groups": ["admins"]}
    )
    roles = [settings.role_of({"groups": groups}) for groups in (["ml"], ["admins", "x"], "ops", ["x"], None)]
    assert roles == [Role.SUBMIT, Role.OPERATE, Role.SUBMIT, None, None]
    with own_provider(claims={"groups": ["x"]}) as (issuer, _), world_of(tmp_path, issuer, groups="ml") as world:
        assert "in none of the groups" in behind(signed_in(world))["problem"]


def test_groups_that_stand_in_no_token_are_asked_for(tmp_path):
    said = own_provider(userinfo={"groups": ["admins"]})
    with said as (issuer, _), world_of(tmp_path, issuer, operator_groups="admins") as world:
        assert identify(world.store, behind(signed_in(world))["token"]).role == Role.OPERATE


def test_groups_that_are_no_names_are_none():
    settings = sign_on_settings({"issuer": "https://id.example", "client_id": "k", "groups": "ml"})
    assert [settings.role_of({"groups": groups}) for groups in ({"ml": 1}, [{"ml": 1}, "ml"])] == [None, Role.SUBMIT]


def test_a_provider_that_does_not_answer_holds_up_nobody_but_those_who_sign_in():
    answered, sign_on = threading.Event(), SignOn(None)

    async def asked():
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        waiting = [asyncio.create_task(sign_on.ask(answered.wait, 10)) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        assert await asyncio.wait_for(asyncio.to_thread(lambda: 7), 1) == 7
        with pytest.raises(ServiceError, match="too many"):
            await sign_on.ask(answered.wait)
        answered.set()
        return await asyncio.gather(*waiting)

    assert all(asyncio.run(asked()))


def test_a_way_back_is_good_once_and_for_the_browser_that_went(tmp_path):
    with own_provider() as (issuer, asked), world_of(tmp_path, issuer) as world:
        there = world.client.get("/sign-in", follow_redirects=False).headers["Location"]
        came = urlsplit(requests.get(there, allow_redirects=False, timeout=10).headers["Location"])
        world.client.cookies.clear()  # of a browser that an attacker sends here
        stranger = world.client.get(f"{came.path}?{came.query}", follow_redirects=False)
        assert "not begun here" in behind(stranger)["problem"]
        assert not asked
    now_s = [0.0]
    begun = BegunLogins(clock=lambda: now_s[0])
    one, other, third = begun.begin(), begun.begin(), begun.begin()
    assert begun.end(third.state, "\xe9") is None
    assert begun.end(one.state, one.cookie) == one
    assert begun.end(one.state, one.cookie) is None
    now_s[0] = GOOD_S + 1
    assert begun.end(other.state, other.cookie) is None


@pytest.mark.parametrize(
    "given",
    [{"issuer": "https://id.example"}, {"issuer": "http://id.example", "client_id": "k"}]
    + [{"issuer": "https://id.example", "client_id": "k", **more} for more in ({"hours": 0}, {"other": 1})],
)
def test_wrong_settings_are_refused(given):
    with pytest.raises(InputError, match="oidc"):
        sign_on_settings(given)
    assert sign_on_settings({}) is None


def test_no_provider_or_one_that_is_away_is_said(tmp_path):
    with DeskWorld(tmp_path) as world:
        assert world.client.get("/v1/sign-in").json() == {"provider": None}
        assert world.client.get("/sign-in").status_code == 404
    provider = OpenIdProvider(sign_on_settings({"issuer": "http://127.0.0.1:9", "client_id": "k"}))
    with pytest.raises(ServiceError, match="gives no answer"):
        provider.address("s", "n", "v", "http://b")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # that provider's own, of a library of its own
def test_a_real_provider_signs_people_in(tmp_path):
    mock = pytest.importorskip("oidc_provider_mock", reason="pip install oidc-provider-mock: a provider for this test")
    with mock.run_server_in_thread() as server:
        issuer = f"http://localhost:{server.server_port}"
        claims = {"email": "grace@example.org", "email_verified": True, "groups": ["admins"]}
        requests.put(f"{issuer}/users/grace", json=claims, timeout=10).raise_for_status()

        def press(address):
            return requests.post(address, data={"sub": "grace"}, allow_redirects=False, timeout=10)

        with world_of(tmp_path, issuer, client_secret="s", operator_groups="admins") as world:
            there = behind(signed_in(world, press))
            assert "problem" not in there
            who = identify(world.store, there["token"])
            assert (who.owner, who.role) == ("grace@example.org", Role.OPERATE)
