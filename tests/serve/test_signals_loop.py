"""The loop that follows the signals of a site: what could not be kept is kept later, what is known is not repeated."""

import asyncio

import pytest

from kilowait.core.errors import StoreError
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.live.signalling.signal_source import signal_source
from kilowait.policies.simple import simple
from serve.scheduler.signals_loop import SignalsLoop


@pytest.fixture
def live(tmp_path):
    controller = Controller(Store(f"{tmp_path}/kilowait.db"), simple(), order=("A",))
    yield controller
    controller.store.close()


@pytest.fixture
def source(tmp_path):
    days = "2025-01-01T00:00:00Z,300\n2025-01-02T00:00:00Z,200\n"
    (tmp_path / "carbon.csv").write_text(f"datetime_utc,gco2_per_kwh\n{days}")
    return signal_source(f"carbon={tmp_path}/carbon.csv")


async def followed(live, source, until):
    loop = SignalsLoop(live, [source], 0.01, asyncio.Event())
    running = asyncio.create_task(loop.run())
    try:
        async with asyncio.timeout(10):
            while not until(loop):
                assert not running.done()
                await asyncio.sleep(0.01)
    finally:
        running.cancel()


def test_a_signal_that_could_not_be_kept_is_kept_at_a_later_look(live, source, monkeypatch):
    real, refused = live.signal_reported, list[float]()

    def report(signal, now_s):
        if not refused:
            refused.append(now_s)
            raise StoreError("the disk is full")
        real(signal, now_s)

    monkeypatch.setattr(live, "signal_reported", report)
    asyncio.run(followed(live, source, lambda _: "carbon" in live.cluster.signals))
    assert len(refused) == 1


def test_a_scheduler_that_starts_again_says_nothing_that_is_known(live, source, monkeypatch):
    asyncio.run(followed(live, source, lambda _: "carbon" in live.cluster.signals))
    looks = list[None]()
    look = type(source).look
    monkeypatch.setattr(type(source), "look", lambda self: looks.append(None) or look(self))
    asyncio.run(followed(live, source, lambda _: len(looks) > 2))
    assert [type(event).__name__ for _, event in live.store.events()] == ["SignalReported"]
