"""Subscriptions to notices as they cross HTTP."""

from typing import Literal

from pydantic import Field

from .schemas import Wire
from .texts import Printable

NoticeEvent = Literal["start", "end", "failure", "overrun", "deadline"]


class NoticeAsked(Wire):
    """Whom to tell of what. `target` is an address: of a webhook, of an incoming webhook of Slack's kind, of mail."""

    kind: Literal["webhook", "slack", "mail"]
    target: str = Field(min_length=1, max_length=1000)
    events: list[NoticeEvent] = Field(default=["end", "failure", "overrun"], min_length=1, max_length=8)
    name: Printable = Field(default="", description="of jobs of this name alone; one that ends in * is a beginning")


class NoticeSubscription(Wire):
    """Who is told of what, and how that went: `problem` is why the last one that was not told was not."""

    notice_id: str
    owner: str
    kind: str
    target: str = Field(description="of a webhook its host alone: who knows the rest can write there")
    events: list[str]
    name: str
    created_s: float
    told: int
    due: int
    given_up: int
    problem: str | None


class NoticeMade(Wire):
    """A subscription; webhooks are signed with `signing_key`, which is shown once."""

    notice_id: str
    signing_key: str | None


class NoticeList(Wire):
    """All of them."""

    notices: list[NoticeSubscription]
