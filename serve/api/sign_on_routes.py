"""Signing in to the page by the operator's OpenID Connect provider: there, back, and on with a token of some hours."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from kilowait.core.errors import InputError, ServiceError
from kilowait.core.units import HOUR_S
from kilowait.history import audit_log, tokens

from ..sign_on.begun_logins import GOOD_S, BegunLogin, BegunLogins
from ..sign_on.provider import OpenIdProvider
from ..wire.problems import Refusal
from ..wire.token_schemas import SignOnView
from .access import At, address_of

COOKIE = "kilowait-sign-in"
BACK = "/sign-in/back"
HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
AT_ONCE, MOST_WAITING = 4, 32
"""Threads that ask the provider, and people who wait for one: who signs in has no token, so there is a bound."""

T = TypeVar("T")

router = APIRouter()


class SignOn:
    """The provider, and the sign-ins that have begun by this process."""

    def __init__(self, provider: OpenIdProvider) -> None:
        self.provider, self.begun = provider, BegunLogins()
        self._threads, self._waiting = ThreadPoolExecutor(AT_ONCE, "sign-in"), 0

    async def ask(self, question: Callable[..., T], *words: str) -> T:
        """What the provider says, asked in threads that nothing else needs: a slow one holds up nobody else.

        Raises ServiceError, also where too many wait already.
        """
        if self._waiting >= MOST_WAITING:
            raise ServiceError("too many sign in at this moment; try again in a minute")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, question, *words)
        finally:
            self._waiting -= 1


@router.get("/v1/sign-in")
async def sign_on_view(request: Request) -> SignOnView:
    """Whether one may sign in to the page by a provider, and by which; needs no token."""
    sign_on: SignOn | None = request.app.state.sign_on
    host = None if sign_on is None else urlsplit(sign_on.provider.settings.issuer).hostname
    return SignOnView(provider=host)


@router.get("/sign-in", include_in_schema=False)
async def begin(request: Request) -> Response:
    """Send the browser to the provider."""
    sign_on = _sign_on(request)
    begun, where = sign_on.begun.begin(), _back(request, sign_on)
    try:
        address = await sign_on.ask(sign_on.provider.address, begun.state, begun.nonce, begun.verifier, where)
    except ServiceError as error:
        return _to_page("problem", str(error))
    answer = RedirectResponse(address, status_code=302, headers=HEADERS)
    age_s, secure = int(GOOD_S), where.startswith("https:")
    answer.set_cookie(COOKIE, begun.cookie, max_age=age_s, path=BACK, httponly=True, samesite="lax", secure=secure)
    return answer


@router.get(BACK, include_in_schema=False)
async def back(request: Request, desk: At, state: str = "", code: str = "", error: str = "") -> Response:
    """Take the browser back from the provider, and on to the page, which takes the token out of its address."""
    sign_on = _sign_on(request)
    begun = sign_on.begun.end(state, request.cookies.get(COOKIE, ""))
    if begun is None:
        return _to_page("problem", "this sign-in was not begun here, or too long ago; begin again")
    if error or not code:
        return _to_page("problem", f"the provider let nobody in ({error[:60] or 'no code'})")
    try:
        return _to_page("token", await _token(request, desk, sign_on, begun, code))
    except (ServiceError, InputError) as refusal:
        return _to_page("problem", str(refusal))


async def _token(request: Request, desk: At, sign_on: SignOn, begun: BegunLogin, code: str) -> str:
    """A token for whoever the provider says it is; raises ServiceError, and InputError for somebody unknown here."""
    settings, where = sign_on.provider.settings, _back(request, sign_on)
    claims = await sign_on.ask(sign_on.provider.claims, code, begun.nonce, begun.verifier, where)
    owner, role = settings.owner_of(claims), settings.role_of(claims)
    if owner is None:
        raise InputError(f"the provider says no {settings.claim} of yours that it has verified; ask an operator")
    if role is None:
        raise InputError(f"{owner} is in none of the groups that may use this service; ask an operator")
    now_s = time.time()
    expires_s = now_s + settings.hours * HOUR_S
    token = await desk.ask(lambda store: tokens.create(store, owner, role, now_s, expires_s=expires_s))
    row = {"time_s": now_s, "owner": owner, "token_id": tokens.id_of(token), "role": role.name.lower()}
    done = {"address": address_of(request), "action": "sign in", "target": "", "status": 302}
    await desk.ask(audit_log.add, [{**row, **done}])
    return token


def _sign_on(request: Request) -> SignOn:
    sign_on: SignOn | None = request.app.state.sign_on
    if sign_on is None:
        raise Refusal(
            404, "not found", "nobody signs in by a provider here", remedy="use a token: kilowait token create"
        )
    return sign_on


def _back(request: Request, sign_on: SignOn) -> str:
    base = sign_on.provider.settings.public_url or str(request.base_url)
    return f"{base.rstrip('/')}{BACK}"


def _to_page(name: str, text: str) -> Response:
    """On to the page, with a word for it behind the #, which no server is told."""
    answer = RedirectResponse(f"/#{name}={quote(text, safe='')}", status_code=302, headers=HEADERS)
    answer.delete_cookie(COOKIE, path=BACK)
    return answer
