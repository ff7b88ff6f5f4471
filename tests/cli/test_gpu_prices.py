"""Prices of GPU types by the hour, from a site's own table."""

import pytest

from kilowait.cli.gpu_prices import read_gpu_prices
from kilowait.core.errors import InputError

CSV = "gpu_type,price_per_hour,currency,source,date\nA100,1.29,USD,our contract,2026-01-01\nrtx 3090,0.22,,,\n"


def read(tmp_path, text, name="prices.csv"):
    (tmp_path / name).write_text(text)
    return read_gpu_prices(tmp_path / name)


def test_a_csv_with_a_currency_and_what_its_readers_want_to_know(tmp_path):
    prices = read(tmp_path, CSV)
    assert (prices.of("A100").per_hour, prices.of("A100").currency) == (1.29, "USD")
    assert prices.of("RTX-3090").per_hour == 0.22
    assert prices.of("H100") is None


@pytest.mark.parametrize(
    "text",
    [
        'currency = "EUR"\nA100 = 2\n"RTX 3090" = 0.5\n',
        '[A100]\nprice_per_hour = 2\ncurrency = "EUR"\n[RTX-3090]\nprice_per_hour = 0.5\ncurrency = "EUR"\n',
    ],
)
def test_a_toml_of_numbers_or_of_tables(tmp_path, text):
    prices = read(tmp_path, text, "prices.toml")
    assert {name: (price.per_hour, price.currency) for name, price in prices.by_type.items()} == {
        "A100": (2.0, "EUR"),
        "RTX-3090": (0.5, "EUR"),
    }


def test_a_cost_is_gpus_times_hours(tmp_path):
    assert read(tmp_path, CSV).of("A100").cost(4, 1800.0) == pytest.approx(4 * 0.5 * 1.29)


@pytest.mark.parametrize(
    ("text", "name", "complaint"),
    [
        ("gpu_type,price_per_hour\nA1OO,1\n", "p.csv", "line 2, column gpu_type"),
        (
            "gpu_type,price_per_hour\nA100,-1\n",
            "p.csv",
            "must be a finite number >= 0, got '-1'",
        ),
        ("gpu_type,price\nA100,1\n", "p.csv", "column price_per_hour: missing"),
        ("gpu_type,price_per_hour\nA100,1\na100,2\n", "p.csv", "A100 has two prices"),
        ("gpu_type,price_per_hour\n", "p.csv", "no prices"),
        ("gpu_type,price_per_hour,currency\nA100,1,USD\nH100,2,EUR\n", "p.csv", "EUR and USD"),
        ("A100 = true\n", "p.toml", "price_per_hour must be a finite number >= 0, got True"),
        ("A100 = nan\n", "p.toml", "got nan"),
        ("A100 = \n", "p.toml", "not readable as TOML"),
        ("A1OO = 1\n", "p.toml", "A1OO"),
    ],
)
def test_mistakes_are_named(tmp_path, text, name, complaint):
    with pytest.raises(InputError) as error:
        read(tmp_path, text, name)
    assert complaint in str(error.value)
    assert name in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_gpu_prices(tmp_path / "none.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_gpu_prices(tmp_path / "none.toml")
