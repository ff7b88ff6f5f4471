"""`kilowait predict --when`: worked out by hand on a grid of two levels, and what is refused."""

import argparse

import pytest

from kilowait.cli.by_the_hour.when_text import add_when_options, asked_when, when_lines, when_of
from kilowait.core.errors import InputError
from kilowait.core.jobs import Prediction

H = 3600.0
ONE_HOUR = Prediction(runtime_s=H, energy_kwh=2.0)
NOON = 1646136000.0  # 2022-03-01 12:00 UTC


@pytest.fixture
def asked(tmp_path):
    """Options with a grid that emits 400 g a kWh, from 16:00 to 18:00 300 g."""
    hours = (f"2022-03-01 {hour:02}:00,{300 if 16 <= hour < 18 else 400}" for hour in range(24))
    (tmp_path / "grid.csv").write_text("\n".join(["datetime_utc,gco2_per_kwh", *hours]))
    (tmp_path / "prices.toml").write_text("usd_per_kg_co2 = 1.0\nusd_per_h_waiting = 0.1\n")
    (tmp_path / "energy.toml").write_text("usd_per_kwh = 1.0\n")

    def ask(*words, within=None):
        parser = argparse.ArgumentParser()
        add_when_options(parser)
        named = [word.replace("@", f"{tmp_path}/") for word in words]
        args = parser.parse_args(["--when", "--signals-from", "2022-03-01T12:00Z", *named])
        args.within = within
        return asked_when(args)

    return ask


@pytest.mark.parametrize(
    ("words", "within", "waits_h", "grams"),
    [
        ((), None, 4.0, 600.0),
        (("--flexible", "3h"), None, 0.0, 800.0),
        (("--flexible", "0s"), None, 0.0, 800.0),
        ((), 4.5 * H, 0.0, 800.0),  # without an interval half of the run is left spare: it must begin by 15:00
        ((), 5.5 * H, 4.0, 600.0),
        (("--prices", "@prices.toml"), None, 0.0, 800.0),  # four hours cost 0.4 USD, and save 0.2
    ],
)
def test_the_best_hour_within_slack_and_deadline(asked, words, within, waits_h, grams):
    found = when_of(ONE_HOUR, asked("--signal", "carbon=@grid.csv", *words, within=within))["when"]
    assert found["now"]["amounts"] == {"carbon": {"value": 800.0, "unit": "g"}}
    assert found["best"]["waits_s"] == waits_h * H
    assert found["best"]["start_s"] == NOON + waits_h * H
    assert found["best"]["amounts"]["carbon"]["value"] == pytest.approx(grams)


def test_people_read_when_and_what_it_saves(asked):
    when = asked("--signal", "carbon=@grid.csv")
    long = Prediction(runtime_s=24 * H, energy_kwh=1.0)  # each start has the whole day in it
    assert when_lines({"A100": when_of(ONE_HOUR, when), "A40": when_of(long, when)}) == [
        "  now, or later (modelled, alone on its GPUs):",
        "    A100  now 800 g CO2; 2022-03-01 16:00 UTC, in 4.0 h, 600 g CO2 (-25%)",
        "    A40   now 392 g CO2; no later start is better",
    ]
    assert when_of(ONE_HOUR, None) == {}
    assert when_lines({"A100": {}}) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--when needs a --signal"),
        (("--signal", "carbon=@grid.csv", "--signals-from", "2022-03-02T00:00Z"), "not at 2022-03-02 00:00 UTC"),
        (("--signal", "carbon=@absent.csv"), "absent.csv"),
        (("--signal", "carbon=@grid.csv", "--prices", "@energy.toml"), "no price for carbon"),
    ],
)
def test_what_cannot_be_answered_is_refused(asked, words, said):
    with pytest.raises(InputError, match=said):
        asked(*words)


def test_options_of_when_are_refused_without_it():
    parser = argparse.ArgumentParser()
    add_when_options(parser)
    assert asked_when(parser.parse_args([])) is None
    with pytest.raises(InputError, match="--flexible is for --when"):
        asked_when(parser.parse_args(["--flexible", "3h"]))
