"""Signals from files: every format, and what is said of each fault."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kilowait.core.errors import InputError
from kilowait.files.signal_files import moment, read_signal

T0 = 1640995200.0  # 2022-01-01T00:00Z
HOUR_S = 3600.0


def read(tmp_path, name, text, signal="carbon", **words):
    path = tmp_path / name
    path.write_text(text)
    return read_signal(path, signal, **words)


def hours(*values, first="datetime_utc,gco2_per_kwh"):
    return "\n".join([first, *(f"2022-01-01 {k:02}:00:00,{value}" for k, value in enumerate(values))])


ELECTRICITY_MAPS_CSV = """\
Datetime (UTC),Country,Zone Name,Zone Id,Carbon Intensity gCO\u2082eq/kWh (direct),\
Carbon Intensity gCO\u2082eq/kWh (LCA),Data Estimated
2022-01-01 00:00:00,Spain,Spain,ES,100.5,150,false
2022-01-01 01:00:00,Spain,Spain,ES,90,140,false
"""
ELECTRICITY_MAPS_JSON = json.dumps(
    {
        "zone": "ES",
        "history": [
            {"zone": "ES", "carbonIntensity": 150, "datetime": "2022-01-01T00:00:00.000Z", "isEstimated": False},
            {"zone": "ES", "carbonIntensity": 140, "datetime": "2022-01-01T01:00:00.000Z", "isEstimated": True},
        ],
    }
)
WATTTIME_JSON = json.dumps(
    {
        "data": [
            {"point_time": "2022-01-01T00:00:00+00:00", "value": 150 / 0.45359237},
            {"point_time": "2022-01-01T01:00:00+00:00", "value": 140 / 0.45359237},
        ],
        "meta": {"region": "ES", "signal_type": "co2_moer", "units": "lbs_co2_per_mwh"},
    }
)
OTHER_ZONE = "time,carbon_intensity\n2022-01-01T01:00+01:00,150\n2022-01-01T02:00+01:00,140\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain.csv", hours(150, 140)),
        ("kilograms.csv", hours(150, 140, first="datetime_utc,kgco2_per_mwh")),
        ("tonnes.csv", hours(0.15, 0.14, first="datetime_utc,tCO2/MWh")),
        ("maps.csv", ELECTRICITY_MAPS_CSV),
        ("maps.json", ELECTRICITY_MAPS_JSON),
        ("watttime.json", WATTTIME_JSON),
        ("offset.csv", OTHER_ZONE),
    ],
)
def test_every_format_gives_the_same_signal(tmp_path, name, text):
    found = read(tmp_path, name, text)
    (signal,) = found.signals
    assert found.dated
    assert (signal.times_s, signal.ends_s) == ((T0, T0 + HOUR_S), T0 + 2 * HOUR_S)
    assert signal.values == pytest.approx((150, 140))
    assert signal.issued_s is None


def test_parquet_of_several_zones_needs_one_named(tmp_path):
    times = ["2022-01-01 00:00:00+00:00", "2022-01-01 01:00:00+00:00"]
    table = pa.table(
        {"zone": ["ES", "ES", "NL", "NL"], "time": times * 2, "price": [140.0, -20.0, 1.0, 2.0]}
    ).append_column("unit", pa.array(["Price (USD/MWh)"] * 4))
    path = tmp_path / "prices.parquet"
    pq.write_table(table, path)
    with pytest.raises(InputError, match="values of 2 zones; name one: zone=NAME, of ES, NL"):
        read_signal(path, "price")
    (signal,) = read_signal(path, "price", zone="ES").signals
    assert signal.values == pytest.approx((0.14, -0.02))
    with pytest.raises(InputError, match="no values for the zone 'DE'; it has ES, NL"):
        read_signal(path, "price", zone="DE")


def test_forecasts_stand_in_the_order_of_their_issue(tmp_path):
    entry = {"point_time": "2022-01-01T01:00:00+00:00", "value": 1000}
    later = {
        "generated_at": "2022-01-01T01:00:00+00:00",
        "forecast": [entry, {**entry, "point_time": "2022-01-01T02Z"}],
    }
    sooner = {"generated_at": "2022-01-01T00:00:00+00:00", "forecast": [entry]}
    text = json.dumps({"data": [later, sooner], "meta": {"units": "lbs_co2_per_mwh"}})
    found = read(tmp_path, "forecasts.json", text).signals
    assert [(signal.issued_s, len(signal.values)) for signal in found] == [(T0, 1), (T0 + HOUR_S, 2)]
    maps = {"zone": "ES", "forecast": [{"carbonIntensity": 1, "datetime": "2022-01-01T01:00Z"}]}
    (signal,) = read(tmp_path, "maps.json", json.dumps({**maps, "updatedAt": "2022-01-01T00:30Z"})).signals
    assert signal.issued_s == T0 + HOUR_S / 2


def test_seconds_of_the_jobs_clock_and_a_tariff_of_uneven_steps(tmp_path):
    found = read(tmp_path, "tariff.csv", "time_s,usd_per_kwh\n0,0.1\n25200,0.3\n75600,0.1\n", "price")
    assert not found.dated
    assert found.signals[0].times_s == (0, 25200, 75600)


WIDE = "datetime_utc,co2_a,co2_b\n2022-01-01,1,2\n"


@pytest.mark.parametrize(
    ("name", "text", "signal", "told"),
    [
        ("a.csv", hours(1, "nan"), "carbon", "line 3, column gco2_per_kwh: must be a finite number, got 'nan'"),
        ("a.csv", hours(1, ""), "carbon", "line 3, column gco2_per_kwh: must be a finite number, got ''"),
        ("a.csv", hours(1, 2).replace(" 01", " 00"), "carbon", "line 3, column datetime_utc: the same time twice"),
        ("a.csv", hours(1, 2).replace(" 00:", " 02:"), "carbon", "line 3.*before the line above; sort the file"),
        ("a.csv", hours(*range(20)).replace("01-01 19", "01-02 05"), "carbon", "line 21.*a gap of 39,600 s before it"),
        ("a.csv", OTHER_ZONE.replace("+01:00", ""), "carbon", r"line 2, column time: must say its time zone, as Z or"),
        ("a.csv", OTHER_ZONE.replace("2022", "22"), "carbon", "line 2, column time: must be a date and time as"),
        ("a.csv", "when,co2\n1,2\n", "carbon", "no column of times: time_s, datetime_utc, .*it has when, co2"),
        ("a.csv", WIDE, "carbon", r"several columns could be meant \(co2_a, co2_b\); name it: column=NAME"),
        ("a.csv", WIDE, "water", "water: no column is of it; name it: column=NAME, of datetime_utc, co2_a, co2_b"),
        ("a.csv", hours(1, first="datetime_utc,price"), "price", "'price': a kWh or a MWh"),
        ("a.csv", hours(1, first="datetime_utc,price_eur_mwh"), "price", "prices must be in USD, got 'price_eur_mwh'"),
        ("a.csv", "", "carbon", "no values of carbon"),
        ("a.csv", hours(1), "heat", "unknown signal 'heat'; choose from carbon, water, price, power_budget, quota"),
        ("a.json", "{", "carbon", "not readable as JSON"),
        ("a.json", "{}", "carbon", "no list called history, forecast or data"),
        ("a.json", '{"data": [1]}', "carbon", "no list called history, forecast or data"),
        ("a.parquet", "x", "carbon", "not a readable Parquet file"),
    ],
)
def test_every_fault_names_its_place_and_a_remedy(tmp_path, name, text, signal, told):
    with pytest.raises(InputError, match=told):
        read(tmp_path, name, text, signal)


def test_a_column_may_be_named(tmp_path):
    assert read(tmp_path, "a.csv", WIDE.replace("2022-01-01", "2022-01-01T00"), column="co2_b").signals[0].values == (
        2,
    )
    with pytest.raises(InputError, match="no column 'co2'; it has datetime_utc, co2_a, co2_b"):
        read(tmp_path, "b.csv", WIDE, column="co2")


def test_a_moment_is_a_date_with_its_zone():
    assert moment("2022-01-01T01:00+01:00") == T0
    with pytest.raises(InputError, match="must say its time zone"):
        moment("2022-01-01")
