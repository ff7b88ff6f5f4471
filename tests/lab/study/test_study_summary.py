"""What the study says of rows that one can add up by hand."""

import numpy as np
import pytest

from kilowait.core.errors import InputError
from kilowait.lab.backtest.statistics import change_interval, difference_interval
from kilowait.lab.study import effects
from kilowait.lab.study.effects import BOOTSTRAP_SEED, NUMBERS, groups, select, split
from kilowait.lab.study.rates_section import overheads
from kilowait.lab.study.sections import information_section
from kilowait.report.interval import Interval


def row(policy, information, waits, energies, *, part="information", x=None, world="w"):
    """One row a sample."""
    return [
        dict.fromkeys(NUMBERS, 1.0)
        | {"part": part, "world": world, "information": information, "x": x, "policy": policy, "sample": k}
        | {"jobs": 10, "total_wait_s": wait, "energy_kwh": energy}
        for k, (wait, energy) in enumerate(zip(waits, energies, strict=True))
    ]


SIMPLE = row("simple", "oracle", (100, 300), (10, 30))
ROWS = [
    *SIMPLE,
    *row("greedy", "no prediction", (500, 500), (10, 10)),
    *row("value", "no prediction", (90, 270), (10, 30)),
    *row("value", "model (m)", (50, 150), (9, 27)),
    *row("value", "oracle", (40, 120), (8, 24)),
]


def test_changes_are_of_totals_and_an_even_gain_has_no_spread():
    found = {(g.place.policy, g.place.information): g for g in groups(ROWS)}
    value = found["value", "model (m)"]
    assert (value.waiting.estimate, value.energy.estimate) == pytest.approx((-0.5, -0.1))
    assert (value.energy.low, value.energy.high) == pytest.approx((-0.1, -0.1))
    assert found["greedy", "no prediction"].waiting.estimate == pytest.approx(1.5)
    assert found["simple", "oracle"].waiting.estimate == 0


def test_the_best_gain_is_split_into_policy_and_prediction():
    found = groups(ROWS)
    waiting = {s.among: s for s in split(found, "total_wait_s")}
    assert (waiting["no oracle"].best.place.information, waiting["all"].best.place.information) == (
        "model (m)",
        "oracle",
    )
    # of the 60% that the oracle's Value saves, 10% come without any prediction
    assert waiting["all"].alone.waiting.estimate == pytest.approx(-0.1)
    assert waiting["all"].added.estimate == pytest.approx(-0.5)
    # Greedy saves half of the energy, but makes jobs wait longer than Simple does
    assert {s.best.place.policy for s in split(found, "energy_kwh")} == {"value"}


def test_rows_by_sample_are_paired_whatever_their_order():
    shuffled = [*reversed(ROWS)]
    assert {(g.place.policy, g.place.information, g.energy) for g in groups(shuffled)} == {
        (g.place.policy, g.place.information, g.energy) for g in groups(ROWS)
    }


def test_types_are_compared_with_simple_on_as_many_types():
    found = groups(
        [
            *row("simple", "oracle", (10,), (10,), part="types", x=2.0),
            *row("value", "oracle", (5,), (10,), part="types", x=2.0),
            *row("simple", "oracle", (100,), (10,), part="types", x=40.0),
            *row("value", "oracle", (90,), (10,), part="types", x=40.0),
        ]
    )
    changes = [g.waiting.estimate for g in select(found, "types") if g.place.policy == "value"]
    assert changes == pytest.approx([-0.5, -0.1])


def test_a_group_without_simple_on_its_samples_is_an_error():
    with pytest.raises(InputError, match="no run of simple on the same samples"):
        groups([*SIMPLE, *row("value", "oracle", (1,), (1,))])
    with pytest.raises(InputError, match="no run of simple"):
        groups(row("value", "oracle", (1,), (1,), part="error", x=0.1))


def test_nothing_to_wait_for_is_no_gain():
    found = groups([*row("simple", "oracle", (0,), (10,)), *row("value", "no prediction", (0,), (9,))])
    assert split(found, "total_wait_s") == []
    assert split(found, "energy_kwh")[0].best.energy.estimate == pytest.approx(-0.1)


def test_a_difference_of_changes_by_hand():
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    found = difference_interval([1, 2], [3, 4], [10, 10], rng)
    assert (found.estimate, found.low, found.high) == pytest.approx((-0.2, -0.2, -0.2))
    with pytest.raises(InputError, match="got 1 and 2"):
        difference_interval([1], [3, 4], [10, 10], rng)


def rate(policy, rate, placed, seconds, kwh):
    finished = kwh is not None
    return {"policy": policy, "rate": rate, "jobs": 100, "placed": placed, "scheduler_s": seconds, "finished": finished,
            "energy_kwh": kwh}  # fmt: skip


def test_overhead_and_benefit_by_hand():
    rows = [rate("simple", 1.0, 100, 1.0, 2.0), rate("value", 1.0, 100, 2.0, 1.0), rate("slow", 1.0, 50, 9.0, None)]
    costs = {(c.policy, c.where): c for c in overheads(rows, groups(ROWS), 10.0)}
    value = costs["value", "1 short jobs a second"]
    # 2 s for 100 jobs at 10 W are 0.2 J a job; 1 kWh over 100 jobs is 36 kJ a job
    assert (value.scheduler_s, value.cost_j, value.saved_j) == pytest.approx((0.02, 0.2, 36_000))
    assert costs["slow", "1 short jobs a second"].saved_j is None
    # in the world the policy took 1 s a sample for 10 jobs, and saved 8 of 40 kWh over 20 jobs
    world = costs["value", "w"]
    assert (world.scheduler_s, world.cost_j, world.saved_j) == pytest.approx((0.1, 1.0, 1.44e6))


def test_every_interval_is_drawn_once_however_often_it_is_shown(monkeypatch):
    drawn = []

    def counting(ours, baseline, rng):
        drawn.append((*ours, "of", *baseline))
        return change_interval(ours, baseline, rng)

    monkeypatch.setattr(effects, "change_interval", counting)
    found = groups(ROWS)
    section = information_section(found)
    shown = [(g["policy"], g["information"], g["change"]) for g in section.data]
    assert len(drawn) == len(ROWS) // 2 * 2  # groups of two samples, two metrics
    energy = change_interval([9, 27], [10, 30], np.random.default_rng(BOOTSTRAP_SEED))
    assert ("value", "model (m)", energy) in [
        (policy, information, Interval(**change["jobs' energy"])) for policy, information, change in shown
    ]
    information_section(found)
    assert len(drawn) == len(ROWS) // 2 * 2
