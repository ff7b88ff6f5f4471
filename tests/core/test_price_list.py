"""A price list: what a kWh is worth over time, and which parameters of policies follow from it."""

import pytest

from kilowait.core.errors import InputError
from kilowait.core.over_time.price_list import PriceList, read_price_list
from kilowait.core.over_time.signals import Signal

HOUR_S = 3600.0


def hourly(name, *values, begins_h=0, **more):
    times_s = tuple(HOUR_S * (begins_h + k) for k in range(len(values)))
    return Signal(name=name, times_s=times_s, values=values, ends_s=times_s[-1] + HOUR_S, **more)


def test_a_kwh_costs_what_it_brings():
    prices = PriceList(usd_per_kwh=0.2, usd_per_kg_co2=0.1, usd_per_l=0.01)
    assert prices.of_a_kwh(carbon=500, water=2) == pytest.approx(0.2 + 0.05 + 0.02)
    assert prices.of_a_kwh(price=-0.1) == -0.1


def test_signals_of_different_steps_are_one_over_time():
    prices = PriceList(usd_per_kwh=0.2, usd_per_kg_co2=1.0)
    carbon = hourly("carbon", 100, 200, 300)
    found = prices.over_time({"carbon": carbon, "water": hourly("water", 1.0)})
    assert [found.at(HOUR_S * k) for k in range(3)] == pytest.approx([0.3, 0.4, 0.5])
    assert (found.ends_s, found.period_s) == (3 * HOUR_S, 0)
    late = Signal(name="price", times_s=(1800.0, 5400.0), values=(0.5, -0.5), ends_s=9000.0)
    found = prices.over_time({"carbon": carbon, "price": late})
    assert found.times_s == (1800, 3600, 5400, 7200)
    assert found.values == pytest.approx((0.6, 0.7, -0.3, -0.2))
    assert PriceList(usd_per_h_waiting=1.0).over_time({"carbon": carbon}) is None


def test_what_repeats_goes_on():
    day = hourly("carbon", *range(24), period_s=24 * HOUR_S)
    found = PriceList(usd_per_kg_co2=1000.0).over_time(
        {"carbon": day, "price": hourly("price", *([0.0] * 48), period_s=24 * HOUR_S)}
    )
    assert [found.at(HOUR_S * h) for h in (0, 23, 47, 71)] == [0, 23, 23, 23]


def test_waiting_and_gpu_hours_are_what_a_kwh_is_weighed_against():
    prices = PriceList(usd_per_kwh=0.25, usd_per_h_waiting=0.6, usd_per_h_running=2.0)
    assert prices.wait_s_per_kwh(0.25) == pytest.approx(1500)
    # of jobs of 1000 GPU-seconds, 1 / (a t) falls by 1e-6 a second, and 450 s of a GPU cost a kWh
    assert prices.kappa(0.25, 1000.0) == pytest.approx(450e-6)
    for free in ("wait_s_per_kwh", "kappa"):
        with pytest.raises(InputError, match="must be > 0 where a policy weighs energy against"):
            getattr(PriceList(usd_per_kwh=0.25), free)(*([0.25] if free == "wait_s_per_kwh" else [0.25, 1.0]))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("usd_per_kwh = -1", "usd_per_kwh must be a finite number >= 0, got -1"),
        ("usd_per_l = nan", "usd_per_l must be a finite number >= 0, got nan"),
        ('usd_per_l = "1"', "usd_per_l must be a finite number >= 0, got '1'"),
        ("eur_per_kwh = 1", "no price is called 'eur_per_kwh'; there are usd_per_kwh, usd_per_kg_co2"),
        ("usd_per_kg_embodied = 1", "is spent whatever runs"),
        ("usd_per_kwh 1", "not readable as TOML"),
    ],
)
def test_a_list_that_is_wrong_names_the_price(tmp_path, text, told):
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        read_price_list(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_price_list(tmp_path / "none.toml")
