"""What an operator says of a provider of OpenID Connect, and who is what by its word."""

import os
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from kilowait.core.errors import InputError
from kilowait.history.tokens import Role

SECRET_VARIABLE = "KILOWAIT_OIDC_CLIENT_SECRET"
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class SignOnSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The provider at `issuer`, and what it knows this service as; `client_secret` "" is a public client.

    The owner of a token is what `claim` says of somebody; an address counts where it is verified. Members of
    `operator_groups` operate; others have `role`, where they are in one of `groups`, or none is named. A token is good
    for `hours`. `public_url` is what browsers call this service; "" is what they say in their request.
    """

    issuer: str
    client_id: str
    client_secret: str = ""
    claim: str = "email"
    role: Literal["read", "submit"] = "submit"
    groups_claim: str = "groups"
    groups: tuple[str, ...] = ()
    operator_groups: tuple[str, ...] = ()
    hours: float = 12.0
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    public_url: str = ""

    def role_of(self, claims: Mapping[str, Any]) -> Role | None:
        """What somebody of whom this is said may do, None for nothing."""
        said = claims.get(self.groups_claim)
        listed = said if isinstance(said, list | tuple) else [said]
        mine = {one for one in listed if isinstance(one, str)}
        if mine & set(self.operator_groups):
            return Role.OPERATE
        return Role.named(self.role) if not self.groups or mine & set(self.groups) else None

    def owner_of(self, claims: Mapping[str, Any]) -> str | None:
        """Who somebody is here of whom this is said, None where that is not said or not verified."""
        owner = claims.get(self.claim)
        verified = self.claim != "email" or claims.get("email_verified") is True
        return owner if isinstance(owner, str) and owner and verified else None

    def lacks(self, claims: Mapping[str, Any]) -> bool:
        """Whether somebody's name or groups, where these count, are not said."""
        groups_count = bool(self.groups or self.operator_groups)
        return self.owner_of(claims) is None or (groups_count and self.groups_claim not in claims)


def sign_on_settings(given: Mapping[str, Any]) -> SignOnSettings | None:
    """From the option `oidc`, None where it says nothing; raises InputError for what cannot be."""
    if not given:
        return None
    secret = os.environ.get(SECRET_VARIABLE, "")
    try:
        settings = msgspec.convert({"client_secret": secret, **_listed(given)}, SignOnSettings, strict=False)
    except msgspec.ValidationError as error:
        raise InputError(f"oidc: {error}; give issuer and client_id at least") from error
    for name, address in (("issuer", settings.issuer), ("public_url", settings.public_url)):
        parts = urlsplit(address)
        if address and not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL)):
            raise InputError(f"oidc: {name} {address!r} must begin with https://, or who listens may sign in too")
    if not 0 < settings.hours <= 24 * 30:
        raise InputError(f"oidc: hours must be above 0 and at most 720, got {settings.hours!r}")
    return settings


def _listed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Lists where they are written as one text, with commas between."""
    lists = ("groups", "operator_groups", "scopes")
    return {name: v.split(",") if name in lists and isinstance(v, str) else v for name, v in given.items()}


def option_of(text: str) -> tuple[str, str]:
    """KEY=TEXT, as on a command line; raises InputError."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InputError(f"oidc {text!r}: must be KEY=TEXT, as in issuer=https://login.example.org")
    return name, value
