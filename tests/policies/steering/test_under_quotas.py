"""A price that steers itself under quotas that operators set: it sees the whole queue, and so do its shadows."""

import pytest

from kilowait.cluster.advance import advance
from kilowait.cluster.events import AttemptFinished, GpusJoined, QuotaSet
from kilowait.core.quotas import Quota
from kilowait.live.deciding import held_to
from kilowait.policies.patient import patient
from kilowait.policies.steering.steered import price_in_force
from tests.support.short_jobs import placed, short_jobs


def test_a_quota_that_hides_jobs_leaves_the_price_as_it_was_learned(one_board):
    """A second board, and a user who may have one of them: three jobs wait as they would under a limited value,
    whatever the price, so the highest is found: three jobs' weight on 16,000 s, ten's on 1,000 s, each time."""
    advance(one_board, GpusJoined(time_s=0.0, node="m", gpu_type="A", gpus=1))
    advance(one_board, QuotaSet(time_s=0.0, quota=Quota(name="each", gpus=1)))
    policy = held_to(patient(max_extra_wait=0.0))
    short_jobs(one_board, "a", "b", "c", user="ada")
    for number, job_id in enumerate("abc"):
        one_board.now_s = 100.0 * number
        assert [place.job_id for place in policy(one_board)] == [job_id]
        assert price_in_force(policy) == pytest.approx((1000.0**10 * 16_000.0**3) ** (1 / 13))
        placed(one_board, job_id, where=one_board.locate(one_board.waiting[job_id], "A"))
        one_board.now_s += 50.0
        assert policy(one_board) == []  # those that wait are hidden
        advance(one_board, AttemptFinished(time_s=100.0 * (number + 1), job_id=job_id, attempt=1))


def test_shadows_know_what_users_have_had_of_a_month(one_board):
    """A job took 1 of the 1.5 kWh that `ada` may have in 30 days: another waits, in the shadows of a price that only
    begins to steer itself then as well, and so does not lower it."""
    advance(one_board, QuotaSet(time_s=0.0, quota=Quota(name="each", kwh=1.5)))
    one_board.count_submissions()
    short_jobs(one_board, "a", user="ada", kwh=1.0)
    placed(one_board, "a")
    advance(one_board, AttemptFinished(time_s=100.0, job_id="a", attempt=1))
    policy = held_to(patient(max_extra_wait=0.0))
    short_jobs(one_board, "b", user="ada", kwh=1.0)
    assert policy(one_board) == []
    one_board.now_s = 10_000.0
    short_jobs(one_board, "c", user="eve", kwh=1.0)
    assert [place.job_id for place in policy(one_board)] == ["c"]
    assert price_in_force(policy) == pytest.approx((1000.0**10 * 16_000.0**2) ** (1 / 12))
