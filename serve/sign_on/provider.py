"""A provider of OpenID Connect: the authorization code flow with PKCE, and tokens whose signatures are checked.

What it says of itself is asked for once an hour. Its calls block: they belong into a thread.
"""

import base64
import hashlib
import time
from typing import Any
from urllib.parse import urlencode

import jwt
import requests

from kilowait.core.errors import ServiceError

from .sign_on_settings import SignOnSettings

TIMEOUT_S = 10.0
KNOWN_S = 3600.0
LEEWAY_S = 60.0
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by the provider's own key: none by a secret that others share, and not no signature."""


class OpenIdProvider:
    """The provider of these settings; raises ServiceError where it does not answer as one."""

    def __init__(self, settings: SignOnSettings) -> None:
        self.settings = settings
        self._known: tuple[float, dict[str, Any]] = (-KNOWN_S, {})
        self._keys: jwt.PyJWKClient | None = None

    def address(self, state: str, nonce: str, verifier: str, back: str) -> str:
        """Where a browser goes to sign in, and comes `back` from."""
        digest = hashlib.sha256(verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": back,
            "scope": " ".join(self.settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        place = str(self._said()["authorization_endpoint"])
        return f"{place}{'&' if '?' in place else '?'}{urlencode(asked)}"

    def claims(self, code: str, nonce: str, verifier: str, back: str) -> dict[str, Any]:
        """What the provider says of whoever came back with this code."""
        settings, said = self.settings, self._said()
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back, "code_verifier": verifier}
        secret = settings.client_secret
        auth = (settings.client_id, secret) if secret else None
        answer = self._json("POST", said["token_endpoint"], auth=auth, data={**form, "client_id": settings.client_id})
        claims = self._checked(str(answer.get("id_token", "")), nonce)
        if settings.lacks(claims) and "userinfo_endpoint" in said:
            bearer = {"Authorization": f"Bearer {answer.get('access_token', '')}"}
            more = self._json("GET", said["userinfo_endpoint"], headers=bearer)
            if more.get("sub") == claims["sub"]:
                claims = {**more, **claims}
        return claims

    def _checked(self, token: str, nonce: str) -> dict[str, Any]:
        """The claims of a token that the provider signed for this service and this sign-in, and that holds now."""
        settings = self.settings
        try:
            if self._keys is None:
                self._keys = jwt.PyJWKClient(str(self._said()["jwks_uri"]), timeout=TIMEOUT_S)
            key = _key_of(self._keys, token)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=settings.client_id,
                issuer=settings.issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iat", "sub", "aud", "iss"]},
            )
        except (jwt.PyJWTError, ValueError) as error:  # the latter of keys that are no JSON
            raise ServiceError(f"the provider's token does not hold: {error}") from error
        if claims.get("nonce") != nonce:
            raise ServiceError("the provider's token is of another sign-in")
        return claims

    def _said(self) -> dict[str, Any]:
        """What the provider says of itself."""
        asked_s, said = self._known
        if time.monotonic() - asked_s > KNOWN_S or not said:
            said = self._json("GET", f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration")
            lacking = {"issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"} - said.keys()
            if lacking or said["issuer"] != self.settings.issuer:
                raise ServiceError(f"{self.settings.issuer} describes no provider of this name")
            self._known = time.monotonic(), said
        return said

    def _json(self, method: str, address: str, **more: Any) -> dict[str, Any]:
        try:
            answer = requests.request(method, address, timeout=TIMEOUT_S, allow_redirects=False, **more)
            said = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise ServiceError(
                f"the provider at {self.settings.issuer} gives no answer ({type(error).__name__})"
            ) from error
        if answer.status_code != 200 or not isinstance(said, dict):
            kind = said.get("error", "") if isinstance(said, dict) else ""
            raise ServiceError(
                f"the provider at {self.settings.issuer} refuses ({answer.status_code} {str(kind)[:60]})"
            )
        return said


def _key_of(keys: jwt.PyJWKClient, token: str) -> jwt.PyJWK:
    """The provider's key that a token names, its only one where it names none; raises PyJWTError."""
    if jwt.get_unverified_header(token).get("kid") is not None:
        return keys.get_signing_key_from_jwt(token)
    published = keys.get_jwk_set().keys
    if len(published) != 1:
        raise jwt.InvalidTokenError(f"it names none of the provider's {len(published)} keys")
    return published[0]
