"""What the page draws, as data, with the drawing where a width is given."""

import time
from typing import Annotated

from fastapi import APIRouter, Query, Request

from ..desk.drawing.coming_day import coming_day
from ..desk.drawing.live_timeline import Window, live_timeline
from ..desk.drawing.power_day import power_day
from ..wire.page_schemas import PowerDay
from ..wire.timeline_schemas import ComingDay, Timeline
from .access import At, Reader

router = APIRouter(prefix="/v1")
Moment = Annotated[float | None, Query(ge=0, le=1e11, description="seconds since the epoch")]
Width = Annotated[int | None, Query(ge=280, le=4000, description="pixels; then there is a picture too")]


@router.get("/timeline")
async def timeline(
    desk: At,
    who: Reader,
    since_s: Moment = None,
    until_s: Moment = None,
    gpu_type: Annotated[str | None, Query(max_length=200)] = None,
    width_px: Width = None,
) -> Timeline:
    """Which jobs had, have and are planned to have which boards; at least a minute of it.

    Left open, it begins and ends with what runs, has ended of late or is planned, at most a day to either side.
    """
    return await live_timeline(
        desk, who, Window(since_s=since_s, until_s=until_s, gpu_type=gpu_type, width_px=width_px)
    )


@router.get("/power")
async def power(request: Request, _: Reader) -> PowerDay:
    """The power of today's jobs since midnight UTC, beside what the rule Simple would have drawn with the same ones."""
    return power_day(await request.app.state.days.day(), time.time())


@router.get("/coming-day")
async def coming(desk: At, _: Reader) -> ComingDay:
    """The site's signals (carbon, price, water) over the coming 24 hours, and the power of what runs and is planned."""
    mirror, expected = await desk.mirror(), await desk.expected()
    return coming_day(mirror.cluster, expected, time.time())
