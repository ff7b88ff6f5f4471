"""The generated pages hold everything that they are generated from; records say where their figures come from."""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = sorted((ROOT / "docs" / "results").glob("*.json"))
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md"))
sys.path[:0] = [str(ROOT / "docs" / "_ext")]

from reference_pages import catalogue, column_tables, commands, http, policy_table, python_api, settings  # noqa: E402
from result_tables import KEYS, markdown, read  # noqa: E402

pytestmark = [pytest.mark.ray, pytest.mark.torch]  # the commands of the pipelines are imported

COMMANDS = ("predict", "simulate", "submit", "what-if", "ps", "show", "why", "cancel", "logs", "cluster", "history")
ACTIONS = ("token create", "token list", "token revoke", "model list", "model show", "model promote", "model rollback")


@pytest.fixture(scope="module")
def command_page() -> str:
    return commands.page()


@pytest.mark.parametrize("name", [*COMMANDS, *ACTIONS])
def test_each_command_has_a_section(command_page: str, name: str) -> None:
    assert f"## kilowait {name}\n" in command_page


@pytest.mark.parametrize(
    "option", ["--kappa-relative", "--gpu-types", "--dry-run-budget-s", "--entrypoint", "--follow"]
)
def test_options_of_commands_are_in_their_tables(command_page: str, option: str) -> None:
    assert re.search(rf"^\| `[^`]*{option}\b", command_page, re.M)


def test_each_module_that_can_be_run_has_a_section() -> None:
    page = commands.pipelines_page()
    folders = [path for folder in ("pipelines", "tuning", "benchmarks") for path in (ROOT / folder).iterdir()]
    runnable = [path for path in folders if path.suffix == ".py" and "ArgumentParser(" in path.read_text()]
    runnable += [path for path in folders if (path / "__main__.py").exists()]
    assert runnable
    for path in runnable:
        assert f"### python -m {path.parent.name}.{path.stem}\n" in page


def test_each_route_is_on_the_page_of_the_api() -> None:
    page = http.page()
    for route in (
        "POST /v1/jobs",
        "POST /v1/jobs:batch",
        "GET /v1/jobs/{job_id}/why",
        "GET /v1/health",
        "POST /v1/predict",
    ):
        assert f"### {route}\n" in page
    assert "Idempotency-Key".lower() in page.lower()


def test_each_policy_is_on_its_page() -> None:
    page = policy_table.page()
    for name in ("simple", "greedy", "value", "sjf", "easy", "patient", "anticipatory", "milp", "srpt", "gavel"):
        assert f"## {name}\n" in page


def test_columns_have_the_comments_of_the_code() -> None:
    page = column_tables.page()
    assert "| `device_id` | string | NVML UUID, or the host's name for a CPU |" in page
    assert "| `spread` | double |" in page


def test_the_catalogue_is_on_its_page() -> None:
    page = catalogue.page()
    assert re.search(r"^\| `A100` \| 40 \| 312 \| 19.5 \| 1,555 \| 400 \|", page, re.M)
    assert "| `T4` |" in page


def test_each_public_name_is_documented() -> None:
    page = python_api.page()
    for name in getattr(importlib.import_module("kilowait"), "__all__", ()):
        assert name.startswith("__") or f"## {name}\n" in page


def test_each_variable_that_the_code_reads_is_explained() -> None:
    assert settings.read_by_the_code() <= set(settings.VARIABLES)


def test_each_option_of_the_service_is_explained() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `[^|]*` \| (.*) \|$", settings.page(), re.M)
    assert {"database", "policy", "grow_to", "refit_every"} <= {name for name, _ in rows}
    assert all(meaning for _, meaning in rows)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_record_says_where_its_figures_come_from(path: Path) -> None:
    record = read(path)
    assert record["provenance"] in ("measured", "estimated", "modelled")
    assert re.match(r"[0-9a-f]{40}\b", record["commit"])
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", record["date"])
    assert "result" in record or "Transcribed from README.md at commit" in record["transcribed"]


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_record_is_shown_on_a_page(path: Path) -> None:
    assert any(f"{{result}} {path.stem}\n" in page.read_text(encoding="utf-8") for page in PAGES)


def test_a_record_without_a_machine_is_refused(tmp_path: Path) -> None:
    record = {key: "x" for key in KEYS if key != "machine"}
    (tmp_path / "r.json").write_text(json.dumps(record))
    with pytest.raises(KeyError, match="machine"):
        read(tmp_path / "r.json")


def test_a_table_shows_the_rows_that_are_asked_for() -> None:
    record = {"title": "t", "provenance": "measured", "command": "c", "commit": "a" * 40, "date": "2026-01-02"}
    record |= {"machine": "m", "result": {"rows": [{"n": 1, "x": {"y": 0.12345}}, {"n": 2, "x": {"y": 123456.0}}]}}
    shown = markdown(record, {"rows": "rows", "columns": {"number": "n", "why": "x.y"}, "where": {"n": 2}})
    assert shown.splitlines()[:3] == ["| number | why |", "| --- | --- |", "| 2 | 123,456 |"]
    assert "*Measured*: `c`, commit `aaaaaaaaaa`, 2026-01-02, m." in shown
