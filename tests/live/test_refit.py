"""Learning from a history: what teaches, how candidates are compared, and when one is promoted."""

import math

import numpy as np
import pytest

from kilowait.core.errors import InputError
from kilowait.core.jobs import Prediction, Provenance
from kilowait.core.submission import Ending
from kilowait.history import models
from kilowait.live.learning.compare import ALL, NEW, first_tested, needed, scores, verdict
from kilowait.live.learning.drift import drift
from kilowait.live.learning.observed import Seen, count, measured_types, observed, recent
from kilowait.live.learning.refit import RefitOutcome, in_force, refit
from pipelines import refit as command
from tests.support.learning_world import BASE, History, corrected


@pytest.fixture
def history(tmp_path):
    history = History(f"sqlite:///{tmp_path}/kilowait.db")
    yield history
    history.store.close()


def predicted(store, place=5.0, source="never seen"):
    """The run time that the model in force expects on A of a source at a place; the base says 10 s."""
    found = in_force(store)
    if found is None:
        return 10.0
    seen = {"A": Prediction(runtime_s=10.0, energy_kwh=1.0)}
    vector = np.array([place, 1.0], dtype=np.float32)
    return found[1].apply(seen, source=source, owner="", vector=vector)["A"].runtime_s


def test_only_what_was_measured_and_ended_well_teaches(history):
    kept = history.ran("good", 2.0)
    history.ran("pretended", 2.0, how=Provenance.PRETENDED)
    history.ran("failed", 2.0, ending=Ending(exit_code=1, reason="exit code 1"))
    history.ran("no measurement", 2.0, ending=Ending(exit_code=0))
    lacking = history.ran("no base", 3.0, base="")
    other = history.ran("other base", 3.0, base="base-0")
    found = observed(history.store, BASE)
    assert (found.job_id, found.lacking) == ((kept,), 2)
    assert found.measured.runtime.tolist() == pytest.approx([math.log(2)])
    assert np.isnan(found.measured.energy).all()  # estimated from peak power: no label
    assert observed(history.store, "base-0").job_id == (other,)
    assert count(history.store) == 3
    assert len(recent(history.store, 2)) == 2
    assert lacking not in found.job_id


def test_energy_that_a_meter_read_is_learnt(history):
    history.ran("metered", 2.0, energy_how=Provenance.MEASURED)
    found = observed(history.store, BASE).measured
    assert found.energy.tolist() == pytest.approx([math.log(2)])


def test_pretended_jobs_teach_only_when_asked_and_never_of_a_type_that_is_real(history):
    history.ran("real", 2.0, "A")
    history.ran("try-out on A", 3.0, "A", how=Provenance.PRETENDED)
    tried = history.ran("try-out on B", 3.0, "B", how=Provenance.PRETENDED)
    assert observed(history.store, BASE, pretended=True).job_id == (tried,)
    assert measured_types(history.store) == {"A"}


@pytest.mark.parametrize(
    ("jobs", "since", "first"),
    [(19, 19, None), (20, 20, 10), (100, 100, 80), (1000, 1000, 800), (100, 19, None), (100, 20, 90), (1000, 100, 950)],
)
def test_the_newest_fifth_is_tested_and_half_of_what_is_new_at_most(jobs, since, first):
    assert first_tested(jobs, since) == first
    if first is None:
        assert first_tested(jobs + needed(jobs, since), since + needed(jobs, since)) is not None
        assert first_tested(jobs + needed(jobs, since) - 1, since + needed(jobs, since) - 1) is None


def errors(base, candidate, energy=None):
    energy = energy if energy is not None else np.full(len(base), np.nan)
    return {
        "runtime_s": {"base": np.array(base), "candidate": np.array(candidate)},
        "energy_j": {"base": energy, "candidate": energy + 0.5},
    }


def test_scores_by_hand():
    found = scores(errors([0.4, 0.2, 0.6], [0.1, 0.1, 0.4]), ["s", "s", "t"], np.array([False, False, True]))
    by = {score.jobs_kind: score for score in found}
    assert (by[ALL].jobs, by[ALL].sources, by[NEW].jobs) == (3, 2, 1)
    assert by[ALL].difference == pytest.approx(-0.2)
    assert by[ALL].median == pytest.approx({"base": 0.4, "candidate": 0.1})
    assert (by[NEW].low, by[NEW].high) == pytest.approx((-0.2, -0.2))
    # of two sources one is drawn twice, or both: the means are -0.2 (s, twice), -0.2 (t, twice) or all three
    assert (by[ALL].low, by[ALL].high) == pytest.approx((-0.2, -0.2))


def test_better_by_chance_is_not_better_and_worse_energy_is_not_taken():
    names = [f"s{i}" for i in range(20)]
    base = np.full(20, 0.5)
    sure = verdict(scores(errors(base, base - 0.2), names, np.ones(20, dtype=bool)))
    assert sure[0]
    assert "better than base on the newest 20 jobs" in sure[1]
    chance = base + np.where(np.arange(20) % 2, 0.4, -0.41)
    assert not verdict(scores(errors(base, chance), names, np.ones(20, dtype=bool)))[0]
    worse = verdict(scores(errors(base, base - 0.2, base), names, np.ones(20, dtype=bool)))
    assert not worse[0]
    assert "worse on energy_j" in worse[1]
    few = verdict(scores(errors(base, base - 0.2), ["s"] * 20, np.ones(20, dtype=bool)))
    assert few == (False, "the newest jobs are of fewer than 5 sources")


def test_a_new_kind_is_learnt_promoted_and_rolled_back(history):
    early = history.kind(12, 4.0)
    found = refit(history.store, now_s=1e6)
    assert (found.outcome, found.reason) == (
        RefitOutcome.TOO_FEW,
        "needs at least 8 more measured jobs; 12 teach, 12 of them since the model in force",
    )
    history.kind(28, 4.0, first=100)
    only = refit(history.store, now_s=1e6, only_compare=True)
    assert (only.outcome, only.trained, only.tested, models.listed(history.store)) == (RefitOutcome.BETTER, 30, 10, [])
    found = refit(history.store, now_s=1e6)
    assert found.outcome is RefitOutcome.PROMOTED
    (model,) = models.listed(history.store)
    assert (model.version, model.state, model.jobs) == (found.version, "current", 40)
    assert model.newest_job > early[-1]
    assert 25 < predicted(history.store) < 50  # it takes 40 s
    again = refit(history.store, now_s=1e6)
    assert again.outcome is RefitOutcome.TOO_FEW  # nothing is new since
    models.rollback(history.store, who="ada", reason="try", now_s=2e6)
    assert predicted(history.store) == 10.0
    models.promote(history.store, found.version, who="ada", reason="try", now_s=3e6)
    assert 25 < predicted(history.store) < 50


def test_what_is_right_already_is_not_replaced(history):
    history.kind(40, 1.0, sd=0.02)
    found = refit(history.store, now_s=1e6)
    assert found.outcome is RefitOutcome.NOT_BETTER
    assert found.reason.startswith("not better than base on the newest 10 jobs")
    assert [model.state for model in models.listed(history.store)] == ["candidate"]
    assert in_force(history.store) is None


def test_a_repeated_source_takes_its_own_measurements(history):
    for run in range(8):
        for n in range(6):
            history.ran(f"s{n}", (8.0 if n == 3 else 1.0) * 1.01**run, place=float(n))
    assert refit(history.store, now_s=1e6).outcome is RefitOutcome.PROMOTED
    assert predicted(history.store, 3.0, "s3") == pytest.approx(80, rel=0.15)
    assert predicted(history.store, 2.0, "s2") == pytest.approx(10, rel=0.15)
    assert predicted(history.store, 3.0, "a rewritten s3") < 60


def test_pretended_jobs_never_change_a_real_type(history):
    history.kind(40, 4.0, gpu_type="B", how=Provenance.PRETENDED)
    real = refit(history.store, now_s=1e6)
    assert real.outcome is RefitOutcome.TOO_FEW
    assert real.reason.endswith(
        "0 teach, 0 of them since the model in force; 40 on pretended GPUs teach only when asked to (--pretended)"
    )
    assert refit(history.store, now_s=1e6, pretended=True).outcome is RefitOutcome.PROMOTED
    _, correction = in_force(history.store)
    seen = {t: Prediction(runtime_s=10.0, energy_kwh=1.0) for t in "AB"}
    found = correction.apply(seen, source="s", owner="", vector=np.array([5.0, 1.0], dtype=np.float32))
    assert found["A"] == seen["A"]
    assert found["B"].runtime_s > 20


def test_a_history_without_base_predictions_says_so(history):
    with pytest.raises(InputError, match="no base prediction was kept yet"):
        refit(history.store, now_s=1.0)


def seen_by(version, errors, low=0.5, high=2.0):
    found = corrected(version, 10.0, 10 * low, 10 * high)["A"]
    return [Seen(predicted=found, runtime_s=10 * math.exp(error)) for error in errors]


def test_drift_is_told_from_the_errors_that_were_promised():
    promised = np.linspace(0.0, 0.4, 41).tolist()
    rng = np.random.default_rng(0)
    well = seen_by("v", rng.choice(promised, 50) * rng.choice([-1, 1], 50))
    assert drift(well, "v", promised).beyond == ""
    moved = seen_by("v", np.linspace(0.3, 0.6, 50))
    found = drift(moved, "v", promised)
    assert found.median == pytest.approx(0.45)
    assert "median |log error| 0.450 above" in found.beyond
    narrow = drift(seen_by("v", np.linspace(-0.3, 0.3, 50), 0.9, 1.1), "v", promised)
    assert narrow.coverage == pytest.approx(0.34)  # 17 errors lie between ln 0.9 and ln 1.1
    assert narrow.beyond.startswith("coverage 0.34 below 0.80")
    assert drift(moved[:19], "v", promised) is None
    assert drift(moved, "another", promised) is None


def test_the_command_says_what_it_did_by_its_exit_code(history, tmp_path, capsys):
    url = f"sqlite:///{tmp_path}/kilowait.db"
    assert command.main(["--database", url]) == 2
    history.kind(10, 4.0)
    assert command.main(["--database", url]) == 4
    history.kind(20, 4.0, first=100)
    assert command.main(["--database", url, "--only-compare"]) == 0
    assert models.listed(history.store) == []
    assert command.main(["--database", url]) == 0
    said = capsys.readouterr().out
    assert "20 jobs taught, 10 newer ones tested" in said
    assert "promoted: " in said
    assert command.main(["--database", str(tmp_path / "no" / "where.db")]) == 1
