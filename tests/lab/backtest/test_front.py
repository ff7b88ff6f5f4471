"""The Pareto front of waiting against energy, and picks by weights or budget, all worked out by hand."""

import json
import math

import pytest

from kilowait.core.errors import InputError
from kilowait.lab.backtest.front import Pick, WaitBudget, pareto_front, pick
from kilowait.lab.backtest.kappa_file import read_kappa, write_kappa
from kilowait.lab.backtest.objective import CRITERIA, KappaTrial
from kilowait.report.figures import front_figure


def trial(kappa, wait_s, energy_kwh):
    return KappaTrial(kappa=kappa, total_wait_s=wait_s, running_s=0, energy_kwh=energy_kwh)


TRADE = [trial(0, 100, 9), trial(1, 105, 7), trial(2, 106, 5), trial(3, 110, 8), trial(4, 200, 1)]
"""Kappa 3 is beaten by kappas 1 and 2; every other trial saves energy for more waiting."""


def kappas(trials):
    return [t.kappa for t in trials]


class TestFront:
    def test_beaten_trials_are_left_out_and_the_rest_stand_by_rising_waiting(self):
        assert kappas(pareto_front(TRADE[::-1])) == [0, 1, 2, 4]

    def test_one_trial_is_its_own_front(self):
        assert pareto_front(TRADE[:1]) == TRADE[:1]

    def test_of_equal_totals_the_smallest_kappa_stands_for_all(self):
        assert kappas(pareto_front([trial(2, 5, 5), trial(1, 5, 5), trial(3, 5, 5)])) == [1]

    def test_a_tie_in_one_total_is_decided_by_the_other(self):
        assert kappas(pareto_front([trial(0, 5, 8), trial(1, 5, 6)])) == [1]
        assert kappas(pareto_front([trial(0, 7, 6), trial(1, 5, 6)])) == [1]

    def test_one_trial_that_is_best_in_both_is_the_whole_front(self):
        assert kappas(pareto_front([*TRADE, trial(5, 99, 0.5)])) == [5]

    def test_no_trial_is_an_error(self):
        with pytest.raises(InputError, match="no kappa was tried"):
            pareto_front([])


class TestBudget:
    @pytest.mark.parametrize(
        ("max_extra_wait", "kappa"),
        [(0, 0), (0.04, 0), (0.05, 1), (0.06, 2), (0.5, 2), (0.99, 2), (1, 4)],  # limits 100, 104, 105, 106, 150, ...
    )
    def test_the_least_energy_within_the_limit_is_picked(self, max_extra_wait, kappa):
        assert pick(TRADE, WaitBudget(max_extra_wait=max_extra_wait)).trial.kappa == kappa

    def test_equal_energies_go_to_less_waiting_then_to_the_smaller_kappa(self):
        trials = [trial(0, 102, 5), trial(1, 101, 5), trial(3, 100, 5), trial(2, 100, 5)]
        assert pick(trials, WaitBudget(max_extra_wait=0.05)).trial.kappa == 2

    def test_where_the_best_waits_for_nothing_only_trials_without_waiting_are_allowed(self):
        assert pick([trial(0, 0, 9), trial(1, 0, 8), trial(2, 1, 1)], WaitBudget(max_extra_wait=9)).trial.kappa == 1

    def test_it_says_why(self):
        hours = [trial(0, 36_000, 9), trial(1, 37_440, 7), trial(2, 72_000, 1)]
        assert pick(hours, WaitBudget(max_extra_wait=0.05)).why == (
            "the least energy, 7 kWh, of the 2 of 3 trials whose waiting is at most 5% above the best (10 h); "
            "it waits 10.4 h"
        )

    @pytest.mark.parametrize("bad", [-0.01, math.nan, math.inf])
    def test_a_bad_budget_is_refused(self, bad):
        with pytest.raises(InputError, match=f"max_extra_wait must be finite and >= 0, got {bad}"):
            WaitBudget(max_extra_wait=bad)

    @pytest.mark.parametrize(("fraction", "label"), [(0.05, "budget 5%"), (0.07, "budget 7%"), (0.125, "budget 12.5%")])
    def test_its_label_is_in_percent(self, fraction, label):
        assert WaitBudget(max_extra_wait=fraction).label == label

    def test_no_trial_is_an_error(self):
        with pytest.raises(InputError, match="no kappa was tried"):
            pick([], WaitBudget(max_extra_wait=0))


def test_weights_pick_the_least_sum_and_say_so():
    picked = pick(TRADE, CRITERIA["energy"])
    assert picked.trial.kappa == 4
    assert picked.why == "the least 0 waiting_s + 0 running_s + 1 energy_kwh of 5 trials"


def test_kappa_json_keeps_the_rule_and_the_reason_and_reads_back(tmp_path):
    path, budget = tmp_path / "kappa.json", WaitBudget(max_extra_wait=0.05)
    picks = {
        budget.label: Pick(rule=budget, trial=TRADE[1], why="because"),
        "energy": Pick(rule=CRITERIA["energy"], trial=TRADE[4], why="least"),
    }
    write_kappa(path, {"paper-like": picks}, {})
    assert read_kappa(path) == {"paper-like": {"budget 5%": 1, "energy": 4}}
    entries = json.loads(path.read_text())["classes"]["paper-like"]
    assert (entries["budget 5%"]["max_extra_wait"], entries["budget 5%"]["why"]) == (0.05, "because")
    assert entries["energy"]["weights"] == {"alpha": 0, "beta": 0, "gamma": 1}


def test_the_figure_carries_its_note_and_names_what_was_picked():
    drawn = front_figure({"Value": ([(1, 9), (2, 5), (3, 8)], [(1, 9), (2, 5)], {"budget 5%": (2, 5)})}, "modelled: x")
    assert drawn.startswith("<svg")
    for text in ("modelled: x", "budget 5%", "front", "kWh a sample", "hours a sample"):
        assert text in drawn
