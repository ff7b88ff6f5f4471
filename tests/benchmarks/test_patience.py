"""The benchmark of patient: how prices are chosen, what a share is, and when a point is beaten."""

import json

import pytest

from benchmarks.patience import Bench, Point, Totals, beats, chosen, main
from kilowait.core.errors import InputError
from kilowait.lab.backtest.backtest import World

WAITS_H = {("value", 1e-6): 10, ("value", 1e-5): 11, ("patient", 0): 7, ("patient", 1): 9, ("patient", 2): 10.5}


class Table:
    """Runs that are known beforehand."""

    def run(self, policy, parameter):
        return Totals(wait_h=[WAITS_H[policy, parameter]], energy_kwh=[0.0])


def test_the_highest_price_within_the_waiting_of_the_tuned_value_is_chosen():
    assert chosen(Table(), [0, 1, 2], [1e-5, 1e-6]) == (1e-6, 1)


def test_the_lowest_price_is_chosen_where_none_keeps_the_budget():
    assert chosen(Table(), [2], [1e-5, 1e-6]) == (1e-6, 2)


def test_a_share_is_what_is_saved_of_what_can_be_saved():
    """Simple 10 + 30 kWh, bound 6 + 14: of 20 kWh in between, 4 + 6 are saved."""
    bench = Bench(World(classes="calibrated", seed=1), 2, None)
    known = {"simple": [10.0, 30.0], "bound": [6.0, 14.0]}
    bench.run = lambda policy: Totals(wait_h=[0.0, 0.0], energy_kwh=known[policy])
    assert bench.share(Totals(wait_h=[], energy_kwh=[6.0, 24.0])).estimate == pytest.approx(0.5)
    assert bench.share(Totals(wait_h=[], energy_kwh=known["bound"])).low == pytest.approx(1)


@pytest.mark.parametrize(
    ("wait_h", "energy_kwh", "beaten"), [(5, 5, False), (5, 6, True), (6, 5, True), (4, 9, False), (9, 4, False)]
)
def test_a_point_is_beaten_by_one_no_worse_in_both_and_better_in_one(wait_h, energy_kwh, beaten):
    ours = Point(policy="patient", parameter=0, wait_h=5, energy_kwh=5)
    assert beats(ours, Point(policy="value", parameter=0, wait_h=wait_h, energy_kwh=energy_kwh)) is beaten


def test_the_command_writes_what_it_prints(tmp_path, capsys):
    out = tmp_path / "found.json"
    assert main(["--cells", "calibrated:0.3", "--samples", "2", "--validation", "1", "--json", str(out)]) == 0
    (row,) = json.loads(out.read_text())
    assert (row["classes"], row["load"], row["predictions"], row["samples"]) == ("calibrated", 0.3, "oracle", 2)
    assert f"share {100 * row['share']['estimate']:+.1f}%" in capsys.readouterr().out
    assert row["share"]["low"] <= row["share"]["estimate"] <= min(1, row["share"]["high"])


def test_a_cell_without_a_load_is_refused():
    with pytest.raises(InputError, match=r"like calibrated:2, got 'calibrated'"):
        main(["--cells", "calibrated"])
