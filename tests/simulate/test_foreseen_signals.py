"""What is known of a signal at each hour, by each kind of foresight."""

import pytest

from kilowait.core.errors import InputError
from kilowait.core.over_time.signals import Signal
from kilowait.simulate.foreseen_signals import reports
from tests.support.hourly_signals import hourly

H = 3600.0


TWO_DAYS = hourly(*map(float, range(48)), begins_h=-24)


def known(signal, foresight, now_h, *hours):
    """What was foreseen of these hours at `now_h`."""
    last = [report for report in reports([signal], foresight) if report.time_s <= now_h * H][-1].signal
    return [last.at(h * H) for h in hours]


def test_perfect_foresight_is_the_signal_and_repeats_its_last_day():
    (report,) = reports([TWO_DAYS])
    assert (report.time_s, report.signal.at(5 * H), report.signal.at(30 * H)) == (0, 29, 30)


def test_yesterday_is_the_present_and_the_last_day_again():
    assert known(TWO_DAYS, "yesterday", 2, 2, 3, 4, 25) == [26, 3, 4, 25]
    late = hourly(5.0, 6.0, 7.0)
    assert known(late, "yesterday", 1, 1, 2, 9) == [6, 6, 6]  # nobody knows a day before it


def test_behind_the_day_that_is_foreseen_stands_the_average_of_the_last_week():
    days = hourly(*(float(h // 24) for h in range(24 * 10)), begins_h=-24 * 8)
    assert known(days, "yesterday", 0, 0, 1, 23, 24, 47, 240) == [8, 7, 7, 4, 4, 4]  # of days 1 to 7
    two = hourly(*(float(h // 24) for h in range(24 * 4)), begins_h=-24 * 2)
    assert known(two, "yesterday", 6, 6, 7, 18, 30, 42) == [2, 1, 1, 0.5, 0.5]


def test_a_forecast_without_times_of_issue_is_known_a_day_ahead():
    forecast = hourly(*(100.0 + k for k in range(48)), begins_h=-24)
    assert known(TWO_DAYS, {"carbon": [forecast]}, 2, 2, 3, 23) == [26, 127, 147]


def test_forecasts_are_known_from_their_issue_on():
    old, new = (hourly(v, v + 1.0, begins_h=h, issued_s=h * H) for v, h in ((10.0, -1), (20.0, 2)))
    late = hourly(30.0, begins_h=3, issued_s=3 * H)
    assert [r.time_s / H for r in reports([TWO_DAYS], {"carbon": [old, new, late]})] == [0, 2, 3]
    assert known(TWO_DAYS, {"carbon": [old, new]}, 2, 2, 3, 4) == [20, 21, 20]


def test_reports_of_several_signals_are_in_order():
    water = Signal(name="water", times_s=(-90000.0, 1800.0), values=(1.0, 2.0), ends_s=4 * H)
    times = [report.time_s for report in reports([TWO_DAYS, water], "yesterday")]
    assert times == sorted(times)
    with pytest.raises(InputError, match="foresight must be perfect, yesterday or forecasts by signal, got 'tomorrow'"):
        list(reports([water], "tomorrow"))
