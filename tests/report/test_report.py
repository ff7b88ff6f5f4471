"""The report: self-contained, well formed, every section marked with how its numbers were had."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from rich.console import Console

from kilowait.core.errors import InputError
from kilowait.files import columns, parquet
from kilowait.lab.backtest.backtest_page import ReportInputs, write_report
from kilowait.report.figures import comparison_figure
from kilowait.report.table import TableView, html, records_table, terminal

VOID = {"meta", "img", "br"}


class Balance(HTMLParser):
    """Collects what the page refers to, and fails on a tag that closes another."""

    def __init__(self):
        super().__init__()
        self.open, self.identifiers, self.references, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.references += [attributes[name] for name in ("src", "href") if name in attributes]
        self.identifiers += [attributes["id"]] if "id" in attributes else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def outcome(policy, sample, energy):
    return dict.fromkeys(columns.BACKTEST.names, 1.0) | {
        "classes": "paper-like",
        "predictions": "oracle",
        "sample": sample,
        "policy": policy,
        "kappa": 1e-6 if policy == "value" else None,
        "jobs": 190,
        "gpus": 45,
        "delayed_tasks": 3,
        "energy_kwh": energy,
    }


@pytest.fixture
def inputs(tmp_path):
    """One of each thing a report is made from."""
    folder = tmp_path / "backtest"
    rows = [outcome(policy, k, energy) for k in range(3) for policy, energy in (("simple", 10.0), ("value", 8.0))]
    parquet.write_table(parquet.table(rows, columns.BACKTEST), folder / "scores.parquet")
    path = {"time_s": [0, 4, 10], "queued": [0, 1, 0], "busy": {"A100": [1, 1, 0], "A6000": [0, 0, 0]}}
    world = {
        "settings": {"seed": 1},
        "arrivals": {"by_hour": [1.0] * 24, "by_day": [3] * 62},
        "path": {"classes": "paper-like", "predictions": "oracle", "sample": 0, "inventory": {"A100": 10, "A6000": 20}}
        | {"policies": {"simple": path, "value": path}},
    }
    (folder / "world.json").write_text(json.dumps(world))
    errors = [
        {"content_hash": str(k), "family": "f", "device_type": d, "metric": "runtime_s", "model": "default"}
        | {"measured": 1.0 + k, "predicted": (1.0 + k) * 1.1}
        for k in range(5)
        for d in ("cpu-1", "cpu-2")
    ]
    parquet.write_table(parquet.table(errors, columns.RESIDUALS), tmp_path / "residuals.parquet")
    accuracy = [{"model": "default <b>", "r2": 0.9, "mape": float("nan")}, {"model": "mean", "r2": None}]
    (tmp_path / "accuracy.json").write_text(json.dumps(accuracy))
    (tmp_path / "summary.json").write_text(json.dumps({"cpu-1": {"scripts": 520, "p50_s": 1.2}}))
    return {
        "backtest": folder,
        "residuals": tmp_path / "residuals.parquet",
        "accuracy": tmp_path / "accuracy.json",
        "labels": tmp_path / "summary.json",
    }


@pytest.fixture
def page(tmp_path, inputs):
    return write_report(tmp_path / "out", ReportInputs(**inputs, facts={"host": "two cores & no GPU"})).read_text()


def parsed(text):
    balance = Balance()
    balance.feed(text)
    balance.close()
    assert balance.open == []
    return balance


SECTIONS = ["arrivals", "comparison", "path", "predicted", "accuracy", "labels"]


def test_every_section_is_there_once_and_linked(page):
    found = parsed(page)
    assert found.identifiers == SECTIONS
    assert [r for r in found.references if r.startswith("#")] == [f"#{key}" for key in SECTIONS]


def test_nothing_is_loaded_from_elsewhere(page):
    for reference in parsed(page).references:
        assert reference.startswith(("data:image/svg+xml;base64,", "#"))
    assert not re.search(r"<(script|link|iframe)|@import|url\(", page)


def test_every_drawing_is_well_formed_and_loads_nothing(page):
    drawings = re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", page)
    assert len(drawings) == 4
    for drawing in drawings:
        root = ElementTree.fromstring(base64.b64decode(drawing))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        links = [v for element in root.iter() for k, v in element.attrib.items() if k.endswith("href")]
        assert all(link.startswith("#") for link in links)


def test_it_suits_a_phone_and_the_dark(page):
    assert 'name="viewport"' in page
    assert "prefers-color-scheme:dark" in page
    assert "overflow-x:auto" in page


def test_text_is_escaped(page):
    assert "default &lt;b&gt;" in page
    assert "two cores &amp; no GPU" in page


def test_provenance_stands_by_every_table_and_figure(page):
    pieces = re.findall(r"<caption>.*?</caption>|<figcaption>.*?</figcaption>", page)
    assert len(pieces) == 10  # 4 drawings, 3 comparison tables, errors, accuracy, labels
    assert all(re.search(r'class="badge">[^<]*(measured|modelled)', piece) for piece in pieces)


def test_the_numbers_are_in_the_json_too(tmp_path, inputs, page):
    sections = json.loads((tmp_path / "out" / "report.json").read_text())["sections"]
    assert list(sections) == SECTIONS
    value = next(p for p in sections["comparison"][0]["policies"] if p["policy"] == "value")
    assert value["changes"]["energy_kwh"]["estimate"] == pytest.approx(-0.2)
    assert sections["predicted"]["rows"][0]["median_ape"] == pytest.approx(0.1)
    assert sections["accuracy"]["rows"][0]["mape"] is None


def test_breakdowns_by_family_stay_out_of_the_page(tmp_path):
    rows = [
        {"model": "default", "device_type": d, "family": f, "n": n}
        for n, (d, f) in enumerate([("all", "all"), ("cpu-1", "all"), ("all", "gan"), ("cpu-1", "gan")], 1)
    ]
    (tmp_path / "accuracy.json").write_text(json.dumps({"rows": rows}))
    page = write_report(tmp_path, ReportInputs(accuracy=tmp_path / "accuracy.json")).read_text()
    assert "gan" not in page
    assert page.count("<caption>") == 2
    assert len(json.loads((tmp_path / "report.json").read_text())["sections"]["accuracy"]["rows"]) == 4


def test_sections_are_optional(tmp_path, inputs):
    page = write_report(tmp_path / "few", ReportInputs(labels=inputs["labels"])).read_text()
    assert parsed(page).identifiers == ["labels"]


@pytest.mark.parametrize(("name", "content"), [("labels", "[1]"), ("accuracy", '{"a": 1}'), ("accuracy", "{")])
def test_a_damaged_input_is_refused_by_name(tmp_path, name, content):
    path = tmp_path / "damaged.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"damaged\.json"):
        write_report(tmp_path / "out", ReportInputs(**{name: path}))


def test_the_same_drawing_twice_is_the_same_text():
    panels = {"h": {"simple": (2.0, 1.0, 3.0), "value": (1.0, 0.5, 1.5)}}
    assert comparison_figure(panels) == comparison_figure(panels)


def test_a_table_shows_alike_on_terminal_and_page():
    view = records_table("Rows", [{"a": 1, "b": 0.12345}, {"a": 2, "c": "x"}], "measured")
    assert view.rows == (("1", "0.123", "–"), ("2", "–", "x"))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal(view))
    shown = console.export_text()
    assert "Rows (measured)" in shown
    for cell in ("0.123", "x", "–"):
        assert cell in shown
        assert f">{cell}</td>" in html(view)


def test_a_cell_may_have_two_lines():
    view = TableView(title="t", headings=("a", "b"), rows=(("r", "1\n[0, 2]"),), provenance="modelled")
    assert "<td>1<br>[0, 2]</td>" in html(view)
