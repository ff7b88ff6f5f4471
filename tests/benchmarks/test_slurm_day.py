"""The days through Slurm: what is submitted when, and how a predicted limit comes about. No Slurm is started."""

import math

import pytest

from benchmarks.compressed_slurm import StartedJob
from benchmarks.slurm_day import _work, busiest_days, predicted_limit_s, read_log, score
from kilowait.core.units import DAY_S

LOG = """\
; MaxProcs: 240
1 86000 100 1000 4 -1 -1 4 3600 -1 1 1 1 -1 1 -1 -1 -1
2 86000 5000 1000 8 -1 -1 8 500 -1 1 1 1 -1 1 -1 -1 -1
3 90000 3600 60 2 -1 -1 2 7200 -1 1 1 1 -1 1 -1 -1 -1
4 10 20 30 1 -1 -1 1 60 -1 1 1 1 -1 1 -1 -1 -1
5 90001 -1 60 2 -1 -1 2 7200 -1 1 1 1 -1 1 -1 -1 -1
"""


@pytest.fixture
def jobs(tmp_path):
    (tmp_path / "log.swf").write_text(LOG)
    found, processors = read_log(tmp_path / "log.swf")
    assert processors == 240
    return found


def test_what_ran_runs_on_what_waited_is_first_and_the_rest_comes_in_time(jobs):
    assert [job.name for job in jobs] == ["4", "1", "2", "3"]
    work = _work(jobs, DAY_S, {job.name: 77.0 for job in jobs})
    assert [(one.name, one.at_s, one.run_s, one.limit_s) for one in work] == [
        ("1", 0.0, 700.0, 3300.0),  # begun at 86,100 for 1,000 s, and what was left of its hour
        ("2", 0.0, 500.0, 77.0),  # it ran for longer than it asked for
        ("3", 3600.0, 60.0, 77.0),
    ]
    assert busiest_days(jobs, 2) == [0, 1]


def test_a_predicted_limit_is_the_upper_end_and_five_minutes():
    score_of = {"bias": 1.0, "width": 4.0, "needed_width": 9.0}
    assert predicted_limit_s(3600, score_of, 0.0, math.inf) == 7500  # twice the hour
    assert predicted_limit_s(3600, score_of, -1.65, math.inf) == 2700  # a bit below a third was expected
    assert predicted_limit_s(3600, score_of, 3.0, 9000.0) == 9000


def test_who_is_ended_by_a_limit_is_told_from_who_took_long_to_start(jobs):
    def started(state):
        return StartedJob(submit_s=0.0, start_s=3600.0, end_s=None, state=state)

    limits = {"1": 999.0, "2": 600.0, "3": 60.0}
    states = {"1": started("TIMEOUT"), "2": started("RUNNING"), "3": started("TIMEOUT")}
    row = score(0, "some", jobs[1:], limits, states)
    assert (row["killed"], row["by_slurm"], row["in_vain"], row["mean_wait_h"]) == (1, 1, 1, 1.0)
    assert row["killed_processor_h"] == pytest.approx(4 * 999 / 3600)
