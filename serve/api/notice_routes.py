"""Routes of notices: who is told of what."""

import time

from fastapi import APIRouter

from kilowait.core.errors import InputError
from kilowait.history import notices
from kilowait.history.secrecy.sealing import opened, sealed
from kilowait.history.tokens import Identity
from kilowait.live.notifying.mailing import checked_address
from kilowait.live.notifying.messages import JobNotice
from kilowait.live.notifying.outward import checked_url

from ..desk.desk import Desk
from ..desk.notify_desk.notifier import TARGET, signing_key
from ..desk.notify_desk.worth_telling import row_of
from ..wire.notice_schemas import NoticeAsked, NoticeList, NoticeMade, NoticeSubscription
from ..wire.problems import Refusal
from .access import At, Reader, Submitter, the_settings

router = APIRouter(prefix="/v1")
UNKNOWN = "(encrypted with another key; remove it)"


@router.post("/notices", status_code=201)
async def subscribe(body: NoticeAsked, desk: At, who: Submitter) -> NoticeMade:
    """Be told of one's own jobs from now on."""
    settings, target = await the_settings(desk), body.target
    if body.kind == "mail":
        checked_address(target, settings.notices)
    else:
        checked_url(target)
        target = sealed(settings.secrets_key_file, TARGET, target)
    events = list(dict.fromkeys(body.events))
    notice_id = await desk.ask(notices.subscribe, who.owner, body.kind, target, events, body.name, time.time())
    key = signing_key(settings.secrets_key_file, notice_id) if body.kind == "webhook" else None
    return NoticeMade(notice_id=notice_id, signing_key=key)


@router.get("/notices")
async def list_notices(desk: At, who: Reader) -> NoticeList:
    """One's subscriptions, an operator sees everybody's."""
    owner = who.whose()
    rows, outcomes = await desk.ask(notices.subscriptions, owner), await desk.ask(notices.outcomes, owner)
    nothing = {"told": 0, "given_up": 0, "due": 0, "problem": None}
    key_file = (await the_settings(desk)).secrets_key_file
    return NoticeList(
        notices=[
            NoticeSubscription(
                notice_id=row["subscription_id"],
                owner=row["owner"],
                kind=row["kind"],
                target=row["target"] if row["kind"] == "mail" else _host(key_file, row["target"]),
                events=row["events"].split(","),
                name=row["name"],
                created_s=row["created_s"],
                **outcomes.get(row["subscription_id"], nothing),
            )
            for row in rows
        ]
    )


@router.delete("/notices/{notice_id}", status_code=204)
async def unsubscribe(notice_id: str, desk: At, who: Submitter) -> None:
    """Tell nothing more by it."""
    await _own(desk, who, notice_id)
    await desk.ask(notices.unsubscribe, notice_id)


@router.post("/notices/{notice_id}/test", status_code=202)
async def test(notice_id: str, desk: At, who: Submitter) -> NoticeMade:
    """Tell something now, to try it; the list says how that went."""
    row, now_s = await _own(desk, who, notice_id), time.time()
    message = JobNotice(event="test", subject=f"test-{int(now_s)}", owner=row["owner"], time_s=now_s)
    await desk.ask(notices.note, [row_of(row, message)])
    return NoticeMade(notice_id=notice_id, signing_key=None)


async def _own(desk: Desk, who: Identity, notice_id: str) -> notices.Row:
    for row in await desk.ask(notices.subscriptions, who.whose()):
        if row["subscription_id"] == notice_id:
            return row
    remedy = "list yours with GET /v1/notices, or: kilowait notify list"
    raise Refusal(404, "not found", f"no subscription {notice_id!r} of yours", field="notice_id", remedy=remedy)


def _host(key_file: str, target: str) -> str:
    """Where a webhook goes, without what only its owner knows; of one whose key is gone, that it can be removed."""
    try:
        parts = checked_url(opened(key_file, TARGET, target))
    except InputError:
        return UNKNOWN
    return f"{parts.scheme}://{parts.hostname}/..."
