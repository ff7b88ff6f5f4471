"""A correction: posteriors that can be worked out by hand, what never changes anything, and how it is kept."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilowait.core.errors import InputError, ModelError
from kilowait.core.jobs import Prediction
from kilowait.predict.correction.blob import Packed, packed, unpacked
from kilowait.predict.correction.correction import Correction, ResidualProcess
from kilowait.predict.correction.covariance import JobFeatures, Likeness, Variances, VectorSpace
from kilowait.predict.correction.evidence import most_likely, winsorised
from kilowait.predict.correction.training import MeasuredJobs, calibrated, train
from kilowait.predict.device_model.calibration import Quantiles
from tests.support.examples import examples

NOTHING = dict.fromkeys(("site", "gpu_type", "source", "owner", "near", "near_on_type"), 0.0)
SPACE = VectorSpace(center=np.zeros(1, dtype=np.float32), spread=np.ones(1, dtype=np.float32))


def variances(**parts):
    """Only these parts, and a noise of variance 1."""
    return Variances(**{**NOTHING, "noise": 1.0, "width": 1.0, **parts})


def jobs(*rows):
    """(GPU type, source, owner, place on a line) a job."""
    types, sources, owners, places = zip(*rows, strict=True) if rows else ((),) * 4
    vectors = np.array(places, dtype=np.float32).reshape(len(rows), 1)
    return JobFeatures(gpu_type=types, source=sources, owner=owners, vector=np.arange(len(rows)), vectors=vectors)


def said(parts, measured, sought):
    """Mean and variance for `sought` after jobs with their residuals."""
    *_, residual = zip(*measured, strict=True)
    process = ResidualProcess(jobs(*(row[:4] for row in measured)), np.array(residual), variances(**parts))
    mean, variance = process.posterior(jobs(sought))
    return float(mean[0]), float(variance[0])


def measured(*rows, energy=math.nan):
    """(GPU type, source, owner, place, residual of the run time) a job."""
    types, sources, owners, places, residuals = zip(*rows, strict=True)
    return MeasuredJobs(
        gpu_type=types,
        source=sources,
        owner=owners,
        vectors=np.array(places, dtype=np.float32).reshape(len(rows), 1),
        runtime=np.array(residuals),
        energy=np.full(len(rows), energy),
    )


def correction(runtime, power=None, **more):
    """Of two processes on the line."""
    nothing = ResidualProcess(jobs(), np.zeros(0), variances())
    return Correction(base_version="b", space=SPACE, runtime=runtime, power=power or nothing, **more)


def test_one_job_of_the_same_source():
    # prior 3, noise 1: 3 / (3 + 1) of the residual is believed, and 3 - 9 / 4 of the variance stays, plus the noise
    row = ("A", "s", "ada", 0.0)
    assert said({"source": 3.0}, [(*row, 0.8)], row) == pytest.approx((0.6, 1.75))


def test_another_source_is_as_unknown_as_before():
    assert said({"source": 3.0}, [("A", "s", "ada", 0.0, 0.8)], ("A", "t", "ada", 0.0)) == pytest.approx((0.0, 4.0))


def test_two_jobs_of_one_source_count_twice():
    # the covariance is [[4, 3], [3, 4]], its inverse times (1, 1) is (1, 1) / 7: 3 (y1 + y2) / 7, and 3 - 18 / 7 + 1
    row = ("A", "s", "ada", 0.0)
    found = said({"source": 3.0}, [(*row, 0.4), (*row, 1.0)], row)
    assert found == pytest.approx((0.6, 10 / 7))


def test_a_type_takes_what_the_site_shares_and_its_own():
    # covariance of one job 1 + 2 + 1 = 4; a job on the same type shares 1 + 2 with it, on another type 1
    seen = [("A", "s", "ada", 0.0, 2.0)]
    parts = {"site": 1.0, "gpu_type": 2.0}
    assert said(parts, seen, ("A", "t", "", 0.0)) == pytest.approx((1.5, 4 - 9 / 4))
    assert said(parts, seen, ("B", "t", "", 0.0)) == pytest.approx((0.5, 4 - 1 / 4))


def test_nearness_falls_with_the_distance():
    # one width away the covariance is exp(-1 / 2) of the variance
    found = said({"near": 1.0}, [("A", "s", "", 0.0, 2.0)], ("B", "t", "", 1.0))
    assert found == pytest.approx((math.exp(-0.5), 2 - math.exp(-1) / 2))
    assert said({"near_on_type": 1.0}, [("A", "s", "", 0.0, 2.0)], ("B", "t", "", 1.0)) == pytest.approx((0.0, 2.0))


def test_an_owner_without_a_name_is_nobody():
    seen = [("A", "s", "", 0.0, 2.0)]
    assert said({"owner": 1.0}, seen, ("A", "t", "", 0.0))[0] == 0.0
    assert said({"owner": 1.0}, [("A", "s", "ada", 0.0, 2.0)], ("A", "t", "ada", 0.0))[0] == pytest.approx(1.0)


def test_energy_follows_run_time_and_power():
    row = ("A", "s", "", 0.0)
    runtime = ResidualProcess(jobs(row), np.array([0.8]), variances(source=3.0))
    power = ResidualProcess(jobs(row), np.array([-0.4]), variances(source=1.0))
    seen = {"A": Prediction(runtime_s=10.0, energy_kwh=2.0, probe_version="p", features="f")}
    ends = Quantiles(low=-2.0, high=1.0, programs=20)
    made = correction(runtime, power, quantiles={"runtime_s": ends})
    (found,) = made.apply(seen, source="s", owner="", vector=np.zeros(1, dtype=np.float32), version="v").values()
    assert found.runtime_s == pytest.approx(10 * math.exp(0.6))
    assert found.energy_kwh == pytest.approx(2 * math.exp(0.6 - 0.2))
    sd = math.sqrt(1.75)
    assert found.runtime_low_s == pytest.approx(found.runtime_s * math.exp(-2 * sd))
    assert found.runtime_high_s == pytest.approx(found.runtime_s * math.exp(sd))
    assert (found.energy_low_kwh, found.energy_high_kwh) == (None, None)
    assert (found.probe_version, found.features) == ("p+v", "f+correction")


def test_an_interval_of_energy_that_nobody_metered_moves_with_its_point():
    row = ("A", "s", "", 0.0)
    made = correction(ResidualProcess(jobs(row), np.array([0.8]), variances(source=3.0)))
    seen = {"A": Prediction(runtime_s=10.0, energy_kwh=2.0, energy_low_kwh=1.0, energy_high_kwh=6.0)}
    found = made.apply(seen, source="s", owner="", vector=np.zeros(1, dtype=np.float32))["A"]
    ends = (found.energy_low_kwh, found.energy_kwh, found.energy_high_kwh)
    assert ends == pytest.approx(tuple(math.exp(0.6) * kwh for kwh in (1.0, 2.0, 6.0)))


def test_jobs_without_a_meter_teach_run_time_and_leave_power_as_it_was():
    made = train(measured(*[("A", "s", "", 0.0, 0.7)] * 6), "b")
    seen = {"A": Prediction(runtime_s=10.0, energy_kwh=2.0)}
    found = made.apply(seen, source="s", owner="", vector=np.zeros(1, dtype=np.float32))["A"]
    assert found.runtime_s > 15
    assert found.energy_kwh / found.runtime_s == pytest.approx(2.0 / 10.0)


predictions = st.dictionaries(
    st.sampled_from("ABC"),
    st.builds(
        Prediction, runtime_s=st.floats(1e-3, 1e6), energy_kwh=st.floats(0, 1e6), features=st.sampled_from(["", "f"])
    ),
)


@given(predictions, st.floats(-5, 5))
def test_no_jobs_change_nothing(seen, place):
    nothing = correction(ResidualProcess(jobs(), np.zeros(0), Variances()))
    assert nothing.apply(seen, source="s", owner="ada", vector=np.array([place], dtype=np.float32)) == seen


@given(predictions)
def test_a_pretended_correction_speaks_only_of_its_own_types(seen):
    known = ResidualProcess(jobs(("A", "s", "", 0.0)), np.array([1.0]), Variances())
    found = correction(known, pretended=True).apply(seen, source="s", owner="", vector=np.zeros(1, dtype=np.float32))
    assert found.keys() == seen.keys()
    assert {t: p for t, p in found.items() if t != "A"} == {t: p for t, p in seen.items() if t != "A"}
    assert all(found[t].runtime_s > seen[t].runtime_s for t in seen if t == "A")


rows = st.lists(
    st.tuples(
        st.sampled_from("AB"), st.sampled_from("stuv"), st.sampled_from(["", "ada"]), st.floats(-3, 3), st.floats(-2, 2)
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda row: row,
)


@settings(max_examples=examples(30))
@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_jobs_does_not_matter_and_more_jobs_never_make_it_less_sure(found, random):
    process = ResidualProcess(jobs(*(row[:4] for row in found)), np.array([row[4] for row in found]), Variances())
    sought = jobs(("A", "s", "ada", 0.5), ("B", "new", "", 2.0))
    mean, variance = process.posterior(sought)
    mixed = random.sample(found, len(found))
    again = ResidualProcess(jobs(*(row[:4] for row in mixed)), np.array([row[4] for row in mixed]), Variances())
    assert np.allclose(again.posterior(sought), (mean, variance), atol=1e-4)
    fewer = ResidualProcess(jobs(*(row[:4] for row in found[1:])), np.array([row[4] for row in found[1:]]), Variances())
    assert (variance <= fewer.posterior(sought)[1] + 1e-4).all()
    assert (variance >= Variances().noise - 1e-6).all()


def test_one_failed_meter_does_not_move_the_site_and_an_agreed_change_does():
    base = [("A", f"s{i}", "", float(i), 0.1 * (-1) ** i) for i in range(20)]
    likeness = Likeness.among(jobs(*(row[:4] for row in base)))
    y = np.array([row[4] for row in base])
    failed = np.where(np.arange(20) == 7, 9.0, y)
    parts = variances(site=0.1, source=0.04, noise=0.01)
    held = winsorised(likeness, failed, parts)
    assert held[7] < 2
    assert (np.delete(held, 7) == np.delete(failed, 7)).all()
    everywhere = y + 1.5
    assert (winsorised(likeness, everywhere, parts) == everywhere).all()


def test_the_variances_say_what_the_jobs_share():
    rng = np.random.default_rng(0)
    of_source, noise = rng.normal(0, 0.8, 30), rng.normal(0, 0.05, (30, 3))
    found = [("A", f"s{i}", "", 100.0 * i, of_source[i] + noise[i, n]) for i in range(30) for n in range(3)]
    likeness = Likeness.among(jobs(*(row[:4] for row in found)))
    best = most_likely(likeness, np.array([row[4] for row in found]), without=("near", "near_on_type"))
    assert (best.near, best.near_on_type) == (0.0, 0.0)
    assert 0.3 < best.source < 1.2  # 0.64
    assert best.noise < 0.01  # 0.0025


def test_a_new_kind_of_job_is_learnt_and_its_intervals_hold():
    rng = np.random.default_rng(1)

    def some(count, first):
        rows = [("A", f"s{first + i}", "", rng.choice([0.0, 5.0]) + rng.normal(0, 0.1)) for i in range(count)]
        return measured(*[(*row, (0.9 if row[3] > 2 else -0.5) + rng.normal(0, 0.2)) for row in rows])

    made = calibrated(train(some(60, 0), "b"), some(300, 100))
    newer = some(300, 1000)
    mean, sd = made.residuals(newer.jobs(made.space))["runtime_s"]
    assert np.abs(newer.runtime - mean).mean() < 0.3 * np.abs(newer.runtime).mean()
    ends = made.quantiles["runtime_s"]
    inside = (newer.runtime >= mean + ends.low * sd) & (newer.runtime <= mean + ends.high * sd)
    assert 0.84 <= inside.mean() <= 0.96
    assert "energy_j" not in made.quantiles


def test_a_correction_is_read_back_as_it_was_and_edited_bytes_are_refused():
    rng = np.random.default_rng(2)
    rows = [(f"T{i % 2}", f"s{i % 7}", "ada", float(i % 7), rng.normal()) for i in range(25)]
    made = train(replace(measured(*rows), energy=np.where(np.arange(25) % 3, np.nan, 0.1)), "b", pretended=True)
    made = calibrated(made, measured(*rows[:5]))
    kept = packed(made)
    again = unpacked(kept)
    assert packed(again) == kept
    seen = {t: Prediction(runtime_s=3.0, energy_kwh=1.0) for t in ("T0", "T1", "T2")}
    how = {"source": "s3", "owner": "ada", "vector": np.array([3.0], dtype=np.float32)}
    assert again.apply(seen, **how) == made.apply(seen, **how)
    for part in ("description", "tensors"):
        edited = {"version": kept.version, "description": kept.description, "tensors": kept.tensors}
        edited[part] = edited[part][:-3] + edited[part][:3]
        with pytest.raises(ModelError, match=f"correction {kept.version}: its parts do not belong together"):
            unpacked(Packed(**edited))


def test_what_cannot_be_learnt_from_is_named():
    with pytest.raises(InputError, match="no measured job"):
        train(measured(("A", "s", "", 0.0, 0.5)).where(np.arange(0)), "b")
    with pytest.raises(InputError, match="must be finite"):
        measured(("A", "s", "", 0.0, math.inf))
    with pytest.raises(InputError, match=r"noise of a correction must be finite.*got 0"):
        Variances(noise=0)
    made = train(measured(("A", "s", "", 0.0, 0.5)), "b")
    with pytest.raises(ModelError, match=r"takes embeddings of 1 numbers, got 2.*refit"):
        made.apply({"A": Prediction(runtime_s=1.0, energy_kwh=1.0)}, source="s", owner="", vector=np.zeros(2))
