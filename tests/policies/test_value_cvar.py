"""Value under uncertainty: `value` itself where nothing is uncertain, CVaR against drawn cases, orders by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilowait.core.errors import InputError
from kilowait.core.jobs import Job, Prediction
from kilowait.policies.value import value
from kilowait.policies.value_cvar import cvar, value_cvar
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission
from tests.support.examples import examples

Z95 = 1.6448536269514722  # of the standard normal distribution, from a table


def placed(policy, inventory, submissions):
    return [(p.job_id, p.gpu_type, p.start_s) for p in simulate(submissions, inventory, policy).placements]


def around(runtime_s, energy_kwh=0.0, *, factor=1.0, energy_factor=1.0):
    """Intervals from a `factor` below to a `factor` above."""
    energy = {"energy_low_kwh": energy_kwh / energy_factor, "energy_high_kwh": energy_kwh * energy_factor}
    return Prediction(
        runtime_s=runtime_s, energy_kwh=energy_kwh, runtime_low_s=runtime_s / factor,
        runtime_high_s=runtime_s * factor, **(energy if energy_kwh else {}),
    )  # fmt: skip


def one(job_id, submit_s=0, **seen):
    truth = {t: Prediction(runtime_s=10, energy_kwh=0) for t in seen}
    return Submission(job=Job(job_id=job_id, submit_s=submit_s), truth=truth, seen=seen)


@st.composite
def worlds(draw, intervals):
    inventory = {t: draw(st.integers(1, 3)) for t in ("A", "B")}
    submissions = []
    for serial in range(draw(st.integers(1, 10))):
        allowed = sorted(draw(st.sets(st.sampled_from(("A", "B")), min_size=1)))
        times, energies = (draw(st.lists(st.floats(0.1, 9), min_size=2, max_size=2)) for _ in range(2))
        made = around if intervals else lambda s, kwh: Prediction(runtime_s=s, energy_kwh=kwh)
        seen = {t: made(s, kwh) for t, s, kwh in zip(allowed, times, energies, strict=False)}
        what = Job(job_id=str(serial), submit_s=draw(st.integers(0, 9)), gpus=draw(st.integers(1, 3)))
        submissions.append(Submission(job=what, truth=seen, seen=seen))
    return inventory, submissions


@settings(max_examples=examples(150))
@given(st.booleans().flatmap(worlds), st.sampled_from((0.0, 0.5, 0.95)), st.sampled_from((0.0, 0.125, 3.0)))
def test_without_intervals_or_without_width_it_is_value(world, risk, kappa):
    inventory, submissions = world
    for weight in ({"kappa": kappa}, {"kappa_relative": kappa}):
        expected = placed(value(**weight), inventory, submissions)
        assert placed(value_cvar(risk=risk, **weight), inventory, submissions) == expected


@pytest.mark.parametrize("risk", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize(("low", "high"), [(1.0, 4.0), (7.0, 7.5)])
def test_cvar_is_the_mean_of_the_worst_cases_that_are_drawn(risk, low, high):
    """10^6 draws of a log-normal with these 5% and 95% quantiles; the mean of a tail is within 1%."""
    mean, sigma = math.log(low * high) / 2, math.log(high / low) / 2 / Z95
    cases = np.sort(np.random.default_rng(5).lognormal(mean, sigma, 1_000_000))
    assert np.quantile(cases, [0.05, 0.95]) == pytest.approx([low, high], rel=0.01)
    assert cvar((low + high) / 2, low, high, risk) == pytest.approx(cases[int(risk * len(cases)) :].mean(), rel=0.01)


@given(st.floats(1e-9, 1e9), st.floats(1, 1e6), st.floats(0, 0.99), st.floats(0, 0.99))
def test_more_risk_aversion_and_more_width_never_shorten(point, factor, one_risk, another):
    less, more = sorted((one_risk, another))
    low, high = point / factor, point * factor
    assert cvar(point, low, high, less) <= cvar(point, low, high, more) * (1 + 1e-9)
    assert cvar(point, low, high, less) >= point * (1 - 1e-9)


def test_an_interval_as_wide_as_floats_go_stays_a_number():
    assert math.isfinite(cvar(1.0, 1e-300, 1e300, 0.99))


def test_the_sure_job_goes_first_although_it_is_longer():
    """E[t] of `unsure`: s = ln 4 / 1.645 = 0.843, so 10 exp(s^2 / 2) = 14.3 > 12."""
    jobs = [one("unsure", A=around(10, factor=4)), one("sure", A=around(12))]
    assert [job_id for job_id, _, _ in placed(value(kappa=0), {"A": 1}, jobs)] == ["unsure", "sure"]
    assert [job_id for job_id, _, _ in placed(value_cvar(kappa=0, risk=0), {"A": 1}, jobs)] == ["sure", "unsure"]


def test_aversion_turns_the_order_where_means_do_not():
    """E[t] of `unsure` at factor 2: s = 0.421, 10 exp(0.0888) = 10.93 < 12; its worst half: 14.4 > 12."""
    jobs = [one("unsure", A=around(10, factor=2)), one("sure", A=around(12))]
    orders = {risk: placed(value_cvar(kappa=0, risk=risk), {"A": 1}, jobs)[0][0] for risk in (0, 0.5)}
    assert orders == {0: "unsure", 0.5: "sure"}


def test_of_two_types_the_surer_energy_wins():
    """1 kWh on both in the middle; E[e] on A with factor 4 is 1.43."""
    job = one("j", A=around(10, 1, energy_factor=4), B=around(10, 1))
    assert placed(value(kappa=1), {"A": 1, "B": 1}, [job])[0][1] == "A"
    assert placed(value_cvar(kappa=1, risk=0), {"A": 1, "B": 1}, [job])[0][1] == "B"


def test_jobs_of_one_width_keep_the_order_of_value():
    seen = [(9.0, "a"), (3.0, "b"), (5.0, "c")]
    jobs = [one(name, A=around(s, factor=3)) for s, name in seen]
    assert [j for j, _, _ in placed(value_cvar(kappa=0, risk=0.9), {"A": 1}, jobs)] == ["b", "c", "a"]


@pytest.mark.parametrize("risk", [-0.1, 1.0, math.nan])
def test_a_risk_outside_its_range_is_refused(risk):
    with pytest.raises(InputError, match=f"risk must be >= 0 and < 1, got {risk}"):
        value_cvar(kappa=0, risk=risk)
